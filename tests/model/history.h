/* SPDX-License-Identifier: MIT */
/*
 * Histories: what up to eight processes do, step by step, drawn from a seed.
 *
 * A step means the same whatever came before it: one that has nothing to work on
 * (a dead actor, a handle that is not open) is passed over by the driver or is an
 * error that both backends must agree on. So any part of a history is a history,
 * and shrinking is leaving out.
 */
#ifndef UNISHM_MODEL_HISTORY_H
#define UNISHM_MODEL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	ACTORS = 8,
	HANDLES = 4, /* of an actor */
	SLOTS = 6,   /* attachments of an actor */
	KEYS = 4,    /* 0: private; 1 to KEYS: keys */
	USERS = 3,   /* root and two others */
	ARGUMENTS = 5,
	ARENA_PAGES = 512, /* where actors attach at addresses of their choice */
	ARENA_TAKEN = 8,   /* the page where something is mapped already */
	ARENA_TAKEN_PAGES = 2,
};

enum op {
	OP_SPAWN, OP_OPEN, OP_OPEN_ID, OP_CLOSE, OP_ATTACH, OP_ATTACH_AT, OP_DETACH, OP_WRITE,
	OP_CHMOD, OP_CHOWN, OP_BECOME, OP_UMASK, OP_LOCK, OP_UNLOCK, OP_REMOVE, OP_FORK, OP_EXEC,
	OP_EXIT, OP_KILL, OP_VFORK, OP_POSIX_SPAWN, OP_LIST, OP_PAUSE,
	OP_CLOSE_FDS,
	OP_MOVE, /* to another mount namespace, which has objects of its own */
	OP_HIDE, OP_SCRIBBLE, /* strangers.h */
	OPS,
	/* Said by the driver alone. */
	OP_LOOK = OPS, OP_END,
};

/* How to open: bits of that argument. */
enum {
	HOW_CREATE = 1, HOW_EXCL = 2, HOW_INIT = 4, HOW_INIT_FAILS = 8, HOW_NORESERVE = 16,
	HOW_BAD_OFLAG = 32,
};

/* What the program's own fork handlers close: bits of that argument. */
enum { CLOSE_BEFORE_FORK = 1, CLOSE_IN_CHILD = 2, CLOSE_IN_PARENT = 4, CLOSE_AND_REPLACE = 8 };

/* Which address to detach. */
enum { DETACH_SLOT, DETACH_NULL, DETACH_INSIDE, DETACH_LAST, DETACH_KINDS };

/* Offsets of OP_ATTACH_AT that are no pages of the arena. */
enum { AT_NULL = -1, AT_TOP = -2, AT_KERNEL = -3 };

/* What to compare after a step. */
enum { LOOK_RESULT, LOOK_HANDLE, LOOK_ALL };

struct step {
	uint8_t op;
	uint8_t actor;
	uint8_t look;
	uint8_t thread; /* done by a thread made for it */
	int32_t arg[ARGUMENTS];
};

struct history {
	uint64_t seed;
	size_t count, room;
	struct step *steps;
};

/* A sequence of numbers, the same for the same seed everywhere. */
uint64_t draw(uint64_t *state);
unsigned below(uint64_t *state, unsigned bound);

/* @count steps from @seed; @users: how many users there are to be; @pause: with a
 * wait of more than a second amidst, so that times can be told apart. */
void history_generate(struct history *history, uint64_t seed, size_t count, unsigned users,
		bool pause);
void history_copy(struct history *to, const struct history *from);
void history_free(struct history *history);

/* Leave out @count steps from @at on. */
void history_cut(struct history *history, size_t at, size_t count);

/* "attach actor=1 handle=0 slot=2 flags=rdonly look=2" */
void step_print(FILE *out, const struct step *step);
void history_print(FILE *out, const struct history *history);

/* Read what history_print() wrote; false, with a word on stderr, if it is not
 * that. Lines that begin with # are comments. */
bool history_read(struct history *history, FILE *in);

/* Make a smaller history that @fails still says true of. */
void history_shrink(struct history *history, bool (*fails)(const struct history *history));

#endif
