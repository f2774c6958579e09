/* SPDX-License-Identifier: MIT */
/*
 * Every system call of every operation fails once, with each errno that its manual
 * page lists, and with one that is not expected (EXFULL). The operation then fails with
 * that very errno, or as one of the tables below says: with another one that the manual
 * promises, or not at all. If it failed, nothing has changed; in either case no
 * descriptor, no mapping and no object is left over, and the same operation works the
 * next time.
 *
 * The library makes its calls through one table (core/sys.h), whose members are
 * replaced here by some that count, and fail the one whose turn it is. Calls that
 * can only fail by a bug of the caller's (close, geteuid) are left alone, and so
 * are munmap and shmdt where they undo, which cannot be undone itself.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "harness.h"
#include "sys.h"

enum { ERRNOS = 32 };

#ifdef EXFULL
enum { UNEXPECTED = EXFULL };
#else
enum { UNEXPECTED = ERANGE };
#endif

/* ---- The faulty table ------------------------------------------------------ */

static struct unishm_sys real;
static struct {
	long turn;   /* of all calls in the operation, which one fails; -1: none */
	int choice;  /* with which of its errnos */
	long calls;  /* made so far */
	bool struck; /* it failed */
	int deadly;  /* not the call fails, but the process gets this signal before it */
	const char *victim;
	int code;
} fault;

/* Is it this call's turn? Then errno is set. */
static bool strikes(const char *name, const int codes[ERRNOS])
{
	if (fault.calls++ != fault.turn || fault.choice >= ERRNOS || !codes[fault.choice])
		return false;
	if (fault.deadly) {
		raise(fault.deadly);
		return false;
	}
	fault.struck = true;
	fault.victim = name;
	fault.code = errno = codes[fault.choice];
	return true;
}

