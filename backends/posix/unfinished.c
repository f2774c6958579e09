/* SPDX-License-Identifier: MIT */
/*
 * The proof. A record that this library wrote says RECORD_MAKING from before its file has a name
 * until it is whole, and PLACE_CLAIM is locked, exclusively, for all that time: the lock is taken
 * before the name is given, and dropped after the record says RECORD_READY. So a process that reads
 * MAKING, then finds no claim, then reads MAKING again, has found the work of a dead process, which
 * no process can finish. A process that may only read cannot take an exclusive lock, so it cannot
 * make the maker look alive.
 *
 * RECORD_REMOVING is what a remover wrote before it took away the first of two names. The remover
 * may be alive or dead. Any process may finish the removal, since its owner asked for it.
 *
 * Its name is taken away under the lock that all removers have, if it still leads to this file.
 */
#include "unfinished.h"

#include <errno.h>

#include "backend.h"
#include "object_sys.h"
#include "record.h"

int ushp_stage(const struct object *object, uint32_t state)
{
	const struct range claim = { PLACE_CLAIM, PLACE_CLAIM };
	struct lock_file file = ushp_object_locks(object);
	struct range found;
	if (state == RECORD_READY)
		return STAGE_READY;
	int rc = ushp_lock_find(&file, claim, true, &found);
	if (rc != 0)
		return rc < 0 ? rc : STAGE_MAKING;
	rc = ushp_record_get(object, RECORD_HEAD_FIELD(state), &state, sizeof state);
	if (rc < 0)
		return rc;
	if (ushp_is_draft_name(object->name + 1))
		return STAGE_ABANDONED; /* drafts have a claim as long as they are drafts */
	return state == RECORD_READY ? STAGE_READY : STAGE_ABANDONED;
}

int ushp_remove_abandoned(const struct object *object, const struct stat *st)
{
	int rc = ushp_object_begin_removal(object);
	if (rc < 0)
		return rc;
	rc = ushp_object_unlink(object);
	ushp_object_end_removal(object);
	if (rc == -EACCES || rc == -EPERM)
		return unishm_because(-EACCES,
				"user %lu was killed while creating or removing it; "
				"that user, or root, must open it first",
				(unsigned long)st->st_uid);
	return rc == -ENOENT ? 0 : rc;
}
