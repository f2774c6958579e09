/* SPDX-License-Identifier: MIT */
/* Segments by name. */
#ifndef UNISHM_POSIX_FIND_H
#define UNISHM_POSIX_FIND_H

#include <sys/stat.h>

#include "backend.h"
#include "object.h"
#include "record.h"
#include "unfinished.h"

/* Have @seg open what @name leads to, whatever its stage. Returns the stage, or an errno: -ENOENT,
 * -EACCES, -EBADMSG if it is not ours. At STAGE_GONE the handle has it open no more. Fills in @st
 * and @tail. */
int ushp_open_any(struct unishm *seg, const char *name, key_t key, struct stat *st,
		struct record_tail *tail);

/* What a draft's name leads to: STAGE_MAKING or STAGE_ABANDONED, whatever became of it. */
int ushp_open_draft(struct unishm *seg, const char *name, struct stat *st);

/* ushp_open_any(); what is not a segment yet, or no more, is -ENOENT, and nothing is removed. */
int ushp_open_ready(struct unishm *seg, const char *name, key_t key, struct record_tail *tail);

/* The names that look like ours, by the file that the directory says they lead to. */
struct names {
	size_t count, room;
	struct name {
		char text[OBJECT_NAME_MAX]; /* with the slash */
		bool draft;
		bool twin; /* the file has another name before this one */
		ino_t inode;
	} * list; /* to be freed */
};

int ushp_list_names(struct names *names);

#endif
