/* SPDX-License-Identifier: MIT */
#include "posix_os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"
#include "os.h"
#include "sys.h"

/* Where files are: the objects themselves (glibc and musl keep them here), or those
 * beside them, which should outlive a cleaning of /tmp. */
#if UNISHM_OS_LINUX || UNISHM_IMITATE
#define OS_DIRECTORY "/dev/shm"
#else
#define OS_DIRECTORY "/var/tmp"
#endif

/* shm_open() closes on exec and follows no link; some systems refuse to be told.
 * O_NONBLOCK keeps a FIFO of that name from blocking us. */
#define FILE_FLAGS (O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
#if UNISHM_OS_LINUX
#define OBJECT_FLAGS FILE_FLAGS
#else
#define OBJECT_FLAGS 0
#endif

/* Nobody else may open what is unfinished, but the owner must, to sweep what a dead
 * maker of his left. No other empty file that he comes by has this mode. */
enum { UNFINISHED_MODE = 0700 };

struct path {
	char text[sizeof OS_DIRECTORY + OS_NAME_MAX + 1];
};

/* The file of an object: itself, or the one beside it, whose name has a dot. */
static struct path path_of(const char *name)
{
	struct path path;
	snprintf(path.text, sizeof path.text, OS_DIRECTORY "/%s%s", OS_BESIDE ? "." : "", name + 1);
	return path;
}

/* Numbers beyond are taken for their holder's without this proof. */
enum { OWNED = 4096 };
static const void *owners[OWNED];

void os_own(int fd, const void *owner)
{
	if (fd >= 0 && fd < OWNED)
		__atomic_store_n(&owners[fd], owner, __ATOMIC_RELEASE);
}

bool os_owns(int fd, const void *owner)
{
	return fd >= OWNED || (fd >= 0 && __atomic_load_n(&owners[fd], __ATOMIC_ACQUIRE) == owner);
}

/* What open() gave. A program may have closed its standard streams: an object must
 * not become one, or its next printf() lands in shared memory. */
static int keep_off_standard_streams(int fd)
{
	if (fd < 0)
		return -errno;
	if (fd <= 2) {
		int higher = unishm_sys.fcntl_dup(fd, 3);
		int code = errno;
		unishm_sys.close(fd);
		if (higher < 0)
			return -code;
		fd = higher;
	}
	os_own(fd, NULL);
	return fd;
}

/* The same of a file that was made with a name: none is left of one that fails. */
static int keep_named(int fd, const char *path)
{
	int kept = keep_off_standard_streams(fd);
	if (fd >= 0 && kept < 0)
		unishm_sys.unlink(path);
	return kept;
}

bool os_is_young(const struct stat *st)
{
	return os_is_new(st) && time(NULL) - st->st_mtime <= 10;
}

int os_object_open(const char *name, int access)
{
	struct path path = path_of(name);
	int rc = keep_off_standard_streams(OS_BESIDE
			? unishm_sys.open(path.text, access | FILE_FLAGS, 0)
			: unishm_sys.shm_open(name, access | OBJECT_FLAGS, 0));
	/* a link (EMLINK on FreeBSD), a directory (glibc makes that EINVAL), a socket,
	 * a FIFO without a reader */
	if (rc == -ELOOP || rc == -EMLINK || rc == -EISDIR || rc == -EINVAL || rc == -ENXIO)
		return unishm_because(-EBADMSG, "something that is no shared memory has its name; "
				"move it away, or choose another key");
	return rc;
}

int os_object_stat(const char *name, struct stat *st)
{
	struct path path = path_of(name);
	return unishm_sys.stat(path.text, st) < 0 ? -errno : 0;
}

int os_object_list(int (*found)(const char *name, ino_t inode, void *arg), void *arg)
{
	DIR *dir = unishm_sys.opendir(OS_DIRECTORY);
	if (!dir)
		return -errno;
	int rc = 0;
	while (rc == 0) {
		errno = 0;
		const struct dirent *entry = unishm_sys.readdir(dir);
		if (!entry) {
			rc = -errno;
			break;
		}
		if (!OS_BESIDE || entry->d_name[0] == '.')
			rc = found(entry->d_name + OS_BESIDE, entry->d_ino, arg);
	}
	unishm_sys.closedir(dir);
	return rc;
}

