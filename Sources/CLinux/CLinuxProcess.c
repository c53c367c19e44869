#define _GNU_SOURCE
#include "CLinuxProcess.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int clinux_pipe_cloexec(int descriptors[2]) { return pipe2(descriptors, O_CLOEXEC); }
int clinux_memfd_create(const char *name) { return memfd_create(name, MFD_CLOEXEC); }
int clinux_spawn_closefrom(posix_spawn_file_actions_t *actions, int from) {
  return posix_spawn_file_actions_addclosefrom_np(actions, from);
}
