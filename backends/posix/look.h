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

/* Is no process attached or about to attach? There is no lock then. */
bool ushp_is_unused(const struct unishm *seg);

#endif