#if UNISHM_OS_LINUX

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
	char from[32];
	struct path to = path_of(name);
	/* Without privilege since Linux 6.10; before, the name in /proc does. */
	if (unishm_sys.linkat(fd, "", AT_FDCWD, to.text, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	path_of_fd(fd, from, sizeof from);
	return unishm_sys.linkat(AT_FDCWD, from, AT_FDCWD, to.text, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int os_object_unlink(const char *name)
{
	return unishm_sys.shm_unlink(name) < 0 ? -errno : 0;
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
	size_t page = unishm_os_page_size();
	uintptr_t from = (uintptr_t)addr, to = from + (length + page - 1) / page * page;
	snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)from,
			(unsigned long)to);
	return keep_off_standard_streams(unishm_sys.open(path, access | O_CLOEXEC, 0));
}

/* The sticky bit means nothing on a file: it tells an empty one of ours from others.
 * It goes once the object is whole. */
const mode_t os_mode_when_new = S_ISVTX;

int os_object_make_named(const char *name, mode_t mode)
{
	struct path path = path_of(name);
	int fd = unishm_sys.open(path.text, O_RDWR | O_CREAT | O_EXCL | FILE_FLAGS,
			mode | os_mode_when_new);
	return keep_named(fd, path.text);
}

bool os_is_new(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_size == 0 && st->st_mode & os_mode_when_new;
}

/* A write lease is granted if no other descriptor leads there, and to owner and root
 * only. There may be no leases at all. */
int os_nobody_has(int fd, const struct stat *st)
{
	if (!os_is_new(st) || unishm_sys.try_lease(fd) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES || errno == EPERM)
		return -errno;
	return os_is_young(st) ? -EAGAIN : 0;
}

/* What exists only beside objects. */
int os_beside_make(const char *name)
{
	(void)name;
	return -EOPNOTSUPP;
}

int os_data_make(const char *name, mode_t mode)
{
	(void)name, (void)mode;
	return -EOPNOTSUPP;
}

int os_data_open(const char *name, int access)
{
	(void)name, (void)access;
	return -EOPNOTSUPP;
}

int os_data_chmod(const char *name, mode_t mode)
{
	(void)name, (void)mode;
	return 0;
}

int os_data_chown(const char *name, uid_t user, gid_t group)
{
	(void)name, (void)user, (void)group;
	return 0;
}

#else /* all others */

int os_object_make(mode_t mode)
{
	(void)mode;
	return -EOPNOTSUPP;
}

int os_object_publish(int fd, const char *name)
{
	(void)fd, (void)name;
	return -EOPNOTSUPP;
}

const mode_t os_mode_when_new = 0;

int os_object_make_named(const char *name, mode_t mode)
{
	(void)name, (void)mode;
	return -EOPNOTSUPP;
}

int os_nobody_has(int fd, const struct stat *st)
{
	(void)fd, (void)st; /* its maker has a lock on the file beside */
	return 0;
}

int os_beside_make(const char *name)
{
	struct path path = path_of(name);
	int fd = unishm_sys.open(path.text, O_RDWR | O_CREAT | O_EXCL | FILE_FLAGS, UNFINISHED_MODE);
	/* the BSDs give a file the group of its directory: open(2) */
	if (fd >= 0 && unishm_sys.fchown(fd, (uid_t)-1, unishm_sys.getegid()) < 0) {
		int code = errno;
		unishm_sys.unlink(path.text);
		unishm_sys.close(fd);
		return -code;
	}
	return keep_named(fd, path.text);
}

/* Still with the mode that it is made with: its maker may not have come, or never
 * have come, to writing into it. */
bool os_is_new(const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_mode & 07777) == UNFINISHED_MODE;
}

/* The owner can always open the object, to change its mode: that he may not attach is
 * what the library reads off the file beside. */
static mode_t data_mode(mode_t mode)
{
	return mode | 0600;
}

