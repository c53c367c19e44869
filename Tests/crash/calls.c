// The system calls that the axe knows, and the errors that they can give.
#include "axe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// What is made of a call: its name, the errors that it can give (signal(7) and the calls' own pages; for files also
// EPERM, which immutable ones and security modules give, and for sockets ENOBUFS), and what to tell of it.
static const struct call calls[] = {
#define CALL(name, errors, detail) {SYS_##name, #name, errors, detail}
// One that does not fail when it is called as it is here: it only asks for a number, ends something, or sets what is this
// process's own, from memory that it has. Descriptors are not short.
#define SURE(name, detail) {SYS_##name, #name, "", detail}
    CALL(openat, "ENOMEM,EINTR,EPERM", PATH1),
    CALL(read, "EINTR,ENOMEM,EPERM", FD0),
    CALL(pread64, "EINTR,ENOMEM", FD0),
    CALL(write, "EINTR,ENOMEM,ENOSPC,EPERM", FD0),
    CALL(pwrite64, "EINTR,ENOMEM,ENOSPC,EPERM", FD0),
    CALL(writev, "EINTR,ENOMEM,ENOSPC,EPERM", FD0),
    CALL(close, "EINTR", FD0),
    CALL(newfstatat, "ENOMEM", PATH1),
    CALL(fstat, "ENOMEM", FD0),
    CALL(statx, "ENOMEM", PATH1),
    CALL(faccessat, "ENOMEM,EPERM", PATH1),
    CALL(faccessat2, "ENOMEM,EPERM", PATH1),
    CALL(readlinkat, "ENOMEM", PATH1),
    CALL(getdents64, "ENOMEM,EINTR", FD0),
    CALL(mkdirat, "ENOMEM,ENOSPC,EPERM", PATH1),
    CALL(unlinkat, "ENOMEM,EPERM", PATH1),
    CALL(renameat2, "ENOMEM,ENOSPC,EPERM", TWO_PATHS),
    CALL(linkat, "ENOMEM,ENOSPC,EPERM", TWO_PATHS),
    CALL(symlinkat, "ENOMEM,ENOSPC,EPERM", PATH0),
    CALL(utimensat, "ENOMEM,EPERM", PATH1),
    CALL(fsync, "EINTR,ENOSPC", FD0),
    CALL(fallocate, "EINTR,ENOSPC,EPERM", FD0),
    CALL(ftruncate, "EINTR,EPERM", FD0),
    CALL(flock, "EINTR,ENOMEM", FD0),
    SURE(fcntl, FD0),
    CALL(ioctl, "ENOMEM,EPERM", FD0),
    CALL(socket, "ENOMEM,EPERM", NOTHING),
    CALL(socketpair, "ENOMEM", NOTHING),
    CALL(bind, "ENOMEM,EPERM", FD0),
    CALL(connect, "EINTR,EAGAIN,EPERM", FD0),
    CALL(getsockname, "ENOMEM", FD0),
    CALL(getsockopt, "ENOMEM", FD0),
    CALL(setsockopt, "ENOMEM,EPERM", FD0),
    CALL(sendto, "ENOMEM,EINTR,EAGAIN,EPERM,ENOBUFS", FD0),
    CALL(sendmsg, "ENOMEM,EINTR,EAGAIN,EPERM,ENOBUFS", FD0),
    CALL(recvfrom, "ENOMEM,EINTR,EAGAIN,EPERM,ENOBUFS", FD0),
    CALL(recvmsg, "ENOMEM,EINTR,EAGAIN,EPERM,ENOBUFS", FD0),
    CALL(setns, "ENOMEM,EPERM", NOTHING),
    CALL(unshare, "ENOMEM,ENOSPC,EPERM", NOTHING),
    CALL(mount, "ENOMEM,EPERM", PATH1),
    CALL(umount2, "ENOMEM,EAGAIN,EPERM", PATH0),
    CALL(pipe2, "ENOMEM", NOTHING),
    CALL(eventfd2, "ENOMEM", NOTHING),
    CALL(ppoll, "ENOMEM,EINTR", NOTHING),
    CALL(clock_nanosleep, "EINTR", NOTHING),
    CALL(wait4, "EINTR", NOTHING),
    CALL(waitid, "EINTR", NOTHING),
    CALL(pidfd_open, "ENOMEM", NOTHING),
    CALL(clone, "ENOMEM,EAGAIN,EPERM", NOTHING),
    CALL(clone3, "ENOMEM,EAGAIN,EPERM", NOTHING),
    CALL(execve, "ENOMEM,EAGAIN,EPERM", PATH0),
    CALL(mmap, "ENOMEM", NOTHING),
    CALL(mprotect, "ENOMEM", NOTHING),
    CALL(madvise, "ENOMEM", NOTHING),
    CALL(munmap, "ENOMEM", NOTHING),
    CALL(mremap, "ENOMEM", NOTHING),
    CALL(brk, "ENOMEM", NOTHING),
    CALL(getrandom, "EINTR", NOTHING),
    CALL(futex, "EINTR,EAGAIN", NOTHING),
    SURE(sched_getaffinity, NOTHING),
    CALL(prlimit64, "EPERM", NOTHING),
    SURE(gettid, NOTHING),
    SURE(getpid, NOTHING),
    SURE(geteuid, NOTHING),
    CALL(getcwd, "ENOMEM", NOTHING),
    CALL(capget, "EPERM", NOTHING),
    CALL(kill, "EPERM", NOTHING),
    CALL(dup2, "EINTR", FD0),
    CALL(dup3, "EINTR", FD0),
    SURE(rt_sigaction, NOTHING),
    SURE(rt_sigprocmask, NOTHING),
    SURE(set_tid_address, NOTHING),
    SURE(set_robust_list, NOTHING),
    SURE(rseq, NOTHING),
    SURE(exit_group, NOTHING),
    SURE(exit, NOTHING),
#ifdef __x86_64__
    CALL(open, "ENOMEM,EINTR,EPERM", PATH0),
    CALL(stat, "ENOMEM", PATH0),
    CALL(lstat, "ENOMEM", PATH0),
    CALL(access, "ENOMEM,EPERM", PATH0),
    CALL(readlink, "ENOMEM", PATH0),
    CALL(mkdir, "ENOMEM,ENOSPC,EPERM", PATH0),
    CALL(rmdir, "ENOMEM,EPERM", PATH0),
    CALL(unlink, "ENOMEM,EPERM", PATH0),
    CALL(rename, "ENOMEM,ENOSPC,EPERM", PATH0),
    CALL(link, "ENOMEM,ENOSPC,EPERM", PATH0),
    CALL(symlink, "ENOMEM,ENOSPC,EPERM", PATH0),
    CALL(poll, "ENOMEM,EINTR", NOTHING),
    CALL(vfork, "ENOMEM,EAGAIN,EPERM", NOTHING),
    CALL(fork, "ENOMEM,EAGAIN,EPERM", NOTHING),
    CALL(arch_prctl, "EPERM", NOTHING),
    SURE(dup, FD0),
#endif
};

