// floor COUNT: what the kernel alone takes to attach a container to a bridge, and to detach it.
//
// Sends the requests that bridge and host-local need, in as few messages as the kernel allows, over two route sockets,
// one in each namespace, and does nothing else: a veth pair with its host end up and in the bridge and its other end
// in the container; that end up; an address; a default route. Detaching deletes the link. Prints COUNT times
// "ADD nanoseconds" and "DEL nanoseconds". Makes both namespaces itself: it touches nothing that was there before.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
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

static int route_socket(void) {
  int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
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

static void detach(int inside) {
  static struct batch batch;
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  begin(&batch, RTM_DELLINK, change, &link, sizeof link);
  attribute(&batch, IFLA_IFNAME, "eth0", sizeof "eth0");
  perform(inside, &batch, "delete link");
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 100;
  if (unshare(CLONE_NEWNET) != 0) fail("unshare (this needs root)");
  int inside = route_socket();
  int container = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (container < 0) fail("/proc/thread-self/ns/net");
  if (unshare(CLONE_NEWNET) != 0) fail("unshare");
  int host = route_socket();
  int bridge = make_bridge(host);

  // The first pairs find cold caches.
  for (int warm_up = 0; warm_up < 2; warm_up++) {
    attach(host, inside, bridge, container);
    detach(inside);
  }
  for (int done = 0; done < count; done++) {
    long long start = now();
    attach(host, inside, bridge, container);
    long long attached = now();
    detach(inside);
    long long detached = now();
    printf("ADD %lld\nDEL %lld\n", attached - start, detached - attached);
  }
  return 0;
}
