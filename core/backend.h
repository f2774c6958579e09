/* SPDX-License-Identifier: MIT */
/*
 * What a backend is: the table that core/segment.c dispatches through, and the
 * rules that all backends keep. A port is one new file with such a table and
 * one line in meson.build; backends/null.c is the file to copy.
 *
 * Common rules. The core has checked every argument against what the public
 * header says: do not check again. Return 0 or a negative errno captured at the
 * call that failed. A member that fails has undone its own work and left
 * outputs alone. Say why, where errno alone does not, with unishm_because().
 * Never print, exit, install a handler, or call umask(). The core holds the
 * handle's lock around every member but open, open_id and list, so that members
 * run one at a time for one handle; different handles run in parallel, also two
 * handles of the same segment. No member may keep a descriptor beyond the call
 * outside of the handle: a fork waits until members are done, and its handlers
 * see to the descriptors of handles only. Cancellation is disabled in members.
 *
 * So members are short, since forks wait for them: they wait for other processes
 * by unishm_pause() alone, and list and sweep hold forks around their own steps
 * only, not around visit.
 */
#ifndef UNISHM_CORE_BACKEND_H
#define UNISHM_CORE_BACKEND_H

#include <pthread.h>

#include "lock.h"
#include "unishm.h"

/* One attachment of a handle, as the core remembers it; the rest is the
 * backend's, zero at first. */
struct unishm_attachment {
	void *addr;
	uint64_t own[2];
};

enum { UNISHM_INLINE_ATTACHMENTS = 4 };

/* A handle. The core allocates it, zeroed, with the backend's private part. */
struct unishm {
	const struct unishm_backend *backend;
	struct unishm_mutex lock; /* attachments, and the backend's private part */
	struct unishm *next;      /* of all handles: core/handles.c */
	struct unishm *prev;
	bool missed;    /* in a child: fork_missed has still to run; */
	bool shed_late; /* and fork_shed once more before it, since a call was under way */
	bool beneath;   /* the shim's (core/shim.h), which the System V backend may stand on */

	/* Facts, set by open and open_id, constant afterwards. */
	size_t size;
	key_t key;
	int id;
	bool created;

	struct unishm_attachment *attachments; /* inline_room, or allocated */
	unsigned attached;
	unsigned room;
	struct unishm_attachment inline_room[UNISHM_INLINE_ATTACHMENTS];

	_Alignas(max_align_t) unsigned char priv[]; /* backend's */
};

/* Beside the flags of unishm_attach(): the call that attaches has just opened or created the
 * segment. `ready` was not called; what open has found out need not be asked again. */
enum { UNISHM_JUST_OPENED = 1 << 30 };

struct unishm_backend {
	/* The name for users and tools: short, stable, lower case. */
	const char *name;

	/* Zeroed bytes wanted in unishm.priv. */
	size_t priv_size;

	/* No member from close to status makes a cancellation point. */
	bool no_cancellation_points;

	/* Open or create as @opt says, and set the facts of @seg. May assume a
	 * known oflag, a mode within 0777 and known flags; sizes are the
	 * backend's to judge. Must create whole segments only: @opt->init, if
	 * any, runs (through unishm_call_init()) before others can open it.
	 * Attaches nothing. When it fails the core frees @seg and calls nothing
	 * else. Errors: as unishm_open(). */
	int (*open)(struct unishm *seg, const struct unishm_options *opt);

	/* Open the segment with this id (not negative). -ENOENT if there is
	 * none, or it was removed. Otherwise as open. */
	int (*open_id)(struct unishm *seg, int id);

	/* Let go of the handle; it has no attachments any more. Cannot fail. */
	void (*close)(struct unishm *seg);

	/* Addresses of attachments are multiples of this. */
	size_t (*granularity)(void);

