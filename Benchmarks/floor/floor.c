// floor COUNT [chain]: what the kernel alone takes to attach a container to a bridge, and to detach it.
//
// Sends the requests that bridge and host-local need, in as few messages as the kernel allows, over two route sockets,
// one in each namespace, and does nothing else: a veth pair with its host end up and in the bridge and its other end
// in the container; that end up; an address; a default route. Detaching deletes the link. With `chain` also what
// masquerading, two host ports, a firewall and a setting need: a transaction of nf_tables that adds six elements to sets,
// and a file of /proc/sys written; and a transaction that removes the elements. Prints COUNT times
// "ADD nanoseconds" and "DEL nanoseconds". Makes both namespaces itself: it touches nothing that was there before.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const uint16_t create = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
static const uint16_t change = NLM_F_REQUEST | NLM_F_ACK;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// Several requests, one after another, as they travel in one sendmsg.
struct batch {
  char bytes[4096];
  size_t length;
  size_t request;  // where the request that is being written begins
  int requests;
};

static void *append(struct batch *batch, const void *data, size_t length) {
  void *place = batch->bytes + batch->length;
  memset(place, 0, NLMSG_ALIGN(length));
  if (data != NULL) memcpy(place, data, length);
  batch->length += NLMSG_ALIGN(length);
  ((struct nlmsghdr *)(batch->bytes + batch->request))->nlmsg_len = batch->length - batch->request;
  return place;
}

static void begin(struct batch *batch, uint16_t type, uint16_t flags, const void *fixed, size_t length) {
  struct nlmsghdr header = {.nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = ++batch->requests};
  batch->request = batch->length;
  append(batch, &header, sizeof header);
  append(batch, fixed, length);
}

static size_t open_attribute(struct batch *batch, uint16_t type) {
  struct rtattr attribute = {.rta_type = type};
  size_t place = batch->length;
  append(batch, &attribute, sizeof attribute);
  return place;
}

static void close_attribute(struct batch *batch, size_t place) {
  ((struct rtattr *)(batch->bytes + place))->rta_len = batch->length - place;
}

static void attribute(struct batch *batch, uint16_t type, const void *data, size_t length) {
  size_t place = open_attribute(batch, type);
  append(batch, data, length);
  ((struct rtattr *)(batch->bytes + place))->rta_len = sizeof(struct rtattr) + length;
}

static int netlink_socket(int protocol) {
  int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (descriptor < 0) fail("socket");
  int on = 1;
  setsockopt(descriptor, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return descriptor;
}

// Sends the batch, and reads until every request has been answered. Returns the index of the last link reported.
static int perform(int descriptor, struct batch *batch, const char *what) {
  char reply[16384];
  int index = 0, answered = 0;
  if (send(descriptor, batch->bytes, batch->length, 0) < 0) fail(what);
  while (answered < batch->requests) {
    ssize_t received = recv(descriptor, reply, sizeof reply, 0);
    if (received < 0) fail(what);
    size_t rest = received;
    for (struct nlmsghdr *header = (struct nlmsghdr *)reply; NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest)) {
      if (header->nlmsg_type == RTM_NEWLINK) index = ((struct ifinfomsg *)NLMSG_DATA(header))->ifi_index;
      if (header->nlmsg_type != NLMSG_ERROR) continue;
      struct nlmsgerr *error = NLMSG_DATA(header);
      if (error->error != 0) {
        errno = -error->error;
        fail(what);
      }
      answered += 1;
    }
  }
  batch->length = 0;
  batch->requests = 0;
  return index;
}

static void get_link(struct batch *batch, const char *name) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  begin(batch, RTM_GETLINK, change, &link, sizeof link);
  attribute(batch, IFLA_IFNAME, name, strlen(name) + 1);
}

static void set_up(struct batch *batch, const char *name) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(batch, RTM_NEWLINK, change, &link, sizeof link);
  attribute(batch, IFLA_IFNAME, name, strlen(name) + 1);
}

