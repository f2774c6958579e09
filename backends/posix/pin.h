/* SPDX-License-Identifier: MIT */
/*
 * Locks in RAM. A handle that locks has the segment mapped once more, with mlock() on it, and holds
 * a shared lock at PLACE_PINS + the record's epoch: the segment is locked as long as such a lock is
 * there. Unlock counts the epoch up, which ends all; each process unmaps when it sees that. The end
 * of the process ends both.
 */
#ifndef UNISHM_POSIX_PIN_H
#define UNISHM_POSIX_PIN_H

#include <stdint.h>

struct unishm;

/* -EPERM and -ENOMEM as RLIMIT_MEMLOCK says. */
int ushp_pin(struct unishm *seg, uint32_t epoch);
void ushp_unpin(struct unishm *seg);

#endif
