/* SPDX-License-Identifier: MIT */
/*
 * What differs between systems about objects, their names and their data. The build chooses one
 * of two kinds:
 *
 * object_linux.c,
 * data_linux.c      An object is a file of a tmpfs, and the record is behind the data in it.
 *                   It is made without a name and gets it when it is whole. Locks belong to
 *                   open file descriptions, which a mapping keeps.
 *
 * object_sidecar.c,
 * data_sidecar.c    Everywhere else. Some systems refuse locks on shared memory objects
 *                   (macOS, FreeBSD: EBADF), some cannot list them (macOS, OpenBSD), change
 *                   their mode (macOS) or tell their size exactly (macOS rounds it). So a file
 *                   of its own beside the object, with the object's name and mode, is what is
 *                   opened, listed and locked; it holds the record, and the object the data.
 *                   Locks belong to processes: the oldest kind, which every Unix has.
 *
 * Each function returns 0 or a descriptor (without owner), or a negative errno.
 */
#ifndef UNISHM_POSIX_OBJECT_SYS_H
#define UNISHM_POSIX_OBJECT_SYS_H

#include <sys/stat.h>

#include "lock_sys.h"
#include "object.h"
#include "record.h"

struct unishm_mapping;
struct unishm_options;

/* Where the record of a segment of @size bytes begins in its file; -1: no file is that large. */
off_t ushp_sys_record_offset(uint64_t size);

/* ---- Files by name ------------------------------------------------------------- */

/* Open the file of the segment called @name, for O_RDONLY or O_RDWR. Never follows a link,
 * never blocks, never creates. -EBADMSG: what has the name is no such file. */
int ushp_sys_open(const char *name, enum place place, int access);

/* Another description of what @fd is open on, which has no name. */
int ushp_sys_reopen_unnamed(int fd, int access);

/* (Linux) Remember the directory that holds files of @dev, for AT_FORMER_PLACE. */
void ushp_sys_remember_directory(dev_t dev);

/* What does @name lead to? -ENOENT. */
int ushp_sys_stat(const char *name, enum place place, struct stat *st);

/* Take the name away: of the file, which @fd is open on, and, where there is one, of the object
 * beside it. A process that is killed between the two has written RECORD_REMOVING. */
int ushp_sys_unlink(int fd, const char *name, enum place place);

/* Another name for the file that @fd is open on, and which has the name @from. -EEXIST. */
int ushp_sys_link(int fd, const char *from, const char *to, enum place place);

/* Is the directory missing altogether? Then the reason is given; returns @rc. */
int ushp_sys_because_missing(int rc);

/* All names, without the slash, and their inodes. Stops at what @found returns if that is
 * not 0, and returns it. */
int ushp_sys_list(int (*found)(const char *name, ino_t inode, void *arg), void *arg);

/* ---- Making ---------------------------------------------------------------------- */

/* A file that is being made. If it has a name, no other process knows it. */
struct draft {
	int fd;
	struct stat st;             /* as it was made; mode and group may have been changed since */
	char name[OBJECT_NAME_MAX]; /* "": none */
};

/* Begin one with exactly @mode and the effective group. */
int ushp_sys_draft(struct draft *draft, mode_t mode);

/* Give it @name for good, at once, if that is free: -EEXIST. Then it is whole, or its record
 * says that it is not. -ENOENT from a draft without a name: try one that has a name. */
int ushp_sys_publish(struct draft *draft, const char *name);

/* The same as ushp_sys_draft() with a name from the start, where ushp_sys_publish() failed. */
int ushp_sys_draft_named(struct draft *draft, mode_t mode);

/* Drop the draft. */
void ushp_sys_discard(struct draft *draft);

/* Must a segment be published before it is whole, under a claim? */
bool ushp_sys_needs_claim(const struct unishm_options *opt);

/* Have memory for the data, as @opt says: before it is published, in the file @fd, where that
 * can be done; and after that, under the claim. The second returns a descriptor by which the data
 * can be mapped: @fd, or another one, which the caller closes. */
int ushp_sys_prepare_data(int fd, const struct unishm_options *opt);
int ushp_sys_make_data(const char *name, const struct unishm_options *opt, int fd);

/* ---- Data ------------------------------------------------------------------------ */

/* A descriptor through which @size bytes of data are to be mapped: the object's own, if it will
 * do, or another one, to be given to ushp_lock_close(). */
int ushp_sys_open_data(const struct object *object, size_t size, int access);

/* Is that a mapping of @object's data? Yes, too, where a mapping does not tell. */
bool ushp_sys_is_data(const struct object *object, const struct unishm_mapping *mapping);

/* Map the end of the record, with slot @index in it, for writing, by the description that keeps
 * @data mapped: for who has lost its descriptor and may open none for writing. @size: of the data.
 * -EACCES: that description, or this system, does not allow it. */
int ushp_sys_map_record_by_data(const struct object *object, void *data, size_t size,
		uint32_t index, struct record_map *map);

/* Modes of a file: its own, and the one that lets its owner open it. */
struct loan {
	mode_t own, lent;
};

/* Open the file called @name, which this user owns and which its mode does not let them open, for
 * reading and writing. Where the modes of @loan differ, it has the lent one then. -EACCES. */
int ushp_sys_open_as_owner(const char *name, struct loan *loan);

/* Give the file of @fd, which was opened so, its own mode. What others did meanwhile stays: another
 * mode, or a removal, which sets S_ISVTX (by_id.h). They are to be kept away: by the lock of
 * removers. */
int ushp_sys_return_mode(int fd, const struct loan *loan);

/* Mode and owner, of all that belongs to the segment. @named: it has its name still. */
int ushp_sys_chmod(const struct object *object, bool named, mode_t mode);
int ushp_sys_chown(const struct object *object, bool named, uid_t user, gid_t group);

/* ---- Permission ------------------------------------------------------------------ */

/* Ask the kernel whether the effective user may do @want (4, 2, 1) with what @fd is open on.
 * -EACCES; -EROFS: no user may write here; -ENOSYS: it does not tell. */
int ushp_sys_access(int fd, unsigned want);

/* And whether that user has the rights of the owner @user. -EPERM. */
int ushp_sys_may_act_as_owner(int fd, uid_t user);

/* Does the place where @object is keep its promises: does a lock outlive its descriptor with
 * a mapping? Tried once for each file system. -ENOTSUP with the reason. */
int ushp_sys_try_place(const struct object *object);

#endif
