/* SPDX-License-Identifier: MIT */
/*
 * Forks and calls keep out of each other's way here.
 *
 * A call holds forks while it has something that a child must not find half done: a lock, a
 * descriptor or memory that is in no registered handle. A fork closes the gate, waits until no
 * thread holds forks, and opens it again afterwards; calls that come meanwhile wait before they
 * hold anything. So a fork takes no lock of a handle, and waits for short steps only. Calls that
 * waited for one fork get in before the next closes the gate, so neither side starves.
 *
 * Order: gate.turn, then (all of them while forks are held) the list of handles, handles, and
 * the locks of backends.
 *
 * The exception is a fork in a signal handler that interrupted a call in the same thread. That
 * call holds forks and perhaps locks, and other threads may wait for those: the fork waits for
 * them for a moment only, and handles go through it unprepared (fork_missed).
 */
#include <errno.h>
#include <unistd.h>

#include "core.h"
#include "mapping.h"
#include "os.h"

enum { MOMENT_MS = 1, LONG_MS = 1000, TRIES = 20, MOST_TRIES = 100 };

static struct {
	struct unishm_mutex turn; /* one fork at a time */
	atomic_bool closed;       /* by the owner of @turn */
	atomic_uint departures;   /* changes when a thread lets go of forks */
	atomic_uint openings;     /* changes when the gate opens */
} gate = { .turn = UNISHM_MUTEX_INIT };

static atomic_bool is_set_up;
static pid_t own_pid;
static volatile unsigned char *canary;

/* Who went through a fork unprepared, and has not been told. */
enum { MISSED_AS_PARENT = 1, MISSED_AS_CHILD = 2 };
static atomic_uint missed;

/* The fork that this thread is at, from the handler before it to the one after it. */
static _Thread_local struct {
	unsigned depth;  /* more than 1: a handler of the program forks */
	bool has_turn;   /* and the gate is closed */
	bool prepared;   /* fork_prepare ran */
	int saved_errno; /* of the program, before fork() */
	bool in_child;   /* this is the child, and is set right */
} own;

/* ---- The gate ------------------------------------------------------------ */

static bool others(bool (*are)(struct unishm_thread *))
{
	const struct unishm_thread *self = unishm_known_thread();
	for (struct unishm_thread *at = unishm_threads(); at; at = at->next)
		if (at != self && are(at))
			return true;
	return false;
}

static bool is_inside(struct unishm_thread *thread)
{
	return atomic_load(&thread->inside);
}

static bool is_queued(struct unishm_thread *thread)
{
	return atomic_load(&thread->queued);
}

/* Wait until no other thread is so, or for @tries moments; 0: without a limit. */
static void await_others(bool (*are)(struct unishm_thread *), unsigned tries)
{
	for (unsigned i = 0; tries == 0 || i < tries; i++) {
		unsigned seen = atomic_load(&gate.departures);
		if (!others(are))
			return;
		unishm_os_wait(&gate.departures, seen, MOMENT_MS);
	}
}

static bool take_turn(unsigned tries)
{
	static atomic_uint never;
	if (tries == 0)
		unishm_mutex_lock(&gate.turn);
	for (unsigned i = 0; i < tries; i++) {
		if (unishm_mutex_try(&gate.turn))
			return true;
		unishm_os_wait(&never, 0, MOMENT_MS);
	}
	return tries == 0;
}

/* With a limit of @tries, threads may still be inside, or it is not closed at all (false). */
static bool close_gate(unsigned tries)
{
	struct unishm_thread *self = unishm_known_thread();
	if (self)
		atomic_store(&self->queued, false); /* or the fork before us would wait for us */
	if (!take_turn(tries))
		return false;
	/* Not for ever: a handler of a signal may have interrupted one that is queued. */
	await_others(is_queued, tries ? tries : MOST_TRIES);
	atomic_store(&gate.closed, true);
	await_others(is_inside, tries);
	return true;
}

static void open_gate(void)
{
	atomic_store(&gate.closed, false);
	atomic_fetch_add(&gate.openings, 1);
	unishm_os_wake(&gate.openings);
	unishm_mutex_unlock(&gate.turn);
}

static void announce_departure(void)
{
	atomic_fetch_add(&gate.departures, 1);
	unishm_os_wake(&gate.departures);
}

static void queue(struct unishm_thread *self)
{
	for (; atomic_load(&gate.closed); unishm_notice_child()) {
		unsigned seen = atomic_load(&gate.openings);
		atomic_store(&self->queued, true);
		if (atomic_load(&gate.closed))
			unishm_os_wait(&gate.openings, seen, LONG_MS);
	}
}

/* Either this thread sees the gate closed, or the fork sees this thread inside. The thread that
 * forks may pass: a handler of the program runs between ours. */
static void go_in(struct unishm_thread *self)
{
	for (;;) {
		atomic_store(&self->inside, 1);
		if (!atomic_load(&gate.closed) || own.has_turn)
			break;
		atomic_store(&self->inside, 0);
		announce_departure();
		queue(self);
	}
	if (__builtin_expect(atomic_load_explicit(&self->queued, memory_order_relaxed), 0)) {
		atomic_store(&self->queued, false);
		announce_departure();
	}
}

static void go_out(struct unishm_thread *self)
{
	atomic_store(&self->inside, 0);
	if (__builtin_expect(atomic_load(&gate.closed), 0))
		announce_departure();
	unishm_thread_rests();
}

/* ---- Around a fork ------------------------------------------------------- */

