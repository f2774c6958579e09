/* SPDX-License-Identifier: MIT */
#include "fork.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include "data.h"
#include "descriptor.h"
#include "entries.h"
#include "handle.h"
#include "memory.h"
#include "move.h"
#include "object_sys.h"
#include "pin.h"
#include "reader.h"
#include "slot.h"
#include "sys.h"

static const char heir_owner; /* of descriptors that are opened for children */
static const struct heir no_heir = { .fd = -1, .pipe = { -1, -1 } };

static unsigned count_readers(const struct unishm *seg)
{
	unsigned count = 0;
	for (unsigned i = 0; i < seg->attached; i++)
		count += ushp_reader_is(&seg->attachments[i]);
	return count;
}

/* From now on the count may be too low: the record says so as soon as it can be written. */
static void say_child_is_uncounted(struct posix *p)
{
	struct stat st;
	p->uncounted = true;
	if (p->object.writable && ushp_object_check(&p->object, &st) == 0 &&
			ushp_record_put_word(&p->object, RECORD_HEAD_FIELD(uncounted), 1) == 0)
		p->uncounted = false;
}

/* ---- Before, in the parent ------------------------------------------------------------ */

static struct lock_file heir_file(const struct posix *p)
{
	int fd = p->heir.by_process ? p->object.fd : p->heir.fd;
	return (struct lock_file){ fd, p->heir.by_process && p->object.shared, p->object.dev,
		p->object.ino };
}

static enum lock_owner heir_owner_of(const struct posix *p)
{
	return p->heir.by_process ? LOCK_OF_PROCESS : LOCK_OF_DESCRIPTION;
}

/* A description for the child, or, where none can be had, the process: by the handle's descriptor,
 * which may have to be looked at for that. -EBADF: not even so. */
static int open_heir(struct unishm *seg, bool for_slot)
{
	struct posix *p = posix_of(seg);
	int fd = -EBADF;
	if (ushp_sys_lock_owner == LOCK_OF_DESCRIPTION &&
			!ushp_lock_by_process(p->object.dev, p->object.ino)) {
		fd = ushp_object_reopen(&p->object, for_slot ? O_RDWR : O_RDONLY);
		if (fd == -EACCES && for_slot)
			fd = ushp_object_reopen(&p->object,
					O_RDONLY); /* no right to write any more */
	}
	if (fd >= 0 && ushp_fd_own(fd, &heir_owner) < 0) {
		ushp_lock_close(fd);
		fd = -EMFILE;
	}
	p->heir.fd = fd < 0 ? -1 : fd;
	p->heir.by_process = fd < 0;
	if (fd < 0 && p->checked == UNCHECKED && ushp_ready(seg) < 0)
		return -EBADF;
	if (fd < 0 && ushp_sys_lock_owner == LOCK_OF_DESCRIPTION)
		say_child_is_uncounted(p); /* it loses that lock when it closes a descriptor */
	if (fd < 0 && unishm_sys.pipe(p->heir.pipe) < 0)
		p->heir.pipe[0] = p->heir.pipe[1] = -1;
	return 0;
}

