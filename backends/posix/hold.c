/* SPDX-License-Identifier: MIT */
#include "hold.h"

#include <errno.h>
#include <string.h>

#include "handle.h"
#include "memory.h"
#include "object_sys.h"
#include "reader.h"
#include "slot.h"

/* ---- Operations ------------------------------------------------------------------ */

/* The record's mapping, if it may be used; NULL: use pwrite(). An access to the mapping raises
 * SIGBUS if another process cuts the file short at that instant. So it is used only if the owner is
 * this user or root and no other user may write, or if there is no descriptor for writing. */
static struct record_map *map_of(struct posix *p)
{
	const struct stat *st = &p->st;
	bool trusted = (p->own || st->st_uid == 0) && !(st->st_mode & 022);
	bool needed = p->checked == -EBADF || !p->object.writable;
	return p->hold.map.base && (trusted || needed) ? &p->hold.map : NULL;
}

static uint64_t next_op(struct posix *p)
{
	struct record_tail tail;
	const struct record_map *map = map_of(p);
	if (map) {
		p->hold.saw_removed = ushp_record_load(&ushp_record_head(map)->removed);
		return ushp_record_next_op_in(map);
	}
	int rc = ushp_record_read_tail(&p->object, &tail);
	p->hold.saw_removed = rc == 0 && tail.head.removed;
	return rc < 0 ? p->hold.entry.attach_op + 1 : ushp_record_next_op(&tail);
}

/* Write a part of the slot, as it is in the handle. */
static int put(struct posix *p, const void *field, size_t size)
{
	size_t offset = (size_t)((const unsigned char *)field -
			(const unsigned char *)&p->hold.entry);
	return ushp_record_write(&p->object, map_of(p), record_slot_back(p->hold.index) - offset,
			field, size);
}

static int put_slot(struct posix *p, uint64_t op)
{
	struct record_slot *entry = &p->hold.entry;
	int rc = 0;
	bool mapped = map_of(p) != NULL;
	if (mapped) /* the word last: a process that reads it reads the other fields as well */
		rc = put(p, &entry->pid, sizeof *entry - offsetof(struct record_slot, pid));
	if (rc == 0)
		rc = mapped ? put(p, &entry->word, sizeof entry->word)
			    : put(p, entry, sizeof *entry);
	if (rc == 0 && p->hold.index >= RECORD_INLINE)
		rc = ushp_record_write(&p->object, map_of(p), RECORD_HEAD_FIELD(clock), &op,
				sizeof op);
	return rc;
}

int ushp_hold_put_word(struct posix *p)
{
	return put(p, &p->hold.entry.word, sizeof p->hold.entry.word);
}

/* Record an attach (+1) or a detach (-1), with pid and time. */
static int change_count(struct posix *p, int by)
{
	struct record_slot before = p->hold.entry, *entry = &p->hold.entry;
	uint64_t op = next_op(p);
	uint32_t pid = (uint32_t)unishm_pid();
	entry->word += (uint32_t)by;
	entry->pid = pid;
	if (by > 0) {
		p->hold.before = before;
		entry->attach_pid = pid;
		entry->attach_time = ushp_record_now();
		entry->attach_op = op;
	} else {
		entry->detach_time = ushp_record_now();
		entry->detach_op = op;
	}
	int rc = put_slot(p, op);
	if (rc < 0 && by > 0)
		*entry = before;
	return rc;
}

bool ushp_note_in_others(struct posix *p, bool attach, struct record_slot *before)
{
	struct record_tail tail;
	struct record_slot *others = tail_others(&tail);
	if (!p->object.writable || ushp_record_read_tail(&p->object, &tail) < 0)
		return false;
	uint64_t op = ushp_record_next_op(&tail);
	*before = *others;
	if (attach) {
		others->attach_pid = (uint32_t)unishm_pid();
		others->attach_time = ushp_record_now();
		others->attach_op = op;
	} else {
		others->pid = (uint32_t)unishm_pid();
		others->detach_time = ushp_record_now();
		others->detach_op = op;
	}
	return ushp_record_write(&p->object, NULL, RECORD_OTHERS_BACK, others, sizeof *others) == 0;
}

