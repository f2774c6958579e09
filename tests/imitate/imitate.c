/* SPDX-License-Identifier: MIT */
/*
 * For tests on Linux (meson -Dimitate=...): calls of the table that behave as those
 * of another system do, where the library has to cope with that. Built into the library
 * in place of core/sys.c, only then.
 *
 *                       macOS            FreeBSD        NetBSD     OpenBSD
 * locks on an object    EBADF            EBADF          as Linux   as Linux
 * fchmod, fchown on it  EINVAL           as Linux       as Linux   as Linux
 * its size              once, rounded up any time       any time   any time
 * read, write, fstat    ENXIO, no inode  as Linux       as Linux   as Linux
 * mode, other users     as Linux         as Linux       as Linux   0600, EPERM
 * posix_fallocate       none             refused        as Linux   none
 * open of a link        as Linux         EMLINK         (EFTYPE)   as Linux
 * open of a socket      EOPNOTSUPP       EOPNOTSUPP     EOPNOTSUPP EOPNOTSUPP
 * mmap, address taken   elsewhere on all: MAP_FIXED_NOREPLACE is Linux's
 * madvise               on all: nothing keeps a mapping from children or brings pages in
 * SHM_LOCK, SHM_UNLOCK  EINVAL           EINVAL         as Linux   EINVAL
 * shmat, address taken  as Linux         as Linux       as Linux   elsewhere
 *
 * Names are at most 14 characters everywhere: old systems have no more. EFTYPE has no number
 * here.
 *
 * Sources. Objects: bsd/kern/posix_shm.c of xnu (a lock, a mode and an owner are refused in
 * kern_descrip.c and kern_mman.c for what is no vnode); sys/kern/uipc_shm.c of FreeBSD, and
 * kern_fcntl() for locks; shm_open() of NetBSD's librt and of OpenBSD's libc. Opening:
 * open(2) of each, and vn_open(). System V: sysv_shm.c of each.
 */
#include "../../core/sys.c" /* in one object: a static library would leave another one out */

#include <string.h>

enum { PAGE = 16384, MOST_FDS = 4096, NAME_MOST = 14 };

static struct unishm_sys real;
static bool macos, freebsd, openbsd;
static bool is_object[MOST_FDS];

static int fail(int code)
{
	errno = code;
	return -1;
}

static bool object(int fd)
{
	return fd >= 0 && fd < MOST_FDS && is_object[fd];
}

static void *imitated_mmap(void *where, size_t length, int prot, int flags, int fd, off_t offset)
{
	return real.mmap(where, length, prot, flags & ~MAP_FIXED_NOREPLACE, fd, offset);
}

/* The first is not asked for on that system. */
static int imitated_madvise(void *addr, size_t length, int advice)
{
	(void)addr, (void)length;
	return advice == MADV_DONTFORK ? 0 : fail(EINVAL);
}

#if UNISHM_HAVE_POSIX
static int mark(int fd, bool as_object)
{
	if (fd >= 0 && fd < MOST_FDS)
		is_object[fd] = as_object;
	return fd;
}

static int imitated_shm_open(const char *name, int oflag, mode_t mode)
{
	struct stat st;
	if (strlen(name) > NAME_MOST)
		return fail(ENAMETOOLONG);
	int fd = real.shm_open(name, oflag, openbsd ? mode & 0600 : mode);
	if (fd >= 0 && openbsd && real.fstat(fd, &st) == 0 && st.st_uid != geteuid()) {
		real.close(fd);
		return fail(EPERM);
	}
	if (fd >= 0 && macos && oflag & O_CREAT)
		real.fchmod(fd, mode); /* its kernel knows no umask here */
	return mark(fd, true);
}

