/* SPDX-License-Identifier: MIT */
/*
 * The System V backend: shmget, shmat, shmdt, shmctl. The kernel counts. This file adds what the
 * contract promises and the kernel does not do: no attach after removal, one errno for a cause, no
 * call on another segment with a reused id, no segment visible before it is filled (making.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>

#include "os.h"
#include "sysv/sysv.h"

/* What a handle knows of its segment beyond the facts of struct unishm. */
struct sysv_handle {
	pid_t creator; /* as this process sees it; 0: not known */
	bool attached; /* it has been attached */
};

/* ---- Handles ------------------------------------------------------------- */

static struct sysv_handle *handle_of(struct unishm *seg)
{
	return (struct sysv_handle *)seg->priv;
}

/* The kernel reuses ids after some 10^9 segments. So members that never change are compared. The
 * users are not: another user namespace has other numbers for them. Nor is the creator's pid in a
 * child, which may be in another pid namespace. */
static bool is_same(struct unishm *seg, const struct shmid_ds *ds)
{
	struct sysv_handle *handle = handle_of(seg);
	bool key_fits = ushv_key_of(ds) == seg->key ||
			(ushv_is_removed(ds, seg->key) && ushv_key_of(ds) == IPC_PRIVATE);
	bool creator_fits = !handle->creator || ds->shm_cpid == handle->creator;
	if (!key_fits || !creator_fits || (size_t)ds->shm_segsz != seg->size ||
			(handle->attached && ds->shm_atime == 0))
		return false;
	handle->creator = ds->shm_cpid;
	handle->attached = ds->shm_atime != 0;
	return true;
}

/* Ask for the segment of @seg, with permission to read or as its owner. */
static int look(struct unishm *seg, struct shmid_ds *ds)
{
	int rc = ushv_stat_any(seg->id, ds);
	return rc == 0 && !is_same(seg, ds) ? -EIDRM : rc;
}

/* The same before a change of the segment, for which the kernel checks permission. Only the owner
 * and the superuser may change it, so a segment whose status cannot be read (Linux before 4.17) is
 * not one that reused the id. */
static int look_before(struct unishm *seg, struct shmid_ds *ds)
{
	int rc = look(seg, ds);
	return rc == -EACCES ? 0 : rc;
}

static int because_forbidden(int rc)
{
	return unishm_because(rc,
			"a sandbox or security module forbids System V shared memory; "
			"allow it, or use the POSIX backend");
}

static int because_denied(int rc, const struct shmid_ds *ds)
{
	return unishm_because_denied(rc, ds->shm_perm.mode, ds->shm_perm.uid);
}

static bool is_owner(const struct shmid_ds *ds)
{
	uid_t user = unishm_sys.geteuid();
	return ds->shm_perm.uid == user || ds->shm_perm.cuid == user;
}

/* Say why, if the kernel refused for want of permission. */
static int denied(int rc, int id)
{
	struct shmid_ds ds;
	if (rc != -EACCES && rc != -EPERM)
		return rc;
	bool known = ushv_stat_any(id, &ds) == 0;
	if (rc == -EPERM && (!known || is_owner(&ds)))
		return because_forbidden(rc);
	return known ? because_denied(rc, &ds) : rc;
}

/* ---- Open ---------------------------------------------------------------- */

static int because_not_created(int rc, const struct unishm_options *opt)
{
	if (rc == -EINVAL && opt->size == 0)
		return unishm_because(rc, "a new segment needs a size of 1 or more");
	if (rc == -EINVAL)
		return unishm_because(rc,
				"the limit SHMMAX is less than %s; ask for less, or raise it",
				unishm_bytes(opt->size).text);
	if (rc == -ENOSPC)
		return unishm_because(rc,
				"the system's limit of segments (SHMMNI) or of their total size "
				"(SHMALL) is reached; remove unused ones or raise it");
	if (rc == -ENOMEM && opt->flags & UNISHM_HUGETLB)
		return unishm_because(rc, "there are not enough huge pages; raise vm.nr_hugepages");
	if (rc == -ENOMEM)
		return unishm_because(rc,
				"%s cannot be reserved; ask for less, or use UNISHM_NORESERVE",
				unishm_bytes(opt->size).text);
	if (rc == -EPERM && opt->flags & UNISHM_HUGETLB)
		return unishm_because(rc,
				"huge pages need privilege, or a group in vm.hugetlb_shm_group");
	if (rc == -EPERM || rc == -EACCES)
		return because_forbidden(rc);
	return rc;
}

