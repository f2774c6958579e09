/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of the library, in a process whose program may close any of them and
 * get their numbers for files of its own. Device and inode tell another file; the owner
 * that is noted here tells another handle of the same object. Both are asked before a
 * descriptor is used or closed.
 */
#ifndef UNISHM_POSIX_DESCRIPTOR_H
#define UNISHM_POSIX_DESCRIPTOR_H

#include <stdbool.h>
#include <sys/stat.h>

/* What open() returned: -errno, or the descriptor, moved away from the standard streams
 * (a program may have closed those, and would print into shared memory), without owner. */
int ushp_fd_keep(int fd);

/* Note that @owner has @fd now. -EMFILE: its number is beyond what can be noted; it is
 * not closed. */
int ushp_fd_own(int fd, const void *owner);

/* How many descriptors of the library were found closed by the program. */
unsigned ushp_fd_losses(void);

bool ushp_fd_owned(int fd, const void *owner);

/* The next one after @fd that @owner has; -1. Begin with -1. */
int ushp_fd_next(int fd, const void *owner);

/* Does @fd belong to @owner and lead to the file @dev, @ino? Fills in @st if so. 0,
 * -EBADF if not, or what fstat() says. */
int ushp_fd_check(int fd, const void *owner, dev_t dev, ino_t ino, struct stat *st);

#endif
