/* SPDX-License-Identifier: MIT */
/* What both kinds of objects (object_sys.h) do with the directory that has their files. */
#ifndef UNISHM_POSIX_DIRECTORY_H
#define UNISHM_POSIX_DIRECTORY_H

#include <fcntl.h>
#include <sys/types.h>

#include "names.h"

struct draft;

/* How a file is opened by its name: no link is followed, no FIFO waited for. */
enum { OPEN_FLAGS = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

struct path {
	char text[32 + OBJECT_NAME_MAX];
};

/* @prefix, which has less than 32 characters, and then @name without its slash. @name is not
 * empty. */
struct path ushp_path(const char *prefix, const char *name);

/* Make an empty file for @draft, with a name that is free, and do with it what @begin says. */
int ushp_make_draft(struct draft *draft, const char *prefix, mode_t mode,
		int (*begin)(struct draft *draft, mode_t mode));

/* All names in @directory that begin with @prefix, without that, and their inodes. Stops at what
 * @found returns if that is not 0, and returns it. */
int ushp_list_directory(const char *directory, const char *prefix,
		int (*found)(const char *name, ino_t inode, void *arg), void *arg);

/* @rc with the reason if @directory may be what refuses: -EACCES or -EPERM. */
int ushp_because_closed(int rc, const char *directory);

/* -EBADMSG with the reason: a link, a directory, a socket or a FIFO has the name of a segment. */
int ushp_because_no_file(void);

#endif
