/* SPDX-License-Identifier: MIT */
/* What is mapped at an address of this process. */
#ifndef UNISHM_CORE_MAPPING_H
#define UNISHM_CORE_MAPPING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct unishm_mapping {
	uintptr_t start, end;
	uint64_t offset;                      /* of @start in the file */
	uint64_t dev_major, dev_minor, inode; /* all 0: memory of no file */
};

/* The mapping that holds @addr, or the next one above it. 0; -ENOENT: none; -EOPNOTSUPP: this
 * system does not tell. To be called with forks held. */
int unishm_mapping_at(const void *addr, struct unishm_mapping *out);

/* Open now what the above needs: later there may be no /proc (chroot, a sandbox). */
void unishm_mapping_prepare(void);

/* Is it of a file on device @dev? */
bool unishm_mapping_is_on(const struct unishm_mapping *mapping, dev_t dev);

/* Close what is kept open for that; the next call opens it anew. Async-signal-safe in a child,
 * where what the parent had open tells of another address space. */
void unishm_mapping_forget(void);

#endif