static const struct {
  const char *name;
  int number;
} errors[] = {{"ENOMEM", ENOMEM}, {"EINTR", EINTR},   {"ENOSPC", ENOSPC}, {"EAGAIN", EAGAIN},
              {"EPERM", EPERM},   {"ENOBUFS", ENOBUFS}};

const struct call *describe(long number) {
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    if (calls[i].number == number) return &calls[i];
  return NULL;
}

const struct call *call_named(const char *name) {
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    if (!strcmp(name, calls[i].name)) return &calls[i];
  return NULL;
}

int error_named(const char *name) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (!strcmp(name, errors[i].name)) return errors[i].number;
  return 0;
}

static void read_text(pid_t tid, uint64_t address, char *text, size_t size) {
  // Up to the end of the page, behind which there may be nothing.
  size_t count = 4096 - address % 4096;
  if (count > size - 1) count = size - 1;
  struct iovec here = {text, count}, there = {(void *)(uintptr_t)address, count};
  ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);
  text[got < 0 ? 0 : got] = 0;
}

void what(pid_t tid, const struct call *call, const uint64_t *arguments, char *text, size_t size) {
  char path[64];
  ssize_t length;
  *text = 0;
  switch (call ? call->detail : NOTHING) {
  case NOTHING: break;
  case PATH0: read_text(tid, arguments[0], text, size); break;
  case PATH1: read_text(tid, arguments[1], text, size); break;
  case TWO_PATHS: read_text(tid, arguments[3], text, size); break;
  case FD0:
    snprintf(path, sizeof path, "/proc/%d/fd/%d", tid, (int)arguments[0]);
    length = readlink(path, text, size - 1);
    text[length < 0 ? 0 : length] = 0;
  }
  for (char *c = text; *c; c++)
    if (*c == '\n') *c = ' ';
}

void add_error(char *text, size_t size, const char *error) {
  if (*text) strncat(text, ",", size - strlen(text) - 1);
  strncat(text, error, size - strlen(text) - 1);
}

static bool makes_file(uint64_t flags) { return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE; }

void possible(const struct call *call, const uint64_t *arguments, const char *file, char *text, size_t size) {
  bool fits = false;
  *text = 0;
  if (!call) return;
  char copy[128];
  snprintf(copy, sizeof copy, "%s", call->errors);
  for (char *error = strtok(copy, ","); error; error = strtok(NULL, ",")) {
    fits = true;
    if (call->number == SYS_futex) {
      int operation = (int)arguments[1] & FUTEX_CMD_MASK;
      fits = operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET;
    }
    // Only what is waited for can be interrupted; the kernel's own files fail as they are asked.
    if (call->number == SYS_getrandom) fits = !(arguments[2] & GRND_NONBLOCK) && arguments[1] > 256;
    // What kind of namespace a file is, and whether it is a terminal, can be asked of each.
    if (call->number == SYS_ioctl) fits = arguments[1] != NS_GET_NSTYPE && arguments[1] != TCGETS;
    if (fits) add_error(text, size, error);
  }
  if (call->number == SYS_openat && makes_file(arguments[2])) add_error(text, size, "ENOSPC");
#ifdef __x86_64__
  if (call->number == SYS_open && makes_file(arguments[1])) add_error(text, size, "ENOSPC");
#endif
  if (call->number == SYS_flock && arguments[1] & LOCK_NB) add_error(text, size, "EAGAIN");
  if ((call->number == SYS_read || call->number == SYS_write) && !strncmp(file, "pipe:", 5)) add_error(text, size, "EAGAIN");
}