#define FAULTY(type, bad, name, params, args, ...)                           \
	static type faulty_##name params                                     \
	{                                                                    \
		static const int codes[ERRNOS] = { __VA_ARGS__ };            \
		return strikes(#name, codes) ? (bad) : real.name args;       \
	}

/* What each manual page lists (Linux man-pages 6.03, POSIX.1-2017), without EFAULT and EBADF, which
 * only a bug of the library's could bring about. */
FAULTY(void *, NULL, calloc, (size_t n, size_t s), (n, s), ENOMEM)
FAULTY(void *, NULL, realloc, (void *p, size_t s), (p, s), ENOMEM)
FAULTY(void *, MAP_FAILED, mmap, (void *a, size_t l, int p, int f, int d, off_t o),
		(a, l, p, f, d, o), ENOMEM, EAGAIN, EACCES, ENFILE, ENODEV, EOVERFLOW, EPERM,
		ETXTBSY, EINVAL, EMFILE, ENXIO, ENOTSUP, UNEXPECTED)
FAULTY(int, -1, munmap, (void *a, size_t l), (a, l), ENOMEM, EINVAL, UNEXPECTED)
FAULTY(int, -1, madvise, (void *a, size_t l, int v), (a, l, v), ENOMEM, EAGAIN, EACCES, EINVAL, EIO,
		EPERM, EBUSY, UNEXPECTED)
#if UNISHM_HAVE_POSIX
/* Not ENOENT: who is told that there is no object leaves the one that is there. */
FAULTY(int, -1, shm_open, (const char *n, int o, mode_t m), (n, o, m), EMFILE, ENFILE, ENOMEM,
		EACCES, EEXIST, EINVAL, ENAMETOOLONG, EINTR, ENOSPC, UNEXPECTED)
FAULTY(int, -1, shm_unlink, (const char *n), (n), EACCES, EPERM, ENOMEM, EBUSY, EIO, EISDIR, ELOOP,
		ENAMETOOLONG, ENOTDIR, EROFS, UNEXPECTED)
FAULTY(int, -1, open, (const char *n, int o, mode_t m), (n, o, m), EMFILE, ENFILE, ENOMEM, EACCES,
		ENOSPC, EBUSY, EDQUOT, EFBIG, EINTR, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENODEV,
		ENOENT, ENOTDIR, ENXIO, EOPNOTSUPP, EOVERFLOW, EPERM, EROFS, ETXTBSY, EAGAIN,
		UNEXPECTED)
FAULTY(int, -1, fstat, (int fd, struct stat *st), (fd, st), ENOMEM, EOVERFLOW, EIO, UNEXPECTED)
FAULTY(int, -1, stat, (const char *n, struct stat *st), (n, st), ENOMEM, EACCES, ELOOP,
		ENAMETOOLONG, ENOENT, ENOTDIR, EOVERFLOW, UNEXPECTED)
FAULTY(int, -1, linkat, (int fd, const char *a, int d, const char *b, int f), (fd, a, d, b, f),
		ENOSPC, ENOMEM, EPERM, EEXIST, EACCES, EDQUOT, EIO, ELOOP, EMLINK, ENAMETOOLONG,
		ENOENT, ENOTDIR, EROFS, EXDEV, EINVAL, UNEXPECTED)
FAULTY(int, -1, fchmod, (int fd, mode_t m), (fd, m), EPERM, EIO, EROFS, ENOMEM, EINTR, UNEXPECTED)
FAULTY(int, -1, fchown, (int fd, uid_t u, gid_t g), (fd, u, g), EPERM, EIO, EROFS, ENOMEM, EINTR,
		EINVAL, UNEXPECTED)
FAULTY(int, -1, ftruncate, (int fd, off_t l), (fd, l), ENOSPC, EFBIG, EPERM, EINTR, EINVAL, EIO,
		EROFS, ETXTBSY, EACCES, UNEXPECTED)
FAULTY(int, fault.code, reserve, (int fd, off_t o, off_t l), (fd, o, l), ENOSPC, EINTR, EOPNOTSUPP,
		ENOMEM, EFBIG, EINVAL, EIO, ENODEV, ENOSYS, EPERM, ETXTBSY, EDQUOT, UNEXPECTED)
FAULTY(int, -1, openat, (int d, const char *n, int o), (d, n, o), EMFILE, ENFILE, ENOMEM, EACCES,
		ENOENT, EPERM, EBUSY, EDQUOT, EFBIG, EINTR, EINVAL, EISDIR, ELOOP, ENAMETOOLONG,
		ENODEV, ENOSPC, ENOTDIR, ENXIO, EOPNOTSUPP, EOVERFLOW, EROFS, ETXTBSY, EAGAIN,
		UNEXPECTED)
FAULTY(int, -1, fstatat, (int d, const char *n, struct stat *st, int f), (d, n, st, f), ENOMEM,
		EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EOVERFLOW, EINVAL, UNEXPECTED)
FAULTY(int, -1, unlinkat, (int d, const char *n, int f), (d, n, f), EACCES, EPERM, ENOMEM, EBUSY,
		EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOTDIR, EROFS, EINVAL, UNEXPECTED)
FAULTY(int, -1, rename_new, (const char *a, const char *b), (a, b), EEXIST, ENOSPC, EPERM, ENOSYS,
		EACCES, EBUSY, EDQUOT, EINVAL, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR,
		EROFS, EXDEV, UNEXPECTED)
FAULTY(ssize_t, -1, pread, (int fd, void *b, size_t c, off_t o), (fd, b, c, o), EIO, EAGAIN, EINTR,
		EINVAL, EISDIR, EOVERFLOW, ENXIO, UNEXPECTED)
FAULTY(ssize_t, -1, pwrite, (int fd, const void *b, size_t c, off_t o), (fd, b, c, o), EIO, ENOSPC,
		EAGAIN, EDQUOT, EFBIG, EINTR, EINVAL, EPERM, ENXIO, EOVERFLOW, UNEXPECTED)
FAULTY(int, -1, fcntl_lock, (int fd, int cmd, struct flock *l), (fd, cmd, l), ENOLCK, EINTR, EACCES,
		EAGAIN, EDEADLK, EINVAL, EOVERFLOW, EPERM, UNEXPECTED)
FAULTY(int, -1, mlock, (const void *a, size_t l), (a, l), ENOMEM, EPERM, EAGAIN, EINVAL, UNEXPECTED)
FAULTY(DIR *, NULL, opendir, (const char *n), (n), EMFILE, ENFILE, ENOENT, EACCES, ENOMEM, ENOTDIR,
		ELOOP, ENAMETOOLONG, UNEXPECTED)
FAULTY(struct dirent *, NULL, readdir, (DIR *d), (d), EIO, EOVERFLOW, ENOENT, UNEXPECTED)
FAULTY(int, -1, pipe, (int e[2]), (e), EMFILE, ENFILE, UNEXPECTED)
FAULTY(int, -1, access, (int fd, int w), (fd, w), EACCES, EIO, EINVAL, ELOOP, ENOENT, ENOMEM,
		ENOTDIR, EPERM, EROFS, ETXTBSY, ENOSYS, UNEXPECTED)
FAULTY(int, -1, try_noatime, (int fd), (fd), EPERM, ENOSYS, EINVAL, EACCES, EAGAIN, UNEXPECTED)
#endif
#if UNISHM_HAVE_SYSV
FAULTY(int, -1, shmget, (key_t k, size_t s, int f), (k, s, f), ENOMEM, ENOSPC, EACCES, ENOENT,
		EEXIST, EINVAL, ENFILE, EPERM, UNEXPECTED)
FAULTY(void *, (void *)-1, shmat, (int i, const void *a, int f), (i, a, f), ENOMEM, EACCES, EINVAL,
		EIDRM, EMFILE, UNEXPECTED)
FAULTY(int, -1, shmdt, (const void *a), (a), EINVAL, UNEXPECTED)
FAULTY(int, -1, shmctl, (int i, int c, struct shmid_ds *b), (i, c, b), EACCES, EPERM, EINVAL,
		ENOMEM, EIDRM, EOVERFLOW, UNEXPECTED)
#endif

#if UNISHM_HAVE_POSIX
#ifndef O_PATH
#define O_PATH 0 /* and no directory is kept */
#endif

/* The library keeps the directory, for later: it goes on without. And it reads its lists. */
static int told_open(const char *n, int o, mode_t m)
{
	bool failed_before = fault.struck;
	int fd = faulty_open(n, o, m);
	if (fault.struck && !failed_before && o & O_PATH)
		fault.victim = "open to keep";
	else if (fault.struck && !failed_before && strncmp(n, "/proc/", 6) == 0)
		fault.victim = "open of a list";
	return fd;
}
#endif

static void arm(long turn, int choice, bool detaching)
{
	fault.turn = turn;
	fault.choice = choice;
	fault.calls = 0;
	fault.struck = false;
	real = unishm_sys;
	unishm_sys.calloc = faulty_calloc;
	unishm_sys.realloc = faulty_realloc;
	unishm_sys.mmap = faulty_mmap;
	unishm_sys.madvise = faulty_madvise;
	if (detaching)
		unishm_sys.munmap = faulty_munmap;
#if UNISHM_HAVE_POSIX
	unishm_sys.shm_open = faulty_shm_open;
	unishm_sys.shm_unlink = faulty_shm_unlink;
	unishm_sys.open = told_open;
	unishm_sys.fstat = faulty_fstat;
	unishm_sys.stat = faulty_stat;
	unishm_sys.linkat = faulty_linkat;
	unishm_sys.fchmod = faulty_fchmod;
	unishm_sys.fchown = faulty_fchown;
	unishm_sys.ftruncate = faulty_ftruncate;
	unishm_sys.reserve = faulty_reserve;
	unishm_sys.openat = faulty_openat;
	unishm_sys.fstatat = faulty_fstatat;
	unishm_sys.unlinkat = faulty_unlinkat;
	unishm_sys.rename_new = faulty_rename_new;
	unishm_sys.pread = faulty_pread;
	unishm_sys.pwrite = faulty_pwrite;
	unishm_sys.fcntl_lock = faulty_fcntl_lock;
	unishm_sys.mlock = faulty_mlock;
	unishm_sys.opendir = faulty_opendir;
	unishm_sys.readdir = faulty_readdir;
	unishm_sys.pipe = faulty_pipe;
	unishm_sys.access = faulty_access;
	unishm_sys.try_noatime = faulty_try_noatime;
#endif
#if UNISHM_HAVE_SYSV
	unishm_sys.shmget = faulty_shmget;
	unishm_sys.shmat = faulty_shmat;
	if (detaching)
		unishm_sys.shmdt = faulty_shmdt;
	unishm_sys.shmctl = faulty_shmctl;
#endif
}

static void disarm(void)
{
	unishm_sys = real;
}

/* ---- What must not change --------------------------------------------------- */

struct inventory {
	int descriptors, mappings, segments;
};

static int count_one(const struct unishm_status *st, void *arg)
{
	(void)st;
	++*(int *)arg;
	return 0;
}

/* Lines of /proc/self/maps that are shared memory of either kind. */
static int count_mappings(void)
{
	char line[512];
	int count = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof line, maps))
		count += strstr(line, "/ushm.") || strstr(line, "/ushp.") ||
				strstr(line, "/SYSV") || strstr(line, "/dev/shm/#");
	fclose(maps);
	return count;
}

