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
 * see to the descriptors of handles only.
 */
#ifndef UNISHM_CORE_BACKEND_H
#define UNISHM_CORE_BACKEND_H

#include <pthread.h>

#include "unishm.h"

/* One attachment of a handle, as the core remembers it; the rest is the
 * backend's, zero at first. */
struct unishm_attachment {
	void *addr;
	void *mark;
	uint64_t place;
	uint64_t heir_place;
	int heir;
};

enum { UNISHM_INLINE_ATTACHMENTS = 4 };

/* A handle. The core allocates it, zeroed, with the backend's private part. */
struct unishm {
	const struct unishm_backend *backend;
	pthread_mutex_t lock; /* attachments, and the backend's private part */
	struct unishm *next;  /* of all handles: core/handles.c */
	struct unishm *prev;

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

/* A mode that no segment may be given: the System V backend marks by it what an
 * init callback still has to fill. Refused on all backends alike. */
enum { UNISHM_MODE_MAKING = 0613 };

struct unishm_backend {
	/* What users type and tools print: short, stable, lower case. */
	const char *name;

	/* Zeroed bytes wanted in unishm.priv. */
	size_t priv_size;

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

	/* Map seg->size bytes, and set @new->addr. @where is NULL (any address) or aligned, not
	 * wrapping, and then exact: what is mapped there is -EINVAL and stays
	 * unharmed unless UNISHM_REMAP. Counted, with pid and time, by all who
	 * ask after it returns. -EIDRM once removed, -EACCES as the mode says
	 * for the effective user now, -ENOMEM, -ENOTSUP for UNISHM_EXEC that
	 * cannot be had. */
	int (*attach)(struct unishm *seg, void *where, int flags, struct unishm_attachment *new);

	/* Unmap @old, which attach filled in and nothing has detached since, and
	 * count it out. -EINVAL if the system knows no such attachment. */
	int (*detach)(struct unishm *seg, struct unishm_attachment *old);

	/* Optional. @old was replaced by another attachment (UNISHM_REMAP):
	 * count it out, there is nothing to unmap. NULL: the kernel does. */
	void (*displaced)(struct unishm *seg, struct unishm_attachment *old);

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
	 * across fork(2): around a fork, with the handle locked. prepare runs in
	 * the parent before, and must get ready what the child's attachments
	 * need to be counted by the time fork returns in either; parent runs
	 * after it there (also when the fork failed). In the child, where only
	 * async-signal-safe calls are allowed, shed runs for every handle, and
	 * drops what a child must not have inherited; then child, for each. Both
	 * also run, without a prepare, in a process made by a raw clone(2), at
	 * its first call. */
	void (*fork_prepare)(struct unishm *seg);
	void (*fork_parent)(struct unishm *seg);
	void (*fork_shed)(struct unishm *seg);
	void (*fork_child)(struct unishm *seg);
};

/* ---- What the core offers to backends ----------------------------------- */

/* Remember why the call in progress fails with @rc, for unishm_errmsg(): a
 * clause without the subject, with the remedy after a semicolon. Returns @rc. */
int unishm_because(int rc, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Run @opt->init on @addr. Returns what it returned, made negative. */
int unishm_call_init(const struct unishm_options *opt, void *addr);

/* Around anything that holds a descriptor, a lock or memory that is not yet in a
 * registered handle: a fork waits for it. The core does so around open, open_id
 * and close; list does it itself, but not around visit. */
int unishm_hold_forks(void);
void unishm_release_forks(void);

/* Wait a millisecond for another process, with forks let through meanwhile: to be
 * called where nothing is held that a child must not inherit. */
void unishm_pause(void);

/* "rw-r-----" in @out, which holds 10 bytes; returns it. */
const char *unishm_mode_text(mode_t mode, char *out);

/* "root (0)" in @out; returns it. */
const char *unishm_user_text(uid_t user, char *out, size_t room);
const char *unishm_group_text(gid_t group, char *out, size_t room);

/* This process: getpid() without the system call. */
pid_t unishm_pid(void);

#endif
