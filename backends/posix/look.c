/* SPDX-License-Identifier: MIT */
#include "look.h"

#include <errno.h>

#include "by_id.h"

/* The common case: there is no lock at all. */
bool ushp_is_unused(const struct unishm *seg)
{
	const struct posix *p = (const struct posix *)(const void *)seg->priv;
	struct lock_file file = ushp_object_locks(&p->object);
	struct range found;
	ushp_record_fence();
	return seg->attached == 0 &&
			ushp_lock_find(&file, (struct range){ PLACE_SLOTS, PLACE_END }, false,
					&found) == 0;
}

int ushp_look(struct unishm *seg, struct view *view)
{
	int rc = ushp_record_read_tail(&posix_of(seg)->object, &view->tail);
	return rc < 0 ? rc : ushp_look_on(seg, view);
}

int ushp_look_if_gone(struct unishm *seg, struct view *view)
{
	struct posix *p = posix_of(seg);
	int rc = ushp_record_read_tail(&p->object, &view->tail);
	if (rc < 0)
		return rc;
	p->epoch = view->tail.head.lock_epoch;
	view->removed = p->st.st_nlink == 0 || ushp_says_removed(p, &p->st) ||
			view->tail.head.removed;
	return view->removed ? ushp_look_on(seg, view) : 0;
}

int ushp_look_on(struct unishm *seg, struct view *view)
{
	struct posix *p = posix_of(seg);
	int rc = 0;
	view->removed = ushp_is_removed(p, &p->st, view->tail.head.removed);
	/* A remover is between its two steps. Attachers must see the removal before the count is
	 * taken, so record it now. */
	if (view->removed && !view->tail.head.removed && p->object.writable)
		ushp_record_put_word(&p->object, RECORD_HEAD_FIELD(removed), 1);
	ushp_record_fence();
	rc = ushp_census(seg, &view->tail, &view->census);
	if (rc < 0)
		return rc;
	p->epoch = view->tail.head.lock_epoch;
	p->gone = view->removed && view->census.attached == 0 && ushp_by_id_destroy(seg) == 0;
	return p->gone ? -EIDRM : 0;
}
