/* SPDX-License-Identifier: MIT */
/*
 * All open handles of this process. The list has a lock, and each handle has one, so that calls on
 * different handles share no lock. The lock of the list is taken first. Forks are held meanwhile.
 */
#include <stdlib.h>

#include "core.h"
#include "enter.h"
#include "mapping.h"

/* A call on a handle of the program may call the shim, whose handles are beneath: they have a list
 * of their own, which is locked after all that belongs to the first. */
static struct registry {
	struct unishm_mutex lock;
	struct unishm *first;
} registries[] = { { UNISHM_MUTEX_INIT, NULL }, { UNISHM_MUTEX_INIT, NULL } };

static struct registry *registry_of(const struct unishm *seg)
{
	return &registries[seg->beneath];
}

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

/* The links by next are valid at every instruction of these two functions. */
void unishm_register(struct unishm *seg)
{
	struct registry *registry = registry_of(seg);
	seg->missed = seg->shed_late = unishm_missed_as_child(); /* while it was opened */
	unishm_mutex_lock(&registry->lock);
	seg->next = registry->first;
	if (seg->next)
		seg->next->prev = seg;
	registry->first = seg;
	unishm_mutex_unlock(&registry->lock);
}

void unishm_unregister(struct unishm *seg)
{
	struct registry *registry = registry_of(seg);
	unishm_mutex_lock(&registry->lock);
	if (seg->prev)
		seg->prev->next = seg->next;
	else
		registry->first = seg->next;
	if (seg->next)
		seg->next->prev = seg->prev;
	if (!registries[0].first && !registries[1].first)
		forget_mappings(); /* a program without handles has its descriptors back */
	unishm_mutex_unlock(&registry->lock);
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

/* A signal handler may have forked since forks are held. Then, in the child, the handle was shed,
 * and its backend must be told before the call uses it. */
void unishm_tell_handle(struct unishm *seg)
{
	tell_missed(seg, true);
}

int unishm_enter_all(bool beneath, struct unishm **all)
{
	struct registry *registry = &registries[beneath];
	int rc = unishm_hold_forks();
	if (rc < 0)
		return rc;
	unishm_mutex_lock(&registry->lock);
	for (struct unishm *seg = registry->first; seg; seg = seg->next)
		unishm_lock_handle(&unishm_own, seg);
	*all = registry->first;
	return 0;
}

void unishm_leave_all(bool beneath)
{
	struct registry *registry = &registries[beneath];
	for (struct unishm *seg = registry->first; seg; seg = seg->next)
		unishm_mutex_unlock(&seg->lock);
	unishm_mutex_unlock(&registry->lock);
	unishm_release_forks();
}

struct unishm *unishm_next_handle(const struct unishm *seg)
{
	if (!seg)
		return registries[0].first ? registries[0].first : registries[1].first;
	return seg->next || seg->beneath ? seg->next : registries[1].first;
}

static void tell_all_missed(struct registry *registry, bool in_child)
{
	unishm_mutex_lock(&registry->lock);
	for (struct unishm *seg = registry->first; seg; seg = seg->next) {
		unishm_mutex_lock(&seg->lock);
		if (seg->missed || !in_child)
			tell_missed(seg, in_child);
		unishm_mutex_unlock(&seg->lock);
	}
	unishm_mutex_unlock(&registry->lock);
}

void unishm_tell_missed(bool in_child)
{
	tell_all_missed(&registries[0], in_child);
	tell_all_missed(&registries[1], in_child);
}

/* If another thread was changing the list, prev may not be up to date. */
static void mend_list(struct registry *registry)
{
	struct unishm *before = NULL;
	for (struct unishm *seg = registry->first; seg; before = seg, seg = seg->next)
		seg->prev = before;
}

void unishm_renew_handles(bool missed)
{
	for (unsigned i = 0; i < 2; i++)
		if (!unishm_mutex_is_mine(&registries[i].lock))
			mend_list(&registries[i]);
	for (struct unishm *seg = unishm_next_handle(NULL); seg; seg = unishm_next_handle(seg)) {
		unishm_mutex_renew(&seg->lock);
		seg->missed = missed;
		seg->shed_late = missed && unishm_mutex_is_mine(&seg->lock);
	}
}
