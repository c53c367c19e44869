/// What Swift's importer cannot see of namespaces, state files and packet sockets.
#ifndef CLINUX_NETWORKING_H
#define CLINUX_NETWORKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// `NS_GET_NSTYPE` of `ioctl_nsfs(2)`: the `CLONE_NEW…` constant of the namespace that `fd` refers to.
/// -1 and `errno` (`ENOTTY` if `fd` is something else).
int clinux_namespace_type(int fd);
/// `gettid(2)`: the calling thread.
int clinux_thread_id(void);

/// `renameat2(2)` with `RENAME_NOREPLACE`. 0, or -1 and `errno` (`EEXIST`; `EINVAL` where the file system
/// cannot do it).
int clinux_rename_noreplace(const char *from, const char *to);
/// `renameat2(2)` with `RENAME_EXCHANGE`: both must be there. 0, or -1 and `errno`.
int clinux_rename_exchange(const char *a, const char *b);

/// `openat(2)` with `O_TMPFILE`: a file without a name, open for writing and close-on-exec, that ends with its descriptor
/// unless it is given one. -1 and `errno` (`EOPNOTSUPP`, `EISDIR`, `EINVAL` where the file system cannot do it).
int clinux_open_nameless(int directory, const char *path, unsigned mode);
/// `linkat(2)`: gives such a file its name. 0, or -1 and `errno` (`EEXIST` if there is something of that name).
int clinux_give_name(int fd, int directory, const char *path);

/// The effective capabilities of the calling thread (`capget(2)`), bit n for capability n. 0, or -1 and `errno`.
int clinux_effective_capabilities(uint64_t *set);

/// Closes `fd` without waiting for what the kernel does at the last close of its file: a thread of the kernel's does it.
///
/// The file is put into the queue of a socket that then nobody has any more, but for that very queue; the kernel's garbage
/// collection of `unix(7)` finds it, which since Linux 6.10 has a thread of its own. Before, it runs in the call, which
/// then waits as `close(2)` would. Whatever goes wrong, the descriptor is closed.
void clinux_close_without_waiting(int fd);
/// Whether what the calling thread closes so from now on stays open until this is said to be no longer so (or there are too
/// many), and then is left in a queue until some socket of `unix(7)` is closed by anybody on this machine. Returns what held
/// before.
bool clinux_postpone_closing(bool postponed);
/// Starts the collection of what has been left so; where closing is postponed, when that ends.
void clinux_catch_up_on_closing(void);

/// The symbol of an error number (`"ENOENT"`), or NULL.
const char *clinux_errno_name(int number);

/// A socket (`packet(7)`, `SOCK_DGRAM`, close-on-exec) that sends frames and receives none.
/// A descriptor, or -1 and `errno`.
int clinux_packet_socket(void);
/// Sends `payload` as one frame: EtherType `protocol` (host byte order), to the hardware address
/// `destination` (6 bytes), from the interface. 0, or -1 and `errno`.
int clinux_send_frame(int socket, int interface_index, uint16_t protocol, const uint8_t *destination,
                      const void *payload, size_t length);

/// `TUNSETIFF` of `linux/if_tun.h`: makes the TAP device `name` in the calling thread's network namespace, and only if
/// nothing there has that name. Frames have no header before them but `struct virtio_net_hdr`. 0, or -1 and `errno`
/// (`EBUSY` if the name is taken).
int clinux_tap_create(int fd, const char *name, int multi_queue);
/// `TUNSETOWNER`. 0, or -1 and `errno`.
int clinux_tun_set_owner(int fd, uint32_t user);
/// `TUNSETGROUP`. 0, or -1 and `errno`.
int clinux_tun_set_group(int fd, uint32_t group);
/// `TUNSETPERSIST`: the device stays when `fd` is closed. 0, or -1 and `errno`.
int clinux_tun_set_persistent(int fd);

#endif
