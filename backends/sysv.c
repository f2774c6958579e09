/* SPDX-License-Identifier: MIT */
/*
 * The System V backend: shmget, shmat, shmdt, shmctl. The kernel keeps the
 * accounts; what is done here is what the contract makes uniform and the kernel
 * does not: no attach after remove, one errno for one cause, segments that are
 * whole before anyone sees them also when an init callback fills them.
 *
 * A segment under construction. shmget publishes a segment at once, so one that
 * an init callback still has to fill is created with a mode of its own, which
 * the library refuses everywhere else (UNISHM_MODE_MAKING). Whoever finds that
 * mode waits, or says that there is no such segment. The creator stays attached
 * while it fills, so if it is killed, at whatever instruction, the kernel's own
 * count tells: attached by nobody, and last touched by its creator, or not
 * touched at all by a creator that is gone. Then the finder removes it, by id,
 * which never hits a successor.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"
#include "os.h"
#include "sys.h"

/* ---- Where systems differ ------------------------------------------------ */

static key_t key_of(const struct shmid_ds *ds)
{
	return (key_t)ds->shm_perm.UNISHM_IPC_PERM_KEY;
}

/* Removed, and still attached: Linux tells. Elsewhere the id is gone, or the key is no
 * more the one that it was opened by, which a private segment never had. */
static bool is_removed(const struct shmid_ds *ds, key_t opened_by)
{
#ifdef SHM_DEST
	(void)opened_by;
	return ds->shm_perm.mode & SHM_DEST;
#else
	return opened_by != IPC_PRIVATE && key_of(ds) != opened_by;
#endif
}

static bool is_locked(const struct shmid_ds *ds)
{
#ifdef SHM_LOCKED
	return ds->shm_perm.mode & SHM_LOCKED; /* Linux tells; others do not */
#else
	(void)ds;
	return false;
#endif
}

/* Flags of shmget for ours; -ENOTSUP where the system has no such thing. */
static int create_flags(unsigned flags)
{
	int native = 0;
	if (flags & UNISHM_NORESERVE) {
#ifdef SHM_NORESERVE
		native |= SHM_NORESERVE;
#else
		return unishm_because(-ENOTSUP, "this system always reserves; leave out UNISHM_NORESERVE");
#endif
	}
	if (flags & UNISHM_HUGETLB) {
#ifdef SHM_HUGETLB
		native |= SHM_HUGETLB;
#else
		return unishm_because(-ENOTSUP, "this system has no SHM_HUGETLB");
#endif
	}
	return native;
}

static int attach_flags(int flags)
{
	int native = flags & UNISHM_RDONLY ? SHM_RDONLY : 0;
	if (flags & UNISHM_EXEC) {
#ifdef SHM_EXEC
		native |= SHM_EXEC;
#else
		return unishm_because(-ENOTSUP, "this system has no SHM_EXEC");
#endif
	}
	if (flags & UNISHM_REMAP) {
#ifdef SHM_REMAP
		native |= SHM_REMAP;
#else
		return unishm_because(-ENOTSUP, "this system has no SHM_REMAP");
#endif
	}
	return native;
}

static int native_lock(int id, bool lock)
{
	struct shmid_ds ds;
	int rc = -EINVAL;
	(void)lock;
#if defined SHM_LOCK && defined SHM_UNLOCK
	if (unishm_sys.shmctl(id, lock ? SHM_LOCK : SHM_UNLOCK, NULL) == 0)
		return 0;
	rc = -errno;
#endif
	/* macOS and FreeBSD have the words and not the deed; a segment that may not be
	 * looked at is there, too */
	if (rc == -EINVAL && (unishm_sys.shmctl(id, IPC_STAT, &ds) == 0 || errno == EACCES))
		return unishm_because(-ENOTSUP, "this system cannot lock System V segments; "
				"use the POSIX backend");
	return rc;
}

/* IPC_STAT wants read permission, which an owner may have taken from himself. */
static int stat_as_owner(int id, struct shmid_ds *ds)
{
	if (unishm_sys.shmctl(id, IPC_STAT, ds) == 0)
		return 0;
	int rc = -errno;
#ifdef SHM_STAT_ANY
	if (rc == -EACCES && unishm_sys.shmctl(id, SHM_STAT_ANY, ds) >= 0)
		return 0; /* Linux 4.17 */
#endif
	return rc;
}

/* ---- Small things -------------------------------------------------------- */

