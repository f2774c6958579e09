/* SPDX-License-Identifier: MIT */
#include "fork.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include "descriptor.h"
#include "handle.h"
#include "memory.h"
#include "object_sys.h"
#include "pin.h"
#include "refresh.h"
#include "sys.h"

static const char heir_owner; /* of descriptors that are opened for children */

static unsigned count_readers(const struct unishm *seg)
{
	unsigned count = 0;
	for (unsigned i = 0; i < seg->attached; i++)
		count += ushp_hold_is_reader(&seg->attachments[i]);
	return count;
}

/* From now on the count may be too low: the record says so as soon as it can be written. */
static void nobody_counts_the_child(struct posix *p)
{
	const uint32_t yes = 1;
	p->uncounted = true;
	if (p->object.writable && ushp_record_write(&p->object, &p->hold.map, RECORD_HEAD_FIELD(uncounted),
			&yes, sizeof yes) == 0)
		p->uncounted = false;
}

/* ---- Before, in the parent ------------------------------------------------------------ */

static struct lock_file heir_file(const struct posix *p)
{
	int fd = p->heir.by_process ? p->object.fd : p->heir.fd;
	return (struct lock_file){ fd, p->heir.by_process && p->object.shared, p->object.dev, p->object.ino };
}

static enum lock_owner heir_owner_of(const struct posix *p)
{
	return p->heir.by_process ? LOCK_OF_PROCESS : LOCK_OF_DESCRIPTION;
}

/* A description for the child, or, where none can be had, the process. */
static void open_heir(struct posix *p, bool for_slot)
{
	int fd = -EBADF;
	if (ushp_sys_lock_owner == LOCK_OF_DESCRIPTION && !ushp_lock_by_process(p->object.dev, p->object.ino)) {
		fd = ushp_object_reopen(&p->object, for_slot ? O_RDWR : O_RDONLY);
		if (fd == -EACCES && for_slot)
			fd = ushp_object_reopen(&p->object, O_RDONLY); /* it gave up its rights: readers */
	}
	if (fd >= 0 && ushp_fd_own(fd, &heir_owner) < 0) {
		ushp_object_close_other(&p->object, fd);
		fd = -EMFILE;
	}
	p->heir.fd = fd < 0 ? -1 : fd;
	p->heir.by_process = fd < 0;
	if (fd < 0 && ushp_sys_lock_owner == LOCK_OF_DESCRIPTION)
		nobody_counts_the_child(p); /* that lock is lost when the child closes a descriptor */
	if (fd < 0 && unishm_sys.pipe(p->heir.pipe) < 0)
		p->heir.pipe[0] = p->heir.pipe[1] = -1;
}

static int claim_heir_slot(struct posix *p, unsigned count)
{
	struct lock_file file = heir_file(p);
	struct record_slot wanted = {
		.word = count | (p->heir.by_process ? SLOT_MOVED : 0),
		.pid = 0, .attach_pid = (uint32_t)unishm_pid() };
	int rc = ushp_slot_claim(&p->object, &file, heir_owner_of(p), &wanted, &p->heir.index,
			&p->heir.entry, &p->heir.before);
	p->heir.taken = rc == 0;
	return rc;
}

static int claim_heir_places(struct posix *p, unsigned count)
{
	struct lock_file file = heir_file(p);
	if (count > READERS_AT_ONCE)
		return -ENOSPC;
	return ushp_reader_claim(&file, heir_owner_of(p), count, &p->heir.place);
}

/* Take what the child will hold. A slot, for what is counted in ours; reader holds for the rest, or
 * for all if the slot cannot be had. */
static void claim_for_child(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	unsigned readers = count_readers(seg), in_slot = seg->attached - readers;
	open_heir(p, in_slot > 0);
	if (in_slot > 0 && claim_heir_slot(p, in_slot) < 0)
		readers = seg->attached;
	if (readers > 0 && claim_heir_places(p, readers) < 0)
		nobody_counts_the_child(p);
}

static const struct heir no_heir = { .fd = -1, .pipe = { -1, -1 } };

