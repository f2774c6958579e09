/* SPDX-License-Identifier: MIT */
/*
 * Locks on byte ranges of the file with the record, which the kernel drops by itself
 * when their holder ends. There are two owners for a lock:
 *
 * - an open file description (F_OFD_SETLK: Linux, POSIX.1-2024): it goes with the last
 *   descriptor and the last mapping made through that description;
 * - a process (F_SETLK: every Unix): fork does not inherit it, and any close() of the
 *   file in the process drops it. So the descriptors of such a file are not closed but
 *   kept for whoever opens the file next, until the last of these locks ends; and since
 *   a process does not see its own locks by asking, they are listed here.
 *
 * The ranges lie beyond the end of any file. No process waits for one of these locks.
 */
#ifndef UNISHM_POSIX_RANGE_LOCK_H
#define UNISHM_POSIX_RANGE_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a place stands for. */
#define PLACE_BASE (UINT64_C(1) << 61)
#define PLACE_CLAIM (PLACE_BASE - 3)  /* exclusive: the maker is at work */
#define PLACE_REMOVE (PLACE_BASE - 2) /* a process takes the name away: see object.c */
#define PLACE_GROW (PLACE_BASE - 1)   /* exclusive: a process enlarges the slot table */
#define PLACE_SLOTS PLACE_BASE        /* + 2 * slot: exclusive, see hold.h */
#define PLACE_CLEARS (PLACE_BASE + (UINT64_C(1) << 31)) /* + slot: exclusive, see slot.c */
#define PLACE_PINS (PLACE_BASE + (UINT64_C(1) << 32))   /* + epoch: shared, see pin.c */
#define PLACE_READERS (UINT64_C(1) << 62)               /* + when: shared, see hold.h */
#define PLACE_END ((UINT64_C(1) << 63) - 2)

enum lock_owner { LOCK_OF_DESCRIPTION, LOCK_OF_PROCESS };

/* A file, and a descriptor of it that was checked. */
struct lock_file {
	int fd;
	bool shared; /* other processes have its description, too: locks by it are theirs as well */
	dev_t dev;
	ino_t ino;
};

struct range {
	uint64_t first, last;
};

/* What ushp_lock_take() and all that build on it say when another owner's lock is in the way. */
enum { LOCK_BUSY = 1 };

/* Lock [@at, @at + @count). 0, LOCK_BUSY, or a negative errno. */
int ushp_lock_take(const struct lock_file *file, enum lock_owner owner, uint64_t at, uint64_t count,
		bool exclusive);

/* The same where no process that keeps the rules can be in the way: -EBUSY, with the reason. */
int ushp_lock_must_take(const struct lock_file *file, enum lock_owner owner, uint64_t at,
		uint64_t count, bool exclusive);

/* Without effect on what this owner does not hold. A process may take bytes at once, and drop them
 * one by one. */
void ushp_lock_drop(const struct lock_file *file, enum lock_owner owner, uint64_t at,
		uint64_t count);

/* Find a lock within @ask that is not of @file->fd's description: 1 and its range, or 0. A lock of
 * this process counts. @exclusive: exclusive locks only, so that those of a process which may only
 * read the file are not seen. */
int ushp_lock_find(const struct lock_file *file, struct range ask, bool exclusive,
		struct range *found);

/* Any lock that is not of @owner: of @file->fd's description, or of this process. */
int ushp_lock_find_foreign(const struct lock_file *file, enum lock_owner owner, struct range ask,
		struct range *found);

/* Does this process hold any lock as a process on that file? Then no description can hold
 * another one without a descriptor that stays open. */
bool ushp_lock_by_process(dev_t dev, ino_t ino);

/* In a child, about [@from, @from + @count) that its parent took for it as a process, and which it
 * has in its list: take [@at, @at + @count) instead. Allocates nothing. */
int ushp_lock_inherit(const struct lock_file *file, uint64_t from, uint64_t at, uint64_t count,
		bool exclusive);

/* In a child handler: a lock of the process for a moment. It is in no list, and nothing is
 * allocated. LOCK_BUSY after some milliseconds. The second drops it. */
int ushp_lock_briefly(const struct lock_file *file, uint64_t at);
void ushp_lock_end_briefly(const struct lock_file *file, uint64_t at);

/* In a child, about a lock of one byte that its parent holds as a process: the child has inherited
 * the list, but not the lock. */
void ushp_lock_forget(dev_t dev, ino_t ino, uint64_t at);

/* In a child, before it takes any lock: the descriptors that its parent keeps open for the sake of
 * locks are of no use here, and lead to descriptions that the parent shares. */
void ushp_lock_close_kept(void);

/* A descriptor of that file that was kept when it should have been closed; -ENOENT. */
int ushp_lock_reuse(dev_t dev, ino_t ino, bool writable);

/* Close @fd; or keep it, as long as closing it would drop a lock of this process. */
void ushp_lock_close(int fd);

/* The same, if @fd still belongs to @owner and leads to that file. */
void ushp_lock_close_own(int fd, const void *owner, dev_t dev, ino_t ino);

#endif
