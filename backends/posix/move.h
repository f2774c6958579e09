/* SPDX-License-Identifier: MIT */
/* Holds move to another description, or are taken anew: see hold.h. */
#ifndef UNISHM_POSIX_MOVE_H
#define UNISHM_POSIX_MOVE_H

#include <stdbool.h>

struct unishm;

/* The handle has another description now (the program closed the former one's descriptor, or
 * children share it): keep the holds by descriptor. */
int ushp_hold_move(struct unishm *seg, bool lost);

/* Have a descriptor for writing, now that the mode allows it, with all holds kept. */
int ushp_hold_need_writable(struct unishm *seg);

/* Before the name is removed: change the carrier of holds that would be lost if the program closed
 * the descriptor, since the file cannot be opened again afterwards. */
void ushp_hold_secure(struct unishm *seg);

/* Take holds by process anew, after the program closed a descriptor of the object. */
int ushp_hold_retake(struct unishm *seg);

#endif
