#define _GNU_SOURCE
#include "CLinuxNetworking.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_namespace_type(int fd) { return ioctl(fd, NS_GET_NSTYPE); }

int clinux_thread_id(void) { return (int)syscall(SYS_gettid); }

int clinux_rename_noreplace(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int clinux_rename_exchange(const char *a, const char *b) {
  return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

int clinux_open_nameless(int directory, const char *path, unsigned mode) {
  return openat(directory, path, O_WRONLY | O_TMPFILE | O_CLOEXEC, mode);
}

int clinux_give_name(int fd, int directory, const char *path) {
  char file[32];
  snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, file, directory, path, AT_SYMLINK_FOLLOW);
}

int clinux_effective_capabilities(uint64_t *set) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, data) != 0) return -1;
  *set = (uint64_t)data[1].effective << 32 | data[0].effective;
  return 0;
}

static _Thread_local bool closing_is_postponed;

bool clinux_postpone_closing(bool postponed) {
  bool before = closing_is_postponed;
  closing_is_postponed = postponed;
  return before;
}

void clinux_close_without_waiting(int fd) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0) {
    char byte = 0;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control = {0};
    // The receiver goes into its own queue: nobody else has it then. So does the sender, whose close would start the
    // collection otherwise.
    int queued[3] = {fd, ends[1], ends[0]};
    size_t size = (closing_is_postponed ? 3 : 2) * sizeof(int);
    control.header.cmsg_len = CMSG_LEN(size);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), queued, size);
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(size)};
    // What cannot be queued is closed below, and that is all.
    (void)!sendmsg(ends[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
    close(ends[1]);
    close(ends[0]);
    return;
  }
  close(fd);
}

void clinux_catch_up_on_closing(void) {
  // Any close of such a socket starts the collection, if there is something to collect.
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd >= 0) close(fd);
}

const char *clinux_errno_name(int number) { return strerrorname_np(number); }

// Protocol 0: no frame is ever queued to it.
int clinux_packet_socket(void) { return socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

int clinux_send_frame(int socket, int interface_index, uint16_t protocol, const uint8_t *destination,
                      const void *payload, size_t length) {
  struct sockaddr_ll to = {
      .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = interface_index, .sll_halen = 6};
  memcpy(to.sll_addr, destination, 6);
  ssize_t sent;
  do {
    sent = sendto(socket, payload, length, 0, (struct sockaddr *)&to, sizeof to);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -1 : 0;
}

int clinux_tap_create(int fd, const char *name, int multi_queue) {
  struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL)};
  if (multi_queue) request.ifr_flags |= IFF_MULTI_QUEUE;
  if (strlen(name) >= sizeof request.ifr_name) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(request.ifr_name, name);
  return ioctl(fd, TUNSETIFF, &request);
}

int clinux_tun_set_owner(int fd, uint32_t user) { return ioctl(fd, TUNSETOWNER, (unsigned long)user); }
int clinux_tun_set_group(int fd, uint32_t group) { return ioctl(fd, TUNSETGROUP, (unsigned long)group); }
int clinux_tun_set_persistent(int fd) { return ioctl(fd, TUNSETPERSIST, 1UL); }
