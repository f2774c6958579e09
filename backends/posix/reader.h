/* SPDX-License-Identifier: MIT */
/* Reader holds, for attachments that have no slot. See hold.h. */
#ifndef UNISHM_POSIX_READER_H
#define UNISHM_POSIX_READER_H

#include "handle.h"

/* No reader hold locks more bytes at once. */
enum { READERS_AT_ONCE = 1024 };

/* A place for @count reader holds that no other process has, locked. */
int ushp_reader_claim(const struct lock_file *file, enum lock_owner owner, unsigned count,
		uint64_t *place);

/* Have @at counted by a reader hold. @data_keeps: the data is mapped through the handle's
 * descriptor. */
int ushp_reader_take(struct posix *p, bool data_keeps, struct unishm_attachment *at);

/* Give it up. @usable: the handle's object was checked. */
void ushp_reader_drop(struct posix *p, struct unishm_attachment *at, bool usable);

/* Is @at counted by a reader hold? */
bool ushp_reader_is(const struct unishm_attachment *at);

/* The page by which it is kept; NULL. */
void *ushp_reader_page(const struct unishm_attachment *at);

/* Does the handle's descriptor, or its description, have the lock? F_GETLK by it does not report
 * that. */
bool ushp_reader_by_descriptor(const struct unishm_attachment *at);

/* Its lock goes to the description of @fd, kept by an anchor; or, if @fd is negative, to the
 * process. @lost: the handle's former descriptor is closed. */
int ushp_reader_move(struct posix *p, struct unishm_attachment *at, int fd, bool lost);

/* Take it anew if it was held by the process, which lost its locks. */
int ushp_reader_retake(struct posix *p, struct unishm_attachment *at);

/* There is no hold any more, and nothing to give up. */
void ushp_reader_clear(struct unishm_attachment *at);

/* ---- In a child ---------------------------------------------------------------- */

/* It does not have the page. */
void ushp_reader_forget_page(struct unishm_attachment *at);

/* Take a lock by process, which is the parent's, out of the list. */
void ushp_reader_forget(struct posix *p, struct unishm_attachment *at);

/* Hold what the parent took: byte @place (0: nothing, take one), by the description of @fd or, if
 * that is -1, by process. False: it cannot. */
bool ushp_reader_inherit(struct posix *p, struct unishm_attachment *at, int fd, uint64_t place);

#endif
