/// What Swift's importer cannot see of executing plugins.
#ifndef CLINUX_EXECUTION_H
#define CLINUX_EXECUTION_H

/// `pidfd_open(2)`: a descriptor (close-on-exec) that is readable once the process has ended. -1 and `errno`
/// (`ENOSYS` before Linux 5.3).
int clinux_pidfd_open(int pid);
/// `pipe2(2)` with `O_CLOEXEC`: the reading end, then the writing end. 0, or -1 and `errno`.
int clinux_pipe(int ends[2]);
/// `eventfd(2)` at 0, close-on-exec and non-blocking. A descriptor, or -1 and `errno`.
int clinux_eventfd(void);
/// `environ(7)`.
char **clinux_environment(void);

#endif
