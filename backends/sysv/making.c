/* SPDX-License-Identifier: MIT */
/*
 * Segments that an init callback fills.
 *
 * shmget publishes a segment at once, so others must be able to tell one that is not filled
 * yet, and one whose maker died, from every segment of other programs. A maker goes through
 * these stages:
 *
 *   shmget   SYSV_BORN: SYSV_MODE_BORN, by which no process can write, and never attached
 *   IPC_SET  SYSV_MARKED: MODE_FILLING, and a group number that no program chooses by chance.
 *            The owner may set any group, and the kernel keeps the true one as that of the
 *            creator.
 *   shmat    SYSV_FILLING: the init callback runs
 *   IPC_SET  SYSV_WHOLE: the mode that was asked for and the true group; this publishes it
 *   shmdt
 *
 * A maker that fails removes the segment before it detaches. So a marked one that was attached
 * and is no more is proof that its maker died: SYSV_ABANDONED. If it is still attached, perhaps
 * by a child of the maker, only the maker's pid can prove that. At SYSV_MARKED no byte was
 * written yet, and a live maker that loses its segment starts over: a short wait is enough.
 * SYSV_BORN is no proof, since other programs could have chosen that mode: such a segment is
 * removed only if it was never attached, its creator is dead, and its owner (or the superuser)
 * creates that key. Whoever removes does so by id, which never hits a successor.
 *
 * A user namespace may map none of those numbers. There the mark is another segment, the claim,
 * whose key is made of the id of the first. The maker creates it after the first step, and
 * removes it just before the last; one that is killed between those two leaves a whole segment
 * with MODE_FILLING, by which no user has more rights than its owner.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>

#include "sysv.h"

enum { MODE_FILLING = 0611 };

/* What a claim looks like, and its key, for a segment with id 0. */
enum { MODE_CLAIM = 0431, CLAIM_SIZE = 3559 };
#define CLAIM_KEY 0xd7a9c34eu

/* User namespaces of containers often map the numbers below 65536 and no others. */
static const gid_t marks[] = { (gid_t)0xb5a3e6d1u, 59247 };
enum { MARKS = sizeof marks / sizeof *marks };

/* Limits in milliseconds: how long a segment may stay at a stage that takes a live maker
 * microseconds, and how long to wait for the callback of another user, which could otherwise block
 * this process without end. */
enum { MOMENT_MARKED = 20, MOMENT_BORN = 2000, FOREIGN_MAKER = 10000 };

/* ---- Stages ---------------------------------------------------------------- */

static mode_t mode_of(const struct shmid_ds *ds)
{
	return ds->shm_perm.mode & 0777;
}

bool ushv_is_mark(const struct shmid_ds *ds)
{
	if (mode_of(ds) != MODE_FILLING || ds->shm_perm.gid == ds->shm_perm.cgid ||
			ds->shm_perm.uid != ds->shm_perm.cuid)
		return false;
	for (int i = 0; i < MARKS; i++)
		if (ds->shm_perm.gid == marks[i])
			return true;
	return false;
}

static bool was_attached(const struct shmid_ds *ds)
{
	return ds->shm_nattch > 0 || ds->shm_lpid != 0 || ds->shm_atime != 0;
}

static bool is_born(const struct shmid_ds *ds)
{
	bool kept = ds->shm_perm.uid == ds->shm_perm.cuid && ds->shm_perm.gid == ds->shm_perm.cgid;
	return kept && mode_of(ds) == SYSV_MODE_BORN && !was_attached(ds);
}

static key_t claim_key(int id)
{
	return (key_t)(CLAIM_KEY ^ (uint32_t)id);
}

static bool is_claim(const struct shmid_ds *claim, const struct shmid_ds *ds)
{
	return mode_of(claim) == MODE_CLAIM && claim->shm_segsz == CLAIM_SIZE &&
			claim->shm_perm.cuid == ds->shm_perm.cuid &&
			claim->shm_cpid == ds->shm_cpid;
}

/* The id of the claim to segment @id; negative: there is none. */
static int claim_of(int id, const struct shmid_ds *ds)
{
	struct shmid_ds claim;
	int found = unishm_sys.shmget(claim_key(id), 0, 0);
	if (found < 0 || ushv_stat_any(found, &claim) < 0 || !is_claim(&claim, ds))
		return -1;
	return found;
}

bool ushv_may_be_unfinished(const struct shmid_ds *ds)
{
	return mode_of(ds) == MODE_FILLING || mode_of(ds) == MODE_CLAIM || is_born(ds);
}

