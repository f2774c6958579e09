/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <stddef.h>

#include "core.h"
#include "fork.h"
#include "os.h"

enum { WAITED = 1, LONG_MS = 1000 };

static struct unishm_mutex last = UNISHM_MUTEX_INIT; /* so that next is NULL in no listed one */
static struct unishm_mutex *_Atomic listed = &last;

uintptr_t unishm_thread_token(void)
{
	static _Thread_local uint64_t place;
	return (uintptr_t)&place;
}

void unishm_mutex_init(struct unishm_mutex *mutex)
{
	atomic_init(&mutex->owner, 0);
	atomic_init(&mutex->wakes, 0);
	atomic_init(&mutex->next, &last);
}

static void list(struct unishm_mutex *mutex)
{
	struct unishm_mutex *none = NULL, *head = atomic_load(&listed);
	if (!atomic_compare_exchange_strong(&mutex->next, &none, head))
		return;
	while (!atomic_compare_exchange_weak(&listed, &head, mutex))
		atomic_store(&mutex->next, head);
}

/* Locking and naming the owner are one step, so that a signal finds both or neither. */
bool unishm_mutex_try(struct unishm_mutex *mutex)
{
	uintptr_t nobody = 0;
	if (__builtin_expect(!atomic_load_explicit(&mutex->next, memory_order_relaxed), 0))
		list(mutex);
	return atomic_compare_exchange_strong_explicit(&mutex->owner, &nobody,
			unishm_thread_token(), memory_order_acquire, memory_order_relaxed);
}

/* The owner sees WAITED when it unlocks, or has unlocked already; in the latter case it was
 * not set, or @wakes differs from what was read before. */
static void wait_for(struct unishm_mutex *mutex)
{
	unsigned seen = atomic_load(&mutex->wakes);
	uintptr_t owner = atomic_load(&mutex->owner);
	if (owner == 0)
		return;
	if (!(owner & WAITED) &&
			!atomic_compare_exchange_strong(&mutex->owner, &owner, owner | WAITED))
		return;
	unishm_os_wait(&mutex->wakes, seen, LONG_MS);
}

void unishm_mutex_lock(struct unishm_mutex *mutex)
{
	for (; !unishm_mutex_try(mutex); unishm_notice_child())
		wait_for(mutex);
}

void unishm_mutex_unlock(struct unishm_mutex *mutex)
{
	if (!(atomic_exchange(&mutex->owner, 0) & WAITED))
		return;
	atomic_fetch_add(&mutex->wakes, 1);
	unishm_os_wake(&mutex->wakes);
}

bool unishm_mutex_is_mine(struct unishm_mutex *mutex)
{
	return (atomic_load(&mutex->owner) & ~(uintptr_t)WAITED) == unishm_thread_token();
}

void unishm_mutex_renew(struct unishm_mutex *mutex)
{
	if (!unishm_mutex_is_mine(mutex))
		atomic_store(&mutex->owner, 0);
}

void unishm_mutex_renew_all(void)
{
	for (struct unishm_mutex *mutex = atomic_load(&listed); mutex != &last;
			mutex = atomic_load(&mutex->next))
		unishm_mutex_renew(mutex);
}
