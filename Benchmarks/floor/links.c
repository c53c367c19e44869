// The interface of a container: what bridge, ptp, macvlan, host-device and loopback ask of the kernel.
#include "floor.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/veth.h>

static struct batch batch;
static const char *const subnet = "10.22.0.0", *const gateway = "10.22.0.1", *const address = "10.22.0.2";

static void get_link(const char *name) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  begin(&batch, RTM_GETLINK, NLM_F_REQUEST, &link, sizeof link);
  text(&batch, IFLA_IFNAME, name);
}

static void set_flags(const char *name, unsigned flags) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_flags = flags, .ifi_change = IFF_UP};
  begin(&batch, RTM_NEWLINK, change, &link, sizeof link);
  text(&batch, IFLA_IFNAME, name);
}

static void internet(uint16_t type, const char *value) {
  struct in_addr parsed;
  inet_pton(AF_INET, value, &parsed);
  attribute(&batch, type, &parsed, sizeof parsed);
}

static void add_address(int index, const char *value, int prefix, unsigned flags) {
  struct ifaddrmsg message = {.ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index};
  begin(&batch, RTM_NEWADDR, create, &message, sizeof message);
  internet(IFA_LOCAL, value);
  internet(IFA_ADDRESS, value);
  if (flags != 0) number(&batch, IFA_FLAGS, flags);
}

static void add_route(int index, const char *destination, int prefix, const char *via) {
  struct rtmsg route = {.rtm_family = AF_INET, .rtm_dst_len = prefix, .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST,
                        .rtm_scope = via == NULL ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE};
  begin(&batch, RTM_NEWROUTE, create, &route, sizeof route);
  if (destination != NULL) internet(RTA_DST, destination);
  if (via != NULL) internet(RTA_GATEWAY, via);
  number(&batch, RTA_OIF, index);
}

int make_bridge(int host) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&batch, RTM_NEWLINK, create, &link, sizeof link);
  text(&batch, IFLA_IFNAME, "floor0");
  size_t information = open_attribute(&batch, IFLA_LINKINFO);
  text(&batch, IFLA_INFO_KIND, "bridge");
  close_attribute(&batch, information);
  get_link("floor0");
  int index = perform(host, &batch, "create bridge");
  add_address(index, gateway, 16, 0);
  perform(host, &batch, "address of the bridge");
  return index;
}

// One queue: left to itself the kernel makes several, and waits for its readers when it then uses one of them.
static void one_queue(void) {
  number(&batch, IFLA_NUM_TX_QUEUES, 1);
  number(&batch, IFLA_NUM_RX_QUEUES, 1);
}

// A veth pair. `namespace` is that of its second end, or -1; `master` a bridge, or 0. Asked about before it is up: of a
// link that is up and has no carrier yet the kernel waits for its readers first.
static int make_veth(int host, const char *name, const char *other, int namespace, int master) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  begin(&batch, RTM_NEWLINK, create, &link, sizeof link);
  text(&batch, IFLA_IFNAME, name);
  one_queue();
  if (master != 0) number(&batch, IFLA_MASTER, master);
  size_t information = open_attribute(&batch, IFLA_LINKINFO);
  text(&batch, IFLA_INFO_KIND, "veth");
  size_t data = open_attribute(&batch, IFLA_INFO_DATA);
  size_t peer = open_attribute(&batch, VETH_INFO_PEER);
  append(&batch, &link, sizeof link);
  text(&batch, IFLA_IFNAME, other);
  one_queue();
  if (namespace >= 0) number(&batch, IFLA_NET_NS_FD, namespace);
  close_attribute(&batch, peer);
  close_attribute(&batch, data);
  close_attribute(&batch, information);
  get_link(name);
  set_flags(name, IFF_UP);
  return perform(host, &batch, "create veth");
}

// A container's end on the bridge, as on a node at work: a bridge's first port changes the bridge, too, and later ones
// do not.
void make_port(struct world *world) {
  make_veth(world->host, "port0", "port1", -1, world->bridge);
  set_flags("port1", IFF_UP);
  perform(world->host, &batch, "set up port");
}

// A pair on the host: what macvlan stands on, and what host-device moves.
void make_pair(struct world *world) {
  world->device = make_veth(world->host, "card0", "card1", -1, 0);
  set_flags("card1", IFF_UP);
  perform(world->host, &batch, "set up pair");
}