/* The id of the segment that the claim belongs to. Negative: it is no claim. */
static int target_of(const struct shmid_ds *ds)
{
	bool shaped = mode_of(ds) == MODE_CLAIM && ds->shm_segsz == CLAIM_SIZE &&
			ds->shm_perm.uid == ds->shm_perm.cuid;
	return shaped ? (int)(CLAIM_KEY ^ (uint32_t)ushv_key_of(ds)) : -1;
}

static bool is_claim_to_any(const struct shmid_ds *ds)
{
	struct shmid_ds target;
	int id = target_of(ds);
	return id >= 0 && ushv_stat_any(id, &target) == 0 && is_claim(ds, &target);
}

/* A claim is made after its segment and removed after it. So a claim without a segment was left by
 * a process that was killed in between. */
static bool is_orphan(const struct shmid_ds *ds)
{
	struct shmid_ds target;
	int id = target_of(ds);
	return id >= 0 && ushv_stat_any(id, &target) == -EIDRM && ushv_is_dead(ds->shm_cpid);
}

enum sysv_stage ushv_stage_of(int id, const struct shmid_ds *ds)
{
	if (is_claim_to_any(ds))
		return SYSV_CLAIM;
	if (is_orphan(ds))
		return SYSV_ABANDONED;
	if (mode_of(ds) != MODE_FILLING && !is_born(ds))
		return SYSV_WHOLE;
	if (!ushv_is_mark(ds) && claim_of(id, ds) < 0)
		return is_born(ds) ? SYSV_BORN : SYSV_WHOLE;
	if (ushv_is_dead(ds->shm_cpid) || (ds->shm_nattch == 0 && was_attached(ds)))
		return SYSV_ABANDONED;
	return was_attached(ds) ? SYSV_FILLING : SYSV_MARKED;
}

/* ---- Making ---------------------------------------------------------------- */

struct making {
	struct unishm_making base; /* first: the core frees it */
	int id;
	int claim; /* its id; negative: the mark is a group number */
	bool claimed;
	void *addr;
	struct shmid_ds born; /* with the true group */
};

/* What the kernel says of an id that another process removed in the meantime. */
static int start_over(int rc)
{
	return rc == -EIDRM ? SYSV_AGAIN : rc;
}

/* The segment gets another id when it is made anew, should another program have that key. */
static int claim(struct making *making)
{
	making->claim = unishm_sys.shmget(claim_key(making->id), CLAIM_SIZE,
			IPC_CREAT | IPC_EXCL | MODE_CLAIM);
	if (making->claim < 0)
		return errno == EEXIST ? SYSV_AGAIN : -errno;
	making->claimed = true;
	struct shmid_ds ds = making->born;
	ds.shm_perm.mode = MODE_FILLING;
	return start_over(ushv_set(making->id, &ds));
}

static int mark(struct making *making)
{
	struct shmid_ds ds = making->born;
	int rc = -EINVAL;
	ds.shm_perm.mode = MODE_FILLING;
	for (int i = 0; i < MARKS && rc == -EINVAL; i++) {
		ds.shm_perm.gid = marks[i];
		rc = making->born.shm_perm.cgid == marks[i] ? -EINVAL : ushv_set(making->id, &ds);
	}
	return rc == -EINVAL ? claim(making) : start_over(rc);
}

static int drop_claim(struct making *making)
{
	if (making->claim >= 0 && unishm_sys.shmctl(making->claim, IPC_RMID, NULL) < 0)
		return -errno;
	making->claim = -1;
	return 0;
}

static int publish(struct making *making, mode_t mode)
{
	struct shmid_ds ds = making->born;
	ds.shm_perm.mode = mode;
	int rc = drop_claim(making);
	if (rc == 0)
		rc = ushv_set(making->id, &ds);
	if (rc == -EIDRM)
		return unishm_because(rc, "another process removed it while the init callback ran");
	return rc;
}

/* Remove before detaching: a marked segment that is not attached would mean that the maker died. */
static void undo(struct unishm_making *base)
{
	struct making *making = (struct making *)base;
	unishm_sys.shmctl(making->id, IPC_RMID, NULL);
	drop_claim(making);
	if (making->addr)
		unishm_sys.shmdt(making->addr);
}

/* The callback may go on in the child, which then needs the attachment. This does not keep the
 * parent's claim alive: the parent's death is also proved by its pid. */
static void leave(struct unishm_making *base)
{
	(void)base;
}

