/* SPDX-License-Identifier: MIT */
/*
 * The fast path at the beginning and end of a call: there is no fork, no other thread uses the
 * handle, and this is no new child. Other cases are detected here and handled in gate.c, lock.c and
 * handles.c. All of it is inline, since each call of the library passes here twice.
 *
 * As long as the process has one thread, only its signal handlers can interrupt this. For these the
 * order of instructions is enough. Atomic instructions and the cancellation type only matter with
 * other threads.
 */
#ifndef UNISHM_CORE_ENTER_H
#define UNISHM_CORE_ENTER_H

#include "core.h"
#include "os.h"
#include "own.h"

/* ---- Forks --------------------------------------------------------------- */

static inline void unishm_set_inside(struct unishm_thread *record, unsigned holds)
{
	if (unishm_os_has_one_thread())
		atomic_store_explicit(&record->inside, holds, memory_order_relaxed);
	else
		atomic_store(&record->inside, holds);
	atomic_signal_fence(memory_order_seq_cst);
}

/* unishm_hold_forks(), and unishm_release_forks() after it. Either this thread sees that the gate
 * is closed, or the fork sees that this thread holds forks. */
static inline int unishm_hold(const struct unishm_own *own)
{
	struct unishm_thread *record = own->record;
	if (__builtin_expect(!record, 0) || !unishm_is_no_new_child(own) ||
			atomic_load_explicit(&record->inside, memory_order_relaxed))
		return unishm_hold_forks();
	unishm_set_inside(record, 1);
	if (__builtin_expect(atomic_load(&unishm_gate_signs), 0))
		unishm_pass_gate();
	return 0;
}

static inline void unishm_release(const struct unishm_own *own)
{
	struct unishm_thread *record = own->record;
	unsigned holds = atomic_load_explicit(&record->inside, memory_order_relaxed);
	if (__builtin_expect(holds != 1 || record->lent, 0) || !unishm_is_no_new_child(own) ||
			atomic_load_explicit(&unishm_gate_signs, memory_order_relaxed)) {
		unishm_release_forks();
		return;
	}
	unishm_set_inside(record, 0);
	if (__builtin_expect(atomic_load(&unishm_gate_signs), 0))
		unishm_announce_departure();
}

/* ---- Locks ----------------------------------------------------------------- */

/* unishm_mutex_try() for a mutex that needs not be listed. Locking and naming the owner are one
 * step, so that a signal finds both or neither. A signal handler between the load and the store has
 * released the mutex again if it took it. */
static inline bool unishm_mutex_try_by(const struct unishm_own *own, struct unishm_mutex *mutex)
{
	uintptr_t none = 0, me = unishm_token_of(own);
	if (!unishm_os_has_one_thread())
		return atomic_compare_exchange_strong_explicit(&mutex->owner, &none, me,
				memory_order_acquire, memory_order_relaxed);
	bool is_free = !atomic_load_explicit(&mutex->owner, memory_order_relaxed);
	if (is_free)
		atomic_store_explicit(&mutex->owner, me, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	return is_free;
}

/* The former owner, and whether others wait. */
static inline uintptr_t unishm_mutex_free(struct unishm_mutex *mutex)
{
	if (!unishm_os_has_one_thread())
		return atomic_exchange(&mutex->owner, 0);
	atomic_signal_fence(memory_order_seq_cst);
	uintptr_t owner = atomic_load_explicit(&mutex->owner, memory_order_relaxed);
	atomic_store_explicit(&mutex->owner, 0, memory_order_relaxed);
	return owner;
}

/* ---- The lock of a handle ------------------------------------------------- */

static inline void unishm_lock_handle(const struct unishm_own *own, struct unishm *seg)
{
	if (__builtin_expect(!unishm_mutex_try_by(own, &seg->lock), 0))
		unishm_mutex_lock(&seg->lock);
	if (__builtin_expect(seg->missed, 0))
		unishm_tell_handle(seg);
}

static inline void unishm_unlock_handle(struct unishm *seg)
{
	if (__builtin_expect(unishm_mutex_free(&seg->lock) & UNISHM_MUTEX_WAITED, 0))
		unishm_mutex_wake(&seg->lock);
}

static inline int unishm_enter(const struct unishm_own *own, struct unishm *seg)
{
	int rc = unishm_hold(own);
	if (rc == 0)
		unishm_lock_handle(own, seg);
	return rc;
}

static inline void unishm_leave(const struct unishm_own *own, struct unishm *seg)
{
	unishm_unlock_handle(seg);
	unishm_release(own);
}

/* ---- A public call about a handle ----------------------------------------- */

/* What unishm_end_call() has to restore. */
struct unishm_call {
	struct unishm_own *own;
	enum { UNISHM_KEPT_NOTHING, UNISHM_KEPT_TYPE, UNISHM_KEPT_ALL } kept;
	int type;
};

/* unishm_begin() and unishm_end() for a call that runs no code of the program. Where the backend
 * has no cancellation point in it, only asynchronous cancellation, by another thread, matters. */
static inline struct unishm_call unishm_begin_call(const struct unishm *seg)
{
	struct unishm_call call = { &unishm_own, UNISHM_KEPT_NOTHING, 0 };
	call.own->why_for = 0;
	if (!seg || !seg->backend->no_cancellation_points) {
		unishm_forbid_cancel();
		call.kept = UNISHM_KEPT_ALL;
	} else if (!unishm_os_has_one_thread()) {
		pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &call.type);
		call.kept = UNISHM_KEPT_TYPE;
	}
	return call;
}

static inline int unishm_end_call(const struct unishm_call *call, int rc)
{
	int ours;
	if (call->kept == UNISHM_KEPT_ALL)
		return unishm_end(rc);
	if (call->kept == UNISHM_KEPT_TYPE)
		pthread_setcanceltype(call->type, &ours);
	return rc;
}

/* The body of a public call: run @act, which is about @seg, with the handle locked. */
#define UNISHM_LOCKED(seg, words, act)                                                 \
	do {                                                                           \
		struct unishm_call call_ = unishm_begin_call(seg);                     \
		int rc_ = (seg) ? unishm_enter(call_.own, seg) : -EINVAL;              \
		if (rc_ == 0) {                                                        \
			rc_ = (act);                                                   \
			unishm_settle(seg);                                            \
			unishm_leave(call_.own, seg);                                  \
		}                                                                      \
		if (!(seg))                                                            \
			unishm_fail(unishm_because(rc_, "the handle is NULL"), words); \
		else if (__builtin_expect(rc_ < 0, 0))                                 \
			unishm_fail(rc_, words " %s", unishm_label_of(seg).text);      \
		return unishm_end_call(&call_, rc_);                                   \
	} while (0)

#endif
