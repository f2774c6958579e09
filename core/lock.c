/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <stddef.h>

#include "core.h"
#include "enter.h"
#include "fork.h"
#include "os.h"

enum { LONG_MS = 1000 };

/* The end of the list, so that next is NULL only in mutexes that are not listed. */
static struct unishm_mutex last = UNISHM_MUTEX_INIT;
static struct unishm_mutex *_Atomic listed = &last;

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

static inline bool try(const struct unishm_own *own, struct unishm_mutex *mutex)
{
	if (__builtin_expect(!atomic_load_explicit(&mutex->next, memory_order_relaxed), 0))
		list(mutex);
	return unishm_mutex_try_by(own, mutex);
}

bool unishm_mutex_try(struct unishm_mutex *mutex)
{
	return try(&unishm_own, mutex);
}

/* Either the owner sees UNISHM_MUTEX_WAITED when it unlocks, or it has unlocked already. In the
 * second case the bit was not set, or @wakes has changed since it was read. */
static void wait_for(struct unishm_mutex *mutex)
{
	unsigned seen = atomic_load(&mutex->wakes);
	uintptr_t owner = atomic_load(&mutex->owner);
	if (owner == 0)
		return;
	if (!(owner & UNISHM_MUTEX_WAITED) &&
			!atomic_compare_exchange_strong(&mutex->owner, &owner,
					owner | UNISHM_MUTEX_WAITED))
		return;
	unishm_os_wait(&mutex->wakes, seen, LONG_MS);
}

void unishm_mutex_lock(struct unishm_mutex *mutex)
{
	const struct unishm_own *own = &unishm_own;
	for (; __builtin_expect(!try(own, mutex), 0); unishm_notice_child())
		wait_for(mutex);
}

void unishm_mutex_wake(struct unishm_mutex *mutex)
{
	atomic_fetch_add(&mutex->wakes, 1);
	unishm_os_wake(&mutex->wakes);
}

void unishm_mutex_unlock(struct unishm_mutex *mutex)
{
	if (unishm_mutex_free(mutex) & UNISHM_MUTEX_WAITED)
		unishm_mutex_wake(mutex);
}

bool unishm_mutex_is_mine(struct unishm_mutex *mutex)
{
	uintptr_t owner = atomic_load(&mutex->owner) & ~(uintptr_t)UNISHM_MUTEX_WAITED;
	return owner == unishm_token_of(&unishm_own);
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