	/* Optional. Called with the handle locked, right before each of attach, detach, displaced,
	 * remove, lock, unlock, chmod, chown and status: see that what the handle needs is there,
	 * and get back what the program took away (its descriptors, say). These members check
	 * nothing of that again. 0; or a negative errno, -EIDRM if the segment is gone: then that
	 * is the answer to the call, and the member is not called. But detach and displaced are
	 * called in any case, and do what they can. A close that detaches calls it once before all
	 * of that. */
	int (*ready)(struct unishm *seg);

	/* Optional. Called after each of them, when the list of attachments is up to date, and also
	 * after one that failed, but not within a close: let go of what the handle keeps of a
	 * segment that is gone. Cannot fail. */
	void (*settle)(struct unishm *seg);

	/* Map seg->size bytes, and set @new->addr. @where is NULL (any address) or aligned, not
	 * wrapping, and then exact: what is mapped there is -EINVAL and stays unharmed unless
	 * UNISHM_REMAP. When it returns, every process can see the new number, pid and time. -EIDRM
	 * once removed, -EACCES as the mode says for the effective user now, -ENOMEM, -ENOTSUP for
	 * UNISHM_EXEC that cannot be had. */
	int (*attach)(struct unishm *seg, void *where, int flags, struct unishm_attachment *new);

	/* Unmap @old, which attach filled in and nothing has detached since, and
	 * count it out. -EINVAL if the system knows no such attachment. */
	int (*detach)(struct unishm *seg, struct unishm_attachment *old);

	/* Optional. @old was replaced by another attachment (UNISHM_REMAP):
	 * count it out, there is nothing to unmap. NULL: the kernel does. */
	void (*displaced)(struct unishm *seg, struct unishm_attachment *old);

	/* Optional. Does the handle keep something in [@where, @where + @length) that
	 * UNISHM_REMAP must not replace, and which is no attachment? All handles are locked. */
	bool (*occupies)(const struct unishm *seg, const void *where, size_t length);

	/* As their public namesakes. -EIDRM when the segment is gone, that is
	 * removed and not attached anywhere; they work until then. */
	int (*remove)(struct unishm *seg);
	int (*lock)(struct unishm *seg);
	int (*unlock)(struct unishm *seg);
	int (*chmod)(struct unishm *seg, mode_t mode);
	int (*chown)(struct unishm *seg, uid_t user, gid_t group);

	/* Fill in @st, which is zeroed and has the backend's name. The core
	 * copies it to the user only on success. */
	int (*status)(struct unishm *seg, struct unishm_status *st);

	/* As unishm_list(). No lock and no descriptor is held during @visit. */
	int (*list)(int (*visit)(const struct unishm_status *st, void *arg), void *arg);

	/* Optional. As unishm_sweep(); @visit is not NULL. */
	int (*sweep)(int flags, int (*visit)(const struct unishm_status *st, void *arg), void *arg);

	/* Optional, for backends whose attachments the kernel does not carry
	 * across fork(2): around a fork, with no other member running. prepare
	 * runs in the parent before, and must get ready what the child's
	 * attachments need to be counted by the time fork returns in either;
	 * parent runs after it there, and is told whether the fork failed:
	 * then nothing must have changed. In the child, where no call may ask for memory or
	 * wait for a lock that another thread of the parent may have had, shed runs for
	 * every handle, and drops what a child must not have inherited; then child, for
	 * each. If a call of the handle @is_under_way (see fork_missed), shed keeps what
	 * that may be using, and forgets what was not inherited; it runs once more at its
	 * end. */
	void (*fork_prepare)(struct unishm *seg);
	void (*fork_parent)(struct unishm *seg, bool failed);
	void (*fork_shed)(struct unishm *seg, bool is_under_way);
	void (*fork_child)(struct unishm *seg);

