/* SPDX-License-Identifier: MIT */
#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "handle.h"
#include "memory.h"
#include "object_sys.h"
#include "os.h"
#include "sys.h"

/* ---- Operations ------------------------------------------------------------------ */

static uint64_t next_op(struct posix *p)
{
	struct record_tail tail;
	if (p->hold.map.base) {
		p->hold.saw_removed = ushp_record_load(&ushp_record_head(&p->hold.map)->removed);
		return ushp_record_next_op_in(&p->hold.map);
	}
	int rc = ushp_record_read(p->object.fd, p->object.record_at, sizeof tail, &tail, sizeof tail);
	p->hold.saw_removed = rc == 0 && tail.head.removed;
	return rc < 0 ? p->hold.entry.attach_op + 1 : ushp_record_next_op(&tail);
}

/* Write a field of the slot, the word last when the number rises. */
static int put(struct posix *p, const void *field, size_t size)
{
	size_t offset = (size_t)((const unsigned char *)field - (const unsigned char *)&p->hold.entry);
	return ushp_record_write(&p->object, &p->hold.map, record_slot_back(p->hold.index) - offset, field, size);
}

static int put_slot(struct posix *p, uint64_t op)
{
	struct record_slot *entry = &p->hold.entry;
	int rc = 0;
	bool mapped = p->hold.map.base;
	if (mapped) /* the word last: who sees it sees the rest */
		rc = put(p, &entry->pid, sizeof *entry - offsetof(struct record_slot, pid));
	if (rc == 0)
		rc = mapped ? put(p, &entry->word, sizeof entry->word) : put(p, entry, sizeof *entry);
	if (rc == 0 && p->hold.index >= RECORD_INLINE)
		rc = ushp_record_write(&p->object, &p->hold.map, RECORD_HEAD_FIELD(clock), &op, sizeof op);
	return rc;
}

/* An attachment came (+1) or went (-1): write it down, with who and when. */
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
	if (!p->object.writable || ushp_record_read(p->object.fd, p->object.record_at, sizeof tail, &tail,
			sizeof tail) < 0)
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

/* After the word was stored. The record may lie: then the file tells. */
static bool is_removed(const struct posix *p)
{
	uint32_t removed = 0;
	struct stat st;
	if (p->hold.map.base) {
		removed = ushp_record_load(&ushp_record_head(&p->hold.map)->removed);
	} else {
		ushp_record_fence();
		ushp_record_read(p->object.fd, p->object.record_at, RECORD_HEAD_FIELD(removed), &removed,
				sizeof removed);
	}
	return removed && ushp_object_check(&p->object, &st) == 0 &&
			(st.st_nlink == 0 || ushp_is_removed_name(p->object.name + 1) ||
			!ushp_object_has_name(&p->object));
}

/* May the hold that was just taken stay on a removed segment? For the shim, as long as it lives. */
static bool may_stay(const struct unishm *seg, const struct posix *p)
{
	return seg->beneath && p->by_id && ushp_object_outlives_removal(&p->object);
}

/* ---- Slot holds -------------------------------------------------------------------- */

/* By whom can a lock on the handle's descriptor be held? A description that children share holds
 * none of ours, and one cannot be kept where the process has locks of its own. */
static enum lock_owner owner_of(const struct posix *p)
{
	if (ushp_sys_lock_owner == LOCK_OF_PROCESS || p->object.shared ||
			ushp_lock_by_process(p->object.dev, p->object.ino))
		return LOCK_OF_PROCESS;
	return LOCK_OF_DESCRIPTION;
}

static void stop_sharing(struct posix *p)
{
	if (p->object.shared)
		ushp_object_renew(&p->object); /* if not, the process will hold it */
}

static int take_slot(struct posix *p)
{
	struct hold *hold = &p->hold;
	struct record_slot wanted = {
		.word = 1, .pid = (uint32_t)unishm_pid(), .attach_pid = (uint32_t)unishm_pid() };
	stop_sharing(p);
	enum lock_owner owner = owner_of(p);
	struct lock_file file = ushp_object_locks(&p->object);
	int rc = ushp_slot_claim(&p->object, &file, owner, &wanted, &hold->index, &hold->entry,
			&hold->before);
	if (rc < 0)
		return rc;
	hold->taken = true;
	hold->carrier = owner == LOCK_OF_PROCESS ? HOLD_BY_PROCESS : HOLD_BY_DESCRIPTOR;
	hold->place = ushp_slot_place(hold->index, 0);
	return 0;
}

