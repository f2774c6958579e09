/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "memory.h"
#include "object_sys.h"

enum { PLACE = 0, PAGE = 1 }; /* of struct unishm_attachment.own */

/* The page is a mapping through the description that has the lock; its low bits tell which one that
 * is: none of the handle's, the process, the one of the handle's descriptor. */
enum { BY_DESCRIPTOR = 0, BY_PROCESS = 1, KEEPS_DESCRIPTOR = 2, PAGE_BITS = 3 };

static void *page_of(const struct unishm_attachment *at)
{
	return (void *)(uintptr_t)(at->own[PAGE] & ~(uint64_t)PAGE_BITS);
}

void *ushp_reader_page(const struct unishm_attachment *at)
{
	return page_of(at);
}

bool ushp_reader_is(const struct unishm_attachment *at)
{
	return at->own[PLACE] != 0;
}

/* Places grow with time. So a process that reads from low to high never misses a place that is
 * taken later (census.c). A place has room for READERS_AT_ONCE, and begins by chance within a
 * microsecond. */
static uint64_t place_of_now(void)
{
	enum { STRIDE = 4096 };
	const uint64_t begin = UINT64_C(1767225600); /* 2026; there is room until 2061 */
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now); /* the clock that time namespaces do not shift */
	uint64_t micro = ((uint64_t)now.tv_sec - begin) * 1000000 + (uint64_t)now.tv_nsec / 1000;
	micro &= (UINT64_C(1) << 49) - 1;
	return PLACE_READERS + micro * STRIDE + ushp_random() % (STRIDE - READERS_AT_ONCE);
}

/* LOCK_BUSY: another process has the place, or took it at the same time. */
static int try_place(const struct lock_file *file, enum lock_owner owner, uint64_t at,
		unsigned count)
{
	struct range found;
	int rc = ushp_lock_take(file, owner, at, count, false);
	if (rc != 0)
		return rc;
	rc = ushp_lock_find_foreign(file, owner, (struct range){ at, at + count - 1 }, &found);
	bool alone = rc == 0 || (rc > 0 && found.last - found.first >= READERS_AT_ONCE);
	if (alone)
		return 0;
	ushp_lock_drop(file, owner, at, count);
	return rc < 0 ? rc : LOCK_BUSY;
}

int ushp_reader_claim(const struct lock_file *file, enum lock_owner owner, unsigned count,
		uint64_t *place)
{
	int rc = LOCK_BUSY;
	for (unsigned tries = 0; rc == LOCK_BUSY && tries < 100; tries++) {
		uint64_t at = place_of_now();
		rc = try_place(file, owner, at, count);
		if (rc == 0)
			*place = at;
	}
	if (rc == LOCK_BUSY)
		return unishm_because(-EBUSY,
				"another process holds locks on all of its object; "
				"find it (lslocks, fuser), and end it");
	return rc;
}

/* By a description of its own, so that neither children nor the mapped data share it. */
static int take_by_mapping(struct posix *p, struct unishm_attachment *at)
{
	void *page = NULL;
	uint64_t place = 0;
	if (ushp_sys_lock_owner == LOCK_OF_PROCESS ||
			ushp_lock_by_process(p->object.dev, p->object.ino))
		return -EBADF;
	int fd = ushp_object_reopen(&p->object, O_RDONLY);
	if (fd < 0)
		return fd;
	const struct lock_file file = { fd, false, p->object.dev, p->object.ino };
	int rc = ushp_map_anchor(fd, &page);
	if (rc == 0)
		rc = ushp_reader_claim(&file, LOCK_OF_DESCRIPTION, 1, &place);
	if (rc < 0 && page)
		ushp_unmap_anchor(page);
	ushp_lock_close(fd);
	if (rc < 0)
		return rc;
	at->own[PLACE] = place;
	at->own[PAGE] = (uint64_t)(uintptr_t)page;
	return 0;
}

/* Where the object cannot be opened again. */
static int take_by_what_is_there(struct posix *p, bool data_keeps, struct unishm_attachment *at)
{
	void *page;
	bool keeps = data_keeps && !p->object.shared;
	enum lock_owner owner = ushp_object_lock_owner(&p->object);
	struct lock_file file = ushp_object_locks(&p->object);
	int rc = ushp_reader_claim(&file, owner, 1, &at->own[PLACE]);
	if (rc < 0)
		return rc;
	at->own[PAGE] = owner == LOCK_OF_PROCESS ? BY_PROCESS : BY_DESCRIPTOR;
	if (owner == LOCK_OF_DESCRIPTION && !keeps && ushp_map_anchor(p->object.fd, &page) == 0)
		at->own[PAGE] = (uint64_t)(uintptr_t)page | KEEPS_DESCRIPTOR;
	return 0;
}

int ushp_reader_take(struct posix *p, bool data_keeps, struct unishm_attachment *at)
{
	if (take_by_mapping(p, at) == 0)
		return 0;
	return take_by_what_is_there(p, data_keeps, at);
}

