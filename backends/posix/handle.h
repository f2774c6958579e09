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

/* The handle's descriptor was not looked at in this call. */
enum { UNCHECKED = 1 };

/* What a member tells ushp_settle(). */
enum end {
	END_NOT_SEEN,
	END_POSSIBLE, /* the segment seems to be removed: check whether it is gone */
	END_REMOVED,  /* it was removed: is any process attached? */
};

struct posix {
	struct object object;
	struct hold hold;
	struct heir heir;
	struct pin pin;
	int checked;    /* in this call: 0, or why @object cannot be used; or UNCHECKED */
	struct stat st; /* of the file, as it was then; valid when @checked is 0 */
	uint32_t epoch; /* of locks in RAM, when the record was last read; for ushp_settle() */
	enum end end;
	bool by_id;     /* it has, or had, a name by its id: see by_id.h */
	bool gone;      /* removed and not attached: this does not change any more */
	bool uncounted; /* the record is to say so, as soon as it can be written */
	bool own;       /* when it last attached, the effective user was the file's owner */
	bool removing;  /* has the lock that removers have, until ushp_settle() */
	unsigned free;  /* slots that were free when the handle was opened; see ushp_slot_claim() */
};

static inline struct posix *posix_of(struct unishm *seg)
{
	return (struct posix *)(void *)seg->priv;
}

/* A segment with a name by its id says by its mode that it is removed: by_id.h. */
static inline bool ushp_says_removed(const struct posix *p, const struct stat *st)
{
	return p->by_id && st->st_mode & S_ISVTX;
}

/* Has the segment been removed, whose file has @st now? Its name is gone, even if another link
 * keeps the file. @word is what its record says, which alone is not believed. */
static inline bool ushp_is_removed(const struct posix *p, const struct stat *st, uint32_t word)
{
	return st->st_nlink == 0 || ushp_says_removed(p, st) ||
			(word && !ushp_object_has_name(&p->object));
}

/* Close the descriptor; a call that has looked at it does not look again. */
static inline void ushp_object_let_go(struct posix *p)
{
	if (p->checked == 0)
		ushp_object_close_checked(&p->object);
	else
		ushp_object_close(&p->object);
}

#endif
