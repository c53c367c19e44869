// Requests that the kernel refuses, as it does when it has no memory, or somebody else's word forbids it.
//
// The request goes out with a type that there is not. So the kernel really refuses it, has done nothing of it, and undoes
// what belongs to it (the other messages of an nf_tables transaction). In its answer the error is exchanged for the one that is
// wanted, and the type for what was asked, so that whoever asked cannot tell.
#include "axe.h"

#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIECES = 64 };
static unsigned char data[1 << 18];
static struct iovec pieces[PIECES];
static int piece_count;

// The request that is refused: where its type is, and what it was.
static uint64_t type_address;
static uint16_t type, refused_type;
static uint32_t sequence;

static bool read_memory(pid_t tid, uint64_t address, void *to, size_t size) {
  struct iovec here = {to, size}, there = {(void *)(uintptr_t)address, size};
  return process_vm_readv(tid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

// Also where the program itself may only read.
static bool write_memory(pid_t tid, uint64_t address, const void *from, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", tid);
  int memory = open(path, O_WRONLY | O_CLOEXEC);
  if (memory < 0) return false;
  ssize_t written = pwrite(memory, from, size, (off_t)address);
  close(memory);
  return written == (ssize_t)size;
}

// Reads what a call sends or has received into `data`; how many bytes of it there are.
static size_t load(pid_t tid, long number, const uint64_t *arguments, size_t limit) {
  piece_count = 0;
  if (number == SYS_sendmsg || number == SYS_recvmsg) {
    struct msghdr header;
    if (!read_memory(tid, arguments[1], &header, sizeof header) || header.msg_iovlen > PIECES) return 0;
    if (!read_memory(tid, (uintptr_t)header.msg_iov, pieces, header.msg_iovlen * sizeof *pieces)) return 0;
    piece_count = (int)header.msg_iovlen;
  } else if (number == SYS_sendto || number == SYS_recvfrom || number == SYS_read) {
    pieces[0] = (struct iovec){(void *)(uintptr_t)arguments[1], arguments[2]};
    piece_count = 1;
  }
  if (limit > sizeof data) limit = sizeof data;
  struct iovec here = {data, limit};
  ssize_t got = piece_count ? process_vm_readv(tid, &here, 1, pieces, (unsigned long)piece_count, 0) : 0;
  return got < 0 ? 0 : (size_t)got;
}

static uint64_t address_of(size_t offset) {
  for (int i = 0; i < piece_count; i++) {
    if (offset < pieces[i].iov_len) return (uintptr_t)pieces[i].iov_base + offset;
    offset -= pieces[i].iov_len;
  }
  return 0;
}

// The protocol of a netlink socket; -1 if it is anything else.
static int netlink_protocol(pid_t process, int descriptor) {
  int pidfd = (int)syscall(SYS_pidfd_open, process, 0), protocol = -1, domain = 0;
  if (pidfd < 0) return -1;
  int copy = (int)syscall(SYS_pidfd_getfd, pidfd, descriptor, 0);
  close(pidfd);
  if (copy < 0) return -1;
  socklen_t size = sizeof domain;
  if (getsockopt(copy, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_NETLINK) {
    size = sizeof protocol;
    if (getsockopt(copy, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0) protocol = -1;
  }
  close(copy);
  return protocol;
}

// Finds the nth request, from 1 on, in `data`; gives how many there are, but no more than `nth`.
static int find_request(int protocol, size_t length, int nth, size_t *found) {
  int count = 0;
  struct nlmsghdr header;
  for (size_t offset = 0; offset + sizeof header <= length && count < nth; offset += NLMSG_ALIGN(header.nlmsg_len)) {
    memcpy(&header, data + offset, sizeof header);
    if (header.nlmsg_len < sizeof header) break;
    bool bracket = protocol == NETLINK_NETFILTER &&
                   (header.nlmsg_type == NFNL_MSG_BATCH_BEGIN || header.nlmsg_type == NFNL_MSG_BATCH_END);
    if (header.nlmsg_type < NLMSG_MIN_TYPE || bracket) continue;
    count++;
    *found = offset;
  }
  return count;
}

int requests(pid_t process, pid_t tid, long number, const uint64_t *arguments, uint16_t *kind) {
  if (number != SYS_sendto && number != SYS_sendmsg) return 0;
  int protocol = netlink_protocol(process, (int)arguments[0]);
  size_t length = load(tid, number, arguments, sizeof data), offset;
  if (protocol < 0 || !find_request(protocol, length, 1, &offset)) return 0;
  memcpy(kind, data + offset + offsetof(struct nlmsghdr, nlmsg_type), sizeof *kind);
  return find_request(protocol, length, 1 << 20, &offset);
}

bool refuse(pid_t process, pid_t tid, long number, const uint64_t *arguments, int nth) {
  int protocol = netlink_protocol(process, (int)arguments[0]);
  size_t offset = 0;
  if (protocol < 0) return false;
  if (find_request(protocol, load(tid, number, arguments, sizeof data), nth, &offset) != nth) return false;
  struct nlmsghdr header;
  memcpy(&header, data + offset, sizeof header);
  type = header.nlmsg_type;
  sequence = header.nlmsg_seq;
  // In a transaction of the packet filter's, all belong to one part of it.
  refused_type = protocol == NETLINK_NETFILTER ? type | 0xFF : 0xFFFE;
  type_address = address_of(offset + offsetof(struct nlmsghdr, nlmsg_type));
  return write_memory(tid, type_address, &refused_type, sizeof refused_type);
}

void restore_request(pid_t tid) { write_memory(tid, type_address, &type, sizeof type); }

bool rewrite_answer(pid_t tid, long number, const uint64_t *arguments, long length, int error) {
  if ((number != SYS_recvfrom && number != SYS_recvmsg && number != SYS_read) || length <= 0) return false;
  size_t size = load(tid, number, arguments, (size_t)length);
  struct nlmsghdr header;
  struct nlmsgerr answer;
  for (size_t offset = 0; offset + sizeof header <= size; offset += NLMSG_ALIGN(header.nlmsg_len)) {
    memcpy(&header, data + offset, sizeof header);
    if (header.nlmsg_len < sizeof header) return false;
    size_t body = offset + sizeof header;
    if (header.nlmsg_type != NLMSG_ERROR || body + sizeof answer > size) continue;
    memcpy(&answer, data + body, sizeof answer);
    if (answer.msg.nlmsg_type != refused_type || answer.msg.nlmsg_seq != sequence) continue;
    answer.error = -error;
    answer.msg.nlmsg_type = type;
    // What the kernel has to say of it is about something else.
    header.nlmsg_flags &= (uint16_t)~NLM_F_ACK_TLVS;
    if (!write_memory(tid, address_of(body), &answer, sizeof answer)) return false;
    if (!write_memory(tid, address_of(offset), &header, sizeof header)) return false;
    bool peeked = (number == SYS_recvfrom && arguments[3] & MSG_PEEK) || (number == SYS_recvmsg && arguments[2] & MSG_PEEK);
    return !peeked;
  }
  return false;
}
