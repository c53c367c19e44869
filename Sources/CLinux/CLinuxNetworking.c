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
  // By the descriptor itself where that is allowed (CAP_DAC_READ_SEARCH): the kernel need not make a file of proc(5) first.
  if (linkat(fd, "", directory, path, AT_EMPTY_PATH) == 0) return 0;
  if (errno != ENOENT) return -1;
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

// Descriptors that the calling thread closes at the end of what it does, together.
enum { MOST_POSTPONED = 16 };
static _Thread_local struct {
  bool is_on, catches_up;
  int count;
  int descriptors[MOST_POSTPONED];
} postponed;

// Leaves the descriptors in a queue of unix(7) that nobody has any more but for that very queue. With `collected` the last
// close here is one of such a socket, which starts the collection.
static void queue_and_close(const int *descriptors, int count, bool collected) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0) {
    char byte = 0;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE((MOST_POSTPONED + 2) * sizeof(int))];
    } control = {0};
    // The receiver goes into its own queue: nobody else has it then. So does the sender, whose close would start the
    // collection otherwise.
    int queued[MOST_POSTPONED + 2];
    memcpy(queued, descriptors, (size_t)count * sizeof(int));
    queued[count] = ends[1];
    queued[count + 1] = ends[0];
    size_t size = (size_t)(count + (collected ? 1 : 2)) * sizeof(int);
    control.header.cmsg_len = CMSG_LEN(size);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), queued, size);
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(size)};
    // What cannot be queued is closed below, and that is all.
    (void)!sendmsg(ends[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  for (int index = 0; index < count; index++) close(descriptors[index]);
  if (ends[0] < 0) return;
  close(ends[1]);
  close(ends[0]);
}

bool clinux_postpone_closing(bool is_on) {
  bool before = postponed.is_on;
  postponed.is_on = is_on;
  if (before && !is_on) {
    bool catches_up = postponed.catches_up;
    int count = postponed.count;
    postponed.catches_up = false;
    postponed.count = 0;
    if (count > 0) {
      queue_and_close(postponed.descriptors, count, catches_up);
    } else if (catches_up) {
      clinux_catch_up_on_closing();
    }
  }
  return before;
}

void clinux_close_without_waiting(int fd) {
  if (!postponed.is_on) {
    queue_and_close(&fd, 1, true);
    return;
  }
  if (postponed.count == MOST_POSTPONED) {
    postponed.count = 0;
    queue_and_close(postponed.descriptors, MOST_POSTPONED, false);
  }
  postponed.descriptors[postponed.count++] = fd;
}

void clinux_catch_up_on_closing(void) {
  if (postponed.is_on) {
    postponed.catches_up = true;
    return;
  }
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
