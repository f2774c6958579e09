/* SPDX-License-Identifier: MIT */
#include "range_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "descriptor.h"
#include "lock.h"
#include "object_sys.h"
#include "sys.h"

/* ---- The kernel's part ----------------------------------------------------- */

static struct flock range_of(short type, uint64_t at, uint64_t count)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
	lock.l_start = (off_t)at;
	lock.l_len = (off_t)count;
	return lock;
}

static int set_lock(int fd, enum lock_owner owner, struct flock lock)
{
	int command = owner == LOCK_OF_PROCESS ? F_SETLK : ushp_sys_lock_commands.set;
	while (unishm_sys.fcntl_lock(fd, command, &lock) < 0) {
		if (errno == EACCES) /* POSIX allows either for "held by another" */
			return -EAGAIN;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* ---- Locks of this process -------------------------------------------------- */

struct held {
	uint64_t at, count;
	bool exclusive;
};

struct process_file {
	struct process_file *next;
	dev_t dev;
	ino_t ino;
	size_t locks, lock_room;
	struct held *held;
	size_t kept, kept_room;
	struct kept {
		int fd;
		bool writable;
	} *descriptors;
};

static struct unishm_mutex guard = UNISHM_MUTEX_INIT;
static struct process_file *files;
static const char kept_here; /* owner of descriptors that are kept */

static bool none(void)
{
	return !__atomic_load_n(&files, __ATOMIC_ACQUIRE);
}

static struct process_file *find_file(dev_t dev, ino_t ino)
{
	struct process_file *file = files;
	while (file && (file->dev != dev || file->ino != ino))
		file = file->next;
	return file;
}

/* Room for one more element of @size in *@list. */
static bool make_room(void *list, size_t used, size_t *room, size_t size)
{
	void *old, *more;
	if (used < *room)
		return true;
	memcpy(&old, list, sizeof old);
	more = unishm_sys.realloc(old, (*room ? 2 * *room : 8) * size);
	if (!more)
		return false;
	memcpy(list, &more, sizeof more);
	*room = *room ? 2 * *room : 8;
	return true;
}

static struct process_file *make_file(const struct lock_file *key)
{
	struct process_file *file = find_file(key->dev, key->ino);
	if (!file && (file = unishm_sys.calloc(1, sizeof *file))) {
		file->dev = key->dev;
		file->ino = key->ino;
		file->next = files;
		__atomic_store_n(&files, file, __ATOMIC_RELEASE);
	}
	return file;
}

static void close_kept(struct process_file *file)
{
	while (file->kept > 0) {
		struct stat st;
		int fd = file->descriptors[--file->kept].fd;
		if (ushp_fd_check(fd, &kept_here, file->dev, file->ino, &st) < 0)
			continue; /* the program closed it */
		ushp_fd_own(fd, NULL);
		unishm_sys.close(fd);
	}
}

/* Nothing is left to list: forget the file. */
static void drop_if_empty(struct process_file *file)
{
	if (file->locks > 0)
		return;
	close_kept(file);
	struct process_file **at = &files;
	while (*at != file)
		at = &(*at)->next;
	__atomic_store_n(at, file->next, __ATOMIC_RELEASE);
	free(file->held);
	free(file->descriptors);
	free(file);
}

static bool meets(const struct held *held, uint64_t first, uint64_t last)
{
	return held->at <= last && first < held->at + held->count;
}

/* Locks of one process never refuse each other in the kernel: do it here. */
static int list_lock(const struct lock_file *key, uint64_t at, uint64_t count, bool exclusive)
{
	struct process_file *file = make_file(key);
	if (!file)
		return -ENOMEM;
	int rc = 0;
	for (size_t i = 0; i < file->locks && rc == 0; i++)
		if (meets(&file->held[i], at, at + count - 1) && (exclusive || file->held[i].exclusive))
			rc = -EAGAIN;
	if (rc == 0 && !make_room(&file->held, file->locks, &file->lock_room, sizeof *file->held))
		rc = -ENOMEM;
	if (rc == 0)
		rc = set_lock(key->fd, LOCK_OF_PROCESS, range_of(exclusive ? F_WRLCK : F_RDLCK, at, count));
	if (rc == 0)
		file->held[file->locks++] = (struct held){ at, count, exclusive };
	else
		drop_if_empty(file);
	return rc;
}

static int unlist_lock(dev_t dev, ino_t ino, uint64_t at, uint64_t count)
{
	struct process_file *file = find_file(dev, ino);
	for (size_t i = 0; file && i < file->locks; i++) {
		if (file->held[i].at != at || file->held[i].count != count)
			continue;
		file->held[i] = file->held[--file->locks];
		drop_if_empty(file);
		return 0;
	}
	return -ENOENT;
}

/* Is [@at, @at + @count) still listed, for another holder in this process? */
static bool still_listed(dev_t dev, ino_t ino, uint64_t at, uint64_t count)
{
	struct process_file *file = find_file(dev, ino);
	for (size_t i = 0; file && i < file->locks; i++)
		if (meets(&file->held[i], at, at + count - 1))
			return true;
	return false;
}

int ushp_lock_take(const struct lock_file *file, enum lock_owner owner, uint64_t at,
		uint64_t count, bool exclusive)
{
	if (owner == LOCK_OF_DESCRIPTION)
		return set_lock(file->fd, owner, range_of(exclusive ? F_WRLCK : F_RDLCK, at, count));
	unishm_mutex_lock(&guard);
	int rc = list_lock(file, at, count, exclusive);
	unishm_mutex_unlock(&guard);
	return rc;
}

void ushp_lock_drop(const struct lock_file *file, enum lock_owner owner, uint64_t at, uint64_t count)
{
	if (owner == LOCK_OF_DESCRIPTION) {
		set_lock(file->fd, owner, range_of(F_UNLCK, at, count));
		return;
	}
	unishm_mutex_lock(&guard);
	if (unlist_lock(file->dev, file->ino, at, count) == 0 && file->fd >= 0 &&
			!still_listed(file->dev, file->ino, at, count))
		set_lock(file->fd, owner, range_of(F_UNLCK, at, count));
	unishm_mutex_unlock(&guard);
}

int ushp_lock_inherit(const struct lock_file *key, uint64_t from, uint64_t at, uint64_t count,
		bool exclusive)
{
	unishm_mutex_lock(&guard);
	struct process_file *file = find_file(key->dev, key->ino);
	for (size_t i = 0; file && i < file->locks; i++)
		if (file->held[i].at == from && file->held[i].count == count)
			file->held[i].at = at;
	unishm_mutex_unlock(&guard);
	return set_lock(key->fd, LOCK_OF_PROCESS, range_of(exclusive ? F_WRLCK : F_RDLCK, at, count));
}

void ushp_lock_split(dev_t dev, ino_t ino, uint64_t at, uint64_t count)
{
	unishm_mutex_lock(&guard);
	struct process_file *file = find_file(dev, ino);
	for (size_t i = 0; file && i < file->locks; i++) {
		if (file->held[i].at != at || file->held[i].count != count)
			continue;
		file->held[i].count = 1;
		for (uint64_t more = 1; more < count && make_room(&file->held, file->locks,
				&file->lock_room, sizeof *file->held); more++)
			file->held[file->locks++] = (struct held){ at + more, 1, false };
		break;
	}
	unishm_mutex_unlock(&guard);
}

void ushp_lock_forget(dev_t dev, ino_t ino, uint64_t at, uint64_t count)
{
	if (none())
		return;
	unishm_mutex_lock(&guard);
	unlist_lock(dev, ino, at, count);
	unishm_mutex_unlock(&guard);
}

bool ushp_lock_by_process(dev_t dev, ino_t ino)
{
	if (none())
		return false;
	unishm_mutex_lock(&guard);
	bool found = find_file(dev, ino) != NULL;
	unishm_mutex_unlock(&guard);
	return found;
}

static bool find_listed(const struct lock_file *key, struct range ask, bool exclusive, struct range *found)
{
	bool done = false;
	if (none())
		return false;
	unishm_mutex_lock(&guard);
	struct process_file *file = find_file(key->dev, key->ino);
	for (size_t i = 0; file && !done && i < file->locks; i++) {
		const struct held *held = &file->held[i];
		done = meets(held, ask.first, ask.last) && (held->exclusive || !exclusive);
		if (done)
			*found = (struct range){ held->at, held->at + held->count - 1 };
	}
	unishm_mutex_unlock(&guard);
	return done;
}

static int ask_kernel(const struct lock_file *file, int command, struct range ask, bool exclusive, struct range *found)
{
	/* A lock is in the way of what is asked for: a shared one only of an exclusive one. */
	struct flock lock = range_of(exclusive ? F_RDLCK : F_WRLCK, ask.first, ask.last - ask.first + 1);
	if (unishm_sys.fcntl_lock(file->fd, command, &lock) < 0)
		return -errno;
	if (lock.l_type == F_UNLCK)
		return 0;
	uint64_t first = (uint64_t)lock.l_start;
	*found = (struct range){ first, lock.l_len == 0 ? PLACE_END : first + (uint64_t)lock.l_len - 1 };
	return 1;
}

int ushp_lock_find(const struct lock_file *file, struct range ask, bool exclusive, struct range *found)
{
	/* By a description that others have, locks that they hold by it would not be seen. */
	int command = file->shared ? F_GETLK : ushp_sys_lock_commands.find;
	int rc = ask_kernel(file, command, ask, exclusive, found);
	return rc == 0 ? find_listed(file, ask, exclusive, found) : rc;
}

int ushp_lock_find_foreign(const struct lock_file *file, enum lock_owner owner, struct range ask,
		struct range *found)
{
	int command = owner == LOCK_OF_PROCESS ? F_GETLK : ushp_sys_lock_commands.find;
	return ask_kernel(file, command, ask, false, found);
}

int ushp_lock_reuse(dev_t dev, ino_t ino, bool writable)
{
	int fd = -ENOENT;
	struct stat st;
	if (none())
		return fd;
	unishm_mutex_lock(&guard);
	struct process_file *file = find_file(dev, ino);
	for (size_t i = 0; file && fd < 0 && i < file->kept; i++) {
		struct kept kept = file->descriptors[i];
		bool ours = ushp_fd_check(kept.fd, &kept_here, dev, ino, &st) == 0;
		if (ours && writable && !kept.writable)
			continue;
		file->descriptors[i--] = file->descriptors[--file->kept];
		if (ours && ushp_fd_own(kept.fd, NULL) == 0)
			fd = kept.fd;
	}
	unishm_mutex_unlock(&guard);
	return fd;
}

void ushp_lock_close(int fd, dev_t dev, ino_t ino)
{
	bool keep = false;
	if (!none()) {
		unishm_mutex_lock(&guard);
		struct process_file *file = find_file(dev, ino);
		/* Without room for it the descriptor is lost: better than a lock. */
		keep = file != NULL;
		if (keep && make_room(&file->descriptors, file->kept, &file->kept_room,
				sizeof *file->descriptors)) {
			bool writable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
			file->descriptors[file->kept++] = (struct kept){ fd, writable };
			ushp_fd_own(fd, &kept_here);
		}
		unishm_mutex_unlock(&guard);
	}
	if (!keep)
		unishm_sys.close(fd);
}
