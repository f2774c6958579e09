/* SPDX-License-Identifier: MIT */
/* Declarations that process.c, gate.c and fork.c share: how calls and forks are kept apart. */
#ifndef UNISHM_CORE_FORK_H
#define UNISHM_CORE_FORK_H

#include "own.h"

/* ---- process.c ---------------------------------------------------------- */

/* Note which process this is. -ENOMEM. @set_right is called in a child that fork handlers did not
 * set right, by unishm_notice_child(). */
int unishm_set_up_process(void (*set_right)(void));

/* Set things right if this process is a child that was made without the C library. To be called
 * before each wait, since the thread that is waited for may not exist in the child. */
void unishm_look_for_child(void);
static inline void unishm_notice_child(void)
{
	if (!unishm_is_no_new_child(&unishm_own))
		unishm_look_for_child();
}

/* In a child: note that it is one. */
void unishm_renew_process(void);

/* ---- gate.c ------------------------------------------------------------- */

/* Calls may hold forks from now on. @tell is called at the begin or end of a call, with forks held,
 * after a fork that handles do not know of. */
void unishm_set_up_gate(void (*tell)(bool in_child));

/* Does this thread hold forks? */
bool unishm_holds_forks(void);

/* Close the gate, and wait until no other thread holds forks. @interrupted: for a short time only,
 * since other threads may wait for something that this thread holds. False: another fork has the
 * gate. */
bool unishm_close_gate(bool interrupted);
void unishm_open_gate(void);

/* In a child: the gate is closed by its fork. Unless it was @prepared, the handles do not know of
 * the fork. */
void unishm_renew_gate(bool prepared);

/* In a parent: a fork happened that the handles do not know of. */
void unishm_note_missed(void);

#endif