static int errno_of_open(const char *path, int code)
{
	struct stat st;
	if (code == ELOOP && freebsd)
		return EMLINK;
	if (code == ENXIO && real.stat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		return EOPNOTSUPP;
	return code;
}

static int imitated_open(const char *path, int oflag, mode_t mode)
{
	int fd = real.open(path, oflag, mode);
	return fd < 0 ? fail(errno_of_open(path, errno)) : mark(fd, false);
}

static int imitated_close(int fd)
{
	mark(fd, false);
	return real.close(fd);
}

static int imitated_fcntl_dup(int fd, int least)
{
	return mark(real.fcntl_dup(fd, least), object(fd));
}

static int imitated_fcntl_lock(int fd, int cmd, struct flock *lock)
{
	return object(fd) && (macos || freebsd) ? fail(EBADF) : real.fcntl_lock(fd, cmd, lock);
}

static int imitated_fchmod(int fd, mode_t mode)
{
	return object(fd) && macos ? fail(EINVAL) : real.fchmod(fd, mode);
}

static int imitated_fchown(int fd, uid_t user, gid_t group)
{
	return object(fd) && macos ? fail(EINVAL) : real.fchown(fd, user, group);
}

static int imitated_fstat(int fd, struct stat *st)
{
	int rc = real.fstat(fd, st);
	if (rc == 0 && object(fd) && macos) {
		st->st_dev = 0;
		st->st_ino = 0;
		st->st_nlink = 0;
	}
	return rc;
}

static int imitated_ftruncate(int fd, off_t length)
{
	struct stat st;
	if (!object(fd) || !macos)
		return real.ftruncate(fd, length);
	if (real.fstat(fd, &st) == 0 && st.st_size != 0)
		return fail(EINVAL);
	return real.ftruncate(fd, (length + PAGE - 1) / PAGE * PAGE);
}

static ssize_t imitated_pread(int fd, void *to, size_t count, off_t offset)
{
	return object(fd) && macos ? fail(ENXIO) : real.pread(fd, to, count, offset);
}

static ssize_t imitated_pwrite(int fd, const void *from, size_t count, off_t offset)
{
	return object(fd) && macos ? fail(ENXIO) : real.pwrite(fd, from, count, offset);
}

static int imitated_reserve(int fd, off_t offset, off_t length)
{
	if (macos || openbsd || (freebsd && object(fd)))
		return EOPNOTSUPP;
	return real.reserve(fd, offset, length);
}
#endif

#if UNISHM_HAVE_SYSV
static int imitated_shmctl(int id, int cmd, struct shmid_ds *buf)
{
	bool lock = cmd == SHM_LOCK || cmd == SHM_UNLOCK;
	return lock && (macos || freebsd || openbsd) ? fail(EINVAL) : real.shmctl(id, cmd, buf);
}

static void *imitated_shmat(int id, const void *where, int flags)
{
	void *got = real.shmat(id, where, flags);
	if (got == (void *)-1 && errno == EINVAL && where && openbsd)
		got = real.shmat(id, NULL, flags);
	return got;
}
#endif

__attribute__((constructor)) static void imitate_another_system(void)
{
	macos = strcmp(UNISHM_OS_IMITATED, "macos") == 0;
	freebsd = strcmp(UNISHM_OS_IMITATED, "freebsd") == 0;
	openbsd = strcmp(UNISHM_OS_IMITATED, "openbsd") == 0;
	real = unishm_sys;
	unishm_sys.mmap = imitated_mmap;
	unishm_sys.madvise = imitated_madvise;
#if UNISHM_HAVE_POSIX
	unishm_sys.shm_open = imitated_shm_open;
	unishm_sys.open = imitated_open;
	unishm_sys.close = imitated_close;
	unishm_sys.fcntl_dup = imitated_fcntl_dup;
	unishm_sys.fcntl_lock = imitated_fcntl_lock;
	unishm_sys.fchmod = imitated_fchmod;
	unishm_sys.fchown = imitated_fchown;
	unishm_sys.fstat = imitated_fstat;
	unishm_sys.ftruncate = imitated_ftruncate;
	unishm_sys.pread = imitated_pread;
	unishm_sys.pwrite = imitated_pwrite;
	unishm_sys.reserve = imitated_reserve;
#endif
#if UNISHM_HAVE_SYSV
	unishm_sys.shmctl = imitated_shmctl;
	unishm_sys.shmat = imitated_shmat;
#endif
}
