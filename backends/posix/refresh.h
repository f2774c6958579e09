/* SPDX-License-Identifier: MIT */
/* The first step of every entry of the backend's table: is the handle's descriptor still its
 * own? */
#ifndef UNISHM_POSIX_REFRESH_H
#define UNISHM_POSIX_REFRESH_H

#include "census.h"
#include "handle.h"

/* Have a descriptor of the object, opened anew if the program closed it, with the holds that went
 * by it kept. Fills in @st. -EBADF: there is no way to open it again. -EBADMSG: cut short. */
int ushp_refresh(struct unishm *seg, struct stat *st);

/* What is known of a segment that a call is about to use. */
struct view {
	struct stat st;
	struct record_tail tail;
	bool removed;
	struct census census;
};

/* ushp_refresh(), the record, and the number attached. -EIDRM: it was removed and nobody is
 * attached; then the handle lets go of it. */
int ushp_look(struct unishm *seg, struct view *view);

/* Has the segment whose file has @st been removed? Its name is gone, be it that another name keeps
 * the file; what the record says of it is not believed alone. */
bool ushp_is_removed(const struct posix *p, const struct stat *st, uint32_t word);

/* The segment is gone: let go of all that keeps its memory. */
void ushp_let_go(struct unishm *seg);

#endif
