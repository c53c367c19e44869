// axe: runs a program, counts the system calls of all its processes and threads, and at exactly one of them kills the
// process, or makes the call fail.
//
//   axe -l LOG -- PROGRAM ARGUMENT...                          every call to LOG, and the errors that it could give
//   axe -l LOG -p PROCESS -c NAME -n NTH -k -- PROGRAM ...          SIGKILL to that process at its Nth call of that name
//   axe -l LOG -p PROCESS -c NAME -n NTH -e ENOMEM -- PROGRAM ...   that call fails so, without having been made
//
// Processes are counted from 0 (the program itself) in the order in which they come up, calls from 1 over all threads of
// a process. A call that the kernel restarts is one call. Ends when the last process has, with the status of the first
// (128 + the number of a signal). In LOG, for each call or, with -n, for the one that was hit:
//
//   PROCESS NUMBER NAME ERROR,ERROR,...|- WHAT
//
// close(2) that is to give EINTR is made all the same, as on Linux it always is.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 256, PROCESSES = 256 };
enum detail { NOTHING, PATH0, PATH1, FD0, TWO_PATHS };

// What is made of a call: its name, the errors that it can give (signal(7) and the calls' own pages; for files also
// EPERM, which immutable ones and security modules give, and for sockets ENOBUFS), and what to tell of it.
static const struct call {
  long number;
  const char *name, *errors;
  enum detail detail;
} calls[] = {
#define CALL(name, errors, detail) {SYS_##name, #name, errors, detail}
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
    CALL(fcntl, "", FD0),
    CALL(ioctl, "", FD0),
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
    CALL(brk, "ENOMEM", NOTHING),
    CALL(getrandom, "EINTR", NOTHING),
    CALL(futex, "EINTR,EAGAIN", NOTHING),
    CALL(sched_getaffinity, "", NOTHING),
    CALL(prlimit64, "EPERM", NOTHING),
    CALL(gettid, "", NOTHING),
    CALL(getpid, "", NOTHING),
    CALL(geteuid, "", NOTHING),
    CALL(getcwd, "ENOMEM", NOTHING),
    CALL(capget, "EPERM", NOTHING),
    CALL(kill, "EPERM", NOTHING),
    CALL(dup2, "EINTR", FD0),
    CALL(dup3, "EINTR", FD0),
    CALL(rt_sigaction, "", NOTHING),
    CALL(rt_sigprocmask, "", NOTHING),
    CALL(set_tid_address, "", NOTHING),
    CALL(set_robust_list, "", NOTHING),
    CALL(rseq, "", NOTHING),
    CALL(exit_group, "", NOTHING),
    CALL(exit, "", NOTHING),
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
    CALL(dup, "", FD0),
#endif
};

static const struct {
  const char *name;
  int number;
} errors[] = {{"ENOMEM", ENOMEM}, {"EINTR", EINTR},   {"ENOSPC", ENOSPC}, {"EAGAIN", EAGAIN},
              {"EPERM", EPERM},   {"ENOBUFS", ENOBUFS}};

struct process {
  pid_t pid;
  long calls, named;  // of them, those of the name that is looked for
};
struct thread {
  pid_t tid;
  struct process *process;
  bool restarting;  // the next entry is that of a call which was counted already
  bool failing;     // the call under way is the one that is to fail
};

static struct process processes[PROCESSES];
static int process_count;
static struct thread threads[THREADS];
static FILE *log_file;
static int target_process = -1;
static long target_call = -1, target_nth = -1;
static bool kills;
static int injected;
static bool done;

static void die(const char *what) {
  fprintf(stderr, "axe: %s: %s\n", what, strerror(errno));
  exit(125);
}

static pid_t thread_group(pid_t tid) {
  char path[64], line[128];
  snprintf(path, sizeof path, "/proc/%d/status", tid);
  FILE *file = fopen(path, "r");
  pid_t group = tid;
  if (!file) return tid;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "Tgid: %d", &group) == 1) break;
  fclose(file);
  return group;
}

static struct thread *known(pid_t tid) {
  struct thread *empty = NULL;
  for (int i = 0; i < THREADS; i++) {
    if (threads[i].tid == tid) return &threads[i];
    if (!threads[i].tid && !empty) empty = &threads[i];
  }
  if (!empty) die("too many threads");
  pid_t group = thread_group(tid);
  struct process *process = NULL;
  for (int i = process_count - 1; i >= 0; i--)
    if (processes[i].pid == group) {
      process = &processes[i];
      break;
    }
  if (!process) {
    if (process_count == PROCESSES) die("too many processes");
    process = &processes[process_count++];
    process->pid = group;
  }
  *empty = (struct thread){.tid = tid, .process = process};
  return empty;
}

static const struct call *describe(long number) {
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    if (calls[i].number == number) return &calls[i];
  return NULL;
}

static void read_text(pid_t tid, uint64_t address, char *text, size_t size) {
  // Up to the end of the page, behind which there may be nothing.
  size_t count = 4096 - address % 4096;
  if (count > size - 1) count = size - 1;
  struct iovec here = {text, count}, there = {(void *)(uintptr_t)address, count};
  ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);
  text[got < 0 ? 0 : got] = 0;
}

