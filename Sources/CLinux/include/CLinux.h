/// What Swift's importer cannot see of Linux: namespace calls (`_GNU_SOURCE`), message headers of
/// netlink, ioctl numbers and structures that glibc hides.
#ifndef CLINUX_H
#define CLINUX_H

// No _GNU_SOURCE here: it changes the layout of types that Swift's own Glibc module has imported without it, and the two
// modules then contradict each other. The .c files define it.
#include <stdint.h>

#include "CLinuxDHCPv6.h"
#include "CLinuxDaemon.h"
#include "CLinuxExecution.h"
#include "CLinuxFiles.h"
#include "CLinuxNetworking.h"

#include "CLinuxProcess.h"

/// `setns(2)`: moves the calling thread into the namespace that `fd` refers to. 0, or -1 and `errno`.
int clinux_setns(int fd, int nstype);
/// `unshare(2)` for the calling thread. 0, or -1 and `errno`.
int clinux_unshare(int flags);

/// `memmem(3)`: where `needle` begins in `haystack`, or NULL.
const void *clinux_memmem(const void *haystack, long length, const void *needle, long needle_length);

#define CLINUX_CLONE_NEWNET 0x40000000
#define CLINUX_CLONE_NEWNS 0x00020000

#endif