static unsigned count_of(const struct hold *hold)
{
	return hold->taken ? hold->entry.word & SLOT_COUNT : 0;
}

/* From the second attachment on the record is mapped: then who can open nothing any more can still be
 * counted out. */
static int add_to_slot(struct posix *p, bool data_keeps)
{
	struct hold *hold = &p->hold;
	bool first = !hold->taken, keeps = data_keeps && !p->object.shared;
	int rc = first ? take_slot(p) : count_of(hold) == SLOT_COUNT ? -ENOSPC : 0;
	if (rc < 0)
		return rc;
	if (!hold->map.base && (!first || !keeps))
		ushp_record_map(p->object.fd, &p->object, hold->index, &hold->map);
	return first ? 0 : change_count(p, +1);
}

/* What this handle's slot says. Where the process holds it, the program may have dropped the lock
 * by a close(), and the slot may be another's by now. */
static bool is_still_ours(const struct posix *p)
{
	struct record_slot now;
	if (p->hold.carrier != HOLD_BY_PROCESS)
		return true;
	return ushp_record_read(p->object.fd, p->object.record_at, record_slot_back(p->hold.index), &now,
			sizeof now) == 0 && now.word == p->hold.entry.word;
}

static void drop_slot(struct posix *p, bool usable)
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

/* ---- Reader holds -------------------------------------------------------------------- */

enum { PLACE = 0, PAGE = 1 }; /* of struct unishm_attachment.own */

/* The page is a mapping through the description that has the lock; its low bits tell which one that
 * is: none of the handle's, the process, the one of the handle's descriptor. */
enum { BY_DESCRIPTOR = 0, BY_PROCESS = 1, KEEPS_DESCRIPTOR = 2, PAGE_BITS = 3 };

static void *page_of(const struct unishm_attachment *at)
{
	return (void *)(uintptr_t)(at->own[PAGE] & ~(uint64_t)PAGE_BITS);
}

const void *ushp_hold_page(const struct unishm_attachment *at)
{
	return page_of(at);
}

bool ushp_hold_is_reader(const struct unishm_attachment *at)
{
	return at->own[PLACE] != 0;
}

/* Places rise with time, so that who looks from low to high passes no place where another may
 * still come (census.c). A place has room for READERS_AT_ONCE, and begins by chance within a
 * microsecond. */
static uint64_t place_of_now(void)
{
	enum { STRIDE = 4096 };
	const uint64_t begin = UINT64_C(1767225600); /* 2026; there is room until 2061 */
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now); /* the clock that time namespaces do not shift */
	uint64_t micro = ((uint64_t)now.tv_sec - begin) * 1000000 + (uint64_t)now.tv_nsec / 1000;
	micro &= (UINT64_C(1) << 49) - 1;
	return PLACE_READERS + micro * STRIDE + ushp_random() % (STRIDE - READERS_AT_ONCE);
}

int ushp_reader_claim(const struct lock_file *file, enum lock_owner owner, unsigned count, uint64_t *place)
{
	for (unsigned tries = 0; tries < 100; tries++) {
		struct range found;
		uint64_t at = place_of_now();
		int rc = ushp_lock_take(file, owner, at, count, false);
		if (rc < 0)
			return rc;
		rc = ushp_lock_find_foreign(file, owner, (struct range){ at, at + count - 1 }, &found);
		if (rc < 0 || (rc > 0 && found.last - found.first < READERS_AT_ONCE)) {
			ushp_lock_drop(file, owner, at, count); /* one who came at the very time */
			if (rc < 0)
				return rc;
			continue;
		}
		*place = at;
		return 0;
	}
	return -EAGAIN;
}

static int take_reader(struct posix *p, bool data_keeps, struct unishm_attachment *new)
{
	void *page;
	bool keeps = data_keeps && !p->object.shared;
	stop_sharing(p);
	enum lock_owner owner = owner_of(p);
	struct lock_file file = ushp_object_locks(&p->object);
	int rc = ushp_reader_claim(&file, owner, 1, &new->own[PLACE]);
	if (rc < 0)
		return rc;
	new->own[PAGE] = owner == LOCK_OF_PROCESS ? BY_PROCESS : BY_DESCRIPTOR;
	if (owner == LOCK_OF_DESCRIPTION && !keeps &&
			ushp_map_anchor(p->object.fd, &page) == 0)
		new->own[PAGE] = (uint64_t)(uintptr_t)page | KEEPS_DESCRIPTOR;
	return 0;
}

