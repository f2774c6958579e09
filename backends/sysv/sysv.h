/* SPDX-License-Identifier: MIT */
/* What the files of the System V backend share. */
#ifndef UNISHM_BACKENDS_SYSV_H
#define UNISHM_BACKENDS_SYSV_H

#include <errno.h>
#include <stdbool.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "backend.h"
#include "sys.h"

/* An id that the kernel does not know (any more) is a segment that is gone. */
static inline int ushv_gone(int rc)
{
	return rc == -EINVAL ? -EIDRM : rc;
}

/* ---- system.c: where systems differ --------------------------------------- */

static inline key_t ushv_key_of(const struct shmid_ds *ds)
{
	return (key_t)ds->shm_perm.UNISHM_IPC_PERM_KEY;
}

/* Removed, and still attached. @opened_by: the key by which it was opened. Linux reports it in the
 * mode. On other systems the id is gone, or the key is not the one by which the segment was opened;
 * this does not work for private segments. */
static inline bool ushv_is_removed(const struct shmid_ds *ds, key_t opened_by)
{
#ifdef SHM_DEST
	(void)opened_by;
	return ds->shm_perm.mode & SHM_DEST;
#else
	return opened_by != IPC_PRIVATE && ushv_key_of(ds) == IPC_PRIVATE;
#endif
}

static inline bool ushv_is_locked(const struct shmid_ds *ds)
{
#ifdef SHM_LOCKED
	return ds->shm_perm.mode & SHM_LOCKED; /* Linux tells; others do not */
#else
	(void)ds;
	return false;
#endif
}

/* Flags of shmget and shmat for those of the library; -ENOTSUP. */
int ushv_create_flags(unsigned flags);
int ushv_attach_flags(int flags);

/* SHM_LOCK or SHM_UNLOCK; -ENOTSUP where the system has none. */
int ushv_set_lock(int id, bool lock);

/* IPC_STAT; without read permission, another call if the system has one. -EIDRM if no segment has
 * the id. */
int ushv_stat_any(int id, struct shmid_ds *ds);

/* Call @visit for every segment, until it returns something else than 0, and return that. With @any
 * also for segments that this process may not read, if the system can. -ENOTSUP. */
int ushv_scan(bool any, int (*visit)(int id, const struct shmid_ds *ds, void *arg), void *arg);

/* Whether process @pid, as IPC_STAT returned it, has provably ended or is a zombie. Opens a
 * descriptor: to be called with forks held. */
bool ushv_is_dead(pid_t pid);

/* ---- answer.c: what the calls mean ---------------------------------------- */

void ushv_translate(struct unishm_status *st, int id, const struct shmid_ds *ds, key_t opened_by);

/* -ENOMEM, with the reason. */
int ushv_because_memory_is_locked(size_t size);

/* IPC_SET; -EIDRM if the segment is gone. */
int ushv_set(int id, struct shmid_ds *ds);

/* ---- making.c: segments that an init callback fills ----------------------- */

enum sysv_stage {
	SYSV_WHOLE,
	SYSV_BORN,      /* perhaps a maker's, between its first two calls; never attached */
	SYSV_MARKED,    /* a maker's, never attached */
	SYSV_FILLING,   /* a maker's, attached */
	SYSV_ABANDONED, /* a maker's that provably died */
	SYSV_CLAIM,     /* the mark of another segment */
};

/* Whether @ds may be at another stage than SYSV_WHOLE; makes no system call. */
bool ushv_may_be_unfinished(const struct shmid_ds *ds);

/* At which stage the segment is; SYSV_BORN also if its creator is dead. To be called with
 * forks held. */
enum sysv_stage ushv_stage_of(int id, const struct shmid_ds *ds);

/* Whether mode and group would make a whole segment look like one that is being filled. */
bool ushv_is_mark(const struct shmid_ds *ds);

/* A return value within the backend: start over. It is no errno, since an init callback may return
 * any errno. */
enum { SYSV_AGAIN = 1 };

/* The mode of a new segment that ushv_fill() is to fill. */
enum { SYSV_MODE_BORN = 0411 };

/* Run @opt->init on the new segment @id and publish it; remove it if that fails. SYSV_AGAIN:
 * another process took it for abandoned, between two calls of this one. */
int ushv_fill(int id, const struct unishm_options *opt);

/* How long a call has waited for the maker of a segment. */
struct sysv_wait {
	struct unishm_patience whole; /* as the caller of the library wants */
	struct unishm_patience step;  /* for one segment at one stage */
	int id;
	enum sysv_stage stage;
	bool paused;    /* in the last call of ushv_settle() */
	unsigned tries; /* without a pause */
};

/* Segment @id, at a stage other than SYSV_WHOLE, is in the way of @opt: wait a moment, or remove
 * it. 0: look again. */
int ushv_settle(int id, const struct shmid_ds *ds, const struct unishm_options *opt,
		struct sysv_wait *wait);

int ushv_sweep(int flags, int (*visit)(const struct unishm_status *, void *), void *arg);

#endif
