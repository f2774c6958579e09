/* SPDX-License-Identifier: MIT */
/*
 * The record: what the library keeps about a POSIX segment. It is the end of the file
 * that object_sys.h opens by the segment's name: behind the user's bytes on Linux, alone in
 * the sidecar file elsewhere.
 *
 *   0            size         rounded up to RECORD_ALIGN
 *   | user's bytes | (hole)   | ...... slots | others | head |
 *
 * Slots are counted from the head downwards, which puts the first ones into its page.
 *
 * Fixed-width fields in the machine's byte order, so that 32-bit and 64-bit programs share a
 * segment; natural alignment, so that no compiler pads. RECORD_ALIGN is at least the page
 * size of every system, so that the record shares no page with the user's bytes. The hole
 * takes no memory.
 *
 * Nothing in it is trusted: a process that may write the segment may write the record too,
 * and cut the file short at any time. So it is read by pread() everywhere; indices are
 * bounded, sizes checked against fstat(). What is read wrong is at worst a wrong answer. A
 * handle that is used for more than one attachment maps its own slot, to keep its lock, and stores
 * to it when it has no descriptor any more.
 *
 * Order. A slot has one writer: the holder of its lock. Words are stored whole, with
 * sequential consistency, because two questions need it: an attacher stores its word and
 * then loads head.removed, a remover stores head.removed and then reads the words, and at
 * least one of them must see the other. pread() and pwrite() copy memory as well, so on that
 * side record_fence() stands between the two. Everything else in a slot is read twice and
 * compared (census.c), or is of no consequence. These are the only atomics on shared memory.
 */
#ifndef UNISHM_POSIX_RECORD_H
#define UNISHM_POSIX_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "object.h"

enum {
	RECORD_ALIGN = 65536,
	RECORD_SIZE = 65536,
	RECORD_VERSION = 1,
};

enum record_state {
	RECORD_MAKING = 1,
	RECORD_READY = 2,
	RECORD_REMOVING =
			3, /* the data may be gone, and the file goes next: see object_sidecar.c */
};

/* The attachments of one handle in one process (hold.h), and the last attach and detach of
 * all who had the slot so far. Times are unsigned seconds since 1970: good until 2106. */
struct record_slot {
	uint32_t word; /* nonce << 16 | SLOT_MOVED | number of attachments */
	uint32_t pid;  /* the holder, and who did the last detach; 0: a child that has not run */
	uint32_t attach_pid; /* who did the last attach: the holder, or who forked it */
	uint32_t attach_time;
	uint32_t detach_time;
	uint32_t unused;
	uint64_t attach_op; /* which was the last: see record_next_op() */
	uint64_t detach_op;
};

enum { SLOT_COUNT = 0x7fff, SLOT_MOVED = 0x8000, SLOT_NONCE_SHIFT = 16 };

struct record_head {
	unsigned char magic[8];
	uint32_t version;
	uint32_t state; /* enum record_state */
	uint64_t size;  /* the user's bytes */
	int32_t key;
	int32_t creator_pid;
	uint32_t creator_user;
	uint32_t creator_group;
	/* What changes. Each is one aligned word, written and read whole. */
	uint32_t change_time;
	uint32_t removed;    /* stored by the remover after it took the name away */
	uint32_t lock_epoch; /* unlock ends all memory locks by counting this up */
	uint32_t uncounted;  /* a child could not be given a hold: the count may be too low */
	uint32_t slots_used; /* no slot at or beyond was ever taken */
	uint32_t by_id;      /* it keeps a name that has its id: see by_id.h */
	uint64_t clock;      /* at least every operation of a slot beyond the first RECORD_INLINE */
	uint64_t data_inode; /* of the data, where that is another object; see object_sidecar.c */
	uint32_t unused[8];
};

/* What is read at one go: the head and the slots next to it. */
enum { RECORD_INLINE = 8 };

struct record_tail {
	struct record_slot slots[RECORD_INLINE + 1]; /* see tail_slot() and tail_others() */
	struct record_head head;
};

static inline struct record_slot *tail_slot(struct record_tail *tail, uint32_t index)
{
	return &tail->slots[RECORD_INLINE - 1 - index];
}

