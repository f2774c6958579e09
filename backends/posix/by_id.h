/* SPDX-License-Identifier: MIT */
/*
 * Segments of the shim (shim/): they can be opened by id at once, and, as Linux allows, be
 * attached after their removal as long as they live. For that such a segment keeps a name by its
 * id, which is its inode's, beside the one by its key:
 *
 *   live                    removed             destroyed
 *   ushm.KEY  ushp.ID       ushr.ID             no name
 *   (private: ushp.ID)
 *
 * The record says by_id. That is no proof of anything, as a name is none: whoever may write the
 * file can write the one and give the other. They say where to look. What proves that the owner
 * has asked for the removal is a bit of the file's mode, S_ISVTX, which only the owner can set.
 *
 * Making. The name by key comes first and the one by id second, both under the lock of removers
 * (PLACE_REMOVE). Whoever is killed between leaves a segment without a name by id: it is found
 * by its key, by id through the list, and removed as any other.
 *
 * Removing. ushr.ID is made, then the file gets the mode bit S_ISVTX, then ushm.KEY goes, then
 * ushp.ID. So a file without that bit and with two names has one by its key. Whoever finds that bit
 * and others of the names as well, and may, ends what a remover left when it was killed.
 *
 * Destroying. The name goes when nothing is attached any more: at the removal, or with the last
 * detach, or, when the last holder was killed or is of a user who may not do it, when a process
 * next makes, lists or finds segments by the shim, or lists them. The destroyer holds
 * PLACE_REMOVE, then stores head.removed, then counts, then takes the name away, then drops the
 * lock.
 *
 * An attacher takes its hold, and if head.removed or that bit is set then, it waits until no
 * process holds PLACE_REMOVE, and then looks whether the file has a name. So none is overlooked.
 * If the attacher saw neither, they were set later, and the destroyer counts later still, and sees
 * the hold. If it saw one and the destroyer did not see the hold, then the count, and so the lock,
 * came before the hold: the attacher has waited for the end of it, and finds no name. A lock of a
 * destroyer that was killed is gone.
 *
 * The wait has a limit of a tenth of a second, since a process that may read the file can hold that
 * lock without end. If a destroyer is stopped between its count and the end of the name for longer,
 * an attacher can be on a segment that then loses its name. It keeps its bytes and is counted.
 */
#ifndef UNISHM_POSIX_BY_ID_H
#define UNISHM_POSIX_BY_ID_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct object;
struct record_head;
struct unishm;

/* Give a new segment, called @name, its name by id, if it can be had. */
void ushp_by_id_publish(const struct object *object, const char *name);

/* The key of the segment whose name by id is @name and whose file has @st: what its record says, if
 * the name by that key leads to the same file; else none. */
key_t ushp_by_id_key(const char *name, const struct record_head *head, const struct stat *st);

/* Between begin and end of a removal: have the name of a removed segment instead of the others, or
 * none if nothing is attached. -ENOENT: it has no name by id. What fails after the file got the
 * mode bit leaves what a remover leaves that was killed there. */
int ushp_by_id_take_names(struct unishm *seg);

/* Has its remover died before it took away the name by which @seg has it open? Then that is done
 * now. */
bool ushp_by_id_is_half_removed(struct unishm *seg, const struct stat *st);

/* A segment to which nothing seems to be attached: if it is removed, take its name away.
 * 0: it has none; 1: it may have one: it is attached, or this user may not, or a check failed. */
int ushp_by_id_destroy(struct unishm *seg);

/* This process ends, and with it the attachments of @seg: if it is removed, and those are all, its
 * name can go. */
void ushp_by_id_leave(struct unishm *seg);

/* ushp_by_id_destroy() for all; how many @names there are, and how many removed ones are @left. */
int ushp_destroy_removed(unsigned *names, unsigned *left);

/* Open what @id names, removed or not. */
int ushp_open_by_id(struct unishm *seg, int id);

/* Open a segment for its owner, whom its mode does not allow to: with a mode, for a moment, that
 * does. -EACCES: this user is not the owner. */
int ushp_open_as_owner(struct unishm *seg, const char *name);

#endif
