/* SPDX-License-Identifier: MIT */
/* Objects with a file beside, which has the record: systems other than Linux. See object_sys.h. */
#include "object_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "backend.h"
#include "descriptor.h"
#include "directory.h"
#include "record.h"
#include "sidecar.h"
#include "sys.h"

off_t ushp_sys_record_offset(uint64_t size)
{
	return size > (uint64_t)INT64_MAX - RECORD_SIZE ? -1 : 0;
}

#define PREFIX UNISHM_SIDECAR_DIRECTORY "/." /* the file beside has a dot before its name */
static_assert(sizeof PREFIX <= 32, "see struct path");

/* ---- Whose is the object of that name? ------------------------------------------------ */

int ushp_sidecar_write_note(int record_fd, uint64_t note)
{
	off_t at = RECORD_SIZE - (off_t)RECORD_HEAD_FIELD(data_inode);
	ssize_t put = unishm_sys.pwrite(record_fd, &note, sizeof note, at);
	return put < 0 ? -errno : put == sizeof note ? 0 : -ENOSPC;
}

int ushp_sidecar_read_note(int record_fd, uint64_t *note)
{
	return ushp_record_read(record_fd, 0, RECORD_HEAD_FIELD(data_inode), note, sizeof *note);
}

int ushp_sidecar_open_data(const char *name, int access)
{
	return ushp_fd_keep(unishm_sys.shm_open(name, access, 0));
}

/* Does the name belong to this segment? 0 also if no file has it. */
static int is_our_data(int record_fd, const char *name)
{
	struct stat st;
	uint64_t note;
	int rc = ushp_sidecar_read_note(record_fd, &note);
	if (rc < 0 || note == NO_DATA || note == ANY_DATA)
		return rc < 0 ? rc : note == ANY_DATA;
	int fd = ushp_sidecar_open_data(name, O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	rc = unishm_sys.fstat(fd, &st) < 0 ? -errno : (uint64_t)st.st_ino == note;
	unishm_sys.close(fd);
	return rc;
}

/* ---- Files by name ----------------------------------------------------------------- */

int ushp_sys_because_missing(int rc)
{
	struct stat st;
	if (rc == -EACCES)
		return ushp_because_closed(rc, UNISHM_SIDECAR_DIRECTORY);
	if (rc == -ENOENT && unishm_sys.stat(UNISHM_SIDECAR_DIRECTORY, &st) < 0 &&
			(errno == ENOENT || errno == ENOTDIR))
		return unishm_because(rc,
				"there is no directory %s here, where records are kept; "
				"make it, with mode 1777",
				UNISHM_SIDECAR_DIRECTORY);
	return rc;
}

/* A link (EMLINK on FreeBSD, EFTYPE on NetBSD), a directory, a socket (EOPNOTSUPP), a FIFO. */
static bool is_no_file(int code)
{
#ifdef EFTYPE
	if (code == EFTYPE)
		return true;
#endif
	return code == ELOOP || code == EMLINK || code == EISDIR || code == EOPNOTSUPP ||
			code == ENXIO;
}

static int because_no_file(int rc)
{
	if (rc < 0 && is_no_file(-rc))
		return ushp_because_no_file();
	return rc;
}

int ushp_sys_open(const char *name, enum place place, int access)
{
	struct path path = ushp_path(PREFIX, name);
	if (place == AT_FORMER_PLACE)
		return -ENOENT; /* not every system has openat() */
	return because_no_file(ushp_fd_keep(unishm_sys.open(path.text, access | OPEN_FLAGS, 0)));
}

int ushp_sys_reopen_unnamed(int fd, int access)
{
	(void)fd, (void)access;
	return -EBADF; /* what has no name any more cannot be opened */
}

int ushp_sys_stat(const char *name, enum place place, struct stat *st)
{
	struct path path = ushp_path(PREFIX, name);
	if (place == AT_FORMER_PLACE)
		return -ENOENT;
	return unishm_sys.fstatat(AT_FDCWD, path.text, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* If the mode does not let the owner write, this cannot be recorded. If the process is then killed,
 * a file without data is left, which the owner or root has to remove. */
static void write_state(int fd, uint32_t state)
{
	const struct object object = { .fd = fd };
	ushp_record_put_word(&object, RECORD_HEAD_FIELD(state), state);
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

/* The object first: as long as the file exists, no process makes a new object. */
int ushp_sys_unlink(int fd, const char *name, enum place place)
{
	struct path path = ushp_path(PREFIX, name);
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
int ushp_sys_open_as_owner(const char *name, struct loan *loan)
{
	(void)name, (void)loan;
	return -EACCES;
}

int ushp_sys_return_mode(int fd, const struct loan *loan)
{
	(void)fd, (void)loan;
	return 0;
}

int ushp_sys_link(int fd, const char *from, const char *to, enum place place)
{
	(void)fd, (void)from, (void)to, (void)place;
	return -ENOTSUP;
}

int ushp_sys_list(int (*found)(const char *name, ino_t inode, void *arg), void *arg)
{
	return ushp_sys_because_missing(
			ushp_list_directory(UNISHM_SIDECAR_DIRECTORY, ".", found, arg));
}

/* ---- Making ------------------------------------------------------------------------ */

int ushp_sidecar_set_mode(int fd, mode_t mode)
{
	if (unishm_sys.fchown(fd, (uid_t)-1, unishm_sys.getegid()) < 0)
		return -errno;
	return unishm_sys.fchmod(fd, mode) < 0 ? -errno : 0;
}

static int begin_draft(struct draft *draft, mode_t mode)
{
	int rc = ushp_sidecar_set_mode(draft->fd, mode);
	return rc == 0 && unishm_sys.fstat(draft->fd, &draft->st) < 0 ? -errno : rc;
}

int ushp_sys_draft(struct draft *draft, mode_t mode)
{
	return ushp_sys_draft_named(draft, mode);
}

int ushp_sys_draft_named(struct draft *draft, mode_t mode)
{
	return ushp_sys_because_missing(ushp_make_draft(draft, PREFIX, mode, begin_draft));
}

int ushp_sys_publish(struct draft *draft, const char *name)
{
	struct path to = ushp_path(PREFIX, name), from = ushp_path(PREFIX, draft->name);
	if (unishm_sys.linkat(AT_FDCWD, from.text, AT_FDCWD, to.text, 0) < 0)
		return -errno;
	unishm_sys.unlink(from.text);
	draft->name[0] = '\0';
	return 0;
}

/* Any close of the file would drop its locks: keep the descriptor. */
void ushp_sys_discard(struct draft *draft)
{
	if (draft->name[0] != '\0') {
		struct path path = ushp_path(PREFIX, draft->name);
		unishm_sys.unlink(path.text);
	}
	ushp_lock_close(draft->fd);
}

/* Data and record are two files: the name comes first, and the record says that the segment is not
 * complete. */
bool ushp_sys_needs_claim(const struct unishm_options *opt)
{
	(void)opt;
	return true;
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
	unsigned granted = user == st.st_uid  ? st.st_mode >> 6 & 7u
			: in_group(st.st_gid) ? st.st_mode >> 3 & 7u
					      : st.st_mode & 7u;
	return user == 0 || (want & ~granted) == 0 ? 0 : -EACCES;
}

int ushp_sys_may_act_as_owner(int fd, uid_t user)
{
	(void)fd;
	uid_t me = unishm_sys.geteuid();
	return me == 0 || me == user ? 0 : -EPERM;
}
