/* SPDX-License-Identifier: MIT */
/*
 * What is mapped where, as /proc/thread-self/maps of Linux tells. (Not /proc/self, which is empty
 * once the main thread has ended.) The file stays open as long as there are handles, since that
 * spares two of three system calls; the program may close it or put another in its place.
 */
#include "mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "config.h"

#if UNISHM_OS_LINUX
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static struct unishm_mutex lock = UNISHM_MUTEX_INIT; /* of @maps */
static struct {
	int fd;
	pid_t reader; /* in a child, the file still tells of its parent */
	bool is_copy; /* made when it was opened: by an emulator (qemu-user) */
	dev_t dev;
	ino_t ino;
} maps = { .fd = -1 };

/* Linux 6.11; headers may be older than the kernel. */
struct query {
	uint64_t size, flags, addr;
	uint64_t start, end, vma_flags, page_size, offset, inode;
	uint32_t dev_major, dev_minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define QUERY_CALL _IOWR('f', 17, struct query)
enum { QUERY_THIS_OR_NEXT = 0x10 };

static bool is_still_ours(void)
{
	struct stat st;
	return maps.fd >= 0 && fstat(maps.fd, &st) == 0 && st.st_dev == maps.dev &&
			st.st_ino == maps.ino;
}

static void let_go(void)
{
	if (is_still_ours())
		close(maps.fd);
	maps.fd = -1;
}

static int open_maps(void)
{
	struct stat st;
	int fd = open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Standard streams stay free for the program. */
	int kept = fd > 2 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int rc = kept < 0 ? -errno : 0;
	if (kept != fd)
		close(fd);
	if (rc < 0)
		return rc;
	if (fstat(kept, &st) < 0) {
		rc = -errno;
		close(kept);
		return rc;
	}
	maps.fd = kept;
	maps.reader = unishm_pid();
	maps.is_copy = st.st_size > 0; /* of a file in /proc it is 0 */
	maps.dev = st.st_dev;
	maps.ino = st.st_ino;
	return 0;
}

static int ask(uintptr_t addr, struct unishm_mapping *out)
{
	struct query query = { .size = sizeof query, .flags = QUERY_THIS_OR_NEXT, .addr = addr };
	if (syscall(SYS_ioctl, maps.fd, QUERY_CALL, &query) < 0) /* musl's ioctl() takes an int */
		return -errno;
	*out = (struct unishm_mapping){ (uintptr_t)query.start, (uintptr_t)query.end, query.offset,
		query.dev_major, query.dev_minor, query.inode };
	return 0;
}

/* "start-end rwxp offset major:minor inode path"; false: no such line. */
static bool parse(const char *line, struct unishm_mapping *out)
{
	unsigned long long start, end, offset, major, minor, inode;
	if (sscanf(line, "%llx-%llx %*s %llx %llx:%llx %llu", &start, &end, &offset, &major, &minor,
			    &inode) != 6)
		return false;
	*out = (struct unishm_mapping){ (uintptr_t)start, (uintptr_t)end, offset, major, minor,
		inode };
	return true;
}

/* Reads all from the start: each line is whole, and they come in the order of addresses. */
static int read_lines(uintptr_t addr, struct unishm_mapping *out)
{
	char text[4096 + 512]; /* a line holds a path */
	size_t have = 0;
	off_t at = 0;
	for (;;) {
		ssize_t got = pread(maps.fd, text + have, sizeof text - 1 - have, at);
		if (got <= 0)
			return got < 0 ? -errno : -ENOENT;
		at += got;
		have += (size_t)got;
		text[have] = '\0';
		char *line = text;
		for (char *end; (end = strchr(line, '\n')); line = end + 1)
			if (parse(line, out) && out->end > addr)
				return 0;
		have -= (size_t)(line - text);
		if (have >= sizeof text - 1)
			return -EOPNOTSUPP;
		memmove(text, line, have);
	}
}

bool unishm_mapping_is_on(const struct unishm_mapping *mapping, dev_t dev)
{
	return mapping->dev_major == major(dev) && mapping->dev_minor == minor(dev);
}

static int look(uintptr_t addr, struct unishm_mapping *out)
{
	struct unishm_mapping found;
	if (maps.fd >= 0 && (maps.is_copy || maps.reader != unishm_pid() || !is_still_ours()))
		let_go();
	int rc = maps.fd < 0 ? open_maps() : 0;
	if (rc < 0)
		return -EOPNOTSUPP; /* no /proc, no descriptor left, a filter */
	rc = ask(addr, &found);
	if (rc < 0 && rc != -ENOENT)
		rc = read_lines(addr, &found);
	if (rc == 0)
		*out = found;
	return rc == 0 || rc == -ENOENT ? rc : -EOPNOTSUPP;
}

int unishm_mapping_at(const void *addr, struct unishm_mapping *out)
{
	if (unishm_mutex_is_mine(&lock))
		return -EOPNOTSUPP; /* a signal handler that interrupted this has forked */
	unishm_mutex_lock(&lock);
	int rc = look((uintptr_t)addr, out);
	unishm_mutex_unlock(&lock);
	return rc;
}

void unishm_mapping_prepare(void)
{
	unishm_mutex_lock(&lock);
	if (maps.fd < 0 || maps.reader != unishm_pid()) {
		let_go();
		open_maps();
	}
	unishm_mutex_unlock(&lock);
}

/* In a child by a signal handler that interrupted one of the above, that function closes the
 * file. */
void unishm_mapping_forget(void)
{
	if (unishm_mutex_is_mine(&lock))
		return;
	unishm_mutex_lock(&lock);
	let_go();
	unishm_mutex_unlock(&lock);
}
#else
bool unishm_mapping_is_on(const struct unishm_mapping *mapping, dev_t dev)
{
	(void)mapping, (void)dev;
	return false;
}

int unishm_mapping_at(const void *addr, struct unishm_mapping *out)
{
	(void)addr, (void)out;
	return -EOPNOTSUPP;
}

void unishm_mapping_prepare(void)
{
}

void unishm_mapping_forget(void)
{
}
#endif
