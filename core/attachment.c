/* SPDX-License-Identifier: MIT */
/* The public calls that attach and detach: check the arguments, dispatch, keep the attachments. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "enter.h"
#include "mapping.h"
#include "os.h"
#include "sys.h"

/* The list is valid at every instruction: a signal handler that interrupts this may fork. */
static int make_room(struct unishm *seg)
{
	if (seg->attached < seg->room)
		return 0;
	struct unishm_attachment *old = seg->attachments, *grown;
	grown = unishm_sys.realloc(NULL, 2 * seg->room * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	memcpy(grown, old, seg->attached * sizeof *grown);
	atomic_signal_fence(memory_order_seq_cst);
	seg->attachments = grown;
	atomic_signal_fence(memory_order_seq_cst);
	seg->room *= 2;
	if (old != seg->inline_room)
		free(old);
	return 0;
}

/* What the errno alone would not tell of an attachment. */
static int because_not_attached(int rc, const void *where)
{
	if (unishm_has_reason(rc))
		return rc;
	if (rc == -ENOMEM && where)
		return unishm_because(rc,
				"the address space has no room at that address; "
				"choose another address, or raise RLIMIT_AS");
	if (rc == -EROFS)
		return unishm_because(rc,
				"the file system of shared memory is mounted read-only here; "
				"attach with UNISHM_RDONLY, or mount it for writing");
	return rc;
}

/* ---- Huge pages -------------------------------------------------------------- */

static int because_no_huge_pages(int rc)
{
	if (rc != -ENOTSUP)
		return rc;
	return unishm_because(rc,
			"its memory gets no transparent huge pages; mount /dev/shm with "
			"huge=advise (POSIX), or write advise to "
			"/sys/kernel/mm/transparent_hugepage/shmem_enabled (System V)");
}

/* Where a huge page can begin, as far as nothing takes that place meanwhile. Pages are brought in
 * after they were asked to be huge. */
static int attach_huge(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	size_t huge = unishm_os_huge_page();
	int plain = flags & ~(UNISHM_THP | UNISHM_POPULATE);
	if (huge > 0 && seg->size < huge)
		return unishm_because(-ENOTSUP,
				"it has %s, and a huge page %zu; leave out "
				"UNISHM_THP",
				unishm_bytes(seg->size).text, huge);
	void *place = where ? where : unishm_os_huge_place(seg->size, huge);
	int rc = seg->backend->attach(seg, place, plain, new);
	if (rc == -EINVAL && !where)
		rc = seg->backend->attach(seg, NULL, plain, new);
	if (rc < 0)
		return rc;
	rc = because_no_huge_pages(unishm_os_want_huge(new->addr, seg->size));
	if (rc == 0 && flags & UNISHM_POPULATE)
		rc = unishm_os_populate(new->addr, seg->size, !(flags & UNISHM_RDONLY));
	if (rc < 0)
		seg->backend->detach(seg, new);
	return rc;
}

static int attach_ready(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	if (__builtin_expect(flags & UNISHM_THP, 0))
		return attach_huge(seg, where, flags, new);
	return seg->backend->attach(seg, where, flags, new);
}

/* ---- Attach ------------------------------------------------------------------ */

static int do_attach(struct unishm *seg, void *where, int flags, void **addr)
{
	int rc = make_room(seg);
	if (rc < 0)
		return rc;
	struct unishm_attachment *new = &seg->attachments[seg->attached];
	*new = (struct unishm_attachment){ 0 };
	rc = flags & UNISHM_JUST_OPENED ? 0 : unishm_ready(seg);
	if (rc == 0)
		rc = attach_ready(seg, where, flags, new);
	if (rc == 0) {
		seg->attached++;
		*addr = new->addr;
	}
	unishm_settle(seg);
	return rc < 0 ? because_not_attached(rc, where) : 0;
}

static void forget(struct unishm *seg, unsigned index)
{
	seg->attachments[index] = seg->attachments[--seg->attached];
}

static size_t whole_pages(size_t size)
{
	size_t page = unishm_os_page_size();
	return (size + page - 1) / page * page;
}

/* Count out the attachments that a new one at @from has replaced. */
static void drop_displaced(struct unishm *all, const struct unishm *by, char *from)
{
	const char *to = from + whole_pages(by->size);
	for (struct unishm *seg = all; seg; seg = seg->next) {
		unsigned old = seg == by ? seg->attached - 1 : seg->attached;
		for (unsigned i = old; i-- > 0;) {
			char *addr = seg->attachments[i].addr;
			if (addr < from || addr + whole_pages(seg->size) > to)
				continue;
			unishm_ready(seg);
			if (seg->backend->displaced)
				seg->backend->displaced(seg, &seg->attachments[i]);
			forget(seg, i);
			unishm_settle(seg);
		}
	}
}

/* Whether the segment is still mapped from @from up to @to, in attachment @old. Where the system
 * does not tell, the answer is yes. Else a mapping of the same file, at the right offset, has to be
 * there; memory of the program has no file. */
static bool still_attached(const struct unishm_attachment *old, const char *from, const char *to)
{
	struct unishm_mapping found;
	while (from < to) {
		int rc = unishm_mapping_at(from, &found);
		if (rc == -ENOENT || (rc == 0 && found.start >= (uintptr_t)to))
			return false;
		if (rc < 0)
			return true;
		uint64_t into = found.start - (uintptr_t)old->addr;
		if ((found.dev_major || found.dev_minor || found.inode) && found.offset == into)
			return true;
		from += found.end - (uintptr_t)from;
	}
	return false;
}

/* Whether a new attachment from @from up to @to would replace a part of @old only. */
static bool is_cut(const struct unishm *seg, const struct unishm_attachment *old, char *from,
		char *to)
{
	char *start = old->addr, *end = start + whole_pages(seg->size);
	if (end <= from || start >= to || (start >= from && end <= to))
		return false;
	return still_attached(old, start > from ? start : from, end < to ? end : to);
}

static int check_displaced(const struct unishm *all, const struct unishm *by, char *at)
{
	char *to = at + whole_pages(by->size);
	for (const struct unishm *seg = all; seg; seg = seg->next) {
		if (seg->backend->occupies &&
				seg->backend->occupies(seg, at, whole_pages(by->size)))
			return unishm_because(-EINVAL,
					"the library keeps something in that range; "
					"choose another address");
		for (unsigned i = 0; i < seg->attached; i++)
			if (is_cut(seg, &seg->attachments[i], at, to))
				return unishm_because(-EINVAL,
						"it would replace a part of the attachment of %s "
						"at %p; detach that first, or replace the whole",
						unishm_label_of(seg).text,
						seg->attachments[i].addr);
	}
	return 0;
}

int unishm_check_attach_flags(int flags, bool placed)
{
	const int known = UNISHM_RDONLY | UNISHM_EXEC | UNISHM_POPULATE | UNISHM_THP |
			(placed ? UNISHM_RND | UNISHM_REMAP : 0);
	if (flags & ~known)
		return unishm_because(-EINVAL, "unknown bits in flags 0x%x", (unsigned)flags);
	return 0;
}

int unishm_attach_opened(struct unishm *seg, int flags, void **addr)
{
	return do_attach(seg, NULL, flags | UNISHM_JUST_OPENED, addr);
}

static int attach(const struct unishm_own *own, struct unishm *seg, int flags, void **addr)
{
	if (!seg || !addr)
		return unishm_fail(unishm_because(-EINVAL, "an argument is NULL"), "attach");
	void *got = NULL;
	int rc = unishm_check_attach_flags(flags, false);
	if (rc == 0)
		rc = unishm_enter(own, seg);
	if (rc == 0) {
		rc = do_attach(seg, NULL, flags, &got);
		unishm_leave(own, seg);
	}
	if (rc < 0)
		return unishm_fail(rc, "attach %s", unishm_label_of(seg).text);
	*addr = got;
	return 0;
}

int unishm_attach(struct unishm *seg, int flags, void **addr)
{
	struct unishm_call call = unishm_begin_call(seg);
	return unishm_end_call(&call, attach(call.own, seg, flags, addr));
}

/* @where, rounded if asked for; NULL, with a reason given, if it will not do. */
static char *check_address(const struct unishm *seg, void *where, int flags)
{
	size_t granule = seg->backend->granularity();
	uintptr_t address = (uintptr_t)where;
	if (flags & UNISHM_RND)
		address -= address % granule;
	if (address % granule != 0)
		unishm_because(-EINVAL, "the address %p is not a multiple of %zu; use UNISHM_RND",
				where, granule);
	else if (address == 0)
		unishm_because(-EINVAL,
				"the address is NULL or rounds down to it; "
				"unishm_attach() takes any that is free");
	else if (address + seg->size < address)
		unishm_because(-EINVAL,
				"%s from %p on are more than the address space; "
				"choose a lower address",
				unishm_bytes(seg->size).text, where);
	else
		return (char *)where - ((uintptr_t)where - address);
	return NULL;
}

/* An attachment may only be replaced as a whole. If a part were replaced, a later detach of the old
 * attachment would unmap the new one. */
static int attach_over(struct unishm *seg, char *at, int flags, void **got)
{
	struct unishm *all;
	int rc = unishm_enter_all(seg->beneath, &all);
	if (rc < 0)
		return rc;
	rc = check_displaced(all, seg, at);
	if (rc == 0)
		rc = do_attach(seg, at, flags, got);
	if (rc == 0)
		drop_displaced(all, seg, at);
	unishm_leave_all(seg->beneath);
	return rc;
}

static int attach_beside(struct unishm *seg, char *at, int flags, void **got)
{
	struct unishm_own *own = &unishm_own;
	int rc = unishm_enter(own, seg);
	if (rc < 0)
		return rc;
	rc = do_attach(seg, at, flags, got);
	unishm_leave(own, seg);
	return rc;
}

int unishm_attach_placed(struct unishm *seg, void *where, int flags, void **addr)
{
	char *at = check_address(seg, where, flags);
	if (!at)
		return -EINVAL;
	return (flags & UNISHM_REMAP ? attach_over : attach_beside)(seg, at, flags, addr);
}

static int attach_at(struct unishm *seg, void *where, int flags, void **addr)
{
	if (!seg || !addr)
		return unishm_fail(unishm_because(-EINVAL, "an argument is NULL"), "attach");
	void *got = NULL;
	int rc = unishm_check_attach_flags(flags, true);
	if (rc == 0)
		rc = unishm_attach_placed(seg, where, flags, &got);
	if (rc < 0)
		return unishm_fail(rc, "attach %s at %p", unishm_label_of(seg).text, where);
	*addr = got;
	return 0;
}

int unishm_attach_at(struct unishm *seg, void *where, int flags, void **addr)
{
	unishm_begin();
	return unishm_end(attach_at(seg, where, flags, addr));
}

int unishm_attach_beneath(struct unishm *seg, void *where, int flags, void **addr)
{
	return where ? attach_at(seg, where, flags, addr) : attach(&unishm_own, seg, flags, addr);
}

void unishm_drop_displaced(struct unishm *seg)
{
	struct unishm *all;
	if (unishm_enter_all(seg->beneath, &all) < 0)
		return;
	drop_displaced(all, seg, seg->attachments[seg->attached - 1].addr);
	unishm_leave_all(seg->beneath);
}

/* Which attachment @addr names; -EINVAL if none, or not just one. */
static int find_attachment(const struct unishm *seg, const void *addr)
{
	if (!addr && seg->attached == 1)
		return 0;
	if (!addr && seg->attached == 0)
		return unishm_because(-EINVAL, "this handle has no attachment");
	if (!addr)
		return unishm_because(-EINVAL, "this handle has %u attachments; name the address",
				seg->attached);
	for (unsigned i = seg->attached; i-- > 0;)
		if (seg->attachments[i].addr == addr)
			return (int)i;
	return unishm_because(-EINVAL, "no attachment of this handle starts at %p", addr);
}

static int detach(struct unishm *seg, const void *addr)
{
	int rc = find_attachment(seg, addr);
	if (rc < 0)
		return rc;
	unsigned index = (unsigned)rc;
	unishm_ready(seg);
	rc = seg->backend->detach(seg, &seg->attachments[index]);
	if (rc == 0 || !seg->attachments[index].addr) /* the program has unmapped it */
		forget(seg, index);
	return rc;
}

int unishm_detach_beneath(struct unishm *seg, const void *addr)
{
	int rc = unishm_enter(&unishm_own, seg);
	if (rc == 0) {
		rc = detach(seg, addr);
		unishm_settle(seg);
		unishm_leave(&unishm_own, seg);
	}
	return rc;
}

int unishm_detach(struct unishm *seg, const void *addr)
{
	UNISHM_LOCKED(seg, "detach", detach(seg, addr));
}
