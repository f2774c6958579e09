/* SPDX-License-Identifier: MIT */
#include "range_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "descriptor.h"
#include "lock.h"
#include "lock_sys.h"
#include "sys.h"

/* ---- The kernel's part ----------------------------------------------------- */

static struct flock range_of(short type, uint64_t at, uint64_t count)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
	lock.l_start = (off_t)at;
	lock.l_len = (off_t)count;
	return lock;
}

/* Kernels and filters that do not know a command say EINVAL; the ranges are never to blame. */
static int refused(int command, int code)
{
	bool of_process = command == F_SETLK || command == F_GETLK;
	if (code != EINVAL || of_process)
		return -code;
	return unishm_because(-ENOTSUP,
			"this kernel, or a filter, has no locks of open file descriptions, "
			"by which attachments are counted; use the System V backend");
}

static int set_lock(int fd, enum lock_owner owner, struct flock lock)
{
	int command = owner == LOCK_OF_PROCESS ? F_SETLK : ushp_sys_lock_commands.set;
	while (unishm_sys.fcntl_lock(fd, command, &lock) < 0) {
		if (errno == EACCES || errno == EAGAIN) /* POSIX allows either */
			return LOCK_BUSY;
		if (errno != EINTR)
			return refused(command, errno);
	}
	return 0;
}

/* ---- Locks of this process -------------------------------------------------- */

/* A byte that is locked. The same may be in the list twice, if it is shared. */
struct held {
	uint64_t at;
	bool exclusive;
};

struct process_file {
	struct process_file *next;
	dev_t dev;
	ino_t ino;
	size_t count, room;
	struct held *held;
};

static struct unishm_mutex guard = UNISHM_MUTEX_INIT;
static struct process_file *files;

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

/* Listed, with room for @count more locks; NULL: no memory. */
static struct process_file *make_room(const struct lock_file *key, uint64_t count)
{
	struct process_file *file = find_file(key->dev, key->ino);
	if (!file && (file = unishm_sys.calloc(1, sizeof *file))) {
		file->dev = key->dev;
		file->ino = key->ino;
		file->next = files;
		__atomic_store_n(&files, file, __ATOMIC_RELEASE);
	}
	if (!file || file->room - file->count >= count)
		return file;
	size_t room = 2 * file->room + (size_t)count;
	struct held *more = unishm_sys.realloc(file->held, room * sizeof *more);
	if (!more)
		return NULL;
	file->held = more;
	file->room = room;
	return file;
}

static bool is_in(const struct held *held, uint64_t at, uint64_t count)
{
	return held->at - at < count;
}

/* Locks of one process never refuse each other in the kernel: do it here. */
static bool is_refused(const struct process_file *file, uint64_t at, uint64_t count, bool exclusive)
{
	for (size_t i = 0; i < file->count; i++)
		if (is_in(&file->held[i], at, count) && (exclusive || file->held[i].exclusive))
			return true;
	return false;
}

static void list_bytes(struct process_file *file, uint64_t at, uint64_t count, bool exclusive)
{
	for (uint64_t i = 0; i < count; i++)
		file->held[file->count++] = (struct held){ at + i, exclusive };
}

static int take_and_list(const struct lock_file *key, uint64_t at, uint64_t count, bool exclusive)
{
	struct process_file *file = make_room(key, count);
	if (!file)
		return -ENOMEM;
	if (is_refused(file, at, count, exclusive))
		return LOCK_BUSY;
	int rc = set_lock(key->fd, LOCK_OF_PROCESS,
			range_of(exclusive ? F_WRLCK : F_RDLCK, at, count));
	if (rc == 0)
		list_bytes(file, at, count, exclusive);
	return rc;
}

static bool unlist(struct process_file *file, uint64_t at)
{
	for (size_t i = 0; i < file->count; i++) {
		if (file->held[i].at == at) {
			file->held[i] = file->held[--file->count];
			return true;
		}
	}
	return false;
}

/* ---- Descriptors that must not be closed --------------------------------------- */

static const char kept; /* their owner */
static bool keeps;      /* some */

