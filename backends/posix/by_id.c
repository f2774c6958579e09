/* SPDX-License-Identifier: MIT */
#include "by_id.h"

#include <errno.h>
#include <string.h>

#include "census.h"
#include "handle.h"
#include "object_sys.h"
#include "record.h"

/* What a segment may be called by. */
struct names_of_one {
	char live[OBJECT_NAME_MAX], removed[OBJECT_NAME_MAX];
};

static struct names_of_one names_of(ino_t inode)
{
	struct names_of_one names = { "", "" };
	int id = ushp_id_of_inode(inode);
	ushp_name_of_private(id, names.live);
	ushp_name_of_removed(id, names.removed);
	return names;
}

/* Take @name away if it leads to the object's file. */
static int take_away(const struct object *object, const char *name)
{
	enum place place;
	int rc = ushp_object_find(object, name, &place);
	if (rc == 0)
		rc = ushp_sys_unlink(object->fd, name, place);
	return rc == -ENOENT ? 0 : rc;
}

void ushp_by_id_publish(const struct object *object, const char *name)
{
	ushp_sys_link(object->fd, name, names_of(object->ino).live, AT_SYSTEM_PLACE);
}

key_t ushp_by_id_key(const char *name, const struct record_head *head, const struct stat *st)
{
	char by_key[OBJECT_NAME_MAX];
	struct stat named;
	if (ushp_is_removed_name(name + 1) || head->key == UNISHM_PRIVATE)
		return UNISHM_PRIVATE;
	ushp_name_of_key((key_t)head->key, by_key);
	if (ushp_sys_stat(by_key, AT_SYSTEM_PLACE, &named) < 0 || named.st_dev != st->st_dev ||
			named.st_ino != st->st_ino)
		return UNISHM_PRIVATE;
	return (key_t)head->key;
}

/* ---- Removal --------------------------------------------------------------------- */

/* The names that a removed segment has no more. */
static int take_live_names(const struct object *object, const struct names_of_one *names)
{
	char by_key[OBJECT_NAME_MAX];
	int32_t key;
	int rc = ushp_record_get(object, RECORD_HEAD_FIELD(key), &key, sizeof key);
	if (rc == 0 && key != UNISHM_PRIVATE) {
		ushp_name_of_key((key_t)key, by_key);
		rc = take_away(object, by_key);
	}
	return rc < 0 ? rc : take_away(object, names->live);
}

/* In the mode, which only the owner can change. */
static int say_removed(const struct object *object)
{
	struct stat st;
	int rc = ushp_object_check(object, &st);
	return rc < 0 ? rc : ushp_sys_chmod(object, true, (st.st_mode & 07777) | S_ISVTX);
}

/* No more than @attached are attached, and nothing that comes will stay: see by_id.h. The segment
 * has the name of a removed one, and no other. */
static int destroy_if_unused(struct unishm *seg, const struct names_of_one *names,
		unsigned long attached)
{
	struct posix *p = posix_of(seg);
	struct record_tail tail;
	struct census census = { 0 };
	int rc = ushp_record_put_word(&p->object, RECORD_HEAD_FIELD(removed), 1);
	ushp_record_fence();
	if (rc == 0)
		rc = ushp_record_read_tail(&p->object, &tail);
	if (rc == 0)
		rc = ushp_census(seg, &tail, &census);
	if (rc < 0 || census.attached > attached || census.hidden || census.unsettled)
		return 1;
	return take_away(&p->object, names->removed) < 0;
}

int ushp_by_id_take_names(struct unishm *seg)
{
	const struct object *object = &posix_of(seg)->object;
	struct names_of_one names = names_of(object->ino);
	enum place place;
	int rc = ushp_object_find(object, names.live, &place);
	if (rc < 0)
		return rc;
	rc = ushp_sys_link(object->fd, names.live, names.removed, place);
	if (rc == -EEXIST)
		rc = ushp_object_find(object, names.removed, &place); /* what a dead remover left */
	if (rc < 0)
		return rc;
	rc = say_removed(object);
	if (rc < 0) {
		take_away(object, names.removed);
		return rc;
	}
	posix_of(seg)->by_id = true; /* whatever the record says */
	rc = take_live_names(object, &names);
	if (rc == 0)
		destroy_if_unused(seg, &names, 0);
	return rc; /* if not 0, others go on from here, as after a remover that was killed */
}

/* ---- Destruction ----------------------------------------------------------------- */

static int destroy(struct unishm *seg, unsigned long attached)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	enum place place;
	if (!p->by_id)
		return 0;
	if (ushp_object_check(&p->object, &st) < 0)
		return 1; /* not known */
	if (st.st_nlink == 0 || !ushp_says_removed(p, &st))
		return 0;
	struct names_of_one names = names_of(p->object.ino);
	int rc = ushp_object_find(&p->object, names.removed, &place);
	if (rc < 0)
		return rc != -ENOENT;
	if (ushp_object_begin_removal(&p->object) < 0)
		return 1;
	rc = take_live_names(&p->object, &names); /* a dead remover's, if any */
	if (rc == 0)
		rc = destroy_if_unused(seg, &names, attached);
	ushp_object_end_removal(&p->object);
	return rc != 0;
}

bool ushp_by_id_is_half_removed(struct unishm *seg, const struct stat *st)
{
	struct posix *p = posix_of(seg);
	enum place place;
	if (!ushp_says_removed(p, st) || ushp_is_name_by_id(p->object.name + 1))
		return false;
	struct names_of_one names = names_of(p->object.ino);
	if (ushp_object_find(&p->object, names.removed, &place) < 0 ||
			ushp_object_begin_removal(&p->object) < 0)
		return false;
	int rc = take_live_names(&p->object, &names);
	ushp_object_end_removal(&p->object);
	return rc == 0;
}

int ushp_by_id_destroy(struct unishm *seg)
{
	return destroy(seg, 0);
}

void ushp_by_id_leave(struct unishm *seg)
{
	destroy(seg, seg->attached);
}
