/* SPDX-License-Identifier: MIT */
/* Objects on Linux: files of a tmpfs, the record behind the data. See object_sys.h. */
#include "object_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "backend.h"
#include "descriptor.h"
#include "directory.h"
#include "lock.h"
#include "record.h"
#include "sys.h"

#define DIRECTORY "/dev/shm" /* of glibc and musl */
#define PREFIX DIRECTORY "/"

off_t ushp_sys_record_offset(uint64_t size)
{
	const uint64_t most = INT64_MAX - RECORD_ALIGN - RECORD_SIZE;
	return size > most ? -1 : (off_t)((size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN);
}

/* ---- Where names are ------------------------------------------------------------ */

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

void ushp_sys_remember_directory(dev_t dev)
{
	if (__atomic_load_n(&former.known, __ATOMIC_ACQUIRE) && former.dev == dev &&
			former.losses == ushp_fd_losses())
		return; /* the program has closed no descriptor of ours since */
	unishm_mutex_lock(&guard);
	former.losses = ushp_fd_losses();
	if (former.dev == dev && former_is_ours()) {
		unishm_mutex_unlock(&guard);
		return;
	}
	struct stat st;
	int fd = ushp_fd_keep(unishm_sys.open(DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
	if (fd >= 0 &&
			(unishm_sys.fstat(fd, &st) < 0 || st.st_dev != dev ||
					ushp_fd_own(fd, &former) < 0)) {
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
	*path = ushp_path(PREFIX, name);
	return place == AT_SYSTEM_PLACE ? path->text : name + 1;
}

int ushp_sys_because_missing(int rc)
{
	struct stat st;
	if (rc == -EACCES)
		return ushp_because_closed(rc, DIRECTORY);
	if (rc != -ENOENT && rc != -ENOTDIR)
		return rc;
	if (unishm_sys.stat(DIRECTORY, &st) < 0 ? errno != ENOENT && errno != ENOTDIR
						: S_ISDIR(st.st_mode))
		return rc;
	return unishm_because(-ENOENT,
			"there is no directory %s here, where POSIX shared memory is kept; "
			"mount a tmpfs on it, or use the System V backend",
			DIRECTORY);
}

/* ---- Files by name ----------------------------------------------------------------- */

/* A link, a directory, a socket, a FIFO. */
static int because_no_file(int rc)
{
	if (rc == -ELOOP || rc == -EISDIR || rc == -ENXIO)
		return ushp_because_no_file();
	return rc;
}

int ushp_sys_open(const char *name, enum place place, int access)
{
	struct path path;
	int at = directory_of(place);
	const char *text = name_at(place, name, &path);
	if (at == -1)
		return -ENOENT;
	return because_no_file(ushp_fd_keep(unishm_sys.openat(at, text, access | OPEN_FLAGS)));
}

/* What @fd leads to, without a name of its own. */
static struct path path_of_descriptor(int fd)
{
	struct path path;
	snprintf(path.text, sizeof path.text, "/proc/self/fd/%d", fd);
	return path;
}

int ushp_sys_reopen_unnamed(int fd, int access)
{
	struct path path = path_of_descriptor(fd);
	return ushp_fd_keep(unishm_sys.open(path.text, access | O_CLOEXEC, 0));
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
	return ushp_sys_because_missing(ushp_list_directory(DIRECTORY, "", found, arg));
}

/* ---- Making ------------------------------------------------------------------------ */

/* The umask takes bits away, a default access list of the directory changes them and gives
 * rights to others, a setgid directory gives its own group. */
static int set_mode_and_group(struct draft *draft, mode_t mode)
{
	struct stat *st = &draft->st;
	gid_t group = unishm_sys.getegid();
	if (mode & 070) /* else a list grants nothing: see ushp_sys_chmod() */
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
	if (fd == -EOPNOTSUPP || fd == -EISDIR ||
			fd == -EINVAL || /* another file system, an old kernel */
			fd == -EPERM || fd == -EACCES ||
			fd == -ENOSYS) /* a filter of system calls */
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
	return ushp_sys_because_missing(ushp_make_draft(draft, PREFIX, mode, set_mode_and_group));
}

/* Without privilege since Linux 6.10; before, the name in /proc does. */
static int publish_unnamed(int fd, const char *to)
{
	if (unishm_sys.linkat(fd, "", AT_FDCWD, to, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	struct path from = path_of_descriptor(fd);
	if (unishm_sys.linkat(AT_FDCWD, from.text, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	return errno == EEXIST ? -EEXIST : -ENOENT;
}

/* The directory cannot be the cause: it accepted the draft. */
static int because_no_name(int rc)
{
	if (rc != -EPERM && rc != -EACCES && rc != -ENOSYS && rc != -EINVAL)
		return rc;
	return unishm_because(rc,
			"the system (a sandbox?) refuses both renameat2 and linkat, "
			"by which it would get its name; "
			"allow one of them, or use the System V backend");
}

/* Without the system call (Linux 3.15, a filter, an odd file system) by a link. Until the
 * draft's name is gone there are two; if this process dies meanwhile, a sweep takes it away. */
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
	struct path to = ushp_path(PREFIX, name);
	if (draft->name[0] == '\0')
		return publish_unnamed(draft->fd, to.text);
	struct path from = ushp_path(PREFIX, draft->name);
	int rc = publish_named(from.text, to.text);
	if (rc == 0)
		draft->name[0] = '\0';
	return rc;
}

void ushp_sys_discard(struct draft *draft)
{
	if (draft->name[0] != '\0') {
		struct path path = ushp_path(PREFIX, draft->name);
		unishm_sys.unlink(path.text); /* still the draft: no other process knows its name */
	}
	unishm_sys.close(draft->fd);
}

bool ushp_sys_needs_claim(const struct unishm_options *opt)
{
	return opt->init != NULL;
}

/* Another process may give the mode, and take it back, at the same time. */
static int open_with_mode(int path_fd, struct loan *loan)
{
	struct stat st;
	if (unishm_sys.fstat(path_fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != unishm_sys.geteuid())
		return -EACCES;
	loan->own = st.st_mode & 07777;
	loan->lent = loan->own | S_IRUSR | S_IWUSR;
	struct path path = path_of_descriptor(path_fd);
	if (loan->lent != loan->own && unishm_sys.chmod(path.text, loan->lent) < 0)
		return errno == EPERM ? -EACCES : -errno;
	int fd = ushp_fd_keep(unishm_sys.open(path.text, O_RDWR | O_CLOEXEC, 0));
	if (fd < 0)
		ushp_sys_return_mode(path_fd, loan);
	return fd;
}

/* On System V an owner may change and remove a segment whose mode gives them nothing. Here the
 * mode gives it to them, and to no other user, for the moment of an open. Killed in between, it
 * stays so: it is no more than they could give themselves. */
int ushp_sys_open_as_owner(const char *name, struct loan *loan)
{
	enum { TRIES = 100 };
	struct path path = ushp_path(PREFIX, name);
	int at = ushp_fd_keep(unishm_sys.open(path.text, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0));
	if (at < 0)
		return at;
	int fd = -EACCES;
	for (unsigned i = 0; i < TRIES && fd == -EACCES; i++)
		fd = open_with_mode(at, loan);
	unishm_sys.close(at);
	return fd;
}

int ushp_sys_return_mode(int fd, const struct loan *loan)
{
	struct stat st;
	if (loan->lent == loan->own)
		return 0;
	if (unishm_sys.fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & 0777) != (loan->lent & 0777))
		return 0;
	struct path path = path_of_descriptor(fd);
	return unishm_sys.chmod(path.text, loan->own | (st.st_mode & S_ISVTX)) < 0 ? -errno : 0;
}

/* ---- Permission -------------------------------------------------------------------------- */

/* faccessat2() came with Linux 5.8. Before, open() tells the same for reading and writing. A
 * file without any execute bit cannot be executed even with CAP_DAC_OVERRIDE; System V segments
 * differ. */
int ushp_sys_access(int fd, unsigned want)
{
	int rc = unishm_sys.access(fd, (int)want) < 0 ? -errno : 0;
	if (rc == -EACCES && want & 1 && unishm_sys.overrides_modes()) {
		want &= 6;
		rc = unishm_sys.access(fd, (int)want) < 0 ? -errno : 0;
	}
	if (rc != -ENOSYS && rc != -EPERM && rc != -EINVAL)
		return rc;
	int other = ushp_sys_reopen_unnamed(fd, want & 2 ? O_RDWR : O_RDONLY);
	if (other < 0)
		return other;
	unishm_sys.close(other);
	return 0;
}

/* Set and restore a flag that only the owner, or a process with CAP_FOWNER over the file, may
 * set. */
int ushp_sys_may_act_as_owner(int fd, uid_t user)
{
	(void)user;
	return unishm_sys.try_noatime(fd) < 0 ? -errno : 0;
}
