/* SPDX-License-Identifier: MIT */
#include "sys.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* Whoever opens the file while we hold the lease makes the kernel send us a signal:
 * one that is ignored by default, in place of SIGIO, which would end the program. */
static int sys_try_lease(int fd)
{
#if defined F_SETLEASE && defined F_SETSIG
	if (fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		return -1;
	return fcntl(fd, F_SETLEASE, F_UNLCK);
#else
	(void)fd;
	errno = EOPNOTSUPP;
	return -1;
#endif
}

/* pipe2() is not everywhere. Called around fork alone, when no other thread forks; one
 * that spawns may take the ends along until it has executed. */
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
	/* Linux: the file stays as long as it is; its length is what publishes it */
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, length) < 0 ? errno : 0;
#elif UNISHM_HAVE_POSIX_FALLOCATE
	return posix_fallocate(fd, offset, length);
#else
	/* macOS, OpenBSD */
	(void)fd, (void)offset, (void)length;
	return EOPNOTSUPP;
#endif
}

static int sys_punch(int fd, off_t offset, off_t length)
{
#ifdef FALLOC_FL_PUNCH_HOLE
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
#else
	/* No other system can free a part of a shared memory object. */
	(void)fd, (void)offset, (void)length;
	errno = EOPNOTSUPP;
	return -1;
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
	.linkat = linkat,
	.fchmod = fchmod,
	.fchown = fchown,
	.ftruncate = ftruncate,
	.reserve = sys_reserve,
	.punch = sys_punch,
	.pread = pread,
	.pwrite = pwrite,
	.fcntl_lock = sys_fcntl_lock,
	.fcntl_dup = sys_fcntl_dup,
	.try_lease = sys_try_lease,
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

#if UNISHM_IMITATE
__attribute__((constructor)) static void imitate_another_system(void)
{
	unishm_imitate();
}
#endif
