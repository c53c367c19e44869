// floor COUNT PIECE...: what the kernel alone takes to attach a container, and to detach it.
//
// Makes the changes to the kernel and to the disk that an attachment consists of, in as few messages as the kernel
// allows, over sockets that are open already, and does nothing else: it reads no configuration, asks for nothing that is
// there before (but for the index of a new link), checks nothing, and leaves no mark of whose a link is. The pieces:
//
//   bridge ptp macvlan host-device loopback   the interface in the container, up, with address, routes and the two
//                                             settings about its neighbours (loopback: up); of ptp also one of the
//                                             host's end
//   host-local                                the lease: a lock, a file, a note of the last address
//   elements=N                                a transaction of nf_tables with N elements of a set, commented
//   localnet                                  the setting that lets 127.0.0.1 lead to the container of ptp
//   tuning bandwidth sbr                      a setting in the container; a limit either way; a rule and three routes
//   result                                    the file in which a runtime keeps the result until DEL
//
// Detaching goes through them backwards. Prints COUNT times "ADD wall cpu" and "DEL wall cpu", in nanoseconds, after one
// pair that warms up. Makes both namespaces itself, and files in /var/lib/cni/floor only. Another container is there
// already, as far as that makes a difference: a port of the bridge that is up, and elements of the set.
#include "floor.h"

#include <sys/resource.h>
#include <time.h>

struct piece {
  const char *name;
  void (*add)(struct world *world);
  void (*remove)(struct world *world);  // NULL: it goes with the link
  int needs_bridge, needs_pair;
};

static const struct piece pieces[] = {
    {"loopback", attach_loopback, detach_loopback, 0, 0},
    {"bridge", attach_bridge, detach_link, 1, 0},
    {"ptp", attach_ptp, detach_link, 0, 0},
    {"macvlan", attach_macvlan, detach_link, 0, 1},
    {"host-device", attach_device, detach_device, 0, 1},
    {"host-local", lease, release, 0, 0},
    {"tuning", tune, untune, 0, 0},
    {"bandwidth", shape, unshape, 0, 0},
    {"sbr", route_by_source, unroute_by_source, 0, 0},
    {"localnet", open_to_loopback, NULL, 0, 0},
    {"result", remember, forget, 0, 0},
};

// Whose elements they are.
enum { resident, measured };

// One of the pieces asked for: one of the table above, or a number of elements.
struct step {
  const struct piece *piece;
  int elements;
};

static struct step parse(const char *word) {
  struct step step = {0};
  if (strncmp(word, "elements=", 9) == 0) {
    step.elements = atoi(word + 9);
    return step;
  }
  for (size_t index = 0; index < sizeof pieces / sizeof *pieces; index++) {
    if (strcmp(pieces[index].name, word) == 0) step.piece = &pieces[index];
  }
  if (step.piece == NULL) {
    fprintf(stderr, "floor: there is no piece %s\n", word);
    exit(2);
  }
  return step;
}

static void forwards(struct world *world, const struct step *step) {
  if (step->piece != NULL) step->piece->add(world);
  if (step->elements > 0) add_elements(world, step->elements, measured);
}

static void backwards(struct world *world, const struct step *step) {
  if (step->elements > 0) remove_elements(world, step->elements, measured);
  if (step->piece != NULL && step->piece->remove != NULL) step->piece->remove(world);
}

struct moment {
  long long wall, cpu;
};

static struct moment now(void) {
  struct timespec wall, cpu;
  clock_gettime(CLOCK_MONOTONIC, &wall);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  return (struct moment){wall.tv_sec * 1000000000LL + wall.tv_nsec, cpu.tv_sec * 1000000000LL + cpu.tv_nsec};
}

static void report(const char *operation, struct moment start, struct moment end) {
  printf("%s %lld %lld\n", operation, end.wall - start.wall, end.cpu - start.cpu);
}

static int this_namespace(void) {
  int descriptor = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("/proc/thread-self/ns/net");
  return descriptor;
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 0;
  int steps = argc - 2;
  struct step step[16];
  struct world world = {0};
  if (count < 1 || steps < 1 || steps > 16) {
    fprintf(stderr, "usage: floor COUNT PIECE...\n");
    return 2;
  }
  for (int index = 0; index < steps; index++) step[index] = parse(argv[index + 2]);

  if (unshare(CLONE_NEWNET) != 0) fail("unshare (this needs root)");
  world.inside = netlink_socket(NETLINK_ROUTE);
  world.container = this_namespace();
  if (unshare(CLONE_NEWNET) != 0) fail("unshare");
  world.host = netlink_socket(NETLINK_ROUTE);
  world.outside = this_namespace();
  world.netfilter = netlink_socket(NETLINK_NETFILTER);
  make_directories();
  int sets = 0;
  for (int index = 0; index < steps; index++) {
    if (step[index].elements > 0 && sets++ == 0) make_set(&world);
    if (step[index].elements > 0) add_elements(&world, step[index].elements, resident);
    if (step[index].piece != NULL && step[index].piece->needs_bridge) {
      world.bridge = make_bridge(world.host);
      make_port(&world);
    }
    if (step[index].piece != NULL && step[index].piece->needs_pair) make_pair(&world);
  }

  // The first pair finds cold caches.
  for (int done = -1; done < count; done++) {
    struct moment start = now();
    for (int index = 0; index < steps; index++) forwards(&world, &step[index]);
    struct moment attached = now();
    for (int index = steps - 1; index >= 0; index--) backwards(&world, &step[index]);
    struct moment detached = now();
    if (done >= 0) {
      report("ADD", start, attached);
      report("DEL", attached, detached);
    }
    // The kernel goes on freeing what was deleted, and holds up who comes next: that is no part of an ADD.
    usleep(50000);
  }
  return 0;
}