/* The file beside is ours, so an object of that name is what a dead maker left. */
int os_data_make(const char *name, mode_t mode)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | OBJECT_FLAGS;
	int fd = unishm_sys.shm_open(name, flags, data_mode(mode));
	if (fd < 0 && errno == EEXIST) {
		unishm_sys.shm_unlink(name);
		fd = unishm_sys.shm_open(name, flags, data_mode(mode));
	}
	fd = keep_off_standard_streams(fd);
	if (fd >= 0)
		unishm_sys.fchmod(fd, data_mode(mode)); /* against the umask; macOS needs
							  it not, and refuses */
	return fd;
}

int os_data_open(const char *name, int access)
{
	return keep_off_standard_streams(unishm_sys.shm_open(name, access | OBJECT_FLAGS, 0));
}

/* macOS refuses both (EINVAL). To take rights away it is enough that the library asks
 * the file beside first; to give some is not to be had. */
int os_data_chmod(const char *name, mode_t mode)
{
	struct stat st;
	int fd = os_data_open(name, O_RDWR);
	if (fd < 0)
		return fd;
	int rc = unishm_sys.fchmod(fd, data_mode(mode)) < 0 ? -errno : 0;
	if (rc == -EINVAL && unishm_sys.fstat(fd, &st) == 0)
		rc = data_mode(mode) & ~st.st_mode & 0777 ? -ENOTSUP : 0;
	unishm_sys.close(fd);
	if (rc == -ENOTSUP)
		return unishm_because(rc, "this system cannot give an object more rights than it was made "
				"with; make a new segment");
	return rc;
}

int os_data_chown(const char *name, uid_t user, gid_t group)
{
	struct stat st;
	int fd = os_data_open(name, O_RDWR);
	if (fd < 0)
		return fd;
	int rc = unishm_sys.fchown(fd, user, group) < 0 ? -errno : 0;
	if (rc == -EINVAL && unishm_sys.fstat(fd, &st) == 0)
		rc = (user == (uid_t)-1 || user == st.st_uid) && (group == (gid_t)-1 || group == st.st_gid)
				? 0 : -ENOTSUP;
	unishm_sys.close(fd);
	if (rc == -ENOTSUP)
		return unishm_because(rc, "this system cannot give an object another owner; make a new segment");
	return rc;
}

/* The object first: as long as the file is there, nobody makes a new one. */
int os_object_unlink(const char *name)
{
	struct path path = path_of(name);
	if (unishm_sys.shm_unlink(name) < 0 && errno != ENOENT)
		return -errno;
	return unishm_sys.unlink(path.text) < 0 ? -errno : 0;
}

int os_reopen_fd(int fd, int access)
{
	(void)fd, (void)access;
	return -EBADF; /* what has no name any more cannot be opened */
}

int os_reopen_mapped(const void *addr, size_t length, int access)
{
	(void)addr, (void)length, (void)access;
	return -EBADF;
}

#endif

/* Where there is no posix_fallocate: a byte into each page has the same effect on
 * what was never written. Objects of macOS can neither be reserved nor written to
 * (ENXIO): there a full system is noticed at first touch only. */
static int fill_with_zeros(int fd, off_t offset, off_t length)
{
	enum { STEP = 4096 }; /* no page is smaller */
	static const char zero;
	for (off_t at = 0; at < length; at += STEP)
		if (unishm_sys.pwrite(fd, &zero, 1, offset + at) < 0)
			return errno == ENXIO ? 0 : -errno;
	return 0;
}

/* A signal interrupts posix_fallocate, which then has reserved nothing: a
 * program with a fast timer would never see a large one finish. So halve the
 * piece whenever that happens. */
int os_reserve(int fd, off_t offset, off_t length, bool write)
{
	off_t piece = length;
	while (length > 0) {
		if (piece > length)
			piece = length;
		int code = unishm_sys.reserve(fd, offset, piece);
		if (code == EINTR) {
			if (piece > 1 << 20)
				piece /= 2;
			continue;
		}
		if (code == EOPNOTSUPP || code == ENODEV || code == EINVAL)
			return write ? fill_with_zeros(fd, offset, length) : -EOPNOTSUPP;
		if (code)
			return -code;
		offset += piece;
		length -= piece;
	}
	return 0;
}

