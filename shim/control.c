/* SPDX-License-Identifier: MIT */
/* shmctl(). */
#include "../core/shim.h"
#include "shim.h"

#include <errno.h>
#include <string.h>

#include "enter.h"
#include "os.h"
#include "posix/entries.h"
#include "posix/handle.h"
#include "posix/object_sys.h"
#include "posix/record.h"

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

/* @any: without a right to read. */
static int look(struct unishm *seg, bool any, struct unishm_status *st)
{
	*st = (struct unishm_status){ .id = seg->id, .size = seg->size };
	int rc = unishm_enter(&unishm_own, seg);
	if (rc < 0)
		return rc;
	rc = unishm_ready(seg);
	if (rc == 0)
		rc = (any ? ushp_status_any : ushp_status)(seg, st);
	unishm_settle(seg);
	unishm_leave(&unishm_own, seg);
	return rc;
}

static int stat_of(int id, bool any, void *buffer, const struct unishm_shim_layout *layout)
{
	struct shim_segment *segment;
	struct unishm_status st;
	int rc = any ? ushs_use_as_owner(id, &segment) : ushs_use(id, &segment);
	if (rc < 0)
		return rc == -EPERM ? -EACCES : rc;
	if (segment->attached)
		ushs_see_what_is_mapped(segment);
	rc = look(segment->seg, any, &st);
	ushs_leave(segment);
	if (rc == 0 && !ushs_can_write(buffer, layout->size))
		rc = -EFAULT;
	if (rc == 0)
		layout->fill(buffer, &st);
	return rc;
}

/* ---- Changes by the owner -------------------------------------------------------------------- */

/* The members see the file as it was before this step. */
static int set_mode(struct unishm *seg, mode_t mode)
{
	int rc = unishm_ready(seg);
	return rc < 0 ? rc : ushp_chmod(seg, mode);
}

static int set_fields(struct unishm *seg, const struct unishm_shim_owner *to)
{
	const struct stat st = posix_of(seg)->st;
	int rc = ushp_object_must_own(&posix_of(seg)->object, &st);
	if (rc == 0 && (to->user == (uid_t)-1 || to->group == (gid_t)-1))
		rc = -EINVAL;
	bool other = rc == 0 && (to->user != st.st_uid || to->group != st.st_gid);
	if (other)
		rc = ushp_chown(seg, to->user, to->group);
	if (rc == 0)
		rc = set_mode(seg, to->mode & 0777);
	if (rc < 0 && rc != -EIDRM && other)
		ushp_chown(seg, st.st_uid, st.st_gid);
	return rc;
}

static int change_ready(struct unishm *seg, int command, const struct unishm_shim_owner *to)
{
	switch (command) {
	case IPC_SET:
		return set_fields(seg, to);
	case IPC_RMID:
		return ushp_remove(seg);
	case SHM_LOCK:
		return ushp_lock(seg);
	default:
		return ushp_unlock(seg);
	}
}

static int change(struct unishm *seg, int command, const struct unishm_shim_owner *to)
{
	int rc = unishm_enter(&unishm_own, seg);
	if (rc < 0)
		return rc;
	rc = unishm_ready(seg);
	if (rc == 0)
		rc = change_ready(seg, command, to);
	unishm_settle(seg);
	unishm_leave(&unishm_own, seg);
	return rc;
}

static int change_of(int id, int command, const void *buffer,
		const struct unishm_shim_layout *layout)
{
	struct shim_segment *segment;
	struct unishm_shim_owner to;
	if (command == IPC_SET) {
		if (!ushs_can_read(buffer, layout->size))
			return -EFAULT;
		layout->read(buffer, &to);
	}
	int rc = ushs_use_as_owner(id, &segment);
	if (rc < 0)
		return rc;
	if (command == IPC_RMID && segment->attached)
		ushs_see_what_is_mapped(segment);
	rc = change(segment->seg, command, &to);
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
	int highest = ushs_each_id(&used, add_up, &info);
	info.used_ids = (int)used;
	if (!ushs_can_write(buffer, sizeof info))
		return -EFAULT;
	memcpy(buffer, &info, sizeof info);
	return highest;
}

static int stat_of_index(int index, bool any, void *buffer, const struct unishm_shim_layout *layout)
{
	int id = ushs_id_of_index(index);
	int rc = id < 0 ? id : stat_of(id, any, buffer, layout);
	return rc < 0 ? rc : id;
}

/* ---- shmctl -------------------------------------------------------------------- */

static int control(int id, int command, void *buffer, const struct unishm_shim_layout *layout)
{
	switch (command) {
	case IPC_STAT:
		return stat_of(id, false, buffer, layout);
	case IPC_SET:
	case IPC_RMID:
	case SHM_LOCK:
	case SHM_UNLOCK:
		return change_of(id, command, buffer, layout);
	case IPC_INFO:
		return tell_limits(buffer);
	case SHM_INFO:
		return tell_sums(buffer);
	case SHM_STAT:
	case SHM_STAT_ANY:
		return stat_of_index(id, command == SHM_STAT_ANY, buffer, layout);
	default:
		return -EINVAL;
	}
}

int ushs_control(int id, int command, void *buffer, const struct unishm_shim_layout *layout)
{
	struct shim_call call;
	if (id < 0 || command < 0)
		return -EINVAL;
	int rc = ushs_begin(&call);
	if (rc < 0)
		return rc;
	rc = control_error(control(id, command, buffer, layout));
	ushs_end(&call);
	return rc;
}
