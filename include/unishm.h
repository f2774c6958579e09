/* SPDX-License-Identifier: MIT */
/*
 * unishm: one API over System V and POSIX shared memory.
 *
 * A program written against this header runs on either kind and sees the same
 * behaviour and the same status on both. unishm(3) is the reference manual,
 * unishm(7) explains the concepts and what each backend does beneath.
 *
 * Rules that hold for every call:
 *
 * - A call that can fail returns 0 or a negative errno value. When it fails it
 *   leaves every output untouched, has changed nothing and leaks nothing, and
 *   unishm_errmsg() says in one sentence what went wrong and what to do.
 * - Every function is safe to call from any thread, also on one handle at the
 *   same time; only unishm_close() must be the last use of its handle. None is
 *   a cancellation point. None is async-signal-safe, except that fork(2) may be
 *   called at any time, also in a signal handler that interrupted a call.
 * - The library starts no thread and no process, installs no signal handler,
 *   prints nothing, and never calls exit(3), abort(3) or umask(2).
 * - Every descriptor it opens is close-on-exec. One that the program closed or
 *   replaced is not touched any more; a call that needs it opens it anew, or, if
 *   that cannot be done (the segment was removed, or the process gave up its
 *   rights), fails with -EBADF or -EACCES.
 */
#ifndef UNISHM_H
#define UNISHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* glibc hides key_t from strict C99 and C11; it is X/Open's. */
#if defined(__GLIBC__) && !defined(__key_t_defined)
typedef __key_t key_t;
#define __key_t_defined
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define UNISHM_API __attribute__((visibility("default")))
#else
#define UNISHM_API
#endif

/* The version of this header; unishm_version() is that of the library. */
#define UNISHM_VERSION_MAJOR 0
#define UNISHM_VERSION_MINOR 1
#define UNISHM_VERSION_PATCH 0
#define UNISHM_VERSION "0.1.0"

/* As key: always a new segment, found again only by handle, by fork(2), or by
 * id. The value of IPC_PRIVATE on every Unix. */
#define UNISHM_PRIVATE ((key_t)0)

/* A handle to one segment, in one process and the children it forks. */
struct unishm;

/* ---- Opening and creating ---------------------------------------------- */

/* Flags of struct unishm_options. One that the backend or the system cannot
 * honour is -ENOTSUP, never ignored. */
enum {
	UNISHM_NORESERVE = 1 << 0, /* set no memory aside: a full system then
				      answers with SIGBUS at first touch */
	UNISHM_HUGETLB = 1 << 1,   /* huge pages (System V on Linux) */
	UNISHM_BY_ID = 1 << 2,     /* open the segment that has @id; @key must be
				      UNISHM_PRIVATE, @oflag 0 or O_RDWR */
};

/*
 * unishm_init_fn - fill a segment that no other process can see yet.
 * @addr: the segment's bytes, all zero, writable during the call only.
 * @size: how many.
 * @arg:  what struct unishm_options carried.
 *
 * Called once, in the process that creates the segment, before any other process
 * can open it. The library holds no lock meanwhile: the callback may take long,
 * fork, and use the library on other keys. In a child that it forks, a return from
 * the callback makes the child's unishm_open_with() fail with -ECANCELED; the
 * parent's goes on. Return 0, or a negative errno value: then nothing is created
 * and the open fails so. A callback that is left by longjmp(3), an exception or
 * pthread_exit(3) leaves the segment unfinished; it is removed when the thread
 * ends, or when the thread opens the key again, at the latest as if the process
 * had been killed.
 */
typedef int (*unishm_init_fn)(void *addr, size_t size, void *arg);

/*
 * All choices of unishm_open_with(). Start from UNISHM_OPTIONS_INIT, which
 * fills in @struct_size: that is how the struct can grow without breaking
 * programs built earlier. Everything else is zero by default.
 */
