// What the pieces of `floor` share: requests to netlink, and the two namespaces.
#ifndef FLOOR_H
#define FLOOR_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { create = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, change = NLM_F_REQUEST | NLM_F_ACK };

// The host and the container: a namespace and a route socket of each, opened once.
struct world {
  int host, inside;                // route sockets
  int outside, container;          // namespaces
  int netfilter;                   // a socket on the host
  int bridge, device;              // indices of links that are there before
  int host_link, container_link;   // of links that an ADD made; 0 where it made none
};

// Several requests, one after another, as they travel in one sendmsg.
struct batch {
  char bytes[16384];
  size_t length;
  size_t request;  // where the request that is being written begins
  int requests;
};

_Noreturn void fail(const char *what);
int netlink_socket(int protocol);

void begin(struct batch *batch, uint16_t type, uint16_t flags, const void *fixed, size_t length);
void append(struct batch *batch, const void *data, size_t length);
void attribute(struct batch *batch, uint16_t type, const void *data, size_t length);
void text(struct batch *batch, uint16_t type, const char *value);
void number(struct batch *batch, uint16_t type, uint32_t value);
size_t open_attribute(struct batch *batch, uint16_t type);
void close_attribute(struct batch *batch, size_t place);

// Sends the batch, and reads until every request has been answered. Returns the index of the last link reported.
int perform(int descriptor, struct batch *batch, const char *what);
int other_end_of_last_link(void);

// links.c
int make_bridge(int host);
void make_port(struct world *world);
void make_pair(struct world *world);
void attach_loopback(struct world *world), detach_loopback(struct world *world);
void attach_bridge(struct world *world), attach_ptp(struct world *world), attach_macvlan(struct world *world);
void open_to_loopback(struct world *world);
void detach_link(struct world *world);
void attach_device(struct world *world), detach_device(struct world *world);

// chained.c
void shape(struct world *world), unshape(struct world *world);
void route_by_source(struct world *world), unroute_by_source(struct world *world);
void tune(struct world *world), untune(struct world *world);
void write_settings(const char *const *paths, const char *const *values, int count);
void write_in_container(struct world *world, const char *const *paths, const char *const *values, int count);

// filter.c
void make_set(struct world *world);
void add_elements(struct world *world, int count, uint32_t owner);
void remove_elements(struct world *world, int count, uint32_t owner);

// files.c
void make_directories(void);
void lease(struct world *world), release(struct world *world);
void remember(struct world *world), forget(struct world *world);
#endif