static struct inventory take_inventory(void)
{
	struct inventory now = { count_descriptors(), count_mappings(), 0 };
	ck_assert_int_eq(unishm_list(NULL, count_one, &now.segments), 0);
	return now;
}

static void expect_same(struct inventory was, int rc, int most_new_mappings)
{
	struct inventory now = take_inventory();
	/* where locks are the process's, descriptors are parked until the handle's close */
	expect(was.descriptors == now.descriptors ||
					(most_new_mappings && !has_description_locks()),
			"%s failed with %s: rc %d, %d descriptors were %d", fault.victim,
			strerror(fault.code), rc, now.descriptors, was.descriptors);
	/* one more may be the handle's seat, which it keeps until it is closed */
	expect(now.mappings - was.mappings <= most_new_mappings,
			"%s failed with %s: rc %d, %d mappings were %d", fault.victim,
			strerror(fault.code), rc, now.mappings, was.mappings);
	expect(was.segments == now.segments, "%s failed with %s: rc %d, %d segments were %d",
			fault.victim, strerror(fault.code), rc, now.segments, was.segments);
}

/* ---- Operations -------------------------------------------------------------- */

/* One operation: @set_up makes what it works on, @act is what is put to the test,
 * @undo takes a success of @act back, and @clear what @set_up made. */
struct operation {
	void (*set_up)(void);
	int (*act)(void);
	void (*undo)(void);
	void (*clear)(void);
};

static struct unishm *seg, *made;
static void *addr;

static void nothing(void)
{
}

static void with_segment(void)
{
	seg = make(1, SMALL, 0600);
}

