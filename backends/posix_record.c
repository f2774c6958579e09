/* SPDX-License-Identifier: MIT */
#include "posix_record.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "backend.h"
#include "posix_os.h"
#include "sys.h"

static const unsigned char magic[8] = { 'u', 'n', 'i', 's', 'h', 'm', '\r', '\n' };

off_t record_offset(size_t size)
{
	const uint64_t most = INT64_MAX - RECORD_ALIGN - RECORD_SIZE;
	if ((uint64_t)size > most)
		return -1;
	if (OS_BESIDE)
		return 0;
	return (off_t)(((uint64_t)size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN);
}

uint32_t record_now(void)
{
	return (uint32_t)time(NULL);
}

uint64_t record_stamp(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void record_copy(void *to, const void *from, size_t size)
{
	for (size_t i = 0; i < size / sizeof(uint32_t); i++)
		__atomic_store_n((uint32_t *)to + i, ((const uint32_t *)from)[i], __ATOMIC_RELEASE);
}

void record_make(struct record_head *head, size_t size, key_t key, uint32_t state, const struct stat *st)
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
	head->change_time = record_now();
}

int record_check(const struct record_head *head, off_t object_size, key_t key)
{
	if (memcmp(head->magic, magic, sizeof magic) != 0)
		return unishm_because(-EBADMSG, "an object that this library did not make has its name; "
				"move it away, or choose another key");
	if (head->version != RECORD_VERSION)
		return unishm_because(-ENOTSUP, "its record has version %lu and this library knows %d; "
				"use a newer library", (unsigned long)head->version, RECORD_VERSION);
	if (head->size > SIZE_MAX)
		return unishm_because(-ENOMEM, "its %llu bytes are more than a program of this word size "
				"can address; use a 64-bit program", (unsigned long long)head->size);
	if (head->size == 0 ||
			record_offset((size_t)head->size) + RECORD_SIZE != object_size ||
			head->key != (int32_t)key ||
			(head->state != RECORD_MAKING && head->state != RECORD_READY))
		return unishm_because(-EBADMSG, "its record is damaged; remove the object by its name");
	return 0;
}
