/// What Swift's importer cannot see of watching files.
#ifndef CLINUX_FILES_H
#define CLINUX_FILES_H

/// Whether somebody, this process included, has the file of `fd` (opened for reading only) open for writing, or mapped
/// for it: 1 or 0. -1 and `errno` where that cannot be found out (a file system without leases, somebody else's file).
///
/// Asks for a read lease, which `fcntl(2)` grants only where there is no writer, and gives it back at once.
int clinux_has_writer(int fd);

/// `inotify_init1(2)`, non-blocking and close-on-exec. A descriptor, or -1 and `errno`.
int clinux_inotify_create(void);

#endif