static void drop_segment(void)
{
	drop(seg);
}

static void with_attached(void)
{
	with_segment();
	addr = attach(seg, 0);
}

static int act_create(void)
{
	return unishm_open(&made, key(2), O_CREAT | O_EXCL, 3 * SMALL, 0644);
}

static int fill(void *bytes, size_t size, void *arg)
{
	(void)arg;
	memset(bytes, 1, size);
	return 0;
}

static int act_create_filled(void)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(2);
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = SMALL;
	opt.mode = 0600;
	opt.init = fill;
	return unishm_open_with(&made, &opt);
}

static int act_create_private(void)
{
	return unishm_open(&made, UNISHM_PRIVATE, 0, SMALL, 0600);
}

static void undo_create(void)
{
	drop(made);
}

static int act_open(void)
{
	return unishm_open(&made, key(1), 0, 0, 0);
}

static int act_open_or_create(void)
{
	return unishm_open(&made, key(1), O_CREAT, SMALL, 0600);
}

static int act_open_id(void)
{
	return unishm_open_id(&made, unishm_id(seg));
}

static void undo_open(void)
{
	unishm_close(made);
}

static int act_attach(void)
{
	return unishm_attach(seg, UNISHM_POPULATE, &addr);
}

static int act_attach_read_only(void)
{
	return unishm_attach(seg, UNISHM_RDONLY, &addr);
}

static int act_attach_at(void)
{
	size_t granule = 1 << 20;
	char *free_place = map_area(granule);
	munmap(free_place, granule);
	return unishm_attach_at(seg, free_place, UNISHM_RND, &addr);
}

static void undo_attach(void)
{
	detach(seg, addr);
}

static int act_detach(void)
{
	return unishm_detach(seg, addr);
}

static void undo_detach(void)
{
	addr = attach(seg, 0);
}

static int act_status(void)
{
	struct unishm_status st;
	return unishm_status(seg, &st);
}

static int act_list(void)
{
	int count = 0;
	return unishm_list(NULL, count_one, &count);
}

static int act_lock(void)
{
	return unishm_lock(seg);
}

static void undo_lock(void)
{
	expect_ok(unishm_unlock(seg));
}

static void with_locked(void)
{
	with_segment();
	expect_ok(unishm_lock(seg));
}

static int act_unlock(void)
{
	return unishm_unlock(seg);
}

static void undo_unlock(void)
{
	expect_ok(unishm_lock(seg));
}

static int act_chmod(void)
{
	return unishm_chmod(seg, 0640);
}

static int act_chown(void)
{
	return unishm_chown(seg, geteuid(), getegid());
}

static int act_remove(void)
{
	return unishm_remove(seg);
}

static void undo_remove(void)
{
	unishm_close(seg);
	with_segment();
}

static int act_fork(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(unishm_detach(seg, addr) == 0 ? 0 : 1);
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -EIO;
	return status ? -ECHILD : 0;
}

static const struct {
	const char *name;
	struct operation does;
} operations[] = {
	{ "create", { nothing, act_create, undo_create, nothing } },
	{ "create filled", { nothing, act_create_filled, undo_create, nothing } },
	{ "create private", { nothing, act_create_private, undo_create, nothing } },
	{ "open", { with_segment, act_open, undo_open, drop_segment } },
	{ "open or create", { with_segment, act_open_or_create, undo_open, drop_segment } },
	{ "open by id", { with_segment, act_open_id, undo_open, drop_segment } },
	{ "attach", { with_segment, act_attach, undo_attach, drop_segment } },
	{ "attach read-only", { with_segment, act_attach_read_only, undo_attach, drop_segment } },
	{ "attach at", { with_segment, act_attach_at, undo_attach, drop_segment } },
	{ "attach again", { with_attached, act_attach, undo_attach, drop_segment } },
	{ "detach", { with_attached, act_detach, undo_detach, drop_segment } },
	{ "status", { with_attached, act_status, nothing, drop_segment } },
	{ "list", { with_attached, act_list, nothing, drop_segment } },
	{ "lock", { with_segment, act_lock, undo_lock, drop_segment } },
	{ "unlock", { with_locked, act_unlock, undo_unlock, drop_segment } },
	{ "chmod", { with_segment, act_chmod, nothing, drop_segment } },
	{ "chown", { with_segment, act_chown, nothing, drop_segment } },
	{ "remove", { with_segment, act_remove, undo_remove, drop_segment } },
	{ "fork", { with_attached, act_fork, nothing, drop_segment } },
};

enum { OPERATIONS = sizeof operations / sizeof *operations };

/* What a failed call must have left as it was. */
static void expect_unchanged(const struct unishm_status *was, const char *name, int rc)
{
	struct unishm_status now = status_of(seg);
	expect(was->number_attached == now.number_attached && was->mode == now.mode &&
					was->locked == now.locked && was->removed == now.removed &&
					was->key == now.key,
			"%s: %s failed with %s, rc %d: %lu attached were %lu, mode %o was %o, "
			"locked %d was %d, removed %d was %d",
			name, fault.victim, strerror(fault.code), rc, now.number_attached,
			was->number_attached, (unsigned)now.mode, (unsigned)was->mode, now.locked,
			was->locked, now.removed, was->removed);
}