static void add_address(struct batch *batch, int index, const char *text, int prefix) {
  struct in_addr address;
  inet_pton(AF_INET, text, &address);
  struct ifaddrmsg message = {.ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index};
  begin(batch, RTM_NEWADDR, create, &message, sizeof message);
  attribute(batch, IFA_LOCAL, &address, sizeof address);
  attribute(batch, IFA_ADDRESS, &address, sizeof address);
}

static int make_bridge(int host) {
  static struct batch batch;
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&batch, RTM_NEWLINK, create, &link, sizeof link);
  attribute(&batch, IFLA_IFNAME, "floor0", sizeof "floor0");
  size_t information = open_attribute(&batch, IFLA_LINKINFO);
  attribute(&batch, IFLA_INFO_KIND, "bridge", sizeof "bridge");
  close_attribute(&batch, information);
  get_link(&batch, "floor0");
  int index = perform(host, &batch, "create bridge");
  add_address(&batch, index, "10.22.0.1", 16);
  perform(host, &batch, "address of the bridge");
  return index;
}

static void attach(int host, int inside, int bridge, int namespace) {
  static struct batch batch;
  struct ifinfomsg up = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&batch, RTM_NEWLINK, create, &up, sizeof up);
  attribute(&batch, IFLA_IFNAME, "vethfloor", sizeof "vethfloor");
  attribute(&batch, IFLA_MASTER, &bridge, sizeof bridge);
  size_t information = open_attribute(&batch, IFLA_LINKINFO);
  attribute(&batch, IFLA_INFO_KIND, "veth", sizeof "veth");
  size_t data = open_attribute(&batch, IFLA_INFO_DATA);
  size_t peer = open_attribute(&batch, VETH_INFO_PEER);
  struct ifinfomsg other = {.ifi_family = AF_UNSPEC};
  append(&batch, &other, sizeof other);
  attribute(&batch, IFLA_IFNAME, "eth0", sizeof "eth0");
  attribute(&batch, IFLA_NET_NS_FD, &namespace, sizeof namespace);
  close_attribute(&batch, peer);
  close_attribute(&batch, data);
  close_attribute(&batch, information);
  get_link(&batch, "vethfloor");
  perform(host, &batch, "create veth");

  set_up(&batch, "eth0");
  get_link(&batch, "eth0");
  int index = perform(inside, &batch, "set up inside");

  add_address(&batch, index, "10.22.0.2", 16);
  struct rtmsg route = {
      .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_scope = RT_SCOPE_UNIVERSE,
      .rtm_type = RTN_UNICAST};
  struct in_addr gateway;
  inet_pton(AF_INET, "10.22.0.1", &gateway);
  begin(&batch, RTM_NEWROUTE, create, &route, sizeof route);
  attribute(&batch, RTA_GATEWAY, &gateway, sizeof gateway);
  attribute(&batch, RTA_OIF, &index, sizeof index);
  perform(inside, &batch, "address and route");
}

static void nft_begin(struct batch *batch, uint16_t type, uint16_t flags, uint8_t family) {
  struct nfgenmsg header = {.nfgen_family = family};
  if (family == AF_UNSPEC) header.res_id = htons(NFNL_SUBSYS_NFTABLES);
  begin(batch, type, flags, &header, sizeof header);
}

// Of a transaction only the last command is acknowledged.
static void nft_perform(int netfilter, struct batch *batch, const char *what) {
  nft_begin(batch, NFNL_MSG_BATCH_END, NLM_F_REQUEST, AF_UNSPEC);
  batch->requests = 1;
  perform(netfilter, batch, what);
}

static void nft_start(struct batch *batch) { nft_begin(batch, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, AF_UNSPEC); }

static void big_endian(struct batch *batch, uint16_t type, uint32_t value) {
  value = htonl(value);
  attribute(batch, type, &value, sizeof value);
}

static const char *table = "floor", *set = "elements";
enum { nftables = NFNL_SUBSYS_NFTABLES << 8, elements = 6 };

