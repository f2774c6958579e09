/* SPDX-License-Identifier: MIT */
/* shmctl(). */
#include "shim.h"

#include <errno.h>
#include <string.h>

#include "os.h"
#include "posix/entries.h"
#include "posix/handle.h"
#include "posix/object_sys.h"
#include "posix/record.h"
#include "posix/refresh.h"

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

/* ---- Errors --------------------------------------------------------------------------- */

static int control_error(int rc)
{
	switch (rc) {
	case -ENOENT:
	case -EIDRM:
	case -EBADMSG:
		return -EINVAL;
	case -EROFS:
	case -EBUSY:
	case -ENOTSUP:
		return -EPERM;
	case -EMFILE:
	case -ENFILE:
	case -EBADF:
		return -ENOMEM;
	default:
		return rc;
	}
}

/* ---- IPC_STAT ----------------------------------------------------------------------------- */

static void fill(struct shmid_ds *ds, const struct unishm_status *st)
{
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

static int look(struct unishm *seg, struct unishm_status *st)
{
	*st = (struct unishm_status){ .id = seg->id, .size = seg->size };
	int rc = unishm_enter(seg);
	if (rc == 0) {
		rc = ushp_status(seg, st);
		unishm_leave(seg);
	}
	return rc;
}

static int stat_of(int id, struct shmid_ds *ds)
{
	struct shim_segment *segment;
	struct unishm_status st;
	int rc = ushs_use(id, &segment);
	if (rc < 0)
		return rc;
	if (segment->attached)
		ushs_see_what_is_mapped(segment);
	rc = look(segment->seg, &st);
	ushs_leave(segment);
	if (rc == 0 && !ushs_can_write(ds, sizeof *ds))
		rc = -EFAULT;
	if (rc == 0)
		fill(ds, &st);
	return rc;
}

/* ---- Changes by the owner -------------------------------------------------------------------- */

static int set_fields(struct unishm *seg, const struct shmid_ds *ds)
{
	struct stat st;
	uid_t user = ds->shm_perm.uid;
	gid_t group = ds->shm_perm.gid;
	int rc = posix_of(seg)->gone ? -EIDRM : ushp_refresh(seg, &st);
	if (rc == 0)
		rc = ushp_object_must_own(&posix_of(seg)->object, &st);
	if (rc == 0 && (user == (uid_t)-1 || group == (gid_t)-1))
		rc = -EINVAL;
	bool other = rc == 0 && (user != st.st_uid || group != st.st_gid);
	if (other)
		rc = ushp_chown(seg, user, group);
	if (rc == 0)
		rc = ushp_chmod(seg, ds->shm_perm.mode & 0777);
	if (rc < 0 && rc != -EIDRM && other)
		ushp_chown(seg, st.st_uid, st.st_gid);
	return rc;
}

static int change(struct unishm *seg, int command, const struct shmid_ds *ds)
{
	int rc = unishm_enter(seg);
	if (rc < 0)
		return rc;
	switch (command) {
	case IPC_SET:
		rc = set_fields(seg, ds);
		break;
	case IPC_RMID:
		rc = ushp_remove(seg);
		break;
	case SHM_LOCK:
		rc = ushp_lock(seg);
		break;
	default:
		rc = ushp_unlock(seg);
	}
	unishm_leave(seg);
	return rc;
}

static int change_of(int id, int command, const void *buffer)
{
	struct shim_segment *segment;
	struct shmid_ds ds;
	if (command == IPC_SET) {
		if (!ushs_can_read(buffer, sizeof ds))
			return -EFAULT;
		memcpy(&ds, buffer, sizeof ds);
	}
	int rc = ushs_use_as_owner(id, &segment);
	if (rc < 0)
		return rc;
	if (command == IPC_RMID && segment->attached)
		ushs_see_what_is_mapped(segment);
	rc = change(segment->seg, command, &ds);
	ushs_leave(segment);
	if (rc == 0 && command == IPC_RMID)
		ushs_let_go_of_destroyed();
	return rc;
}

/* ---- The system ---------------------------------------------------------------------------- */

static int tell_limits(void *buffer)
{
	unsigned used;
	struct shminfo info;
	const unsigned long most = ~0UL - (1UL << 24);
	memset(&info, 0, sizeof info);
	info.shmmax = ushs_limit("shmmax", most);
	info.shmmin = 1;
	info.shmmni = info.shmseg = ushs_limit("shmmni", 4096);
	info.shmall = ushs_limit("shmall", most);
	int highest = ushs_highest_index(&used);
	if (!ushs_can_write(buffer, sizeof info))
		return -EFAULT;
	memcpy(buffer, &info, sizeof info);
	return highest;
}

static unsigned long pages_of(uint64_t bytes)
{
	uint64_t page = unishm_os_page_size();
	return (unsigned long)((bytes + page - 1) / page);
}

/* In pages, as Linux counts; what is in swap is not told apart. */
static void add_up(int id, void *arg)
{
	struct shm_info *info = arg;
	struct shim_segment *segment;
	struct stat st;
	if (ushs_use(id, &segment) < 0)
		return;
	if (ushp_object_check(&posix_of(segment->seg)->object, &st) == 0) {
		unsigned long all = pages_of(segment->seg->size);
		unsigned long there = pages_of((uint64_t)st.st_blocks * 512);
		info->shm_tot += all;
		info->shm_rss += there < all ? there : all;
	}
	ushs_leave(segment);
}

static int tell_sums(void *buffer)
{
	unsigned used;
	struct shm_info info;
	memset(&info, 0, sizeof info);
	int highest = ushs_each_id(add_up, &info);
	ushs_highest_index(&used);
	info.used_ids = (int)used;
	if (!ushs_can_write(buffer, sizeof info))
		return -EFAULT;
	memcpy(buffer, &info, sizeof info);
	return highest;
}

static int stat_of_index(int index, struct shmid_ds *ds)
{
	int id = ushs_id_of_index(index);
	int rc = id < 0 ? id : stat_of(id, ds);
	return rc < 0 ? rc : id;
}

/* ---- shmctl -------------------------------------------------------------------- */

static int control(int id, int command, void *buffer)
{
	switch (command) {
	case IPC_STAT:
		return stat_of(id, buffer);
	case IPC_SET:
	case IPC_RMID:
	case SHM_LOCK:
	case SHM_UNLOCK:
		return change_of(id, command, buffer);
	case IPC_INFO:
		return tell_limits(buffer);
	case SHM_INFO:
		return tell_sums(buffer);
	case SHM_STAT:
	case SHM_STAT_ANY:
		return stat_of_index(id, buffer);
	default:
		return -EINVAL;
	}
}

int ushs_control(int id, int command, void *buffer)
{
	struct shim_call call;
	if (id < 0 || command < 0)
		return -EINVAL;
	int rc = ushs_begin(&call);
	if (rc < 0)
		return rc;
	rc = control_error(control(id, command, buffer));
	ushs_end(&call);
	return rc;
}