void ushp_fork_prepare(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	p->heir = no_heir;
	if (!p->gone && ushp_refresh(seg, &st) == 0) {
		if (ushp_sys_lock_owner == LOCK_OF_DESCRIPTION && ushp_hold_move(seg, false) < 0)
			nobody_counts_the_child(p); /* or us too long: the child shares our lock */
		if (seg->attached > 0)
			claim_for_child(seg);
	} else if (seg->attached > 0) {
		nobody_counts_the_child(p);
	}
	p->object.shared = true;
}

/* ---- After, in the parent --------------------------------------------------------------- */

static void close_end(int *fd)
{
	if (*fd >= 0)
		unishm_sys.close(*fd);
	*fd = -1;
}

/* Does the child have its lock, or has it had it, as the slot tells? */
static bool child_holds(const struct posix *p)
{
	struct record_slot now;
	if (p->heir.taken && ushp_record_read(p->object.fd, p->object.record_at,
			record_slot_back(p->heir.index), &now, sizeof now) == 0 && now.pid != 0)
		return true;
	struct lock_file file = heir_file(p);
	uint64_t place = p->heir.taken ? ushp_slot_place(p->heir.index, SLOT_MOVED) : p->heir.place;
	struct range found;
	return ushp_lock_find_foreign(&file, LOCK_OF_PROCESS, (struct range){ place, place }, &found) != 0;
}

/* What the process holds for the child must be the child's before it is given up. A child that dies
 * before that closes the pipe, too; without a pipe (there are no descriptors left) the lock is looked
 * for. Signals do not prolong the wait, and it ends after two seconds. */
static void await_child(struct posix *p)
{
	struct heir *heir = &p->heir;
	struct pollfd end = { .fd = heir->pipe[0], .events = POLLIN };
	bool piped = heir->pipe[0] >= 0;
	close_end(&heir->pipe[1]);
	for (int slices = 0; slices < (piped ? 40 : 2000); slices++)
		if (piped ? poll(&end, 1, 50) > 0 : child_holds(p) || poll(NULL, 0, 1) > 0)
			break;
	close_end(&heir->pipe[0]);
}

static void put_back(struct posix *p)
{
	if (p->heir.taken && p->object.writable)
		ushp_record_write(&p->object, &p->hold.map, record_slot_back(p->heir.index), &p->heir.before,
				sizeof p->heir.before);
}

void ushp_fork_parent(struct unishm *seg, bool failed)
{
	struct posix *p = posix_of(seg);
	struct heir *heir = &p->heir;
	struct lock_file file = heir_file(p);
	struct stat st;
	if (heir->by_process && !failed)
		await_child(p);
	close_end(&heir->pipe[0]);
	close_end(&heir->pipe[1]);
	if (failed)
		put_back(p); /* there is no child: nothing happened */
	if (heir->by_process && ushp_object_check(&p->object, &st) < 0)
		file.fd = -1;
	if (heir->by_process && heir->taken)
		ushp_lock_drop(&file, LOCK_OF_PROCESS, ushp_slot_place(heir->index, 0), 1);
	unsigned places = heir->taken ? count_readers(seg) : seg->attached;
	if (heir->by_process && heir->place)
		ushp_lock_drop(&file, LOCK_OF_PROCESS, heir->place, places);
	ushp_fd_close(heir->fd, &heir_owner, p->object.dev, p->object.ino);
	*heir = no_heir;
}

/* ---- In the child: async-signal-safe calls only ------------------------------------------- */

void ushp_fork_shed(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	ushp_drop_inherited(p->hold.map.base, p->hold.map.length);
	ushp_drop_inherited(p->pin.addr, seg->size);
	p->hold.map.base = NULL;
	for (unsigned i = 0; i < seg->attached; i++)
		ushp_hold_drop_page(&seg->attachments[i]);
}

/* What our parent holds as a process is not ours, though we have inherited the list. */
static void forget_parents_locks(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	if (p->hold.taken && p->hold.carrier == HOLD_BY_PROCESS)
		ushp_lock_forget(p->object.dev, p->object.ino, p->hold.place, 1);
	for (unsigned i = 0; i < seg->attached; i++)
		ushp_hold_forget(p, &seg->attachments[i]);
	if (p->pin.addr && p->pin.by_process)
		ushp_lock_forget(p->object.dev, p->object.ino, PLACE_PINS + p->pin.epoch, 1);
	p->pin = (struct pin){ 0 }; /* locks in RAM are not inherited */
}