/* After the word was stored: has the segment been removed? A remover takes the name away, looks for
 * locks, and if there is any it stores head.removed; then it counts. A handle that has the record
 * mapped had its lock before this attachment, so it is enough to load that word. Other handles look
 * at the file's link count: either the name was taken away before, or the remover finds the lock
 * and the word. If a link of another program keeps the file, the record decides, together with the
 * name. A negative errno: this cannot be found out. */
static int is_removed(struct posix *p)
{
	const struct record_map *map = map_of(p);
	struct stat st;
	if (map)
		p->hold.saw_removed = ushp_record_load(&ushp_record_head(map)->removed);
	if (map && !p->hold.saw_removed)
		return 0;
	ushp_record_fence();
	int rc = ushp_object_check(&p->object, &st);
	if (rc == -EBADF || rc == -EBADMSG)
		return 0; /* closed, or cut short, just now: nothing can be undone */
	if (rc < 0)
		return rc;
	return ushp_is_removed(p, &st, p->hold.saw_removed);
}

/* May the hold that was just taken stay on a removed segment? For the shim, as long as it lives. */
static bool may_stay(const struct unishm *seg, const struct posix *p)
{
	return seg->beneath && p->by_id && ushp_object_outlives_removal(&p->object);
}

/* ---- Slot holds -------------------------------------------------------------------- */

/* From the second attachment on the record is mapped: then an attachment can be counted out even
 * when no file can be opened any more. */
static void map_record(struct posix *p)
{
	if (!p->hold.map.base)
		ushp_record_map(p->object.fd, &p->object, p->hold.index, &p->hold.map);
}

static int take_slot(struct posix *p)
{
	struct hold *hold = &p->hold;
	struct record_slot wanted = {
		.word = 1,
		.pid = (uint32_t)unishm_pid(),
		.attach_pid = (uint32_t)unishm_pid(),
	};
	enum lock_owner owner = ushp_object_lock_owner(&p->object);
	struct lock_file file = ushp_object_locks(&p->object);
	int rc = ushp_slot_claim(&p->object, &file, owner, p->free, &wanted, &hold->index,
			&hold->entry, &hold->before);
	p->free = 0;
	if (rc != 0)
		return rc;
	hold->taken = true;
	hold->carrier = owner == LOCK_OF_PROCESS ? HOLD_BY_PROCESS : HOLD_BY_DESCRIPTOR;
	hold->place = ushp_slot_place(hold->index, 0);
	return 0;
}

static int add_to_slot(struct posix *p)
{
	if (ushp_hold_count(&p->hold) == SLOT_COUNT)
		return -ENOSPC;
	map_record(p);
	return change_count(p, +1);
}

/* Read this handle's slot. If the process holds it, a close() in the program may have dropped the
 * lock, and another handle may have the slot. */
static bool is_still_ours(const struct posix *p)
{
	struct record_slot now;
	if (p->hold.carrier != HOLD_BY_PROCESS)
		return true;
	return ushp_record_read_slots(&p->object, p->hold.index, 1, &now) == 0 &&
			now.word == p->hold.entry.word;
}

void ushp_hold_drop_slot(struct posix *p, bool usable)
{
	struct hold *hold = &p->hold;
	struct lock_file file = ushp_object_locks(&p->object);
	if (!hold->taken)
		return;
	if (hold->carrier == HOLD_BY_PROCESS && !usable)
		file.fd = -1;
	if (hold->carrier == HOLD_BY_PROCESS)
		ushp_lock_drop(&file, LOCK_OF_PROCESS, hold->place, 1);
	else if (hold->carrier == HOLD_BY_DESCRIPTOR && usable)
		ushp_lock_drop(&file, LOCK_OF_DESCRIPTION, hold->place, 1);
	ushp_unmap_anchor(hold->anchor);
	ushp_record_unmap(&hold->map);
	*hold = (struct hold){ 0 };
}

/* ---- Both ------------------------------------------------------------------------------ */