// Settings of an address' link: no waiting for duplicates, and neighbours are told.
static void settle(struct world *world) {
  static const char *const paths[] = {
      "/proc/sys/net/ipv6/conf/eth0/accept_dad", "/proc/sys/net/ipv4/conf/eth0/arp_notify"};
  static const char *const values[] = {"0", "1"};
  write_in_container(world, paths, values, 2);
}

static void address_inside(struct world *world) {
  settle(world);
  set_flags("eth0", IFF_UP);
  add_address(world->container_link, address, 16, 0);
  add_route(world->container_link, NULL, 0, gateway);
  perform(world->inside, &batch, "address and route");
}

static void find_inside(struct world *world) {
  get_link("eth0");
  world->container_link = perform(world->inside, &batch, "look inside");
}

void attach_bridge(struct world *world) {
  world->host_link = make_veth(world->host, "vethfloor", "eth0", world->container, world->bridge);
  world->container_link = other_end_of_last_link();
  address_inside(world);
}

// Of the host's end of a pair: no waiting for duplicates of its addresses.
static void settle_host_end(void) {
  static const char *const path = "/proc/sys/net/ipv6/conf/vethfloor/accept_dad", *const value = "0";
  write_settings(&path, &value, 1);
}

// Lets a mapped port be reached by the host's 127.0.0.1; of a bridge the first container's plugins have done it.
void open_to_loopback(struct world *world) {
  static const char *const path = "/proc/sys/net/ipv4/conf/vethfloor/route_localnet", *const value = "1";
  (void)world;
  write_settings(&path, &value, 1);
}

void attach_ptp(struct world *world) {
  world->host_link = make_veth(world->host, "vethfloor", "eth0", world->container, 0);
  world->container_link = other_end_of_last_link();
  settle_host_end();
  settle(world);
  set_flags("eth0", IFF_UP);
  add_address(world->container_link, address, 16, IFA_F_NOPREFIXROUTE);
  add_route(world->container_link, gateway, 32, NULL);
  add_route(world->container_link, subnet, 16, gateway);
  add_route(world->container_link, NULL, 0, gateway);
  perform(world->inside, &batch, "address and routes");
  add_address(world->host_link, gateway, 32, 0);
  add_route(world->host_link, address, 32, NULL);
  perform(world->host, &batch, "address and route of the host");
}

void attach_macvlan(struct world *world) {
  struct ifinfomsg up = {.ifi_family = AF_UNSPEC};
  begin(&batch, RTM_NEWLINK, create, &up, sizeof up);
  text(&batch, IFLA_IFNAME, "eth0");
  number(&batch, IFLA_LINK, world->device);
  number(&batch, IFLA_NET_NS_FD, world->container);
  size_t information = open_attribute(&batch, IFLA_LINKINFO);
  text(&batch, IFLA_INFO_KIND, "macvlan");
  size_t data = open_attribute(&batch, IFLA_INFO_DATA);
  number(&batch, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
  close_attribute(&batch, data);
  close_attribute(&batch, information);
  perform(world->host, &batch, "create macvlan");
  find_inside(world);
  address_inside(world);
}

void detach_link(struct world *world) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  begin(&batch, RTM_DELLINK, change, &link, sizeof link);
  text(&batch, IFLA_IFNAME, "eth0");
  perform(world->inside, &batch, "delete link");
}

static void move(int from, int index, int namespace, const char *name) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = index};
  begin(&batch, RTM_NEWLINK, change, &link, sizeof link);
  number(&batch, IFLA_NET_NS_FD, namespace);
  text(&batch, IFLA_IFNAME, name);
  perform(from, &batch, "move link");
}

void attach_device(struct world *world) {
  move(world->host, world->device, world->container, "eth0");
  find_inside(world);
  address_inside(world);
}

void detach_device(struct world *world) {
  move(world->inside, world->container_link, world->outside, "card0");
  get_link("card0");
  world->device = perform(world->host, &batch, "found again");
}

void attach_loopback(struct world *world) {
  set_flags("lo", IFF_UP);
  perform(world->inside, &batch, "set lo up");
}

void detach_loopback(struct world *world) {
  set_flags("lo", 0);
  perform(world->inside, &batch, "set lo down");
}
