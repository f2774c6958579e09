/* SPDX-License-Identifier: MIT */
/*
 * What libunishm has for libunishm-sysv: the four calls of System V shared memory, on the POSIX
 * backend, with the errors and results that Linux gives. For that library of the same version
 * alone: nothing here is a promise to programs.
 */
#ifndef UNISHM_CORE_SHIM_H
#define UNISHM_CORE_SHIM_H

#include <sys/types.h>

#include "unishm.h"

/* How a program has struct shmid_ds: with times of 32 bits, or of 64. */
struct unishm_shim_owner {
	uid_t user;
	gid_t group;
	mode_t mode;
};
struct unishm_shim_layout {
	size_t size;
	void (*fill)(void *buffer, const struct unishm_status *st);
	void (*read)(const void *buffer, struct unishm_shim_owner *owner);
};

UNISHM_API int unishm_shim_get(key_t key, size_t size, int flags);
UNISHM_API void *unishm_shim_at(int id, const void *where, int flags);
UNISHM_API int unishm_shim_dt(const void *addr);
UNISHM_API int unishm_shim_ctl(int id, int command, void *buffer,
		const struct unishm_shim_layout *layout);

#endif