static void drop_reader(struct posix *p, struct unishm_attachment *old, bool usable)
{
	struct lock_file file = ushp_object_locks(&p->object);
	if (!usable)
		file.fd = -1;
	if (old->own[PAGE] == BY_PROCESS)
		ushp_lock_drop(&file, LOCK_OF_PROCESS, old->own[PLACE], 1);
	else if (usable)
		ushp_lock_drop(&file, LOCK_OF_DESCRIPTION, old->own[PLACE], 1);
	ushp_unmap_anchor(page_of(old));
	old->own[PLACE] = old->own[PAGE] = 0;
}

/* ---- Both ------------------------------------------------------------------------------ */

static void take_out(struct unishm *seg, struct unishm_attachment *old, bool usable, bool whole)
{
	struct posix *p = posix_of(seg);
	if (ushp_hold_is_reader(old))
		drop_reader(p, old, usable);
	else if (p->hold.taken && whole && (p->hold.map.base || (usable && is_still_ours(p))))
		change_count(p, -1);
	else
		p->hold.entry.word -= count_of(&p->hold) > 0;
}

int ushp_hold_add(struct unishm *seg, bool data_keeps, struct unishm_attachment *new)
{
	struct posix *p = posix_of(seg);
	int rc = p->object.writable ? add_to_slot(p, data_keeps) : -EACCES;
	bool reader = rc == -EACCES || rc == -EAGAIN || rc == -ENOSPC;
	if (reader)
		rc = take_reader(p, data_keeps, new);
	if (rc < 0)
		return rc;
	p->hold.noted = reader && ushp_note_in_others(p, true, &p->hold.before);
	if (is_removed(p) && !may_stay(seg, p)) {
		ushp_hold_undo(seg, new);
		return -EIDRM;
	}
	return 0;
}

