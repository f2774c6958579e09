/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <time.h>

#include "entries.h"
#include "look.h"

enum { ALL_EMULATED = 2 * UNISHM_EMULATED_REMOVED - 1 };

/* The last attach, the last detach, and the last of both, over all slots. */
struct last {
	uint64_t attach, detach;
};

static void take_later(struct unishm_status *st, struct last *last, const struct record_slot *slot)
{
	uint64_t before = last->attach > last->detach ? last->attach : last->detach;
	if (slot->attach_op > last->attach) {
		last->attach = slot->attach_op;
		st->last_attach_time = slot->attach_time;
	}
	if (slot->detach_op > last->detach) {
		last->detach = slot->detach_op;
		st->last_detach_time = slot->detach_time;
	}
	if (slot->attach_op > before && slot->attach_op > slot->detach_op)
		st->last_op_process = (pid_t)slot->attach_pid;
	else if (slot->detach_op > before)
		st->last_op_process = (pid_t)slot->pid;
}

static int find_last(const struct posix *p, struct view *view, struct unishm_status *st)
{
	enum { CHUNK = 64 };
	struct record_slot slots[CHUNK];
	struct last last = { 0, 0 };
	uint32_t used = view->tail.head.slots_used;
	if (used > RECORD_SLOTS)
		used = RECORD_SLOTS;
	for (unsigned i = 0; i <= RECORD_INLINE; i++)
		take_later(st, &last, &view->tail.slots[i]);
	for (uint32_t at = RECORD_INLINE; at < used; at += CHUNK) {
		uint32_t count = used - at < CHUNK ? used - at : CHUNK;
		int rc = ushp_record_read_slots(&p->object, at, count, slots);
		if (rc < 0)
			return rc;
		for (uint32_t i = 0; i < count; i++)
			take_later(st, &last, &slots[i]);
	}
	return 0;
}

/* The tail is read in @view. @needed: as ushp_object_permit() has it; 0: none. */
static int tell_on(struct unishm *seg, struct view *view, unsigned needed, struct unishm_status *st)
{
	struct posix *p = posix_of(seg);
	const struct record_head *head = &view->tail.head;
	int rc = ushp_look_on(seg, view);
	if (rc == 0 && needed)
		rc = ushp_object_permit(&p->object, &p->st, ushp_object_is_own(&p->st), needed);
	if (rc == 0)
		rc = find_last(p, view, st);
	if (rc < 0)
		return rc;
	st->removed = view->removed;
	st->key = view->removed ? UNISHM_PRIVATE : seg->key;
	st->mode = p->st.st_mode & 0777;
	st->owner_user = p->st.st_uid;
	st->owner_group = p->st.st_gid;
	st->number_attached = view->census.attached;
	st->locked = view->census.locked;
	st->creator_process = (pid_t)head->creator_pid;
	st->creator_user = (uid_t)head->creator_user;
	st->creator_group = (gid_t)head->creator_group;
	st->last_change_time = head->change_time;
	st->emulated = ALL_EMULATED;
	if (head->uncounted || view->census.hidden || view->census.unsettled)
		st->inexact |= UNISHM_EMULATED_NUMBER_ATTACHED;
	if (view->census.unrecorded) {
		st->last_detach_time = time(NULL);
		st->last_op_process = view->census.ended;
		st->inexact |= UNISHM_EMULATED_LAST_DETACH_TIME | UNISHM_EMULATED_LAST_OP_PROCESS;
	}
	return 0;
}

static int tell(struct unishm *seg, unsigned needed, struct unishm_status *st)
{
	struct view view;
	int rc = ushp_record_read_tail(&posix_of(seg)->object, &view.tail);
	return rc < 0 ? rc : tell_on(seg, &view, needed, st);
}

int ushp_status_on(struct unishm *seg, struct view *view, struct unishm_status *st)
{
	return tell_on(seg, view, 4, st);
}

int ushp_status(struct unishm *seg, struct unishm_status *st)
{
	return tell(seg, 4, st);
}

int ushp_status_any(struct unishm *seg, struct unishm_status *st)
{
	return tell(seg, 0, st);
}
