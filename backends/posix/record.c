/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "backend.h"
#include "memory.h"
#include "os.h"
#include "sys.h"

static const unsigned char magic[8] = { 'u', 'n', 'i', 's', 'h', 'm', '\r', '\n' };

void ushp_record_make(struct record_head *head, size_t size, key_t key, enum record_state state,
		const struct stat *st)
{
	memset(head, 0, sizeof *head);
	memcpy(head->magic, magic, sizeof magic);
	head->version = RECORD_VERSION;
	head->state = state;
	head->size = size;
	head->key = (int32_t)key;
	head->creator_pid = (int32_t)unishm_pid();
	head->creator_user = (uint32_t)st->st_uid;
	head->creator_group = (uint32_t)st->st_gid;
	head->change_time = ushp_record_now();
	head->slots_used = RECORD_INLINE;
}

int ushp_record_check(const struct record_head *head, off_t record_at, off_t file_size, key_t key)
{
	if (memcmp(head->magic, magic, sizeof magic) != 0)
		return unishm_because(-EBADMSG,
				"an object that this library did not make has its name; "
				"move it away, or choose another key");
	if (head->version != RECORD_VERSION)
		return unishm_because(-ENOTSUP,
				"its record has version %lu and this library knows %d; "
				"use a newer library",
				(unsigned long)head->version, RECORD_VERSION);
	if (head->size > SIZE_MAX)
		return unishm_because(-ENOMEM,
				"its %llu bytes are more "
				"than a program of this word size can address; "
				"use a 64-bit program",
				(unsigned long long)head->size);
	if (head->size == 0 || head->key != (int32_t)key || record_at + RECORD_SIZE != file_size ||
			head->state < RECORD_MAKING || head->state > RECORD_REMOVING)
		return unishm_because(-EBADMSG,
				"its record is damaged; remove the object by its name");
	return 0;
}

/* ---- Reading and writing ----------------------------------------------------- */

int ushp_record_read(int fd, off_t record_at, size_t back, void *to, size_t size)
{
	ssize_t got = unishm_sys.pread(fd, to, size, record_at + RECORD_SIZE - (off_t)back);
	if (got < 0)
		return -errno;
	return got == (ssize_t)size ? 0 : -EBADMSG;
}

/* pwrite() beyond RLIMIT_FSIZE raises SIGXFSZ, though nothing grows. */
static bool may_pwrite(const struct object *object)
{
	struct rlimit limit;
	uint64_t end = (uint64_t)object->record_at + RECORD_SIZE;
	return unishm_sys.getrlimit_fsize(&limit) == 0 &&
			(limit.rlim_cur == RLIM_INFINITY || (uint64_t)limit.rlim_cur >= end);
}

/* Words of four bytes, each whole, but in no order with other words. */
static void copy_words(void *to, const void *from, size_t size)
{
	for (size_t i = 0; i < size / sizeof(uint32_t); i++)
		__atomic_store_n((uint32_t *)to + i, ((const uint32_t *)from)[i], __ATOMIC_RELEASE);
}

static int write_by_mapping(const struct object *object, size_t back, const void *from, size_t size)
{
	unsigned char *base = unishm_sys.mmap(NULL, RECORD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			object->fd, object->record_at);
	if (base == MAP_FAILED)
		return errno == EAGAIN ? -ENOMEM : -errno; /* EAGAIN: RLIMIT_MEMLOCK */
	copy_words(base + RECORD_SIZE - back, from, size);
	unishm_sys.munmap(base, RECORD_SIZE);
	return 0;
}

/* A single word decides what other processes do: store it in order. */
static void put_words(uint32_t *to, const void *from, size_t size)
{
	if (size == sizeof *to)
		__atomic_store_n(to, *(const uint32_t *)from, __ATOMIC_SEQ_CST);
	else
		copy_words(to, from, size);
}

int ushp_record_write(const struct object *object, const struct record_map *map, size_t back,
		const void *from, size_t size)
{
	if (map && map->base && back <= map->length) {
		put_words((uint32_t *)(void *)(map->base + map->length - back), from, size);
		return 0;
	}
	if (!may_pwrite(object))
		return write_by_mapping(object, back, from, size);
	ssize_t put = unishm_sys.pwrite(object->fd, from, size,
			object->record_at + RECORD_SIZE - (off_t)back);
	if (put < 0)
		return errno == EDQUOT ? -ENOSPC : -errno;
	return put == (ssize_t)size ? 0 : -ENOSPC;
}

int ushp_record_read_slots(const struct object *object, uint32_t first, uint32_t count,
		struct record_slot *out)
{
	return ushp_record_get(object, record_slot_back(first + count - 1), out,
			count * sizeof *out);
}

/* ---- The mapping --------------------------------------------------------------- */

size_t ushp_record_map_length(uint32_t index)
{
	size_t page = unishm_os_page_size();
	return (record_slot_back(index) + page - 1) / page * page;
}

int ushp_record_map(int fd, const struct object *object, uint32_t index, struct record_map *map)
{
	size_t length = ushp_record_map_length(index);
	void *addr;
	int rc = ushp_map_own(fd, object->record_at + RECORD_SIZE - (off_t)length, length,
			PROT_READ | PROT_WRITE, true, &addr);
	if (rc == 0)
		*map = (struct record_map){ addr, length };
	return rc;
}

void ushp_record_unmap(struct record_map *map)
{
	if (map->base)
		unishm_sys.munmap(map->base, map->length);
	map->base = NULL;
}

struct record_head *ushp_record_head(const struct record_map *map)
{
	return (struct record_head *)(void *)(map->base + map->length - sizeof(struct record_head));
}

uint32_t ushp_record_load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

void ushp_record_fence(void)
{
	__sync_synchronize(); /* the same as a fence of C11, for which TSan has a warning */
}

/* ---- Order and time -------------------------------------------------------------- */

/* Other processes may be writing. A mixture of old and new values at worst gives a number that is
 * too high. */
static uint64_t next_op(const volatile struct record_tail *tail)
{
	uint64_t last = tail->head.clock;
	for (unsigned i = 0; i <= RECORD_INLINE; i++) {
		uint64_t attach = tail->slots[i].attach_op, detach = tail->slots[i].detach_op;
		last = attach > last ? attach : last;
		last = detach > last ? detach : last;
	}
	return last + 1;
}

uint64_t ushp_record_next_op(const struct record_tail *tail)
{
	return next_op(tail);
}

uint64_t ushp_record_next_op_in(const struct record_map *map)
{
	return next_op((const struct record_tail *)(const void *)(map->base + map->length -
			sizeof(struct record_tail)));
}

uint32_t ushp_record_now(void)
{
	return (uint32_t)time(NULL);
}
