/* SPDX-License-Identifier: MIT */
/*
 * How attachments are counted. hold.c counts in and out; slot.c and reader.c have the two kinds of
 * holds, move.c what changes their carrier, fork.c what a child gets, census.c the sum.
 *
 * A hold stands for attachments of one handle in one process. The kernel proves it alive by a
 * lock, and drops that lock when the process ends, whatever ends it. There are two kinds:
 *
 *            slot hold                             reader hold
 *   taken    by a handle that may write, at its    for each attachment of a handle that may only
 *            first attachment; kept until close    read, or when no slot can be had
 *   counts   the number in the slot's word         1
 *   lock     exclusive, on byte A of the slot,     shared, on one byte in PLACE_READERS; its
 *            PLACE_SLOTS + 2 * slot, or on B,      place tells when it was taken
 *            the next, if the word says so
 *   says     who, and when, in the slot            nothing: it may not write
 *   fork     the child gets another slot           the child gets another place
 *   dead     no such lock: the word counts         no lock: it is not there
 *            nothing, and whoever may write
 *            clears it (census.c)
 *
 * What carries the lock (both kinds):
 *
 *   HOLD_BY_DESCRIPTOR  the description of the handle's descriptor, through which the data is
 *                       mapped as well: closing the descriptor does not end it, the last detach
 *                       does.
 *   HOLD_BY_MAPPING     a description of its own, without a descriptor, kept by a mapping that
 *                       children do not inherit and that is never touched (an anchor).
 *   HOLD_BY_PROCESS     the process. Where descriptions have no locks, or none can be opened.
 *
 * Attach takes the lock first, then stores the word, then asks whether the segment was removed.
 * Detach takes the number out of the word; the lock stays, so that the next attachment needs no
 * other. Killed between any two steps, there is a lock without a word, which counts nothing, or a
 * word without a lock, which is dead. Exclusive locks cannot be had by who may only read, and are
 * looked for as such: such a process can neither add to nor take from what slots count. It can add
 * reader holds. It can hide others by a lock over a wide range; that is seen, and the kernel's
 * list of locks asked, or the count called inexact (census.c).
 *
 * Exec and exit drop all descriptions; SIGKILL is exit. A child by vfork() has no memory of its own
 * and no holds. Before fork() (fork.c) a lock by descriptor moves to a mapping, since child and
 * parent share the descriptor and the mappings of data: byte B of the slot is locked by the new
 * description, then the word says B, then A is unlocked: there is no moment without a lock. Then
 * the parent opens the child's description and takes its holds, with all attachments counted in;
 * the child maps an anchor through it for its slot, opens a description of its own for each reader
 * hold, and both close the descriptor. So the child is counted before it exists, and if it never
 * does, the kernel drops it with the parent's descriptor. A child without fork handlers (clone(),
 * _Fork()) has no hold until its first call; until then it keeps alive what it shares with its
 * parent.
 *
 * A program that closes all descriptors does no harm: mappings keep the descriptions. The next
 * call opens the object anew and moves the hold to B of its slot, as fork does.
 *
 * By process: fork() does not inherit such locks. The parent takes A of the child's slot; the child
 * takes B, then writes a word that says B, a pipe tells the parent, and it drops A. Readers: both
 * hold the same shared byte for that time. A close() of any descriptor of the object by the program
 * drops them; then the next call takes new ones. Where a kernel has locks of descriptions and one
 * of the process had to do, the record says for good that the count may be too low.
 */
#ifndef UNISHM_POSIX_HOLD_H
#define UNISHM_POSIX_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "record.h"

struct posix;
struct unishm;
struct unishm_attachment;

enum hold_carrier { HOLD_BY_DESCRIPTOR, HOLD_BY_MAPPING, HOLD_BY_PROCESS };

/* The slot hold of a handle. */
struct hold {
	bool taken;
	enum hold_carrier carrier;
	uint32_t index;
	uint64_t place;            /* of its lock */
	struct record_slot entry;  /* the slot as we wrote it */
	struct record_slot before; /* the last attach: the slot, or what is beside the slots */
	bool noted;                /* beside the slots */
	void *anchor;              /* the page that keeps the description; NULL */
	struct record_map map;     /* of the record; NULL: it is written by pwrite() */
	bool saw_removed;          /* when the record was last read */
};

/* Around fork(): what the child will have. */
struct heir {
	int fd;          /* its description; -1 */
	int pipe[2];     /* closed by the child when it has its locks by process; -1 */
	bool by_process; /* the parent holds them for it as a process */
	bool taken;      /* a slot */
	uint32_t index;
	struct record_slot entry;
	struct record_slot before; /* what was in the slot, in case there is no child */
	uint64_t place;            /* of its reader holds, one byte for each; 0: none */
	bool noted;                /* and without a slot: that it attached */
	struct record_slot others_before;
};

/* Count @new in. -EIDRM: the segment is removed. -ENOSPC: no memory for the slot. When it fails,
 * nothing is counted. The handle's object was checked, and is writable if it may be. @data_keeps:
 * the data is mapped through the handle's descriptor. */
int ushp_hold_add(struct unishm *seg, bool data_keeps, struct unishm_attachment *new);

/* Count @new out again, since it could not be mapped: as if nothing had been. */
void ushp_hold_undo(struct unishm *seg, struct unishm_attachment *new);

/* Count @old out. @usable: the handle's object was checked; @whole: it is not known to be cut
 * short. */
void ushp_hold_remove(struct unishm *seg, struct unishm_attachment *old, bool usable, bool whole);

/* How many attachments the slot counts. */
static inline unsigned ushp_hold_count(const struct hold *hold)
{
	return hold->taken ? hold->entry.word & SLOT_COUNT : 0;
}

/* Give up the slot. @usable: the handle's object was checked. */
void ushp_hold_drop_slot(struct posix *p, bool usable);

/* Write down the slot's word. */
int ushp_hold_put_word(struct posix *p);

/* Give up what the handle still has; it has no attachments any more. */
void ushp_hold_close(struct unishm *seg);

/* Write down an attach or detach that no slot has, if the record can be written. True: it is, and
 * @before has what was there. */
bool ushp_note_in_others(struct posix *p, bool attach, struct record_slot *before);

/* Take holds for all attachments, of which none has any. */
int ushp_hold_recount(struct unishm *seg);

#endif
