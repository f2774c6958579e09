/* SPDX-License-Identifier: MIT */
#include "find.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id.h"
#include "create.h"
#include "handle.h"
#include "entries.h"
#include "descriptor.h"
#include "object_sys.h"
#include "pin.h"
#include "slot.h"
#include "sys.h"

/* ---- One object -------------------------------------------------------------------- */

static int open_file(const char *name, bool *writable)
{
	struct stat st;
	int fd = -ENOENT;
	*writable = true;
	if (ushp_sys_lock_owner == LOCK_OF_PROCESS &&
			ushp_sys_stat(name, AT_SYSTEM_PLACE, &st) == 0)
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
	if (rc != -EACCES || ushp_sys_stat(name, AT_SYSTEM_PLACE, &st) < 0)
		return ushp_sys_because_missing(rc);
	return unishm_because_denied(rc, st.st_mode, st.st_uid);
}

/* Is what is open on @fd one of ours? By a name that has no key, its record tells the key. */
static int identify(int fd, const char *name, key_t *key, struct stat *st, struct record_tail *tail)
{
	if (unishm_sys.fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode) || st->st_size < RECORD_SIZE)
		return unishm_because(-EBADMSG,
				"an object that this library did not make has its name; "
				"move it away, or choose another key");
	int rc = ushp_record_read(fd, st->st_size - RECORD_SIZE, sizeof *tail, tail, sizeof *tail);
	if (rc < 0)
		return rc;
	const struct record_head *head = &tail->head;
	bool tells = head->by_id && ushp_is_name_by_id(name + 1);
	rc = ushp_record_check(head, ushp_sys_record_offset(head->size), st->st_size,
			tells ? (key_t)head->key : *key);
	if (tells)
		*key = ushp_by_id_key(name, head, st);
	return rc;
}

/* After @rc of identify(). -EBADF: the program has closed it meanwhile. */
static void close_refused(int fd, int rc)
{
	if (rc != -EBADF)
		ushp_lock_close(fd);
}

int ushp_open_any(struct unishm *seg, const char *name, key_t key, struct stat *st,
		struct record_tail *tail)
{
	struct posix *p = posix_of(seg);
	bool writable;
	int fd = open_file(name, &writable);
	if (fd < 0)
		return because_refused(fd, name);
	int rc = identify(fd, name, &key, st, tail);
	if (rc < 0) {
		close_refused(fd, rc);
		return rc;
	}
	rc = ushp_bind(seg, fd, writable, st, name, (size_t)tail->head.size, key);
	if (rc < 0)
		return rc;
	p->by_id = tail->head.by_id;
	p->free = ushp_slot_free(tail);
	rc = ushp_stage(&p->object, tail->head.state);
	if (rc == STAGE_READY && (st->st_nlink == 0 || ushp_by_id_is_half_removed(seg, st)))
		rc = STAGE_GONE;
	if (rc == STAGE_READY) {
		int place = ushp_sys_try_place(&p->object);
		rc = place < 0 ? place : rc;
	}
	if (rc < 0 || rc == STAGE_GONE)
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
			ushp_record_read(fd, st->st_size - RECORD_SIZE, sizeof head, &head,
					sizeof head) < 0 ||
			ushp_record_check(&head, ushp_sys_record_offset(head.size), st->st_size,
					(key_t)head.key) < 0) {
		ushp_lock_close(fd);
		return -EBADMSG;
	}
	int rc = ushp_bind(seg, fd, writable, st, name, (size_t)head.size, (key_t)head.key);
	return rc < 0 ? rc : ushp_stage(&posix_of(seg)->object, RECORD_MAKING);
}

int ushp_open_ready(struct unishm *seg, const char *name, key_t key, struct record_tail *tail)
{
	struct stat st;
	int rc;
	do
		rc = ushp_open_any(seg, name, key, &st, tail);
	while (rc == STAGE_GONE);
	if (rc > STAGE_READY) {
		ushp_object_close(&posix_of(seg)->object);
		rc = -ENOENT;
	}
	return rc;
}

/* ---- Open by key ---------------------------------------------------------------------- */

/* What a name leads to, for open and create. */
enum found {
	FOUND_READY,  /* and the handle has it open */
	FOUND_MAKING, /* its maker is at work */
	FOUND_NONE,   /* the leftover of a dead process was there; it was removed if asked for */
	FOUND_CHANGE, /* something changed meanwhile: look again */
};

