/* SPDX-License-Identifier: MIT */
#include "refresh.h"

#include <errno.h>

#include "by_id.h"
#include "pin.h"
#include "sys.h"

static void say_uncounted(struct posix *p)
{
	const uint32_t yes = 1;
	if (ushp_record_write(&p->object, NULL, RECORD_HEAD_FIELD(uncounted), &yes, sizeof yes) == 0)
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
	return ushp_hold_retake(seg);
}

int ushp_refresh(struct unishm *seg, struct stat *st)
{
	struct posix *p = posix_of(seg);
	int rc = ushp_object_check(&p->object, st);
	if (rc == -EBADF) {
		rc = recover(seg);
		if (rc == 0)
			rc = ushp_object_check(&p->object, st);
	}
	if (rc == 0 && p->uncounted && p->object.writable)
		say_uncounted(p);
	return rc;
}

bool ushp_is_removed(const struct posix *p, const struct stat *st, uint32_t word)
{
	return st->st_nlink == 0 || ushp_is_removed_name(p->object.name + 1) ||
			(word && !ushp_object_has_name(&p->object));
}

void ushp_let_go(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	p->gone = true;
	ushp_unpin(seg);
	ushp_hold_close(seg);
	ushp_object_close(&p->object);
}

int ushp_look(struct unishm *seg, struct view *view)
{
	struct posix *p = posix_of(seg);
	const uint32_t yes = 1;
	if (p->gone)
		return -EIDRM;
	int rc = ushp_refresh(seg, &view->st);
	if (rc == 0)
		rc = ushp_record_read(p->object.fd, p->object.record_at, sizeof view->tail, &view->tail,
				sizeof view->tail);
	if (rc < 0)
		return rc;
	view->removed = ushp_is_removed(p, &view->st, view->tail.head.removed);
	/* Between the two steps of a remover: an attacher must see it as well as we do, before the
	 * count is taken. */
	if (view->removed && !view->tail.head.removed && p->object.writable)
		ushp_record_write(&p->object, NULL, RECORD_HEAD_FIELD(removed), &yes, sizeof yes);
	ushp_record_fence();
	rc = ushp_census(seg, &view->tail, &view->census);
	if (rc < 0)
		return rc;
	ushp_check_pin(seg, view->tail.head.lock_epoch);
	if (view->removed && view->census.attached == 0 && ushp_by_id_destroy(seg) == 0) {
		ushp_let_go(seg);
		return -EIDRM;
	}
	return 0;
}