static int claim_heir_slot(struct posix *p, unsigned count)
{
	struct lock_file file = heir_file(p);
	struct record_slot wanted = {
		.word = count,
		.pid = 0,
		.attach_pid = (uint32_t)unishm_pid(),
	};
	int rc = ushp_slot_claim(&p->object, &file, heir_owner_of(p), 0, &wanted, &p->heir.index,
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

/* Take the child's holds: a slot for the attachments that are counted in ours, reader holds for the
 * others, or for all if there is no slot. */
static void claim_for_child(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	unsigned readers = count_readers(seg), in_slot = seg->attached - readers;
	if (open_heir(seg, in_slot > 0) < 0) {
		p->heir = no_heir;
		say_child_is_uncounted(p);
		return;
	}
	if (in_slot > 0 && claim_heir_slot(p, in_slot) != 0)
		readers = seg->attached;
	if (readers > 0 && claim_heir_places(p, readers) < 0)
		say_child_is_uncounted(p);
	if (!p->heir.taken && ushp_object_check(&p->object, &st) == 0)
		/* it may not write, but we may still */
		p->heir.noted = ushp_note_in_others(p, true, &p->heir.others_before);
}

/* Did an earlier fork move all that the handle holds to mappings? Then the descriptor is not
 * needed: the child's is opened by name, and compared. */
static bool has_moved(const struct unishm *seg)
{
	const struct posix *p = (const struct posix *)(const void *)seg->priv;
	return p->hold.taken && p->hold.carrier == HOLD_BY_MAPPING && seg->attached > 0 &&
			count_readers(seg) == 0;
}

void ushp_fork_prepare(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	bool idle = seg->attached == 0 && !p->hold.taken;
	p->heir = no_heir;
	if (has_moved(seg)) {
		claim_for_child(seg);
	} else if (!idle && ushp_ready(seg) == 0) {
		if (ushp_sys_lock_owner == LOCK_OF_DESCRIPTION && ushp_hold_move(seg, false) < 0)
			say_child_is_uncounted(p); /* the child shares our lock */
		if (seg->attached > 0)
			claim_for_child(seg);
	} else if (seg->attached > 0) {
		say_child_is_uncounted(p);
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

/* Has the child taken its lock? Then the word of its slot says B. */
static bool child_holds(const struct posix *p)
{
	struct lock_file file = heir_file(p);
	struct record_slot now;
	struct range found;
	if (p->heir.taken)
		return ushp_record_read_slots(&p->object, p->heir.index, 1, &now) < 0 ||
				now.word != p->heir.entry.word;
	const struct range ask = { p->heir.place, p->heir.place };
	return ushp_lock_find_foreign(&file, LOCK_OF_PROCESS, ask, &found) != 0;
}

/* What the process holds for the child must be the child's before it is given up. The pipe is also
 * closed if the child dies before that. Without a pipe (no descriptors are left) the parent looks
 * for the lock. Signals do not prolong the wait, and it ends after two seconds. */
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
	struct stat st;
	if (ushp_object_check(&p->object, &st) < 0)
		return; /* the lock ends, and so what the slot says counts nothing */
	if (p->heir.taken && p->object.writable)
		ushp_record_write(&p->object, NULL, record_slot_back(p->heir.index),
				&p->heir.before, sizeof p->heir.before);
	if (p->heir.noted && p->object.writable)
		ushp_record_write(&p->object, NULL, RECORD_OTHERS_BACK, &p->heir.others_before,
				sizeof p->heir.others_before);
}

/* It was opened and compared right before the fork: no code of the program has run since but that
 * of other threads. */
static void close_heirs(int fd)
{
	if (fd < 0 || !ushp_fd_owned(fd, &heir_owner))
		return;
	ushp_fd_own(fd, NULL);
	ushp_lock_close(fd);
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
	close_heirs(heir->fd);
	*heir = no_heir;
	p->checked = UNCHECKED;
}

/* ---- In the child: no call may ask for memory or wait for a thread ------------------------ */

/* True: it is gone, or was not inherited. */
static bool shed(struct unishm *seg, void *addr, size_t length, bool is_under_way)
{
	if (!ushp_data_is_inherited(&posix_of(seg)->object, addr, length))
		return true;
	for (unsigned i = 0; i < seg->attached; i++)
		if (seg->attachments[i].addr == addr)
			return true; /* the call has mapped the data there */
	if (!is_under_way)
		unishm_sys.munmap(addr, length);
	return !is_under_way;
}

/* A call that is under way may map something at an address where the parent had a mapping that is
 * not inherited. So the address is forgotten now, or the call's own mapping could be mistaken for
 * it. */
void ushp_fork_shed(struct unishm *seg, bool is_under_way)
{
	struct posix *p = posix_of(seg);
	if (!is_under_way) /* the call may have the list of locks locked */
		ushp_lock_close_kept();
	if (shed(seg, p->hold.anchor, 1, is_under_way))
		p->hold.anchor = NULL;
	if (shed(seg, p->pin.addr, seg->size, is_under_way))
		p->pin.addr = NULL;
	for (unsigned i = 0; i < seg->attached; i++)
		if (shed(seg, ushp_reader_page(&seg->attachments[i]), 1, is_under_way))
			ushp_reader_forget_page(&seg->attachments[i]);
}

/* The list of locks was inherited, but the locks by process are the parent's only. */
static void forget_parents_locks(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	if (p->hold.taken && p->hold.carrier == HOLD_BY_PROCESS)
		ushp_lock_forget(p->object.dev, p->object.ino, p->hold.place);
	for (unsigned i = 0; i < seg->attached; i++)
		ushp_reader_forget(p, &seg->attachments[i]);
	if (p->pin.by_process)
		ushp_lock_forget(p->object.dev, p->object.ino, PLACE_PINS + p->pin.epoch);
	p->pin = (struct pin){ 0 }; /* locks in RAM are not inherited */
}

static void forget_hold(struct posix *p)
{
	ushp_record_unmap(&p->hold.map);
	p->hold = (struct hold){ 0 };
}

/* The parent's mapping of the record is ours as well; it may be too short for our slot. A new
 * one is not made by the heir's description, which children would keep then. */
static void have_map(struct posix *p)
{
	struct hold *hold = &p->hold;
	if (hold->map.base && record_slot_back(hold->index) > hold->map.length)
		ushp_record_unmap(&hold->map);
	if (!hold->map.base)
		ushp_record_map(p->object.fd, &p->object, hold->index, &hold->map);
}

/* The parent gives up A when the word says B. */
static void take_b_by_process(struct hold *hold, const struct lock_file *file)
{
	uint64_t a = hold->place;
	hold->place = ushp_slot_place(hold->index, SLOT_MOVED);
	hold->entry.word |= SLOT_MOVED;
	ushp_lock_inherit(file, a, hold->place, 1, true);
}

/* The word and the pid, by the description of @fd and not by the mapping: the file may be cut
 * short. */
static void sign_slot(struct posix *p, int fd)
{
	struct object by = p->object;
	by.fd = fd;
	p->hold.entry.pid = (uint32_t)unishm_pid();
	ushp_record_write(&by, NULL, record_slot_back(p->hold.index), &p->hold.entry.word,
			2 * sizeof(uint32_t));
}

static bool is_still_heirs(const struct posix *p, int fd)
{
	struct record_slot now;
	struct object by = p->object;
	by.fd = fd;
	return ushp_record_read_slots(&by, p->heir.index, 1, &now) == 0 &&
			now.word == p->heir.entry.word;
}

static void take_by_description(struct posix *p, const struct lock_file *file)
{
	struct hold *hold = &p->hold;
	hold->carrier = HOLD_BY_DESCRIPTOR;
	if (ushp_map_anchor(file->fd, &hold->anchor) == 0)
		hold->carrier = HOLD_BY_MAPPING;
	have_map(p);
	sign_slot(p, file->fd);
}

/* A parent that was killed within fork() holds A no more. Then a process that counts clears the
 * slot, and it may be another's. It does so with the slot's byte in PLACE_CLEARS locked. With that
 * lock the slot is looked at and signed here: as long as the word is the heir's, no process can
 * take the slot. */
static void take_by_process(struct posix *p, const struct lock_file *file)
{
	struct hold *hold = &p->hold;
	uint64_t clears = PLACE_CLEARS + hold->index;
	bool alone = ushp_lock_briefly(file, clears) == 0;
	if (alone && is_still_heirs(p, file->fd)) {
		hold->carrier = HOLD_BY_PROCESS;
		take_b_by_process(hold, file);
		have_map(p);
		sign_slot(p, file->fd);
	} else {
		ushp_lock_forget(p->object.dev, p->object.ino, hold->place);
		*hold = (struct hold){ .map = hold->map };
		say_child_is_uncounted(p);
	}
	if (alone)
		ushp_lock_end_briefly(file, clears);
}

static void take_over_slot(struct posix *p)
{
	struct heir *heir = &p->heir;
	struct lock_file file = heir_file(p);
	p->hold = (struct hold){ .taken = true,
		.index = heir->index,
		.entry = heir->entry,
		.place = ushp_slot_place(heir->index, 0),
		.map = p->hold.map };
	if (heir->by_process)
		take_by_process(p, &file);
	else
		take_by_description(p, &file);
}

/* One byte each of the places that the parent took. */
static void take_over_readers(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct lock_file file = heir_file(p);
	uint64_t place = p->heir.place;
	unsigned left = p->heir.taken ? count_readers(seg) : seg->attached;
	if (p->heir.by_process && place)
		ushp_lock_inherit(&file, place, place, left, false);
	for (unsigned i = 0; i < seg->attached; i++) {
		struct unishm_attachment *at = &seg->attachments[i];
		if (p->heir.taken && !ushp_reader_is(at))
			continue;
		if (!ushp_reader_inherit(p, at, p->heir.by_process ? -1 : file.fd, place))
			say_child_is_uncounted(p);
		place += place != 0;
	}
}

/* If there is no room for a mapping, the descriptor keeps the description. */
static void close_heir(struct unishm *seg, bool kept_by_mapping)
{
	struct posix *p = posix_of(seg);
	if (p->heir.fd < 0)
		return;
	if (kept_by_mapping)
		close_heirs(p->heir.fd);
	else
		ushp_object_replace(&p->object, p->heir.fd, p->heir.taken);
}

void ushp_fork_child(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct heir heir = p->heir;
	forget_parents_locks(seg);
	if (heir.taken)
		take_over_slot(p);
	else
		forget_hold(p);
	if (heir.place || !heir.taken)
		take_over_readers(seg);
	close_heir(seg, !heir.taken || p->hold.anchor);
	close_end(&heir.pipe[0]);
	close_end(&heir.pipe[1]); /* says that we have it */
	p->heir = no_heir;
	p->checked = UNCHECKED;
}

/* ---- Without preparation --------------------------------------------------------------------- */

/* In a child: it has none of what its parent holds, and takes its own. In a parent: the child
 * shares the descriptor. */
void ushp_fork_missed(struct unishm *seg, bool in_child)
{
	struct posix *p = posix_of(seg);
	if (!in_child) {
		if (ushp_ready(seg) == 0)
			ushp_hold_move(seg, false);
		p->object.shared = true;
		p->checked = UNCHECKED;
		return;
	}
	forget_parents_locks(seg);
	forget_hold(p);
	p->heir = no_heir;
	p->object.shared = true;
	if (p->gone || seg->attached == 0)
		return;
	if (ushp_ready(seg) < 0 || ushp_hold_recount(seg) < 0)
		say_child_is_uncounted(p);
	p->checked = UNCHECKED;
}
