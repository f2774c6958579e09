/* SPDX-License-Identifier: MIT */
/*
 * The threads that call the library.
 *
 * Each has a record, in which it alone writes whether it holds forks; a fork reads them all.
 * One word that its own thread stores is right at every instruction, also for a signal handler
 * that interrupts the thread and forks, and in the child; a common counter would not be. Records
 * are used again, and never freed: a fork may read one at any time.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>

#include "core.h"
#include "sys.h"

static struct unishm_thread *_Atomic threads;
static pthread_key_t at_end;
static void (*before_end)(void); /* what else the end of a thread means */

/* For threads that cannot have a record since there is no memory: one at a time, until it holds
 * no forks any more. Whoever waits for it holds nothing. */
static struct unishm_thread spare;

static _Thread_local struct unishm_thread *record;
static _Thread_local struct {
	int state, type;
	bool calling; /* of the thread itself: whether it is at a call */
} callers;

static bool take(struct unishm_thread *thread)
{
	uintptr_t nobody = 0;
	return atomic_compare_exchange_strong(&thread->owner, &nobody, unishm_thread_token());
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
		atomic_init(&fresh->owner, unishm_thread_token());
		list(fresh);
		return fresh;
	}
	while (!take(&spare))
		sched_yield();
	return &spare;
}

struct unishm_thread *unishm_this_thread(void)
{
	if (__builtin_expect(!record, 0)) {
		record = find_record();
		if (record != &spare)
			pthread_setspecific(at_end, record); /* if it fails, the record is never
								used again */
	}
	return record;
}

struct unishm_thread *unishm_known_thread(void)
{
	return record;
}

void unishm_thread_rests(void)
{
	if (__builtin_expect(record == &spare, 0)) {
		record = NULL;
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
		if (atomic_load(&thread->owner) == unishm_thread_token())
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
	record = NULL;
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

/* From the first pause of a call to its end, or to a callback, signal handlers run in pauses only:
 * else one that runs between two of them would go unnoticed, and the wait would not end. */
static _Thread_local struct {
	bool pausing;
	sigset_t callers;
} signals;

const sigset_t *unishm_keep_signals_to_pauses(void)
{
	/* Not those that an instruction raises: the kernel would end the process. */
	static const int raised[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	sigset_t kept;
	if (signals.pausing)
		return &signals.callers;
	sigfillset(&kept);
	for (size_t i = 0; i < sizeof raised / sizeof *raised; i++)
		sigdelset(&kept, raised[i]);
	signals.pausing = pthread_sigmask(SIG_BLOCK, &kept, &signals.callers) == 0;
	return &signals.callers;
}

static void end_pauses(void)
{
	if (!signals.pausing)
		return;
	signals.pausing = false;
	pthread_sigmask(SIG_SETMASK, &signals.callers, NULL);
}

/* ---- Cancellation -------------------------------------------------------- */

void unishm_begin(void)
{
	unishm_forbid_cancel();
	unishm_forget_reason();
}

int unishm_end(int rc)
{
	unishm_let_cancel();
	return rc;
}

void unishm_let_cancel(void)
{
	int ours;
	end_pauses();
	callers.calling = false;
	pthread_setcanceltype(callers.type, &ours);
	pthread_setcancelstate(callers.state, &ours);
}

/* The type is set as well, for glibc (seen with 2.36): a request that is on its way to a thread
 * whose type is asynchronous ends it although the state says no meanwhile. A callback may have
 * changed both, and calls that it made have noted theirs, so they are noted each time. */
void unishm_forbid_cancel(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &callers.state);
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &callers.type);
	callers.calling = true;
}

bool unishm_is_calling(void)
{
	return callers.calling;
}
