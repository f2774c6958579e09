/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>

#include "by_id.h"
#include "entries.h"
#include "look.h"
#include "move.h"
#include "object_sys.h"
#include "pin.h"
#include "sys.h"

static int look_as_owner(struct unishm *seg, struct view *view)
{
	struct posix *p = posix_of(seg);
	int rc = ushp_look_if_gone(seg, view);
	return rc == 0 ? ushp_object_must_own(&p->object, &p->st) : rc;
}

/* If the mode does not let the owner write, this cannot be recorded. */
static void write_head(struct unishm *seg, size_t back, uint32_t value)
{
	struct posix *p = posix_of(seg);
	if (ushp_hold_need_writable(seg) == 0)
		ushp_record_put_word(&p->object, back, value);
}

/* ---- Remove ------------------------------------------------------------------------ */

static int because_unseen(const struct object *object)
{
	return unishm_because(-ENOENT,
			"its name %s leads to something else here, or nowhere: "
			"this process sees another file system (chroot, mount namespace); "
			"remove it from outside",
			object->name);
}

/* The name is checked and removed while other removers are kept away. Whether it is gone can then
 * be seen by the link count of the file. */
static int take_name_away(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	int rc = ushp_object_begin_removal(&p->object);
	if (rc < 0)
		return rc;
	rc = p->by_id || p->st.st_nlink > 1 ? ushp_by_id_take_names(seg) : -ENOENT;
	if (rc == -ENOENT)
		rc = ushp_object_unlink(&p->object);
	if (rc == -ENOENT && ushp_object_check(&p->object, &st) == 0 && st.st_nlink == 0)
		rc = 0; /* another process was faster */
	if (rc == 0)
		ushp_object_after_removal(); /* a close may end the lock: ushp_settle() */
	else
		ushp_object_end_removal(&p->object);
	p->removing = rc == 0;
	return rc;
}

/* The name is gone. If there is no lock, no process is attached or about to attach, and the link
 * count of the file says that it was removed. Otherwise the record must say so for attachers
 * (hold.c). */
static bool is_past(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	return ushp_is_unused(seg) && ushp_object_check(&p->object, &p->st) == 0 &&
			p->st.st_nlink == 0;
}

static bool is_removed_by_now(struct posix *p)
{
	uint32_t word = 0;
	if (ushp_object_check(&p->object, &p->st) < 0)
		return false;
	ushp_record_get(&p->object, RECORD_HEAD_FIELD(removed), &word, sizeof word);
	return ushp_is_removed(p, &p->st, word);
}

int ushp_remove(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct view view;
	if (p->st.st_nlink == 0)
		return look_as_owner(seg, &view); /* removed already, or even gone */
	int rc = ushp_object_must_own(&p->object, &p->st);
	if (rc == 0 && p->object.shared)
		ushp_object_renew(&p->object); /* children would share its lock */
	if (rc == 0)
		ushp_hold_secure(seg); /* a file without a name cannot always be opened again */
	if (rc == 0)
		rc = take_name_away(seg);
	if ((rc == -ENOENT || rc == -EBUSY) && is_removed_by_now(p))
		return look_as_owner(seg, &view);
	if (rc < 0)
		return rc == -ENOENT ? because_unseen(&p->object) : rc;
	p->gone = is_past(seg);
	if (p->gone)
		return 0;
	write_head(seg, RECORD_HEAD_FIELD(removed), 1);
	p->end = END_REMOVED;
	return 0;
}

/* ---- Lock -------------------------------------------------------------------------- */

int ushp_lock(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct view view;
	int rc = look_as_owner(seg, &view);
	if (rc < 0 || (p->pin.addr && p->pin.epoch == p->epoch))
		return rc;
	ushp_unpin(seg); /* an unlock ended it */
	return ushp_pin(seg, p->epoch);
}

/* Does any lock in RAM hold? They have descriptions of their own. */
static int is_locked(const struct posix *p, uint32_t epoch)
{
	struct lock_file file = ushp_object_locks(&p->object);
	uint64_t place = PLACE_PINS + epoch;
	struct range found;
	return ushp_lock_find(&file, (struct range){ place, place }, false, &found);
}

/* A new epoch counts out all locks. Our own ends at once; others' memory can page again when their
 * process next uses the segment, or ends. */
static int end_all_locks(struct unishm *seg, uint32_t epoch)
{
	struct posix *p = posix_of(seg);
	int rc = ushp_record_put_word(&p->object, RECORD_HEAD_FIELD(lock_epoch), epoch);
	if (rc == 0)
		p->epoch = epoch;
	return rc;
}

/* An owner that the mode does not let write cannot end the locks of other processes. */
static int end_own_lock(struct unishm *seg)
{
	struct view view;
	ushp_unpin(seg);
	int rc = ushp_look_if_gone(seg, &view);
	if (rc == 0)
		rc = is_locked(posix_of(seg), view.tail.head.lock_epoch);
	if (rc > 0)
		return unishm_because(-EACCES,
				"another process locked it, and the mode does not let its owner "
				"write, which ending that lock needs; change the mode first");
	return rc;
}

int ushp_unlock(struct unishm *seg)
{
	struct view view;
	int rc = look_as_owner(seg, &view);
	if (rc == 0)
		rc = is_locked(posix_of(seg), view.tail.head.lock_epoch);
	if (rc <= 0)
		return rc;
	rc = ushp_hold_need_writable(seg);
	if (rc == -EACCES || rc == -EBADF)
		return end_own_lock(seg);
	return rc < 0 ? rc : end_all_locks(seg, view.tail.head.lock_epoch + 1);
}

/* ---- Mode and owner ---------------------------------------------------------------- */

/* Before the new mode may take away the right to write: later writes need a descriptor that is
 * opened now. */
static void have_writable(struct unishm *seg)
{
	ushp_hold_need_writable(seg);
}

/* A remover says by a bit of the mode that it has removed a segment of the shim (by_id.h). That bit
 * must stay, so removers are kept away for the moment. If one does not let go of its lock, the mode
 * is changed without. */
static int set_mode(const struct posix *p, bool named, mode_t mode)
{
	struct stat st = p->st;
	bool alone = p->by_id && ushp_object_begin_removal(&p->object) == 0;
	int rc = p->by_id ? ushp_object_check(&p->object, &st) : 0;
	if (rc == 0)
		rc = ushp_sys_chmod(&p->object, named, mode | (st.st_mode & S_ISVTX));
	if (alone)
		ushp_object_end_removal(&p->object);
	return rc;
}

int ushp_chmod(struct unishm *seg, mode_t mode)
{
	struct view view;
	int rc = look_as_owner(seg, &view);
	if (rc < 0)
		return rc;
	have_writable(seg);
	rc = set_mode(posix_of(seg), !view.removed, mode);
	if (rc == 0)
		write_head(seg, RECORD_HEAD_FIELD(change_time), ushp_record_now());
	return rc;
}

int ushp_chown(struct unishm *seg, uid_t user, gid_t group)
{
	struct view view;
	int rc = look_as_owner(seg, &view);
	if (rc < 0)
		return rc;
	have_writable(seg);
	rc = ushp_sys_chown(&posix_of(seg)->object, !view.removed, user, group);
	if (rc == -EPERM)
		return unishm_because(rc,
				"giving a POSIX segment to another user, "
				"or to a group that one is not in, needs privilege; run as root");
	if (rc == 0)
		write_head(seg, RECORD_HEAD_FIELD(change_time), ushp_record_now());
	return rc;
}
