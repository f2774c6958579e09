/* SPDX-License-Identifier: MIT */
/*
 * Linux has its segments in a table, and SHM_STAT takes an index of it, or an id, of which the
 * index is the remainder by the table's size. Here each process makes such a table of the names
 * that there are; the same segment has the same index in all of them, as long as no two fall on
 * one.
 */
#include "shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "posix/by_id.h"
#include "posix/find.h"
#include "posix/object_sys.h"
#include "posix/record.h"

enum { SLOTS = 32768 };

static struct unishm_mutex guard = UNISHM_MUTEX_INIT; /* of all that follows */
static unsigned slots[SLOTS]; /* an id + 1; 0: empty */
static unsigned filled;
static int highest;
static struct timespec made_of; /* the directory as it was; 0: no table yet */
static int64_t made_at; /* just before that look at it */

static int64_t milliseconds(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000 + time->tv_nsec / 1000000;
}

static int64_t now_of(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return milliseconds(&now);
}

/* ---- What nothing holds any more ------------------------------------------------------ */

static void see_what_is_mapped(void)
{
	struct shim_segment *segment = NULL;
	for (int id = -1; (segment = ushs_use_next_attached(id));) {
		id = segment->seg->id;
		ushs_see_what_is_mapped(segment);
		ushs_leave(segment);
	}
}

/* A look at a few names costs less than what calls for it; at many, once a second. */
void ushs_sweep(bool now)
{
	enum { FEW = 64, SECOND = 1000 };
	static struct unishm_mutex sweeping = UNISHM_MUTEX_INIT;
	static int64_t last;
	static unsigned names, left;
	int64_t time = now_of(CLOCK_MONOTONIC);
	if (!unishm_mutex_try(&sweeping))
		return; /* another thread is at it */
	bool second = !last || time - last >= SECOND;
	bool due = second || (now && names + 8 * left < FEW);
	if (second)
		see_what_is_mapped();
	if (due && ushp_destroy_removed(&names, &left) == 0)
		last = time;
	unishm_mutex_unlock(&sweeping);
	if (due)
		ushs_let_go_of_destroyed();
}

/* ---- The table -------------------------------------------------------------------------- */

/* Where @id is, or would be; -1: the table is full. */
static int slot_of(int id)
{
	for (int i = 0; i < SLOTS; i++) {
		int at = (int)(((unsigned)id + (unsigned)i) % SLOTS);
		if (slots[at] == 0 || slots[at] == (unsigned)id + 1)
			return at;
	}
	return -1;
}

static bool is_segment(const struct name *name)
{
	struct stat st;
	return !name->draft && !name->twin &&
			ushp_sys_stat(name->text, AT_SYSTEM_PLACE, &st) == 0 &&
			S_ISREG(st.st_mode) && st.st_size > RECORD_SIZE;
}

static void add(int id)
{
	int at = slot_of(id);
	if (at < 0 || slots[at])
		return;
	slots[at] = (unsigned)id + 1;
	filled++;
	if (at > highest)
		highest = at;
}

static int fill(void)
{
	struct names names = { 0 };
	int rc = ushp_list_names(&names);
	memset(slots, 0, sizeof slots);
	filled = 0;
	highest = 0;
	for (size_t i = 0; rc == 0 && i < names.count; i++)
		if (is_segment(&names.list[i]))
			add(ushp_id_of_inode(names.list[i].inode));
	free(names.list);
	return rc;
}

/* The directory may have changed again after the table was made, within the clock's grain of the
 * change before that: then its time tells nothing. */
static bool is_fresh(const struct stat *directory)
{
	enum { GRAIN = 30 };
	return made_of.tv_sec && made_of.tv_sec == directory->st_mtim.tv_sec &&
			made_of.tv_nsec == directory->st_mtim.tv_nsec &&
			made_at - milliseconds(&made_of) > GRAIN;
}

/* With the lock held. */
static int refresh(bool anyway)
{
	struct stat directory;
	int64_t now = now_of(CLOCK_REALTIME);
	int rc = ushp_sys_stat("/.", AT_SYSTEM_PLACE, &directory);
	if (rc < 0 || (!anyway && is_fresh(&directory)))
		return rc;
	made_at = now;
	rc = fill();
	made_of = rc == 0 ? directory.st_mtim : (struct timespec){ 0, 0 };
	return rc;
}

int ushs_highest_index(unsigned *used)
{
	ushs_sweep(true);
	unishm_mutex_lock(&guard);
	int rc = refresh(true);
	*used = filled;
	rc = rc < 0 ? 0 : highest; /* no directory: no segments */
	unishm_mutex_unlock(&guard);
	return rc;
}

int ushs_id_of_index(int index)
{
	int id = -EINVAL;
	ushs_sweep(false);
	unishm_mutex_lock(&guard);
	if (refresh(false) == 0) {
		int at = index < SLOTS && slots[index] ? index : slot_of(index);
		if (at >= 0 && slots[at])
			id = (int)(slots[at] - 1);
	}
	unishm_mutex_unlock(&guard);
	return id;
}

int ushs_each_id(unsigned *used, void (*visit)(int id, void *arg), void *arg)
{
	int last = ushs_highest_index(used);
	for (int i = 0; i <= last; i++) {
		unishm_mutex_lock(&guard);
		unsigned id = slots[i];
		unishm_mutex_unlock(&guard);
		if (id)
			visit((int)(id - 1), arg);
	}
	return last;
}