struct unishm_options {
	size_t struct_size;   /* sizeof(struct unishm_options) */
	const char *backend;  /* "sysv", "posix", or NULL: the default */
	key_t key;            /* UNISHM_PRIVATE, or any other value */
	int oflag;            /* 0, O_CREAT, or O_CREAT | O_EXCL */
	size_t size;          /* bytes */
	mode_t mode;          /* permission bits of a new segment, 0 to 0777 */
	unsigned flags;       /* UNISHM_NORESERVE, UNISHM_HUGETLB, UNISHM_BY_ID */
	unishm_init_fn init;  /* NULL: bytes stay zero */
	void *arg;            /* for @init */
	int id;               /* with UNISHM_BY_ID: as unishm_id() tells */
	unsigned wait_ms;     /* how long O_CREAT waits for the init callback of another
				 process, in milliseconds; 0: no limit */
	void **attach;        /* not NULL: attach as well, and put the address there */
	void *attach_at;      /* where; NULL: the first available address */
	int attach_flags;     /* as of unishm_attach(), or unishm_attach_at() */
};

#define UNISHM_OPTIONS_INIT \
	{ sizeof(struct unishm_options), NULL, UNISHM_PRIVATE, 0, 0, 0, 0, NULL, NULL, 0, 0, \
		NULL, NULL, 0 }

/*
 * unishm_open - open or create a segment. Opening does not attach.
 * @seg:   receives the handle; end it with unishm_close().
 * @key:   which segment; UNISHM_PRIVATE always makes a new one.
 * @oflag: 0: it must exist. O_CREAT: make it if it does not.
 *         O_CREAT | O_EXCL: it must not exist. O_RDWR may be added to each and
 *         says nothing. Other bits: -EINVAL.
 * @size:  bytes. A new segment has exactly this size, never rounded, and reads
 *         as zero; 1 or more. For one that exists: the least that will do; 0
 *         takes any.
 * @mode:  permission bits (0777) of a new segment, applied exactly: the umask
 *         is ignored. Its owner is the effective user and group.
 *
 * The backend is the build's default, or what $UNISHM_BACKEND names (ignored in
 * set-id programs). Memory is reserved now, so that a full system is an error
 * here and not a SIGBUS later. Other processes see either no segment or the
 * whole one, however this call is interrupted or killed.
 *
 * Opening needs read permission. With read permission only, the segment can be
 * attached with UNISHM_RDONLY.
 *
 * Return: 0, or
 * -EINVAL  a NULL @seg, an unknown bit in @oflag or @mode, size 0 or beyond the
 *          system's limit for a new segment, @size larger than the existing
 *          segment, or $UNISHM_BACKEND is not built in
 * -ENOENT  no such segment, and no O_CREAT
 * -EEXIST  it exists or is in the making, and O_CREAT | O_EXCL
 * -EINTR   a signal arrived while O_CREAT waited for the init callback of another
 *          process
 * -EACCES  no permission to read it (or to create one here)
 * -ENOSPC  no room: the shared memory file system is full, or SHMMNI/SHMALL is
 *          reached
 * -ENOMEM  not enough memory, or it exists and has more than a 32-bit program can
 *          address
 * -EFBIG   larger than RLIMIT_FSIZE allows (POSIX backend)
 * -EMFILE, -ENFILE  no descriptors left (POSIX backend)
 * -EBADMSG what has the segment's name is not one of ours (POSIX backend)
 * -ENOTSUP made by a newer version of the library (POSIX backend), or a flag
 *          that this backend or system cannot honour
 * -EPERM   UNISHM_HUGETLB without the privilege for it
 */
UNISHM_API int unishm_open(struct unishm **seg, key_t key, int oflag, size_t size, mode_t mode);

/*
 * unishm_open_with - unishm_open() with all choices.
 * @opt: see struct unishm_options; read during the call only.
 *
 * With @attach it does the work of unishm_open_with() and unishm_attach() (with
 * @attach_at: of unishm_attach_at()) for less than the two cost, and fails as they
 * do. When the attachment fails there is no handle; a private segment that this
 * call made is removed. One that it made by a key stays, as after unishm_open():
 * another process may have opened it.
 *
 * Return: as unishm_open(), and with @attach as unishm_attach(); also -EINVAL for a
 * NULL @opt, a @struct_size of no known version, unknown @flags, or a @backend that
 * is not built in; -ETIMEDOUT after @wait_ms; -ECANCELED in a child that @init
 * forked; what @init returned; and with UNISHM_BY_ID as unishm_open_id().
 */
UNISHM_API int unishm_open_with(struct unishm **seg, const struct unishm_options *opt);

/*
 * unishm_open_id - open an existing segment of the default backend by its id.
 * @id: as unishm_id() or a status reported it, in this process or another.
 *
 * Return: as unishm_open(); -EINVAL if @id is negative, -ENOENT if no segment
 * has it or that segment was removed.
 */
