/* SPDX-License-Identifier: MIT */
#include "find.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "create.h"
#include "entries.h"
#include "descriptor.h"
#include "names.h"
#include "object_sys.h"
#include "pin.h"
#include "refresh.h"
#include "sys.h"

/* ---- One object -------------------------------------------------------------------- */

static int open_file(const char *name, bool *writable)
{
	struct stat st;
	int fd = -ENOENT;
	*writable = true;
	if (ushp_sys_lock_owner == LOCK_OF_PROCESS && ushp_sys_stat(name, AT_SYSTEM_PLACE, &st) == 0)
		fd = ushp_lock_reuse(st.st_dev, st.st_ino, true);
	if (fd < 0)
		fd = ushp_sys_open(name, AT_SYSTEM_PLACE, O_RDWR);
	if (fd == -EACCES || fd == -EROFS) {
		*writable = false;
		fd = ushp_sys_open(name, AT_SYSTEM_PLACE, O_RDONLY);
	}
	return fd;
}

static int because_refused(int rc, const char *name)
{
	struct stat st;
	char mode[10], owner[64];
	if (rc != -EACCES || ushp_sys_stat(name, AT_SYSTEM_PLACE, &st) < 0)
		return ushp_sys_because_missing(rc);
	return unishm_because(rc, "its mode is %s and its owner %s; act as that user, or have it changed",
			unishm_mode_text(st.st_mode & 0777, mode),
			unishm_user_text(st.st_uid, owner, sizeof owner));
}

/* Is what is open on @fd one of ours? */
static int identify(int fd, key_t key, struct stat *st, struct record_head *head)
{
	if (unishm_sys.fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode) || st->st_size < RECORD_SIZE)
		return unishm_because(-EBADMSG, "an object that this library did not make has its name; "
				"move it away, or choose another key");
	int rc = ushp_record_read(fd, st->st_size - RECORD_SIZE, sizeof *head, head, sizeof *head);
	return rc < 0 ? rc : ushp_record_check(head, st->st_size, key);
}

int ushp_open_any(struct unishm *seg, const char *name, key_t key, struct stat *st)
{
	struct posix *p = posix_of(seg);
	struct record_head head;
	bool writable;
	int fd = open_file(name, &writable);
	if (fd < 0)
		return because_refused(fd, name);
	int rc = identify(fd, key, st, &head);
	if (rc < 0 && rc != -EBADF) {
		ushp_lock_close(fd, st->st_dev, st->st_ino);
		return rc;
	}
	rc = ushp_bind(seg, fd, writable, st, name, (size_t)head.size, key);
	if (rc < 0)
		return rc;
	rc = ushp_stage(&p->object, head.state);
	if (rc == STAGE_READY && st->st_nlink == 0)
		rc = -EAGAIN; /* removed since; a segment that has the name now is another one */
	if (rc == STAGE_READY) {
		int place = ushp_sys_try_place(&p->object);
		rc = place < 0 ? place : rc;
	}
	if (rc < 0)
		ushp_object_close(&p->object);
	return rc;
}

/* Its maker has the claim from before it has a record. */
int ushp_open_draft(struct unishm *seg, const char *name, struct stat *st)
{
	struct record_head head;
	bool writable;
	int fd = open_file(name, &writable);
	if (fd < 0)
		return fd;
	if (unishm_sys.fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_size < RECORD_SIZE ||
			ushp_record_read(fd, st->st_size - RECORD_SIZE, sizeof head, &head, sizeof head) < 0 ||
			ushp_record_check(&head, st->st_size, (key_t)head.key) < 0) {
		ushp_lock_close(fd, st->st_dev, st->st_ino);
		return -EBADMSG;
	}
	int rc = ushp_bind(seg, fd, writable, st, name, (size_t)head.size, (key_t)head.key);
	return rc < 0 ? rc : ushp_stage(&posix_of(seg)->object, RECORD_MAKING);
}

int ushp_open_ready(struct unishm *seg, const char *name, key_t key)
{
	struct stat st;
	int rc;
	do
		rc = ushp_open_any(seg, name, key, &st);
	while (rc == -EAGAIN);
	if (rc > STAGE_READY) {
		ushp_object_close(&posix_of(seg)->object);
		rc = -ENOENT;
	}
	return rc;
}

/* ---- Open by key ---------------------------------------------------------------------- */

