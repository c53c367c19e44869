/// What Swift's importer cannot see of a daemon: waiting for many descriptors, signals, sockets of its own kind.
#ifndef CLINUX_DAEMON_H
#define CLINUX_DAEMON_H

#include <stddef.h>
#include <stdint.h>

/// `epoll_create1(2)`, close-on-exec. A descriptor, or -1 and `errno`.
int clinux_epoll_create(void);
/// Has the descriptor waited for until it is readable or its other end has hung up. 0, or -1 and `errno`.
int clinux_epoll_add(int epoll, int descriptor, uint64_t token);
/// No longer. 0, or -1 and `errno`.
int clinux_epoll_remove(int epoll, int descriptor);
/// The tokens of at most `capacity` descriptors on which something has happened; `hung_up` says of each whether the
/// other end has. Waits at most `milliseconds` (-1: for ever). Their number, 0 when interrupted, or -1 and `errno`.
int clinux_epoll_wait(int epoll, uint64_t *tokens, uint8_t *hung_up, int capacity, int milliseconds);

/// Raises the number of descriptors that the process may have open to the highest that it may set (`setrlimit(2)`).
void clinux_raise_descriptor_limit(void);

/// A descriptor that is readable from a moment of `CLOCK_BOOTTIME` on, which also passes while the machine sleeps
/// (`timerfd_create(2)`); close-on-exec. -1 and `errno`.
int clinux_timer_create(void);
/// Sets the moment; 0 and 0: never. 0, or -1 and `errno`.
int clinux_timer_set(int timer, int64_t seconds, int64_t nanoseconds);

/// Blocks `SIGTERM` and `SIGINT` for the calling thread and those it will start, and gives a descriptor that is readable
/// when one of them has come; ignores `SIGPIPE`. A descriptor, or -1 and `errno`.
int clinux_signal_descriptor(void);
/// Takes a signal from that descriptor; its number, or 0.
int clinux_signal_take(int descriptor);

/// A listening socket (`unix(7)`, stream, non-blocking, close-on-exec), its file with mode 0660. A descriptor, or -1
/// and `errno` (`ENAMETOOLONG` for more than 107 bytes).
int clinux_unix_listen(const char *path);
/// A connected socket; waits at most `milliseconds` where the other end is busy. A descriptor, or -1 and `errno`.
int clinux_unix_connect(const char *path, int milliseconds);
/// `accept4(2)`, non-blocking and close-on-exec. A descriptor, or -1 and `errno`.
int clinux_accept(int listener);
/// Sends one datagram to a socket of `unix(7)`; a leading `@` stands for the abstract namespace. 0, or -1 and `errno`.
int clinux_unix_notify(const char *path, const char *text);
/// Makes a descriptor non-blocking and close-on-exec. 0, or -1 and `errno`.
int clinux_set_nonblocking(int descriptor);

/// A socket (`packet(7)`, `SOCK_DGRAM`, non-blocking, close-on-exec) that receives on one interface what a DHCPv4 client
/// listens to: UDP to port 68, and ARP. A descriptor, or -1 and `errno`.
int clinux_dhcp_packet_socket(int interface_index);
/// Takes a packet: its length, 0 if there is none, or -1 and `errno`. Gives its EtherType, its sender's hardware address
/// (6 bytes) and whether its checksum was left to hardware that it has not met.
long clinux_dhcp_receive(int socket, void *buffer, size_t length, uint16_t *protocol, uint8_t *source,
                         uint8_t *checksum_pending);
/// A socket (UDP, non-blocking, close-on-exec) at port 68 of an address (host byte order), bound to an interface. A
/// descriptor, or -1 and `errno`.
int clinux_dhcp_udp_socket(const char *interface_name, uint32_t address);
/// Sends to port 67 of an address (host byte order). 0, or -1 and `errno`.
int clinux_dhcp_udp_send(int socket, uint32_t address, const void *payload, size_t length);

#endif