static void make_set(int netfilter) {
  static struct batch batch;
  nft_start(&batch);
  nft_begin(&batch, nftables | NFT_MSG_NEWTABLE, NLM_F_REQUEST | NLM_F_CREATE, NFPROTO_INET);
  attribute(&batch, NFTA_TABLE_NAME, table, strlen(table) + 1);
  nft_begin(&batch, nftables | NFT_MSG_NEWSET, create, NFPROTO_INET);
  attribute(&batch, NFTA_SET_TABLE, table, strlen(table) + 1);
  attribute(&batch, NFTA_SET_NAME, set, strlen(set) + 1);
  big_endian(&batch, NFTA_SET_FLAGS, 0);
  big_endian(&batch, NFTA_SET_KEY_TYPE, 0);
  big_endian(&batch, NFTA_SET_KEY_LEN, 8);
  big_endian(&batch, NFTA_SET_ID, 1);
  nft_perform(netfilter, &batch, "create set");
}

static void change_elements(int netfilter, uint16_t type) {
  static struct batch batch;
  static const char comment[100] = "\0\142the name of a network, of a container and of its interface";
  nft_start(&batch);
  for (uint32_t number = 0; number < elements; number++) {
    int last = number == elements - 1;
    nft_begin(&batch, nftables | type, NLM_F_REQUEST | NLM_F_CREATE | (last ? NLM_F_ACK : 0), NFPROTO_INET);
    attribute(&batch, NFTA_SET_ELEM_LIST_TABLE, table, strlen(table) + 1);
    attribute(&batch, NFTA_SET_ELEM_LIST_SET, set, strlen(set) + 1);
    size_t list = open_attribute(&batch, NLA_F_NESTED | NFTA_SET_ELEM_LIST_ELEMENTS);
    size_t element = open_attribute(&batch, NLA_F_NESTED | NFTA_LIST_ELEM);
    size_t key = open_attribute(&batch, NLA_F_NESTED | NFTA_SET_ELEM_KEY);
    uint32_t value[2] = {number, 0};
    attribute(&batch, NFTA_DATA_VALUE, value, sizeof value);
    close_attribute(&batch, key);
    if (type == NFT_MSG_NEWSETELEM) attribute(&batch, NFTA_SET_ELEM_USERDATA, comment, sizeof comment);
    close_attribute(&batch, element);
    close_attribute(&batch, list);
  }
  nft_perform(netfilter, &batch, "elements");
}

static void write_setting(int inside_namespace, int host_namespace) {
  if (setns(inside_namespace, CLONE_NEWNET) != 0) fail("setns");
  int file = open("/proc/sys/net/core/somaxconn", O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, "500", 3) != 3) fail("/proc/sys/net/core/somaxconn");
  close(file);
  if (setns(host_namespace, CLONE_NEWNET) != 0) fail("setns");
}

static void detach(int inside) {
  static struct batch batch;
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  begin(&batch, RTM_DELLINK, change, &link, sizeof link);
  attribute(&batch, IFLA_IFNAME, "eth0", sizeof "eth0");
  perform(inside, &batch, "delete link");
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 100;
  int chain = argc > 2 && strcmp(argv[2], "chain") == 0;
  if (unshare(CLONE_NEWNET) != 0) fail("unshare (this needs root)");
  int inside = netlink_socket(NETLINK_ROUTE);
  int container = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (container < 0) fail("/proc/thread-self/ns/net");
  if (unshare(CLONE_NEWNET) != 0) fail("unshare");
  int host = netlink_socket(NETLINK_ROUTE);
  int outside = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  int bridge = make_bridge(host);
  int netfilter = -1;
  if (chain) {
    netfilter = netlink_socket(NETLINK_NETFILTER);
    make_set(netfilter);
  }

  // The first pairs find cold caches.
  for (int done = -2; done < count; done++) {
    long long start = now();
    attach(host, inside, bridge, container);
    if (chain) {
      change_elements(netfilter, NFT_MSG_NEWSETELEM);
      write_setting(container, outside);
    }
    long long attached = now();
    if (chain) change_elements(netfilter, NFT_MSG_DELSETELEM);
    detach(inside);
    long long detached = now();
    if (done >= 0) printf("ADD %lld\nDEL %lld\n", attached - start, detached - attached);
    // The kernel goes on freeing what was deleted, and holds up who comes next: that is no part of an ADD.
    usleep(50000);
  }
  return 0;
}
