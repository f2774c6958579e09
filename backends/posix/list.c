/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "by_id.h"
#include "create.h"
#include "entries.h"
#include "find.h"
#include "handle.h"
#include "look.h"
#include "object_sys.h"
#include "sys.h"

/* A temporary handle, which is in no list. */
static struct unishm *new_handle(void)
{
	struct unishm *seg = unishm_sys.calloc(1, sizeof *seg + sizeof(struct posix));
	if (seg)
		seg->attachments = seg->inline_room;
	return seg;
}

/* Each name is looked up with forks held. Then the callback is called without. */
struct walk {
	struct unishm *seg;
	int (*step)(struct walk *walk, const struct name *name, struct unishm_status *st);
	int (*after)(struct walk *walk, const struct name *name); /* NULL: nothing */
	ushp_visit_fn *visit;
	void *arg;
	unsigned names, left;
};

/* Gone meanwhile, not ours to read or to remove, or not one of ours: go on. */
static bool ends_the_walk(int rc)
{
	static const int passed[] = { ENOENT, EIDRM, EACCES, EPERM, EBUSY, EBADMSG, ENOTSUP };
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
		if (rc == -passed[i])
			return false;
	return rc < 0;
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
	*st = (struct unishm_status){ .backend = POSIX_NAME, .id = seg->id, .size = seg->size };
}

static int status_of(struct walk *walk, const struct name *name, struct unishm_status *st)
{
	struct view view;
	if (name->draft || name->twin)
		return -ENOENT;
	int rc = ushp_open_ready(walk->seg, name->text, ushp_key_in_name(name->text + 1),
			&view.tail);
	if (rc < 0)
		return rc;
	posix_of(walk->seg)->checked = 0;
	begin_status(walk->seg, st);
	return ushp_status_on(walk->seg, &view, st);
}

int ushp_list(ushp_visit_fn *visit, void *arg)
{
	struct walk walk __attribute__((
			cleanup(free_walk))) = { .step = status_of, .visit = visit, .arg = arg };
	return walk_names(&walk);
}

/* ---- Removed segments that have a name still: by_id.h ----------------------------- */

static int destroy(struct walk *walk, const struct name *name, struct unishm_status *st)
{
	(void)st;
	if (!ushp_is_removed_name(name->text + 1))
		return -ENOENT;
	struct record_tail tail;
	int rc = ushp_open_ready(walk->seg, name->text, UNISHM_PRIVATE, &tail);
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

/* A draft's record has the key of the segment that it was made for. */
static int open_abandoned(struct unishm *seg, const struct name *name, struct stat *st)
{
	key_t key = ushp_key_in_name(name->text + 1);
	struct record_tail tail;
	int rc = name->draft ? ushp_open_draft(seg, name->text, st)
			     : ushp_open_any(seg, name->text, key, st, &tail);
	return rc < 0 ? rc : rc == STAGE_ABANDONED ? 0 : -ENOENT;
}

static int status_of_abandoned(struct walk *walk, const struct name *name, struct unishm_status *st)
{
	struct posix *p = posix_of(walk->seg);
	struct stat file;
	struct record_head head;
	int rc = open_abandoned(walk->seg, name, &file);
	if (rc == 0)
		rc = ushp_record_get(&p->object, sizeof head, &head, sizeof head);
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
	struct walk walk __attribute__((cleanup(
			free_walk))) = { .step = status_of_abandoned, .visit = visit, .arg = arg };
	if (!(flags & UNISHM_SWEEP_DRY))
		walk.after = remove_abandoned;
	return walk_names(&walk);
}