/* Answers that are not the errno itself, on Linux. @code 0: any. @rc 0: the operation goes on, by
 * another way or without. @operations: NULL for all. */
static const struct answer {
	const char *backend, *operations, *call;
	int code, rc;
} answers[] = {
	/* Out of quota is out of room. */
	{ "posix", NULL, "pwrite", EDQUOT, -ENOSPC },
	{ "posix", NULL, "reserve", EDQUOT, -ENOSPC },
	/* What has the name is no file. */
	{ "posix", NULL, "openat", EISDIR, -EBADMSG },
	{ "posix", NULL, "openat", ELOOP, -EBADMSG },
	{ "posix", NULL, "openat", ENOTDIR, -EBADMSG },
	{ "posix", NULL, "openat", ENXIO, -EBADMSG },
	/* RLIMIT_MEMLOCK, which mmap() and mlock() tell so, and no memory. */
	{ NULL, NULL, "mmap", EAGAIN, -ENOMEM },
	{ NULL, NULL, "mlock", EAGAIN, -ENOMEM },
	/* UNISHM_POPULATE: pages that do not come. */
	{ NULL, "attach, attach again", "madvise", 0, -ENOMEM },
	{ NULL, "attach, attach again", "madvise", EINVAL, 0 }, /* before Linux 5.14: touch them */
	/* Once more. */
	{ "posix", NULL, "fcntl_lock", EINTR, 0 },
	{ "posix", NULL, "reserve", EINTR, 0 },
	{ NULL, "remove", NULL, EBUSY, 0 },
	/* A lock of another is there: then another place; EACCES says the same (POSIX). */
	{ "posix", NULL, "fcntl_lock", EAGAIN, 0 },
	{ "posix", NULL, "fcntl_lock", EACCES, 0 },
	{ "posix", NULL, "fcntl_lock", EAGAIN, -EBUSY },
	{ "posix", NULL, "fcntl_lock", EACCES, -EBUSY },
	/* F_OFD_SETLK is not known here. */
	{ "posix", NULL, "fcntl_lock", EINVAL, -ENOTSUP },
	/* Another way. */
	/* A filter of system calls refuses O_TMPFILE: then a file with a name. */
	{ "posix", "create, create filled, create private", "open", EACCES, 0 },
	{ "posix", "create, create filled, create private", "open", EPERM, 0 },
	{ "posix", "open by id", "openat", ENOENT, 0 }, /* the name has changed: look again */
	{ "posix", "open by id", "stat", 0, 0 }, /* asked for the sentence alone */
	{ "posix", "open by id", "openat", EISDIR, 0 },
	{ "posix", "open by id", "openat", ELOOP, 0 },
	{ "posix", "open by id", "openat", ENOTDIR, 0 },
	{ "posix", "open by id", "openat", ENXIO, 0 },
	{ "posix", NULL, "open", EOPNOTSUPP, 0 }, /* O_TMPFILE: then a file with a name */
	{ "posix", NULL, "open", EISDIR, 0 },
	{ "posix", NULL, "open", EINVAL, 0 },
	{ "posix", NULL, "linkat", 0, 0 }, /* there are two, and rename_new() */
	{ "posix", NULL, "reserve", EOPNOTSUPP, 0 }, /* then bytes are written */
	{ "posix", NULL, "reserve", EINVAL, 0 },
	{ "posix", NULL, "reserve", ENODEV, 0 },
	{ "posix", NULL, "reserve", ENOSYS, 0 },
	{ "posix", NULL, "reserve", EPERM, 0 },
	{ "posix", NULL, "openat", EACCES, 0 }, /* then for reading */
	{ "posix", NULL, "openat", EROFS, 0 },
	{ "posix", "open or create", "openat", ENOENT, 0 },
	/* No room for a slot: a reader hold. */
	{ "posix", "attach, attach read-only, attach at, attach again", "pwrite", ENOSPC, 0 },
	{ "posix", "attach, attach read-only, attach at, attach again", "pwrite", EDQUOT, 0 },
	/* Without: what is kept for later, times, who was last, the mapping that makes it quick. */
	{ "posix", NULL, "open to keep", 0, 0 },
	{ "posix", "create, create filled, list", "fstat", 0, 0 },
	{ "posix", "attach read-only, attach again", "mmap", 0, 0 },
	{ "posix", "attach read-only, lock", "openat", 0, 0 },
	{ "posix", "attach read-only, detach, lock, unlock, chmod, chown, remove", "fstat", 0, 0 },
	{ "posix", "attach, attach read-only, attach at, detach, chmod, chown, remove", "pwrite", 0,
			0 },
	{ "posix", "detach, remove", "pread", 0, 0 },
	{ "posix", "remove", "fstatat", ENOENT, 0 },
	{ "posix", "remove", "fcntl_lock", 0, 0 },
	{ NULL, "create filled", "mmap", 0, 0 },
	{ NULL, "create filled", "madvise", 0, 0 },
	{ "posix", "create filled", "open of a list", 0, 0 },
	{ "posix", "create filled", "pwrite", 0, 0 },
	/* A fork cannot fail for our sake: the child may be uncounted, and the record says so. */
	{ "posix", "fork", NULL, 0, 0 },
	/* A list goes on behind what is gone, another's, or not ours. */
	{ "posix", "list", NULL, ENOENT, 0 },
	{ "posix", "list", "openat", EOPNOTSUPP, 0 }, /* as one of another version */
	{ "posix", "list", "fcntl_lock", EINVAL, 0 },
	{ "posix", "list", "openat", EISDIR, 0 },
	{ "posix", "list", "openat", ELOOP, 0 },
	{ "posix", "list", "openat", ENOTDIR, 0 },
	{ "posix", "list", "openat", ENXIO, 0 },
	{ "posix", "list", NULL, EACCES, 0 },
	{ "posix", "list", NULL, EPERM, 0 },
	{ "posix", "list", NULL, EBUSY, 0 },
	/* System V: the segment is gone; another segment has the key; the answer is not needed. */
	{ "sysv", NULL, "shmctl", EINVAL, -EIDRM },
	{ "sysv", "open by id", "shmctl", EINVAL, -ENOENT },
	{ "sysv", "open by id", "shmctl", EIDRM, -ENOENT },
	{ "sysv", "list, lock, unlock", "shmctl", EINVAL, -ENOTSUP },
	{ "sysv", NULL, "shmctl", EACCES, 0 },
	{ "sysv", NULL, "shmctl", EINVAL, 0 },
	{ "sysv", NULL, "shmctl", EIDRM, 0 },
	{ "sysv", NULL, "shmat", EIDRM, 0 },
	{ "sysv", NULL, "shmget", EEXIST, 0 },
	{ "sysv", NULL, "shmget", ENOENT, 0 },
};