static bool holds_forks(void)
{
	const struct unishm_thread *self = unishm_known_thread();
	return self && atomic_load(&self->inside);
}

#define EACH_HANDLE(member, arguments)                                                     \
	do {                                                                               \
		for (struct unishm *seg_ = unishm_first_handle(); seg_; seg_ = seg_->next) \
			if (seg_->backend->member)                                         \
				seg_->backend->member arguments;                           \
	} while (0)

static void prepare(void)
{
	int state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	bool interrupted = holds_forks();
	if (own.depth++ == 0) {
		own.has_turn = close_gate(interrupted ? TRIES : 0);
		own.prepared = !interrupted;
		if (own.prepared)
			EACH_HANDLE(fork_prepare, (seg_));
	}
	pthread_setcancelstate(state, &state);
	own.saved_errno = errno;
	errno = 0; /* these handlers are next to the system call, which sets it when it fails */
}

static void end_fork(void)
{
	own.prepared = own.in_child = false;
	if (own.has_turn) {
		own.has_turn = false;
		open_gate();
	}
}

static void parent(void)
{
	int state;
	bool failed = errno != 0;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	bool outermost = --own.depth == 0;
	if (outermost && own.prepared)
		EACH_HANDLE(fork_parent, (seg_, failed));
	else
		atomic_fetch_or(&missed, MISSED_AS_PARENT);
	if (outermost)
		end_fork();
	pthread_setcancelstate(state, &state);
	if (!failed)
		errno = own.saved_errno;
}

/* A handle whose call was interrupted by the handler that forked keeps what the call may be
 * using until its end. */
static void shed(void)
{
	for (struct unishm *seg = unishm_first_handle(); seg; seg = seg->next)
		if (seg->backend->fork_shed && !seg->shed_late)
			seg->backend->fork_shed(seg);
}

/* This process has one thread: nobody can look while it sets things right. What other threads
 * of the parent had locked in an unprepared fork is free here; what they were doing is lost, as
 * always with such a child. */
static void set_right_in_child(void)
{
	bool prepared = own.prepared && own.depth == 1;
	*canary = 1;
	own_pid = getpid();
	own.in_child = own.depth > 0;
	unishm_forget_threads();
	unishm_mutex_renew_all();
	unishm_renew_handles(!prepared);
	atomic_store(&gate.closed, own.has_turn);
	atomic_store(&missed, prepared ? 0 : MISSED_AS_CHILD);
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
	if (!own.in_child)
		set_right_in_child();
	if (--own.depth == 0)
		end_fork();
	pthread_setcancelstate(state, &state);
}

/* A raw clone(2) without CLONE_VM makes a process without any handler run. And handlers of the
 * program that were registered before ours run before ours in the child: where there is no
 * canary, the number of the process tells. */
void unishm_notice_child(void)
{
	if (__builtin_expect(!*canary, 0))
		set_right_in_child();
	else if (__builtin_expect(own.depth && !own.in_child, 0) && getpid() != own_pid)
		set_right_in_child();
}

static void tell_missed(void)
{
	if (__builtin_expect(!atomic_load_explicit(&missed, memory_order_relaxed), 1) || own.depth)
		return;
	unsigned as = atomic_exchange(&missed, 0);
	if (as)
		unishm_tell_missed(as & MISSED_AS_CHILD);
}

/* ---- Setting up ---------------------------------------------------------- */

static int set_up(void)
{
	own_pid = getpid();
	canary = unishm_os_canary();
	if (!canary)
		return -ENOMEM;
	int rc = unishm_set_up_threads();
	if (rc == 0)
		rc = -pthread_atfork(prepare, parent, child);
	atomic_store(&is_set_up, rc == 0);
	return rc;
}

/* When the library is loaded, with the first number that programs may have: so our handlers are
 * registered before the program's, and run the last before a fork and the first after it. */
__attribute__((constructor(101))) static void set_up_early(void)
{
	set_up();
}

/* ---- For calls ----------------------------------------------------------- */

int unishm_hold_forks(void)
{
	if (__builtin_expect(!atomic_load_explicit(&is_set_up, memory_order_relaxed), 0))
		return unishm_because(-ENOMEM, "the library was not set up when it was loaded, "
				"for lack of memory or of keys of threads; start the program anew");
	unishm_notice_child();
	struct unishm_thread *self = unishm_this_thread();
	unsigned holds = atomic_load_explicit(&self->inside, memory_order_relaxed);
	if (holds) {
		atomic_store_explicit(&self->inside, holds + 1, memory_order_relaxed);
		return 0;
	}
	go_in(self);
	tell_missed();
	return 0;
}

void unishm_release_forks(void)
{
	struct unishm_thread *self = unishm_this_thread();
	unsigned holds = atomic_load_explicit(&self->inside, memory_order_relaxed);
	if (holds > 1) {
		atomic_store_explicit(&self->inside, holds - 1, memory_order_relaxed);
		return;
	}
	unishm_notice_child();
	tell_missed();
	go_out(self);
}

unsigned unishm_release_all_forks(void)
{
	unsigned holds = atomic_load(&unishm_this_thread()->inside);
	for (unsigned i = 0; i < holds; i++)
		unishm_release_forks();
	return holds;
}

void unishm_hold_forks_again(unsigned holds)
{
	for (unsigned i = 0; i < holds; i++)
		unishm_hold_forks();
}

bool unishm_missed_as_child(void)
{
	return atomic_load_explicit(&missed, memory_order_relaxed) & MISSED_AS_CHILD;
}

pid_t unishm_pid(void)
{
	return own_pid;
}