UNISHM_API int unishm_open_id(struct unishm **seg, int id);

/*
 * unishm_close - detach what this handle attached, and free it.
 * @seg: NULL does nothing. Must not be used any more, by any thread.
 *
 * The segment lives on until it is removed.
 */
UNISHM_API void unishm_close(struct unishm *seg);

/* ---- Attaching --------------------------------------------------------- */

/* Flags of unishm_attach() and unishm_attach_at(). */
enum {
	UNISHM_RDONLY = 1 << 0,   /* a write then raises SIGSEGV */
	UNISHM_EXEC = 1 << 1,     /* code in it may run; needs execute permission */
	UNISHM_POPULATE = 1 << 2, /* bring all pages in before returning */
	UNISHM_RND = 1 << 3,      /* attach_at: round the address down */
	UNISHM_REMAP = 1 << 4,    /* attach_at: replace what is mapped there */
	UNISHM_THP = 1 << 5,      /* ask for transparent huge pages, and, without an
				     address, begin where such a page can (Linux) */
};

/*
 * unishm_attach - map the segment at the first available address.
 * @flags: UNISHM_RDONLY, UNISHM_EXEC, UNISHM_POPULATE, UNISHM_THP.
 * @addr:  receives the address of the segment's first byte.
 *
 * A segment may be attached several times; each is one attachment, with an
 * address of its own. An attachment belongs to its handle and, after fork(2),
 * to the child's copy of that handle as well. exec(2) and exit end it.
 * Permission is judged now, by the effective user and the segment's mode.
 *
 * Return: 0, or
 * -EINVAL  NULL argument or unknown flag
 * -EACCES  the mode does not grant what @flags ask for
 * -EROFS   to write, where its file system is mounted read-only (POSIX backend)
 * -EIDRM   the segment was removed
 * -ENOMEM  no address space left (RLIMIT_AS, or too many mappings)
 * -ENOTSUP UNISHM_EXEC where shared memory cannot hold code; UNISHM_THP where it gets
 *          no transparent huge pages, or where not even one fits
 * -EBADMSG something cut the object short (POSIX backend)
 * -EPERM   it is another user's, on OpenBSD (POSIX backend)
 * -EMFILE, -ENFILE  no descriptors left (POSIX backend)
 */
UNISHM_API int unishm_attach(struct unishm *seg, int flags, void **addr);

/*
 * unishm_attach_at - map the segment at an address of the caller's.
 * @where: a multiple of the attach granularity (on POSIX the page size; on System
 *         V SHMLBA, which some processors have larger), or any address with
 *         UNISHM_RND, which rounds it down.
 * @flags: those of unishm_attach(), UNISHM_RND, and UNISHM_REMAP: replace
 *         whatever is mapped in the range. An attachment of this process that
 *         is wholly replaced counts as detached.
 *
 * Return: as unishm_attach(); -EINVAL also when @where is NULL, rounds down to
 * NULL, is not aligned, or, without UNISHM_REMAP, anything is mapped in the
 * range: then that is not harmed; and with it, over a part of an attachment of
 * this process (the system would let a detach of the one take the other), or if
 * the library keeps accounts of its own in the range. -ENOMEM when the range lies outside of what
 * the system gives to programs.
 */
UNISHM_API int unishm_attach_at(struct unishm *seg, void *where, int flags, void **addr);

/*
 * unishm_detach - end one attachment of this handle.
 * @addr: as attach returned it; NULL means the only one this handle has.
 *
 * The address range is free again when the call returns.
 *
 * Return: 0, or -EINVAL: NULL @seg, @addr is not the start of an attachment of
 * this handle (or something else unmapped it meanwhile, where the system tells),
 * or NULL was given and there is none or more than one.
 */
UNISHM_API int unishm_detach(struct unishm *seg, const void *addr);

/* ---- Changing and removing --------------------------------------------- */

/*
 * unishm_remove - remove the segment.
 *
 * Its key is free at once. Attached processes keep working until they detach;
 * no handle can attach any more (-EIDRM), not even through open handles. Memory is
 * freed when the last process detaches or ends. Removing again while it lives
 * does nothing and succeeds. Another segment that took the key meanwhile is
 * never touched.
 *
 * Return: 0, -EINVAL (NULL), -EPERM (neither owner, creator nor superuser; the
 * creator only on System V), -EIDRM (it is gone), and on POSIX -EMFILE, -ENFILE,
 * or -EBUSY (another process has held the lock that removers need for some
 * seconds: a remover that stopped, or any other process that may read the object).
 */
