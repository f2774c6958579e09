/* SPDX-License-Identifier: MIT */
/*
 * A mutex that names its owner. A fork in a signal handler can thus tell the locks of the
 * thread that it interrupted, for which it must not wait, from those of other threads; and
 * the child can free those whose owners do not exist there. A pthread_mutex_t allows neither.
 *
 * Not recursive. Only to be held while forks are held: a fork waits for no mutex.
 */
#ifndef UNISHM_CORE_LOCK_H
#define UNISHM_CORE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct unishm_mutex {
	_Atomic(uintptr_t) owner; /* 0: free; the token of a thread, and one bit: others wait */
	atomic_uint wakes;        /* changes when a waiter has to look again */
	struct unishm_mutex *_Atomic next; /* of all static ones; NULL: not listed yet */
};

enum { UNISHM_MUTEX_WAITED = 1 };

/* For static mutexes. All of them are listed at their first use, for a child to find. */
#define UNISHM_MUTEX_INIT  \
	{                  \
		0, 0, NULL \
	}

/* For a mutex in memory that will be freed: it is not listed. In a child its user calls
 * unishm_mutex_renew(). */
void unishm_mutex_init(struct unishm_mutex *mutex);

void unishm_mutex_lock(struct unishm_mutex *mutex);
bool unishm_mutex_try(struct unishm_mutex *mutex);
void unishm_mutex_unlock(struct unishm_mutex *mutex);

/* Wake the others: the mutex was unlocked, and others wait for it. */
void unishm_mutex_wake(struct unishm_mutex *mutex);

/* Whether this thread holds it. */
bool unishm_mutex_is_mine(struct unishm_mutex *mutex);

/* In a new child: unlock all mutexes that are not held by this thread, which is the only one. */
void unishm_mutex_renew(struct unishm_mutex *mutex);
void unishm_mutex_renew_all(void);

#endif
