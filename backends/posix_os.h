/* SPDX-License-Identifier: MIT */
/* The places where systems differ, as far as the POSIX backend is concerned:
 * where objects live, how they are published and listed, which locks there are,
 * how memory is mapped at an address and reserved. Every function returns 0 or
 * a descriptor, or a negative errno. */
#ifndef UNISHM_POSIX_OS_H
#define UNISHM_POSIX_OS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "config.h"

/*
 * Two kinds of systems.
 *
 * Linux: an object is a file of a tmpfs. The record is behind the data in it, it
 * is published whole (O_TMPFILE, linkat; or by its length), and attachments are held by locks of
 * open file descriptions, which a mapping keeps alive.
 *
 * All others: some refuse locks on objects (macOS, FreeBSD: EBADF), some cannot
 * list them (macOS, OpenBSD), change their mode (macOS) or read their size
 * exactly (macOS rounds it), and none but macOS and illumos has locks of
 * descriptions, which there end with the descriptor. So a file beside the object,
 * with its name and mode, is what is opened, listed and locked; it holds the
 * record, and the object just the data. Attachments are held by record locks of
 * the process, the oldest kind, which every Unix has.
 */
enum {
	OS_BESIDE = !UNISHM_OS_LINUX,
	OS_PROCESS_LOCKS = !UNISHM_OS_LINUX,
};

enum { OS_NAME_MAX = 16 };

/* Whose is descriptor number @fd? A program that closes ours has its number given to
 * something else, perhaps to another handle's descriptor of the very same object.
 * Every descriptor that is opened here belongs to nobody at first. */
void os_own(int fd, const void *owner);
bool os_owns(int fd, const void *owner);

/* Open the object called @name ("/...", at most 14 characters) for O_RDONLY or
 * O_RDWR. Never follows a link, never blocks, never creates. -EBADMSG: there is
 * something, but no object. */
int os_object_open(const char *name, int access);

/* Not where OS_BESIDE. A new object without a name, with @mode less the umask, and its
 * name, if that is free: -EEXIST. All or nothing.
 *
 * Or one that has its name from the start, and is new to everybody who finds it as long
 * as it is empty. Its maker has it open; if nobody has (os_nobody_has: 0, else -EAGAIN),
 * the maker is dead. */
int os_object_make(mode_t mode);
int os_object_publish(int fd, const char *name);
int os_object_make_named(const char *name, mode_t mode);
int os_nobody_has(int fd, const struct stat *st);

/* The mode that such a new object has besides that of its segment. */
extern const mode_t os_mode_when_new;

/* Where OS_BESIDE: a new file beside, empty and with a mode that says so; -EEXIST.
 * And the object with the data, once that file is ours. */
int os_beside_make(const char *name);
int os_data_make(const char *name, mode_t mode);

/* Is it what somebody makes, or began to make, under that name: no record yet? */
bool os_is_new(const struct stat *st);

/* And may its maker still be at it? He needs microseconds; who cannot find out whether he
 * lives believes it for ten seconds. */
bool os_is_young(const struct stat *st);

/* The object with the data, to be mapped and closed. */
int os_data_open(const char *name, int access);

/* Object and file beside have one mode and owner. -ENOTSUP where that cannot be had:
 * on macOS an object keeps those that it was made with. */
int os_data_chmod(const char *name, mode_t mode);
int os_data_chown(const char *name, uid_t user, gid_t group);

int os_object_unlink(const char *name);

/* What does @name lead to now? */
int os_object_stat(const char *name, struct stat *st);

/* Another description of what @fd is open on; for when its name is gone. */
int os_reopen_fd(int fd, int access);

/* The same of what is mapped in [@addr, @addr + @length). */
int os_reopen_mapped(const void *addr, size_t length, int access);

/* All names, without the slash, and their inodes. Stops and returns what @found
 * returns if that is not 0. */
int os_object_list(int (*found)(const char *name, ino_t inode, void *arg), void *arg);

/* Give [@offset, @offset + @length), which nobody wrote yet, memory now. -ENOSPC;
 * -EOPNOTSUPP if that needs writing to it and @write is false. */
int os_reserve(int fd, off_t offset, off_t length, bool write);

/* Map exactly at @where, if nothing is there: -EINVAL. */
int os_map_at(void *where, size_t length, int prot, int fd, void **addr);

/* Where to ask for a mapping of the library's own, so that it does not take what the
 * program just gave back, or is about to ask for; NULL: the system is to choose. */
void *os_place_for_own(void);

/* Keep a range that is wholly free from being given to others, until something is mapped
 * over it. NULL if it is not free. */
void *os_hold_range(void *where, size_t length);

/* This mapping is not for children. */
int os_dont_inherit(void *addr, size_t length);

/* In a child: see that it has none of such a mapping. */
void os_drop_inherited(void *addr, size_t length);

/* ---- Locks ---------------------------------------------------------------
 *
 * Of an open file description, or of the process (core of POSIX, and all that
 * some systems have): see posix_seat.h for what each is good for. */

struct os_lock {
	int fd;
	bool by_process;
};

/* Take a shared lock on [@at, @at + @length); @exclusive needs a writable fd.
 * -EAGAIN if somebody else's is in the way. */
int os_lock(struct os_lock how, uint64_t at, uint64_t length, bool exclusive);

void os_unlock(struct os_lock how, uint64_t at, uint64_t length);

/* Some lock within [@at, @end]: 1, and where; or 0. Those of this process do not
 * show where OS_PROCESS_LOCKS. */
int os_lock_find(int fd, uint64_t at, uint64_t end, uint64_t *from, uint64_t *to);

#endif