UNISHM_API int unishm_remove(struct unishm *seg);

/*
 * unishm_lock, unishm_unlock - keep the segment in RAM, or let it page again.
 *
 * Locks do not count: one unlock, by whoever may, undoes them all. On System V
 * a lock holds until unlock or removal. On POSIX it also ends with the process
 * that locked, or when that one closes its handle; see unishm(7).
 *
 * Return: 0, -EINVAL (NULL), -EPERM (not the owner, or RLIMIT_MEMLOCK is 0 and
 * no privilege), -ENOMEM (larger than RLIMIT_MEMLOCK allows), -EIDRM (it is
 * gone), -ENOTSUP (this system cannot), and on POSIX -EMFILE, -ENFILE.
 */
UNISHM_API int unishm_lock(struct unishm *seg);
UNISHM_API int unishm_unlock(struct unishm *seg);

/*
 * unishm_chmod - change the permission bits. Existing attachments keep working.
 * @mode: 0 to 0777.
 *
 * unishm_chown - change owner and group; -1 leaves one as it is. Giving a
 * segment to another user needs privilege on POSIX.
 *
 * Both update last_change_time.
 *
 * Return: 0, -EINVAL (NULL, bad mode), -EPERM (not the owner), -EIDRM (gone),
 * -ENOTSUP (macOS, POSIX backend: more rights or another owner for an object).
 */
UNISHM_API int unishm_chmod(struct unishm *seg, mode_t mode);
UNISHM_API int unishm_chown(struct unishm *seg, uid_t user, gid_t group);

/* ---- Status ------------------------------------------------------------ */

/* Bits of struct unishm_status.emulated and .inexact, one a field. */
enum {
	UNISHM_EMULATED_NUMBER_ATTACHED = 1 << 0,
	UNISHM_EMULATED_CREATOR_PROCESS = 1 << 1,
	UNISHM_EMULATED_LAST_OP_PROCESS = 1 << 2,
	UNISHM_EMULATED_LAST_ATTACH_TIME = 1 << 3,
	UNISHM_EMULATED_LAST_DETACH_TIME = 1 << 4,
	UNISHM_EMULATED_LAST_CHANGE_TIME = 1 << 5,
	UNISHM_EMULATED_CREATOR_USER = 1 << 6,
	UNISHM_EMULATED_CREATOR_GROUP = 1 << 7,
	UNISHM_EMULATED_KEY = 1 << 8,
	UNISHM_EMULATED_SIZE = 1 << 9,
	UNISHM_EMULATED_ID = 1 << 10,
	UNISHM_EMULATED_LOCKED = 1 << 11,
	UNISHM_EMULATED_REMOVED = 1 << 12,
};

struct unishm_status {
	const char *backend;           /* "sysv" or "posix"; static */
	int id;                        /* not negative; unique among the
					  backend's live segments */
	key_t key;                     /* UNISHM_PRIVATE for a private segment,
					  and once removed */
	size_t size;                   /* bytes, as asked at creation */
	mode_t mode;                   /* permission bits only (0777) */
	unsigned long number_attached; /* attachments of all processes */
	pid_t creator_process;
	pid_t last_op_process;         /* last attach or detach; 0: none yet */
	int64_t last_attach_time;      /* seconds since 1970; 0: never. Not time_t,
					  whose size may differ between a program
					  and the library on 32-bit systems */
	int64_t last_detach_time;
	int64_t last_change_time;
	uid_t creator_user;
	uid_t owner_user;
	gid_t creator_group;
	gid_t owner_group;
	bool locked;                   /* some lock holds now */
	bool removed;                  /* removed, and still attached */
	unsigned emulated;             /* UNISHM_EMULATED_*: kept by the library,
					  since this backend's kernel interface
					  does not */
	unsigned inexact;              /* of those, what may be off now: see
					  unishm(7) */
	uint64_t reserved[6];          /* 0: for what later versions tell */
};

/*
 * unishm_status - ask for everything about a segment.
 * @st: filled in on success.
 *
 * Return: 0, -EINVAL (NULL), -EACCES (no read permission any more), -EIDRM (it
 * was removed and the last process has detached).
 */
