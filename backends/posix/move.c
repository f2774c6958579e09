/* SPDX-License-Identifier: MIT */
#include "move.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>

#include "handle.h"
#include "memory.h"
#include "object_sys.h"
#include "reader.h"
#include "slot.h"

/* Another owner has locked B: record that in the word, and unlock A. */
static int switch_to_b(struct posix *p, const struct lock_file *old, bool lost)
{
	struct hold *hold = &p->hold;
	uint64_t a = hold->place;
	hold->entry.word |= SLOT_MOVED;
	hold->place = ushp_slot_place(hold->index, SLOT_MOVED);
	int rc = ushp_hold_put_word(p);
	if (rc == 0 && !lost)
		ushp_lock_drop(old, LOCK_OF_DESCRIPTION, a, 1);
	return rc;
}

/* The slot's lock goes to the description of @fd, kept by an anchor. */
static int move_slot(struct posix *p, int fd, bool lost)
{
	struct hold *hold = &p->hold;
	void *anchor;
	struct lock_file old = ushp_object_locks(&p->object),
			 new = { fd, false, p->object.dev, p->object.ino };
	int rc = ushp_map_anchor(fd, &anchor);
	if (rc < 0)
		return rc;
	rc = ushp_lock_must_take(&new, LOCK_OF_DESCRIPTION,
			ushp_slot_place(hold->index, SLOT_MOVED), 1, true);
	if (rc < 0) {
		ushp_unmap_anchor(anchor);
		return rc;
	}
	if (!hold->map.base) /* not by @fd, since children must not keep its description */
		ushp_record_map(p->object.fd, &p->object, hold->index, &hold->map);
	hold->anchor = anchor;
	hold->carrier = HOLD_BY_MAPPING;
	switch_to_b(p, &old, lost);
	return 0;
}

/* There is no description, so the process holds it, until the program closes a descriptor of the
 * file. */
static int move_slot_to_process(struct posix *p, bool lost)
{
	struct lock_file file = ushp_object_locks(&p->object);
	uint64_t b = ushp_slot_place(p->hold.index, SLOT_MOVED);
	int rc = ushp_lock_must_take(&file, LOCK_OF_PROCESS, b, 1, true);
	if (rc < 0)
		return rc;
	p->hold.carrier = HOLD_BY_PROCESS;
	return switch_to_b(p, &file, lost);
}

/* The word has to be written, though there is no descriptor for that. */
static int need_map(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	int rc = p->hold.map.base || p->object.writable ? 0 : -EACCES;
	for (unsigned i = 0; rc == -EACCES && i < seg->attached; i++)
		rc = ushp_sys_map_record_by_data(&p->object, seg->attachments[i].addr, seg->size,
				p->hold.index, &p->hold.map);
	return rc;
}

/* Reader holds for what the slot counts; how many could be had in @taken. */
static int take_readers(struct unishm *seg, unsigned *taken)
{
	struct posix *p = posix_of(seg);
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < seg->attached; i++) {
		if (ushp_reader_is(&seg->attachments[i]))
			continue;
		rc = ushp_reader_take(p, false, &seg->attachments[i]);
		*taken += rc == 0;
	}
	return rc;
}

/* The process may open the object for reading only by now, so no other description can have an
 * exclusive lock, and the slot's belongs to one that its children will share. Each attachment gets
 * a reader hold, and then the slot counts it no more; for a moment both count. */
static int move_slot_to_readers(struct unishm *seg, bool lost)
{
	struct posix *p = posix_of(seg);
	unsigned taken = 0;
	int rc = need_map(seg);
	if (rc < 0)
		return rc;
	rc = take_readers(seg, &taken);
	p->hold.entry.word -= taken;
	ushp_hold_put_word(p);
	if (rc == 0)
		ushp_hold_drop_slot(p, !lost);
	return rc;
}

static int reopen(struct posix *p, int access)
{
	if (ushp_lock_by_process(p->object.dev, p->object.ino))
		return -EBADF; /* no other description can hold locks then */
	return ushp_object_reopen(&p->object, access);
}

