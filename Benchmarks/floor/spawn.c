// spawn [-i FILE] [-o FILE] COMMAND [ARGUMENT...]
//
// Starts a command and prints on one line: the nanoseconds from the call of posix_spawn until the command has been
// reaped, its peak resident set in KiB (of itself and of the children it waited for), and its exit status, or 128 plus
// the signal that ended it. The driver's own noise stays outside of the figure. FILE becomes standard input, and
// output; otherwise both are /dev/null. Link it statically: a parent's memory counts until the child's exec.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv) {
  const char *input = "/dev/null", *output = "/dev/null";
  int option;
  while ((option = getopt(argc, argv, "+i:o:")) != -1) {
    if (option == 'i') {
      input = optarg;
    } else if (option == 'o') {
      output = optarg;
    } else {
      return 2;
    }
  }
  if (optind >= argc) {
    fprintf(stderr, "usage: spawn [-i FILE] [-o FILE] COMMAND [ARGUMENT...]\n");
    return 2;
  }

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0600);

  pid_t child;
  int status;
  struct rusage usage;
  long long start = now();
  int error = posix_spawn(&child, argv[optind], &actions, NULL, argv + optind, environ);
  if (error != 0) {
    fprintf(stderr, "spawn: %s: %s\n", argv[optind], strerror(error));
    return 1;
  }
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) return 1;
  }
  long long end = now();
  int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  printf("%lld %ld %d\n", end - start, usage.ru_maxrss, code);
  return 0;
}