static int attach(struct making *making)
{
	struct shmid_ds now;
	void *addr = unishm_sys.shmat(making->id, NULL, 0);
	if (addr == (void *)-1) {
		int rc = -errno;
		if (rc == -EAGAIN)
			return ushv_because_memory_is_locked((size_t)making->born.shm_segsz);
		if (rc == -EINVAL) /* gone, or something that is not expected */
			rc = ushv_stat_any(making->id, &now) == -EIDRM ? -EIDRM : rc;
		return start_over(rc);
	}
	making->addr = addr;
	return 0;
}

/* Take the new segment through its stages. */
static int take_through(struct making *making, const struct unishm_options *opt)
{
	int rc = start_over(ushv_stat_any(making->id, &making->born));
	if (rc == 0)
		rc = mark(making);
	if (rc == 0)
		rc = attach(making);
	if (rc == 0)
		rc = unishm_call_init(&making->base, opt, making->addr);
	if (making->base.abandoned)
		return rc;
	if (making->base.in_child) {
		unishm_sys.shmdt(making->addr);
		return rc;
	}
	if (rc == 0)
		rc = publish(making, opt->mode);
	if (rc)
		undo(&making->base);
	else
		unishm_sys.shmdt(making->addr);
	return rc;
}

static int remove_orphan(int id, const struct shmid_ds *ds, void *arg)
{
	(void)arg;
	if (ds->shm_perm.cuid == unishm_sys.geteuid() && is_orphan(ds))
		unishm_sys.shmctl(id, IPC_RMID, NULL);
	return 0;
}

int ushv_fill(int id, const struct unishm_options *opt)
{
	struct making *making = unishm_sys.calloc(1, sizeof *making);
	if (!making) {
		unishm_sys.shmctl(id, IPC_RMID, NULL);
		return -ENOMEM;
	}
	making->base.key = opt->key;
	making->base.abandon = undo;
	making->base.leave = leave;
	making->id = id;
	making->claim = -1;
	int rc = take_through(making, opt);
	if (making->claimed) /* rare: look for claims of dead processes */
		ushv_scan(true, remove_orphan, NULL);
	free(making);
	return rc;
}

/* ---- Waiting and removing -------------------------------------------------- */

/* "process 12 of user root (0)" in @out; returns it. */
static const char *maker_text(const struct shmid_ds *ds, char *out, size_t room)
{
	char user[64];
	snprintf(out, room, "process %lu of user %s", (unsigned long)ds->shm_cpid,
			unishm_user_text(ds->shm_perm.cuid, user, sizeof user));
	return out;
}

static int because_dead(int rc, const struct shmid_ds *ds)
{
	char maker[128];
	return unishm_because(rc,
			"%s died while creating it; "
			"that user or the superuser must create or sweep it",
			maker_text(ds, maker, sizeof maker));
}

static int because_slow(int rc, const struct shmid_ds *ds)
{
	char maker[128];
	return unishm_because(rc, "%s is still creating it; wait for that process, or end it",
			maker_text(ds, maker, sizeof maker));
}

static int because_unfinished(enum sysv_stage stage, const struct shmid_ds *ds)
{
	char room[128];
	const char *maker = maker_text(ds, room, sizeof room);
	if (stage == SYSV_ABANDONED)
		return unishm_because(-ENOENT, "%s died while creating it; create it with O_CREAT",
				maker);
	return unishm_because(-ENOENT,
			"%s has not finished creating it; wait, or create it with O_CREAT", maker);
}

/* Remove an unfinished segment of a dead maker. Another process may be faster. */
static int clear_away(int id, const struct shmid_ds *ds)
{
	int claim = claim_of(id, ds);
	int rc = unishm_sys.shmctl(id, IPC_RMID, NULL) < 0 ? ushv_gone(-errno) : 0;
	if (rc == -EPERM)
		return because_dead(-EACCES, ds);
	if (rc == 0 && claim >= 0)
		unishm_sys.shmctl(claim, IPC_RMID, NULL);
	return rc == -EIDRM ? 0 : rc;
}

/* Sleep a moment. 1: the segment has been at this stage for @limit milliseconds. */
static int pause_at(struct sysv_wait *wait, int id, enum sysv_stage stage, unsigned limit)
{
	unsigned whole = wait->whole.limit_ms;
	bool by_caller = limit == 0 || (whole != 0 && whole <= limit);
	if (wait->id != id || wait->stage != stage)
		wait->step = (struct unishm_patience){ limit, 0 };
	wait->id = id;
	wait->stage = stage;
	wait->paused = true;
	int rc = unishm_pause(by_caller ? &wait->whole : &wait->step);
	return rc == -ETIMEDOUT && !by_caller ? 1 : rc;
}

