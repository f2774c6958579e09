/* SPDX-License-Identifier: MIT */
/* shmat() and shmdt(). */
#include "shim.h"

#include <errno.h>

#include "os.h"

/* ---- Errors ------------------------------------------------------------------------ */

static int attach_error(int rc)
{
	switch (rc) {
	case -EIDRM:
	case -ENOENT:
	case -EBADMSG:
		return -EINVAL;
	case -EROFS:
	case -EPERM:
	case -ENOTSUP: /* code, on a file system that is mounted noexec */
		return -EACCES;
	case -EMFILE:
	case -ENFILE:
	case -EBADF:
		return -ENOMEM;
	default:
		return rc;
	}
}

/* ---- shmat --------------------------------------------------------------------------- */

static int library_flags(int flags, bool at_address)
{
	int known = flags & SHM_RDONLY ? UNISHM_RDONLY : 0;
	if (flags & SHM_EXEC)
		known |= UNISHM_EXEC;
	if (at_address && flags & SHM_RND)
		known |= UNISHM_RND;
	if (at_address && flags & SHM_REMAP)
		known |= UNISHM_REMAP;
	return known;
}

/* As Linux judges it before it looks for the segment. */
static int check_address(const void *where, int flags)
{
	uintptr_t offset = (uintptr_t)where % unishm_os_page_size();
	if (!where)
		return flags & SHM_REMAP ? -EINVAL : 0;
	if (offset && !(flags & SHM_RND))
		return -EINVAL;
	return (uintptr_t)where == offset && flags & SHM_REMAP ? -EINVAL : 0;
}

static int attach_used(struct shim_segment *segment, void *where, int flags, void **addr)
{
	void *got;
	bool replaced = where && flags & SHM_REMAP;
	int rc = unishm_attach_beneath(segment->seg, where, library_flags(flags, where), &got);
	if (rc < 0)
		return rc;
	rc = ushs_note_attachment(segment, got, replaced);
	if (rc < 0)
		unishm_detach_beneath(segment->seg, got);
	else
		*addr = got;
	return rc;
}

static int attach(int id, const void *where, int flags, void **addr)
{
	struct shim_segment *segment;
	int rc = id < 0 ? -EINVAL : check_address(where, flags);
	if (rc == 0)
		rc = ushs_use(id, &segment);
	if (rc < 0)
		return attach_error(rc);
	rc = attach_used(segment, (void *)(uintptr_t)where, flags, addr);
	ushs_leave(segment);
	return attach_error(rc);
}

int ushs_attach(int id, const void *where, int flags, void **addr)
{
	struct shim_call call;
	int rc = ushs_begin(&call);
	if (rc < 0)
		return rc;
	rc = attach(id, where, flags, addr);
	ushs_end(&call);
	return rc;
}

/* ---- shmdt --------------------------------------------------------------------------- */

static int detach(const void *addr)
{
	struct shim_segment *segment = ushs_take_attachment(addr);
	if (!segment && addr && ushs_see_what_moved_to(addr))
		segment = ushs_take_attachment(addr);
	if (!segment)
		return -EINVAL;
	int rc = unishm_detach_beneath(segment->seg, addr);
	if (rc < 0 && rc != -EINVAL) /* it is still there */
		ushs_note_attachment(segment, (void *)(uintptr_t)addr, false);
	ushs_leave(segment);
	return rc < 0 ? -EINVAL : 0;
}

int ushs_detach(const void *addr)
{
	struct shim_call call;
	int rc = ushs_begin(&call);
	if (rc < 0)
		return rc;
	rc = detach(addr);
	ushs_end(&call);
	return rc;
}
