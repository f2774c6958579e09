/* SPDX-License-Identifier: MIT */
#include "slot.h"

#include <errno.h>
#include <stddef.h>

/* What a claim works on. */
struct claim {
	struct object object; /* with the descriptor of @file */
	const struct lock_file *file;
	enum lock_owner owner;
	const struct record_slot *wanted;
	uint32_t index;
	struct record_slot entry, before;
};

/* Write a slot, and that the operation @op happened. */
static int write_slot(const struct object *object, uint32_t index, const struct record_slot *slot,
		uint64_t op)
{
	int rc = ushp_record_write(object, NULL, record_slot_back(index), slot, sizeof *slot);
	if (rc == 0 && index >= RECORD_INLINE)
		rc = ushp_record_write(object, NULL, RECORD_HEAD_FIELD(clock), &op, sizeof op);
	return rc;
}

/* ---- A dead holder's slot -------------------------------------------------------- */

/* The nonce rises: a process that compares words must not take this for a detach. */
static int clear_slot(const struct object *object, uint32_t index, uint32_t word)
{
	struct record_tail tail;
	struct record_slot entry;
	int rc = ushp_record_read_slots(object, index, 1, &entry);
	if (rc < 0 || entry.word != word)
		return rc;
	rc = ushp_record_read_tail(object, &tail);
	if (rc < 0)
		return rc;
	entry.word = ((word >> SLOT_NONCE_SHIFT) + 1) << SLOT_NONCE_SHIFT;
	if (entry.pid != 0) { /* else a child that never ran */
		entry.detach_time = ushp_record_now();
		entry.detach_op = ushp_record_next_op(&tail);
	}
	rc = write_slot(object, index, &entry, entry.detach_op);
	return rc < 0 ? rc : 1;
}

/* The parent of a child that has not run yet, and holds by process, has A for it. */
static int is_held_by_parent(const struct object *object, uint32_t index, uint32_t word)
{
	struct lock_file file = ushp_object_locks(object);
	uint64_t a = ushp_slot_place(index, 0);
	struct record_slot entry;
	struct range found;
	int rc = word & SLOT_MOVED ? ushp_record_read_slots(object, index, 1, &entry) : -ENOENT;
	if (rc < 0 || entry.pid != 0)
		return rc == -ENOENT ? 0 : rc;
	return ushp_lock_find(&file, (struct range){ a, a }, true, &found);
}

/* The holder's lock must be looked for and not taken: that would make it look alive to others.
 * Another place keeps away those who would do the same; a claim, which does not, takes no slot
 * whose word counts. */
int ushp_slot_clear(const struct object *object, uint32_t index, uint32_t word)
{
	struct lock_file file = ushp_object_locks(object);
	enum lock_owner owner = ushp_object_lock_owner(object);
	uint64_t own = ushp_slot_place(index, word), clear = PLACE_CLEARS + index;
	struct range found;
	int rc = ushp_lock_take(&file, owner, clear, 1, true);
	if (rc != 0)
		return rc == LOCK_BUSY ? 0 : rc;
	rc = ushp_lock_find(&file, (struct range){ own, own }, true, &found);
	if (rc == 0)
		rc = is_held_by_parent(object, index, word);
	if (rc >= 0)
		rc = rc > 0 ? 0 : clear_slot(object, index, word);
	ushp_lock_drop(&file, owner, clear, 1);
	return rc;
}

/* ---- A free slot ----------------------------------------------------------------- */

/* The holder moved to byte B, and lives. */
static int is_held_on_b(const struct claim *claim, uint32_t word)
{
	uint64_t b = ushp_slot_place(claim->index, SLOT_MOVED);
	struct range found;
	return word & SLOT_MOVED ? ushp_lock_find(claim->file, (struct range){ b, b }, true, &found)
				 : 0;
}

/* Record pid and time, over the older ones of the slot. */
static void fill_in(struct claim *claim, uint64_t op)
{
	struct record_slot *entry = &claim->entry;
	uint32_t nonce = (entry->word >> SLOT_NONCE_SHIFT) + 1;
	entry->word = (nonce << SLOT_NONCE_SHIFT) | claim->wanted->word;
	entry->pid = claim->wanted->pid;
	entry->attach_pid = claim->wanted->attach_pid;
	entry->attach_time = ushp_record_now();
	entry->attach_op = op;
}

/* With the lock: what is read now is written by no other process. A word that counts is that of one
 * that took the slot, and died, since its word was looked at: leave it at once, for our lock makes
 * it look alive. */
static int fill_slot(struct claim *claim)
{
	struct record_tail tail;
	int rc = ushp_record_read_tail(&claim->object, &tail);
	if (rc == 0 && claim->index < RECORD_INLINE)
		claim->entry = *tail_slot(&tail, claim->index);
	else if (rc == 0)
		rc = ushp_record_read_slots(&claim->object, claim->index, 1, &claim->entry);
	if (rc == 0 && claim->entry.word & SLOT_COUNT)
		return LOCK_BUSY;
	if (rc == 0)
		rc = is_held_on_b(claim, claim->entry.word);
	if (rc != 0)
		return rc > 0 ? LOCK_BUSY : rc;
	claim->before = claim->entry;
	fill_in(claim, ushp_record_next_op(&tail));
	return write_slot(&claim->object, claim->index, &claim->entry, claim->entry.attach_op);
}

/* Try slot claim->index, of which the word did not count. LOCK_BUSY: another process has it. */
static int try_slot(struct claim *claim)
{
	uint64_t a = ushp_slot_place(claim->index, 0);
	int rc = ushp_lock_take(claim->file, claim->owner, a, 1, true);
	if (rc != 0)
		return rc;
	rc = fill_slot(claim);
	if (rc != 0)
		ushp_lock_drop(claim->file, claim->owner, a, 1);
	return rc;
}