UNISHM_API int unishm_status(struct unishm *seg, struct unishm_status *st);

/*
 * unishm_list - visit the segments of a backend that this process may read.
 * @backend: by name, or NULL: the default.
 * @visit:   called for each, in no particular order; may use the library. A
 *           non-zero return ends the listing and is returned.
 * @arg:     passed to @visit.
 *
 * Segments that come or go meanwhile may be visited or not. Removed segments
 * that are still attached have no name on POSIX and are not visited there.
 *
 * Return: 0, what @visit returned, -EINVAL (NULL @visit, unknown @backend),
 * -ENOTSUP (this system does not tell), -ENOMEM, -EMFILE, -ENFILE.
 */
UNISHM_API int unishm_list(const char *backend,
		int (*visit)(const struct unishm_status *st, void *arg), void *arg);

/* Flags of unishm_sweep(). */
enum {
	UNISHM_SWEEP_DRY = 1 << 0, /* visit only; remove nothing */
};

/*
 * unishm_sweep - remove what makers of segments left unfinished when they died.
 * @backend: by name, or NULL: the default.
 * @flags:   0 or UNISHM_SWEEP_DRY.
 * @visit:   called for each before it is removed; NULL: none. A non-zero return
 *           keeps it, ends the sweep and is returned.
 * @arg:     passed to @visit.
 *
 * Touches nothing but unfinished work of this library whose maker is proved to be
 * dead. No program has to call it: a creator of the same key removes such a rest as
 * well. Those of other users need privilege; they are visited, and stay.
 *
 * Return: 0, what @visit returned, -EINVAL (unknown @backend or @flags), -ENOTSUP
 * (this system does not tell), -ENOMEM, -EMFILE, -ENFILE.
 */
UNISHM_API int unishm_sweep(const char *backend, int flags,
		int (*visit)(const struct unishm_status *st, void *arg), void *arg);

/*
 * unishm_print - write a status as people read it.
 *
 * One "name: value" a line: size, number_attached, creator_process,
 * last_op_process, last_attach_time, last_detach_time, last_change_time,
 * creator_user, creator_group, owner_user, owner_group, mode, key, and then the
 * rest. Times are local, or "never"; users and groups by name with the number.
 *
 * Return: 0, -EINVAL (NULL), or the stream's write error.
 */
UNISHM_API int unishm_print(FILE *out, const struct unishm_status *st);

/* Facts of an open handle. They never change and cost no system call. For NULL:
 * 0, UNISHM_PRIVATE, -1, NULL, false. unishm_created() says whether this handle
 * made the segment; the key is the one it was opened by, also once removed. */
UNISHM_API size_t unishm_size(const struct unishm *seg);
UNISHM_API key_t unishm_key(const struct unishm *seg);
UNISHM_API int unishm_id(const struct unishm *seg);
UNISHM_API const char *unishm_backend(const struct unishm *seg);
UNISHM_API bool unishm_created(const struct unishm *seg);

/* ---- Keys and the library ---------------------------------------------- */

/*
 * unishm_key_from_path - a key from a file that exists, and a number.
 * @path:    any spelling; symbolic links are followed, so that all names of a
 *           place give one key.
 * @project: tells several segments of one file apart.
 *
 * The key depends on the file's absolute path and @project alone (unlike
 * ftok(3), which mixes a few bits of device and inode).
 *
 * Return: the key; -1 if @path is NULL or cannot be resolved (unishm_errmsg()
 * says why).
 */
UNISHM_API key_t unishm_key_from_path(const char *path, int project);

/*
 * unishm_key_from_name - a key from any string.
 *
 * Return: the key, never UNISHM_PRIVATE nor -1. NULL counts as "". The same on
 * every machine, byte order and word size.
 */
UNISHM_API key_t unishm_key_from_name(const char *name);

/* The names of what is built in, the default first; ends with NULL. Static. */
UNISHM_API const char *const *unishm_backends(void);

/* The library's version, "major.minor.patch". Static. */
UNISHM_API const char *unishm_version(void);

/* One sentence on the last call that failed in this thread, or "". Valid until
 * the next failure in this thread. */
UNISHM_API const char *unishm_errmsg(void);

#ifdef __cplusplus
}
#endif

#endif