/* msync() looks at nothing but whether there are mappings. */
static bool is_mapped(void *where, size_t length)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	for (size_t at = 0; at < length; at += page)
		if (msync((char *)where + at, page, MS_ASYNC) == 0)
			return true;
	return false;
}

int os_map_at(void *where, size_t length, int prot, int fd, void **addr)
{
#if UNISHM_OS_LINUX && defined MAP_FIXED_NOREPLACE
	int flags = MAP_SHARED | MAP_FIXED_NOREPLACE; /* 4.17; older ones ignore it */
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
	if (!is_mapped(where, length))
		return -ENOMEM; /* beyond what programs get */
	return unishm_because(-EINVAL, "something is mapped there already; choose another address");
}

/* Systems put one mapping next to the other, from one end on. So go far away from where
 * this library is itself: a quarter of a tebibyte, or, where addresses are too short for
 * that, nowhere. One piece of 64 KiB after the other, of a gibibyte; if one is taken, the
 * system chooses. (ThreadSanitizer wants all within 1.5 TiB of the top.) */
void *os_place_for_own(void)
{
	enum { PIECE = 65536, PIECES = 16384 };
	static uint32_t used;
	const uint64_t away = UINT64_C(1) << 38;
	uint64_t here = (uintptr_t)&used;
	if (here < 2 * away)
		return NULL;
	uint64_t piece = __atomic_fetch_add(&used, 1, __ATOMIC_RELAXED) % PIECES;
	return (void *)(uintptr_t)((here & ~(uint64_t)0x3fffffff) - away + piece * PIECE);
}

void *os_hold_range(void *where, size_t length)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#if UNISHM_OS_LINUX && defined MAP_FIXED_NOREPLACE
	flags |= MAP_FIXED_NOREPLACE;
#endif
	void *got = unishm_sys.mmap(where, length, PROT_NONE, flags, -1, 0);
	if (got == where)
		return got;
	if (got != MAP_FAILED)
		unishm_sys.munmap(got, length);
	return NULL;
}

int os_dont_inherit(void *addr, size_t length)
{
#if UNISHM_OS_LINUX
	return unishm_sys.madvise(addr, length, MADV_DONTFORK) < 0 ? -errno : 0;
#else
	(void)addr, (void)length; /* a child has no share in a lock of its parent */
	return 0;
#endif
}

/* Linux keeps such mappings from a child. Emulators (qemu-user) claim to and do
 * not, and other systems were not asked: then it is all still there. It is not
 * touched otherwise, since another library's fork handler may have put something
 * of its own in that range. */
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

#if UNISHM_OS_LINUX
enum { DESCRIPTION_SET = F_OFD_SETLK, FIND = F_OFD_GETLK };
#else
enum { DESCRIPTION_SET = F_SETLK, FIND = F_GETLK };
#endif

static int set_lock(struct os_lock how, struct flock lock)
{
	while (unishm_sys.fcntl_lock(how.fd, how.by_process ? F_SETLK : DESCRIPTION_SET, &lock) < 0) {
		if (errno == EACCES) /* POSIX allows either for "somebody else's" */
			return -EAGAIN;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int os_lock(struct os_lock how, uint64_t at, uint64_t length, bool exclusive)
{
	return set_lock(how, range(exclusive ? F_WRLCK : F_RDLCK, at, length));
}

void os_unlock(struct os_lock how, uint64_t at, uint64_t length)
{
	set_lock(how, range(F_UNLCK, at, length));
}

int os_lock_find(int fd, uint64_t at, uint64_t end, uint64_t *from, uint64_t *to)
{
	/* A reader's descriptor may ask about a write lock, if not take one. */
	struct flock lock = range(F_WRLCK, at, end - at + 1);
	if (unishm_sys.fcntl_lock(fd, FIND, &lock) < 0)
		return -errno;
	if (lock.l_type == F_UNLCK)
		return 0;
	*from = (uint64_t)lock.l_start;
	*to = lock.l_len == 0 ? end : (uint64_t)lock.l_start + (uint64_t)lock.l_len - 1;
	return 1;
}