static bool is_among(const char *name, const char *list)
{
	size_t length = strlen(name);
	for (const char *found = list; (found = strstr(found, name)); found += length)
		if ((found == list || found[-1] == ' ') && (found[length] == ',' || !found[length]))
			return true;
	return false;
}

/* Imitations of other systems take other ways; there it is enough that nothing is left. */
static void expect_answer(const char *name, int rc)
{
	if (rc == -fault.code || !UNISHM_OS_LINUX)
		return;
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
		const struct answer *known = &answers[i];
		if ((!known->backend || on(known->backend)) &&
				(!known->call || strcmp(known->call, fault.victim) == 0) &&
				(!known->operations || is_among(name, known->operations)) &&
				(!known->code || known->code == fault.code) && known->rc == rc)
			return;
	}
	expect(false, "%s: %s failed with %s (%d), and the answer is %d (%s)", name, fault.victim,
			strerror(fault.code), fault.code, rc, rc ? unishm_errmsg() : "success");
}

/* Let call number @turn fail with its errno number @choice. False: there is no
 * such call, or it has no such errno. */
static bool try_fault(const char *name, const struct operation *op, long turn, int choice)
{
	struct unishm_status was = { 0 };
	bool has_segment = op->set_up != nothing;
	struct inventory at_first = take_inventory();
	op->set_up();
	if (has_segment)
		was = status_of(seg);
	struct inventory before = take_inventory();
	arm(turn, choice, op->act == act_detach);
	int rc = op->act();
	disarm();
	bool struck = fault.struck;
	if (struck)
		expect_answer(name, rc);
	if (rc < 0) {
		expect(struck || turn < 0, "%s: fails without a fault: %s", name, unishm_errmsg());
		expect(*unishm_errmsg(), "%s: no message", name);
		expect_same(before, rc, 1);
		if (has_segment)
			expect_unchanged(&was, name, rc);
	} else {
		op->undo();
	}
	/* and now it works */
	rc = op->act();
	expect(rc == 0, "%s: after %s failed with %s: %s", name, fault.victim, strerror(fault.code),
			unishm_errmsg());
	op->undo();
	op->clear();
	expect_same(at_first, rc, 0);
	return struck;
}

static void exhaust(const char *name, const struct operation *op)
{
	long faults = 0;
	expect(!try_fault(name, op, -1, 0), "no fault was asked for");
	long calls = fault.calls;
	if (calls == 0)
		return; /* fork, on System V: the kernel's affair */
	for (long turn = 0; turn < calls + 4; turn++) {
		int choice = 0;
		while (choice < ERRNOS && try_fault(name, op, turn, choice))
			choice++;
		faults += choice;
	}
	expect(faults > 0, "%s: none of its %ld calls could be made to fail", name, calls);
}

