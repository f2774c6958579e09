/* SPDX-License-Identifier: MIT */
/*
 * The program's code within calls (init, visit), and waiting for other processes: nothing is
 * locked, and forks are not held.
 *
 * An init callback may never return. Then what it was filling is undone at one of three points:
 * when the stack is unwound (a C++ exception; also pthread_exit() and cancellation where the C
 * library unwinds for them), when the same thread uses the same key again (longjmp()), or when
 * the thread ends. Memory that a jump leaves behind is freed when the thread ends.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/select.h>
#include <time.h>

#include "core.h"
#include "own.h"

static struct unishm_mutex lock = UNISHM_MUTEX_INIT;
static struct unishm_making *makings;

/* ---- Segments in the making ---------------------------------------------- */

/* The head is also looked at without the lock. */
static void set_next(struct unishm_making **at, struct unishm_making *next)
{
	__atomic_store_n(at, next, __ATOMIC_RELAXED);
}

static void enlist(struct unishm_making *making)
{
	making->seg = unishm_own.opening;
	making->backend = making->seg->backend;
	making->thread = pthread_self();
	making->in_child = making->abandoned = making->orphan = false;
	unishm_mutex_lock(&lock);
	making->next = makings;
	set_next(&makings, making);
	unishm_mutex_unlock(&lock);
	unishm_own.opening = NULL; /* the callback opens others */
}

static void delist(struct unishm_making *making)
{
	unishm_mutex_lock(&lock);
	for (struct unishm_making **at = &makings; *at; at = &(*at)->next) {
		if (*at == making) {
			set_next(at, making->next);
			break;
		}
	}
	unishm_mutex_unlock(&lock);
}

static bool is_mine(const struct unishm_making *making)
{
	return pthread_equal(making->thread, pthread_self());
}

static void abandon(struct unishm_making *making)
{
	if (making->abandoned || making->in_child)
		return;
	making->abandoned = true;
	making->abandon(making);
}

/* It is not in the list any more, and no thread returns to it. */
static void bury(struct unishm_making *making)
{
	abandon(making);
	if (making->seg)
		unishm_free_handle(making->seg);
	free(making);
}

typedef bool test(const struct unishm_making *making, const struct unishm_making *like);

/* The first entry for which @is_so is true; with @take it is removed from the list. It stays valid:
 * only this thread removes its own entries, and orphans are found and removed in one step. */
static struct unishm_making *find(test *is_so, const struct unishm_making *like, bool take)
{
	unishm_mutex_lock(&lock);
	struct unishm_making **at = &makings;
	while (*at && !is_so(*at, like))
		at = &(*at)->next;
	struct unishm_making *found = *at;
	if (found && take)
		set_next(at, found->next);
	unishm_mutex_unlock(&lock);
	return found;
}

static bool is_of_thread(const struct unishm_making *making, const struct unishm_making *like)
{
	(void)like;
	return is_mine(making);
}

static bool is_orphan(const struct unishm_making *making, const struct unishm_making *like)
{
	(void)like;
	return making->orphan;
}

static bool is_left_behind(const struct unishm_making *making, const struct unishm_making *like)
{
	return is_mine(making) && making->backend == like->backend && making->key == like->key &&
			!making->abandoned && !making->in_child;
}

void unishm_abandon_key(const struct unishm_backend *backend, key_t key)
{
	const struct unishm_making like = { .backend = backend, .key = key };
	struct unishm_making *making;
	/* Mostly there is none; what this thread left behind it has put there itself. */
	if (!__atomic_load_n(&makings, __ATOMIC_RELAXED))
		return;
	while ((making = find(is_orphan, NULL, true)))
		bury(making);
	while (key != UNISHM_PRIVATE && (making = find(is_left_behind, &like, false)))
		abandon(making);
}

void unishm_abandon_all(void)
{
	struct unishm_making *making;
	if (unishm_hold_forks() < 0)
		return;
	while ((making = find(is_of_thread, NULL, true)))
		bury(making);
	unishm_release_forks();
}

void unishm_leave_makings(void)
{
	for (struct unishm_making *making = makings; making; making = making->next) {
		making->orphan = !is_mine(making);
		if (making->in_child || making->abandoned)
			continue;
		making->in_child = true;
		making->leave(making);
	}
}

/* ---- The init callback --------------------------------------------------- */

/* Runs when the stack is unwound. */
static void left_for_good(struct unishm_making **left)
{
	struct unishm_making *making = *left;
	if (!making)
		return;
	unishm_forbid_cancel();
	if (unishm_hold_forks() == 0) {
		delist(making);
		bury(making);
		unishm_release_forks();
	}
	unishm_end(0);
}

/* A backend may try again after its own -EAGAIN or -EEXIST. So the answer of a callback passes
 * through the backend as a number that is no errno value. */
enum { MOST_CODES = 1 << 16 };

static int disguise(int rc)
{
	return rc < 0 && rc > -MOST_CODES ? rc - MOST_CODES : rc;
}

int unishm_answer_of_open(int rc)
{
	return rc < -MOST_CODES && rc > -2 * MOST_CODES ? rc + MOST_CODES : rc;
}

static int run(struct unishm_making *making, const struct unishm_options *opt, void *addr)
{
	struct unishm_making *running __attribute__((cleanup(left_for_good))) = making;
	unishm_let_cancel();
	int rc = opt->init(addr, opt->size, opt->arg);
	unishm_forbid_cancel();
	running = NULL;
	return rc > 0 ? -rc : rc;
}

static int because_not_filled(const struct unishm_making *making, int rc)
{
	if (making->in_child)
		return unishm_because(-ECANCELED,
				"this process was forked within the init callback, "
				"and the segment is its parent's; open the key instead");
	if (making->abandoned)
		return unishm_because(-ECANCELED,
				"its init callback used the key that it was called for; "
				"let it use other keys only");
	return rc < 0 ? disguise(unishm_because(rc, "its init callback failed with %d", rc)) : rc;
}

int unishm_call_init(struct unishm_making *making, const struct unishm_options *opt, void *addr)
{
	enlist(making);
	unsigned holds = unishm_release_all_forks();
	int rc = run(making, opt, addr);
	unishm_hold_forks_again(holds);
	delist(making);
	unishm_own.opening = making->seg;
	return because_not_filled(making, rc);
}

int unishm_call_visit(int (*visit)(const struct unishm_status *, void *),
		const struct unishm_status *st, void *arg)
{
	unishm_let_cancel();
	int rc = visit(st, arg);
	unishm_forbid_cancel();
	return rc;
}

/* ---- Waiting ------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int unishm_pause(struct unishm_patience *patience)
{
	const struct timespec moment = { 0, 1000000 };
	if (patience->limit_ms && !patience->deadline)
		patience->deadline = now_ms() + patience->limit_ms;
	else if (patience->limit_ms && now_ms() >= patience->deadline)
		return unishm_because(-ETIMEDOUT,
				"another process is still filling it after %u ms; "
				"wait longer, or look what that process is at",
				patience->limit_ms);
	const sigset_t *callers = unishm_keep_signals_to_pauses();
	unsigned holds = unishm_release_all_forks();
	int woken = pselect(0, NULL, NULL, NULL, &moment, callers) < 0 ? errno : 0;
	unishm_hold_forks_again(holds);
	if (woken != EINTR)
		return 0;
	return unishm_because(-EINTR,
			"a signal arrived while another process was filling it; call again");
}
