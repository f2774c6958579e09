/* SPDX-License-Identifier: MIT */
/*
 * Actors: real processes that do each step on both backends, side by side, and
 * say what came of it.
 *
 * An actor talks to the driver through a seat, one of a few socket pairs that are
 * made before the first actor and inherited by all: so a forked actor only moves
 * to the seat of its new number. It ends when the driver does.
 */
#ifndef UNISHM_MODEL_ACTOR_H
#define UNISHM_MODEL_ACTOR_H

#include <sys/types.h>

#include "history.h"
#include "unishm.h"

enum { SYSV, POSIX, BACKENDS };
extern const char *const backend_names[BACKENDS];

enum {
	SEATS_AT = 100, /* the descriptor of the first actor's seat */
	LIST_MOST = 96, /* segments that fit into an answer */
	FIRST_USER = 7000,
	FIRST_GROUP = 7100,
};

/* The ids of user @number (0: who runs the test, usually root), who is in one
 * group more: that of the user before. */
uid_t user_id(unsigned number);
gid_t group_id(unsigned number);

struct command {
	struct step step;
	int id[BACKENDS]; /* of OP_OPEN_ID */
	int32_t base_key;
};

/* Not played: it would do what the contract leaves open, or the slot is taken.
 * Greater than any errno. */
enum { NOT_PLAYED = 100000 };

struct seen_handle {
	bool open;
	int rc[BACKENDS];
	struct unishm_status st[BACKENDS]; /* .backend is only valid in the actor */
	bool backend_wrong;
};

struct seen_slot {
	bool used;
	bool gone[BACKENDS];    /* it is not mapped any more */
	bool differs;           /* the two hold different bytes */
	size_t at;              /* first such byte */
	unsigned char byte[BACKENDS];
};

struct reply {
	uint8_t op;
	int pid;
	int rc[BACKENDS];
	bool touched[BACKENDS];   /* an output, by a call that failed */
	bool wordless[BACKENDS];  /* failed without unishm_errmsg() */
	char message[BACKENDS][200];

	/* Open: facts of the handle, and what its init callback met. */
	int id[BACKENDS];
	key_t key[BACKENDS];
	size_t size[BACKENDS];
	bool created[BACKENDS];
	int inits[BACKENDS];
	int dirty[BACKENDS]; /* bytes that were not zero */

	/* Detach and close: pages that are still mapped afterwards. */
	int still_mapped[BACKENDS];
	unsigned displaced; /* slots that a remap replaced, as bits */

	/* The end: what is left when all is closed. */
	int descriptors, mappings;
	int stolen; /* of descriptors that are the program's own */

	struct seen_handle handle[HANDLES];
	struct seen_slot slot[SLOTS];

	int listed[BACKENDS];
	struct unishm_status list[BACKENDS][LIST_MOST]; /* sent as far as used */
};

/* Be actor @number, until told to end. @fresh: began with nothing open. */
_Noreturn void actor_run(unsigned number);

/* What the program's main() does when an actor executes it anew. */
bool actor_is_reborn(int argc, char **argv);

/* Bytes of a reply that need be sent. */
size_t reply_length(const struct reply *reply);

#endif
