/* SPDX-License-Identifier: MIT */
/*
 * What the driver knows of the world: who lives, as whom, with which handles and
 * attachments of which segments. It is not a model of shared memory, for which
 * System V is the judge; it holds just what tells the accepted differences
 * (expected.c) from others.
 */
#ifndef UNISHM_MODEL_WORLD_H
#define UNISHM_MODEL_WORLD_H

#include "actor.h"

enum { SEGMENTS = 512 };

struct known_segment {
	int id[BACKENDS];
	key_t key;
	mode_t mode;
	uid_t creator_user, owner_user;
	gid_t creator_group, owner_group;
	bool removed;

	bool locked;        /* the last of lock and unlock was lock */
	uint64_t lockers;   /* handles that hold a lock on POSIX: a bit each */

	/* Of the POSIX record: a process ended and none has written that down
	 * yet; and which fields may be behind the truth, see expected.c. */
	bool end_unseen;
	bool last_op_unsure, attach_time_unsure, detach_time_unsure;
	bool forked_without_rights; /* see expected.c, 7 */
};

struct known_actor {
	bool alive;
	pid_t pid;
	int pidfd;
	unsigned user;
	bool closed; /* all descriptors, once: that of the directory, too */
	bool away; /* where no object can be found by its name */
	struct known_handle {
		int segment; /* -1: not open */
		bool reader; /* was opened without permission to write */
		bool shared; /* with children, or the parent: opened anew before it holds
				anything else */
	} handle[HANDLES];
	struct known_slot {
		int handle;  /* -1: not used */
		bool reader; /* maybe counted by a reader's mark, which leaves no
				trace when the process ends */
	} slot[SLOTS];
};

struct world {
	bool isolated;
	int32_t base_key; /* key number n is this + n */
	struct known_actor actor[ACTORS];
	int segments;
	struct known_segment segment[SEGMENTS];
};

void world_clear(struct world *world);

/* An actor begins, with nothing open, or as the copy of @parent. */
void world_begin(struct world *world, unsigned actor, pid_t pid, int pidfd, unsigned user);
void world_inherit(struct world *world, unsigned child, unsigned parent);

/* Its descriptors were closed, and what it needs was opened anew. */
void world_reopened(struct world *world, unsigned actor);

/* A step was done, with the same result on both. */
void world_update(struct world *world, const struct step *step, const struct reply *reply);

/* Time passes. */
void world_pause(struct world *world);

/* A process that may write the record has looked at @segment. */
void world_looked(struct world *world, int segment);

/* -1: none. */
int world_segment_by_id(const struct world *world, int backend, int id);
int world_segment_by_key(const struct world *world, int32_t number);
int world_segment_of(const struct world *world, unsigned actor, int handle);

bool in_group(unsigned user, gid_t group);

/* May that user do this (4 read, 2 write) by the mode, owner and group? */
bool may(const struct known_segment *segment, unsigned user, unsigned want);

#endif