static void what(pid_t tid, const struct call *call, const uint64_t *arguments, char *text, size_t size) {
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

// The errors that this very call could give, of those that its kind can.
static void possible(const struct call *call, const uint64_t *arguments, const char *file, char *text, size_t size) {
  bool fits = false;
  *text = 0;
  if (!call) return;
#define ADD(error)                                                       \
  do {                                                                   \
    if (*text) strncat(text, ",", size - strlen(text) - 1);              \
    strncat(text, error, size - strlen(text) - 1);                       \
  } while (0)
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
    if (fits) ADD(error);
  }
  if (call->number == SYS_openat && arguments[2] & O_CREAT) ADD("ENOSPC");
#ifdef __x86_64__
  if (call->number == SYS_open && arguments[1] & O_CREAT) ADD("ENOSPC");
#endif
  if (call->number == SYS_flock && arguments[1] & 4) ADD("EAGAIN");
  if ((call->number == SYS_read || call->number == SYS_write) && !strncmp(file, "pipe:", 5)) ADD("EAGAIN");
}

static void fail_call(pid_t tid) {
#ifdef __x86_64__
  struct user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, tid, 0, &registers) < 0) return;
  registers.orig_rax = -1;
  ptrace(PTRACE_SETREGS, tid, 0, &registers);
#else
  int none = -1;
  struct iovec vector = {&none, sizeof none};
  ptrace(PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, &vector);
#endif
}

static void set_result(pid_t tid, long value) {
#ifdef __x86_64__
  struct user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, tid, 0, &registers) < 0) return;
  registers.rax = value;
  ptrace(PTRACE_SETREGS, tid, 0, &registers);
#else
  struct user_regs_struct registers;
  struct iovec vector = {&registers, sizeof registers};
  if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &vector) < 0) return;
  registers.regs[0] = value;
  ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &vector);
#endif
}

static void at_call(struct thread *thread) {
  struct __ptrace_syscall_info info;
  if (ptrace(PTRACE_GET_SYSCALL_INFO, thread->tid, sizeof info, &info) < 0) return;
  if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
    if (thread->failing) {
      set_result(thread->tid, -injected);
      thread->failing = false;
      done = true;
    }
    // ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK
    long result = info.exit.rval;
    thread->restarting = result == -512 || result == -513 || result == -514 || result == -516;
    return;
  }
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return;
  if (thread->restarting) {
    thread->restarting = false;
    return;
  }
  long number = ++thread->process->calls;
  int process = (int)(thread->process - processes);
  bool hit = process == target_process && (long)info.entry.nr == target_call && ++thread->process->named == target_nth;
  if (!hit && target_nth >= 0) return;

  const struct call *call = describe((long)info.entry.nr);
  char text[512], kinds[128], name[32];
  what(thread->tid, call, (const uint64_t *)info.entry.args, text, sizeof text);
  possible(call, (const uint64_t *)info.entry.args, text, kinds, sizeof kinds);
  snprintf(name, sizeof name, "call-%ld", (long)info.entry.nr);
  fprintf(log_file, "%d %ld %s %s %s\n", process, number, call ? call->name : name, *kinds ? kinds : "-", text);
  if (!hit) return;
  if (kills) {
    kill(thread->process->pid, SIGKILL);
    done = true;
    return;
  }
  if (info.entry.nr != SYS_close) fail_call(thread->tid);
  thread->failing = true;
}

int main(int argc, char **argv) {
  int option;
  while ((option = getopt(argc, argv, "+l:p:c:n:ke:")) != -1) switch (option) {
    case 'l':
      if (!(log_file = fopen(optarg, "we"))) die(optarg);
      break;
    case 'p': target_process = atoi(optarg); break;
    case 'c':
      for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(optarg, calls[i].name)) target_call = calls[i].number;
      if (!strncmp(optarg, "call-", 5)) target_call = atol(optarg + 5);
      break;
    case 'n': target_nth = atol(optarg); break;
    case 'k': kills = true; break;
    case 'e':
      for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (!strcmp(optarg, errors[i].name)) injected = errors[i].number;
      // fall through
    default:
      if (option == 'e' && injected) break;
      fprintf(stderr, "usage: axe -l LOG [-p PROCESS -c NAME -n NTH -k|-e ERROR] -- PROGRAM ARGUMENT...\n");
      return 125;
    }
  if (!log_file || optind >= argc || (target_nth >= 0 && (target_call < 0 || (!kills && !injected)))) {
    fprintf(stderr, "axe: what is to be done?\n");
    return 125;
  }

  pid_t first = fork();
  if (first < 0) die("fork");
  if (first == 0) {
    // The same calls each time.
    personality(ADDR_NO_RANDOMIZE);
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    execvp(argv[optind], argv + optind);
    die(argv[optind]);
  }
  int status, result = 125;
  if (waitpid(first, &status, 0) != first || !WIFSTOPPED(status)) die("waitpid");
  ptrace(PTRACE_SETOPTIONS, first, 0,
         PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
             PTRACE_O_TRACEVFORK);
  known(first);
  bool started = false;  // what comes before the program is there is ours
  ptrace(PTRACE_CONT, first, 0, 0);
  pid_t tid;
  while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
    if (tid < 0) continue;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (tid == first) result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      for (int i = 0; i < THREADS; i++)
        if (threads[i].tid == tid) threads[i].tid = 0;
      continue;
    }
    if (!WIFSTOPPED(status)) continue;
    struct thread *thread = NULL;
    for (int i = 0; i < THREADS; i++)
      if (threads[i].tid == tid) thread = &threads[i];
    bool isNew = !thread;
    if (isNew) thread = known(tid);
    int signal = WSTOPSIG(status), event = status >> 16;
    int pass = 0;
    if (signal == (SIGTRAP | 0x80)) {
      at_call(thread);
    } else if (event) {
      if (event == PTRACE_EVENT_EXEC) started = true;
    } else if (!(signal == SIGSTOP && isNew)) {
      pass = signal;
    }
    ptrace(started && (!done || thread->failing) ? PTRACE_SYSCALL : PTRACE_CONT, tid, 0, pass);
  }
  fclose(log_file);
  return result;
}
