/* SPDX-License-Identifier: MIT */
/* Objects on Linux: files of a tmpfs, the record behind the data. See object_sys.h. */
#include "object_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backend.h"
#include "descriptor.h"
#include "lock.h"
#include "mapping.h"
#include "memory.h"
#include "record.h"
#include "sys.h"

#define DIRECTORY "/dev/shm" /* of glibc and musl */

const struct lock_commands ushp_sys_lock_commands = { F_OFD_SETLK, F_OFD_GETLK };
const enum lock_owner ushp_sys_lock_owner = LOCK_OF_DESCRIPTION;

off_t ushp_sys_record_offset(uint64_t size)
{
	const uint64_t most = INT64_MAX - RECORD_ALIGN - RECORD_SIZE;
	return size > most ? -1 : (off_t)((size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN);
}

/* ---- Where names are ------------------------------------------------------------ */

struct path {
	char text[sizeof DIRECTORY + OBJECT_NAME_MAX];
};

static struct path path_of(const char *name)
{
	struct path path;
	snprintf(path.text, sizeof path.text, "%s%s", DIRECTORY, name);
	return path;
}

/* The directory as this process last saw it: kept open for later calls, which may come after
 * chroot(), unshare() or a new mount there. */
static struct unishm_mutex guard = UNISHM_MUTEX_INIT;
static struct directory {
	int fd; /* its owner is this struct; valid while @known */
	bool known;
	unsigned losses; /* of descriptors, when it was last looked at */
	dev_t dev;
	ino_t ino;
} former;

static bool former_is_ours(void)
{
	struct stat st;
	return former.known && ushp_fd_owned(former.fd, &former) &&
			unishm_sys.fstat(former.fd, &st) == 0 && S_ISDIR(st.st_mode) &&
			st.st_dev == former.dev && st.st_ino == former.ino;
}

/* Remember the directory that holds a file of device @dev. */
static void remember_directory(dev_t dev)
{
	if (__atomic_load_n(&former.known, __ATOMIC_ACQUIRE) && former.dev == dev &&
			former.losses == ushp_fd_losses())
		return; /* nothing tells that the program might have closed it */
	unishm_mutex_lock(&guard);
	former.losses = ushp_fd_losses();
	if (former.dev == dev && former_is_ours()) {
		unishm_mutex_unlock(&guard);
		return;
	}
	struct stat st;
	int fd = ushp_fd_keep(unishm_sys.open(DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
	if (fd >= 0 && (unishm_sys.fstat(fd, &st) < 0 || st.st_dev != dev || ushp_fd_own(fd, &former) < 0)) {
		unishm_sys.close(fd); /* it is another one by now */
		fd = -1;
	}
	if (fd >= 0) {
		if (former_is_ours())
			unishm_sys.close(former.fd);
		former.fd = fd;
		former.dev = st.st_dev;
		former.ino = st.st_ino;
		__atomic_store_n(&former.known, true, __ATOMIC_RELEASE);
	}
	unishm_mutex_unlock(&guard);
}

/* A descriptor of @place for the ...at() calls, and the name for them. */
static int directory_of(enum place place)
{
	return place == AT_SYSTEM_PLACE ? AT_FDCWD : former_is_ours() ? former.fd : -1;
}

static const char *name_at(enum place place, const char *name, struct path *path)
{
	*path = path_of(name);
	return place == AT_SYSTEM_PLACE ? path->text : name + 1;
}

int ushp_sys_because_missing(int rc)
{
	struct stat st;
	if (rc != -ENOENT && rc != -ENOTDIR)
		return rc;
	if (unishm_sys.stat(DIRECTORY, &st) < 0 ? errno != ENOENT && errno != ENOTDIR : S_ISDIR(st.st_mode))
		return rc;
	return unishm_because(-ENOENT, "there is no directory %s here, where POSIX shared memory is kept; "
			"mount a tmpfs on it, or use the System V backend", DIRECTORY);
}

/* ---- Files by name ----------------------------------------------------------------- */

enum { FLAGS = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

/* A link, a directory, a socket, a FIFO. */
static int because_no_file(int rc)
{
	if (rc == -ELOOP || rc == -EISDIR || rc == -ENXIO)
		return unishm_because(-EBADMSG, "something that is no shared memory has its name; move it "
				"away, or choose another key");
	return rc;
}

int ushp_sys_open(const char *name, enum place place, int access)
{
	struct path path;
	int at = directory_of(place);
	const char *text = name_at(place, name, &path);
	if (at == -1)
		return -ENOENT;
	return because_no_file(ushp_fd_keep(unishm_sys.openat(at, text, access | FLAGS)));
}

int ushp_sys_reopen_unnamed(int fd, int access)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return ushp_fd_keep(unishm_sys.open(path, access | O_CLOEXEC, 0));
}

int ushp_sys_stat(const char *name, enum place place, struct stat *st)
{
	struct path path;
	int at = directory_of(place);
	const char *text = name_at(place, name, &path);
	if (at == -1)
		return -ENOENT;
	return unishm_sys.fstatat(at, text, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int ushp_sys_unlink(int fd, const char *name, enum place place)
{
	(void)fd;
	if (place == AT_SYSTEM_PLACE)
		return unishm_sys.shm_unlink(name) < 0 ? -errno : 0;
	int at = directory_of(place);
	if (at == -1)
		return -ENOENT;
	return unishm_sys.unlinkat(at, name + 1, 0) < 0 ? -errno : 0;
}

int ushp_sys_link(int fd, const char *from, const char *to, enum place place)
{
	struct path from_path, to_path;
	int at = directory_of(place);
	const char *from_text = name_at(place, from, &from_path);
	const char *to_text = name_at(place, to, &to_path);
	(void)fd;
	if (at == -1)
		return -ENOENT;
	return unishm_sys.linkat(at, from_text, at, to_text, 0) < 0 ? -errno : 0;
}

int ushp_sys_list(int (*found)(const char *name, ino_t inode, void *arg), void *arg)
{
	DIR *dir = unishm_sys.opendir(DIRECTORY);
	int rc = dir ? 0 : ushp_sys_because_missing(-errno);
	while (dir && rc == 0) {
		errno = 0;
		const struct dirent *entry = unishm_sys.readdir(dir);
		if (!entry) {
			rc = -errno;
			break;
		}
		rc = found(entry->d_name, entry->d_ino, arg);
	}
	if (dir)
		unishm_sys.closedir(dir);
	return rc;
}

/* ---- Making ------------------------------------------------------------------------ */

/* The umask takes bits away, a default access list of the directory changes them and gives rights to
 * others, a setgid directory gives its own group. */
static int set_mode_and_group(struct draft *draft, mode_t mode)
{
	struct stat *st = &draft->st;
	gid_t group = unishm_sys.getegid();
	unishm_sys.drop_access_list(draft->fd); /* mostly there is none */
	if (unishm_sys.fstat(draft->fd, st) < 0)
		return -errno;
	if (st->st_gid != group && unishm_sys.fchown(draft->fd, (uid_t)-1, group) < 0)
		return -errno;
	st->st_gid = group;
	if ((st->st_mode & 07777) != mode && unishm_sys.fchmod(draft->fd, mode) < 0)
		return -errno;
	return 0;
}

int ushp_sys_draft(struct draft *draft, mode_t mode)
{
	int fd = ushp_fd_keep(unishm_sys.open(DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
	if (fd == -EOPNOTSUPP || fd == -EISDIR || fd == -EINVAL || /* another file system, an old kernel */
			fd == -EPERM || fd == -EACCES || fd == -ENOSYS) /* a filter of system calls */
		return ushp_sys_draft_named(draft, mode);
	draft->fd = fd;
	draft->name[0] = '\0';
	int rc = fd < 0 ? ushp_sys_because_missing(fd) : set_mode_and_group(draft, mode);
	if (fd >= 0 && rc < 0)
		unishm_sys.close(fd);
	return rc;
}

int ushp_sys_draft_named(struct draft *draft, mode_t mode)
{
	for (;;) {
		ushp_name_of_draft(draft->name);
		struct path path = path_of(draft->name);
		int fd = unishm_sys.open(path.text, O_RDWR | O_CREAT | O_EXCL | FLAGS, mode & 0700);
		if (fd < 0 && errno == EEXIST)
			continue;
		draft->fd = ushp_fd_keep(fd);
		int rc = draft->fd < 0 ? draft->fd : set_mode_and_group(draft, mode);
		if (rc < 0 && fd >= 0)
			unishm_sys.unlink(path.text);
		if (rc < 0 && draft->fd >= 0)
			unishm_sys.close(draft->fd);
		return rc < 0 ? ushp_sys_because_missing(rc) : 0;
	}
}

/* Without privilege since Linux 6.10; before, the name in /proc does. */
static int publish_unnamed(int fd, const char *to)
{
	char from[32];
	if (unishm_sys.linkat(fd, "", AT_FDCWD, to, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
	if (unishm_sys.linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	return errno == EEXIST ? -EEXIST : -ENOENT;
}

/* The directory is not to blame: it took the draft. */
static int because_no_name(int rc)
{
	if (rc != -EPERM && rc != -EACCES && rc != -ENOSYS && rc != -EINVAL)
		return rc;
	return unishm_because(rc, "the system (a sandbox?) refuses both renameat2 and linkat, by which it "
			"would get its name; allow one of them, or use the System V backend");
}

/* Without the system call (Linux 3.15, a filter, an odd file system) by a link. Until the draft's name
 * is gone there are two; if this process dies meanwhile, a sweep takes it away. */
static int publish_named(const char *from, const char *to)
{
	if (unishm_sys.rename_new(from, to) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	int rc = -errno;
	if (unishm_sys.linkat(AT_FDCWD, from, AT_FDCWD, to, 0) < 0)
		return errno == EEXIST ? -EEXIST : because_no_name(rc);
	unishm_sys.unlink(from);
	return 0;
}

int ushp_sys_publish(struct draft *draft, const char *name)
{
	struct path to = path_of(name), from = path_of(draft->name);
	if (draft->name[0] == '\0')
		return publish_unnamed(draft->fd, to.text);
	int rc = publish_named(from.text, to.text);
	if (rc == 0)
		draft->name[0] = '\0';
	return rc;
}

void ushp_sys_discard(struct draft *draft)
{
	if (draft->name[0] != '\0') {
		struct path path = path_of(draft->name);
		unishm_sys.unlink(path.text); /* still ours: its name is known to nobody */
	}
	unishm_sys.close(draft->fd);
}

bool ushp_sys_needs_claim(const struct unishm_options *opt)
{
	return opt->init != NULL;
}

int ushp_sys_prepare_data(int fd, const struct unishm_options *opt)
{
	return opt->flags & UNISHM_NORESERVE ? 0 : ushp_reserve(fd, (off_t)opt->size);
}

int ushp_sys_make_data(const char *name, const struct unishm_options *opt, int fd)
{
	(void)name, (void)opt; /* it is in the same file */
	return fd;
}

/* ---- Data ---------------------------------------------------------------------------- */

/* A read-only attachment is made through a read-only description, if there can be one: then
 * mprotect() cannot make it writable later, as it cannot on System V. */
int ushp_sys_open_data(const struct object *object, size_t size, int access)
{
	(void)size; /* the record is behind it, and was seen to be there */
	if (access != O_RDONLY || !object->writable)
		return object->fd;
	int fd = ushp_object_reopen(object, O_RDONLY);
	return fd < 0 ? object->fd : fd;
}

bool ushp_sys_is_data(const struct object *object, const struct unishm_mapping *mapping)
{
	return mapping->inode == (uint64_t)object->ino && unishm_mapping_is_on(mapping, object->dev);
}

int ushp_sys_chmod(const struct object *object, bool named, mode_t mode)
{
	(void)named;
	return unishm_sys.fchmod(object->fd, mode) < 0 ? -errno : 0;
}

int ushp_sys_chown(const struct object *object, bool named, uid_t user, gid_t group)
{
	(void)named;
	return unishm_sys.fchown(object->fd, user, group) < 0 ? -errno : 0;
}

/* On System V an owner may change and remove a segment whose mode gives them nothing. Here the mode
 * gives it to them, and to nobody else, for the moment of an open. Killed in between, it stays so:
 * it is no more than they could give themselves. */
static int open_with_mode(int path_fd, const struct stat *st)
{
	char path[32];
	mode_t mode = st->st_mode & 07777;
	snprintf(path, sizeof path, "/proc/self/fd/%d", path_fd);
	if (unishm_sys.chmod(path, mode | S_IRUSR | S_IWUSR) < 0)
		return errno == EPERM ? -EACCES : -errno;
	int fd = ushp_fd_keep(unishm_sys.open(path, O_RDWR | O_CLOEXEC, 0));
	if (unishm_sys.chmod(path, mode) < 0 && fd >= 0) {
		int rc = -errno;
		unishm_sys.close(fd);
		return rc;
	}
	return fd;
}

int ushp_sys_open_as_owner(const char *name)
{
	struct path path = path_of(name);
	struct stat st;
	int at = ushp_fd_keep(unishm_sys.open(path.text, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0));
	if (at < 0)
		return at;
	int rc = unishm_sys.fstat(at, &st) < 0 ? -errno : 0;
	if (rc == 0)
		rc = S_ISREG(st.st_mode) && st.st_uid == unishm_sys.geteuid()
				? open_with_mode(at, &st) : -EACCES;
	unishm_sys.close(at);
	return rc;
}

/* ---- Permission -------------------------------------------------------------------------- */

/* faccessat2() came with Linux 5.8. Before, to open says the same of reading and writing. A file
 * without any execute bit is closed even to those who override modes; System V segments are not. */
int ushp_sys_access(int fd, unsigned want)
{
	if (unishm_sys.access(fd, (int)want) == 0)
		return 0;
	if (errno == EACCES && want & 1 && unishm_sys.overrides_modes())
		return ushp_sys_access(fd, want & 6);
	if (errno != ENOSYS && errno != EPERM && errno != EINVAL)
		return -errno;
	int other = ushp_sys_reopen_unnamed(fd, want & 2 ? O_RDWR : O_RDONLY);
	if (other < 0)
		return other;
	unishm_sys.close(other);
	return 0;
}

/* A flag that only the owner, or CAP_FOWNER over the file, may set: set it, and restore. */
int ushp_sys_may_act_as_owner(int fd, uid_t user)
{
	(void)user;
	return unishm_sys.try_noatime(fd) < 0 ? -errno : 0;
}

/* Locks as /proc/locks tells, sorted, each once. */
struct lock_list {
	size_t count, room;
	struct range *list;
};

static bool add_lock(struct lock_list *locks, struct range lock)
{
	if (locks->count == locks->room) {
		size_t room = locks->room ? 2 * locks->room : 256;
		struct range *more = unishm_sys.realloc(locks->list, room * sizeof *more);
		if (!more)
			return false;
		locks->list = more;
		locks->room = room;
	}
	locks->list[locks->count++] = lock;
	return true;
}

static int by_place(const void *one, const void *other)
{
	uint64_t a = ((const struct range *)one)->first, b = ((const struct range *)other)->first;
	return a < b ? -1 : a > b;
}

/* A line a lock: "1: OFDLCK ADVISORY  READ -1 00:1a:7 4611686018427387904 EOF" */
static bool parse_lock(const char *line, const struct object *object, struct range *lock)
{
	unsigned of_major, of_minor;
	unsigned long long inode, first, last;
	if (sscanf(line, "%*s %*s %*s READ %*s %x:%x:%llu %llu %llu", &of_major, &of_minor, &inode, &first,
			&last) != 5)
		return false;
	*lock = (struct range){ first, last };
	return of_major == major(object->dev) && of_minor == minor(object->dev) && inode == object->ino;
}

static int read_locks(const struct object *object, struct range within, uint64_t most,
		struct lock_list *locks)
{
	char line[160];
	int fd = ushp_fd_keep(unishm_sys.open("/proc/locks", O_RDONLY | O_CLOEXEC, 0));
	FILE *list = fd < 0 ? NULL : fdopen(fd, "r");
	int rc = list ? 0 : -EOPNOTSUPP;
	locks->count = 0;
	while (list && rc == 0 && fgets(line, sizeof line, list)) {
		struct range lock;
		if (parse_lock(line, object, &lock) && lock.first >= within.first &&
				lock.last <= within.last && lock.last - lock.first < most &&
				!add_lock(locks, lock))
			rc = -ENOMEM;
	}
	if (list)
		fclose(list);
	else if (fd >= 0)
		unishm_sys.close(fd);
	if (locks->count > 1)
		qsort(locks->list, locks->count, sizeof *locks->list, by_place);
	size_t kept = 0; /* the list is read in pieces, and locks of all files move in it meanwhile */
	for (size_t i = 0; i < locks->count; i++)
		if (kept == 0 || locks->list[kept - 1].first != locks->list[i].first)
			locks->list[kept++] = locks->list[i];
	locks->count = kept;
	return rc;
}

static bool are_same(const struct lock_list *one, const struct lock_list *other)
{
	return one->count == other->count && (one->count == 0 ||
			memcmp(one->list, other->list, one->count * sizeof *one->list) == 0);
}

/* The kernel gives the list in pieces of a page. While locks of any file come and go between two
 * pieces, one of ours can be missing, so that two readings miss the same one now and then: until
 * several in a row agree. */
int ushp_sys_count_locks(const struct object *object, struct range within, uint64_t most,
		unsigned long *count)
{
	enum { AGREEING = 6, TRIES = 100 };
	struct lock_list one = { 0 }, other = { 0 };
	int rc = read_locks(object, within, most, &one);
	unsigned same = 1;
	for (unsigned tries = 0; rc == 0 && same < AGREEING && tries < TRIES; tries++) {
		rc = read_locks(object, within, most, &other);
		same = are_same(&one, &other) ? same + 1 : 1;
		struct lock_list swap = one;
		one = other;
		other = swap;
	}
	if (rc == 0 && same < AGREEING)
		rc = -EAGAIN;
	*count = 0;
	for (size_t i = 0; rc == 0 && i < one.count; i++)
		*count += (unsigned long)(one.list[i].last - one.list[i].first + 1);
	free(one.list);
	free(other.list);
	return rc;
}

/* On overlayfs a mapping keeps another description than the one that has the lock. Old sandboxes
 * know no locks of descriptions. So try it, on the object itself, before it is relied on. */
static int try_lock(const struct object *object, int fd)
{
	const uint64_t place = PLACE_READERS - 1 - ushp_random() % (1u << 30);
	const struct lock_file other = { fd, false, object->dev, object->ino };
	const struct lock_file own = ushp_object_locks(object);
	struct range found;
	void *page;
	int rc = ushp_map_anchor(fd, &page);
	if (rc == 0) {
		rc = ushp_lock_take(&other, LOCK_OF_DESCRIPTION, place, 1, false);
		unishm_sys.close(fd);
		if (rc == 0)
			rc = ushp_lock_find_foreign(&own, LOCK_OF_DESCRIPTION, (struct range){ place, place }, &found);
		ushp_unmap_anchor(page);
	} else {
		unishm_sys.close(fd);
	}
	return rc;
}

int ushp_sys_try_place(const struct object *object)
{
	static struct unishm_mutex trying = UNISHM_MUTEX_INIT;
	static dev_t good_dev;
	static bool good;
	remember_directory(object->dev);
	if (__atomic_load_n(&good, __ATOMIC_ACQUIRE) && good_dev == object->dev)
		return 0;
	if (ushp_lock_by_process(object->dev, object->ino))
		return 0; /* it was good when that lock was taken */
	int fd = object->name[1] ? ushp_object_reopen(object, O_RDONLY)
			: ushp_sys_reopen_unnamed(object->fd, O_RDONLY);
	if (fd < 0) /* it cannot be tried; what needs another description will say so */
		return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? fd : 0;
	int rc = try_lock(object, fd);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return unishm_because(-ENOTSUP, "%s is on a file system (overlayfs?) where locks do not "
				"outlive their descriptor; mount a tmpfs on it", DIRECTORY);
	unishm_mutex_lock(&trying);
	good_dev = object->dev;
	__atomic_store_n(&good, true, __ATOMIC_RELEASE);
	unishm_mutex_unlock(&trying);
	return 0;
}
