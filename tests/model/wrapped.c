/* SPDX-License-Identifier: MIT */
/*
 * Functions that files of the POSIX backend call in each other, as mutants have them. The
 * programs with mutants are linked with --wrap for each, so that the library holds no code
 * for this.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "census.h"
#include "descriptor.h"
#include "handle.h"
#include "mutants.h"
#include "move.h"
#include "object_sys.h"
#include "reader.h"
#include "slot.h"
#include "unfinished.h"

struct broken broken;

#define WRAP(type, name, parameters) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters

/* ---- Counting ------------------------------------------------------------- */

static struct {
	bool counting, has_copy;
	const void *last; /* where what is read after the count goes */
	struct record_tail copy;
	bool clearing, staging;
} in;

WRAP(int, ushp_census, (struct unishm *seg, struct record_tail *tail, struct census *census))
{
	in.counting = true;
	in.has_copy = false;
	in.last = tail;
	int rc = __real_ushp_census(seg, tail, census);
	in.counting = false;
	return rc;
}

int __real_ushp_record_read(int fd, off_t record_at, size_t back, void *to, size_t size);

/* Each further reading of the words shows what the first one did. */
static int read_once(int fd, off_t record_at, size_t back, void *to, size_t size)
{
	if (in.has_copy) {
		memcpy(to, &in.copy, size);
		return 0;
	}
	int rc = __real_ushp_record_read(fd, record_at, back, to, size);
	if (rc == 0) {
		memcpy(&in.copy, to, size);
		in.has_copy = true;
	}
	return rc;
}

WRAP(int, ushp_record_read, (int fd, off_t record_at, size_t back, void *to, size_t size))
{
	if (broken.counts_once && in.counting && size == sizeof in.copy && to != in.last)
		return read_once(fd, record_at, back, to, size);
	if (broken.looks_once && in.staging && size == sizeof(uint32_t))
		return 0; /* it is as it was */
	int rc = __real_ushp_record_read(fd, record_at, back, to, size);
	if (broken.reaps_unlocked && in.clearing)
		usleep(50); /* what is open for a moment is open for longer */
	return rc;
}

/* Whoever asks meets the wide lock, and asks no further. */
WRAP(int, ushp_lock_find, (const struct lock_file *file, struct range ask, bool exclusive,
		struct range *found))
{
	int rc = __real_ushp_lock_find(file, ask, exclusive, found);
	bool wide = rc > 0 && found->last - found->first >= READERS_AT_ONCE;
	return broken.stops_at_wide_locks && in.counting && wide ? 0 : rc;
}

WRAP(int, ushp_slot_clear, (const struct object *object, uint32_t index, uint32_t word))
{
	in.clearing = true;
	int rc = __real_ushp_slot_clear(object, index, word);
	in.clearing = false;
	return rc;
}

WRAP(uint64_t, ushp_record_next_op, (const struct record_tail *tail))
{
	struct timespec now;
	if (!broken.numbers_by_clock)
		return __real_ushp_record_next_op(tail);
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- Holds ---------------------------------------------------------------- */

WRAP(int, ushp_lock_take, (const struct lock_file *file, enum lock_owner owner, uint64_t at,
		uint64_t count, bool exclusive))
{
	if ((broken.claims_nothing && at == PLACE_CLAIM) || (broken.reaps_unlocked && in.clearing))
		return 0;
	return __real_ushp_lock_take(file, owner, at, count, exclusive);
}

WRAP(int, ushp_lock_must_take, (const struct lock_file *file, enum lock_owner owner, uint64_t at,
		uint64_t count, bool exclusive))
{
	if (broken.claims_nothing && at == PLACE_CLAIM)
		return 0;
	return __real_ushp_lock_must_take(file, owner, at, count, exclusive);
}

WRAP(int, ushp_hold_move, (struct unishm *seg, bool lost))
{
	return broken.moves_nothing ? 0 : __real_ushp_hold_move(seg, lost);
}

WRAP(void, ushp_hold_remove, (struct unishm *seg, struct unishm_attachment *old, bool usable,
		bool whole))
{
	if (!broken.counts_nothing_out)
		__real_ushp_hold_remove(seg, old, usable, whole);
}

WRAP(void, ushp_record_unmap, (struct record_map *map))
{
	if (broken.keeps_record)
		map->base = NULL;
	__real_ushp_record_unmap(map);
}

/* ---- Files ---------------------------------------------------------------- */

WRAP(int, ushp_fd_check, (int fd, const void *owner, dev_t dev, ino_t ino, struct stat *st))
{
	if (!broken.believes_number && !broken.believes_file)
		return __real_ushp_fd_check(fd, owner, dev, ino, st);
	if (mutants_real.fstat(fd, st) < 0)
		return -errno;
	return broken.believes_number || (st->st_dev == dev && st->st_ino == ino) ? 0 : -EBADF;
}

WRAP(void, ushp_lock_close_own, (int fd, const void *owner, dev_t dev, ino_t ino))
{
	struct stat st;
	if (!broken.believes_number && !broken.believes_file)
		__real_ushp_lock_close_own(fd, owner, dev, ino);
	else if (__wrap_ushp_fd_check(fd, owner, dev, ino, &st) == 0)
		ushp_lock_close(fd);
}

WRAP(int, ushp_stage, (const struct object *object, uint32_t state))
{
	in.staging = true;
	int rc = __real_ushp_stage(object, state);
	in.staging = false;
	return rc;
}

WRAP(int, ushp_object_unlink, (const struct object *object))
{
	return broken.unlinks_by_name ? ushp_sys_unlink(object->fd, object->name, AT_SYSTEM_PLACE)
			: __real_ushp_object_unlink(object);
}

WRAP(bool, ushp_object_has_name, (const struct object *object))
{
	return !broken.believes_removed && __real_ushp_object_has_name(object);
}

WRAP(int, ushp_object_permit, (const struct object *object, const struct stat *st, unsigned want))
{
	return broken.permits_all ? 0 : __real_ushp_object_permit(object, st, want);
}

WRAP(int, ushp_object_must_own, (const struct object *object, const struct stat *st))
{
	return broken.permits_all ? 0 : __real_ushp_object_must_own(object, st);
}