static int create(struct unishm *seg, const struct unishm_options *opt)
{
	int flags = ushv_create_flags(opt->flags);
	if (flags < 0)
		return flags;
	if (opt->size > PTRDIFF_MAX &&
			(opt->key == UNISHM_PRIVATE || unishm_sys.shmget(opt->key, 0, 0) < 0))
		return unishm_because(-EINVAL, "%zu bytes are more than can ever be attached",
				opt->size);
	mode_t mode = opt->init ? SYSV_MODE_BORN : opt->mode;
	int id = unishm_sys.shmget(opt->key, opt->size, IPC_CREAT | IPC_EXCL | flags | (int)mode);
	if (id < 0)
		return errno == EEXIST ? SYSV_AGAIN : because_not_created(-errno, opt);
	int rc = opt->init ? ushv_fill(id, opt) : 0;
	if (rc)
		return rc;
	seg->id = id;
	seg->key = opt->key;
	seg->size = opt->size;
	seg->created = true;
	return 0;
}

/* Set the facts of a handle. */
static void know(struct unishm *seg, int id, const struct shmid_ds *ds)
{
	seg->id = id;
	seg->key = ushv_key_of(ds);
	seg->size = (size_t)ds->shm_segsz;
	*handle_of(seg) = (struct sysv_handle){ ds->shm_cpid, ds->shm_atime != 0 };
}

/* Use segment @id, which has @key, for the handle, unless it is being removed or filled. */
static int adopt(struct unishm *seg, int id, key_t key)
{
	struct shmid_ds ds;
	int rc = unishm_sys.shmctl(id, IPC_STAT, &ds) < 0 ? ushv_gone(-errno) : 0;
	if (rc == -EIDRM || (rc == 0 && (ushv_is_removed(&ds, key) || ushv_key_of(&ds) != key)))
		return SYSV_AGAIN;
	if (rc < 0)
		return denied(rc, id);
	if (ushv_stage_of(id, &ds) != SYSV_WHOLE)
		return SYSV_AGAIN;
	know(seg, id, &ds);
	return 0;
}

static int because_not_opened(int rc, const struct unishm_options *opt)
{
	struct shmid_ds ds;
	int id = unishm_sys.shmget(opt->key, 0, 0);
	if (id < 0 || ushv_stat_any(id, &ds) < 0)
		return rc == -EPERM ? because_forbidden(rc) : rc;
	if (unishm_sys.shmget(opt->key, 0, 0400) < 0 && errno == EACCES)
		rc = -EACCES; /* Linux looks at the size first: permission is the better answer,
				 and all that POSIX can give */
	if ((rc == -EACCES || rc == -EINVAL) && ushv_stage_of(id, &ds) != SYSV_WHOLE)
		return SYSV_AGAIN; /* not there yet */
	if (rc == -EINVAL && (size_t)ds.shm_segsz < opt->size)
		return unishm_because(rc,
				"it has %s, fewer than the %zu asked for; size 0 opens any",
				unishm_bytes((size_t)ds.shm_segsz).text, opt->size);
	if (rc == -EACCES)
		return because_denied(rc, &ds);
	return rc == -EPERM ? because_forbidden(rc) : rc;
}

/* The segment of opt->key, if it exists; read permission is asked for. */
static int open_existing(struct unishm *seg, const struct unishm_options *opt)
{
	int id = unishm_sys.shmget(opt->key, opt->size, 0400);
	if (id < 0)
		return errno == ENOENT ? -ENOENT : because_not_opened(-errno, opt);
	return adopt(seg, id, opt->key);
}

/* The key could not be opened or created: another process was faster, or the segment is being
 * filled or removed. 0: try again. */
static int look_again(const struct unishm_options *opt, struct sysv_wait *wait)
{
	struct shmid_ds ds;
	int id = unishm_sys.shmget(opt->key, 0, 0);
	int rc = id < 0 ? -errno : ushv_stat_any(id, &ds);
	if (rc == -EACCES && opt->oflag & O_EXCL)
		return -EEXIST; /* without SHM_STAT_ANY, all that can be known */
	if (rc == -ENOENT || rc == -EIDRM || rc == -EACCES)
		return 0;
	if (rc < 0)
		return rc;
	return ushv_is_removed(&ds, opt->key) ? 0 : ushv_settle(id, &ds, opt, wait);
}

