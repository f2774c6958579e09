/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id.h"
#include "create.h"
#include "entries.h"
#include "find.h"
#include "names.h"
#include "object_sys.h"
#include "refresh.h"
#include "sys.h"

extern const struct unishm_backend unishm_posix_backend;

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

/* A handle for the occasion, which is in no list. */
static struct unishm *new_handle(void)
{
	struct unishm *seg = unishm_sys.calloc(1, sizeof *seg + sizeof(struct posix));
	if (seg) {
		seg->backend = &unishm_posix_backend;
		seg->attachments = seg->inline_room;
	}
	return seg;
}

/* What each name leads to is one step, with forks held; and then the callback, without. */
struct walk {
	struct unishm *seg;
	int (*step)(struct walk *walk, const struct name *name, struct unishm_status *st);
	int (*after)(struct walk *walk, const struct name *name); /* NULL: nothing */
	ushp_visit_fn *visit;
	void *arg;
	unsigned names, left;
};

/* Gone meanwhile, not ours to read, or not one of ours: go on. What is short is an error. */
static bool ends_the_walk(int rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}

static int held(struct walk *walk, const struct name *name, struct unishm_status *st)
{
	int rc = unishm_hold_forks();
	if (rc < 0)
		return rc;
	memset(posix_of(walk->seg), 0, sizeof(struct posix));
	posix_of(walk->seg)->object.fd = -1;
	rc = st ? walk->step(walk, name, st) : walk->after(walk, name);
	ushp_close(walk->seg);
	unishm_release_forks();
	return rc;
}

static int visit_name(struct walk *walk, const struct name *name)
{
	struct unishm_status st = { 0 };
	int rc = held(walk, name, &st);
	if (rc < 0)
		return ends_the_walk(rc) ? rc : 0;
	rc = walk->visit(&st, walk->arg);
	if (rc != 0 || !walk->after)
		return rc;
	rc = held(walk, name, NULL);
	return ends_the_walk(rc) ? rc : 0;
}

static void free_names(struct names *names)
{
	free(names->list);
}

static void free_walk(struct walk *walk)
{
	free(walk->seg);
}

static int walk_names(struct walk *walk)
{
	struct names names __attribute__((cleanup(free_names))) = { 0 }; /* @visit may throw */
	walk->seg = new_handle();
	if (!walk->seg)
		return -ENOMEM;
	int rc = unishm_hold_forks();
	if (rc == 0) {
		rc = ushp_list_names(&names);
		unishm_release_forks();
	}
	walk->names = (unsigned)names.count;
	for (size_t i = 0; rc == 0 && i < names.count; i++)
		rc = visit_name(walk, &names.list[i]);
	return rc;
}

/* ---- List ---------------------------------------------------------------------------- */

static void begin_status(const struct unishm *seg, struct unishm_status *st)
{
	*st = (struct unishm_status){ .backend = seg->backend->name, .id = seg->id, .size = seg->size };
}

static int status_of(struct walk *walk, const struct name *name, struct unishm_status *st)
{
	if (name->draft || name->twin)
		return -ENOENT;
	int rc = ushp_open_ready(walk->seg, name->text, ushp_key_in_name(name->text + 1));
	if (rc < 0)
		return rc;
	begin_status(walk->seg, st);
	return ushp_status(walk->seg, st);
}

int ushp_list(ushp_visit_fn *visit, void *arg)
{
	struct walk walk __attribute__((cleanup(free_walk))) = { .step = status_of, .visit = visit, .arg = arg };
	return walk_names(&walk);
}

/* ---- Removed segments that have a name still: by_id.h ----------------------------- */

static int destroy(struct walk *walk, const struct name *name, struct unishm_status *st)
{
	(void)st;
	if (!ushp_is_removed_name(name->text + 1))
		return -ENOENT;
	int rc = ushp_open_ready(walk->seg, name->text, UNISHM_PRIVATE);
	if (rc == -EACCES)
		rc = ushp_open_as_owner(walk->seg, name->text);
	if (rc == 0 && ushp_by_id_destroy(walk->seg) != 0)
		walk->left++;
	return rc < 0 ? rc : -ENOENT; /* there is nothing to visit */
}

int ushp_destroy_removed(unsigned *names, unsigned *left)
{
	struct walk walk __attribute__((cleanup(free_walk))) = { .step = destroy };
	int rc = walk_names(&walk);
	*names = walk.names;
	*left = walk.left;
	return rc;
}

/* ---- Sweep --------------------------------------------------------------------------- */

/* A draft's record has the key of what was to become of it. */
static int open_abandoned(struct unishm *seg, const struct name *name, struct stat *st)
{
	key_t key = ushp_key_in_name(name->text + 1);
	int rc = name->draft ? ushp_open_draft(seg, name->text, st) : ushp_open_any(seg, name->text, key, st);
	return rc < 0 ? rc : rc == STAGE_ABANDONED ? 0 : -ENOENT;
}

static int status_of_abandoned(struct walk *walk, const struct name *name, struct unishm_status *st)
{
	struct posix *p = posix_of(walk->seg);
	struct stat file;
	struct record_head head;
	int rc = open_abandoned(walk->seg, name, &file);
	if (rc == 0)
		rc = ushp_record_read(p->object.fd, p->object.record_at, sizeof head, &head, sizeof head);
	if (rc < 0)
		return rc;
	begin_status(walk->seg, st);
	st->key = walk->seg->key;
	st->mode = file.st_mode & 0777;
	st->owner_user = file.st_uid;
	st->owner_group = file.st_gid;
	st->creator_process = (pid_t)head.creator_pid;
	st->creator_user = (uid_t)head.creator_user;
	st->creator_group = (gid_t)head.creator_group;
	st->last_change_time = head.change_time;
	return 0;
}

static int remove_abandoned(struct walk *walk, const struct name *name)
{
	struct stat st;
	int rc = open_abandoned(walk->seg, name, &st);
	return rc < 0 ? rc : ushp_remove_abandoned(&posix_of(walk->seg)->object, &st);
}

int ushp_sweep(int flags, ushp_visit_fn *visit, void *arg)
{
	struct walk walk __attribute__((cleanup(free_walk))) = { .step = status_of_abandoned, .visit = visit, .arg = arg };
	if (!(flags & UNISHM_SWEEP_DRY))
		walk.after = remove_abandoned;
	return walk_names(&walk);
}