/* The last attach and detach of attachments that have no slot; its word is unused. */
static inline struct record_slot *tail_others(struct record_tail *tail)
{
	return &tail->slots[RECORD_INLINE];
}

enum {
	RECORD_SLOTS = (RECORD_SIZE - sizeof(struct record_head)) / sizeof(struct record_slot) - 1,
};

static_assert(offsetof(struct record_slot, pid) == 4, "word and pid are written at once");
static_assert(sizeof(struct record_head) == 112, "the record's layout is fixed");
static_assert(offsetof(struct record_head, size) == 16, "the record's layout is fixed");
static_assert(offsetof(struct record_head, clock) == 64, "the record's layout is fixed");
static_assert(offsetof(struct record_head, data_inode) == 72, "the record's layout is fixed");
static_assert(sizeof(struct record_slot) == 40, "the record's layout is fixed");
static_assert(sizeof(struct record_tail) == 9 * 40 + 112, "the record's layout is fixed");

/* Where fields are, in bytes from the end of the record backwards to their beginning. */
#define RECORD_HEAD_FIELD(field) (sizeof(struct record_head) - offsetof(struct record_head, field))
#define RECORD_OTHERS_BACK (sizeof(struct record_head) + sizeof(struct record_slot))
static inline size_t record_slot_back(uint32_t index)
{
	return RECORD_OTHERS_BACK + (index + 1) * sizeof(struct record_slot);
}

/* The end of the record, mapped for writing; see hold.h. */
struct record_map {
	unsigned char *base; /* NULL: not mapped */
	size_t length;       /* it ends with the record */
};

/* A head for a new segment; its owner, in @st, is its creator. */
void ushp_record_make(struct record_head *head, size_t size, key_t key, enum record_state state,
		const struct stat *st);

/* Is @head that of a segment with @key, whose record is at @record_at in a file of @file_size
 * bytes? -EBADMSG if it is not ours, -ENOTSUP if another version made it, -ENOMEM if it is too
 * large for this program. */
int ushp_record_check(const struct record_head *head, off_t record_at, off_t file_size, key_t key);

/* Read @size bytes that begin @back bytes before the end of the record. */
int ushp_record_read(int fd, off_t record_at, size_t back, void *to, size_t size);

static inline int ushp_record_get(const struct object *object, size_t back, void *to, size_t size)
{
	return ushp_record_read(object->fd, object->record_at, back, to, size);
}

static inline int ushp_record_read_tail(const struct object *object, struct record_tail *tail)
{
	return ushp_record_get(object, sizeof *tail, tail, sizeof *tail);
}

/* Write them: by @object's descriptor, which was checked and is writable; or through @map, if
 * that is not NULL and has them. A mapping of a file that another process cuts short raises
 * SIGBUS when it is touched, a descriptor does not: so only attach and detach use @map, after a
 * look at the file's size. Words of 4 bytes are stored whole. -errno. */
int ushp_record_write(const struct object *object, const struct record_map *map, size_t back,
		const void *from, size_t size);

/* Write one word of 4 bytes. */
static inline int ushp_record_put_word(const struct object *object, size_t back, uint32_t word)
{
	return ushp_record_write(object, NULL, back, &word, sizeof word);
}

/* Slots [@first, @first + @count), slot @first last. */
int ushp_record_read_slots(const struct object *object, uint32_t first, uint32_t count,
		struct record_slot *out);

/* Map the record so that slot @index is in it, by @fd. Children inherit it: a call may be in the
 * midst of using it (a fork in a signal handler). */
int ushp_record_map(int fd, const struct object *object, uint32_t index, struct record_map *map);
void ushp_record_unmap(struct record_map *map);

/* How much of the record's end is mapped then. */
size_t ushp_record_map_length(uint32_t index);

/* The head, in @map. */
struct record_head *ushp_record_head(const struct record_map *map);

/* Words of shared memory, in one order for all processes. */
uint32_t ushp_record_load(const uint32_t *word);
void ushp_record_fence(void);

/* A number for an operation that is to be later than all which @tail shows: no clock, since
 * those of processes need not agree. Operations at one time may get the same number. */
uint64_t ushp_record_next_op(const struct record_tail *tail);
uint64_t ushp_record_next_op_in(const struct record_map *map);

/* Seconds since 1970, now, as the record keeps them. */
uint32_t ushp_record_now(void);

#endif