/* An id that the kernel does not know (any more) is a segment that is gone. */
static int gone(int rc)
{
	return rc == -EINVAL ? -EIDRM : rc;
}

static int stat_segment(int id, struct shmid_ds *ds)
{
	return unishm_sys.shmctl(id, IPC_STAT, ds) < 0 ? gone(-errno) : 0;
}

static int set(int id, struct shmid_ds *ds)
{
	struct shmid_ds now;
	int rc = unishm_sys.shmctl(id, IPC_SET, ds) < 0 ? -errno : 0;
	/* -EINVAL may also mean a user or group that cannot be */
	return rc == -EINVAL ? gone(stat_as_owner(id, &now)) == -EIDRM ? -EIDRM : rc : rc;
}

static int because_denied(int rc, const struct shmid_ds *ds)
{
	char mode[10], owner[64];
	return unishm_because(rc, "its mode is %s and its owner %s; act as that user, or have it changed",
			unishm_mode_text(ds->shm_perm.mode & 0777, mode),
			unishm_user_text(ds->shm_perm.uid, owner, sizeof owner));
}

static int denied(int rc, int id)
{
	struct shmid_ds ds;
	if ((rc == -EACCES || rc == -EPERM) && stat_as_owner(id, &ds) == 0)
		because_denied(rc, &ds);
	return rc;
}

/* ---- Segments under construction ----------------------------------------- */

enum { WHOLE, IN_MAKING, ABANDONED };

static int stage(const struct shmid_ds *ds)
{
	if ((ds->shm_perm.mode & 0777) != UNISHM_MODE_MAKING ||
			(ds->shm_lpid != 0 && ds->shm_lpid != ds->shm_cpid))
		return WHOLE;
	if (ds->shm_nattch > 0)
		return IN_MAKING;
	if (ds->shm_lpid != 0)
		return ABANDONED;
	/* Between shmget and shmat. A creator in another pid namespace has no
	 * number here: give it ten seconds for that step. */
	if (ds->shm_cpid == 0)
		return time(NULL) - ds->shm_ctime > 10 ? ABANDONED : IN_MAKING;
	return kill(ds->shm_cpid, 0) < 0 && errno == ESRCH ? ABANDONED : IN_MAKING;
}

/* Wait until segment @id is under construction no more, and sweep it away if its
 * creator died. 0: look again. */
static int settle(int id, struct unishm_patience *patience)
{
	struct shmid_ds ds;
	while (stat_as_owner(id, &ds) == 0) {
		int now = stage(&ds);
		if (now == WHOLE)
			return 0;
		if (now == ABANDONED) {
			if (unishm_sys.shmctl(id, IPC_RMID, NULL) == 0 || errno != EPERM)
				return 0;
			return unishm_because(-EACCES, "user %lu was killed while creating it; "
					"that user, or root, must open or remove it first",
					(unsigned long)ds.shm_perm.uid);
		}
		int rc = unishm_pause(patience);
		if (rc < 0)
			return rc;
	}
	return 0;
}

struct filling {
	struct unishm_making making;
	int id;
	void *addr;
};

static void abandon(struct unishm_making *making)
{
	const struct filling *filling = (const struct filling *)making;
	unishm_sys.shmdt(filling->addr);
	unishm_sys.shmctl(filling->id, IPC_RMID, NULL);
}

static void leave(struct unishm_making *making)
{
	(void)making;
}

static const struct unishm_backend *this_backend(void);

static int call_init(int id, const struct unishm_options *opt, void *addr, bool *lost)
{
	struct filling *filling = calloc(1, sizeof *filling);
	if (!filling)
		return -ENOMEM;
	filling->making = (struct unishm_making){ .backend = this_backend(), .key = opt->key,
		.abandon = abandon, .leave = leave };
	filling->id = id;
	filling->addr = addr;
	int rc = unishm_call_init(&filling->making, opt, addr);
	*lost = filling->making.in_child || filling->making.abandoned;
	free(filling);
	return rc;
}

/* Fill a new segment, then give it its true mode: that publishes it. */
static int fill(int id, const struct unishm_options *opt, bool *lost)
{
	struct shmid_ds ds;
	void *addr = unishm_sys.shmat(id, NULL, 0);
	if (addr == (void *)-1)
		return -errno;
	int rc = call_init(id, opt, addr, lost);
	if (rc == 0)
		rc = stat_segment(id, &ds);
	if (rc == 0) {
		ds.shm_perm.mode = opt->mode;
		rc = set(id, &ds);
	}
	unishm_sys.shmdt(addr);
	return rc;
}

