/* SPDX-License-Identifier: MIT */
/* Data on Linux: in one file with the record, on a tmpfs. See object_sys.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "backend.h"
#include "lock.h"
#include "mapping.h"
#include "memory.h"
#include "object_sys.h"
#include "os.h"
#include "sys.h"

int ushp_sys_prepare_data(int fd, const struct unishm_options *opt)
{
	return opt->flags & UNISHM_NORESERVE ? 0 : ushp_reserve(fd, (off_t)opt->size);
}

int ushp_sys_make_data(const char *name, const struct unishm_options *opt, int fd)
{
	(void)name, (void)opt; /* it is in the same file */
	return fd;
}

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
	return mapping->inode == (uint64_t)object->ino &&
			unishm_mapping_is_on(mapping, object->dev);
}

static bool is_at(const struct object *object, char *addr, uint64_t offset)
{
	struct unishm_mapping at;
	return unishm_mapping_at(addr, &at) == 0 && at.start <= (uintptr_t)addr &&
			at.offset + ((uintptr_t)addr - at.start) == offset &&
			ushp_sys_is_data(object, &at);
}

/* From the last page of the data on, since data and record are in one file; then all but the end
 * goes. A description that was opened for reading does not allow writing. */
int ushp_sys_map_record_by_data(const struct object *object, void *data, size_t size,
		uint32_t index, struct record_map *map)
{
	size_t page = unishm_os_page_size(), from = (size - 1) / page * page;
	size_t length = ushp_record_map_length(index);
	size_t whole = (size_t)(object->record_at + RECORD_SIZE) - from;
	char *addr = (char *)data + from;
	if (!is_at(object, addr, from))
		return -EACCES;
	char *got = unishm_sys.map_again(addr, whole);
	if (got == MAP_FAILED)
		return errno == ENOMEM ? -ENOMEM : -EACCES;
	unishm_sys.munmap(got, whole - length);
	got += whole - length;
	if (mprotect(got, length, PROT_READ | PROT_WRITE) < 0) {
		unishm_sys.munmap(got, length);
		return -EACCES;
	}
	*map = (struct record_map){ (unsigned char *)got, length };
	return 0;
}

/* The bits of the group limit what a list gives to others. One that is there while they are 0 came
 * from the directory's default, and must not come to life with them. */
int ushp_sys_chmod(const struct object *object, bool named, mode_t mode)
{
	struct stat st;
	(void)named;
	if (mode & 070 && unishm_sys.fstat(object->fd, &st) == 0 && !(st.st_mode & 070))
		unishm_sys.drop_access_list(object->fd);
	return unishm_sys.fchmod(object->fd, mode) < 0 ? -errno : 0;
}

int ushp_sys_chown(const struct object *object, bool named, uid_t user, gid_t group)
{
	(void)named;
	return unishm_sys.fchown(object->fd, user, group) < 0 ? -errno : 0;
}

/* ---- Trying a place --------------------------------------------------------------------- */

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
			rc = ushp_lock_find_foreign(&own, LOCK_OF_DESCRIPTION,
					(struct range){ place, place }, &found);
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
	ushp_sys_remember_directory(object->dev);
	if (__atomic_load_n(&good, __ATOMIC_ACQUIRE) && good_dev == object->dev)
		return 0;
	if (ushp_lock_by_process(object->dev, object->ino))
		return 0; /* the trial succeeded when that lock was taken */
	int fd = object->name[1] ? ushp_object_reopen(object, O_RDONLY)
				 : ushp_sys_reopen_unnamed(object->fd, O_RDONLY);
	if (fd < 0) /* no trial is possible; a later step reports the error */
		return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? fd : 0;
	int rc = try_lock(object, fd);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return unishm_because(-ENOTSUP,
				"/dev/shm is on a file system (overlayfs?) "
				"where locks do not outlive their descriptor; mount a tmpfs on it");
	unishm_mutex_lock(&trying);
	good_dev = object->dev;
	__atomic_store_n(&good, true, __ATOMIC_RELEASE);
	unishm_mutex_unlock(&trying);
	return 0;
}
