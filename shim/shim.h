/* SPDX-License-Identifier: MIT */
/*
 * The shim: shmget(), shmat(), shmdt() and shmctl() as Linux has them, on POSIX shared memory.
 *
 *   entries.c                      what libunishm-sysv calls
 *   get.c, attach.c, control.c     the calls, by subject
 *   index.c                        which segments there are: SHM_STAT and SHM_INFO
 *   table.c                        this process's handles by id, its attachments by address
 *   mapped.c                       what the program unmapped or moved itself
 *   known.c                        what shmget() is answered from without a lock
 *   call.c                         around each call
 *   system.c                       the system's limits; whether memory can be read or written
 *
 * Its handles are beneath those of the program (core/handles.c), because a program, or the System V
 * backend of this library, may be at a call of the library when it calls the shim.
 */
#ifndef UNISHM_SHIM_H
#define UNISHM_SHIM_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include "core.h"

/* ---- call.c ------------------------------------------------------------------- */

/* The kernel's set; MIPS has 128 signals. */
enum { SHIM_SET_SIZE = (_NSIG + 6) / 8 };
struct shim_signals {
	unsigned long words[SHIM_SET_SIZE / sizeof(long)];
};

/* Around each call. Signals are blocked meanwhile: a handler may use the same calls, as it may on
 * System V. Forks are held. */
struct shim_call {
	bool inner; /* the library is in the midst of a call, and calls */
	bool mute;  /* an outer one is of the shim, too */
	int state, type; /* of cancellation: then as it is; else as an outer call has noted it */
	struct shim_signals mask;
};

int ushs_begin(struct shim_call *call);
void ushs_end(const struct shim_call *call);

/* ---- table.c ------------------------------------------------------------------ */

/* A segment of which this process has a handle: one, however many attachments it has. */
struct shim_segment {
	struct shim_segment *next; /* in its bucket */
	struct unishm *seg;
	unsigned uses;     /* calls that are at it */
	unsigned attached;
	bool idle;         /* it is counted as such */
	uint64_t last_use; /* when it was left idle */
};

/* The segment with this id, for a use; it is opened if it is not yet. -ENOENT, -EACCES. */
int ushs_use(int id, struct shim_segment **out);

/* The same for a handle that was just opened, which is closed if there is one already. */
int ushs_use_opened(struct unishm *seg, struct shim_segment **out);

/* The same for the owner, also if its mode does not let them open it. -EPERM: another's. */
int ushs_use_as_owner(int id, struct shim_segment **out);

/* The end of a use. */
void ushs_leave(struct shim_segment *segment);

/* Open a handle by @open. Where no descriptor is left, idle handles give theirs. */
int ushs_open(struct unishm **seg, int (*open)(struct unishm *seg, void *arg), void *arg);

/* Close the idle handles of segments that are destroyed: they keep memory. */
void ushs_let_go_of_destroyed(void);

/* @segment was attached at @addr: remember it. -ENOMEM. */
int ushs_note_attachment(struct shim_segment *segment, void *addr, bool replaced);

/* Which segment is attached at @addr, for a use, and take it off the list; NULL: none. If it could
 * not be detached, it comes back by ushs_note_attachment(). */
struct shim_segment *ushs_take_attachment(const void *addr);

/* The attachment at @from is at @to now; NULL: nowhere. */
void ushs_move_attachment(struct shim_segment *segment, void *from, void *to);

/* A segment with this id that this process has attached, for a use; NULL. And the one with the next
 * id that is attached; begin with -1. */
struct shim_segment *ushs_use_attached(int id);
struct shim_segment *ushs_use_next_attached(int id);

/* Has this process attached anything? */
bool ushs_was_used(void);

/* This process ends: the names of removed segments that only it has attached can go. */
void ushs_leave_all(void);

/* ---- mapped.c ----------------------------------------------------------------- */

/* Count out what the program has unmapped by itself. */
void ushs_see_what_is_mapped(struct shim_segment *segment);

/* @addr is not known: has the program moved an attachment to it? Then it is by now. */
bool ushs_see_what_moved_to(const void *addr);

/* ---- known.c ------------------------------------------------------------------ */

/* What is known of a segment that was found by its key; it stays true as long as the descriptor
 * leads to the file, and the file has both its names. */
struct shim_known {
	key_t key;
	int id;
	int fd;
	dev_t dev;
	ino_t ino;
	size_t size;
};

/* Found without a lock: fills in @st, of now. Async-signal-safe. */
bool ushs_find_known(key_t key, struct shim_known *known, struct stat *st);

/* Remember, and forget, that of @seg. With the table locked. */
void ushs_remember(struct unishm *seg);
void ushs_forget(struct unishm *seg);

/* ---- index.c ------------------------------------------------------------------ */

/* Destroy what is removed and not attached any more, unless that was looked for just now. @now: in
 * any case. */
void ushs_sweep(bool now);

/* The highest index in use; how many there are in @used. */
int ushs_highest_index(unsigned *used);
/* The id that index @index leads to, or @index itself if it is an id. -EINVAL. */
int ushs_id_of_index(int index);
/* The same, with a call for each id that there is. */
int ushs_each_id(unsigned *used, void (*visit)(int id, void *arg), void *arg);

/* ---- system.c ----------------------------------------------------------------- */

unsigned long ushs_limit(const char *name, unsigned long otherwise);

/* Can @size bytes there be read, or written? What was there may be lost by the second. */
bool ushs_can_read(const void *from, size_t size);
bool ushs_can_write(void *to, size_t size);

/* ---- attach.c, get.c, control.c ------------------------------------------------ */

int ushs_get(key_t key, size_t size, int flags);
int ushs_attach(int id, const void *where, int flags, void **addr);
int ushs_detach(const void *addr);
struct unishm_shim_layout;
int ushs_control(int id, int command, void *buffer, const struct unishm_shim_layout *layout);

#endif