static void close_kept_of(const struct process_file *file)
{
	struct stat st;
	for (int fd = -1; (fd = ushp_fd_next(fd, &kept)) >= 0;) {
		if (ushp_fd_check(fd, &kept, file->dev, file->ino, &st) < 0)
			continue;
		ushp_fd_own(fd, NULL);
		unishm_sys.close(fd);
	}
}

/* A second try: the first one may fail for want of memory. */
static bool leads_to(int fd, struct stat *st)
{
	for (int tries = 0; tries < 2; tries++)
		if (unishm_sys.fstat(fd, st) == 0)
			return true;
	return false;
}

/* Would closing @fd drop a lock? Where it cannot be told what @fd leads to, the descriptor is lost
 * rather than a lock. */
static bool has_locks(int fd)
{
	struct stat st;
	if (!leads_to(fd, &st))
		return true;
	struct process_file *file = find_file(st.st_dev, st.st_ino);
	return file && file->count > 0;
}

/* Forget files of which nothing is listed. */
static void drop_empty(void)
{
	for (struct process_file **at = &files; *at;) {
		struct process_file *file = *at;
		if (file->count > 0) {
			at = &file->next;
			continue;
		}
		if (keeps)
			close_kept_of(file);
		__atomic_store_n(at, file->next, __ATOMIC_RELEASE);
		free(file->held);
		free(file);
	}
}

/* ---- Taking and dropping -------------------------------------------------------- */

int ushp_lock_take(const struct lock_file *file, enum lock_owner owner, uint64_t at, uint64_t count,
		bool exclusive)
{
	if (owner == LOCK_OF_DESCRIPTION)
		return set_lock(file->fd, owner,
				range_of(exclusive ? F_WRLCK : F_RDLCK, at, count));
	unishm_mutex_lock(&guard);
	int rc = take_and_list(file, at, count, exclusive);
	if (rc != 0)
		drop_empty();
	unishm_mutex_unlock(&guard);
	return rc;
}

int ushp_lock_must_take(const struct lock_file *file, enum lock_owner owner, uint64_t at,
		uint64_t count, bool exclusive)
{
	int rc = ushp_lock_take(file, owner, at, count, exclusive);
	if (rc == LOCK_BUSY)
		return unishm_because(-EBUSY,
				"another process, which need not use this library, "
				"holds a lock on its object; find it (lslocks, fuser), and end it");
	return rc;
}

/* Drop only bytes that no other holder of this process has listed. */
void ushp_lock_drop(const struct lock_file *key, enum lock_owner owner, uint64_t at, uint64_t count)
{
	if (owner == LOCK_OF_DESCRIPTION) {
		set_lock(key->fd, owner, range_of(F_UNLCK, at, count));
		return;
	}
	unishm_mutex_lock(&guard);
	struct process_file *file = find_file(key->dev, key->ino);
	bool listed = false;
	for (uint64_t i = 0; file && i < count; i++)
		listed |= unlist(file, at + i);
	if (listed && key->fd >= 0 && !is_refused(file, at, count, true))
		set_lock(key->fd, LOCK_OF_PROCESS, range_of(F_UNLCK, at, count));
	drop_empty();
	unishm_mutex_unlock(&guard);
}

int ushp_lock_inherit(const struct lock_file *key, uint64_t from, uint64_t at, uint64_t count,
		bool exclusive)
{
	unishm_mutex_lock(&guard);
	struct process_file *file = find_file(key->dev, key->ino);
	for (size_t i = 0; file && i < file->count; i++)
		if (is_in(&file->held[i], from, count))
			file->held[i].at += at - from;
	unishm_mutex_unlock(&guard);
	return set_lock(key->fd, LOCK_OF_PROCESS,
			range_of(exclusive ? F_WRLCK : F_RDLCK, at, count));
}

int ushp_lock_briefly(const struct lock_file *file, uint64_t at)
{
	int rc = LOCK_BUSY;
	for (unsigned tries = 0; rc == LOCK_BUSY && tries < 10000; tries++)
		rc = set_lock(file->fd, LOCK_OF_PROCESS, range_of(F_WRLCK, at, 1));
	return rc;
}