START_TEST(each_call_of_each_operation_may_fail_and_nothing_is_left)
{
	begin(_i / OPERATIONS);
	int which = _i % OPERATIONS;
	SKIP_UNLESS(can_change_rights() || operations[which].does.act != act_chmod,
			"macOS cannot change an object");
	SKIP_UNLESS(can_lock() || (operations[which].does.act != act_lock &&
			operations[which].does.act != act_unlock),
			"this system cannot lock System V segments");
	exhaust(operations[which].name, &operations[which].does);
}
END_TEST

#if UNISHM_HAVE_SYSV && defined SHM_LOCK && defined SHM_STAT && defined SHM_INFO
static int shmctl_without_lock(int id, int cmd, struct shmid_ds *buf)
{
	if (cmd != SHM_LOCK && cmd != SHM_UNLOCK)
		return real.shmctl(id, cmd, buf);
	errno = EINVAL;
	return -1;
}

static int shmctl_without_list(int id, int cmd, struct shmid_ds *buf)
{
	if (cmd != SHM_INFO && cmd != SHM_STAT)
		return real.shmctl(id, cmd, buf);
	errno = EINVAL;
	return -1;
}

/* macOS, FreeBSD */
START_TEST(a_system_that_cannot_lock_or_list_system_v_says_so)
{
	begin(_i);
	SKIP_UNLESS(on("sysv"), "is about System V");
	int count = 0;
	with_segment();
	real = unishm_sys;
	unishm_sys.shmctl = shmctl_without_lock;
	ck_assert_int_eq(unishm_lock(seg), -ENOTSUP);
	ck_assert_int_eq(unishm_unlock(seg), -ENOTSUP);
	unishm_sys.shmctl = shmctl_without_list;
	ck_assert_int_eq(unishm_list(NULL, count_one, &count), -ENOTSUP);
	disarm();
	drop(seg);
}
END_TEST
#endif

#if UNISHM_HAVE_SYSV
static int shmctl_that_knows_no_such_user(int id, int cmd, struct shmid_ds *buf)
{
	if (cmd != IPC_SET)
		return real.shmctl(id, cmd, buf);
	errno = EINVAL;
	return -1;
}

/* In a user namespace, an id that it does not map. */
START_TEST(a_user_that_cannot_be_is_no_sign_of_removal)
{
	begin(_i);
	SKIP_UNLESS(on("sysv"), "is about System V");
	with_segment();
	real = unishm_sys;
	unishm_sys.shmctl = shmctl_that_knows_no_such_user;
	ck_assert_int_eq(unishm_chown(seg, 12345, (gid_t)-1), -EINVAL);
	disarm();
	drop(seg);
}
END_TEST
#endif

#if UNISHM_HAVE_POSIX
static int lost = -1; /* a descriptor that is said to be closed */

static int fstat_that_loses_the_first(int fd, struct stat *st)
{
	if (lost < 0)
		lost = fd;
	if (fd != lost)
		return real.fstat(fd, st);
	memset(st, 0x55, sizeof *st);
	errno = EBADF;
	return -1;
}

START_TEST(an_open_whose_descriptor_is_closed_meanwhile_fails_and_closes_none)
{
	begin(_i);
	SKIP_UNLESS(on("posix"), "is about POSIX objects");
	struct unishm *none = NULL, *kept = make(0, SMALL, 0600);
	real = unishm_sys;
	unishm_sys.fstat = fstat_that_loses_the_first;
	ck_assert_int_eq(unishm_open(&none, key(0), 0, 0, 0), -EBADF);
	ck_assert_ptr_null(none);
	disarm();
	ck_assert_int_ge(lost, 0);
	ck_assert_int_eq(close(lost), 0);
	drop(kept);
}
END_TEST
#endif

#if UNISHM_HAVE_SYSV && defined SHM_STAT_ANY
static int shmctl_without_stat_any(int id, int cmd, struct shmid_ds *buf)
{
	if (cmd != SHM_STAT_ANY)
		return real.shmctl(id, cmd, buf);
	errno = EINVAL;
	return -1;
}

/* Linux before 4.17, and all other systems */
START_TEST(who_may_not_look_at_a_key_is_told_that_it_is_taken)
{
	begin(_i);
	SKIP_UNLESS(on("sysv"), "is about System V");
	SKIP_UNLESS(is_root(), "needs root to become another user");
	real = unishm_sys;
	unishm_sys.shmctl = shmctl_without_stat_any;
	struct agent nobody = agent_start_as(NOBODY);
	struct unishm *theirs = make(0, SMALL, 0600);
	expect_rc(ask(&nobody, do_create, 0), -EEXIST);
	expect_rc(ask(&nobody, do_open, 0), -EACCES);
	agent_end(&nobody);
	disarm();
	drop(theirs);
}
END_TEST
#endif

/* ---- Makers that are killed -------------------------------------------------- */

static int fill_nothing(void *start, size_t size, void *arg)
{
	(void)start, (void)size, (void)arg;
	return 0;
}

