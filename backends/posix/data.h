/* SPDX-License-Identifier: MIT */
/* Mappings of an object: what is at an address is proved to be one before it is unmapped. */
#ifndef UNISHM_POSIX_DATA_H
#define UNISHM_POSIX_DATA_H

#include "object.h"

/* Unmap what is left at [@addr, @addr + @length) of a mapping of @object's data. Programs may have
 * unmapped it, and have something else there by now, which stays. -EINVAL and @gone: nothing is
 * left. */
int ushp_data_unmap(const struct object *object, void *addr, size_t length, bool *gone);

/* In a child: does it have a mapping of @object that it should not have inherited, since the system
 * or an emulator lets it? Else that address is free, or the program's by now. */
bool ushp_data_is_inherited(const struct object *object, void *addr, size_t length);

#endif
