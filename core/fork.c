/* SPDX-License-Identifier: MIT */
/* The handlers that run before and after a fork. gate.c keeps them apart from calls. */
#include <errno.h>

#include "core.h"
#include "fork.h"
#include "mapping.h"

/* ---- Around a fork ------------------------------------------------------- */

#define EACH_HANDLE(member, arguments)                                     \
	do {                                                               \
		for (struct unishm *seg_ = unishm_next_handle(NULL); seg_; \
				seg_ = unishm_next_handle(seg_))           \
			if (seg_->backend->member)                         \
				seg_->backend->member arguments;           \
	} while (0)

static void prepare(void)
{
	int state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	bool interrupted = unishm_holds_forks();
	if (unishm_own.fork.depth++ == 0) {
		unishm_own.fork.has_turn = unishm_close_gate(interrupted);
		unishm_own.fork.prepared = !interrupted;
		if (unishm_own.fork.prepared)
			EACH_HANDLE(fork_prepare, (seg_));
	}
	pthread_setcancelstate(state, &state);
	unishm_own.fork.saved_errno = errno;
	errno = 0; /* these handlers are next to the system call, which sets it when it fails */
}

static void end_fork(void)
{
	unishm_own.fork.prepared = unishm_own.fork.in_child = false;
	if (unishm_own.fork.has_turn) {
		unishm_own.fork.has_turn = false;
		unishm_open_gate();
	}
}

static void parent(void)
{
	int state;
	bool failed = errno != 0;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	bool outermost = --unishm_own.fork.depth == 0;
	if (outermost && unishm_own.fork.prepared)
		EACH_HANDLE(fork_parent, (seg_, failed));
	else
		unishm_note_missed();
	if (outermost)
		end_fork();
	pthread_setcancelstate(state, &state);
	if (!failed)
		errno = unishm_own.fork.saved_errno;
}

/* If the fork happened in a signal handler that interrupted a call, the handle of that call keeps
 * what the call may use. It is shed once more when the call ends. */
static void shed(void)
{
	for (struct unishm *seg = unishm_next_handle(NULL); seg; seg = unishm_next_handle(seg))
		if (seg->backend->fork_shed)
			seg->backend->fork_shed(seg, seg->shed_late);
}

/* This process has one thread, so no other one can interfere. After an unprepared fork, locks of
 * the parent's other threads are freed here; what these threads were doing is lost, as always in
 * such a child. */
static void set_right_in_child(void)
{
	bool prepared = unishm_own.fork.prepared && unishm_own.fork.depth == 1;
	unishm_renew_process();
	unishm_own.fork.in_child = unishm_own.fork.depth > 0;
	unishm_forget_threads();
	unishm_mutex_renew_all();
	unishm_renew_handles(!prepared);
	unishm_renew_gate(prepared);
	unishm_mapping_forget();
	unishm_leave_makings();
	shed();
	if (prepared)
		EACH_HANDLE(fork_child, (seg_));
}

static void child(void)
{
	int state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (!unishm_own.fork.in_child)
		set_right_in_child();
	if (--unishm_own.fork.depth == 0)
		end_fork();
	pthread_setcancelstate(state, &state);
}

/* ---- Setting up ---------------------------------------------------------- */

void unishm_set_up(void)
{
	if (unishm_set_up_process(set_right_in_child) == 0 &&
			unishm_set_up_threads(unishm_abandon_all) == 0 &&
			pthread_atfork(prepare, parent, child) == 0)
		unishm_set_up_gate(unishm_tell_missed);
}