/* ---- Open ---------------------------------------------------------------- */

static int because_not_created(int rc, const struct unishm_options *opt)
{
	if (rc == -EINVAL && opt->size == 0)
		return unishm_because(rc, "a new segment needs a size of 1 or more");
	if (rc == -EINVAL)
		return unishm_because(rc, "%zu bytes are more than the system's limit SHMMAX", opt->size);
	if (rc == -ENOSPC)
		return unishm_because(rc, "the system's limit of segments (SHMMNI) or of their total "
				"size (SHMALL) is reached; remove unused ones or raise it");
	if (rc == -ENOMEM && opt->flags & UNISHM_HUGETLB)
		return unishm_because(rc, "there are not enough huge pages; raise vm.nr_hugepages");
	if (rc == -ENOMEM)
		return unishm_because(rc, "%zu bytes cannot be reserved; ask for less, or use UNISHM_NORESERVE",
				opt->size);
	if (rc == -EPERM && opt->flags & UNISHM_HUGETLB)
		return unishm_because(rc, "huge pages need privilege, or a group in vm.hugetlb_shm_group");
	return rc;
}

static int create(struct unishm *seg, const struct unishm_options *opt)
{
	int flags = create_flags(opt->flags);
	if (flags < 0)
		return flags;
	if (opt->size > PTRDIFF_MAX && (opt->key == UNISHM_PRIVATE || unishm_sys.shmget(opt->key, 0, 0) < 0))
		return unishm_because(-EINVAL, "%zu bytes are more than can ever be attached", opt->size);
	mode_t mode = opt->init ? UNISHM_MODE_MAKING : opt->mode;
	int id = unishm_sys.shmget(opt->key, opt->size, IPC_CREAT | IPC_EXCL | flags | (int)mode);
	if (id < 0)
		return because_not_created(-errno, opt);
	if (opt->init) {
		bool lost = false;
		int rc = fill(id, opt, &lost);
		if (rc < 0) {
			if (!lost)
				unishm_sys.shmctl(id, IPC_RMID, NULL);
			return rc;
		}
	}
	seg->id = id;
	seg->key = opt->key;
	seg->size = opt->size;
	seg->created = true;
	return 0;
}

/* Take segment @id, which has @key. -EAGAIN: it is going, or in the making. */
static int adopt(struct unishm *seg, int id, key_t key)
{
	struct shmid_ds ds;
	int rc = stat_segment(id, &ds);
	if (rc == -EIDRM || (rc == 0 && is_removed(&ds, key)))
		return -EAGAIN;
	if (rc < 0)
		return denied(rc, id);
	if (stage(&ds) != WHOLE)
		return -EAGAIN;
	seg->id = id;
	seg->key = key;
	seg->size = (size_t)ds.shm_segsz;
	return 0;
}

static int because_not_opened(int rc, const struct unishm_options *opt)
{
	struct shmid_ds ds;
	int id = unishm_sys.shmget(opt->key, 0, 0);
	if (id < 0 || stat_as_owner(id, &ds) < 0)
		return rc;
	if (unishm_sys.shmget(opt->key, 0, 0400) < 0 && errno == EACCES)
		rc = -EACCES; /* Linux looks at the size first: permission is the better answer,
				 and all that POSIX can give */
	if (rc == -EACCES && stage(&ds) != WHOLE)
		return -EAGAIN; /* its true mode is not there yet */
	if (rc == -EINVAL)
		return unishm_because(rc, "it has %zu bytes, fewer than the %zu asked for; "
				"size 0 opens any", (size_t)ds.shm_segsz, opt->size);
	if (rc == -EACCES)
		return because_denied(rc, &ds);
	return rc;
}

/* The segment of opt->key, if it exists; read permission is asked for. */
static int open_existing(struct unishm *seg, const struct unishm_options *opt)
{
	int id = unishm_sys.shmget(opt->key, opt->size, 0400);
	if (id < 0)
		return errno == ENOENT ? -ENOENT : because_not_opened(-errno, opt);
	return adopt(seg, id, opt->key);
}

/* What stands in the way of opt->key: someone was faster, or the segment is in
 * the making or going. 0: try again. */
