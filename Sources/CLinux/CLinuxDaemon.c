#define _GNU_SOURCE
#include "CLinuxDaemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_epoll_add(int epoll, int descriptor, uint64_t token) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = token};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

int clinux_epoll_remove(int epoll, int descriptor) {
  return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL);
}

void clinux_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int clinux_timer_create(void) { return timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK); }

int clinux_timer_set(int timer, int64_t seconds, int64_t nanoseconds) {
  struct itimerspec at = {.it_value = {.tv_sec = seconds, .tv_nsec = nanoseconds}};
  return timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

int clinux_epoll_wait(int epoll, uint64_t *tokens, uint8_t *hung_up, int capacity, int milliseconds) {
  struct epoll_event events[64];
  int count = epoll_wait(epoll, events, capacity < 64 ? capacity : 64, milliseconds);
  if (count < 0) return errno == EINTR ? 0 : -1;
  for (int index = 0; index < count; index++) {
    tokens[index] = events[index].data.u64;
    hung_up[index] = (events[index].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  }
  return count;
}

int clinux_signal_descriptor(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -1;
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int clinux_signal_take(int descriptor) {
  struct signalfd_siginfo info;
  return read(descriptor, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

// The size of the address, or 0 for a path that is too long.
static socklen_t unix_address(struct sockaddr_un *address, const char *path) {
  size_t length = strlen(path);
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (length >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return 0;
  }
  memcpy(address->sun_path, path, length);
  return offsetof(struct sockaddr_un, sun_path) + length + 1;
}

static int closed_with_errno(int descriptor) {
  int failure = errno;
  close(descriptor);
  errno = failure;
  return -1;
}

int clinux_unix_listen(const char *path) {
  struct sockaddr_un address;
  socklen_t size = unix_address(&address, path);
  if (size == 0) return -1;
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  // The mask, and not a chmod afterwards: nobody else gets in between.
  mode_t mask = umask(0117);
  int result = bind(descriptor, (struct sockaddr *)&address, size);
  umask(mask);
  if (result != 0 || listen(descriptor, 1024) != 0) return closed_with_errno(descriptor);
  return descriptor;
}

int clinux_unix_connect(const char *path, int milliseconds) {
  struct sockaddr_un address;
  socklen_t size = unix_address(&address, path);
  if (size == 0) return -1;
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  // unix_stream_connect waits for room in the other end's queue as long as one may wait for sending.
  struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(descriptor, (struct sockaddr *)&address, size) != 0) return closed_with_errno(descriptor);
  return descriptor;
}

int clinux_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int clinux_unix_notify(const char *path, const char *text) {
  struct sockaddr_un address;
  socklen_t size = unix_address(&address, path);
  if (size == 0) return -1;
  if (address.sun_path[0] == '@') {
    address.sun_path[0] = 0;
    size--;
  }
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  ssize_t sent =
      sendto(descriptor, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
  if (sent < 0) return closed_with_errno(descriptor);
  close(descriptor);
  return 0;
}

int clinux_set_nonblocking(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0) return -1;
  return fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

int clinux_dhcp_packet_socket(int interface_index) {
  // Protocol 0 until there is a filter: not a single packet gets in before.
  int descriptor = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 11, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 8, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 8),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 4, 0),
      BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
      BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 68, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0x40000),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  int on = 1;
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = interface_index};
  if (setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0 ||
      setsockopt(descriptor, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) != 0 ||
      bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0)
    return closed_with_errno(descriptor);
  return descriptor;
}

long clinux_dhcp_receive(int socket, void *buffer, size_t length, uint16_t *protocol, uint8_t *source,
                         uint8_t *checksum_pending) {
  struct sockaddr_ll from = {0};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
  } control;
  struct iovec vector = {.iov_base = buffer, .iov_len = length};
  struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1,
                           .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t count;
  do {
    count = recvmsg(socket, &message, MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return errno == EAGAIN ? 0 : -1;
  *protocol = ntohs(from.sll_protocol);
  memset(source, 0, 6);
  if (from.sll_halen == 6) memcpy(source, from.sll_addr, 6);
  *checksum_pending = 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA) continue;
    struct tpacket_auxdata data;
    memcpy(&data, CMSG_DATA(part), sizeof data);
    *checksum_pending = (data.tp_status & TP_STATUS_CSUMNOTREADY) != 0;
  }
  return count;
}

int clinux_dhcp_udp_socket(const char *interface_name, uint32_t address) {
  int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  int on = 1;
  struct sockaddr_in local = {
      .sin_family = AF_INET, .sin_port = htons(68), .sin_addr.s_addr = htonl(address)};
  if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, interface_name, strlen(interface_name) + 1) != 0 ||
      bind(descriptor, (struct sockaddr *)&local, sizeof local) != 0)
    return closed_with_errno(descriptor);
  return descriptor;
}

int clinux_dhcp_udp_send(int socket, uint32_t address, const void *payload, size_t length) {
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = htonl(address)};
  ssize_t sent;
  do {
    sent = sendto(socket, payload, length, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -1 : 0;
}
