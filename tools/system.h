/* SPDX-License-Identifier: MIT */
/* What only some systems tell: system.c; of systemd-logind: logind.c. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* One process and one segment that it attaches. */
struct system_attachment {
	bool sysv;
	int id;
	long pid;
};

/* Visit the attachments of all processes, each mapping once. 0, -ENOTSUP when this system does not
 * tell, or what @visit returned. @unreadable: how many processes could not be looked into. */
int system_attachments(int (*visit)(const struct system_attachment *, void *), void *arg,
		unsigned long *unreadable);
/* Visit the attachments of one process, each with how many of its bytes are mapped by huge pages; a
 * return of @visit other than 0 ends that. Nothing when the process has ended or may not be looked
 * into. 0, -ENOTSUP when this system does not tell, or what @visit returned. */
int system_huge_pages(long pid, int (*visit)(const struct system_attachment *, uint64_t bytes,
		void *), void *arg);
/* "?" when it is not known. */
void system_command(long pid, char *command, size_t room);

/* Visit the objects in the shared memory file system. 0 or -errno (-ENOTSUP). @id: as the library
 * makes it; @ours: it has a name as the library gives them. */
struct system_object {
	const char *name;
	const struct stat *st;
	int id;
	bool ours;
	bool draft; /* ours, and not yet a segment */
};
int system_objects(int (*visit)(const struct system_object *, void *), void *arg);
/* Whether this user may read the object, or could while it existed. */
bool system_may_read(const char *name);
/* The same for a System V segment. */
bool system_may_read_segment(int id);

/* Visit all System V segments, also those that this user may not read. 0, -ENOTSUP or what @visit
 * returned. */
struct system_segment {
	int id;
	uint64_t size, rss, swap; /* bytes */
	bool memory_known;        /* the last two are */
};
int system_segments(int (*visit)(const struct system_segment *, void *), void *arg);

/* The mount that POSIX segments live in, or NULL. */
const char *system_shm_directory(void);

/* Numbers that the system may tell; false when it does not. */
enum system_number {
	SYSTEM_SHMMAX, SYSTEM_SHMALL, SYSTEM_SHMMNI, SYSTEM_SHM_RMID_FORCED,
	SYSTEM_PROTECTED_REGULAR,
};
bool system_number(enum system_number which, uint64_t *value);
const char *system_number_name(enum system_number which);
struct statvfs;
bool system_is_noexec(const struct statvfs *fs);
bool system_open_files(uint64_t *used, uint64_t *limit);

/* Whether this process is in another namespace ("ipc", "mnt") than process 1:
 * 1 yes, 0 no, -1 cannot tell. */
int system_foreign_namespace(const char *kind);

/* What systemd-logind does with the IPC objects of users who log out: 1 removes, 0 keeps,
 * -1 there is no systemd. @origin: the file that says so, or "" for its default. */
int system_remove_ipc(char *origin, size_t room);

#endif
