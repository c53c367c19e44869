// spawn [-i FILE] [-o FILE] COMMAND [ARGUMENT...]
//
// Starts a command and prints on one line: the nanoseconds from the call of posix_spawn until the command has been
// reaped, the nanoseconds of processor time of it and of the children it waited for, their peak resident set in KiB (of
// the largest one), and its exit status, or 128 plus the signal that ended it. The driver's own noise stays outside of
// the figure. FILE becomes standard input, and output; otherwise both are /dev/null. Link it statically: a parent's
// memory counts until the child's exec.
//
// Under any other name it stands in for a plugin: it runs the file of that name in the directory `real` beside it, with
// the standard streams it has, and appends a line to the file `usage` beside it: the name, the peak in KiB as above, and
// how much of the memory that it has at its end is not the executable's or any other file's, for which the process is
// traced.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
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

static long long nanoseconds(struct timeval time) { return time.tv_sec * 1000000000LL + time.tv_usec * 1000LL; }

// Runs the command; writes the line to `line`. Gives the exit status, or -1 if there is none.
static int run(char **arguments, const posix_spawn_file_actions_t *actions, char *line, size_t size) {
  pid_t child;
  int status;
  struct rusage usage;
  long long start = now();
  int error = posix_spawn(&child, arguments[0], actions, NULL, arguments, environ);
  if (error != 0) {
    fprintf(stderr, "spawn: %s: %s\n", arguments[0], strerror(error));
    return -1;
  }
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) return -1;
  }
  long long end = now();
  int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  snprintf(line, size, "%lld %lld %ld %d\n", end - start, nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime),
           usage.ru_maxrss, code);
  return code;
}

// The anonymous memory of a process, in KiB (proc(5), `status`).
static long anonymous(pid_t process) {
  char path[40], line[200];
  long value = 0;
  snprintf(path, sizeof path, "/proc/%d/status", process);
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "RssAnon: %ld", &value) == 1) break;
  }
  fclose(file);
  return value;
}

static int run_traced(char **arguments, const char *name, const char *usage_file) {
  struct rusage usage;
  int status;
  long own = 0;
  pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0) execve(arguments[0], arguments, environ);
    _exit(127);
  }
  if (child < 0) return -1;
  for (int stops = 0;; stops++) {
    if (wait4(child, &status, __WALL, &usage) < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (!WIFSTOPPED(status)) break;
    int signal = WSTOPSIG(status);
    if (stops == 0) {  // it has been executed
      ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
      signal = 0;
    } else if (status >> 16 == PTRACE_EVENT_EXIT) {
      own = anonymous(child);
      signal = 0;
    }
    ptrace(PTRACE_CONT, child, 0, signal);
  }
  char text[400];
  int length = snprintf(text, sizeof text, "%s %ld %ld\n", name, usage.ru_maxrss, own);
  int file = open(usage_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || write(file, text, length) != length) return -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int stand_in(const char *name, char **arguments) {
  char directory[PATH_MAX], real[PATH_MAX + 300], usage[PATH_MAX + 300];
  ssize_t length = readlink("/proc/self/exe", directory, sizeof directory - 1);
  if (length < 0) return 1;
  directory[length] = 0;
  *strrchr(directory, '/') = 0;
  snprintf(real, sizeof real, "%s/real/%s", directory, name);
  snprintf(usage, sizeof usage, "%s/usage", directory);
  arguments[0] = real;
  int code = run_traced(arguments, name, usage);
  return code < 0 ? 1 : code;
}

int main(int argc, char **argv) {
  const char *input = "/dev/null", *output = "/dev/null";
  const char *slash = strrchr(argv[0], '/');
  const char *name = slash == NULL ? argv[0] : slash + 1;
  int option;
  if (strcmp(name, "spawn") != 0) return stand_in(name, argv);
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
  char line[100];
  if (run(argv + optind, &actions, line, sizeof line) < 0) return 1;
  fputs(line, stdout);
  return 0;
}