void ushp_lock_end_briefly(const struct lock_file *file, uint64_t at)
{
	set_lock(file->fd, LOCK_OF_PROCESS, range_of(F_UNLCK, at, 1));
}

void ushp_lock_close_kept(void)
{
	if (none())
		return;
	if (!unishm_mutex_try(&guard))
		return; /* the fork interrupted a call that has it */
	for (const struct process_file *file = files; keeps && file; file = file->next)
		close_kept_of(file);
	keeps = false;
	unishm_mutex_unlock(&guard);
}

/* Frees nothing: a child handler calls it. */
void ushp_lock_forget(dev_t dev, ino_t ino, uint64_t at)
{
	if (none())
		return;
	unishm_mutex_lock(&guard);
	struct process_file *file = find_file(dev, ino);
	if (file)
		unlist(file, at);
	unishm_mutex_unlock(&guard);
}

bool ushp_lock_by_process(dev_t dev, ino_t ino)
{
	if (none())
		return false;
	unishm_mutex_lock(&guard);
	struct process_file *file = find_file(dev, ino);
	bool found = file && file->count > 0;
	unishm_mutex_unlock(&guard);
	return found;
}

static bool find_listed(const struct lock_file *key, struct range ask, bool exclusive,
		struct range *found)
{
	bool done = false;
	if (none())
		return false;
	unishm_mutex_lock(&guard);
	struct process_file *file = find_file(key->dev, key->ino);
	for (size_t i = 0; file && !done && i < file->count; i++) {
		const struct held *held = &file->held[i];
		done = held->at >= ask.first && held->at <= ask.last &&
				(held->exclusive || !exclusive);
		if (done)
			*found = (struct range){ held->at, held->at };
	}
	unishm_mutex_unlock(&guard);
	return done;
}

static int ask_kernel(const struct lock_file *file, int command, struct range ask, bool exclusive,
		struct range *found)
{
	/* A lock is in the way of what is asked for: a shared one only of an exclusive one. */
	struct flock lock = range_of(exclusive ? F_RDLCK : F_WRLCK, ask.first,
			ask.last - ask.first + 1);
	if (unishm_sys.fcntl_lock(file->fd, command, &lock) < 0)
		return refused(command, errno);
	if (lock.l_type == F_UNLCK)
		return 0;
	uint64_t first = (uint64_t)lock.l_start;
	*found = (struct range){ first,
		lock.l_len == 0 ? PLACE_END : first + (uint64_t)lock.l_len - 1 };
	return 1;
}

int ushp_lock_find(const struct lock_file *file, struct range ask, bool exclusive,
		struct range *found)
{
	/* F_GETLK by a description that other processes share does not report the locks that they
	 * hold by it. */
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
	int fd = -1;
	struct stat st;
	if (none())
		return -ENOENT;
	unishm_mutex_lock(&guard);
	while (keeps && (fd = ushp_fd_next(fd, &kept)) >= 0)
		if (ushp_fd_check(fd, &kept, dev, ino, &st) == 0 &&
				(!writable || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR))
			break;
	if (fd >= 0)
		ushp_fd_own(fd, NULL);
	unishm_mutex_unlock(&guard);
	return fd < 0 ? -ENOENT : fd;
}

void ushp_lock_close(int fd)
{
	bool keep = false;
	if (!none()) {
		unishm_mutex_lock(&guard);
		keep = has_locks(fd);
		if (keep)
			keeps = ushp_fd_own(fd, &kept) == 0 || keeps;
		unishm_mutex_unlock(&guard);
	}
	if (!keep)
		unishm_sys.close(fd);
}

void ushp_lock_close_own(int fd, const void *owner, dev_t dev, ino_t ino)
{
	struct stat st;
	int rc = ushp_fd_check(fd, owner, dev, ino, &st);
	if (rc < 0 && rc != -EBADF) /* short of memory, perhaps */
		rc = ushp_fd_check(fd, owner, dev, ino, &st);
	if (rc < 0)
		return;
	ushp_fd_own(fd, NULL);
	ushp_lock_close(fd);
}