void ushp_hold_undo(struct unishm *seg, struct unishm_attachment *new)
{
	struct posix *p = posix_of(seg);
	struct hold *hold = &p->hold;
	if (ushp_hold_is_reader(new)) {
		if (hold->noted)
			ushp_record_write(&p->object, &hold->map, RECORD_OTHERS_BACK, &hold->before,
					sizeof hold->before);
		drop_reader(p, new, true);
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
	if (usable && ushp_hold_is_reader(old))
		ushp_note_in_others(p, false, &p->hold.before);
	take_out(seg, old, usable, whole);
}

void ushp_hold_close(struct unishm *seg)
{
	struct stat st;
	struct posix *p = posix_of(seg);
	if (p->hold.taken && p->hold.carrier != HOLD_BY_PROCESS)
		drop_slot(p, false); /* the lock goes with the description */
	else if (p->hold.taken)
		drop_slot(p, ushp_object_check(&p->object, &st) == 0);
}

/* ---- Another description ------------------------------------------------------------------ */

/* B is locked by another owner: say so in the word, and give up A. */
static int switch_to_b(struct posix *p, const struct lock_file *old, bool lost)
{
	struct hold *hold = &p->hold;
	uint64_t a = hold->place;
	hold->entry.word |= SLOT_MOVED;
	hold->place = ushp_slot_place(hold->index, SLOT_MOVED);
	size_t back = record_slot_back(hold->index) - offsetof(struct record_slot, word);
	int rc = ushp_record_write(&p->object, NULL, back, &hold->entry.word, sizeof hold->entry.word);
	if (rc == 0 && !lost)
		ushp_lock_drop(old, LOCK_OF_DESCRIPTION, a, 1);
	return rc;
}

/* The slot's lock goes to the description of @fd, kept by an anchor. */
static int move_slot(struct posix *p, int fd, bool lost)
{
	struct hold *hold = &p->hold;
	void *anchor;
	struct lock_file old = ushp_object_locks(&p->object), new = { fd, false, p->object.dev, p->object.ino };
	int rc = ushp_map_anchor(fd, &anchor);
	if (rc < 0)
		return rc;
	rc = ushp_lock_take(&new, LOCK_OF_DESCRIPTION, ushp_slot_place(hold->index, SLOT_MOVED), 1, true);
	if (rc < 0) {
		ushp_unmap_anchor(anchor);
		return rc;
	}
	if (!hold->map.base) /* it pays; not by @fd, whose description children must not keep */
		ushp_record_map(p->object.fd, &p->object, hold->index, &hold->map);
	hold->anchor = anchor;
	hold->carrier = HOLD_BY_MAPPING;
	switch_to_b(p, &old, lost);
	return 0;
}

static int move_reader(struct posix *p, int fd, struct unishm_attachment *at, bool lost)
{
	struct lock_file old = ushp_object_locks(&p->object), new = { fd, false, p->object.dev, p->object.ino };
	void *page, *former = page_of(at);
	int rc = ushp_map_anchor(fd, &page);
	if (rc < 0)
		return rc;
	rc = ushp_lock_take(&new, LOCK_OF_DESCRIPTION, at->own[PLACE], 1, false);
	if (rc < 0) {
		ushp_unmap_anchor(page);
		return rc;
	}
	at->own[PAGE] = (uint64_t)(uintptr_t)page;
	if (!lost)
		ushp_lock_drop(&old, LOCK_OF_DESCRIPTION, at->own[PLACE], 1);
	ushp_unmap_anchor(former);
	return 0;
}

/* No description can be had: the process has to hold it, as far as the program lets it. */
static int move_slot_to_process(struct posix *p, bool lost)
{
	struct lock_file file = ushp_object_locks(&p->object);
	uint64_t b = ushp_slot_place(p->hold.index, SLOT_MOVED);
	int rc = p->object.writable || p->hold.map.base ? 0 : -EACCES;
	if (rc == 0)
		rc = ushp_lock_take(&file, LOCK_OF_PROCESS, b, 1, true);
	if (rc < 0)
		return rc;
	p->hold.carrier = HOLD_BY_PROCESS;
	return switch_to_b(p, &file, lost);
}

static int move_reader_to_process(struct posix *p, struct unishm_attachment *at, bool lost)
{
	struct lock_file file = ushp_object_locks(&p->object);
	void *former = page_of(at);
	int rc = ushp_lock_take(&file, LOCK_OF_PROCESS, at->own[PLACE], 1, false);
	if (rc < 0)
		return rc;
	at->own[PAGE] = BY_PROCESS;
	if (!lost)
		ushp_lock_drop(&file, LOCK_OF_DESCRIPTION, at->own[PLACE], 1);
	ushp_unmap_anchor(former);
	return 0;
}

static bool is_by_descriptor(const struct unishm_attachment *at)
{
	return ushp_hold_is_reader(at) && (at->own[PAGE] == BY_DESCRIPTOR || at->own[PAGE] & KEEPS_DESCRIPTOR);
}

/* Each reader hold gets a description of its own, or none could be given up alone. */
static int move_one(struct posix *p, struct unishm_attachment *reader, bool lost)
{
	int fd = ushp_lock_by_process(p->object.dev, p->object.ino) ? -EBADF
			: ushp_object_reopen(&p->object, reader ? O_RDONLY : O_RDWR);
	if (fd < 0)
		return reader ? move_reader_to_process(p, reader, lost) : move_slot_to_process(p, lost);
	int rc = reader ? move_reader(p, fd, reader, lost) : move_slot(p, fd, lost);
	ushp_lock_close(fd);
	return rc;
}

unsigned ushp_hold_unseen(struct unishm *seg)
{
	unsigned count = 0;
	for (unsigned i = 0; i < seg->attached; i++)
		count += is_by_descriptor(&seg->attachments[i]);
	return count;
}

int ushp_hold_move(struct unishm *seg, bool lost)
{
	struct posix *p = posix_of(seg);
	bool slot = p->hold.taken && p->hold.carrier == HOLD_BY_DESCRIPTOR;
	int rc = 0;
	if (slot && count_of(&p->hold) == 0)
		drop_slot(p, !lost); /* an idle one is not worth it */
	else if (slot)
		rc = move_one(p, NULL, lost);
	for (unsigned i = 0; rc == 0 && i < seg->attached; i++)
		if (is_by_descriptor(&seg->attachments[i]))
			rc = move_one(p, &seg->attachments[i], lost);
	return rc;
}

/* The description of the descriptor that goes may hold reader holds. */
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
	if (hold->taken && hold->carrier == HOLD_BY_DESCRIPTOR && count_of(hold) > 0 && !hold->map.base)
		ushp_record_map(p->object.fd, &p->object, hold->index, &hold->map); /* or it stays as it is */
}

/* The kernel dropped what the process held when the program closed a descriptor of the object: what
 * was left of it is dead to others. Take anew. */
