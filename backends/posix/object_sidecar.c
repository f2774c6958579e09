/* SPDX-License-Identifier: MIT */
/* Objects with a file beside, which has the record: systems other than Linux. See object_sys.h. */
#include "object_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "descriptor.h"
#include "mapping.h"
#include "memory.h"
#include "record.h"
#include "sys.h"

const struct lock_commands ushp_sys_lock_commands = { F_SETLK, F_GETLK };
const enum lock_owner ushp_sys_lock_owner = LOCK_OF_PROCESS;

off_t ushp_sys_record_offset(uint64_t size)
{
	return size > (uint64_t)INT64_MAX - RECORD_SIZE ? -1 : 0;
}

/* ---- Whose is the object of that name? ------------------------------------------------ */

/* The record has the inode of the data. Before, under the claim: NO_DATA until the maker has seen
 * that there is no object of that name; then ANY_DATA, until it has made one. So what has the name
 * then is the maker's, also if it died at once; and if it finds in making it that another program
 * was faster, it goes back to NO_DATA. Where objects have no inode (macOS) it stays at ANY_DATA. */
enum { NO_DATA = 0 };
#define ANY_DATA UINT64_MAX

static int write_note(int record_fd, uint64_t note)
{
	off_t at = RECORD_SIZE - (off_t)RECORD_HEAD_FIELD(data_inode);
	ssize_t put = unishm_sys.pwrite(record_fd, &note, sizeof note, at);
	return put < 0 ? -errno : put == sizeof note ? 0 : -ENOSPC;
}

static int read_note(int record_fd, uint64_t *note)
{
	return ushp_record_read(record_fd, 0, RECORD_HEAD_FIELD(data_inode), note, sizeof *note);
}

static int open_object(const char *name, int access)
{
	return ushp_fd_keep(unishm_sys.shm_open(name, access, 0));
}

