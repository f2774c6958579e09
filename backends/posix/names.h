/* SPDX-License-Identifier: MIT */
/* The names that look like ours, by the file that the directory says they lead to. */
#ifndef UNISHM_POSIX_NAMES_H
#define UNISHM_POSIX_NAMES_H

#include "object.h"

struct names {
	size_t count, room;
	struct name {
		char text[OBJECT_NAME_MAX]; /* with the slash */
		bool draft;
		bool twin; /* the file has another name before this one */
		ino_t inode;
	} *list; /* to be freed */
};

int ushp_list_names(struct names *names);

#endif
