/* SPDX-License-Identifier: MIT */
/* Do the two backends agree? Each says so, or writes the difference down. */
#ifndef UNISHM_MODEL_COMPARE_H
#define UNISHM_MODEL_COMPARE_H

#include "expected.h"

struct difference {
	bool found;
	char text[700];
};

void differ(struct difference *out, const char *format, ...)
		__attribute__((format(printf, 2, 3)));

/* What a step returned. Before world_update(). */
/* Times that are further apart than this differ. */
void compare_within(long long seconds);

void compare_result(const struct world *world, const struct step *step, const struct reply *reply,
		struct difference *out);

/* One handle's status, and then all that an actor sees. */
void compare_handle(struct world *world, unsigned actor, int handle, const struct reply *reply,
		struct difference *out);
void compare_all(struct world *world, unsigned actor, const struct reply *reply,
		struct difference *out);

/* The segments that an actor is shown. */
void compare_list(const struct world *world, unsigned actor, const struct reply *reply,
		struct difference *out);

#endif