/* Is what has the name the segment's? 0 as well if nothing has it. */
static int is_our_data(int record_fd, const char *name)
{
	struct stat st;
	uint64_t note;
	int rc = read_note(record_fd, &note);
	if (rc < 0 || note == NO_DATA || note == ANY_DATA)
		return rc < 0 ? rc : note == ANY_DATA;
	int fd = open_object(name, O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	rc = unishm_sys.fstat(fd, &st) < 0 ? -errno : (uint64_t)st.st_ino == note;
	unishm_sys.close(fd);
	return rc;
}

/* ---- Files by name ----------------------------------------------------------------- */

enum { FLAGS = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

struct path {
	char text[sizeof UNISHM_SIDECAR_DIRECTORY + OBJECT_NAME_MAX + 1];
};

/* The file beside has a dot before its name. */
static struct path path_of(const char *name)
{
	struct path path;
	snprintf(path.text, sizeof path.text, UNISHM_SIDECAR_DIRECTORY "/.%s", name + 1);
	return path;
}

int ushp_sys_because_missing(int rc)
{
	struct stat st;
	if (rc == -ENOENT && unishm_sys.stat(UNISHM_SIDECAR_DIRECTORY, &st) < 0 &&
			(errno == ENOENT || errno == ENOTDIR))
		return unishm_because(rc, "there is no directory %s here, where records are kept; make it, "
				"with mode 1777", UNISHM_SIDECAR_DIRECTORY);
	return rc;
}

/* A link (EMLINK on FreeBSD, EFTYPE on NetBSD), a directory, a socket (EOPNOTSUPP), a FIFO. */
static bool is_no_file(int code)
{
#ifdef EFTYPE
	if (code == EFTYPE)
		return true;
#endif
	return code == ELOOP || code == EMLINK || code == EISDIR || code == EOPNOTSUPP || code == ENXIO;
}

static int because_no_file(int rc)
{
	if (rc < 0 && is_no_file(-rc))
		return unishm_because(-EBADMSG, "something that is no shared memory has its name; move it "
				"away, or choose another key");
	return rc;
}

int ushp_sys_open(const char *name, enum place place, int access)
{
	struct path path = path_of(name);
	if (place == AT_FORMER_PLACE)
		return -ENOENT; /* not every system has openat() */
	return because_no_file(ushp_fd_keep(unishm_sys.open(path.text, access | FLAGS, 0)));
}

int ushp_sys_reopen_unnamed(int fd, int access)
{
	(void)fd, (void)access;
	return -EBADF; /* what has no name any more cannot be opened */
}

int ushp_sys_stat(const char *name, enum place place, struct stat *st)
{
	struct path path = path_of(name);
	if (place == AT_FORMER_PLACE)
		return -ENOENT;
	return unishm_sys.fstatat(AT_FDCWD, path.text, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* An owner whom the mode does not let write cannot write this down. If he is killed at once, a file
 * is left that he, or root, has to remove: its data is gone. */
static void write_state(int fd, uint32_t state)
{
	static const struct record_map none;
	const struct object object = { .fd = fd };
	ushp_record_write(&object, &none, RECORD_HEAD_FIELD(state), &state, sizeof state);
}

static int unlink_data(int fd, const char *name)
{
	uint32_t state;
	int rc = ushp_record_read(fd, 0, RECORD_HEAD_FIELD(state), &state, sizeof state);
	if (rc < 0)
		return rc;
	if (state == RECORD_READY)
		write_state(fd, RECORD_REMOVING);
	if (unishm_sys.shm_unlink(name) < 0 && errno != ENOENT) {
		rc = -errno;
		write_state(fd, state);
	}
	return rc;
}

/* The object first: as long as the file is there, nobody makes a new one. */
int ushp_sys_unlink(int fd, const char *name, enum place place)
{
	struct path path = path_of(name);
	if (place == AT_FORMER_PLACE)
		return -ENOENT;
	int rc = is_our_data(fd, name);
	if (rc > 0)
		rc = unlink_data(fd, name);
	if (rc < 0)
		return rc;
	return unishm_sys.unlink(path.text) < 0 ? -errno : 0;
}

/* The shim is for Linux. */
int ushp_sys_open_as_owner(const char *name)
{
	(void)name;
	return -EACCES;
}

int ushp_sys_link(int fd, const char *from, const char *to, enum place place)
{
	(void)fd, (void)from, (void)to, (void)place;
	return -ENOTSUP;
}

int ushp_sys_list(int (*found)(const char *name, ino_t inode, void *arg), void *arg)
{
	DIR *dir = unishm_sys.opendir(UNISHM_SIDECAR_DIRECTORY);
	int rc = dir ? 0 : ushp_sys_because_missing(-errno);
	while (dir && rc == 0) {
		errno = 0;
		const struct dirent *entry = unishm_sys.readdir(dir);
		if (!entry) {
			rc = -errno;
			break;
		}
		if (entry->d_name[0] == '.')
			rc = found(entry->d_name + 1, entry->d_ino, arg);
	}
	if (dir)
		unishm_sys.closedir(dir);
	return rc;
}

/* ---- Making ------------------------------------------------------------------------ */

/* The umask takes bits away; the BSDs give a file the group of its directory. */
static int set_mode_and_group(int fd, mode_t mode)
{
	if (unishm_sys.fchown(fd, (uid_t)-1, unishm_sys.getegid()) < 0)
		return -errno;
	return unishm_sys.fchmod(fd, mode) < 0 ? -errno : 0;
}

static int begin_draft(struct draft *draft, mode_t mode)
{
	int rc = set_mode_and_group(draft->fd, mode);
	return rc == 0 && unishm_sys.fstat(draft->fd, &draft->st) < 0 ? -errno : rc;
}

int ushp_sys_draft(struct draft *draft, mode_t mode)
{
	return ushp_sys_draft_named(draft, mode);
}

int ushp_sys_draft_named(struct draft *draft, mode_t mode)
{
	for (;;) {
		ushp_name_of_draft(draft->name);
		struct path path = path_of(draft->name);
		int fd = unishm_sys.open(path.text, O_RDWR | O_CREAT | O_EXCL | FLAGS, mode);
		if (fd < 0 && errno == EEXIST)
			continue;
		draft->fd = ushp_fd_keep(fd);
		int rc = draft->fd < 0 ? draft->fd : begin_draft(draft, mode);
		if (rc < 0 && fd >= 0)
			unishm_sys.unlink(path.text);
		if (rc < 0 && draft->fd >= 0)
			unishm_sys.close(draft->fd);
		return rc < 0 ? ushp_sys_because_missing(rc) : 0;
	}
}

int ushp_sys_publish(struct draft *draft, const char *name)
{
	struct path to = path_of(name), from = path_of(draft->name);
	if (unishm_sys.linkat(AT_FDCWD, from.text, AT_FDCWD, to.text, 0) < 0)
		return -errno;
	unishm_sys.unlink(from.text);
	draft->name[0] = '\0';
	return 0;
}

/* Its locks end with any close of the file: it goes to those that are kept. */
void ushp_sys_discard(struct draft *draft)
{
	if (draft->name[0] != '\0') {
		struct path path = path_of(draft->name);
		unishm_sys.unlink(path.text);
	}
	ushp_lock_close(draft->fd);
}

/* Data and record are two: the name comes first, and says that it is not whole. */
bool ushp_sys_needs_claim(const struct unishm_options *opt)
{
	(void)opt;
	return true;
}

int ushp_sys_prepare_data(int fd, const struct unishm_options *opt)
{
	(void)opt;
	if (unishm_sys.ftruncate(fd, RECORD_SIZE) < 0)
		return -errno;
	return ushp_reserve(fd, RECORD_SIZE);
}

/* ---- Data ---------------------------------------------------------------------------- */

/* The owner can always open the object, to change its mode: that an attach is refused is read off
 * the file beside it. */
static mode_t data_mode(mode_t mode)
{
	return mode | 0600;
}

static int because_foreign(const char *name)
{
	return unishm_because(-EBADMSG, "an object that this library did not make has its name %s; "
			"remove it, or choose another key", name);
}

/* See that there is none, and note that whatever comes now is ours. */
static int announce_data(int record_fd, const char *name)
{
	int fd = open_object(name, O_RDONLY);
	if (fd >= 0)
		unishm_sys.close(fd);
	if (fd >= 0 || fd == -EACCES || fd == -EPERM)
		return because_foreign(name);
	return fd == -ENOENT ? write_note(record_fd, ANY_DATA) : fd;
}

/* Its mode and group are right from the start on macOS, which refuses (EINVAL) to set them. */
static int set_data_mode(int fd, mode_t mode)
{
	int rc = set_mode_and_group(fd, data_mode(mode));
	return rc == -EINVAL ? 0 : rc;
}

static int fill_data(int fd, const struct unishm_options *opt, int record_fd)
{
	struct stat st;
	int rc = set_data_mode(fd, opt->mode);
	if (rc == 0 && unishm_sys.fstat(fd, &st) < 0)
		rc = -errno;
	if (rc == 0 && st.st_ino != 0)
		rc = write_note(record_fd, (uint64_t)st.st_ino);
	if (rc == 0 && unishm_sys.ftruncate(fd, (off_t)opt->size) < 0) /* macOS: once */
		rc = -errno;
	if (rc == 0 && !(opt->flags & UNISHM_NORESERVE))
		rc = ushp_reserve(fd, (off_t)opt->size);
	return rc;
}

int ushp_sys_make_data(const char *name, const struct unishm_options *opt, int record_fd)
{
	int rc = announce_data(record_fd, name);
	if (rc < 0)
		return rc;
	int flags = O_RDWR | O_CREAT | O_EXCL;
	int fd = ushp_fd_keep(unishm_sys.shm_open(name, flags, data_mode(opt->mode)));
	if (fd == -EEXIST) {
		write_note(record_fd, NO_DATA);
		return because_foreign(name);
	}
	if (fd < 0)
		return fd;
	rc = fill_data(fd, opt, record_fd);
	if (rc == 0)
		return fd;
	unishm_sys.close(fd); /* the name goes with that of the file beside */
	return rc;
}

static int check_data(const struct object *object, size_t size, int fd)
{
	struct stat st;
	uint64_t note;
	int rc = read_note(object->fd, &note);
	if (rc == 0 && unishm_sys.fstat(fd, &st) < 0)
		rc = -errno;
	if (rc < 0)
		return rc;
	if (note != ANY_DATA && note != (uint64_t)st.st_ino)
		return unishm_because(-EBADMSG, "another program replaced its object; remove it");
	if (st.st_size < 0 || (uint64_t)st.st_size < size)
		return unishm_because(-EBADMSG, "something cut its object short; remove it");
	return 0;
}

static bool is_being_removed(const struct object *object)
{
	uint32_t state;
	return ushp_record_read(object->fd, 0, RECORD_HEAD_FIELD(state), &state, sizeof state) == 0 &&
			state == RECORD_REMOVING;
}

static int because_unseen(int rc, const struct object *object)
{
	if (rc != -ENOENT)
		return rc;
	return unishm_because(-EBADMSG, "its object %s is not there: another program took it away, or "
			"this one sees other objects (a jail); remove the segment where it was made", object->name);
}

/* The name leads to our data as long as the file beside has its own: that one goes last. */
int ushp_sys_open_data(const struct object *object, size_t size, int access)
{
	struct stat st;
	int fd = open_object(object->name, access);
	int rc = ushp_object_check(object, &st);
	if (rc == 0 && (st.st_nlink == 0 || is_being_removed(object)))
		rc = -EIDRM;
	if (fd < 0)
		return rc < 0 ? rc : because_unseen(fd, object);
	if (rc == 0)
		rc = check_data(object, size, fd);
	if (rc < 0)
		unishm_sys.close(fd);
	return rc < 0 ? rc : fd;
}

/* A mapping tells the object, which has another inode, or none. */
bool ushp_sys_is_data(const struct object *object, const struct unishm_mapping *mapping)
{
	(void)object;
	return mapping->inode != 0;
}

/* macOS refuses both (EINVAL). To take rights away it is enough that the library asks the file
 * beside first; to give some is not to be had. */
static int chmod_data(const char *name, mode_t mode)
{
	struct stat st;
	int fd = open_object(name, O_RDWR);
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

static int chown_data(const char *name, uid_t user, gid_t group)
{
	struct stat st;
	int fd = open_object(name, O_RDWR);
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

int ushp_sys_chmod(const struct object *object, bool named, mode_t mode)
{
	int rc = named ? chmod_data(object->name, mode) : 0;
	return rc < 0 ? rc : unishm_sys.fchmod(object->fd, mode) < 0 ? -errno : 0;
}

int ushp_sys_chown(const struct object *object, bool named, uid_t user, gid_t group)
{
	int rc = named ? chown_data(object->name, user, group) : 0;
	return rc < 0 ? rc : unishm_sys.fchown(object->fd, user, group) < 0 ? -errno : 0;
}

/* ---- Permission -------------------------------------------------------------------------- */

static bool in_group(gid_t group)
{
	gid_t groups[1024];
	if (unishm_sys.getegid() == group)
		return true;
	int count = unishm_sys.getgroups((int)(sizeof groups / sizeof *groups), groups);
	for (int i = 0; i < count; i++)
		if (groups[i] == group)
			return true;
	return false;
}

/* These systems have neither user namespaces nor capabilities that the mode would not tell. */
int ushp_sys_access(int fd, unsigned want)
{
	struct stat st;
	if (unishm_sys.fstat(fd, &st) < 0)
		return -errno;
	uid_t user = unishm_sys.geteuid();
	unsigned granted = user == st.st_uid ? st.st_mode >> 6 & 7u
			: in_group(st.st_gid) ? st.st_mode >> 3 & 7u : st.st_mode & 7u;
	return user == 0 || (want & ~granted) == 0 ? 0 : -EACCES;
}

int ushp_sys_may_act_as_owner(int fd, uid_t user)
{
	(void)fd;
	uid_t me = unishm_sys.geteuid();
	return me == 0 || me == user ? 0 : -EPERM;
}

int ushp_sys_count_locks(const struct object *object, struct range within, uint64_t most,
		unsigned long *count)
{
	(void)object, (void)within, (void)most, (void)count;
	return -EOPNOTSUPP;
}

int ushp_sys_try_place(const struct object *object)
{
	(void)object; /* record locks are what they are everywhere */
	return 0;
}
