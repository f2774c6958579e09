/* SPDX-License-Identifier: MIT */
/*
 * A segment's file as one handle has it open: which it is, by device and inode; by what name
 * it is found; and a descriptor, which the program may have closed. object_sys.h has what
 * differs between systems.
 */
#ifndef UNISHM_POSIX_OBJECT_H
#define UNISHM_POSIX_OBJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "names.h"
#include "range_lock.h"

struct object {
	int fd;        /* -1: none; object_check() before it is used */
	bool writable; /* @fd is open for writing */
	bool shared;   /* children have the description of @fd, too: no lock belongs to it */
	dev_t dev;
	ino_t ino;
	off_t record_at;            /* where the record begins in the file */
	char name[OBJECT_NAME_MAX]; /* "/..." */
};

/* Take over @fd, which has @st, for @object, of which the name is set. -EMFILE: @fd is
 * closed. */
int ushp_object_bind(struct object *object, int fd, bool writable, const struct stat *st);

/* Does the descriptor still lead to the file, and is the file's record still all there? Fills
 * in @st. 0; -EBADF: the descriptor is not ours any more; -EBADMSG: cut short. Changes
 * nothing. */
int ushp_object_check(const struct object *object, struct stat *st);

/* Open the file anew: another description. By the name that it has, through the directory where
 * it was found, or, if it has no name any more, through the descriptor. Returns a descriptor
 * without owner, to be closed by ushp_lock_close(). -ENOENT and -EBADF: there is no way. */
int ushp_object_reopen(const struct object *object, int access);

/* Have a descriptor again after ushp_object_check() said -EBADF, or another description
 * than children have (@object->shared). -EACCES and -EROFS: the other one would be for reading
 * only, while the one that is there can be written by; it stays. */
int ushp_object_renew(struct object *object);

/* Replace the descriptor by @fd, another one of the same file. */
int ushp_object_replace(struct object *object, int fd, bool writable);

void ushp_object_close(struct object *object);

/* The same in a call that has checked the descriptor. */
void ushp_object_close_checked(struct object *object);

/* By whom can a lock on the handle's descriptor be held? A description that children share holds
 * none of ours, and one cannot be kept where the process has locks of its own. */
enum lock_owner ushp_object_lock_owner(const struct object *object);

static inline struct lock_file ushp_object_locks(const struct object *object)
{
	return (struct lock_file){ object->fd, object->shared, object->dev, object->ino };
}

/* Is the effective user plainly the owner of what has @st? */
bool ushp_object_is_own(const struct stat *st);

/* Ask the kernel, for the effective user, on the file that @object has open and whose status is
 * @st: may it be read (4), written (2), executed (1)? @own: what ushp_object_is_own() says. 0 or
 * -EACCES with the reason. */
int ushp_object_permit(const struct object *object, const struct stat *st, bool own, unsigned want);

/* And may its owner's rights be used: to change mode and owner, to remove, to lock? 0 or
 * -EPERM with the reason. */
int ushp_object_must_own(const struct object *object, const struct stat *st);

/* Keep other processes from removing the name of this file. -EBUSY: another process kept it for a
 * tenth of a second at least. */
int ushp_object_begin_removal(const struct object *object);
void ushp_object_end_removal(const struct object *object);

/* The same in two steps: this thread is done; the lock, which the description's end ends, too. */
void ushp_object_after_removal(void);
void ushp_object_unlock_removal(const struct object *object);
bool ushp_object_close_ends_removal(const struct object *object);

/* After a hold was taken on a removed segment that keeps a name by its id: is it still there? Waits
 * up to a tenth of a second for a process that is about to destroy it and may not have seen that
 * hold: by_id.h. */
bool ushp_object_outlives_removal(const struct object *object);

/* Where a name is looked up: where the system keeps such names; or in that very directory as
 * it was when this process last opened a segment, which works after chroot() as well. */
enum place { AT_SYSTEM_PLACE, AT_FORMER_PLACE };

/* Where does @name lead to this file? -ENOENT: it leads elsewhere, or nowhere, or cannot be seen
 * from here. */
int ushp_object_find(const struct object *object, const char *name, enum place *place);

/* Does the name lead to this file, where it can be seen? */
bool ushp_object_has_name(const struct object *object);

/* Take the name away, if it still leads to this file. Between begin and end of a removal.
 * -ENOENT: it leads elsewhere, or nowhere, or cannot be seen from here. */
int ushp_object_unlink(const struct object *object);

#endif
