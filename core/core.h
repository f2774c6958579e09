/* SPDX-License-Identifier: MIT */
/* Internal declarations, shared by the files of core/. */
#ifndef UNISHM_CORE_H
#define UNISHM_CORE_H

#include <signal.h>
#include <stdatomic.h>

#include "backend.h"

/* ---- error.c ------------------------------------------------------------ */

/* Whether unishm_because() has told why the call in progress fails with @rc. */
bool unishm_has_reason(int rc);

/* Compose unishm_errmsg() for a call that fails with @rc: "cannot @what". Takes
 * the reason that unishm_because() left for @rc, else one for the errno alone.
 * Returns @rc. */
int unishm_fail(int rc, const char *what, ...) __attribute__((format(printf, 2, 3)));

/* Which segment, in a message: "the posix segment with key 0x0000000a". */
struct unishm_label {
	char text[64];
};
struct unishm_label unishm_label_key(const struct unishm_backend *backend, key_t key);
struct unishm_label unishm_label_of(const struct unishm *seg);

/* ---- registry.c --------------------------------------------------------- */

/* The backend called @name; NULL: the default, or what $UNISHM_BACKEND says.
 * -EINVAL if it is not built in. */
int unishm_find_backend(const char *name, const struct unishm_backend **backend);

/* ---- thread.c ----------------------------------------------------------- */

/* Around every public call that does more than read memory: reasons of earlier calls are forgotten,
 * and cancellation is disabled. unishm_end() returns @rc. */
void unishm_begin(void);
int unishm_end(int rc);

/* Around the program's code within a call: the caller's cancel state and signals. */
void unishm_let_cancel(void);
void unishm_forbid_cancel(void);

/* What other threads need to know of a thread that calls the library. */
struct unishm_thread {
	struct unishm_thread *next;
	_Atomic(uintptr_t) owner; /* its token; 0: free for a new thread */
	atomic_uint inside;       /* holds of forks; only the thread itself writes */
	atomic_bool queued;       /* waits for a fork to end */
	bool lent;                /* to be given back when its thread holds no forks */
	unsigned char apart[96];  /* from the next one, which another processor writes */
};

/* Of this thread; never NULL. Call it with cancellation disabled. */
struct unishm_thread *unishm_this_thread(void);

/* The same, or NULL if this thread has called nothing yet. */
struct unishm_thread *unishm_known_thread(void);

/* This thread holds no forks any more: release the record that threads without memory share. */
void unishm_thread_rests(void);

/* All threads, by next. */
struct unishm_thread *unishm_threads(void);

/* In a new child: forget all threads but this one. */
void unishm_forget_threads(void);

/* From here to the end of the call, or to a callback, signal handlers of this thread run in
 * pauses only. Returns the mask for those. */
const sigset_t *unishm_keep_signals_to_pauses(void);

/* 0, or why threads cannot be told apart: the system has no more keys. @at_its_end is called at
 * the end of each thread that called the library. */
int unishm_set_up_threads(void (*at_its_end)(void));

/* ---- gate.c ------------------------------------------------------------- */

/* Take back all holds of this thread and return how many; hold them again. */
unsigned unishm_release_all_forks(void);
void unishm_hold_forks_again(unsigned holds);

/* Why a call must take the slow path at its beginning and end; 0: no reason. */
enum {
	UNISHM_SIGN_NOT_SET_UP = 1,
	UNISHM_SIGN_CLOSED = 2, /* a fork is under way */
	/* The handles have not been told yet of a fork: */
	UNISHM_SIGN_MISSED_AS_PARENT = 4, /* this process forked */
	UNISHM_SIGN_MISSED_AS_CHILD = 8,  /* this process is the child */
};
extern atomic_uint unishm_gate_signs __attribute__((visibility("hidden")));

/* The slow path of unishm_hold(), after this thread was marked as holding forks. */
void unishm_pass_gate(void);