static int create_with(int (*init)(void *, size_t, void *))
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(0);
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = SMALL;
	opt.mode = 0600;
	opt.init = init;
	return unishm_open_with(&mine, &opt);
}

/* A child creates segment 0 and is killed before call number @turn, of those that are
 * made with an init callback (odd @turn) or without. Was it? */
static long make_and_be_killed(long turn)
{
	int ended = 0;
	pid_t pid = fork();
	if (pid == 0) {
		fault.deadly = SIGKILL;
		arm(turn / 2, 0, false);
		create_with(turn % 2 ? fill_nothing : NULL);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &ended, 0) != pid)
		return -errno;
	return WIFSIGNALED(ended);
}

/* Of what the killed one left, if it is a segment, it is a whole one. */
static long make_after_it(long unused)
{
	(void)unused;
	int rc = create_with(NULL);
	return rc == -EEXIST ? do_open(0) : rc;
}

/* A user other than root cannot open what has a mode against them, not even to sweep it. */
START_TEST(a_maker_killed_before_any_call_blocks_no_process_of_its_user)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root to become another user");
	struct agent nobody = agent_start_as(NOBODY);
	int quiet = 0;
	for (long turn = 0; quiet < 2; turn++) {
		long killed = ask(&nobody, make_and_be_killed, turn);
		expect(killed >= 0, "errno %ld", -killed);
		quiet = killed ? 0 : quiet + 1;
		long rc = ask(&nobody, make_after_it, 0);
		expect(rc == 0, "killed before call %ld: %ld, %s", turn / 2, rc, board->said);
		expect_ok(ask(&nobody, do_remove, 0));
		expect_ok(ask(&nobody, do_close, 0));
	}
	agent_end(&nobody);
}
END_TEST

/* ---- Makers that take their time --------------------------------------------- */

static int create_for_all(void)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(0);
	opt.oflag = O_CREAT;
	opt.size = SMALL;
	opt.mode = 0666;
	return unishm_open_with(&mine, &opt);
}

/* A child creates segment 0 and is stopped before call number @turn: its pid, or 0. */
static long make_and_be_stopped(long turn)
{
	int ended = 0;
	pid_t pid = fork();
	if (pid == 0) {
		fault.deadly = SIGSTOP;
		arm(turn, 0, false);
		_exit(create_for_all() < 0);
	}
	if (pid < 0 || waitpid(pid, &ended, WUNTRACED) != pid)
		return -errno;
	return WIFSTOPPED(ended) ? pid : 0;
}

static long go_on(long pid)
{
	int ended = 0;
	kill((pid_t)pid, SIGCONT);
	waitpid((pid_t)pid, &ended, 0);
	return ended;
}

static long create_too(long unused)
{
	(void)unused;
	return create_for_all();
}

/* Others see no segment, or the whole: not that they may not. */
START_TEST(a_maker_at_any_call_is_not_seen_by_other_users)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root to become another user");
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	struct agent maker = agent_start_as(NOBODY), other = agent_start_as(DAEMON);
	long pid = 1;
	for (long turn = 0; pid; turn++) {
		pid = ask(&maker, make_and_be_stopped, turn);
		expect(pid >= 0, "errno %ld", -pid);
		long rc = ask(&other, do_open, 0);
		expect(rc == 0 || rc == -ENOENT, "maker before call %ld: %ld, %s", turn, rc,
				board->said);
		if (rc == 0)
			expect_ok(ask(&other, do_close, 0));
		tell(&other, create_too, 0);
		expect_ok(pid ? ask(&maker, go_on, pid) : 0);
		expect_ok(hear(&other));
		expect_ok(ask(&other, do_close, 0));
		mine = take(0);
		drop(mine);
	}
	agent_end(&maker);
	agent_end(&other);
}
END_TEST

static void fill_suite(Suite *suite)
{
	TCase *tcase = group(suite, "faults", "native", 240);
	tcase_add_loop_test(tcase, each_call_of_each_operation_may_fail_and_nothing_is_left, 0,
			backends() * OPERATIONS);
	EACH(tcase, a_maker_killed_before_any_call_blocks_no_process_of_its_user);
	EACH(tcase, a_maker_at_any_call_is_not_seen_by_other_users);
#if UNISHM_HAVE_SYSV && defined SHM_LOCK && defined SHM_STAT && defined SHM_INFO
	EACH(tcase, a_system_that_cannot_lock_or_list_system_v_says_so);
#endif
#if UNISHM_HAVE_SYSV
	EACH(tcase, a_user_that_cannot_be_is_no_sign_of_removal);
#endif
#if UNISHM_HAVE_SYSV && defined SHM_STAT_ANY
	EACH(tcase, who_may_not_look_at_a_key_is_told_that_it_is_taken);
#endif
#if UNISHM_HAVE_POSIX
	tcase = group(suite, "descriptors", "native", 30);
	EACH(tcase, an_open_whose_descriptor_is_closed_meanwhile_fails_and_closes_none);
#endif
}

int main(void)
{
	return harness_main("fault", fill_suite);
}
