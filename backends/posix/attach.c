/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>

#include "data.h"
#include "entries.h"
#include "look.h"
#include "mapping.h"
#include "memory.h"
#include "move.h"
#include "object_sys.h"
#include "os.h"
#include "reader.h"
#include "sys.h"

/* Map what is asked for. @keeps: by the handle's descriptor, so that the mapping keeps its
 * description. */
static int map_as_asked(struct unishm *seg, void *where, int flags, bool *keeps, void **addr)
{
	struct posix *p = posix_of(seg);
	int fd = ushp_sys_open_data(&p->object, seg->size,
			flags & UNISHM_RDONLY ? O_RDONLY : O_RDWR);
	if (fd < 0)
		return fd;
	*keeps = fd == p->object.fd;
	int rc = ushp_map_data(fd, where, seg->size, flags, addr);
	if (!*keeps)
		ushp_lock_close(fd);
	return rc;
}

static bool overlaps(const void *where, size_t length, const void *own, size_t own_length)
{
	uintptr_t from = (uintptr_t)where, at = (uintptr_t)own;
	return own && at < from + length && from < at + own_length;
}

/* Would UNISHM_REMAP replace a mapping that holds an attachment or a lock of this process? The core
 * asks this for each handle, with all handles locked. */
bool ushp_keeps_in_range(const struct unishm *seg, const void *where, size_t length)
{
	const struct posix *p = (const struct posix *)(const void *)seg->priv;
	if (overlaps(where, length, p->hold.map.base, p->hold.map.length) ||
			overlaps(where, length, p->hold.anchor, 1) ||
			overlaps(where, length, p->pin.addr, seg->size))
		return true;
	for (unsigned i = 0; i < seg->attached; i++)
		if (overlaps(where, length, ushp_reader_page(&seg->attachments[i]), 1))
			return true;
	return false;
}

/* UNISHM_REMAP replaces mappings, and nothing may fail after that. So count first. If the range is
 * free it is reserved meanwhile, or the record could be mapped there. */
static int count_and_replace(struct unishm *seg, void *where, int flags,
		struct unishm_attachment *new)
{
	bool keeps;
	void *held = ushp_hold_range(where, seg->size);
	int rc = ushp_hold_add(seg, false, new);
	if (rc == 0) {
		rc = ushp_keeps_in_range(seg, where, seg->size)
				? unishm_because(-EINVAL,
						  "the library keeps something in that range; "
						  "choose another address")
				: map_as_asked(seg, where, flags, &keeps, &new->addr);
		if (rc < 0)
			ushp_hold_undo(seg, new);
	}
	if (rc < 0 && held)
		unishm_sys.munmap(held, seg->size);
	return rc;
}

/* Otherwise map first: counting may map the record, which could take the address that was asked
 * for. */
static int map_and_count(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	bool keeps;
	int rc = map_as_asked(seg, where, flags, &keeps, &new->addr);
	if (rc < 0)
		return rc;
	rc = ushp_hold_add(seg, keeps, new);
	if (rc < 0)
		unishm_sys.munmap(new->addr, seg->size);
	return rc;
}

/* An unlock by another process may have ended our lock in RAM. */
static void read_epoch(struct posix *p)
{
	uint32_t epoch;
	if (!p->pin.addr)
		return;
	if (ushp_record_get(&p->object, RECORD_HEAD_FIELD(lock_epoch), &epoch, sizeof epoch) == 0)
		p->epoch = epoch;
}

static int permit(struct posix *p, unsigned want)
{
	p->own = ushp_object_is_own(&p->st);
	return ushp_object_permit(&p->object, &p->st, p->own, want);
}

/* May @seg, which is removed and has a name still (by_id.h), be attached? By the shim, unless it is
 * gone: its last process may have been killed, which is seen now. */
static int may_attach_removed(struct unishm *seg)
{
	struct view view;
	if (!seg->beneath)
		return -EIDRM;
	return seg->attached > 0 ? 0 : ushp_look(seg, &view);
}

int ushp_attach(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	struct posix *p = posix_of(seg);
	if (flags & UNISHM_JUST_OPENED)
		p->checked = 0; /* by open, and @st is what it saw */
	unsigned want = 4u | (flags & UNISHM_RDONLY ? 0 : 2u) | (flags & UNISHM_EXEC ? 1u : 0);
	int rc = p->st.st_nlink == 0 ? -EIDRM : permit(p, want);
	if (rc == 0 && ushp_says_removed(p, &p->st))
		rc = may_attach_removed(seg);
	if (rc == 0 && !(flags & UNISHM_RDONLY))
		rc = ushp_hold_need_writable(seg);
	/* So that the data keeps the description with the lock. */
	if (rc == 0 && p->object.shared && !p->hold.taken)
		ushp_object_renew(&p->object);
	if (rc == 0)
		rc = flags & UNISHM_REMAP ? count_and_replace(seg, where, flags, new)
					  : map_and_count(seg, where, flags, new);
	if (rc == -EIDRM)
		p->end = END_POSSIBLE; /* let go of it at once */
	if (rc < 0)
		return rc;
	read_epoch(p);
	unishm_mapping_prepare(); /* for detach */
	return 0;
}

/* Count @old out. @unmap: it is still mapped. The object has been checked, since the mapping may be
 * the only thing that keeps the lock. */
static int leave(struct unishm *seg, struct unishm_attachment *old, bool unmap)
{
	struct posix *p = posix_of(seg);
	bool usable = p->checked == 0;
	bool gone = false;
	int rc = unmap ? ushp_data_unmap(&p->object, old->addr, seg->size, &gone) : 0;
	if (rc < 0 && !gone)
		return rc; /* it is still mapped, and counted */
	if (rc < 0)
		old->addr = NULL; /* there is nothing to detach a second time */
	ushp_hold_remove(seg, old, usable, p->checked != -EBADMSG);
	if (usable)
		read_epoch(p);
	if (p->hold.saw_removed ||
			(usable && (p->st.st_nlink == 0 || ushp_says_removed(p, &p->st))))
		p->end = END_POSSIBLE; /* was it the last one? */
	return rc;
}

int ushp_detach(struct unishm *seg, struct unishm_attachment *old)
{
	return leave(seg, old, true);
}

void ushp_displaced(struct unishm *seg, struct unishm_attachment *old)
{
	leave(seg, old, false);
}
