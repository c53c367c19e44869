// What the parts of the axe know of each other.
#pragma once
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Which of a call's arguments says what it is about.
enum detail { NOTHING, PATH0, PATH1, FD0, TWO_PATHS };

struct call {
  long number;
  const char *name, *errors;
  enum detail detail;
};

// calls.c: what there are, and what they can give.
const struct call *describe(long number);
const struct call *call_named(const char *name);
int error_named(const char *name);  // 0: not one that is known
void what(pid_t tid, const struct call *call, const uint64_t *arguments, char *text, size_t size);
// The errors that this very call could give, with commas between them.
void possible(const struct call *call, const uint64_t *arguments, const char *file, char *text, size_t size);
void add_error(char *text, size_t size, const char *error);

// refusal.c: requests to netlink that the kernel is to refuse.
// How many of them a call sends, and of what kind the first one is; 0 if that is not what it does.
int requests(pid_t process, pid_t tid, long number, const uint64_t *arguments, uint16_t *kind);
bool refuse(pid_t process, pid_t tid, long number, const uint64_t *arguments, int nth);
void restore_request(pid_t tid);
// Is what has been received, `length` bytes of it, the answer to the request? Then it says this error.
bool rewrite_answer(pid_t tid, long number, const uint64_t *arguments, long length, int error);
