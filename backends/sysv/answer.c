/* SPDX-License-Identifier: MIT */
/* What the answers of the System V calls mean. */
#include <errno.h>

#include "sysv.h"

int ushv_set(int id, struct shmid_ds *ds)
{
	struct shmid_ds now;
	int rc = unishm_sys.shmctl(id, IPC_SET, ds) < 0 ? -errno : 0;
	if (rc != -EINVAL)
		return rc;
	if (ushv_stat_any(id, &now) == -EIDRM)
		return -EIDRM;
	return unishm_because(rc, "this user namespace maps no such user or group; choose another");
}

/* What shmat means by EAGAIN. */
int ushv_because_memory_is_locked(size_t size)
{
	return unishm_because(-ENOMEM,
			"this process locks all of its memory (mlockall), "
			"and RLIMIT_MEMLOCK leaves no room for %zu bytes; raise it (ulimit -l)",
			size);
}

void ushv_translate(struct unishm_status *st, int id, const struct shmid_ds *ds, key_t opened_by)
{
	st->id = id;
	st->backend = "sysv";
	st->removed = ushv_is_removed(ds, opened_by);
	st->key = st->removed ? UNISHM_PRIVATE : ushv_key_of(ds);
	st->size = (size_t)ds->shm_segsz;
	st->mode = ds->shm_perm.mode & 0777; /* systems keep flags beside them */
	st->number_attached = (unsigned long)ds->shm_nattch;
	st->creator_process = ds->shm_cpid;
	st->last_op_process = ds->shm_lpid;
	st->last_attach_time = ds->shm_atime;
	st->last_detach_time = ds->shm_dtime;
	st->last_change_time = ds->shm_ctime;
	st->creator_user = ds->shm_perm.cuid;
	st->creator_group = ds->shm_perm.cgid;
	st->owner_user = ds->shm_perm.uid;
	st->owner_group = ds->shm_perm.gid;
	st->locked = ushv_is_locked(ds);
}