static int settle_born(int id, const struct shmid_ds *ds, const struct unishm_options *opt,
		struct sysv_wait *wait)
{
	if (ushv_is_dead(ds->shm_cpid))
		return clear_away(id, ds);
	int rc = pause_at(wait, id, SYSV_BORN, MOMENT_BORN);
	if (rc == 1 && ds->shm_cpid == 0) /* another pid namespace: no proof of its end */
		return clear_away(id, ds);
	if (rc == 1 || rc == -ETIMEDOUT)
		return because_slow(opt->oflag & O_EXCL ? -EEXIST : -ETIMEDOUT, ds);
	return rc;
}

static int settle_marked(int id, const struct shmid_ds *ds, struct sysv_wait *wait)
{
	int rc = pause_at(wait, id, SYSV_MARKED, MOMENT_MARKED);
	if (rc == 1)
		return clear_away(id, ds);
	return rc == -ETIMEDOUT ? because_slow(rc, ds) : rc;
}

static int settle_filling(int id, const struct shmid_ds *ds, const struct unishm_options *opt,
		struct sysv_wait *wait)
{
	if (opt->oflag & O_EXCL)
		return because_slow(-EEXIST, ds);
	uid_t maker = ds->shm_perm.cuid;
	bool trusted = maker == 0 || maker == unishm_sys.geteuid();
	int rc = pause_at(wait, id, SYSV_FILLING, trusted || opt->wait_ms ? 0 : FOREIGN_MAKER);
	return rc == 1 || rc == -ETIMEDOUT ? because_slow(-ETIMEDOUT, ds) : rc;
}

/* O_EXCL does not wait for a maker that lives. A pid of another pid namespace does not tell. */
static bool is_plainly_taken(const struct shmid_ds *ds, const struct unishm_options *opt)
{
	return opt->oflag & O_EXCL && ds->shm_cpid > 0 && !ushv_is_dead(ds->shm_cpid);
}

int ushv_settle(int id, const struct shmid_ds *ds, const struct unishm_options *opt,
		struct sysv_wait *wait)
{
	enum sysv_stage stage = ushv_stage_of(id, ds);
	if (stage != SYSV_WHOLE && !(opt->oflag & O_CREAT))
		return because_unfinished(stage, ds);
	if ((stage == SYSV_BORN || stage == SYSV_MARKED) && is_plainly_taken(ds, opt))
		return because_slow(-EEXIST, ds);
	switch (stage) {
	case SYSV_BORN:
		return settle_born(id, ds, opt, wait);
	case SYSV_MARKED:
		return settle_marked(id, ds, wait);
	case SYSV_FILLING:
		return settle_filling(id, ds, opt, wait);
	case SYSV_ABANDONED:
		return clear_away(id, ds);
	default:
		return opt->oflag & O_EXCL ? -EEXIST : 0;
	}
}

/* ---- Sweeping -------------------------------------------------------------- */

struct sweep {
	int flags;
	int (*visit)(const struct unishm_status *st, void *arg);
	void *arg;
};

static bool is_abandoned(int id, const struct shmid_ds *ds)
{
	if (!ushv_may_be_unfinished(ds) || ushv_is_removed(ds, ushv_key_of(ds)) ||
			unishm_hold_forks() < 0)
		return false;
	bool abandoned = ushv_stage_of(id, ds) == SYSV_ABANDONED;
	unishm_release_forks();
	return abandoned;
}

static int sweep_one(int id, const struct shmid_ds *ds, void *arg)
{
	const struct sweep *sweep = arg;
	struct unishm_status st = { .backend = NULL };
	struct shmid_ds now;
	if (!is_abandoned(id, ds))
		return 0;
	ushv_translate(&st, id, ds, ushv_key_of(ds));
	int rc = sweep->visit(&st, sweep->arg);
	if (rc || sweep->flags & UNISHM_SWEEP_DRY)
		return rc;
	rc = ushv_stat_any(id, &now); /* @visit may have taken long */
	if (rc == 0 && is_abandoned(id, &now))
		rc = clear_away(id, &now);
	return rc == -EIDRM || rc == -EACCES ? 0 : rc;
}

int ushv_sweep(int flags, int (*visit)(const struct unishm_status *, void *), void *arg)
{
	struct sweep sweep = { flags, visit, arg };
	return ushv_scan(true, sweep_one, &sweep);
}