static int look_again(const struct unishm_options *opt, struct unishm_patience *patience)
{
	struct shmid_ds ds;
	int id = unishm_sys.shmget(opt->key, 0, 0);
	int rc = id < 0 ? -errno : stat_as_owner(id, &ds);
	if (rc == -EACCES && opt->oflag & O_EXCL)
		return -EEXIST; /* without SHM_STAT_ANY, all that can be known */
	if (rc < 0)
		return 0;
	int now = stage(&ds);
	if (now == WHOLE)
		return opt->oflag & O_EXCL ? -EEXIST : 0;
	if (now == IN_MAKING && !(opt->oflag & O_CREAT))
		return -ENOENT;
	if (now == IN_MAKING && opt->oflag & O_EXCL)
		return -EEXIST;
	return settle(id, patience);
}

static int sysv_open(struct unishm *seg, const struct unishm_options *opt)
{
	struct unishm_patience patience = { opt->wait_ms, 0 };
	if (opt->key == UNISHM_PRIVATE)
		return create(seg, opt);
	for (;;) {
		int rc = opt->oflag & O_EXCL ? -ENOENT : open_existing(seg, opt);
		if (rc == -ENOENT && opt->oflag & O_CREAT)
			rc = create(seg, opt);
		if (rc == -EAGAIN || rc == -EEXIST)
			rc = look_again(opt, &patience);
		else
			return rc;
		if (rc < 0)
			return rc;
	}
}

static int sysv_open_id(struct unishm *seg, int id)
{
	struct shmid_ds ds;
	int rc = gone(stat_as_owner(id, &ds));
	if (rc == -EIDRM || (rc == 0 && (is_removed(&ds, key_of(&ds)) || stage(&ds) != WHOLE)))
		return -ENOENT;
	if (rc == 0)
		rc = stat_segment(id, &ds); /* which asks for permission to read */
	if (rc < 0)
		return denied(rc, id);
	seg->id = id;
	seg->key = key_of(&ds);
	seg->size = (size_t)ds.shm_segsz;
	return 0;
}

static void sysv_close(struct unishm *seg)
{
	(void)seg; /* a System V segment has no descriptor */
}

/* ---- Attach -------------------------------------------------------------- */

static int because_not_attached(int rc, int id, const void *where)
{
	struct shmid_ds ds;
	if (rc == -EINVAL && stat_segment(id, &ds) == -EIDRM)
		return -EIDRM; /* removed and gone since we looked */
	if (rc == -EINVAL && where)
		return unishm_because(rc, "something is mapped there already; choose another address");
	return denied(rc, id);
}

static size_t sysv_granularity(void)
{
	size_t page = unishm_os_page_size();
#ifdef SHMLBA
	size_t boundary = (size_t)SHMLBA; /* some processors need more than a page */
	return boundary > page ? boundary : page;
#else
	return page;
#endif
}

/* The kernel lets anyone attach a removed segment: ask first. A removal between
 * the two calls is as good as one after them. */
static int sysv_attach(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	struct shmid_ds ds;
	int native = attach_flags(flags);
	if (native < 0)
		return native;
	int rc = gone(stat_as_owner(seg->id, &ds));
	if (rc < 0)
		return rc;
	if (is_removed(&ds, seg->key))
		return -EIDRM;
	void *got = unishm_sys.shmat(seg->id, where, native);
	if (got == (void *)-1)
		return because_not_attached(-errno, seg->id, where);
	if (where && got != where) { /* old OpenBSD takes an address for a hint */
		unishm_sys.shmdt(got);
		return unishm_because(-EINVAL, "the system would not map it there");
	}
	if (flags & UNISHM_POPULATE) {
		rc = unishm_os_populate(got, seg->size, !(flags & UNISHM_RDONLY));
		if (rc < 0) {
			unishm_sys.shmdt(got);
			return rc;
		}
	}
	new->addr = got;
	return 0;
}

static int sysv_detach(struct unishm *seg, struct unishm_attachment *old)
{
	(void)seg;
	if (unishm_sys.shmdt(old->addr) == 0)
		return 0;
	return unishm_because(-errno, "the system knows no attachment at %p any more; "
			"something else unmapped it", old->addr);
}

/* ---- Change and ask ------------------------------------------------------ */

static int sysv_remove(struct unishm *seg)
{
	if (unishm_sys.shmctl(seg->id, IPC_RMID, NULL) == 0)
		return 0;
	return denied(gone(-errno), seg->id);
}