static int look_at_name(struct unishm *seg, const char *name, const struct unishm_options *opt,
		bool sweep, struct stat *st)
{
	struct posix *p = posix_of(seg);
	struct record_tail tail;
	int stage = ushp_open_any(seg, name, opt->key, st, &tail);
	if (stage == -ENOENT)
		return FOUND_NONE;
	if (stage == STAGE_GONE)
		return FOUND_CHANGE;
	if (stage < 0)
		return stage;
	if (stage == STAGE_READY)
		return FOUND_READY;
	int rc = stage == STAGE_ABANDONED && sweep ? ushp_remove_abandoned(&p->object, st) : 0;
	ushp_object_close(&p->object);
	return rc < 0 ? rc : stage == STAGE_MAKING ? FOUND_MAKING : FOUND_NONE;
}

static int check_wanted_size(struct unishm *seg, const struct unishm_options *opt)
{
	if (opt->size <= seg->size)
		return FOUND_READY;
	size_t size = seg->size;
	ushp_object_close(&posix_of(seg)->object);
	return unishm_because(-EINVAL, "it has %s, fewer than the %zu asked for; size 0 opens any",
			unishm_bytes(size).text, opt->size);
}

static int open_existing(struct unishm *seg, const char *name, const struct unishm_options *opt,
		bool sweep, struct stat *st)
{
	int found = look_at_name(seg, name, opt, sweep, st);
	return found == FOUND_READY ? check_wanted_size(seg, opt) : found;
}

/* O_EXCL found the name taken: by a segment, or by the leftover of a dead process? */
static int see_what_is_there(struct unishm *seg, const char *name, const struct unishm_options *opt)
{
	struct stat st;
	int found = look_at_name(seg, name, opt, true, &st);
	if (found == FOUND_READY)
		ushp_object_close(&posix_of(seg)->object);
	if (found == FOUND_NONE || found == FOUND_CHANGE)
		return FOUND_CHANGE; /* it is free now */
	return found == -EMFILE || found == -ENFILE || found == -ENOMEM ? found : -EEXIST;
}

static int create_or_look_again(struct unishm *seg, const char *name,
		const struct unishm_options *opt)
{
	int rc = ushp_create(seg, name, opt);
	if (rc == -EEXIST)
		return opt->oflag & O_EXCL ? see_what_is_there(seg, name, opt) : FOUND_CHANGE;
	return rc;
}

/* Root and this user are trusted to finish; other users may stop in the middle on purpose. */
static unsigned limit_of_wait(const struct unishm_options *opt, const struct stat *maker)
{
	enum { OTHERS_MS = 10000 };
	bool trusted = maker->st_uid == 0 || maker->st_uid == unishm_sys.geteuid();
	return opt->wait_ms ? opt->wait_ms : trusted ? 0 : OTHERS_MS;
}

static int await_maker(const struct unishm_options *opt, const struct stat *maker,
		struct unishm_patience *patience)
{
	patience->limit_ms = limit_of_wait(opt, maker);
	int rc = unishm_pause(patience);
	if (rc == -ETIMEDOUT)
		return unishm_because(rc,
				"a process of user %lu still fills it after %u ms; "
				"wait for it, or end it",
				(unsigned long)maker->st_uid, patience->limit_ms);
	return rc;
}

static int open_or_create(struct unishm *seg, const char *name, const struct unishm_options *opt)
{
	struct unishm_patience patience = { 0, 0 };
	bool make = opt->oflag & O_CREAT, exclusive = opt->oflag & O_EXCL;
	struct stat st;
	for (;;) {
		int found = exclusive ? FOUND_NONE : open_existing(seg, name, opt, make, &st);
		if (!make && (found == FOUND_NONE || found == FOUND_MAKING))
			return -ENOENT;
		if (found == FOUND_NONE)
			found = create_or_look_again(seg, name, opt);
		if (found == FOUND_MAKING) {
			int rc = await_maker(opt, &st, &patience);
			found = rc < 0 ? rc : FOUND_CHANGE;
		}
		if (found != FOUND_CHANGE)
			return found;
	}
}

int ushp_open(struct unishm *seg, const struct unishm_options *opt)
{
	char name[OBJECT_NAME_MAX];
	if (opt->flags & UNISHM_HUGETLB)
		return unishm_because(-ENOTSUP,
				"POSIX shared memory has no huge pages of its own; use the System "
				"V backend, or attach with UNISHM_THP");
	if (opt->key == UNISHM_PRIVATE)
		return ushp_create(seg, NULL, opt);
	ushp_name_of_key(opt->key, name);
	return open_or_create(seg, name, opt);
}

/* ---- All names ---------------------------------------------------------------------- */