/* This thread holds no forks any more, and a fork may wait for that. */
void unishm_announce_departure(void);

/* Whether a signal handler forked this process while this thread held forks, as it still does. */
bool unishm_missed_as_child(void);

/* ---- handles.c ---------------------------------------------------------- */

/* Register a handle, so that forks see to it; take it out again. Forks are held. */
void unishm_register(struct unishm *seg);
void unishm_unregister(struct unishm *seg);

/* A fork happened that the handle was not prepared for: tell its backend. The handle is locked. */
void unishm_tell_handle(struct unishm *seg);

/* Hold forks and lock all handles of the process that are @beneath, or all that are not, for a call
 * that may touch any of them: -ENOMEM, or 0 and the first. enter.h has the same for one handle. */
int unishm_enter_all(bool beneath, struct unishm **all);
void unishm_leave_all(bool beneath);

/* Around a member of the backend that uses the segment of @seg: see core/backend.h. */
static inline int unishm_ready(struct unishm *seg)
{
	return seg->backend->ready ? seg->backend->ready(seg) : 0;
}

static inline void unishm_settle(struct unishm *seg)
{
	if (seg->backend->settle)
		seg->backend->settle(seg);
}

/* Free the memory of a handle, which is not registered. */
void unishm_free_handle(struct unishm *seg);

/* The handle after @seg, of all there are, while no other thread can change the lists; the first
 * one if @seg is NULL. */
struct unishm *unishm_next_handle(const struct unishm *seg);

/* For each handle, tell its backend of a fork that it was not prepared for. Forks are held. */
void unishm_tell_missed(bool in_child);

/* In a new child: free what other threads had locked. @missed: nothing was prepared,
 * and this thread may be at a call of its own. */
void unishm_renew_handles(bool missed);

/* ---- segment.c and attachment.c, for the shim ---------------------------- */

/* Have @open fill in a new handle that is beneath those of the program. Forks are held. */
int unishm_open_beneath(struct unishm **seg, const struct unishm_backend *backend,
		int (*open)(struct unishm *seg, void *arg), void *arg);

/* As their public namesakes, within a call: @where is NULL, or as unishm_attach_at() has it. */
void unishm_close_beneath(struct unishm *seg);
int unishm_attach_beneath(struct unishm *seg, void *where, int flags, void **addr);
int unishm_detach_beneath(struct unishm *seg, const void *addr);

/* What other handles beneath had attached where @seg was attached last, the program has taken away
 * by itself: count it out. */
void unishm_drop_displaced(struct unishm *seg);

/* ---- attachment.c ------------------------------------------------------- */

/* Whether unishm_attach() knows all @flags, or unishm_attach_at(), if @placed. */
int unishm_check_attach_flags(int flags, bool placed);

/* unishm_attach() for a handle that this call has opened, and which is locked; unishm_attach_at().
 * Both give a reason, and no sentence. */
int unishm_attach_opened(struct unishm *seg, int flags, void **addr);
int unishm_attach_placed(struct unishm *seg, void *where, int flags, void **addr);

/* ---- callback.c --------------------------------------------------------- */

/* This thread uses @key. If it left an init callback for @key by a jump, undo what that open had
 * made. Forks are held. */
void unishm_abandon_key(const struct unishm_backend *backend, key_t key);

/* This thread ends. */
void unishm_abandon_all(void);

/* In a new child: all segments that are being filled are the parent's. */
void unishm_leave_makings(void);

/* The return value of unishm_open(), from that of the backend. */
int unishm_answer_of_open(int rc);

/* Call @visit, for a call that does not hold forks. */
int unishm_call_visit(int (*visit)(const struct unishm_status *, void *),
		const struct unishm_status *st, void *arg);

/* ---- fork.c ------------------------------------------------------------- */

/* When the library is loaded. If it fails, unishm_hold_forks() says so. */
void unishm_set_up(void);

#endif
