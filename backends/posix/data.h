/* SPDX-License-Identifier: MIT */
/* Mappings of an object. Before the library unmaps an address it checks that its object is mapped
 * there. */
#ifndef UNISHM_POSIX_DATA_H
#define UNISHM_POSIX_DATA_H

#include "object.h"

/* Unmap what is left at [@addr, @addr + @length) of a mapping of @object's data. The program may
 * have unmapped it and mapped something else there, which is left alone. -EINVAL and @gone: nothing
 * is left. */
int ushp_data_unmap(const struct object *object, void *addr, size_t length, bool *gone);

/* In a child: is @object mapped there although such a mapping should not be inherited? (Some
 * systems and emulators let a child inherit it.) If not, the address is free, or used by the
 * program. */
bool ushp_data_is_inherited(const struct object *object, void *addr, size_t length);

#endif
