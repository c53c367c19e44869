#define _GNU_SOURCE
#include "CLinuxDHCPv6.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int closed_with_errno(int descriptor) {
  int saved = errno;
  close(descriptor);
  errno = saved;
  return -1;
}

int clinux_dhcp6_udp_socket(int interface_index, const uint8_t *address) {
  int descriptor = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  int on = 1;
  struct sockaddr_in6 local = {
      .sin6_family = AF_INET6, .sin6_port = htons(546), .sin6_scope_id = (uint32_t)interface_index};
  memcpy(&local.sin6_addr, address, 16);
  if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0 ||
      setsockopt(descriptor, SOL_SOCKET, SO_BINDTOIFINDEX, &interface_index, sizeof interface_index) != 0 ||
      bind(descriptor, (struct sockaddr *)&local, sizeof local) != 0)
    return closed_with_errno(descriptor);
  return descriptor;
}

static int send_to(int socket, const struct sockaddr_in6 *to, const void *bytes, size_t length) {
  ssize_t sent;
  do {
    sent = sendto(socket, bytes, length, MSG_NOSIGNAL, (const struct sockaddr *)to, sizeof *to);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -1 : 0;
}

int clinux_dhcp6_udp_send(int socket, int interface_index, const void *payload, size_t length) {
  // ff02::1:2, All_DHCP_Relay_Agents_and_Servers.
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(547), .sin6_scope_id = (uint32_t)interface_index,
                            .sin6_addr.s6_addr = {0xff, 0x02, [13] = 1, [15] = 2}};
  return send_to(socket, &to, payload, length);
}

int clinux_neighbour_socket(int interface_index) {
  int descriptor = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
  if (descriptor < 0) return -1;
  int on = 1, hops = 255;
  struct icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ND_NEIGHBOR_ADVERT, &filter);
  if (setsockopt(descriptor, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) != 0 ||
      setsockopt(descriptor, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on) != 0 ||
      setsockopt(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) != 0 ||
      setsockopt(descriptor, SOL_SOCKET, SO_BINDTOIFINDEX, &interface_index, sizeof interface_index) != 0)
    return closed_with_errno(descriptor);
  return descriptor;
}

int clinux_neighbour_solicit(int socket, int interface_index, const uint8_t *target, const uint8_t *mac) {
  struct {
    struct nd_neighbor_solicit header;
    uint8_t source[8];
  } message = {.header.nd_ns_hdr.icmp6_type = ND_NEIGHBOR_SOLICIT, .source = {ND_OPT_SOURCE_LINKADDR, 1}};
  memcpy(&message.header.nd_ns_target, target, 16);
  memcpy(message.source + 2, mac, 6);
  // The solicited-node group: ff02::1:ff00:0 and the last 24 bits of the address.
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_scope_id = (uint32_t)interface_index,
                            .sin6_addr.s6_addr = {0xff, 0x02, [11] = 1, [12] = 0xff}};
  memcpy(to.sin6_addr.s6_addr + 13, target + 13, 3);
  return send_to(socket, &to, &message, sizeof message);
}

int clinux_neighbour_take(int socket, uint8_t *target) {
  for (;;) {
    struct nd_neighbor_advert advertisement;
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec vector = {.iov_base = &advertisement, .iov_len = sizeof advertisement};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(socket, &message, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN ? 0 : -1;
    int hops = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part))
      if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_HOPLIMIT)
        memcpy(&hops, CMSG_DATA(part), sizeof hops);
    // What a router has passed on is not from this link (RFC 4861, section 7.1.2).
    if (count < (ssize_t)sizeof advertisement || hops != 255 || advertisement.nd_na_code != 0) continue;
    memcpy(target, &advertisement.nd_na_target, 16);
    return 1;
  }
}
