/* SPDX-License-Identifier: MIT */
/*
 * Every open handle of this process, and what happens to them at fork.
 *
 * Locks, in the order in which they are taken:
 *   guard    counts who holds descriptors that are in no registered handle yet
 *            (opening, listing); fork waits until it is 0, and keeps it so
 *   registry the list of handles
 *   handle   one for each: attach and detach of different segments share none
 * A fork takes all of them, so that the child finds every handle at rest and no
 * descriptor but those of handles. In the child they are released again by the
 * handler, which runs in the copy of the very thread that took them.
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "os.h"

/* A read-write lock would say the same, but cannot be released by a child. */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static unsigned holders;
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static struct unishm *first;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_failed;
static pid_t own_pid;
static volatile unsigned char *canary;

/* A fork inside of an init callback must not wait for that very callback. */
static _Thread_local bool in_init;

static void prepare(void)
{
	pthread_mutex_lock(&guard);
	while (holders > in_init)
		pthread_cond_wait(&released, &guard);
	for (struct unishm *seg = unishm_enter_all(); seg; seg = seg->next)
		if (seg->backend->fork_prepare)
			seg->backend->fork_prepare(seg);
}

static void parent(void)
{
	for (struct unishm *seg = first; seg; seg = seg->next)
		if (seg->backend->fork_parent)
			seg->backend->fork_parent(seg);
	unishm_leave_all();
	pthread_mutex_unlock(&guard);
}

static void become_this_process(void)
{
	*canary = 1;
	own_pid = getpid();
	for (struct unishm *seg = first; seg; seg = seg->next)
		if (seg->backend->fork_shed)
			seg->backend->fork_shed(seg);
	for (struct unishm *seg = first; seg; seg = seg->next)
		if (seg->backend->fork_child)
			seg->backend->fork_child(seg);
}

/* The child has one thread: nobody can look while it sets things right. */
static void child(void)
{
	become_this_process();
	unishm_leave_all();
	released = (pthread_cond_t)PTHREAD_COND_INITIALIZER; /* other forks waited for it */
	pthread_mutex_unlock(&guard);
}

/* A raw clone(2) without CLONE_VM makes a process without any handler run. What
 * other threads of the parent were doing is lost, as always with such a child. */
static void notice_raw_clone(void)
{
	if (__builtin_expect(!*canary, 0))
		become_this_process();
}

static void set_up(void)
{
	own_pid = getpid();
	canary = unishm_os_canary();
	once_failed = !canary ? -ENOMEM : -pthread_atfork(prepare, parent, child);
}

int unishm_hold_forks(void)
{
	pthread_once(&once, set_up);
	if (once_failed)
		return once_failed;
	notice_raw_clone();
	pthread_mutex_lock(&guard);
	holders++;
	pthread_mutex_unlock(&guard);
	return 0;
}

void unishm_release_forks(void)
{
	pthread_mutex_lock(&guard);
	if (--holders <= 1) /* a fork in an init callback waits for one */
		pthread_cond_broadcast(&released);
	pthread_mutex_unlock(&guard);
}

void unishm_pause(void)
{
	struct timespec moment = { 0, 1000000 };
	unishm_release_forks();
	nanosleep(&moment, NULL);
	unishm_hold_forks();
}

int unishm_call_init(const struct unishm_options *opt, void *addr)
{
	in_init = true;
	int rc = opt->init(addr, opt->size, opt->arg);
	in_init = false;
	if (rc > 0)
		rc = -rc;
	if (rc < 0)
		unishm_because(rc, "its init callback failed with %d", rc);
	return rc;
}

void unishm_register(struct unishm *seg)
{
	pthread_mutex_lock(&registry);
	seg->next = first;
	if (first)
		first->prev = seg;
	first = seg;
	pthread_mutex_unlock(&registry);
}

void unishm_unregister(struct unishm *seg)
{
	pthread_mutex_lock(&registry);
	if (seg->prev)
		seg->prev->next = seg->next;
	else
		first = seg->next;
	if (seg->next)
		seg->next->prev = seg->prev;
	pthread_mutex_unlock(&registry);
}

void unishm_enter(struct unishm *seg)
{
	notice_raw_clone();
	pthread_mutex_lock(&seg->lock);
}

void unishm_leave(struct unishm *seg)
{
	pthread_mutex_unlock(&seg->lock);
}

struct unishm *unishm_enter_all(void)
{
	notice_raw_clone();
	pthread_mutex_lock(&registry);
	for (struct unishm *seg = first; seg; seg = seg->next)
		pthread_mutex_lock(&seg->lock);
	return first;
}

void unishm_leave_all(void)
{
	for (struct unishm *seg = first; seg; seg = seg->next)
		pthread_mutex_unlock(&seg->lock);
	pthread_mutex_unlock(&registry);
}

pid_t unishm_pid(void)
{
	return own_pid;
}