static bool can_read(struct posix *p)
{
	int fd = reopen(p, O_RDONLY);
	if (fd >= 0)
		ushp_lock_close(fd);
	return fd >= 0;
}

static int move_slot_somewhere(struct unishm *seg, bool lost)
{
	struct posix *p = posix_of(seg);
	int fd = reopen(p, O_RDWR);
	if (fd < 0 && (!p->object.writable || can_read(p)))
		return move_slot_to_readers(seg, lost);
	if (fd < 0)
		return move_slot_to_process(p, lost);
	int rc = move_slot(p, fd, lost);
	ushp_lock_close(fd);
	return rc;
}

/* Each gets a description of its own, or none could be given up alone. */
static int move_readers(struct unishm *seg, bool lost)
{
	struct posix *p = posix_of(seg);
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < seg->attached; i++) {
		if (!ushp_reader_by_descriptor(&seg->attachments[i]))
			continue;
		int fd = reopen(p, O_RDONLY);
		rc = ushp_reader_move(p, &seg->attachments[i], fd, lost);
		if (fd >= 0)
			ushp_lock_close(fd);
	}
	return rc;
}

int ushp_hold_move(struct unishm *seg, bool lost)
{
	struct posix *p = posix_of(seg);
	bool slot = p->hold.taken && p->hold.carrier == HOLD_BY_DESCRIPTOR;
	int rc = move_readers(seg, lost);
	if (slot && ushp_hold_count(&p->hold) == 0)
		ushp_hold_drop_slot(p, !lost); /* not worthwhile for a handle without attachments */
	else if (slot && rc == 0)
		rc = move_slot_somewhere(seg, lost);
	if (rc == 0 && slot && !lost)
		rc = move_readers(seg, false); /* the reader holds that replace the slot */
	return rc;
}

/* The description of the descriptor that is closed may have the locks of reader holds. */
int ushp_hold_need_writable(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	if (p->object.writable)
		return 0;
	int fd = ushp_object_reopen(&p->object, O_RDWR);
	if (fd < 0)
		return fd;
	int rc = ushp_hold_move(seg, false);
	if (rc == 0)
		return ushp_object_replace(&p->object, fd, true);
	ushp_lock_close(fd);
	return rc;
}

void ushp_hold_secure(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct hold *hold = &p->hold;
	if (hold->taken && hold->carrier == HOLD_BY_DESCRIPTOR && ushp_hold_count(hold) > 0 &&
			!hold->map.base)
		ushp_record_map(p->object.fd, &p->object, hold->index, &hold->map);
}

/* The kernel dropped the locks of the process when the program closed a descriptor of the object.
 * To other processes its holds are dead. Take them again. */
static int retake_slot(struct posix *p)
{
	struct hold *hold = &p->hold, old = *hold;
	struct record_slot before, wanted = old.entry;
	struct lock_file file = ushp_object_locks(&p->object);
	ushp_lock_forget(p->object.dev, p->object.ino, old.place);
	wanted.word = ushp_hold_count(&old);
	ushp_record_unmap(&hold->map);
	*hold = (struct hold){ 0 };
	if (wanted.word == 0)
		return 0;
	int rc = ushp_slot_claim(&p->object, &file, LOCK_OF_PROCESS, 0, &wanted, &hold->index,
			&hold->entry, &before);
	hold->taken = rc == 0;
	hold->carrier = HOLD_BY_PROCESS;
	hold->place = ushp_slot_place(hold->index, 0);
	return rc == LOCK_BUSY ? -EBUSY : rc;
}

int ushp_hold_retake(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	int rc = p->hold.taken && p->hold.carrier == HOLD_BY_PROCESS ? retake_slot(p) : 0;
	for (unsigned i = 0; rc == 0 && i < seg->attached; i++)
		rc = ushp_reader_retake(p, &seg->attachments[i]);
	return rc;
}
