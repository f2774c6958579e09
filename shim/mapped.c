/* SPDX-License-Identifier: MIT */
/*
 * On System V an attachment ends when it is unmapped, by whatever call, and moves with mremap().
 * The library does not hear of that: it looks when it is asked after a segment, and now and
 * then.
 */
#include "shim.h"

#include <errno.h>

#include "enter.h"
#include "mapping.h"
#include "os.h"
#include "posix/entries.h"
#include "posix/handle.h"
#include "posix/object_sys.h"

static bool is_ours(struct unishm *seg, const struct unishm_mapping *mapping, uint64_t offset)
{
	return mapping->offset == offset && ushp_sys_is_data(&posix_of(seg)->object, mapping);
}

/* Is anything left of the attachment at @addr? Yes, too, if the system does not tell. */
static bool is_there(struct unishm *seg, const char *addr)
{
	size_t page = unishm_os_page_size();
	const char *at = addr, *to = addr + (seg->size + page - 1) / page * page;
	while (at < to) {
		struct unishm_mapping found;
		int rc = unishm_mapping_at(at, &found);
		if (rc == -ENOENT || (rc == 0 && found.start >= (uintptr_t)to))
			return false;
		if (rc < 0 || is_ours(seg, &found, found.start - (uintptr_t)addr))
			return true;
		at += found.end - (uintptr_t)at;
	}
	return false;
}

static bool is_known(const struct unishm *seg, uintptr_t addr)
{
	for (unsigned i = 0; i < seg->attached; i++)
		if ((uintptr_t)seg->attachments[i].addr == addr)
			return true;
	return false;
}

/* Where an attachment is by now that is not where it was; NULL: nowhere. */
static void *find_moved(struct unishm *seg)
{
	struct unishm_mapping found;
	for (uintptr_t at = 0; unishm_mapping_at((const void *)at, &found) == 0; at = found.end)
		if (is_ours(seg, &found, 0) && !is_known(seg, found.start))
			return (void *)found.start;
	return NULL;
}

/* Attachment @index is not where it was. */
static void see_to(struct shim_segment *segment, unsigned index)
{
	struct unishm *seg = segment->seg;
	struct unishm_attachment *at = &seg->attachments[index];
	void *from = at->addr, *to = find_moved(seg);
	ushs_move_attachment(segment, from, to);
	at->addr = to;
	if (to)
		return;
	unishm_ready(seg);
	ushp_displaced(seg, at);
	seg->attachments[index] = seg->attachments[--seg->attached];
}

void ushs_see_what_is_mapped(struct shim_segment *segment)
{
	struct unishm *seg = segment->seg;
	if (unishm_enter(&unishm_own, seg) < 0)
		return;
	for (unsigned i = seg->attached; i-- > 0;)
		if (!is_there(seg, seg->attachments[i].addr))
			see_to(segment, i);
	unishm_settle(seg);
	unishm_leave(&unishm_own, seg);
}

bool ushs_see_what_moved_to(const void *addr)
{
	struct unishm_mapping found;
	struct shim_segment *segment;
	if (unishm_mapping_at(addr, &found) < 0 || found.start != (uintptr_t)addr || found.offset)
		return false;
	segment = ushs_use_attached(ushp_id_of_inode(found.inode));
	if (!segment)
		return false;
	ushs_see_what_is_mapped(segment);
	ushs_leave(segment);
	return true;
}