static int try_to_open(struct unishm *seg, const struct unishm_options *opt)
{
	bool found = opt->key != UNISHM_PRIVATE && !(opt->oflag & O_EXCL);
	bool may_create = opt->key == UNISHM_PRIVATE || opt->oflag & O_CREAT;
	int rc = found ? open_existing(seg, opt) : -ENOENT;
	return rc == -ENOENT && may_create ? create(seg, opt) : rc;
}

/* Others that create and remove the key, however fast, do not make this process spin. */
static int next_try(const struct unishm_options *opt, struct sysv_wait *wait)
{
	enum { AT_ONCE = 10, MOST = 2000 };
	wait->paused = false;
	int rc = opt->key == UNISHM_PRIVATE ? 0 : look_again(opt, wait);
	if (rc < 0 || wait->paused || ++wait->tries <= AT_ONCE)
		return rc;
	if (wait->tries > MOST)
		return unishm_because(-EAGAIN,
				"other processes create and remove it without pause; try again");
	return unishm_pause(&wait->whole);
}

static int sysv_open(struct unishm *seg, const struct unishm_options *opt)
{
	struct sysv_wait wait = { .whole = { opt->wait_ms, 0 }, .id = -1 };
	int rc;
	while ((rc = try_to_open(seg, opt)) == SYSV_AGAIN)
		if ((rc = next_try(opt, &wait)) < 0)
			break;
	return rc;
}

/* A segment whose creator died right after shmget() can be opened by id: there is no other way to
 * remove a private one. */
static bool can_open_by_id(int id, const struct shmid_ds *ds)
{
	enum sysv_stage stage = ushv_stage_of(id, ds);
	return stage == SYSV_WHOLE || (stage == SYSV_BORN && ushv_is_dead(ds->shm_cpid));
}

static int sysv_open_id(struct unishm *seg, int id)
{
	struct shmid_ds ds;
	int rc = ushv_stat_any(id, &ds);
	bool there = rc == 0 && !ushv_is_removed(&ds, ushv_key_of(&ds)) && can_open_by_id(id, &ds);
	if (rc == -EIDRM || (rc == 0 && !there))
		return -ENOENT;
	if (rc == 0 && unishm_sys.shmctl(id, IPC_STAT, &ds) < 0) /* permission to read */
		rc = -errno;
	if (rc < 0)
		return denied(rc, id);
	know(seg, id, &ds);
	return 0;
}

static void sysv_close(struct unishm *seg)
{
	(void)seg; /* a System V segment has no descriptor */
}

/* ---- Attach -------------------------------------------------------------- */

