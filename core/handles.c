/* SPDX-License-Identifier: MIT */
/*
 * Every open handle of this process. The list has a lock, and each handle one, so that calls
 * on different segments share none; they are taken in this order, while forks are held.
 */
#include <stdlib.h>

#include "core.h"
#include "enter.h"
#include "mapping.h"

static struct unishm_mutex registry = UNISHM_MUTEX_INIT;
static struct unishm *first;

void unishm_free_handle(struct unishm *seg)
{
	if (seg->attachments != seg->inline_room)
		free(seg->attachments);
	free(seg);
}

static void forget_mappings(void)
{
	int state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* it closes */
	unishm_mapping_forget();
	pthread_setcancelstate(state, &state);
}

/* By next, the list is whole at every instruction of these two. */
void unishm_register(struct unishm *seg)
{
	seg->missed = seg->shed_late = unishm_missed_as_child(); /* while it was opened */
	unishm_mutex_lock(&registry);
	seg->next = first;
	if (first)
		first->prev = seg;
	first = seg;
	unishm_mutex_unlock(&registry);
}

void unishm_unregister(struct unishm *seg)
{
	unishm_mutex_lock(&registry);
	if (seg->prev)
		seg->prev->next = seg->next;
	else
		first = seg->next;
	if (seg->next)
		seg->next->prev = seg->prev;
	if (!first)
		forget_mappings(); /* a program without handles has its descriptors back */
	unishm_mutex_unlock(&registry);
}

/* The handle is locked. The call that comes here may be another backend's, without cancellation
 * points. */
static void tell_missed(struct unishm *seg, bool in_child)
{
	int state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (seg->shed_late && seg->backend->fork_shed)
		seg->backend->fork_shed(seg, false);
	seg->missed = seg->shed_late = false;
	if (seg->backend->fork_missed)
		seg->backend->fork_missed(seg, in_child);
	pthread_setcancelstate(state, &state);
}

/* A signal handler may have forked since forks are held: then, in the child, the handle was shed,
 * and is of no use to the call before it was told. */
void unishm_tell_handle(struct unishm *seg)
{
	tell_missed(seg, true);
}

int unishm_enter_all(struct unishm **all)
{
	int rc = unishm_hold_forks();
	if (rc < 0)
		return rc;
	unishm_mutex_lock(&registry);
	for (struct unishm *seg = first; seg; seg = seg->next)
		unishm_lock_handle(&unishm_own, seg);
	*all = first;
	return 0;
}

void unishm_leave_all(void)
{
	for (struct unishm *seg = first; seg; seg = seg->next)
		unishm_mutex_unlock(&seg->lock);
	unishm_mutex_unlock(&registry);
	unishm_release_forks();
}

struct unishm *unishm_first_handle(void)
{
	return first;
}

void unishm_tell_missed(bool in_child)
{
	unishm_mutex_lock(&registry);
	for (struct unishm *seg = first; seg; seg = seg->next) {
		unishm_mutex_lock(&seg->lock);
		if (seg->missed || !in_child)
			tell_missed(seg, in_child);
		unishm_mutex_unlock(&seg->lock);
	}
	unishm_mutex_unlock(&registry);
}

/* If another thread was just changing the list, prev may be behind. */
static void mend_list(void)
{
	struct unishm *before = NULL;
	for (struct unishm *seg = first; seg; before = seg, seg = seg->next)
		seg->prev = before;
}

void unishm_renew_handles(bool missed)
{
	if (!unishm_mutex_is_mine(&registry))
		mend_list();
	for (struct unishm *seg = first; seg; seg = seg->next) {
		unishm_mutex_renew(&seg->lock);
		seg->missed = missed;
		seg->shed_late = missed && unishm_mutex_is_mine(&seg->lock);
	}
}