static int remember(const char *name, ino_t inode, void *arg)
{
	struct names *names = arg;
	bool draft = ushp_is_draft_name(name);
	if (!draft && !ushp_is_segment_name(name))
		return 0;
	if (names->count == names->room) {
		size_t room = names->room ? 2 * names->room : 64;
		struct name *more = unishm_sys.realloc(names->list, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		names->list = more;
		names->room = room;
	}
	struct name *entry = &names->list[names->count++];
	entry->inode = inode;
	entry->draft = draft;
	entry->twin = false;
	snprintf(entry->text, sizeof entry->text, "/%.13s", name);
	return 0;
}

/* By inode, and the name by key before others. */
static int by_file(const void *one, const void *other)
{
	const struct name *a = one, *b = other;
	if (a->inode != b->inode)
		return a->inode < b->inode ? -1 : 1;
	return strcmp(a->text, b->text);
}

/* A file that has a name by its key and one by its id is one segment. */
static void find_twins(struct names *names)
{
	if (names->count > 1)
		qsort(names->list, names->count, sizeof *names->list, by_file);
	for (size_t i = 1; i < names->count; i++)
		names->list[i].twin = names->list[i].inode == names->list[i - 1].inode &&
				ushp_is_name_by_id(names->list[i].text + 1);
}

int ushp_list_names(struct names *names)
{
	int rc = ushp_sys_list(remember, names);
	find_twins(names);
	return rc;
}

/* ---- Open by id -------------------------------------------------------------------------- */

static int open_if_id(struct unishm *seg, const char *name, int id)
{
	struct record_tail tail;
	int rc = ushp_open_ready(seg, name, ushp_key_in_name(name + 1), &tail);
	if (rc != 0 || seg->id == id)
		return rc;
	ushp_object_close(&posix_of(seg)->object);
	return -ENOENT; /* another segment has the name by now */
}

/* Two segments can have the same id, since inode numbers are longer. Then neither is opened. */
static int open_listed(struct unishm *seg, int id)
{
	struct names names = { 0 };
	int rc = ushp_list_names(&names);
	const struct name *match = NULL;
	unsigned matches = 0;
	for (size_t i = 0; rc == 0 && i < names.count; i++) {
		if (names.list[i].draft || names.list[i].twin ||
				ushp_id_of_inode(names.list[i].inode) != id ||
				ushp_is_removed_name(names.list[i].text + 1))
			continue;
		match = &names.list[i];
		matches++;
	}
	if (rc == 0 && matches == 0)
		rc = -ENOENT;
	if (rc == 0 && matches > 1)
		rc = unishm_because(-ENOENT,
				"%u segments have this id by now; "
				"open the one that is meant by its key",
				matches);
	if (rc == 0)
		rc = open_if_id(seg, match->text, id);
	free(names.list);
	return rc;
}

/* A private segment is called after its id; for others all names have to be looked at. */
int ushp_open_id(struct unishm *seg, int id)
{
	char name[OBJECT_NAME_MAX];
	ushp_name_of_private(id, name);
	int rc = open_if_id(seg, name, id);
	return rc == -ENOENT || rc == -EBADMSG ? open_listed(seg, id) : rc;
}

/* ---- For the shim: by_id.h ----------------------------------------------------------------- */

int ushp_open_by_id(struct unishm *seg, int id)
{
	char name[OBJECT_NAME_MAX];
	int rc = ushp_open_id(seg, id);
	if (rc != -ENOENT)
		return rc;
	ushp_name_of_removed(id, name);
	return open_if_id(seg, name, id);
}

static int return_mode(int fd, const struct loan *loan)
{
	struct stat st;
	if (loan->lent == loan->own)
		return 0;
	if (unishm_sys.fstat(fd, &st) < 0)
		return -errno;
	const struct object object = { .fd = fd,
		.writable = true,
		.dev = st.st_dev,
		.ino = st.st_ino };
	bool alone = ushp_object_begin_removal(&object) == 0;
	int rc = ushp_sys_return_mode(fd, loan);
	if (alone)
		ushp_object_end_removal(&object);
	return rc;
}

int ushp_open_as_owner(struct unishm *seg, const char *name)
{
	struct posix *p = posix_of(seg);
	struct record_tail tail;
	struct stat st;
	struct loan loan;
	key_t key = ushp_key_in_name(name + 1);
	int fd = ushp_sys_open_as_owner(name, &loan);
	int rc = fd < 0 ? fd : return_mode(fd, &loan);
	if (rc == 0)
		rc = identify(fd, name, &key, &st, &tail);
	if (rc < 0) {
		if (fd >= 0)
			close_refused(fd, rc);
		return rc;
	}
	rc = ushp_bind(seg, fd, true, &st, name, (size_t)tail.head.size, key);
	p->by_id = tail.head.by_id;
	p->free = ushp_slot_free(&tail);
	if (rc == 0 && (tail.head.state != RECORD_READY || st.st_nlink == 0)) {
		ushp_object_close(&p->object);
		rc = -ENOENT;
	}
	return rc;
}

/* ---- Close --------------------------------------------------------------------------------- */

void ushp_close(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	if (p->object.fd < 0)
		return; /* it is gone, and ushp_settle() let go of it */
	ushp_unpin(seg);
	ushp_hold_close(seg);
	ushp_object_let_go(p);
}
