/* SPDX-License-Identifier: MIT */
/* What makers and removers that died have left. */
#ifndef UNISHM_POSIX_UNFINISHED_H
#define UNISHM_POSIX_UNFINISHED_H

#include <sys/stat.h>

#include "object.h"

enum stage {
	STAGE_READY,     /* a segment */
	STAGE_MAKING,    /* its maker lives and is at work */
	STAGE_ABANDONED, /* proved: its maker, or its remover, is dead */
	STAGE_GONE,      /* removed since it was opened; the name may be another's by now */
};

/* The stage of an object whose record says @state. A negative errno. Changes nothing. */
int ushp_stage(const struct object *object, uint32_t state);

/* Remove an abandoned one. 0, also if another process did; -EACCES, with the reason, if this
 * user may not. */
int ushp_remove_abandoned(const struct object *object, const struct stat *st);

#endif
