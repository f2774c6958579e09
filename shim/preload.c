/* SPDX-License-Identifier: MIT */
/*
 * libunishm-sysv: what programs call instead of the C library's functions of the same names.
 *
 * On 32-bit systems with glibc a program has times of 32 or of 64 bits, and calls one of two
 * functions accordingly: there this file is compiled once for each.
 */
#include <string.h>
#include <sys/shm.h>

#include "../core/shim.h"

static void fill(void *buffer, const struct unishm_status *st)
{
	struct shmid_ds *ds = buffer;
	memset(ds, 0, sizeof *ds);
	ds->shm_perm.__key = st->key;
	ds->shm_perm.uid = st->owner_user;
	ds->shm_perm.gid = st->owner_group;
	ds->shm_perm.cuid = st->creator_user;
	ds->shm_perm.cgid = st->creator_group;
	ds->shm_perm.mode = (unsigned short)(st->mode | (st->removed ? SHM_DEST : 0) |
			(st->locked ? SHM_LOCKED : 0));
	ds->shm_perm.__seq = (unsigned short)(st->id >> 15);
	ds->shm_segsz = st->size;
	ds->shm_atime = (time_t)st->last_attach_time;
	ds->shm_dtime = (time_t)st->last_detach_time;
	ds->shm_ctime = (time_t)st->last_change_time;
	ds->shm_cpid = st->creator_process;
	ds->shm_lpid = st->last_op_process;
	ds->shm_nattch = st->number_attached;
}

static void read_owner(const void *buffer, struct unishm_shim_owner *owner)
{
	const struct shmid_ds *ds = buffer;
	owner->user = ds->shm_perm.uid;
	owner->group = ds->shm_perm.gid;
	owner->mode = ds->shm_perm.mode;
}

UNISHM_API int shmctl(int id, int command, struct shmid_ds *buffer)
{
	static const struct unishm_shim_layout layout = { sizeof *buffer, fill, read_owner };
	return unishm_shim_ctl(id, command, buffer, &layout);
}

#ifndef SHIM_SECOND_TIME
UNISHM_API int shmget(key_t key, size_t size, int flags)
{
	return unishm_shim_get(key, size, flags);
}

UNISHM_API void *shmat(int id, const void *where, int flags)
{
	return unishm_shim_at(id, where, flags);
}

UNISHM_API int shmdt(const void *addr)
{
	return unishm_shim_dt(addr);
}
#endif