	/* Optional. The handle went through a fork without fork_prepare: the process was made
	 * by a raw clone(2) or _Fork() (@in_child, at the child's first call), or the fork
	 * happened in a signal handler that interrupted a call of the library in the same
	 * thread (then in the child at the end of that call or at its next call, and in the
	 * parent, with @in_child false, likewise). Runs with the handle locked. In a child
	 * fork_shed has run for all handles. The call that was interrupted ends in the child,
	 * too, with what was inherited; its handle is shed after that. So a member touches no
	 * mapping that the kernel does not carry across fork (MADV_DONTFORK). */
	void (*fork_missed)(struct unishm *seg, bool in_child);
};

/* A segment that an init callback is filling: what the core needs to know while code of the
 * program runs. The backend allocates it by malloc() or calloc(), perhaps as the first member
 * of a larger struct, fills in the members marked (b), and frees it after unishm_call_init()
 * returned. The core frees it, and the handle that was being opened, if the callback never
 * returns; no other code of the backend's open runs then. */
struct unishm_making {
	struct unishm_making *next; /* the core's, as all up to (b) */
	struct unishm *seg;
	pthread_t thread;
	const struct unishm_backend *backend;
	key_t key;      /* (b) */
	bool in_child;  /* set by the core: this process is a child that was forked during the
			   callback; everything here is the parent's */
	bool abandoned; /* set by the core: abandon() was called */
	bool orphan;    /* the core's: in a child, of a thread that is not there */
	/* (b) The callback will not return (its thread ended, or left it by a jump and uses the
	 * same key again): undo now what others would undo if this process had died. Nothing of the
	 * library is locked but a hold of forks. */
	void (*abandon)(struct unishm_making *making);
	/* (b) In a child: close descriptors and unmap mappings that would keep the parent's claim
	 * alive. Async-signal-safe calls only. Must not undo anything that others see. */
	void (*leave)(struct unishm_making *making);
};

/* ---- What the core offers to backends ----------------------------------- */

/* Remember why the call in progress fails with @rc, for unishm_errmsg(): a
 * clause without the subject, with the remedy after a semicolon. Returns @rc. */
int unishm_because(int rc, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "1 byte", "4096 bytes": for such clauses. */
struct unishm_words {
	char text[32];
};
struct unishm_words unishm_bytes(size_t count);

/* Run @opt->init on @addr, with nothing locked and forks not held back; called with forks held
 * (as open is), and returns with forks held. Returns 0; -ECANCELED when @making->in_child or
 * @making->abandoned: then the backend just lets go of what it has in this process; or, when the
 * callback failed, a negative number that is no errno value, so that it is not taken for an answer
 * of the system. Undo, and return that from open: the core makes of it what the callback said. */
int unishm_call_init(struct unishm_making *making, const struct unishm_options *opt, void *addr);

/* Around anything that holds a descriptor, a lock or memory that is not yet in a registered
 * handle: a fork waits for it. The core does so around all members but list and sweep, which do
 * it themselves, and not around visit. Holds nest. */
int unishm_hold_forks(void);
void unishm_release_forks(void);

/* How long a call may wait for another process. Begin with { opt->wait_ms, 0 }. */
struct unishm_patience {
	unsigned limit_ms; /* 0: no limit */
	int64_t deadline;  /* the core's; 0 at first */
};

/* Sleep about a millisecond, with forks let through meanwhile; to be called with forks held
 * once and nothing else held. 0, -EINTR (a signal handler ran), -ETIMEDOUT. */
int unishm_pause(struct unishm_patience *patience);

/* "rw-r-----" in @out, which holds 10 bytes; returns it. */
const char *unishm_mode_text(mode_t mode, char *out);

/* "root (0)" in @out; returns it. */
const char *unishm_user_text(uid_t user, char *out, size_t room);
const char *unishm_group_text(gid_t group, char *out, size_t room);

/* unishm_because() for -EACCES and -EPERM, on a segment with this mode and owner. */
int unishm_because_denied(int rc, mode_t mode, uid_t owner);

/* This process: getpid() without the system call. */
pid_t unishm_pid(void);

#endif