/* -EAGAIN: look again. -EBUSY: it is in the making. -ENOENT: there is none, and what a dead process
 * has left, if @sweep, is gone. */
static int open_name(struct unishm *seg, const char *name, const struct unishm_options *opt, bool sweep)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	int rc = ushp_open_any(seg, name, opt->key, &st);
	if (rc <= 0)
		return rc;
	if (rc == STAGE_MAKING)
		rc = -EBUSY;
	else if (sweep)
		rc = ushp_remove_abandoned(&p->object, &st);
	else
		rc = 0;
	ushp_object_close(&p->object);
	return rc < 0 ? rc : -ENOENT;
}

static int check_wanted_size(struct unishm *seg, const struct unishm_options *opt)
{
	if (opt->size <= seg->size)
		return 0;
	size_t size = seg->size;
	ushp_object_close(&posix_of(seg)->object);
	return unishm_because(-EINVAL, "it has %zu bytes, fewer than the %zu asked for; size 0 opens any", size,
			opt->size);
}

/* O_EXCL met a taken name: of a segment, or of what a dead process left? */
static int see_what_is_there(struct unishm *seg, const char *name, const struct unishm_options *opt)
{
	int rc = open_name(seg, name, opt, true);
	if (rc == 0)
		ushp_object_close(&posix_of(seg)->object);
	if (rc == -ENOENT || rc == -EAGAIN)
		return -EAGAIN; /* it is free now */
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM ? rc : -EEXIST;
}

static int open_or_create(struct unishm *seg, const char *name, const struct unishm_options *opt)
{
	bool make = opt->oflag & O_CREAT;
	int rc = opt->oflag & O_EXCL ? -ENOENT : open_name(seg, name, opt, make);
	if (rc == 0)
		return check_wanted_size(seg, opt);
	if (rc == -EBUSY && !make)
		return -ENOENT; /* not there yet */
	if (rc != -ENOENT || !make)
		return rc;
	rc = ushp_create(seg, name, opt);
	if (rc == -EEXIST)
		rc = opt->oflag & O_EXCL ? see_what_is_there(seg, name, opt) : -EAGAIN;
	return rc;
}

int ushp_open(struct unishm *seg, const struct unishm_options *opt)
{
	char name[OBJECT_NAME_MAX];
	struct unishm_patience patience = { opt->wait_ms, 0 };
	if (opt->flags & UNISHM_HUGETLB)
		return unishm_because(-ENOTSUP, "POSIX shared memory has no huge pages of its own; "
				"use the System V backend");
	if (opt->key == UNISHM_PRIVATE)
		return ushp_create_private(seg, opt);
	ushp_name_of_key(opt->key, name);
	for (;;) {
		int rc = open_or_create(seg, name, opt);
		if (rc == -EBUSY)
			rc = unishm_pause(&patience);
		else if (rc != -EAGAIN)
			return rc;
		if (rc < 0 && rc != -EAGAIN)
			return rc == -ETIMEDOUT ? unishm_because(rc, "the init callback of another process "
					"still runs after %u ms; try again", opt->wait_ms) : rc;
	}
}

/* ---- Open by id -------------------------------------------------------------------------- */

/* Two segments can have one id, since inode numbers are longer: then neither is meant. */
int ushp_open_id(struct unishm *seg, int id)
{
	struct names names = { 0 };
	int rc = ushp_list_names(&names);
	const struct name *match = NULL;
	unsigned matches = 0;
	for (size_t i = 0; rc == 0 && i < names.count; i++) {
		if (names.list[i].draft || (int)((uint64_t)names.list[i].inode & INT_MAX) != id)
			continue;
		match = &names.list[i];
		matches++;
	}
	if (rc == 0 && matches != 1)
		rc = matches == 0 ? -ENOENT : unishm_because(-ENOENT, "%u segments have this id by now; "
				"open the one that is meant by its key", matches);
	if (rc == 0)
		rc = ushp_open_ready(seg, match->text, ushp_key_in_name(match->text + 1));
	if (rc == 0 && seg->id != id) { /* another segment has the name by now */
		ushp_object_close(&posix_of(seg)->object);
		rc = -ENOENT;
	}
	free(names.list);
	return rc;
}

/* ---- Close --------------------------------------------------------------------------------- */

void ushp_close(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	if (p->gone)
		return;
	ushp_unpin(seg);
	ushp_hold_close(seg);
	ushp_object_close(&p->object);
}
