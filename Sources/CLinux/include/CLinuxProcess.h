/// Descriptors and processes: calls that glibc hides behind `_GNU_SOURCE`.
#ifndef CLINUX_PROCESS_H
#define CLINUX_PROCESS_H

#include <spawn.h>

/// `pipe2(2)` with `O_CLOEXEC`. 0, or -1 and `errno`.
int clinux_pipe_cloexec(int descriptors[2]);
/// `memfd_create(2)` with `MFD_CLOEXEC`. A descriptor, or -1 and `errno`.
int clinux_memfd_create(const char *name);
/// `posix_spawn_file_actions_addclosefrom_np(3)`: the child closes `from` and everything above.
int clinux_spawn_closefrom(posix_spawn_file_actions_t *actions, int from);
/// What `main` was called with, as the C runtime tells it before: finding it out later takes system calls, which may fail.
char *const *clinux_arguments(int *count);

#endif
