/* SPDX-License-Identifier: MIT */
/*
 * What the core keeps for each thread. It is one variable, since the address of a thread-local
 * variable of a shared library costs a function call; a call of the library needs it once.
 */
#ifndef UNISHM_CORE_OWN_H
#define UNISHM_CORE_OWN_H

#include <stdbool.h>
#include <stdint.h>

struct unishm;
struct unishm_thread;

/* The fork that this thread does now, from the first fork handler to the last. */
struct unishm_own_fork {
	unsigned depth;  /* more than 1: a handler of the program forks */
	bool has_turn;   /* and the gate is closed */
	bool prepared;   /* fork_prepare ran */
	int saved_errno; /* of the program, before fork() */
	bool in_child;   /* this is the child, and is set right */
};

struct unishm_own {
	struct unishm_thread *record; /* thread.c: NULL until the first call */
	struct unishm_own_fork fork;
	struct unishm *opening; /* callback.c: what this thread is opening; NULL */
	int why_for;            /* error.c: the code that a reason is kept for; 0: none */
	bool mute;              /* error.c: the shim calls: no reason is kept */
	bool pausing;           /* thread.c: signal handlers run in pauses only */
	struct {
		int state, type;
	} callers; /* thread.c: how the program wants to be cancelled */
};
extern _Thread_local struct unishm_own unishm_own __attribute__((visibility("hidden")));

/* A number that no other living thread has; a multiple of 2, not 0. */
static inline uintptr_t unishm_token_of(const struct unishm_own *own)
{
	return (uintptr_t)own;
}

/* A byte that is 1 here, and wiped in a child. NULL until the library is set up. */
extern volatile unsigned char *unishm_canary __attribute__((visibility("hidden")));

/* False: this may be a child that no fork handler has set right yet. */
static inline bool unishm_is_no_new_child(const struct unishm_own *own)
{
	return __builtin_expect(*unishm_canary && !own->fork.depth, 1);
}

#endif
