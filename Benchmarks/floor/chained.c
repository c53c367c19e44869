// What tuning, bandwidth and sbr ask of the kernel for a container that has its interface.
#include "floor.h"

#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>

static struct batch batch;

void write_settings(const char *const *paths, const char *const *values, int count) {
  for (int index = 0; index < count; index++) {
    int file = open(paths[index], O_WRONLY | O_CLOEXEC);
    ssize_t length = strlen(values[index]);
    if (file < 0 || write(file, values[index], length) != length) fail(paths[index]);
    close(file);
  }
}

void write_in_container(struct world *world, const char *const *paths, const char *const *values, int count) {
  if (setns(world->container, CLONE_NEWNET) != 0) fail("setns");
  write_settings(paths, values, count);
  if (setns(world->outside, CLONE_NEWNET) != 0) fail("setns");
}

static const char *const setting = "/proc/sys/net/core/somaxconn";

void tune(struct world *world) {
  static const char *const value = "500";
  write_in_container(world, &setting, &value, 1);
}

void untune(struct world *world) {
  static const char *const value = "4096";
  write_in_container(world, &setting, &value, 1);
}

static void traffic(uint16_t type, int index, uint32_t handle, uint32_t parent, uint32_t info, const char *kind) {
  struct tcmsg message = {.tcm_ifindex = index, .tcm_handle = handle, .tcm_parent = parent, .tcm_info = info};
  begin(&batch, type, create, &message, sizeof message);
  text(&batch, TCA_KIND, kind);
}

// 100 Mbit/s, a burst of 125 kB, 25 ms.
static void limit(int index) {
  struct tc_tbf_qopt options = {.rate = {.rate = 12500000, .linklayer = TC_LINKLAYER_ETHERNET},
                                .limit = 12500000 / 40 + 125000, .buffer = 125000 / 125 * 10 / 64};
  traffic(RTM_NEWQDISC, index, 0x10000, TC_H_ROOT, 0, "tbf");
  size_t nest = open_attribute(&batch, TCA_OPTIONS);
  attribute(&batch, TCA_TBF_PARMS, &options, sizeof options);
  number(&batch, TCA_TBF_BURST, 125000);
  close_attribute(&batch, nest);
}

// All that arrives goes to another link.
static void redirect(int index, int other) {
  // A selector with one key, which is all zeros: any packet.
  struct tc_u32_sel head = {.flags = TC_U32_TERMINAL, .nkeys = 1};
  char match[sizeof head + sizeof(struct tc_u32_key)] = {0};
  memcpy(match, &head, sizeof head);
  struct tc_mirred parameters = {.action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = other};
  traffic(RTM_NEWTFILTER, index, 0, 0xffff0000, 1 << 16 | htons(0x0003), "u32");
  size_t nest = open_attribute(&batch, TCA_OPTIONS);
  attribute(&batch, TCA_U32_SEL, match, sizeof match);
  size_t actions = open_attribute(&batch, TCA_U32_ACT);
  size_t first = open_attribute(&batch, 1);
  text(&batch, TCA_ACT_KIND, "mirred");
  size_t inner = open_attribute(&batch, TCA_ACT_OPTIONS);
  attribute(&batch, TCA_MIRRED_PARMS, &parameters, sizeof parameters);
  close_attribute(&batch, inner);
  close_attribute(&batch, first);
  close_attribute(&batch, actions);
  close_attribute(&batch, nest);
}

void shape(struct world *world) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  struct ifinfomsg up = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&batch, RTM_NEWLINK, create, &link, sizeof link);
  text(&batch, IFLA_IFNAME, "ifbfloor");
  number(&batch, IFLA_NUM_TX_QUEUES, 1);
  number(&batch, IFLA_NUM_RX_QUEUES, 1);
  size_t information = open_attribute(&batch, IFLA_LINKINFO);
  text(&batch, IFLA_INFO_KIND, "ifb");
  close_attribute(&batch, information);
  begin(&batch, RTM_GETLINK, NLM_F_REQUEST, &link, sizeof link);
  text(&batch, IFLA_IFNAME, "ifbfloor");
  begin(&batch, RTM_NEWLINK, change, &up, sizeof up);
  text(&batch, IFLA_IFNAME, "ifbfloor");
  int ifb = perform(world->host, &batch, "create ifb");
  limit(world->host_link);
  traffic(RTM_NEWQDISC, world->host_link, 0xffff0000, TC_H_INGRESS, 0, "ingress");
  redirect(world->host_link, ifb);
  limit(ifb);
  perform(world->host, &batch, "queues");
}

void unshape(struct world *world) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  begin(&batch, RTM_DELLINK, change, &link, sizeof link);
  text(&batch, IFLA_IFNAME, "ifbfloor");
  perform(world->host, &batch, "delete ifb");
}

enum { table = 100 };

static void rule(uint16_t type, uint16_t flags) {
  struct fib_rule_hdr header = {.family = AF_INET, .src_len = 32, .table = table, .action = FR_ACT_TO_TBL};
  struct in_addr source;
  inet_pton(AF_INET, "10.22.0.2", &source);
  begin(&batch, type, flags, &header, sizeof header);
  attribute(&batch, FRA_SRC, &source, sizeof source);
}

static void route(uint16_t type, uint16_t flags, int in_table, const char *destination, int prefix, const char *via,
                  int index) {
  struct in_addr value;
  struct rtmsg message = {.rtm_family = AF_INET, .rtm_dst_len = prefix, .rtm_table = in_table, .rtm_protocol = RTPROT_BOOT,
                          .rtm_type = RTN_UNICAST, .rtm_scope = via == NULL ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE};
  begin(&batch, type, flags, &message, sizeof message);
  if (destination != NULL) {
    inet_pton(AF_INET, destination, &value);
    attribute(&batch, RTA_DST, &value, sizeof value);
  }
  if (via != NULL) {
    inet_pton(AF_INET, via, &value);
    attribute(&batch, RTA_GATEWAY, &value, sizeof value);
  }
  number(&batch, RTA_OIF, index);
}

// The three routes of ptp go to a table of their own.
void route_by_source(struct world *world) {
  int index = world->container_link;
  rule(RTM_NEWRULE, create);
  route(RTM_NEWROUTE, create, table, "10.22.0.1", 32, NULL, index);
  route(RTM_NEWROUTE, create, table, "10.22.0.0", 16, "10.22.0.1", index);
  route(RTM_NEWROUTE, create, table, NULL, 0, "10.22.0.1", index);
  route(RTM_DELROUTE, change, RT_TABLE_MAIN, NULL, 0, "10.22.0.1", index);
  route(RTM_DELROUTE, change, RT_TABLE_MAIN, "10.22.0.0", 16, "10.22.0.1", index);
  route(RTM_DELROUTE, change, RT_TABLE_MAIN, "10.22.0.1", 32, NULL, index);
  perform(world->inside, &batch, "rule and routes");
}

void unroute_by_source(struct world *world) {
  rule(RTM_DELRULE, change);
  perform(world->inside, &batch, "delete rule");
}
