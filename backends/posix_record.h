/* SPDX-License-Identifier: MIT */
/*
 * The record: what the library keeps about a POSIX segment, in the object
 * itself, behind the user's bytes (where OS_BESIDE: alone, in the file beside).
 *
 *   0            size         rounded up to RECORD_ALIGN
 *   | user's bytes | (hole)   | ........ slots | lights | head |
 *
 * The head ends the object, so that one write of it gives the object its length
 * and makes it a segment: until then it is empty. Slots are used from the head
 * downwards, which puts the first ones in the head's page.
 *
 * Fixed-width fields in the machine's byte order, so that 32-bit and 64-bit
 * programs share a segment; natural alignment, so that no compiler pads.
 * RECORD_ALIGN is at least the page size of every system, so that the record
 * shares no page with the user's bytes and can be mapped on its own. The hole
 * takes no memory.
 *
 * Nothing in it is trusted: a process that may write the segment may write the
 * record too. Sizes are checked against fstat, indices are bounded, and what is
 * read wrong is at worst a wrong answer, never a wrong access.
 */
#ifndef UNISHM_POSIX_RECORD_H
#define UNISHM_POSIX_RECORD_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum {
	RECORD_ALIGN = 65536,
	RECORD_SIZE = 65536,
	RECORD_VERSION = 1,
};

enum { RECORD_MAKING = 1, RECORD_READY = 2 };

struct record_head {
	unsigned char magic[8];
	uint32_t version;
	uint32_t state; /* RECORD_MAKING until an init callback is done */
	uint64_t size;  /* the user's bytes */
	int32_t key;
	int32_t creator_pid;
	uint32_t creator_user;
	uint32_t creator_group;

	/* What changes. Each is one aligned word, written and read whole. Times
	 * are unsigned seconds since 1970: good until 2106. */
	uint32_t change_time;
	uint32_t last_pid;  /* these five: of all that no light knows better */
	uint64_t attach_op; /* when, as no clock that is set says: the latest counts */
	uint64_t detach_op;
	uint32_t attach_time;
	uint32_t detach_time;
	uint32_t removed;    /* set by the remover after it took the name away */
	uint32_t lock_epoch; /* unlock ends all locks by counting this up */
	uint32_t uncounted;  /* someone is attached whom nothing counts: see
				posix_seat.c; never free memory then */
	uint32_t slots_used; /* no slot at or beyond was ever taken */
	uint32_t reserved_bytes; /* of this record, that have memory */
	uint32_t sweep_at; /* so many slots in use, and the dead among them are looked for */
	uint32_t unused[8];
};

/* The attachments of one handle in one process: see posix_seat.h. */
struct record_slot {
	uint32_t word; /* nonce << 16 | attachments; 0: free */
	uint32_t pid;  /* 0: a forked child that has not run yet */
};

/* The first attachment of a handle, and the last times of all who were here before. */
struct record_light {
	uint32_t word; /* nonce << 16 | 1; 0: free */
	uint32_t pid;
	uint32_t attach_time;
	uint32_t detach_time;
	uint64_t attach_op;
	uint64_t detach_op;
};

/* What is read at one go. */
struct record_tail {
	struct record_light lights[8];
	struct record_head head;
};

enum {
	RECORD_LIGHTS = 8,
	RECORD_SLOTS = (RECORD_SIZE - sizeof(struct record_tail)) / sizeof(struct record_slot),
	RECORD_FIRST_BYTES = 4096, /* at its end, with memory from the start */
};

struct record {
	struct record_slot slots[RECORD_SLOTS]; /* the first is the last; see record_slot() */
	struct record_tail tail;
};

static_assert(sizeof(struct record_head) == 128, "the record's layout is fixed");
static_assert(offsetof(struct record_head, size) == 16, "the record's layout is fixed");
static_assert(offsetof(struct record_head, attach_op) == 48, "the record's layout is fixed");
static_assert(sizeof(struct record_light) == 32, "the record's layout is fixed");
static_assert(sizeof(struct record) == RECORD_SIZE, "the record's layout is fixed");

/* Where the record of a segment of @size bytes begins, in the object or the file
 * beside it (see posix_os.h); -1 if @size is more than any file can hold. It is at
 * the very end. */
off_t record_offset(size_t size);

static inline struct record_slot *record_slot(struct record *record, uint32_t index)
{
	return &record->slots[RECORD_SLOTS - 1 - index];
}

/* A head for a new segment; its owner, in @st, is its creator. */
void record_make(struct record_head *head, size_t size, key_t key, uint32_t state,
		const struct stat *st);

/* Is @head that of a segment with @key, in an object of @object_size bytes?
 * -EBADMSG if it is not ours, -ENOTSUP if a newer version made it, -ENOMEM if it is
 * too large for this program. */
int record_check(const struct record_head *head, off_t object_size, key_t key);

/* Seconds since 1970, now, as the record keeps them. And nanoseconds since the system
 * started, in which no two operations are at once: that tells which was the last, also
 * when somebody set the clock. */
uint32_t record_now(void);
uint64_t record_stamp(void);

/* Copy words, each whole, to where others look. Not every processor can store two at once. */
void record_copy(void *to, const void *from, size_t size);

#endif
