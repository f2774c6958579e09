/* SPDX-License-Identifier: MIT */
#include "shim.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fork.h"
#include "own.h"

/* Not those that an instruction raises, for the kernel would end the process; nor those by which
 * the C library speaks to its threads. */
static void make_set(struct shim_signals *set)
{
	static const int left_out[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS,
		32, 33, 34 };
	enum { BITS = 8 * sizeof *set->words };
	memset(set, 0xff, sizeof *set);
	for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
		set->words[(left_out[i] - 1) / BITS] &= ~(1UL << (left_out[i] - 1) % BITS);
}

/* By the system call: the C library's function takes as long again. */
static void block_signals(struct shim_call *call)
{
	struct shim_signals blocked;
	make_set(&blocked);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &blocked, &call->mask, sizeof blocked);
}

static void restore_signals(const struct shim_call *call)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &call->mask, NULL, sizeof call->mask);
}

/* A call of the library may be under way that does not hold forks just now: it has noted how the
 * program wants to be cancelled, and that stays. */
static void begin_outer(struct shim_call *call)
{
	call->state = unishm_own.callers.state;
	call->type = unishm_own.callers.type;
	block_signals(call);
	unishm_begin();
}

static void end_outer(const struct shim_call *call)
{
	unishm_end(0);
	unishm_own.callers.state = call->state;
	unishm_own.callers.type = call->type;
	restore_signals(call);
}

static void begin_inner(struct shim_call *call)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &call->state);
}

static void end_inner(const struct shim_call *call)
{
	int ours;
	pthread_setcancelstate(call->state, &ours);
}

/* What the library calls from within its own calls is a part of those, but for cancellation: the
 * System V backend counts on calls that are no points of that. */
int ushs_begin(struct shim_call *call)
{
	call->inner = unishm_holds_forks();
	call->mute = unishm_own.mute;
	(call->inner ? begin_inner : begin_outer)(call);
	int rc = unishm_hold_forks();
	if (rc == 0)
		unishm_own.mute = true;
	else
		(call->inner ? end_inner : end_outer)(call);
	return rc;
}

void ushs_end(const struct shim_call *call)
{
	unishm_own.mute = call->mute;
	unishm_release_forks();
	(call->inner ? end_inner : end_outer)(call);
}
