/* SPDX-License-Identifier: MIT */
/*
 * Forks and calls of the library exclude each other.
 *
 * A call holds forks while it has something that a child must not find half done: a lock, a
 * descriptor or memory that is in no registered handle. A fork closes the gate, waits until no
 * thread holds forks, and opens it again afterwards; calls that begin meanwhile wait before they
 * hold anything. So a fork takes no lock of a handle, and waits for short steps only. Calls that
 * waited for one fork go on before the next fork closes the gate, so neither side starves.
 *
 * Order: gate.turn, then (all of them while forks are held) the list of handles, handles, and
 * the locks of backends.
 *
 * The exception is a fork in a signal handler that interrupted a call in the same thread. That call
 * holds forks and perhaps locks, and other threads may wait for those: the fork waits for them for
 * a short time only, and handles are not prepared for it (fork_missed).
 */
#include <errno.h>

#include "core.h"
#include "enter.h"
#include "fork.h"
#include "os.h"

enum { MOMENT_MS = 1, LONG_MS = 1000, TRIES = 20, MOST_TRIES = 100 };

static struct {
	struct unishm_mutex turn; /* one fork at a time */
	atomic_uint departures;   /* changes when a thread stops holding forks */
	atomic_uint openings;     /* changes when the gate opens */
} gate = { .turn = UNISHM_MUTEX_INIT };

atomic_uint unishm_gate_signs = UNISHM_SIGN_NOT_SET_UP;
enum { MISSED = UNISHM_SIGN_MISSED_AS_PARENT | UNISHM_SIGN_MISSED_AS_CHILD };

static void (*tell_handles)(bool in_child);

/* ---- The gate ------------------------------------------------------------ */

/* By the owner of gate.turn. */
static bool is_closed(void)
{
	return atomic_load(&unishm_gate_signs) & UNISHM_SIGN_CLOSED;
}

static void close_it(void)
{
	atomic_fetch_or(&unishm_gate_signs, UNISHM_SIGN_CLOSED);
}

static void open_it(void)
{
	atomic_fetch_and(&unishm_gate_signs, ~(unsigned)UNISHM_SIGN_CLOSED);
}

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

/* Wait until no other thread holds forks, at most @tries times; 0: without a limit. */
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

bool unishm_close_gate(bool interrupted)
{
	unsigned tries = interrupted ? TRIES : 0;
	struct unishm_thread *self = unishm_known_thread();
	if (self)
		atomic_store(&self->queued, false); /* or the fork before us would wait for us */
	if (!take_turn(tries))
		return false;
	/* Not without end: the fork may be in a signal handler that interrupted a queued thread. */
	await_others(is_queued, tries ? tries : MOST_TRIES);
	close_it();
	await_others(is_inside, tries);
	return true;
}

void unishm_open_gate(void)
{
	open_it();
	atomic_fetch_add(&gate.openings, 1);
	if (others(is_queued)) /* who queues later sees it open */
		unishm_os_wake(&gate.openings);
	unishm_mutex_unlock(&gate.turn);
}

void unishm_announce_departure(void)
{
	atomic_fetch_add(&gate.departures, 1);
	unishm_os_wake(&gate.departures);
}

static void queue(struct unishm_thread *self)
{
	for (; is_closed(); unishm_notice_child()) {
		unsigned seen = atomic_load(&gate.openings);
		atomic_store(&self->queued, true);
		if (is_closed())
			unishm_os_wait(&gate.openings, seen, LONG_MS);
	}
}

/* The thread that forks may pass: the program's own fork handlers may call the library. */
static void go_in(struct unishm_thread *self)
{
	for (;;) {
		unishm_set_inside(self, 1);
		if (!is_closed() || unishm_own.fork.has_turn)
			break;
		atomic_store(&self->inside, 0);
		unishm_announce_departure();
		queue(self);
	}
	if (__builtin_expect(atomic_load_explicit(&self->queued, memory_order_relaxed), 0)) {
		atomic_store(&self->queued, false);
		unishm_announce_departure();
	}
}

static void go_out(struct unishm_thread *self)
{
	unishm_set_inside(self, 0);
	if (__builtin_expect(is_closed(), 0))
		unishm_announce_departure();
	unishm_thread_rests();
}

/* ---- For fork.c ---------------------------------------------------------- */

void unishm_set_up_gate(void (*tell)(bool in_child))
{
	tell_handles = tell;
	atomic_fetch_and(&unishm_gate_signs, ~(unsigned)UNISHM_SIGN_NOT_SET_UP);
}

bool unishm_holds_forks(void)
{
	const struct unishm_thread *self = unishm_known_thread();
	return self && atomic_load(&self->inside);
}

void unishm_renew_gate(bool prepared)
{
	unsigned signs = atomic_load(&unishm_gate_signs) & UNISHM_SIGN_NOT_SET_UP;
	if (unishm_own.fork.has_turn)
		signs |= UNISHM_SIGN_CLOSED;
	if (!prepared)
		signs |= UNISHM_SIGN_MISSED_AS_CHILD;
	atomic_store(&unishm_gate_signs, signs);
}

void unishm_note_missed(void)
{
	atomic_fetch_or(&unishm_gate_signs, UNISHM_SIGN_MISSED_AS_PARENT);
}

/* ---- For calls ----------------------------------------------------------- */

static void tell_missed(void)
{
	if (!(atomic_load_explicit(&unishm_gate_signs, memory_order_relaxed) & MISSED) ||
			unishm_own.fork.depth)
		return;
	unsigned as = atomic_fetch_and(&unishm_gate_signs, ~(unsigned)MISSED) & MISSED;
	if (as)
		tell_handles(as & UNISHM_SIGN_MISSED_AS_CHILD);
}

int unishm_hold_forks(void)
{
	if (atomic_load_explicit(&unishm_gate_signs, memory_order_relaxed) & UNISHM_SIGN_NOT_SET_UP)
		return unishm_because(-ENOMEM,
				"the library was not set up when it was loaded, "
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

void unishm_pass_gate(void)
{
	go_in(unishm_this_thread());
	tell_missed();
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
	unsigned signs = atomic_load_explicit(&unishm_gate_signs, memory_order_relaxed);
	return signs & UNISHM_SIGN_MISSED_AS_CHILD;
}
