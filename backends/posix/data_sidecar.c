/* SPDX-License-Identifier: MIT */
/* Data in an object of its own: systems other than Linux. See object_sys.h. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "backend.h"
#include "descriptor.h"
#include "mapping.h"
#include "memory.h"
#include "object_sys.h"
#include "record.h"
#include "sidecar.h"
#include "sys.h"

int ushp_sys_prepare_data(int fd, const struct unishm_options *opt)
{
	(void)opt;
	if (unishm_sys.ftruncate(fd, RECORD_SIZE) < 0)
		return -errno;
	return ushp_reserve(fd, RECORD_SIZE);
}

/* The owner can always open the object, to change its mode. Whether an attach is allowed is decided
 * by the mode of the sidecar file. */
static mode_t data_mode(mode_t mode)
{
	return mode | 0600;
}

static int because_foreign(const char *name)
{
	return unishm_because(-EBADMSG,
			"an object that this library did not make has its name %s; "
			"remove it, or choose another key",
			name);
}

/* Check that there is none, and note that an object of that name is ours from now on. */
static int announce_data(int record_fd, const char *name)
{
	int fd = ushp_sidecar_open_data(name, O_RDONLY);
	if (fd >= 0)
		unishm_sys.close(fd);
	if (fd >= 0 || fd == -EACCES || fd == -EPERM)
		return because_foreign(name);
	return fd == -ENOENT ? ushp_sidecar_write_note(record_fd, ANY_DATA) : fd;
}

/* Its mode and group are right from the start on macOS, which refuses (EINVAL) to set them. */
static int set_data_mode(int fd, mode_t mode)
{
	int rc = ushp_sidecar_set_mode(fd, data_mode(mode));
	return rc == -EINVAL ? 0 : rc;
}

static int fill_data(int fd, const struct unishm_options *opt, int record_fd)
{
	struct stat st;
	int rc = set_data_mode(fd, opt->mode);
	if (rc == 0 && unishm_sys.fstat(fd, &st) < 0)
		rc = -errno;
	if (rc == 0 && st.st_ino != 0)
		rc = ushp_sidecar_write_note(record_fd, (uint64_t)st.st_ino);
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
		ushp_sidecar_write_note(record_fd, NO_DATA);
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
	int rc = ushp_sidecar_read_note(object->fd, &note);
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
	return ushp_record_read(object->fd, 0, RECORD_HEAD_FIELD(state), &state, sizeof state) ==
			0 &&
			state == RECORD_REMOVING;
}

static int because_unseen(int rc, const struct object *object)
{
	if (rc != -ENOENT)
		return rc;
	return unishm_because(-EBADMSG,
			"its object %s is not there: another program took it away, "
			"or this one sees other objects (a jail); "
			"remove the segment where it was made",
			object->name);
}

/* The name leads to our data as long as the file beside has its own: that one goes last. */
int ushp_sys_open_data(const struct object *object, size_t size, int access)
{
	struct stat st;
	int fd = ushp_sidecar_open_data(object->name, access);
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

int ushp_sys_map_record_by_data(const struct object *object, void *data, size_t size,
		uint32_t index, struct record_map *map)
{
	(void)object, (void)data, (void)size, (void)index, (void)map;
	return -EACCES; /* the record is in another file */
}

/* macOS refuses both (EINVAL). To take rights away it is enough that the library asks the file
 * beside first; to give some is not to be had. */
static int chmod_data(const char *name, mode_t mode)
{
	struct stat st;
	int fd = ushp_sidecar_open_data(name, O_RDWR);
	if (fd < 0)
		return fd;
	int rc = unishm_sys.fchmod(fd, data_mode(mode)) < 0 ? -errno : 0;
	if (rc == -EINVAL && unishm_sys.fstat(fd, &st) == 0)
		rc = data_mode(mode) & ~st.st_mode & 0777 ? -ENOTSUP : 0;
	unishm_sys.close(fd);
	if (rc == -ENOTSUP)
		return unishm_because(rc,
				"this system cannot give an object more rights "
				"than it was made with; make a new segment");
	return rc;
}

static int chown_data(const char *name, uid_t user, gid_t group)
{
	struct stat st;
	int fd = ushp_sidecar_open_data(name, O_RDWR);
	if (fd < 0)
		return fd;
	int rc = unishm_sys.fchown(fd, user, group) < 0 ? -errno : 0;
	if (rc == -EINVAL && unishm_sys.fstat(fd, &st) == 0)
		rc = (user == (uid_t)-1 || user == st.st_uid) &&
						(group == (gid_t)-1 || group == st.st_gid)
				? 0
				: -ENOTSUP;
	unishm_sys.close(fd);
	if (rc == -ENOTSUP)
		return unishm_because(rc,
				"this system cannot give an object another owner; "
				"make a new segment");
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

int ushp_sys_try_place(const struct object *object)
{
	(void)object; /* record locks are what they are everywhere */
	return 0;
}
