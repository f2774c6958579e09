/* SPDX-License-Identifier: MIT */
#include "sys.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __has_include
#if __has_include(<sys/syscall.h>)
#include <sys/syscall.h>
#endif
#endif

#if UNISHM_HAVE_POSIX
/* Variadic functions get a fixed shape, so that tests can replace them. */
static int sys_open(const char *path, int oflag, mode_t mode)
{
	return open(path, oflag, mode);
}

static int sys_fcntl_lock(int fd, int cmd, struct flock *lock)
{
	return fcntl(fd, cmd, lock);
}

static int sys_fcntl_dup(int fd, int least)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, least);
}

/* The system calls that no C library has, or not every one, are made by number. */
static int sys_rename_new(const char *from, const char *to)
{
#if defined SYS_renameat2 && defined AT_FDCWD
	const unsigned noreplace = 1; /* RENAME_NOREPLACE */
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, noreplace);
#else
	if (link(from, to) < 0)
		return -1;
	return unlink(from);
#endif
}

static int sys_access(int fd, int want)
{
#if defined SYS_faccessat2 && defined AT_EMPTY_PATH && defined AT_EACCESS
	return (int)syscall(SYS_faccessat2, fd, "", want, AT_EMPTY_PATH | AT_EACCESS);
#else
	(void)fd, (void)want;
	errno = ENOSYS;
	return -1;
#endif
}

static void *sys_map_again(void *addr, size_t length)
{
#ifdef MREMAP_MAYMOVE /* of Linux alone: NetBSD has another mremap() */
	return mremap(addr, 0, length, MREMAP_MAYMOVE); /* an old size of 0: mremap(2) */
#else
	(void)addr, (void)length;
	errno = ENOSYS;
	return MAP_FAILED;
#endif
}

static int sys_try_noatime(int fd)
{
#ifdef O_NOATIME
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NOATIME) < 0)
		return -1;
	if (fcntl(fd, F_SETFL, flags | O_NOATIME) < 0)
		return -1;
	return fcntl(fd, F_SETFL, flags);
#else
	(void)fd;
	errno = ENOSYS;
	return -1;
#endif
}

static bool sys_overrides_modes(void)
{
#ifdef SYS_capget
	struct {
		uint32_t version;
		int process;
	} header = { 0x20080522, 0 }; /* the third version; this thread */
	struct {
		uint32_t effective, permitted, inheritable;
	} sets[2] = { { 0, 0, 0 } };
	const uint32_t dac_override = 1u << 1;
	return syscall(SYS_capget, &header, sets) == 0 && sets[0].effective & dac_override;
#else
	return false;
#endif
}

static int sys_drop_access_list(int fd)
{
#ifdef SYS_fremovexattr
	return (int)syscall(SYS_fremovexattr, fd, "system.posix_acl_access");
#else
	(void)fd;
	errno = ENOSYS;
	return -1;
#endif
}

static int sys_openat(int dirfd, const char *path, int oflag)
{
	return openat(dirfd, path, oflag);
}

static int sys_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return fstatat(dirfd, path, st, flags);
}

/* Not every system has pipe2(). This is only called by fork handlers, when no other thread forks. A
 * child by posix_spawn() may have the ends until it executes its program. */
static int sys_pipe(int ends[2])
{
	if (pipe(ends) < 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		int higher = fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
		int code = errno;
		close(ends[i]);
		ends[i] = higher;
		if (higher < 0) {
			close(i ? ends[0] : ends[1]);
			errno = code;
			return -1;
		}
	}
	return 0;
}

static int sys_stat(const char *path, struct stat *st)
{
	return stat(path, st);
}

static int sys_fstat(int fd, struct stat *st)
{
	return fstat(fd, st);
}

static int sys_getrlimit_fsize(struct rlimit *limit)
{
#if defined SYS_getrlimit && defined __LP64__
	/* half of what prlimit64() costs, by which glibc asks; it looks up a process */
	if (syscall(SYS_getrlimit, RLIMIT_FSIZE, limit) == 0)
		return 0;
#endif
	return getrlimit(RLIMIT_FSIZE, limit);
}

/* macOS has it variadic */
static int sys_shm_open(const char *name, int oflag, mode_t mode)
{
	return shm_open(name, oflag, mode);
}

static int sys_reserve(int fd, off_t offset, off_t length)
{
#ifdef FALLOC_FL_KEEP_SIZE
	/* Linux: the length of the file stays, since the length is what publishes it */
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, length) < 0 ? errno : 0;
#elif UNISHM_HAVE_POSIX_FALLOCATE
	return posix_fallocate(fd, offset, length);
#else
	/* macOS, OpenBSD */
	(void)fd, (void)offset, (void)length;
	return EOPNOTSUPP;
#endif
}
#endif

struct unishm_sys unishm_sys = {
	.calloc = calloc,
	.realloc = realloc,
	.mmap = mmap,
	.munmap = munmap,
	.madvise = madvise,
	.geteuid = geteuid,
	.getegid = getegid,
	.getgroups = getgroups,
#if UNISHM_HAVE_POSIX
	.shm_open = sys_shm_open,
	.shm_unlink = shm_unlink,
	.open = sys_open,
	.unlink = unlink,
	.pipe = sys_pipe,
	.close = close,
	.fstat = sys_fstat,
	.stat = sys_stat,
	.openat = sys_openat,
	.unlinkat = unlinkat,
	.fstatat = sys_fstatat,
	.rename_new = sys_rename_new,
	.access = sys_access,
	.map_again = sys_map_again,
	.try_noatime = sys_try_noatime,
	.overrides_modes = sys_overrides_modes,
	.drop_access_list = sys_drop_access_list,
	.linkat = linkat,
	.fchmod = fchmod,
	.chmod = chmod,
	.fchown = fchown,
	.ftruncate = ftruncate,
	.reserve = sys_reserve,
	.pread = pread,
	.pwrite = pwrite,
	.fcntl_lock = sys_fcntl_lock,
	.fcntl_dup = sys_fcntl_dup,
	.mlock = mlock,
	.getrlimit_fsize = sys_getrlimit_fsize,
	.opendir = opendir,
	.readdir = readdir,
	.closedir = closedir,
#endif
#if UNISHM_HAVE_SYSV
	.shmget = shmget,
	.shmat = shmat,
	.shmdt = shmdt,
	.shmctl = shmctl,
#endif
};
