/* SPDX-License-Identifier: MIT */
/*
 * Seats, lights and marks: how attachments are counted so that the count is exact
 * whatever happens to whom.
 *
 * The kernel drops a lock with the open file description that holds it, and a
 * description with the last descriptor and mapping made through it. So a seat is
 * a description of its own, opened anew, with one shared lock at a place that
 * nobody else uses, held by nothing but a private mapping (of the record) that
 * children do not inherit; its descriptor is closed at once. Then:
 *   - exit, exec and SIGKILL end the mapping and with it the seat, in the kernel,
 *     before anyone can wait for the process;
 *   - a program that closes every descriptor does not touch it;
 *   - opening, listing and closing the segment elsewhere in the process does not
 *     touch it (as it would a lock of the process, which goes with any close);
 *   - a child has no share in it: neither adds nor keeps a seat of its parent.
 *
 * A handle that may write takes one seat, at its second attach (or the first that can be
 * no light, or when its status is asked for again), and keeps it: a slot of the record whose word holds a nonce and the number of attachments. The
 * lock, at a place made of slot and nonce, proves that the word is alive, so that
 * attach and detach are an atomic add, without a call. A word whose lock is gone
 * counts nothing, and whoever sees that next writes down the detach and frees the
 * slot. The nonce tells a stale word from its successor in the same slot: the
 * lock is taken first, then the word goes from 0 to nonce and count in one
 * compare-and-swap; so a word that is not 0 and has no lock is dead for good.
 *
 * The first attachment of such a handle is a light, since many a handle has no other,
 * and a seat costs an open, a mapping and a page fault. It has an account of its own in
 * the record, written by pwrite() without a mapping: a word as above, and who and when.
 * Its lock is exclusive, so that nobody else writes that account, and belongs to the
 * description of the handle's descriptor, through which the attachment is mapped as well:
 * the kernel drops it when both are gone. What a seat is proof against by its make, a
 * light has to be saved from: a child inherits descriptor and attachment, so before a
 * fork the lock moves to a description that it does not (hold_light_apart), and if the
 * program closes the descriptor, the attachment moves to a seat (seat_rescue_light).
 * After a fork the descriptor is shared, and carries no lock any more.
 *
 * A handle that may only read cannot write a word: it takes a mark instead, a
 * seat with a lock at a random place for each attachment.
 *
 * Fork. Before it, the parent opens the child's seat and counts the child's
 * attachments into it. The child inherits that descriptor, maps the seat, and
 * closes it; the parent closes its copy. There is no moment at which the child's
 * attachments are not counted, and if the child dies before it runs, or fork
 * fails, the seat ends with the last copy of the descriptor.
 *
 * When the object cannot be opened for writing any more (the process gave up its
 * privileges) the child gets marks in place of the seat. When it cannot be opened at all
 * (or no descriptors are left) the child's seat, or mark, is a lock of the process
 * instead, on the handle's descriptor: the parent holds its place until the child has
 * it. Such a lock goes when the process closes any descriptor of the object, so while one
 * exists the library closes none (posix_close_fd), but the program may. So then, or when
 * not even that can be had, the record says for good (head.uncounted) that the count may
 * be too low: status calls it inexact, and no memory is freed early.
 *
 * Three gaps are left. Until fork has returned in the parent, it holds a copy of the
 * child's seat, so a child that is killed in that time is counted until then. Who makes
 * a child by a raw clone(2) while a light burns shares it with that child: if it dies
 * first, its attachment is counted until the child ends. And so it is after a fork by
 * who closed all descriptors while a light burned, and cannot open the object any more.
 */
#ifndef UNISHM_POSIX_SEAT_H
#define UNISHM_POSIX_SEAT_H

#include "posix.h"

/* Lock places, beyond the end of any object. */
#define PLACE_BASE (UINT64_C(1) << 62)
#define PLACE_CLAIM (PLACE_BASE - 2)  /* held while an init callback runs, and by sweepers */
#define PLACE_REMOVE (PLACE_BASE - 1) /* held by who takes the name away */
#define PLACE_SLOTS PLACE_BASE        /* + slot << 16 | nonce */
#define PLACE_LIGHTS (PLACE_BASE + (UINT64_C(1) << 31)) /* + light */
#define PLACE_PINS (PLACE_BASE + (UINT64_C(1) << 32)) /* + epoch: unishm_lock() */
#define PLACE_MARKS (PLACE_BASE + (UINT64_C(1) << 33))
#define PLACE_END ((UINT64_C(1) << 63) - 2)

/* Count @new in; everyone sees it from now on. @by_handle: it is mapped through the
 * handle's descriptor, whose lock lives as long as the mapping. -EIDRM: it is a light, and
 * the segment was removed; all others have to ask that afterwards. */
int seat_take(struct unishm *seg, struct unishm_attachment *new, bool by_handle);

/* Count it out. Cannot fail. */
void seat_leave(struct unishm *seg, struct unishm_attachment *old);

/* Is it counted by a light? Then its times are there as well. */
bool seat_is_light(const struct unishm_attachment *attachment);

/* The handle's descriptor was lost. */
void seat_rescue_light(struct unishm *seg);

/* Make the light, if there is one, independent of the handle's descriptor. */
void seat_secure_light(struct unishm *seg);

/* The handle is used often: have the record mapped, if that is in nobody's way. */
void seat_keep_record(struct unishm *seg);

/* Give up the handle's seat, which has no attachments any more. @intact: the record
 * can be touched. */
void seat_close(struct unishm *seg, bool intact);

struct tally {
	unsigned long attached;
	bool coming;       /* somebody is about to be; looked for if it is removed */
	bool locked;       /* a lock of unishm_lock() holds */
	bool buried;       /* the detach of somebody was written down */
	bool unrecorded;   /* someone ended without detaching, and we may not write
			      that down */
	pid_t ended;       /* who */
};

/* Who is attached now? Writes down the detach of those who ended. */
int seat_count(struct unishm *seg, const struct record_head *head, const struct record_light *lights,
		bool removed, struct tally *tally);

/* Is any place locked, but by the handle's own descriptor? 1, 0, or an error: one call,
 * whatever the number of those who are attached. */
int seat_anybody(struct unishm *seg);

/* Map all of the segment for unishm_lock(), with a lock that shows it, or end that.
 * @st: of the object. */
int seat_pin(struct unishm *seg, const struct stat *st, uint32_t epoch);
void seat_unpin(struct unishm *seg);

/* A span of lock places. */
struct span {
	uint64_t from, to;
};

/* As os_lock_find(), and it sees locks of this process too. @st: of @fd. */
int seat_find_lock(int fd, const struct stat *st, uint64_t from, uint64_t to, struct span *found);

/* Lock one place of the object that @p is about; @how.fd is open on it. Those of
 * the process are remembered, so that no close() of ours takes them away. */
int seat_lock_place(const struct posix *p, struct os_lock how, uint64_t place, bool exclusive);
void seat_unlock_place(const struct posix *p, struct os_lock how, uint64_t place);

void seat_fork_prepare(struct unishm *seg);
void seat_fork_parent(struct unishm *seg);
void seat_fork_shed(struct unishm *seg);
void seat_fork_child(struct unishm *seg);

/* Open and close descriptors of objects (where OS_BESIDE: of the files beside) with
 * regard to locks of the process. */
int posix_open_fd(const char *name, int access);

/* Was it opened some time ago? By another user, perhaps, and with a child since that shares
 * its description. */
bool posix_was_parked(int fd);
void posix_close_fd(int fd, dev_t dev, ino_t ino);

#endif
