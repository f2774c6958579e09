/* SPDX-License-Identifier: MIT */
/* Making segments: whole, before any other process sees them. */
#ifndef UNISHM_POSIX_CREATE_H
#define UNISHM_POSIX_CREATE_H

#include <sys/stat.h>

#include "backend.h"

/* Beyond the flags that programs may give: the segment is to have a name by its id; see by_id.h. */
enum { CREATE_BY_ID = 1 << 30 };

/* Make the segment called @name as @opt says, and have @seg open it. -EEXIST: the name is taken. A
 * private one (@name is NULL) is called after its id. */
int ushp_create(struct unishm *seg, const char *name, const struct unishm_options *opt);

/* Fill in what a handle knows of its segment. -EMFILE: @fd is closed. */
int ushp_bind(struct unishm *seg, int fd, bool writable, const struct stat *st, const char *name,
		size_t size, key_t key);

#endif
