/* SPDX-License-Identifier: MIT */
/* Names of segments and of drafts, made and read; ids; random numbers. */
#ifndef UNISHM_POSIX_NAMES_H
#define UNISHM_POSIX_NAMES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum { OBJECT_NAME_MAX = 16 }; /* a slash, 13 characters, NUL */

void ushp_name_of_key(key_t key, char name[OBJECT_NAME_MAX]);
void ushp_name_of_private(int id, char name[OBJECT_NAME_MAX]);
void ushp_name_of_removed(int id, char name[OBJECT_NAME_MAX]);
void ushp_name_of_draft(char name[OBJECT_NAME_MAX]);

/* The id of the segment that is kept in that file. A tmpfs hands out inode numbers in sequence. */
static inline int ushp_id_of_inode(ino_t inode)
{
	return (int)((uint64_t)inode & INT_MAX);
}

static inline int ushp_id_of(const struct stat *st)
{
	return ushp_id_of_inode(st->st_ino);
}

/* Is @name, without a slash, one of those (not of a draft)? And which key? */
bool ushp_is_segment_name(const char *name);
bool ushp_is_draft_name(const char *name);
bool ushp_is_name_by_id(const char *name); /* also of a removed one */
bool ushp_is_removed_name(const char *name);
key_t ushp_key_in_name(const char *name);

/* Bits that are different at each call; neither secret nor equally spread.
 * Async-signal-safe. */
uint64_t ushp_random(void);

#endif
