// axe: runs a program, counts the system calls of all its processes and threads, and at exactly one of them kills the
// process, makes the call fail, or has the kernel refuse what the call asks for.
//
//   axe -l LOG -- PROGRAM ARGUMENT...                          every call to LOG, and the errors that it could give
//   axe -l LOG -p PROCESS -c NAME -n NTH -k -- PROGRAM ...          SIGKILL to that process at its Nth call of that name
//   axe -l LOG -p PROCESS -c NAME -n NTH -e ENOMEM -- PROGRAM ...   that call fails so, without having been made
//   axe ... -e refused:ENOMEM:2 -- PROGRAM ...     the kernel answers so to the second request (or else the first) that
//                                                  the call sends by netlink, and does not do it
//
// Processes are counted from 0 (the program itself) in the order in which they come up, calls from 1 over all threads of
// a process. A call that the kernel restarts is one call. Ends when the last process has, with the status of the first
// (128 + the number of a signal); with 125 and a line that begins with `axe: ` when it cannot do its work. In LOG, written
// line by line, for each call or, with -n, for the one that was hit:
//
//   PROCESS NUMBER NAME REQUESTS ERROR,ERROR,...|- WHAT
//
// REQUESTS are those that the call sends by netlink: how many, and the type of the first one, 1x12; otherwise it is a dash. With
// -r REQUESTS only calls that send such ones are counted: who waits may ask more or less often.
//
// close(2) that is to give EINTR is made all the same, as on Linux it always is.
#include "axe.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 256, PROCESSES = 256, REFUSALS = 64 };

struct process {
  pid_t pid;
  long calls, named;  // of them, those of the name that is looked for
};
struct thread {
  pid_t tid;
  struct process *process;
  bool restarting;  // the next entry is that of a call which was counted already
  bool failing;     // the call under way is the one that is to fail
  long number;      // what is under way
  uint64_t arguments[6];
};

static struct process processes[PROCESSES];
static int process_count;
static struct thread threads[THREADS];
static FILE *log_file;
static int target_process = -1;
static const char *target_requests;
static long target_call = -1, target_nth = -1;
static bool kills;
static int injected;
static int refused;        // which request of the call; 0: the call itself fails
static bool awaits_answer;  // to the request that was refused
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

static void at_exit(struct thread *thread, long result) {
  if (thread->failing) {
    thread->failing = false;
    if (refused) {
      restore_request(thread->tid);
      awaits_answer = result >= 0;
    } else {
      set_result(thread->tid, -injected);
    }
    done = !awaits_answer;
  } else if (awaits_answer && rewrite_answer(thread->tid, thread->number, thread->arguments, result, injected)) {
    awaits_answer = false;
    done = true;
  }
  // ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK
  thread->restarting = result == -512 || result == -513 || result == -514 || result == -516;
}

static int sends(const struct thread *thread, char *text, size_t size) {
  uint16_t kind = 0;
  int count = requests(thread->process->pid, thread->tid, thread->number, thread->arguments, &kind);
  if (count) snprintf(text, size, "%dx%x", count, kind);
  else snprintf(text, size, "-");
  return count;
}

static void log_call(const struct thread *thread) {
  const struct call *call = describe(thread->number);
  char text[512], kinds[4096], name[32], sent[32];
  what(thread->tid, call, thread->arguments, text, sizeof text);
  possible(call, thread->arguments, text, kinds, sizeof kinds);
  int count = sends(thread, sent, sizeof sent);
  for (int nth = 1; nth <= count && nth <= REFUSALS; nth++) {
    char kind[32];
    snprintf(kind, sizeof kind, "refused:ENOMEM:%d", nth);
    add_error(kinds, sizeof kinds, nth == 1 ? "refused:ENOMEM,refused:EPERM,refused:ENOSPC" : kind);
  }
  snprintf(name, sizeof name, "call-%ld", thread->number);
  fprintf(log_file, "%d %ld %s %s %s %s\n", (int)(thread->process - processes), thread->process->calls,
          call ? call->name : name, sent, *kinds ? kinds : "-", text);
}

static void at_call(struct thread *thread) {
  struct __ptrace_syscall_info info;
  if (ptrace(PTRACE_GET_SYSCALL_INFO, thread->tid, sizeof info, &info) < 0) return;
  if (info.op == PTRACE_SYSCALL_INFO_EXIT) at_exit(thread, (long)info.exit.rval);
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return;
  thread->number = (long)info.entry.nr;
  for (int i = 0; i < 6; i++) thread->arguments[i] = info.entry.args[i];
  if (thread->restarting) {
    thread->restarting = false;
    return;
  }
  thread->process->calls++;
  bool hit = false;
  if (thread->process - processes == target_process && thread->number == target_call) {
    char sent[32];
    if (target_requests) sends(thread, sent, sizeof sent);
    if (!target_requests || !strcmp(sent, target_requests)) hit = ++thread->process->named == target_nth;
  }
  if (!hit && target_nth >= 0) return;
  if (hit && refused && !refuse(thread->process->pid, thread->tid, thread->number, thread->arguments, refused)) {
    // It sends something else this time.
    done = true;
    return;
  }
  log_call(thread);
  if (!hit) return;
  if (kills) {
    kill(thread->process->pid, SIGKILL);
    done = true;
    return;
  }
  thread->failing = true;
  if (!refused && thread->number != SYS_close) fail_call(thread->tid);
}

// ENOMEM, refused:ENOMEM or refused:ENOMEM:2
static bool read_error(char *text) {
  if (!strncmp(text, "refused:", 8)) {
    text += 8;
    char *nth = strchr(text, ':');
    refused = nth ? atoi(nth + 1) : 1;
    if (nth) *nth = 0;
  }
  injected = error_named(text);
  return injected && refused >= 0;
}

int main(int argc, char **argv) {
  int option;
  while ((option = getopt(argc, argv, "+l:p:c:r:n:ke:")) != -1) switch (option) {
    case 'l':
      if (!(log_file = fopen(optarg, "we"))) die(optarg);
      // Whoever is killed has written down what there was.
      setvbuf(log_file, NULL, _IOLBF, 0);
      break;
    case 'p': target_process = atoi(optarg); break;
    case 'c':
      if (call_named(optarg)) target_call = call_named(optarg)->number;
      if (!strncmp(optarg, "call-", 5)) target_call = atol(optarg + 5);
      break;
    case 'r': target_requests = optarg; break;
    case 'n': target_nth = atol(optarg); break;
    case 'k': kills = true; break;
    case 'e':
      if (read_error(optarg)) break;
      // fall through
    default:
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
