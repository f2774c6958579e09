/* SPDX-License-Identifier: MIT */
/*
 * The threads that call the library.
 *
 * Each thread has a record, in which only the thread itself writes whether it holds forks. A fork
 * reads all records. A word that only its own thread stores is right at every instruction, also for
 * a signal handler that interrupts the thread and forks, and in the child; a common counter would
 * not be. Records are reused and never freed, since a fork may read one at any time.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>

#include "core.h"
#include "own.h"
#include "sys.h"

static struct unishm_thread *_Atomic threads;
static pthread_key_t at_end;
static void (*before_end)(void); /* what else the end of a thread means */

/* For threads that have no record for want of memory: one thread at a time uses it, until it holds
 * no forks any more. Threads that wait for it hold nothing. */
static struct unishm_thread spare = { .lent = true };

static bool take(struct unishm_thread *thread)
{
	uintptr_t none = 0, me = unishm_token_of(&unishm_own);
	return atomic_compare_exchange_strong(&thread->owner, &none, me);
}

static void list(struct unishm_thread *thread)
{
	thread->next = atomic_load(&threads);
	while (!atomic_compare_exchange_weak(&threads, &thread->next, thread))
		;
}

static struct unishm_thread *find_record(void)
{
	for (struct unishm_thread *thread = atomic_load(&threads); thread; thread = thread->next)
		if (thread != &spare && atomic_load(&thread->owner) == 0 && take(thread))
			return thread;
	struct unishm_thread *fresh = unishm_sys.calloc(1, sizeof *fresh);
	if (fresh) {
		atomic_init(&fresh->owner, unishm_token_of(&unishm_own));
		list(fresh);
		return fresh;
	}
	while (!take(&spare))
		sched_yield();
	return &spare;
}

struct unishm_thread *unishm_this_thread(void)
{
	struct unishm_own *own = &unishm_own;
	if (__builtin_expect(!own->record, 0)) {
		own->record = find_record();
		if (own->record != &spare)
			pthread_setspecific(at_end, own->record); /* if it fails, the record is
								     never used again */
	}
	return own->record;
}

struct unishm_thread *unishm_known_thread(void)
{
	return unishm_own.record;
}

void unishm_thread_rests(void)
{
	struct unishm_own *own = &unishm_own;
	if (__builtin_expect(own->record == &spare, 0)) {
		own->record = NULL;
		atomic_store(&spare.owner, 0);
	}
}

struct unishm_thread *unishm_threads(void)
{
	return atomic_load(&threads);
}

void unishm_forget_threads(void)
{
	for (struct unishm_thread *thread = atomic_load(&threads); thread; thread = thread->next) {
		if (atomic_load(&thread->owner) == unishm_token_of(&unishm_own))
			continue;
		atomic_store(&thread->inside, 0);
		atomic_store(&thread->queued, false);
		atomic_store(&thread->owner, 0);
	}
}

/* Other destructors may call the library after this one: then there is a record again, and the
 * system runs this once more. */
static void thread_ends(void *mine)
{
	struct unishm_thread *thread = mine;
	unishm_begin();
	before_end();
	unishm_own.record = NULL;
	atomic_store(&thread->owner, 0);
	unishm_end(0);
}

int unishm_set_up_threads(void (*at_its_end)(void))
{
	before_end = at_its_end;
	list(&spare);
	return -pthread_key_create(&at_end, thread_ends);
}

/* ---- Signals --------------------------------------------------------------- */

/* From the first pause of a call to its end, or to a callback, signal handlers run in pauses only.
 * Otherwise the call would not notice a handler that runs between two pauses, and would go on
 * waiting. */
static _Thread_local sigset_t callers_signals;

const sigset_t *unishm_keep_signals_to_pauses(void)
{
	/* Signals that an instruction raises are not blocked: the kernel would end the process. */
	static const int raised[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	sigset_t kept;
	if (unishm_own.pausing)
		return &callers_signals;
	sigfillset(&kept);
	for (size_t i = 0; i < sizeof raised / sizeof *raised; i++)
		sigdelset(&kept, raised[i]);
	unishm_own.pausing = pthread_sigmask(SIG_BLOCK, &kept, &callers_signals) == 0;
	return &callers_signals;
}

static void end_pauses(struct unishm_own *own)
{
	own->pausing = false;
	pthread_sigmask(SIG_SETMASK, &callers_signals, NULL);
}

/* ---- Cancellation -------------------------------------------------------- */

/* The type is set as well, for glibc (seen with 2.36): a request that is on its way to a thread
 * whose type is asynchronous ends it although the state says no meanwhile. A callback may have
 * changed both, and calls that it made have noted theirs, so they are noted each time. */
static void forbid_cancel(struct unishm_own *own)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &own->callers.state);
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &own->callers.type);
}

void unishm_begin(void)
{
	struct unishm_own *own = &unishm_own;
	own->why_for = 0;
	forbid_cancel(own);
}

int unishm_end(int rc)
{
	unishm_let_cancel();
	return rc;
}

/* The type last: musl (seen with 1.2.3) forgets a request that came while the state said no, until
 * the next cancellation point, unless the type becomes asynchronous later. */
void unishm_let_cancel(void)
{
	int ours;
	struct unishm_own *own = &unishm_own;
	if (__builtin_expect(own->pausing, 0))
		end_pauses(own);
	pthread_setcancelstate(own->callers.state, &ours);
	pthread_setcanceltype(own->callers.type, &ours);
}

void unishm_forbid_cancel(void)
{
	forbid_cancel(&unishm_own);
}
