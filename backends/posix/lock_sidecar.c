/* SPDX-License-Identifier: MIT */
/* Locks elsewhere belong to processes: the oldest kind, which every Unix has. See lock_sys.h. */
#include "lock_sys.h"

#include <errno.h>
#include <fcntl.h>

const struct lock_commands ushp_sys_lock_commands = { F_SETLK, F_GETLK };
const enum lock_owner ushp_sys_lock_owner = LOCK_OF_PROCESS;

int ushp_sys_count_locks(dev_t dev, ino_t ino, struct range within, uint64_t most,
		unsigned long *count, uint64_t *places)
{
	(void)dev, (void)ino, (void)within, (void)most, (void)count, (void)places;
	return -EOPNOTSUPP;
}
