/* SPDX-License-Identifier: MIT */
/*
 * shmget() of a key that was found before is answered by one look at the segment's file: it has
 * the same inode still, and two names, so that one of them is the key's. An entry is written
 * under the table's lock, with an odd number while it changes; a reader takes it only if the
 * number was even and is the same afterwards.
 */
#include "shim.h"

#include <assert.h>
#include <string.h>

#include "posix/handle.h"
#include "posix/object_sys.h"
#include "sys.h"

enum { ENTRIES = 64 };

static struct entry {
	atomic_uint number;
	struct shim_known known; /* fd 0: none */
} entries[ENTRIES];

static_assert(sizeof(struct shim_known) % sizeof(size_t) == 0, "it is copied by words");

static struct entry *entry_of(key_t key)
{
	return &entries[((uint32_t)key * UINT32_C(2654435769)) >> 26];
}

/* Words, each whole; what was torn apart is not used. */
static void copy(struct shim_known *to, const struct shim_known *from)
{
	volatile size_t *out = (volatile size_t *)to;
	const volatile size_t *in = (const volatile size_t *)from;
	for (size_t i = 0; i < sizeof *to / sizeof *out; i++)
		out[i] = in[i];
}

static void change(struct entry *entry, const struct shim_known *known)
{
	unsigned number = atomic_load(&entry->number);
	atomic_store(&entry->number, number + 1);
	atomic_thread_fence(memory_order_seq_cst);
	copy(&entry->known, known);
	atomic_thread_fence(memory_order_seq_cst);
	atomic_store(&entry->number, number + 2);
}

void ushs_remember(struct unishm *seg)
{
	const struct posix *p = posix_of(seg);
	if (seg->key == UNISHM_PRIVATE || p->object.fd <= 0 || p->gone)
		return;
	struct shim_known known;
	memset(&known, 0, sizeof known); /* it is compared with what lies between the members */
	known.key = seg->key;
	known.id = seg->id;
	known.fd = p->object.fd;
	known.dev = p->object.dev;
	known.ino = p->object.ino;
	known.size = seg->size;
	struct entry *entry = entry_of(seg->key);
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
	if (memcmp(&entry->known, &known, sizeof known) != 0)
		change(entry, &known);
}

void ushs_forget(struct unishm *seg)
{
	struct entry *entry = entry_of(seg->key);
	if (entry->known.fd && entry->known.key == seg->key &&
			entry->known.ino == posix_of(seg)->object.ino)
		change(entry, &(const struct shim_known){ .fd = 0 });
}

bool ushs_find_known(key_t key, struct shim_known *known, struct stat *st)
{
	enum { NAMES = 2 };
	struct entry *entry = entry_of(key);
	unsigned number = atomic_load(&entry->number);
	copy(known, &entry->known);
	atomic_thread_fence(memory_order_seq_cst);
	if (number % 2 || atomic_load(&entry->number) != number || !known->fd || known->key != key)
		return false;
	return unishm_sys.fstat(known->fd, st) == 0 && st->st_dev == known->dev &&
			st->st_ino == known->ino && st->st_nlink == NAMES &&
			!(st->st_mode & S_ISVTX); /* see posix/by_id.h */
}