static int because_not_locked(int rc, int id)
{
	if (rc == -ENOMEM)
		return unishm_because(rc, "it is larger than RLIMIT_MEMLOCK allows; raise it (ulimit -l)");
	struct shmid_ds ds;
	if (rc == -EPERM && stat_as_owner(id, &ds) == 0 && ds.shm_perm.uid == unishm_sys.geteuid())
		return unishm_because(rc, "RLIMIT_MEMLOCK is 0 and there is no privilege; raise it (ulimit -l)");
	return denied(rc, id);
}

static int sysv_lock(struct unishm *seg)
{
	int rc = gone(native_lock(seg->id, true));
	return rc < 0 ? because_not_locked(rc, seg->id) : 0;
}

static int sysv_unlock(struct unishm *seg)
{
	int rc = gone(native_lock(seg->id, false));
	return rc < 0 ? denied(rc, seg->id) : 0;
}

static int sysv_chmod(struct unishm *seg, mode_t mode)
{
	struct shmid_ds ds;
	int rc = gone(stat_as_owner(seg->id, &ds));
	if (rc < 0)
		return rc;
	ds.shm_perm.mode = mode;
	return denied(set(seg->id, &ds), seg->id);
}

static int sysv_chown(struct unishm *seg, uid_t user, gid_t group)
{
	struct shmid_ds ds;
	int rc = gone(stat_as_owner(seg->id, &ds));
	if (rc < 0)
		return rc;
	if (user != (uid_t)-1)
		ds.shm_perm.uid = user;
	if (group != (gid_t)-1)
		ds.shm_perm.gid = group;
	return denied(set(seg->id, &ds), seg->id);
}

static void translate(struct unishm_status *st, const struct shmid_ds *ds, key_t opened_by)
{
	st->backend = "sysv";
	st->removed = is_removed(ds, opened_by);
	st->key = st->removed ? UNISHM_PRIVATE : key_of(ds);
	st->size = (size_t)ds->shm_segsz;
	st->mode = ds->shm_perm.mode & 0777; /* systems keep flags beside them */
	st->number_attached = (unsigned long)ds->shm_nattch;
	st->creator_process = ds->shm_cpid;
	st->last_op_process = ds->shm_lpid;
	st->last_attach_time = ds->shm_atime;
	st->last_detach_time = ds->shm_dtime;
	st->last_change_time = ds->shm_ctime;
	st->creator_user = ds->shm_perm.cuid;
	st->creator_group = ds->shm_perm.cgid;
	st->owner_user = ds->shm_perm.uid;
	st->owner_group = ds->shm_perm.gid;
	st->locked = is_locked(ds);
}

static int sysv_status(struct unishm *seg, struct unishm_status *st)
{
	struct shmid_ds ds;
	int rc = stat_segment(seg->id, &ds);
	if (rc < 0)
		return denied(rc, seg->id);
	translate(st, &ds, seg->key);
	return 0;
}

static int because_not_listed(void)
{
	return unishm_because(-ENOTSUP, "this system has no call that lists System V segments; use ipcs");
}

static int sysv_list(int (*visit)(const struct unishm_status *, void *), void *arg)
{
#if defined SHM_STAT && defined SHM_INFO
	struct shmid_ds ds;
	int last = unishm_sys.shmctl(0, SHM_INFO, &ds); /* fills a smaller struct shm_info */
	if (last < 0 && errno == EINVAL)
		return because_not_listed(); /* FreeBSD has the words for Linux programs only */
	if (last < 0)
		return -errno;
	for (int slot = 0; slot <= last; slot++) {
		int id = unishm_sys.shmctl(slot, SHM_STAT, &ds);
		if (id < 0 || stage(&ds) != WHOLE)
			continue; /* empty, not ours to read, or not there yet */
		struct unishm_status st = { .id = id };
		translate(&st, &ds, key_of(&ds));
		int rc = visit(&st, arg);
		if (rc)
			return rc;
	}
	return 0;
#else
	(void)visit, (void)arg;
	return because_not_listed();
#endif
}

const struct unishm_backend unishm_sysv_backend = {
	.name = "sysv",
	.open = sysv_open,
	.open_id = sysv_open_id,
	.close = sysv_close,
	.granularity = sysv_granularity,
	.attach = sysv_attach,
	.detach = sysv_detach,
	.remove = sysv_remove,
	.lock = sysv_lock,
	.unlock = sysv_unlock,
	.chmod = sysv_chmod,
	.chown = sysv_chown,
	.status = sysv_status,
	.list = sysv_list,
};

static const struct unishm_backend *this_backend(void)
{
	return &unishm_sysv_backend;
}
