// Files that outlive an ADD: the lease of host-local, and what a runtime must remember until DEL.
#include "floor.h"

#include <sys/file.h>
#include <sys/stat.h>

static const char *const base = "/var/lib/cni/floor";
static const char *const lease_file = "10.22.0.2", *const result_file = "result-eth0";
static const char *const owner = "cnitool-0123456789abcdef0123\r\neth0";

void make_directories(void) {
  mkdir("/var/lib/cni", 0755);
  if (mkdir(base, 0755) != 0 && errno != EEXIST) fail(base);
  if (chdir(base) != 0) fail(base);
  // Of a run that was killed.
  unlink(lease_file);
  unlink(result_file);
}

static void write_file(const char *name, const char *content, size_t length, int flags) {
  int file = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
  if (file < 0 || write(file, content, length) != (ssize_t)length) fail(name);
  close(file);
}

static int lock(void) {
  int file = open("lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || flock(file, LOCK_EX) != 0) fail("lock");
  return file;
}

void lease(struct world *world) {
  (void)world;
  int held = lock();
  write_file(lease_file, owner, strlen(owner), O_EXCL);
  write_file("last_reserved_ip.0", lease_file, strlen(lease_file), 0);
  close(held);
}

void release(struct world *world) {
  (void)world;
  int held = lock();
  if (unlink(lease_file) != 0) fail(lease_file);
  close(held);
}

void remember(struct world *world) {
  (void)world;
  static const char result[1000] = "{";
  write_file(result_file, result, sizeof result, O_EXCL);
}

void forget(struct world *world) {
  (void)world;
  if (unlink(result_file) != 0) fail(result_file);
}
