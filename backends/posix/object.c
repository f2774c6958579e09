/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "backend.h"
#include "descriptor.h"
#include "lock.h"
#include "memory.h"
#include "names.h"
#include "object_sys.h"
#include "record.h"
#include "sys.h"

/* ---- The descriptor ---------------------------------------------------------- */

static bool is_file(const struct object *object, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_dev == object->dev && st->st_ino == object->ino;
}

int ushp_object_bind(struct object *object, int fd, bool writable, const struct stat *st)
{
	object->dev = st->st_dev;
	object->ino = st->st_ino;
	object->fd = -1;
	return ushp_object_replace(object, fd, writable);
}

int ushp_object_check(const struct object *object, struct stat *st)
{
	int rc = ushp_fd_check(object->fd, object, object->dev, object->ino, st);
	if (rc == 0 && st->st_size < object->record_at + RECORD_SIZE)
		return unishm_because(-EBADMSG, "something cut its object short; remove it");
	return rc;
}

/* Is @fd, which was opened by name, this file? It is closed if not. */
static int keep_if_same(const struct object *object, int fd)
{
	struct stat st;
	if (fd < 0)
		return fd;
	if (unishm_sys.fstat(fd, &st) < 0) {
		int rc = -errno;
		unishm_sys.close(fd);
		return rc;
	}
	if (is_file(object, &st))
		return fd;
	ushp_lock_close(fd);
	return -ENOENT; /* another segment has the name by now */
}

/* The name may belong to another segment that this user may not open. */
static int refused_or_other(const struct object *object, int rc)
{
	struct stat st;
	if (rc == -EACCES && ushp_sys_stat(object->name, AT_SYSTEM_PLACE, &st) == 0 &&
			!is_file(object, &st))
		return -ENOENT;
	return rc;
}

int ushp_object_reopen(const struct object *object, int access)
{
	struct stat st;
	int fd = ushp_lock_reuse(object->dev, object->ino, access != O_RDONLY);
	if (fd >= 0)
		return fd;
	fd = ushp_sys_open(object->name, AT_SYSTEM_PLACE, access);
	fd = refused_or_other(object, keep_if_same(object, fd));
	if (fd == -ENOENT || fd == -EBADMSG)
		fd = keep_if_same(object, ushp_sys_open(object->name, AT_FORMER_PLACE, access));
	if (fd == -ENOENT || fd == -EBADMSG) { /* it may keep another name: see by_id.h */
		char name[OBJECT_NAME_MAX];
		ushp_name_of_removed(ushp_id_of_inode(object->ino), name);
		fd = keep_if_same(object, ushp_sys_open(name, AT_SYSTEM_PLACE, access));
	}
	if (fd >= 0 || ushp_fd_check(object->fd, object, object->dev, object->ino, &st) < 0)
		return fd == -ENOENT ? -EBADF : fd;
	int unnamed = keep_if_same(object, ushp_sys_reopen_unnamed(object->fd, access));
	return unnamed == -ENOENT || unnamed == -EPERM ? -EBADF : unnamed;
}

int ushp_object_replace(struct object *object, int fd, bool writable)
{
	if (ushp_fd_own(fd, object) < 0) {
		ushp_lock_close(fd);
		return unishm_because(-EMFILE,
				"its descriptor would have the number %d, "
				"which is more than this library can keep track of; close some",
				fd);
	}
	if (object->fd != fd)
		ushp_lock_close_own(object->fd, object, object->dev, object->ino);
	object->fd = fd;
	object->writable = writable;
	object->shared = false;
	return 0;
}

int ushp_object_renew(struct object *object)
{
	bool writable = true;
	struct stat st;
	int fd = ushp_object_reopen(object, O_RDWR);
	if (fd == -EACCES || fd == -EROFS) {
		if (object->writable && ushp_object_check(object, &st) == 0)
			return fd;
		writable = false;
		fd = ushp_object_reopen(object, O_RDONLY);
	}
	return fd < 0 ? fd : ushp_object_replace(object, fd, writable);
}

void ushp_object_close(struct object *object)
{
	ushp_lock_close_own(object->fd, object, object->dev, object->ino);
	object->fd = -1;
}

void ushp_object_close_checked(struct object *object)
{
	if (ushp_fd_owned(object->fd, object)) {
		ushp_fd_own(object->fd, NULL);
		ushp_lock_close(object->fd);
	}
	object->fd = -1;
}

enum lock_owner ushp_object_lock_owner(const struct object *object)
{
	if (ushp_sys_lock_owner == LOCK_OF_PROCESS || object->shared ||
			ushp_lock_by_process(object->dev, object->ino))
		return LOCK_OF_PROCESS;
	return LOCK_OF_DESCRIPTION;
}

/* ---- Permission ---------------------------------------------------------------- */

/* In a user namespace several users can have the same number, which then proves nothing. */
enum { OVERFLOW_USER = 65534 };

bool ushp_object_is_own(const struct stat *st)
{
	return st->st_uid == unishm_sys.geteuid() && st->st_uid != OVERFLOW_USER;
}

