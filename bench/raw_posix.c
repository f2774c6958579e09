/* SPDX-License-Identifier: MIT */
/* The raw calls of POSIX: what its backend is measured against. Reserving is
 * posix_fallocate() after ftruncate(). */
#include "contender.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned base;
static struct slot {
	int fd;
	char name[24];
	size_t size;
	void *addr;
} slots[SLOTS];

static void start(const char *variant, unsigned from)
{
	(void)variant;
	base = from;
}

static void set_name(struct slot *slot, unsigned segment)
{
	snprintf(slot->name, sizeof slot->name, "/bench.%08x", base + segment);
}

static void create(int handle, unsigned segment, size_t size, int reserve)
{
	struct slot *slot = &slots[handle];
	set_name(slot, segment);
	slot->size = size;
	slot->fd = shm_open(slot->name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (slot->fd < 0)
		die("shm_open");
	if (ftruncate(slot->fd, (off_t)size) < 0)
		die("ftruncate");
	if (reserve && (errno = posix_fallocate(slot->fd, 0, (off_t)size)) != 0)
		die("posix_fallocate");
}

static void open_existing(int handle, unsigned segment)
{
	struct slot *slot = &slots[handle];
	struct stat st;
	set_name(slot, segment);
	slot->fd = shm_open(slot->name, O_RDWR, 0);
	if (slot->fd < 0 || fstat(slot->fd, &st) < 0)
		die("shm_open");
	slot->size = (size_t)st.st_size;
}

static void attach(int handle)
{
	struct slot *slot = &slots[handle];
	slot->addr = mmap(NULL, slot->size, PROT_READ | PROT_WRITE, MAP_SHARED, slot->fd, 0);
	if (slot->addr == MAP_FAILED)
		die("mmap");
}

static void detach(int handle)
{
	if (munmap(slots[handle].addr, slots[handle].size) < 0)
		die("munmap");
}

static void close_handle(int handle)
{
	close(slots[handle].fd);
}

static void remove_segment(int handle)
{
	if (shm_unlink(slots[handle].name) < 0)
		die("shm_unlink");
}

static void *address(int handle)
{
	return slots[handle].addr;
}

static size_t status(int handle)
{
	struct stat st;
	if (fstat(slots[handle].fd, &st) < 0)
		die("fstat");
	return (size_t)st.st_size;
}

static void lock(int handle)
{
	struct slot *slot = &slots[handle];
	attach(handle);
	if (mlock(slot->addr, slot->size) < 0)
		die("mlock");
}

/* Names and inode facts, which is all that can be known of them. */
static unsigned list(void)
{
	unsigned count = 0;
	struct stat st;
	const struct dirent *entry;
	DIR *dir = opendir("/dev/shm");
	if (!dir)
		die("opendir");
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, "bench.", 6) == 0)
			count += fstatat(dirfd(dir), entry->d_name, &st, 0) == 0;
	closedir(dir);
	return count;
}

const struct contender contender = {
	.start = start,
	.create = create,
	.open = open_existing,
	.attach = attach,
	.detach = detach,
	.close = close_handle,
	.remove = remove_segment,
	.address = address,
	.status = status,
	.lock = lock,
	.unlock = detach, /* the mapping that holds the memory */
	.list = list,
	.reserves = 1,
};