static int because_not_attached(int rc, const struct unishm *seg, const void *where, int flags)
{
	struct shmid_ds ds;
	if (rc == -EINVAL && ushv_stat_any(seg->id, &ds) == -EIDRM)
		return -EIDRM; /* removed and gone since we looked */
	if (rc == -EINVAL && where)
		return unishm_because(rc,
				"something is mapped there already; choose another address");
	if (rc == -EAGAIN)
		return ushv_because_memory_is_locked(seg->size);
	if (rc == -EPERM && flags & UNISHM_EXEC)
		return unishm_because(-ENOTSUP,
				"this system runs no code in shared memory; leave out UNISHM_EXEC");
	if (rc == -EPERM && where)
		return unishm_because(rc,
				"this process may not map so low an address (vm.mmap_min_addr); "
				"choose a higher one");
	if (rc == -EPERM)
		return because_forbidden(rc);
	return denied(rc, seg->id);
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

/* The kernel allows attaching a removed segment, so look first. A removal between the two calls
 * counts as one after them. */
static int sysv_attach(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	struct shmid_ds ds;
	bool seen = flags & UNISHM_JUST_OPENED; /* whole, and not removed */
	int native = ushv_attach_flags(flags);
	if (native < 0)
		return native;
	int rc = seen ? 0 : look(seg, &ds);
	if (rc < 0)
		return denied(rc, seg->id);
	if (!seen && ushv_is_removed(&ds, seg->key))
		return -EIDRM;
	void *got = unishm_sys.shmat(seg->id, where, native);
	if (got == (void *)-1)
		return because_not_attached(-errno, seg, where, flags);
	if (where && got != where) { /* old OpenBSD takes an address for a hint */
		unishm_sys.shmdt(got);
		return unishm_because(-EINVAL,
				"the system would not map it there; choose another address");
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
	if (errno != EINVAL)
		return -errno;
	return unishm_because(-EINVAL,
			"the system knows no attachment at %p any more; something else unmapped it",
			old->addr);
}

/* In a child: the creator may have another pid, if the child has a namespace of its own. */
static void sysv_fork_shed(struct unishm *seg, bool is_under_way)
{
	if (!is_under_way)
		handle_of(seg)->creator = 0;
}

/* ---- Change and ask ------------------------------------------------------ */

static int sysv_remove(struct unishm *seg)
{
	struct shmid_ds ds;
	int rc = look_before(seg, &ds);
	if (rc == 0 && unishm_sys.shmctl(seg->id, IPC_RMID, NULL) < 0)
		rc = ushv_gone(-errno);
	return denied(rc, seg->id);
}

static int because_not_locked(int rc, int id)
{
	if (rc == -ENOMEM)
		return unishm_because(rc,
				"it is larger than RLIMIT_MEMLOCK allows; raise it (ulimit -l)");
	struct shmid_ds ds;
	if (rc == -EPERM && ushv_stat_any(id, &ds) == 0 && is_owner(&ds))
		return unishm_because(rc,
				"RLIMIT_MEMLOCK is 0 and there is no privilege; "
				"raise it (ulimit -l)");
	return denied(rc, id);
}

static int sysv_lock(struct unishm *seg)
{
	struct shmid_ds ds;
	int rc = look_before(seg, &ds);
	if (rc < 0)
		return denied(rc, seg->id);
	rc = ushv_set_lock(seg->id, true);
	return rc < 0 ? because_not_locked(rc, seg->id) : 0;
}

static int sysv_unlock(struct unishm *seg)
{
	struct shmid_ds ds;
	int rc = look_before(seg, &ds);
	return denied(rc < 0 ? rc : ushv_set_lock(seg->id, false), seg->id);
}

/* IPC_SET sets mode, owner and group at once. Fields that stay are set to what IPC_STAT
 * returned. */
static int change(struct unishm *seg, struct shmid_ds *ds)
{
	if (ushv_is_mark(ds))
		return unishm_because(-EINVAL,
				"group %lu with mode 0%lo marks unfinished segments; "
				"choose another",
				(unsigned long)ds->shm_perm.gid,
				(unsigned long)ds->shm_perm.mode & 0777);
	return denied(ushv_set(seg->id, ds), seg->id);
}

static int sysv_chmod(struct unishm *seg, mode_t mode)
{
	struct shmid_ds ds;
	int rc = look(seg, &ds);
	if (rc < 0)
		return denied(rc, seg->id);
	ds.shm_perm.mode = mode;
	return change(seg, &ds);
}

static int sysv_chown(struct unishm *seg, uid_t user, gid_t group)
{
	struct shmid_ds ds;
	int rc = look(seg, &ds);
	if (rc < 0)
		return denied(rc, seg->id);
	if (user != (uid_t)-1)
		ds.shm_perm.uid = user;
	if (group != (gid_t)-1)
		ds.shm_perm.gid = group;
	return change(seg, &ds);
}

static int sysv_status(struct unishm *seg, struct unishm_status *st)
{
	struct shmid_ds ds;
	int rc = unishm_sys.shmctl(seg->id, IPC_STAT, &ds) < 0 ? ushv_gone(-errno) : 0;
	if (rc == 0 && !is_same(seg, &ds))
		return -EIDRM;
	if (rc < 0)
		return denied(rc, seg->id);
	ushv_translate(st, seg->id, &ds, seg->key);
	return 0;
}

struct listing {
	int (*visit)(const struct unishm_status *st, void *arg);
	void *arg;
};

/* A segment whose creator died right after shmget() is listed: otherwise a private one could not be
 * found. */
static bool is_shown(int id, const struct shmid_ds *ds)
{
	if (!ushv_may_be_unfinished(ds))
		return true;
	if (unishm_hold_forks() < 0)
		return false;
	bool shown = can_open_by_id(id, ds);
	unishm_release_forks();
	return shown;
}

static int list_one(int id, const struct shmid_ds *ds, void *arg)
{
	const struct listing *listing = arg;
	struct unishm_status st = { .backend = NULL };
	if (!is_shown(id, ds))
		return 0;
	ushv_translate(&st, id, ds, ushv_key_of(ds));
	return listing->visit(&st, listing->arg);
}

static int sysv_list(int (*visit)(const struct unishm_status *, void *), void *arg)
{
	struct listing listing = { visit, arg };
	return ushv_scan(false, list_one, &listing);
}

const struct unishm_backend unishm_sysv_backend = {
	.name = "sysv",
	.priv_size = sizeof(struct sysv_handle),
	.no_cancellation_points = true,
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
	.sweep = ushv_sweep,
	.fork_shed = sysv_fork_shed,
};