/* If the mode grants it to the owner, no system call is needed. Other cases depend on groups, user
 * namespaces, capabilities and access lists: ask the kernel. */
int ushp_object_permit(const struct object *object, const struct stat *st, bool own, unsigned want)
{
	if (own && (want & ~((unsigned)st->st_mode >> 6 & 7)) == 0)
		return 0;
	int rc = ushp_sys_access(object->fd, want);
	if (rc == -EACCES && want & 1 && ushp_is_noexec(object->fd))
		return ushp_because_noexec();
	return rc == -EACCES ? unishm_because_denied(rc, st->st_mode, st->st_uid) : rc;
}

int ushp_object_must_own(const struct object *object, const struct stat *st)
{
	if (ushp_object_is_own(st))
		return 0;
	int rc = ushp_sys_may_act_as_owner(object->fd, st->st_uid);
	return rc == -EPERM ? unishm_because_denied(rc, st->st_mode, st->st_uid) : rc;
}

/* ---- Removal of the name --------------------------------------------------------- */

static struct unishm_mutex naming = UNISHM_MUTEX_INIT; /* between threads; held for a few calls */

/* A lock of a description that children share would not exclude them. */
static enum lock_owner remover_of(const struct object *object)
{
	return object->shared ? LOCK_OF_PROCESS : ushp_sys_lock_owner;
}

/* 0 with the mutex and the lock held; LOCK_BUSY: another remover is there. A remover that may write
 * excludes all others by an exclusive lock. An owner without the right to write takes a shared
 * lock, which excludes writers, and looks for other shared locks. */
static int try_removal(const struct object *object)
{
	struct lock_file file = ushp_object_locks(object);
	struct range found;
	unishm_mutex_lock(&naming);
	int rc = ushp_lock_take(&file, remover_of(object), PLACE_REMOVE, 1, object->writable);
	if (rc == 0 && object->writable)
		return 0;
	if (rc == 0) {
		rc = ushp_lock_find_foreign(&file, remover_of(object),
				(struct range){ PLACE_REMOVE, PLACE_REMOVE }, &found);
		if (rc == 0)
			return 0;
		ushp_lock_drop(&file, remover_of(object), PLACE_REMOVE, 1);
	}
	unishm_mutex_unlock(&naming);
	return rc;
}

/* Two processes that meet here both release their locks and try again. A process that may read the
 * file can hold this lock without end; then the call fails after a tenth of a second. */
int ushp_object_begin_removal(const struct object *object)
{
	for (unsigned tries = 0; tries < 100; tries++) {
		int rc = try_removal(object);
		if (rc != LOCK_BUSY)
			return rc;
		const struct timespec moment = { 0, (long)(500000 + ushp_random() % 1000000) };
		nanosleep(&moment, NULL);
	}
	return unishm_because(-EBUSY,
			"another process holds a lock on its object that removers need; "
			"find it (lslocks, fuser), and continue or end it");
}

bool ushp_object_close_ends_removal(const struct object *object)
{
	return remover_of(object) == LOCK_OF_DESCRIPTION;
}

void ushp_object_after_removal(void)
{
	unishm_mutex_unlock(&naming);
}

void ushp_object_unlock_removal(const struct object *object)
{
	struct lock_file file = ushp_object_locks(object);
	ushp_lock_drop(&file, remover_of(object), PLACE_REMOVE, 1);
}

void ushp_object_end_removal(const struct object *object)
{
	ushp_object_unlock_removal(object);
	ushp_object_after_removal();
}

bool ushp_object_outlives_removal(const struct object *object)
{
	const struct range removers = { PLACE_REMOVE, PLACE_REMOVE };
	struct lock_file file = ushp_object_locks(object);
	struct range found;
	struct stat st;
	for (unsigned tries = 0; tries < 300; tries++) {
		if (ushp_lock_find(&file, removers, false, &found) <= 0)
			break;
		const struct timespec moment = { 0, 300000 };
		nanosleep(&moment, NULL);
	}
	return ushp_object_check(object, &st) == 0 && st.st_nlink > 0;
}

int ushp_object_find(const struct object *object, const char *name, enum place *place)
{
	static const enum place places[] = { AT_SYSTEM_PLACE, AT_FORMER_PLACE };
	int rc = -ENOENT;
	for (unsigned i = 0; rc == -ENOENT && i < sizeof places / sizeof *places; i++) {
		struct stat st;
		*place = places[i];
		rc = ushp_sys_stat(name, *place, &st);
		if (rc == 0 && !is_file(object, &st))
			rc = -ENOENT;
	}
	return rc;
}

bool ushp_object_has_name(const struct object *object)
{
	enum place place;
	return ushp_object_find(object, object->name, &place) == 0;
}

int ushp_object_unlink(const struct object *object)
{
	enum place place;
	int rc = ushp_object_find(object, object->name, &place);
	return rc < 0 ? rc : ushp_sys_unlink(object->fd, object->name, place);
}
