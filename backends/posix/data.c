/* SPDX-License-Identifier: MIT */
#include "data.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "backend.h"
#include "mapping.h"
#include "object_sys.h"
#include "os.h"
#include "sys.h"

int ushp_data_unmap(const struct object *object, void *addr, size_t length, bool *gone)
{
	*gone = false;
	size_t page = unishm_os_page_size();
	uintptr_t base = (uintptr_t)addr, from = base;
	uintptr_t end = base + (length + page - 1) / page * page;
	bool found = false;
	while (from < end) {
		struct unishm_mapping at;
		int rc = unishm_mapping_at((void *)from, &at);
		if (rc == -EOPNOTSUPP)
			return unishm_sys.munmap(addr, length) < 0 ? -errno : 0;
		if (rc < 0 || at.start >= end)
			break;
		uintptr_t to = at.end < end ? at.end : end;
		from = at.start > from ? at.start : from;
		if (at.offset == at.start - base && ushp_sys_is_data(object, &at)) {
			if (unishm_sys.munmap((void *)from, to - from) < 0)
				return -errno;
			found = true;
		}
		from = to;
	}
	*gone = !found;
	return found ? 0
		     : unishm_because(-EINVAL,
				       "the attachment at %p is mapped no more; "
				       "the program unmapped it",
				       addr);
}

#ifdef MADV_DONTFORK
static const bool is_kept_from_children = true;
#else
static const bool is_kept_from_children;
#endif

/* Emulators (qemu-user) claim to keep such a mapping from children and do not. Other memory must
 * not be touched: a fork handler, or a child of a raw clone(2), may have put something there. */
bool ushp_data_is_inherited(const struct object *object, void *addr, size_t length)
{
	struct unishm_mapping at;
	if (!addr || msync(addr, length, MS_ASYNC) < 0)
		return false;
	int rc = unishm_mapping_at(addr, &at);
	if (rc == -EOPNOTSUPP)
		return !is_kept_from_children;
	return rc == 0 && at.start == (uintptr_t)addr && at.offset == 0 &&
			ushp_sys_is_data(object, &at);
}
