/* SPDX-License-Identifier: MIT */
#include "posix_os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"
#include "sys.h"

/* Linux keeps shared memory objects as files here (glibc and musl alike). */
#define OS_DIRECTORY "/dev/shm"

/* glibc adds O_NOFOLLOW and O_CLOEXEC, musl O_NONBLOCK too, which keeps a FIFO
 * of that name from blocking us. */
#define OS_OPEN_FLAGS (O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

/* A program may have closed its standard streams: an object must not become
 * one, or its next printf() lands in shared memory. */
static int keep_off_standard_streams(int fd)
{
	if (fd < 0)
		return -errno;
	if (fd > 2)
		return fd;
	int higher = unishm_sys.fcntl_dup(fd, 3);
	int rc = higher < 0 ? -errno : higher;
	unishm_sys.close(fd);
	return rc;
}

int os_object_open(const char *name, int access)
{
	int rc = keep_off_standard_streams(unishm_sys.shm_open(name, access | OS_OPEN_FLAGS, 0));
	/* a link, a directory, a socket or a FIFO without a reader */
	if (rc == -ELOOP || rc == -EISDIR || rc == -ENXIO)
		return unishm_because(-EBADMSG, "something that is no shared memory has its name; "
				"move it away, or choose another key");
	return rc;
}

