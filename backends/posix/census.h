/* SPDX-License-Identifier: MIT */
/* How many attachments there are, at one instant. */
#ifndef UNISHM_POSIX_CENSUS_H
#define UNISHM_POSIX_CENSUS_H

#include <stdbool.h>
#include <sys/types.h>

struct record_tail;
struct unishm;

struct census {
	unsigned long attached;
	bool locked;     /* some lock in RAM holds, of the epoch that the record tells */
	bool hidden;     /* a foreign lock may hide reader holds, and the kernel has no list */
	bool unsettled;  /* holds came and went faster than they could be counted */
	bool unrecorded; /* a process died, and this one may not write that down */
	pid_t ended;     /* which, then */
};

/* Count. @tail is the record's end, read just before; it is read again if holders that died were
 * cleared. The handle's object was checked. */
int ushp_census(struct unishm *seg, struct record_tail *tail, struct census *census);

#endif
