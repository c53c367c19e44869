/// What Swift's importer cannot see of the sockets of a DHCPv6 client.
#ifndef CLINUX_DHCPV6_H
#define CLINUX_DHCPV6_H

#include <stddef.h>
#include <stdint.h>

/// A socket (UDP, non-blocking, close-on-exec) at port 546 of a link-local address (16 bytes), bound to its interface,
/// whatever that is called by now. A descriptor, or -1 and `errno` (`EADDRNOTAVAIL`: the interface has not got that address, or not yet).
int clinux_dhcp6_udp_socket(int interface_index, const uint8_t *address);
/// Sends to all DHCPv6 servers and relay agents of the link, `ff02::1:2`, port 547. 0, or -1 and `errno`.
int clinux_dhcp6_udp_send(int socket, int interface_index, const void *payload, size_t length);

/// A socket (`icmp(7)` of IPv6, raw, non-blocking, close-on-exec) that receives neighbour advertisements of one interface
/// (RFC 4861). A descriptor, or -1 and `errno`.
int clinux_neighbour_socket(int interface_index);
/// Sends a neighbour solicitation for an address (16 bytes), with the interface's hardware address (6 bytes). 0, or -1 and
/// `errno`.
int clinux_neighbour_solicit(int socket, int interface_index, const uint8_t *target, const uint8_t *mac);
/// Takes an advertisement, and gives the address (16 bytes) that it is about. 1, 0 if there is none, or -1 and `errno`.
int clinux_neighbour_take(int socket, uint8_t *target);

#endif