/* By the description of @fd, not by the mapping: the file may be cut short. */
static void write_own_pid(struct posix *p, int fd)
{
	static const struct record_map none;
	struct object by = p->object;
	by.fd = fd;
	p->hold.entry.pid = (uint32_t)unishm_pid();
	ushp_record_write(&by, &none, record_slot_back(p->hold.index) - offsetof(struct record_slot, pid),
			&p->hold.entry.pid, sizeof p->hold.entry.pid);
}

static void take_over_slot(struct posix *p)
{
	struct heir *heir = &p->heir;
	struct lock_file file = heir_file(p);
	struct hold *hold = &p->hold;
	*hold = (struct hold){ .taken = true, .index = heir->index, .entry = heir->entry };
	hold->place = ushp_slot_place(heir->index, heir->entry.word);
	if (heir->by_process) {
		hold->carrier = HOLD_BY_PROCESS;
		ushp_lock_inherit(&file, ushp_slot_place(heir->index, 0), hold->place, 1, true);
		hold->entry.pid = (uint32_t)unishm_pid();
		ushp_record_write(&p->object, &hold->map,
				record_slot_back(heir->index) - offsetof(struct record_slot, pid),
				&hold->entry.pid, sizeof hold->entry.pid);
	} else if (ushp_record_map(file.fd, &p->object, heir->index, &hold->map) == 0) {
		hold->carrier = HOLD_BY_MAPPING;
		write_own_pid(p, file.fd);
	}
}

/* One byte each of the places that the parent took. */
static void take_over_readers(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct lock_file file = heir_file(p);
	uint64_t place = p->heir.place;
	unsigned left = p->heir.taken ? count_readers(seg) : seg->attached;
	if (p->heir.by_process && place) {
		ushp_lock_inherit(&file, place, place, left, false);
		ushp_lock_split(p->object.dev, p->object.ino, place, left);
	}
	for (unsigned i = 0; i < seg->attached; i++) {
		struct unishm_attachment *at = &seg->attachments[i];
		if (p->heir.taken && !ushp_hold_is_reader(at))
			continue;
		bool last = --left == 0 && !p->heir.taken; /* else the slot has the heir's */
		ushp_hold_inherit(seg, at, p->heir.by_process ? -1 : file.fd, place, last);
		place += place != 0;
	}
}

/* Without room for a mapping, the descriptor has to keep the description. */
static void close_heir(struct unishm *seg, bool kept_by_mapping)
{
	struct posix *p = posix_of(seg);
	if (p->heir.fd < 0)
		return;
	if (kept_by_mapping)
		ushp_fd_close(p->heir.fd, &heir_owner, p->object.dev, p->object.ino);
	else
		ushp_object_replace(&p->object, p->heir.fd, p->heir.taken);
}

void ushp_fork_child(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct heir heir = p->heir;
	forget_parents_locks(seg);
	p->hold = (struct hold){ 0 };
	if (heir.taken)
		take_over_slot(p);
	if (heir.place || !heir.taken)
		take_over_readers(seg);
	close_heir(seg, !heir.taken || p->hold.map.base);
	close_end(&heir.pipe[0]);
	close_end(&heir.pipe[1]); /* says that we have it */
	p->heir = no_heir;
}

/* ---- Without preparation --------------------------------------------------------------------- */

/* In a child: it has none of what its parent holds, and takes its own. In a parent: the child shares
 * the descriptor. */
void ushp_fork_missed(struct unishm *seg, bool in_child)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	if (!in_child) {
		if (!p->gone && ushp_refresh(seg, &st) == 0)
			ushp_hold_move(seg, false);
		p->object.shared = true;
		return;
	}
	forget_parents_locks(seg);
	p->hold = (struct hold){ 0 };
	p->heir = no_heir;
	p->object.shared = true;
	if (p->gone || seg->attached == 0)
		return;
	if (ushp_refresh(seg, &st) < 0 || ushp_hold_recount(seg) < 0)
		nobody_counts_the_child(p);
}