void ushp_reader_drop(struct posix *p, struct unishm_attachment *at, bool usable)
{
	struct lock_file file = ushp_object_locks(&p->object);
	if (!usable)
		file.fd = -1;
	if (at->own[PAGE] == BY_PROCESS)
		ushp_lock_drop(&file, LOCK_OF_PROCESS, at->own[PLACE], 1);
	else if (usable)
		ushp_lock_drop(&file, LOCK_OF_DESCRIPTION, at->own[PLACE], 1);
	ushp_unmap_anchor(page_of(at));
	at->own[PLACE] = at->own[PAGE] = 0;
}

bool ushp_reader_by_descriptor(const struct unishm_attachment *at)
{
	return ushp_reader_is(at) &&
			(at->own[PAGE] == BY_DESCRIPTOR || at->own[PAGE] & KEEPS_DESCRIPTOR);
}

/* ---- Another description ------------------------------------------------------ */

static int move_to_mapping(struct posix *p, struct unishm_attachment *at, int fd, bool lost)
{
	struct lock_file old = ushp_object_locks(&p->object),
			 new = { fd, false, p->object.dev, p->object.ino };
	void *page, *former = page_of(at);
	int rc = ushp_map_anchor(fd, &page);
	if (rc < 0)
		return rc;
	rc = ushp_lock_must_take(&new, LOCK_OF_DESCRIPTION, at->own[PLACE], 1, false);
	if (rc < 0) {
		ushp_unmap_anchor(page);
		return rc;
	}
	at->own[PAGE] = (uint64_t)(uintptr_t)page;
	if (!lost)
		ushp_lock_drop(&old, LOCK_OF_DESCRIPTION, at->own[PLACE], 1);
	ushp_unmap_anchor(former);
	return 0;
}

/* There is no description. */
static int move_to_process(struct posix *p, struct unishm_attachment *at, bool lost)
{
	struct lock_file file = ushp_object_locks(&p->object);
	void *former = page_of(at);
	int rc = ushp_lock_must_take(&file, LOCK_OF_PROCESS, at->own[PLACE], 1, false);
	if (rc < 0)
		return rc;
	at->own[PAGE] = BY_PROCESS;
	if (!lost)
		ushp_lock_drop(&file, LOCK_OF_DESCRIPTION, at->own[PLACE], 1);
	ushp_unmap_anchor(former);
	return 0;
}

int ushp_reader_move(struct posix *p, struct unishm_attachment *at, int fd, bool lost)
{
	return fd < 0 ? move_to_process(p, at, lost) : move_to_mapping(p, at, fd, lost);
}

int ushp_reader_retake(struct posix *p, struct unishm_attachment *at)
{
	struct lock_file file = ushp_object_locks(&p->object);
	if (!ushp_reader_is(at) || at->own[PAGE] != BY_PROCESS)
		return 0;
	ushp_lock_forget(p->object.dev, p->object.ino, at->own[PLACE]);
	return ushp_reader_claim(&file, LOCK_OF_PROCESS, 1, &at->own[PLACE]);
}

void ushp_reader_clear(struct unishm_attachment *at)
{
	at->own[PLACE] = at->own[PAGE] = 0;
}

/* ---- In a child --------------------------------------------------------------- */

void ushp_reader_forget_page(struct unishm_attachment *at)
{
	if (page_of(at))
		at->own[PAGE] = BY_DESCRIPTOR;
}

void ushp_reader_forget(struct posix *p, struct unishm_attachment *at)
{
	if (ushp_reader_is(at) && at->own[PAGE] == BY_PROCESS)
		ushp_lock_forget(p->object.dev, p->object.ino, at->own[PLACE]);
}

/* The heir's description is also the parent's until its fork() has returned. So each byte gets one
 * of its own, which ends with the attachment. */
static int inherit_by_own(struct posix *p, struct unishm_attachment *at,
		const struct lock_file *heir)
{
	void *page = NULL;
	int fd = ushp_object_reopen(&p->object, O_RDONLY);
	if (fd < 0)
		return fd;
	const struct lock_file own = { fd, false, p->object.dev, p->object.ino };
	int rc = ushp_map_anchor(fd, &page);
	if (rc == 0)
		rc = ushp_lock_must_take(&own, LOCK_OF_DESCRIPTION, at->own[PLACE], 1, false);
	if (rc == 0) {
		ushp_lock_drop(heir, LOCK_OF_DESCRIPTION, at->own[PLACE], 1);
		at->own[PAGE] = (uint64_t)(uintptr_t)page;
	} else if (page) {
		ushp_unmap_anchor(page);
	}
	ushp_lock_close(fd);
	return rc;
}

/* Where the object cannot be opened again, all count until the last one ends. */
static bool inherit_by_description(struct posix *p, struct unishm_attachment *at, int fd)
{
	const struct lock_file heir = { fd, false, p->object.dev, p->object.ino };
	void *page;
	if (inherit_by_own(p, at, &heir) == 0)
		return true;
	if (ushp_map_anchor(fd, &page) < 0)
		return false;
	at->own[PAGE] = (uint64_t)(uintptr_t)page;
	return true;
}

bool ushp_reader_inherit(struct posix *p, struct unishm_attachment *at, int fd, uint64_t place)
{
	at->own[PLACE] = place;
	at->own[PAGE] = fd < 0 ? (uint64_t)BY_PROCESS : BY_DESCRIPTOR;
	if (place == 0)
		ushp_reader_take(p, false, at);
	return place == 0 || fd < 0 || inherit_by_description(p, at, fd);
}
