/* SPDX-License-Identifier: MIT */
/* shmget(). */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysinfo.h>

#include "posix/by_id.h"
#include "posix/create.h"
#include "posix/entries.h"
#include "posix/handle.h"
#include "posix/object_sys.h"
#include "posix/record.h"
#include "sys.h"

enum { ALL_FLAGS_OF_MODE = 0777 };

/* ---- Errors ------------------------------------------------------------------------- */

/* Linux sets memory aside when it makes a segment, and says ENOMEM when there is none. */
static bool is_more_than_memory(size_t size)
{
	struct sysinfo info;
	return sysinfo(&info) == 0 &&
			size / info.mem_unit > (size_t)info.totalram + (size_t)info.totalswap;
}

static int get_error(int rc, size_t size)
{
	switch (rc) {
	case -ENOSPC:
		return is_more_than_memory(size) ? -ENOMEM : rc;
	case -EFBIG:
	case -EAGAIN:
	case -EBUSY:
		return -ENOMEM;
	case -EMFILE:
	case -EBADF:
		return -ENFILE;
	case -EROFS:
	case -EPERM:
	case -EBADMSG: /* something else has the name */
		return -EACCES;
	case -ENOTSUP:
		return -ENOSYS;
	default:
		return rc;
	}
}

/* ---- Permission ---------------------------------------------------------------------- */

/* What the flags ask for, of whichever class this user is. */
static unsigned wanted(int flags)
{
	return ((unsigned)flags >> 6 | (unsigned)flags >> 3 | (unsigned)flags) & 7;
}

/* What the mode grants to the owner needs no question; see object.h. */
static bool is_plain(const struct stat *st, unsigned want)
{
	return want == 0 || ((want & ~((unsigned)st->st_mode >> 6 & 7)) == 0 &&
			ushp_object_is_own(st));
}

static int permit(int fd, const struct stat *st, unsigned want)
{
	return is_plain(st, want) ? 0 : ushp_sys_access(fd, want);
}

/* ---- An existing segment --------------------------------------------------------------- */

static int answer_existing(int fd, const struct stat *st, size_t have, size_t size, int flags)
{
	int rc = size > have ? -EINVAL : permit(fd, st, wanted(flags));
	return rc < 0 ? rc : ushp_id_of(st);
}

/* This user may not read it, so that its size is known to the unit of the record only. */
static int answer_unreadable(key_t key, size_t size, int flags)
{
	char name[OBJECT_NAME_MAX];
	struct stat st;
	ushp_name_of_key(key, name);
	int fd = ushp_sys_open(name, AT_SYSTEM_PLACE, O_PATH);
	if (fd < 0)
		return fd;
	int rc = unishm_sys.fstat(fd, &st) < 0 ? -errno
			: !S_ISREG(st.st_mode) || st.st_size < RECORD_SIZE ? -EBADMSG
			: answer_existing(fd, &st, (size_t)(st.st_size - RECORD_SIZE), size, flags);
	unishm_sys.close(fd);
	return rc;
}

/* @seg was just opened, or made: its status is the one that it was bound with. */
static int answer_opened(struct unishm *seg, size_t size, int flags)
{
	struct shim_segment *segment;
	const struct posix *p = posix_of(seg);
	int rc = seg->created ? seg->id
			: answer_existing(p->object.fd, &p->st, seg->size, size, flags);
	int used = ushs_use_opened(seg, &segment);
	if (used == 0)
		ushs_leave(segment);
	return rc;
}

/* ---- Open and create ---------------------------------------------------------------------- */

static int open_or_create(struct unishm *seg, void *arg)
{
	return ushp_open(seg, arg);
}

static int check_new(size_t size, int flags)
{
	const unsigned long most = ~0UL - (1UL << 24); /* SHMMAX by default */
	if (size == 0 || size > most)
		return -EINVAL;
	return flags & SHM_HUGETLB ? -ENOMEM : 0; /* there are no huge pages here */
}

static int open_with(key_t key, size_t size, int flags, int oflag)
{
	struct unishm *seg;
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key;
	opt.oflag = oflag;
	opt.size = oflag || key == UNISHM_PRIVATE ? size : 0;
	opt.mode = (mode_t)(flags & ALL_FLAGS_OF_MODE);
	opt.flags = CREATE_BY_ID | (flags & SHM_NORESERVE ? UNISHM_NORESERVE : 0u);
	int rc;
	do
		rc = ushs_open(&seg, open_or_create, &opt);
	while (rc == -EINTR);
	return rc < 0 ? rc : answer_opened(seg, size, flags);
}

static int create(key_t key, size_t size, int flags, int oflag)
{
	int rc = check_new(size, flags);
	if (rc < 0)
		return rc;
	ushs_sweep(true);
	return open_with(key, size, flags, oflag);
}

/* -ENOENT: there is none, or that one was removed meanwhile. */
static int open_existing(key_t key, size_t size, int flags)
{
	int rc = open_with(key, size, flags, 0);
	return rc == -EACCES ? answer_unreadable(key, size, flags) : rc;
}

/* -EACCES of create() is of the directory, or of one that was made just before and may not be read:
 * if that one is gone by now, too, another try is due. */
static int find(key_t key, size_t size, int flags)
{
	enum { TRIES = 4 };
	ushs_sweep(false);
	int rc = open_existing(key, size, flags);
	for (int i = 0; rc == -ENOENT && flags & IPC_CREAT; i++) {
		int made = create(key, size, flags, O_CREAT);
		if (made != -EACCES || i == TRIES)
			return made;
		rc = open_existing(key, size, flags);
	}
	return rc;
}

static bool exists(key_t key)
{
	char name[OBJECT_NAME_MAX];
	struct stat st;
	ushp_name_of_key(key, name);
	return ushp_sys_stat(name, AT_SYSTEM_PLACE, &st) == 0;
}

static int get(key_t key, size_t size, int flags)
{
	int rc;
	if (key == IPC_PRIVATE)
		rc = create(key, size, flags, O_CREAT | O_EXCL);
	else if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
		rc = exists(key) ? -EEXIST : create(key, size, flags, O_CREAT | O_EXCL);
	else
		rc = find(key, size, flags);
	return get_error(rc, size);
}

/* Of others than the owner the kernel has to judge, by a descriptor that is still the segment's. */
static int permit_known(const struct shim_known *known, const struct stat *st, unsigned want)
{
	struct shim_known again;
	struct stat now;
	if (is_plain(st, want))
		return 0;
	int rc = ushp_sys_access(known->fd, want);
	return ushs_find_known(known->key, &again, &now) && again.ino == known->ino ? rc : -EAGAIN;
}

/* Without a lock, and without blocking signals: most calls end here. */
static int answer_known(key_t key, size_t size, int flags)
{
	struct shim_known known;
	struct stat st;
	if (key == IPC_PRIVATE || !ushs_find_known(key, &known, &st))
		return -EAGAIN;
	if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
		return -EEXIST;
	if (size > known.size)
		return -EINVAL;
	int rc = permit_known(&known, &st, wanted(flags));
	return rc == 0 ? known.id : rc == -EACCES ? rc : -EAGAIN;
}

int ushs_get(key_t key, size_t size, int flags)
{
	struct shim_call call;
	int rc = answer_known(key, size, flags);
	if (rc != -EAGAIN)
		return rc;
	rc = ushs_begin(&call);
	if (rc < 0)
		return rc;
	rc = get(key, size, flags);
	ushs_end(&call);
	return rc;
}