static void take_out(struct unishm *seg, struct unishm_attachment *old, bool usable, bool whole)
{
	struct posix *p = posix_of(seg);
	if (ushp_reader_is(old))
		ushp_reader_drop(p, old, usable);
	else if (p->hold.taken && whole && (p->hold.map.base || (usable && is_still_ours(p))))
		change_count(p, -1);
	else
		p->hold.entry.word -= ushp_hold_count(&p->hold) > 0;
}

/* A description that children share can hold no lock of ours. Where the only other one would be for
 * reading, the descriptor stays, to write by, and reader holds have descriptions of their own. If
 * there is none at all, the process will hold the slot. */
static bool can_have_slot(struct posix *p)
{
	int rc = p->object.writable && p->object.shared ? ushp_object_renew(&p->object) : 0;
	return p->object.writable && rc != -EACCES && rc != -EROFS;
}

int ushp_hold_add(struct unishm *seg, bool data_keeps, struct unishm_attachment *new)
{
	struct posix *p = posix_of(seg);
	bool first = !p->hold.taken, keeps = data_keeps && !p->object.shared;
	bool reader = first ? !can_have_slot(p) : !p->object.writable;
	int rc = reader ? 0 : first ? take_slot(p) : add_to_slot(p);
	if (rc == 0 && !reader && first && !keeps)
		map_record(p);
	if (rc == LOCK_BUSY || rc == -ENOSPC)
		reader = true;
	if (reader)
		rc = ushp_reader_take(p, data_keeps, new);
	if (rc < 0)
		return rc;
	p->hold.noted = reader && ushp_note_in_others(p, true, &p->hold.before);
	rc = is_removed(p);
	if (rc > 0 && may_stay(seg, p))
		return 0;
	if (rc != 0)
		ushp_hold_undo(seg, new);
	return rc > 0 ? -EIDRM : rc;
}

void ushp_hold_undo(struct unishm *seg, struct unishm_attachment *new)
{
	struct posix *p = posix_of(seg);
	struct hold *hold = &p->hold;
	if (ushp_reader_is(new)) {
		if (hold->noted)
			ushp_record_write(&p->object, NULL, RECORD_OTHERS_BACK, &hold->before,
					sizeof hold->before);
		ushp_reader_drop(p, new, true);
		return;
	}
	hold->entry.word--;
	hold->entry.pid = hold->before.pid;
	hold->entry.attach_pid = hold->before.attach_pid;
	hold->entry.attach_time = hold->before.attach_time;
	hold->entry.attach_op = hold->before.attach_op;
	put_slot(p, next_op(p));
}

void ushp_hold_remove(struct unishm *seg, struct unishm_attachment *old, bool usable, bool whole)
{
	struct posix *p = posix_of(seg);
	if (usable && ushp_reader_is(old))
		ushp_note_in_others(p, false, &p->hold.before);
	take_out(seg, old, usable, whole);
}

void ushp_hold_close(struct unishm *seg)
{
	struct stat st;
	struct posix *p = posix_of(seg);
	if (p->hold.taken && p->hold.carrier != HOLD_BY_PROCESS)
		ushp_hold_drop_slot(p, false); /* the lock goes with the description */
	else if (p->hold.taken)
		ushp_hold_drop_slot(p, ushp_object_check(&p->object, &st) == 0);
}

static int recount_in_slot(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	int rc = can_have_slot(p) ? take_slot(p) : LOCK_BUSY;
	if (rc != 0)
		return rc;
	if (p->hold.carrier == HOLD_BY_DESCRIPTOR)
		map_record(p);
	for (unsigned i = 1; rc == 0 && i < seg->attached; i++)
		rc = change_count(p, +1);
	return rc;
}

int ushp_hold_recount(struct unishm *seg)
{
	int rc = 0;
	for (unsigned i = 0; i < seg->attached; i++)
		ushp_reader_clear(&seg->attachments[i]);
	if (recount_in_slot(seg) == 0)
		return 0;
	for (unsigned i = 0; rc == 0 && i < seg->attached; i++)
		rc = ushp_reader_take(posix_of(seg), false, &seg->attachments[i]);
	return rc;
}