int os_object_make(mode_t mode)
{
	return keep_off_standard_streams(unishm_sys.open(OS_DIRECTORY,
			O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
}

static void path_of_fd(int fd, char *path, size_t room)
{
	snprintf(path, room, "/proc/self/fd/%d", fd);
}

int os_object_publish(int fd, const char *name)
{
	char to[sizeof OS_DIRECTORY + OS_NAME_MAX], from[32];
	snprintf(to, sizeof to, OS_DIRECTORY "%s", name);
	/* Without privilege since Linux 6.10; before, the name in /proc does. */
	if (unishm_sys.linkat(fd, "", AT_FDCWD, to, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	path_of_fd(fd, from, sizeof from);
	return unishm_sys.linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int os_object_unlink(const char *name)
{
	return unishm_sys.shm_unlink(name) < 0 ? -errno : 0;
}

int os_object_stat(const char *name, struct stat *st)
{
	char path[sizeof OS_DIRECTORY + OS_NAME_MAX];
	snprintf(path, sizeof path, OS_DIRECTORY "%s", name);
	return unishm_sys.stat(path, st) < 0 ? -errno : 0;
}

int os_reopen_fd(int fd, int access)
{
	char path[32];
	path_of_fd(fd, path, sizeof path);
	return keep_off_standard_streams(unishm_sys.open(path, access | O_CLOEXEC, 0));
}

int os_reopen_mapped(const void *addr, size_t length, int access)
{
	char path[64]; /* root's way only: CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN */
	uintptr_t from = (uintptr_t)addr;
	snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)from,
			(unsigned long)(from + length));
	return keep_off_standard_streams(unishm_sys.open(path, access | O_CLOEXEC, 0));
}

int os_object_list(const char *prefix,
		int (*found)(const char *name, ino_t inode, void *arg), void *arg)
{
	DIR *dir = unishm_sys.opendir(OS_DIRECTORY);
	if (!dir)
		return -errno;
	size_t length = strlen(prefix);
	int rc = 0;
	while (rc == 0) {
		errno = 0;
		const struct dirent *entry = unishm_sys.readdir(dir);
		if (!entry) {
			rc = -errno;
			break;
		}
		if (strncmp(entry->d_name, prefix, length) == 0)
			rc = found(entry->d_name, entry->d_ino, arg);
	}
	unishm_sys.closedir(dir);
	return rc;
}

/* Where there is no posix_fallocate: a byte into each page has the same effect on
 * what was never written. */
static int fill_with_zeros(int fd, off_t offset, off_t length)
{
	enum { STEP = 4096 }; /* no page is smaller */
	static const char zero;
	for (off_t at = 0; at < length; at += STEP)
		if (unishm_sys.pwrite(fd, &zero, 1, offset + at) < 0)
			return -errno;
	return 0;
}

/* A signal interrupts posix_fallocate, which then has reserved nothing: a
 * program with a fast timer would never see a large one finish. So halve the
 * piece whenever that happens. */
int os_reserve(int fd, off_t offset, off_t length)
{
	off_t piece = length;
	while (length > 0) {
		if (piece > length)
			piece = length;
		int code = unishm_sys.posix_fallocate(fd, offset, piece);
		if (code == EINTR) {
			if (piece > 1 << 20)
				piece /= 2;
			continue;
		}
		if (code == EOPNOTSUPP || code == ENODEV || code == EINVAL)
			return fill_with_zeros(fd, offset, length);
		if (code)
			return -code;
		offset += piece;
		length -= piece;
	}
	return 0;
}

int os_map_at(void *where, size_t length, int prot, int fd, void **addr)
{
#ifdef MAP_FIXED_NOREPLACE
	int flags = MAP_SHARED | MAP_FIXED_NOREPLACE; /* Linux 4.17; older ones ignore it */
#else
	int flags = MAP_SHARED; /* an address is then a hint, so compare */
#endif
	void *got = unishm_sys.mmap(where, length, prot, flags, fd, 0);
	if (got == MAP_FAILED && errno != EEXIST)
		return -errno;
	if (got == where) {
		*addr = got;
		return 0;
	}
	if (got != MAP_FAILED)
		unishm_sys.munmap(got, length);
	return unishm_because(-EINVAL, "something is mapped there already; choose another address");
}

int os_dont_inherit(void *addr, size_t length)
{
	return unishm_sys.madvise(addr, length, MADV_DONTFORK) < 0 ? -errno : 0;
}

/* Linux keeps such mappings from a child. Emulators (qemu-user) claim to and do
 * not: then it is all still there. It is not touched otherwise, since another
 * library's fork handler may have put something of its own in that range. */
void os_drop_inherited(void *addr, size_t length)
{
	if (addr && msync(addr, length, MS_ASYNC) == 0)
		unishm_sys.munmap(addr, length);
}

/* ---- Locks --------------------------------------------------------------- */

static struct flock range(short type, uint64_t at, uint64_t length)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
	lock.l_start = (off_t)at;
	lock.l_len = (off_t)length;
	return lock;
}

static int set_lock(struct os_lock how, int cmd, struct flock lock)
{
	while (unishm_sys.fcntl_lock(how.fd, cmd, &lock) < 0) {
		if (errno == EACCES) /* POSIX allows either for "somebody else's" */
			return -EAGAIN;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int os_lock(struct os_lock how, uint64_t at, uint64_t length, bool exclusive)
{
	return set_lock(how, how.by_process ? F_SETLK : F_OFD_SETLK,
			range(exclusive ? F_WRLCK : F_RDLCK, at, length));
}

int os_lock_wait(struct os_lock how, uint64_t at, uint64_t length, bool exclusive)
{
	return set_lock(how, how.by_process ? F_SETLKW : F_OFD_SETLKW,
			range(exclusive ? F_WRLCK : F_RDLCK, at, length));
}

void os_unlock(struct os_lock how, uint64_t at, uint64_t length)
{
	set_lock(how, how.by_process ? F_SETLK : F_OFD_SETLK, range(F_UNLCK, at, length));
}

int os_lock_find(int fd, uint64_t at, uint64_t end, uint64_t *from, uint64_t *to)
{
	/* A reader's descriptor may ask about a write lock, if not take one. */
	struct flock lock = range(F_WRLCK, at, end - at + 1);
	if (unishm_sys.fcntl_lock(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	if (lock.l_type == F_UNLCK)
		return 0;
	*from = (uint64_t)lock.l_start;
	*to = lock.l_len == 0 ? end : (uint64_t)lock.l_start + (uint64_t)lock.l_len - 1;
	return 1;
}

bool os_lock_taken_by_other(int fd, uint64_t at)
{
	struct flock lock = range(F_WRLCK, at, 1);
	return unishm_sys.fcntl_lock(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
