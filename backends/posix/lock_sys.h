/* SPDX-License-Identifier: MIT */
/* What differs between systems about locks: lock_linux.c or lock_sidecar.c. */
#ifndef UNISHM_POSIX_LOCK_SYS_H
#define UNISHM_POSIX_LOCK_SYS_H

#include "range_lock.h"

/* The commands of fcntl() for locks of descriptions, or, where there are none, of processes. */
struct lock_commands {
	int set, find;
};
extern const struct lock_commands ushp_sys_lock_commands;

/* The owner of the locks that hold attachments. */
extern const enum lock_owner ushp_sys_lock_owner;

/* Shared locks of at most @most bytes in @within on the file @dev, @ino, from the kernel's list of
 * all locks: how many bytes they have, and the sum of where they begin. The list also has locks
 * that a wider lock hides from F_GETLK. -EOPNOTSUPP: there is no such list; -EAGAIN: it changes all
 * the time. */
int ushp_sys_count_locks(dev_t dev, ino_t ino, struct range within, uint64_t most,
		unsigned long *count, uint64_t *places);

#endif
