/* SPDX-License-Identifier: MIT */
/*
 * The steps before and after each member of the backend's table: core/backend.h. ushp_ready() is
 * the only place that notices that the program closed the handle's descriptor, and does something
 * about it; the members rely on that. ushp_settle() is the only place that gives up a segment that
 * is gone.
 */
#include <errno.h>

#include "entries.h"
#include "look.h"
#include "move.h"
#include "pin.h"

/* ---- Before ------------------------------------------------------------------ */

static void say_uncounted(struct posix *p)
{
	if (ushp_record_put_word(&p->object, RECORD_HEAD_FIELD(uncounted), 1) == 0)
		p->uncounted = false;
}

/* The descriptor is not ours any more. Its description may live on by mappings; holds move to
 * another one before anything else. */
static int recover(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	int rc = ushp_object_renew(&p->object);
	if (rc < 0)
		return rc;
	ushp_hold_move(seg, true); /* if not, the mapped data still keeps the lock */
	rc = ushp_hold_retake(seg);
	return rc < 0 ? rc : ushp_object_check(&p->object, &p->st);
}

/* -EBADF: there is no way to open the object again. -EBADMSG: it was cut short. */
int ushp_ready(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	p->checked = p->gone ? -EIDRM : ushp_object_check(&p->object, &p->st);
	if (p->checked == -EBADF)
		p->checked = recover(seg);
	if (p->checked == 0 && p->uncounted && p->object.writable)
		say_uncounted(p);
	return p->checked;
}

/* ---- After ------------------------------------------------------------------- */

static void see_if_gone(struct unishm *seg, enum end end)
{
	struct posix *p = posix_of(seg);
	struct view view;
	if (seg->attached > 0)
		return;
	if (end == END_REMOVED && ushp_is_unused(seg))
		p->gone = true;
	else if (ushp_object_check(&p->object, &p->st) == 0)
		ushp_look(seg, &view);
}

/* Unmap and close everything that keeps its memory. */
static void let_go(struct unishm *seg)
{
	ushp_unpin(seg);
	ushp_hold_close(seg);
	ushp_object_let_go(posix_of(seg));
}

void ushp_settle(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	enum end end = p->end;
	p->end = END_NOT_SEEN;
	if (end != END_NOT_SEEN && !p->gone)
		see_if_gone(seg, end);
	if (p->removing && !(p->gone && ushp_object_close_ends_removal(&p->object)))
		ushp_object_unlock_removal(&p->object);
	p->removing = false;
	if (p->gone && p->object.fd >= 0)
		let_go(seg);
	else if (p->pin.addr && p->pin.epoch != p->epoch)
		ushp_unpin(seg); /* an unlock ended it */
	p->checked = UNCHECKED;
}