unsigned ushp_slot_free(const struct record_tail *tail)
{
	unsigned free = 0;
	for (uint32_t i = 0; i < RECORD_INLINE; i++)
		if (!(tail->slots[RECORD_INLINE - 1 - i].word & SLOT_COUNT))
			free |= 1u << i;
	return free;
}

/* Some of those, from one by chance on, so that many who come at once seldom meet. What is known
 * may be old: the lock decides, and what is read under it. */
static int try_inline(struct claim *claim, unsigned free)
{
	struct record_tail tail;
	uint32_t start = (uint32_t)ushp_random();
	int rc = free ? 0 : ushp_record_read_tail(&claim->object, &tail);
	if (rc < 0)
		return rc;
	if (!free)
		free = ushp_slot_free(&tail);
	rc = LOCK_BUSY;
	for (uint32_t i = 0, tries = 0; rc == LOCK_BUSY && i < RECORD_INLINE && tries < 3; i++) {
		claim->index = (start + i) % RECORD_INLINE;
		if (!(free >> claim->index & 1))
			continue;
		rc = try_slot(claim);
		tries++;
	}
	return rc;
}

/* Slots that say that they are free, in a window somewhere among all. */
static int try_free(struct claim *claim, uint32_t used)
{
	enum { WINDOW = 64 };
	struct record_slot slots[WINDOW];
	uint32_t count = used < WINDOW ? used : WINDOW;
	uint32_t first = (uint32_t)(ushp_random() % (used - count + 1));
	int rc = ushp_record_read_slots(&claim->object, first, count, slots);
	if (rc < 0)
		return rc;
	rc = LOCK_BUSY;
	for (uint32_t i = 0; rc == LOCK_BUSY && i < count; i++) {
		if (slots[count - 1 - i].word & SLOT_COUNT)
			continue;
		claim->index = first + i;
		rc = try_slot(claim);
	}
	return rc;
}

/* Look at two slots that say they are taken: the slot of a dead holder can be used. As each
 * claim looks at two, there are never many more dead slots than living ones, even if no process
 * counts. */
static int try_dead(struct claim *claim, uint32_t used)
{
	struct record_slot slot;
	int rc = LOCK_BUSY;
	for (uint32_t i = 0; rc == LOCK_BUSY && i < 2; i++) {
		claim->index = (uint32_t)(ushp_random() % used);
		rc = ushp_record_read_slots(&claim->object, claim->index, 1, &slot);
		if (rc == 0)
			rc = slot.word & SLOT_COUNT
					? ushp_slot_clear(&claim->object, claim->index, slot.word)
					: 1;
		if (rc >= 0)
			rc = rc > 0 ? try_slot(claim) : LOCK_BUSY;
	}
	return rc;
}

/* Put more slots into use. One process at a time, or a smaller number could come last. */
static int grow(struct claim *claim, uint32_t seen)
{
	struct record_tail tail;
	int rc = ushp_lock_take(claim->file, claim->owner, PLACE_GROW, 1, true);
	if (rc != 0)
		return rc;
	rc = ushp_record_read_tail(&claim->object, &tail);
	uint32_t used = RECORD_SLOTS;
	if (rc == 0 && tail.head.slots_used < RECORD_SLOTS)
		used = tail.head.slots_used;
	if (rc == 0 && used == seen) {
		used = used + RECORD_INLINE < RECORD_SLOTS ? used + RECORD_INLINE : RECORD_SLOTS;
		rc = ushp_record_put_word(&claim->object, RECORD_HEAD_FIELD(slots_used), used);
	}
	ushp_lock_drop(claim->file, claim->owner, PLACE_GROW, 1);
	return rc;
}

static int try_fresh(struct claim *claim, uint32_t from, uint32_t to)
{
	int rc = LOCK_BUSY;
	for (claim->index = from; rc == LOCK_BUSY && claim->index < to; claim->index++) {
		rc = try_slot(claim);
		if (rc == 0)
			return 0; /* and the index stays */
	}
	return rc;
}

/* Anywhere among those in use, or beyond. -ENOSPC: all are taken. */
static int try_all(struct claim *claim)
{
	struct record_tail tail;
	int rc = ushp_record_read_tail(&claim->object, &tail);
	if (rc < 0)
		return rc;
	uint32_t used = tail.head.slots_used < RECORD_INLINE ? RECORD_INLINE : tail.head.slots_used;
	if (used > RECORD_SLOTS)
		used = RECORD_SLOTS;
	rc = try_free(claim, used);
	if (rc == LOCK_BUSY)
		rc = try_dead(claim, used);
	if (rc == LOCK_BUSY && used == RECORD_SLOTS)
		return -ENOSPC;
	if (rc == LOCK_BUSY) {
		rc = grow(claim, used);
		if (rc == 0)
			rc = try_fresh(claim, used, used + RECORD_INLINE);
	}
	return rc;
}

int ushp_slot_claim(const struct object *object, const struct lock_file *file,
		enum lock_owner owner, unsigned free, const struct record_slot *wanted,
		uint32_t *index, struct record_slot *entry, struct record_slot *before)
{
	struct claim claim = { .object = *object, .file = file, .owner = owner, .wanted = wanted };
	claim.object.fd = file->fd;
	claim.object.shared = file->shared;
	int rc = try_inline(&claim, free);
	for (unsigned tries = 0; rc == LOCK_BUSY && tries < 1000; tries++)
		rc = try_all(&claim);
	if (rc != 0)
		return rc;
	*index = claim.index;
	*entry = claim.entry;
	*before = claim.before;
	return 0;
}
