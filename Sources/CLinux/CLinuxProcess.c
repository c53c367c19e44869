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

static int argument_count;
static char *const *argument_values;

// glibc hands them to everything in .init_array, in a static program, too.
__attribute__((constructor)) static void keep_arguments(int count, char *const *values) {
  argument_count = count;
  argument_values = values;
}

char *const *clinux_arguments(int *count) {
  *count = argument_count;
  return argument_values;
}