static int retake_slot(struct posix *p)
{
	struct hold *hold = &p->hold, old = *hold;
	struct record_slot before, wanted = old.entry;
	struct lock_file file = ushp_object_locks(&p->object);
	ushp_lock_forget(p->object.dev, p->object.ino, old.place);
	wanted.word = count_of(&old);
	ushp_record_unmap(&hold->map);
	*hold = (struct hold){ 0 };
	if (wanted.word == 0)
		return 0;
	int rc = ushp_slot_claim(&p->object, &file, LOCK_OF_PROCESS, &wanted, &hold->index, &hold->entry,
			&before);
	hold->taken = rc == 0;
	hold->carrier = HOLD_BY_PROCESS;
	hold->place = ushp_slot_place(hold->index, 0);
	return rc;
}

int ushp_hold_retake(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct lock_file file = ushp_object_locks(&p->object);
	int rc = p->hold.taken && p->hold.carrier == HOLD_BY_PROCESS ? retake_slot(p) : 0;
	for (unsigned i = 0; rc == 0 && i < seg->attached; i++) {
		struct unishm_attachment *at = &seg->attachments[i];
		if (!ushp_hold_is_reader(at) || at->own[PAGE] != BY_PROCESS)
			continue;
		ushp_lock_forget(p->object.dev, p->object.ino, at->own[PLACE]);
		rc = ushp_reader_claim(&file, LOCK_OF_PROCESS, 1, &at->own[PLACE]);
	}
	return rc;
}

/* ---- In a child -------------------------------------------------------------------------------- */

void ushp_hold_drop_page(struct unishm_attachment *at)
{
	ushp_drop_inherited(page_of(at), 1);
	if (page_of(at))
		at->own[PAGE] = BY_DESCRIPTOR;
}

void ushp_hold_forget(struct posix *p, struct unishm_attachment *at)
{
	if (ushp_hold_is_reader(at) && at->own[PAGE] == BY_PROCESS)
		ushp_lock_forget(p->object.dev, p->object.ino, at->own[PLACE]);
}

/* Each byte needs a description of its own to be given up alone; the last may have the heir's. */
static void inherit_by_description(struct posix *p, struct unishm_attachment *at, int fd, bool last)
{
	struct lock_file heir = { fd, false, p->object.dev, p->object.ino }, own = heir;
	void *page;
	own.fd = last ? fd : ushp_object_reopen(&p->object, O_RDONLY);
	if (own.fd < 0)
		own.fd = fd; /* then it counts until the last one ends */
	if (own.fd != fd && ushp_lock_take(&own, LOCK_OF_DESCRIPTION, at->own[PLACE], 1, false) == 0)
		ushp_lock_drop(&heir, LOCK_OF_DESCRIPTION, at->own[PLACE], 1);
	if (ushp_map_anchor(own.fd, &page) == 0)
		at->own[PAGE] = (uint64_t)(uintptr_t)page;
	if (own.fd != fd)
		ushp_lock_close(own.fd);
}

void ushp_hold_inherit(struct unishm *seg, struct unishm_attachment *at, int fd, uint64_t place, bool last)
{
	struct posix *p = posix_of(seg);
	at->own[PLACE] = place;
	at->own[PAGE] = fd < 0 ? (uint64_t)BY_PROCESS : BY_DESCRIPTOR;
	if (place == 0)
		take_reader(p, false, at);
	else if (fd >= 0)
		inherit_by_description(p, at, fd, last);
}

static int recount_in_slot(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	int rc = p->object.writable ? take_slot(p) : -EACCES;
	if (rc < 0)
		return rc;
	if (p->hold.carrier == HOLD_BY_DESCRIPTOR)
		ushp_record_map(p->object.fd, &p->object, p->hold.index, &p->hold.map);
	for (unsigned i = 1; rc == 0 && i < seg->attached; i++)
		rc = change_count(p, +1);
	return rc;
}

int ushp_hold_recount(struct unishm *seg)
{
	int rc = 0;
	for (unsigned i = 0; i < seg->attached; i++)
		seg->attachments[i].own[PLACE] = seg->attachments[i].own[PAGE] = 0;
	if (recount_in_slot(seg) == 0)
		return 0;
	for (unsigned i = 0; rc == 0 && i < seg->attached; i++)
		rc = take_reader(posix_of(seg), false, &seg->attachments[i]);
	return rc;
}
