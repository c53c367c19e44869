#define _GNU_SOURCE

#include "CLinux.h"

#include <sched.h>
#include <string.h>

int clinux_setns(int fd, int nstype) { return setns(fd, nstype); }
int clinux_unshare(int flags) { return unshare(flags); }
const void *clinux_memmem(const void *haystack, long length, const void *needle, long needle_length) {
  return memmem(haystack, (size_t)length, needle, (size_t)needle_length);
}
