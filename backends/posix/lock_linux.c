/* SPDX-License-Identifier: MIT */
/* Locks on Linux belong to open file descriptions, and /proc/locks lists all. See lock_sys.h. */
#include "lock_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "descriptor.h"
#include "sys.h"

const struct lock_commands ushp_sys_lock_commands = { F_OFD_SETLK, F_OFD_GETLK };
const enum lock_owner ushp_sys_lock_owner = LOCK_OF_DESCRIPTION;

/* Locks as /proc/locks tells, sorted, each once. */
struct lock_list {
	size_t count, room;
	struct range *list;
};

static bool add_lock(struct lock_list *locks, struct range lock)
{
	if (locks->count == locks->room) {
		size_t room = locks->room ? 2 * locks->room : 256;
		struct range *more = unishm_sys.realloc(locks->list, room * sizeof *more);
		if (!more)
			return false;
		locks->list = more;
		locks->room = room;
	}
	locks->list[locks->count++] = lock;
	return true;
}

static int by_place(const void *one, const void *other)
{
	uint64_t a = ((const struct range *)one)->first, b = ((const struct range *)other)->first;
	return a < b ? -1 : a > b;
}

/* A line a lock: "1: OFDLCK ADVISORY  READ -1 00:1a:7 4611686018427387904 EOF" */
static bool parse_lock(const char *line, dev_t dev, ino_t ino, struct range *lock)
{
	unsigned of_major, of_minor;
	unsigned long long inode, first, last;
	if (sscanf(line, "%*s %*s %*s READ %*s %x:%x:%llu %llu %llu", &of_major, &of_minor, &inode,
			    &first, &last) != 5)
		return false;
	*lock = (struct range){ first, last };
	return of_major == major(dev) && of_minor == minor(dev) && inode == ino;
}

/* The list is read in pieces, and locks of all files move in it meanwhile, so that one can be in it
 * twice. Two locks of one place are one hold, which is about to get a description of its own. */
static void join_overlaps(struct lock_list *locks)
{
	size_t kept = 0;
	for (size_t i = 0; i < locks->count; i++) {
		const struct range lock = locks->list[i];
		struct range *last = kept > 0 ? &locks->list[kept - 1] : NULL;
		if (!last || lock.first > last->last)
			locks->list[kept++] = lock;
		else if (lock.last > last->last)
			last->last = lock.last;
	}
	locks->count = kept;
}

static int read_locks(dev_t dev, ino_t ino, struct range within, uint64_t most,
		struct lock_list *locks)
{
	char line[160];
	int fd = ushp_fd_keep(unishm_sys.open("/proc/locks", O_RDONLY | O_CLOEXEC, 0));
	FILE *list = fd < 0 ? NULL : fdopen(fd, "r");
	int rc = list ? 0 : -EOPNOTSUPP;
	locks->count = 0;
	while (list && rc == 0 && fgets(line, sizeof line, list)) {
		struct range lock;
		if (parse_lock(line, dev, ino, &lock) && lock.first >= within.first &&
				lock.last <= within.last && lock.last - lock.first < most &&
				!add_lock(locks, lock))
			rc = -ENOMEM;
	}
	if (list)
		fclose(list);
	else if (fd >= 0)
		unishm_sys.close(fd);
	if (locks->count > 1)
		qsort(locks->list, locks->count, sizeof *locks->list, by_place);
	join_overlaps(locks);
	return rc;
}

static bool are_same(const struct lock_list *one, const struct lock_list *other)
{
	size_t bytes = one->count * sizeof *one->list;
	return one->count == other->count &&
			(bytes == 0 || memcmp(one->list, other->list, bytes) == 0);
}

/* The kernel returns the list in pieces of a page. If locks of any file come and go between two
 * pieces, a lock of ours can be missing, and sometimes two readings miss the same one. So read
 * until several readings in a row agree. */
int ushp_sys_count_locks(dev_t dev, ino_t ino, struct range within, uint64_t most,
		unsigned long *count, uint64_t *places)
{
	enum { AGREEING = 6, TRIES = 100 };
	struct lock_list one = { 0 }, other = { 0 };
	int rc = read_locks(dev, ino, within, most, &one);
	unsigned same = 1;
	for (unsigned tries = 0; rc == 0 && same < AGREEING && tries < TRIES; tries++) {
		rc = read_locks(dev, ino, within, most, &other);
		same = are_same(&one, &other) ? same + 1 : 1;
		struct lock_list swap = one;
		one = other;
		other = swap;
	}
	if (rc == 0 && same < AGREEING)
		rc = -EAGAIN;
	*count = 0;
	*places = 0;
	for (size_t i = 0; rc == 0 && i < one.count; i++) {
		*count += (unsigned long)(one.list[i].last - one.list[i].first + 1);
		*places += one.list[i].first;
	}
	free(one.list);
	free(other.list);
	return rc;
}
