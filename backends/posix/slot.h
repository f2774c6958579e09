/* SPDX-License-Identifier: MIT */
/* Slots of the record: a free one is taken, that of a dead process cleared. See hold.h. */
#ifndef UNISHM_POSIX_SLOT_H
#define UNISHM_POSIX_SLOT_H

#include "object.h"
#include "record.h"

/* The holder of slot @index, of which the word was @word, is dead if its lock can be had: clear the
 * slot, and write down the detach. 1: done; 0: it lives, or the slot is another's by now. */
int ushp_slot_clear(const struct object *object, uint32_t index, uint32_t word);

/* Take a free slot for the attachments that @wanted counts, by @owner on @file, at once with who
 * and when. @free: what ushp_slot_free() said, be it long ago; 0: not known. LOCK_BUSY: other
 * processes were faster each time; -ENOSPC: all slots are taken. */
int ushp_slot_claim(const struct object *object, const struct lock_file *file,
		enum lock_owner owner, unsigned free, const struct record_slot *wanted,
		uint32_t *index, struct record_slot *entry, struct record_slot *before);

/* Which of the first slots say that they are free: a bit for each. */
unsigned ushp_slot_free(const struct record_tail *tail);

/* The lock of a holder whose word is @word. */
static inline uint64_t ushp_slot_place(uint32_t index, uint32_t word)
{
	return PLACE_SLOTS + 2 * (uint64_t)index + (word & SLOT_MOVED ? 1 : 0);
}

#endif
