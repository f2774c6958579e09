/* SPDX-License-Identifier: MIT */
/*
 * Strangers: programs without the library that use its objects. One maps each segment that is
 * about to be removed, and must keep its bytes; one locks wide ranges, as whoever may read can;
 * one writes into the record, as whoever may write can. None of that is to change what the
 * library says. The driver plays them all.
 */
#ifndef UNISHM_MODEL_STRANGERS_H
#define UNISHM_MODEL_STRANGERS_H

#include "compare.h"

/* A stranger's step (OP_HIDE, OP_SCRIBBLE). False: there is nothing to do it to. */
bool strangers_play(const struct world *world, const struct step *step);

/* @segment is about to be removed: map it. */
void strangers_map(const struct world *world, int segment);

/* After a step: are the bytes as they were? @written: by those who are attached. */
void strangers_compare(bool written, struct difference *out);

/* What they keep from being freed, in bytes. */
size_t strangers_memory(void);

/* They let go of everything. */
void strangers_end(void);

#endif
