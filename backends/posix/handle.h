/* SPDX-License-Identifier: MIT */
/* A segment as one handle of the POSIX backend sees it. */
#ifndef UNISHM_POSIX_HANDLE_H
#define UNISHM_POSIX_HANDLE_H

#include "backend.h"
#include "hold.h"
#include "object.h"

/* A lock in RAM; see pin.h. */
struct pin {
	void *addr; /* the whole segment, mapped for this; NULL: none by this handle */
	uint32_t epoch;
	bool by_process;
};

struct posix {
	struct object object;
	struct hold hold;
	struct heir heir;
	struct pin pin;
	bool by_id;     /* it has, or had, a name by its id: see by_id.h */
	bool gone;      /* seen to be removed and not attached: that is for good */
	bool leaving;   /* one of the attachments is about to go: do not count it */
	bool uncounted; /* the record is to say so, as soon as it can be written */
};

static inline struct posix *posix_of(struct unishm *seg)
{
	return (struct posix *)(void *)seg->priv;
}

#endif
