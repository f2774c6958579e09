/* SPDX-License-Identifier: MIT */
/* Address space: the data at an address, mappings of the library's own, memory set aside. */
#ifndef UNISHM_POSIX_MEMORY_H
#define UNISHM_POSIX_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Map @length bytes of @fd from its beginning, as attach asks: @where NULL, or exactly there.
 * What is mapped there is -EINVAL and stays, unless @flags has UNISHM_REMAP. */
int ushp_map_data(int fd, void *where, size_t length, int flags, void **addr);

/* Is the file system of @fd mounted noexec? */
bool ushp_is_noexec(int fd);
int ushp_because_noexec(void);

/* Map [@offset, @offset + @length) of @fd for the library, away from where programs ask for
 * memory. @inherited: children have it, too. */
int ushp_map_own(int fd, off_t offset, size_t length, int prot, bool inherited, void **addr);

/* A page of @fd that is never touched and that children do not inherit: it keeps the
 * description. */
int ushp_map_anchor(int fd, void **page);
void ushp_unmap_anchor(void *page);

/* Reserve a range of addresses if all of it is free. NULL: it is not free. */
void *ushp_hold_range(void *where, size_t length);

/* Reserve memory for [0, @length) of @fd, which no other process uses yet. -ENOSPC. */
int ushp_reserve(int fd, off_t length);

#endif
