/* SPDX-License-Identifier: MIT */
/* Where the backends may differ: the whole list, each with its reason. */
#ifndef UNISHM_MODEL_EXPECTED_H
#define UNISHM_MODEL_EXPECTED_H

#include "world.h"

/* Why this step is not played; NULL: it is. */
const char *expected_step(const struct world *world, const struct step *step);

/* Is this step not played under an emulator of processors, which gets it wrong? And
 * a line for each thing that is left out so. What can be put right is in emulator.c. */
bool expected_of_emulator(const struct world *world, const struct step *step);
void expected_tell_of_emulator(FILE *out, const char *emulator);

/* May this actor's view of that segment's permissions differ? */
bool expected_rights(const struct world *world, unsigned actor, int segment);

/* Fields of the status that need not agree. */
struct expected_fields {
	bool last_op, attach_time, detach_time;
	bool may_be_inexact; /* POSIX may say so of last_op and detach_time */
	bool number_may_be_inexact;
	bool locked[BACKENDS]; /* what each must say */
};
struct expected_fields expected_status(const struct world *world, int segment, bool reader);

#endif
