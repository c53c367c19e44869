#include "CLinux.h"

int clinux_setns(int fd, int nstype) { return setns(fd, nstype); }
int clinux_unshare(int flags) { return unshare(flags); }
