/* SPDX-License-Identifier: MIT */
/* The system calls that the POSIX backend makes, in its order, with nothing between them: what it
 * could cost at best. What they answer is checked for failure only. */
#include "contender.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RECORD = 65536, TAIL = 472, SLOT = 40 };
static const off_t first_lock = (off_t)1 << 61;

static unsigned base;
static int maps;
static struct {
	int fd;
	char path[40];
	off_t end; /* of the record */
	size_t size;
	void *addr;
	int attachments; /* since open; from the second on the record is mapped */
} slots[SLOTS];
static char tail[TAIL];

/* Linux 6.11, as in core/mapping.c */
struct query {
	uint64_t size, flags, addr, start, end, vma_flags, page_size, offset, inode;
	uint32_t dev_major, dev_minor, name_size, build_id_size;
	uint64_t name, build_id;
};

static void start(const char *variant, unsigned from)
{
	(void)variant;
	base = from;
	maps = open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC);
}

static void ask_limit(void)
{
	struct rlimit limit;
	syscall(SYS_getrlimit, RLIMIT_FSIZE, &limit);
}

static void look(int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		die("fstat");
}

static void need(long done, const char *what)
{
	if (done < 0)
		die(what);
}

static void name(int handle, unsigned segment)
{
	snprintf(slots[handle].path, sizeof slots[handle].path, "/dev/shm/bare.%08x",
			base + segment);
}

static void create(int handle, unsigned segment, size_t size, int reserve)
{
	name(handle, segment);
	ask_limit();
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	need(fd, "open");
	syscall(SYS_getegid);
	look(fd);
	off_t end = (off_t)((size + RECORD - 1) / RECORD * RECORD + RECORD);
	need(pwrite(fd, tail, TAIL, end - TAIL), "pwrite");
	if (reserve)
		need(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size), "fallocate");
	need(linkat(fd, "", AT_FDCWD, slots[handle].path, AT_EMPTY_PATH), "linkat");
	slots[handle].fd = fd;
	slots[handle].end = end;
	slots[handle].attachments = 0;
	slots[handle].size = size;
}

static void open_existing(int handle, unsigned segment)
{
	struct stat st;
	name(handle, segment);
	int fd = open(slots[handle].path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	need(fd, "open");
	need(fstat(fd, &st), "fstat");
	need(pread(fd, tail, TAIL, st.st_size - TAIL), "pread");
	slots[handle].fd = fd;
	slots[handle].end = st.st_size;
	slots[handle].attachments = 0;
	slots[handle].size = (size_t)st.st_size - RECORD;
}

static void write_slot(int handle)
{
	ask_limit();
	need(pwrite(slots[handle].fd, tail, SLOT, slots[handle].end - 4 * SLOT), "pwrite");
}

static void attach_opened(int handle)
{
	int fd = slots[handle].fd;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	lock.l_start = first_lock + 2 * handle;
	lock.l_len = 1;
	geteuid();
	slots[handle].addr = mmap(NULL, slots[handle].size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			0);
	if (slots[handle].addr == MAP_FAILED)
		die("mmap");
	if (slots[handle].attachments++ > 0)
		return;
	fcntl(fd, F_OFD_SETLK, &lock); /* another process may have the place */
	need(pread(fd, tail, TAIL, slots[handle].end - TAIL), "pread");
	write_slot(handle);
	look(fd);
}

static void attach(int handle)
{
	look(slots[handle].fd);
	attach_opened(handle);
}

static void open_attached(int handle, unsigned segment)
{
	open_existing(handle, segment);
	attach_opened(handle);
}

static void detach(int handle)
{
	int fd = slots[handle].fd;
	struct query query = { .size = sizeof query, .flags = 0x10 };
	query.addr = (uintptr_t)slots[handle].addr;
	look(fd);
	look(maps);
	syscall(SYS_ioctl, maps, _IOWR('f', 17, struct query), &query);
	need(munmap(slots[handle].addr, slots[handle].size), "munmap");
	slots[handle].addr = NULL;
	if (slots[handle].attachments > 1)
		return;
	need(pread(fd, tail, TAIL, slots[handle].end - TAIL), "pread");
	write_slot(handle);
}

/* Detaches, if need be: then the descriptor was looked at. */
static void close_handle(int handle)
{
	if (slots[handle].fd < 0)
		return; /* by remove */
	if (slots[handle].addr)
		detach(handle);
	else
		look(slots[handle].fd);
	close(slots[handle].fd);
}

static void remove_segment(int handle)
{
	int fd = slots[handle].fd;
	struct stat st;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	lock.l_start = first_lock - 2;
	lock.l_len = 1;
	look(fd);
	geteuid();
	need(fcntl(fd, F_OFD_SETLK, &lock), "fcntl");
	need(fstatat(AT_FDCWD, slots[handle].path, &st, AT_SYMLINK_NOFOLLOW), "fstatat");
	need(unlink(slots[handle].path), "unlink");
	lock.l_start = first_lock;
	lock.l_len = 0;
	need(fcntl(fd, F_OFD_GETLK, &lock), "fcntl");
	look(fd);
	close(fd);
	slots[handle].fd = -1;
}

static void *address(int handle)
{
	return slots[handle].addr;
}

static size_t status(int handle)
{
	int fd = slots[handle].fd;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	lock.l_start = first_lock;
	look(fd);
	need(pread(fd, tail, TAIL, slots[handle].end - TAIL), "pread");
	need(fcntl(fd, F_OFD_GETLK, &lock), "fcntl");
	return (size_t)geteuid();
}

const struct contender contender = {
	.start = start,
	.create = create,
	.open = open_existing,
	.open_attached = open_attached,
	.attach = attach,
	.detach = detach,
	.close = close_handle,
	.remove = remove_segment,
	.address = address,
	.status = status,
	.reserves = 1,
};
