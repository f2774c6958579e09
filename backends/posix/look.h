/* SPDX-License-Identifier: MIT */
/* What is known of a segment that a call is about to use. */
#ifndef UNISHM_POSIX_LOOK_H
#define UNISHM_POSIX_LOOK_H

#include "census.h"
#include "handle.h"

struct view {
	struct record_tail tail;
	bool removed;
	struct census census;
};

/* Read the record, and count the attachments. The handle's object was checked. -EIDRM: it was
 * removed and no process is attached; the handle knows that from now on. */
int ushp_look(struct unishm *seg, struct view *view);

/* The same in a call that has read the tail: it is in @view. */
int ushp_look_on(struct unishm *seg, struct view *view);

/* The same for one who wants to know no more than whether the segment can be used: attachments are
 * counted only if it was removed. */
int ushp_look_if_gone(struct unishm *seg, struct view *view);

/* Is nothing attached, and no lock there of any that could be about to? */
bool ushp_is_unused(const struct unishm *seg);

#endif
