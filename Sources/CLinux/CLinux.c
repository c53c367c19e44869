#define _GNU_SOURCE

#include "CLinux.h"

#include <sched.h>

int clinux_setns(int fd, int nstype) { return setns(fd, nstype); }
int clinux_unshare(int flags) { return unshare(flags); }
