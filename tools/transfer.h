/* SPDX-License-Identifier: MIT */
/* Copying many bytes: signals and progress. */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the first SIGINT, SIGTERM or SIGHUP is noted and ends a blocking read or write with
 * EINTR; the second one ends the process. */
void transfer_catch_signals(void);
bool transfer_interrupted(void);

/* How much to copy next of what is left. */
size_t transfer_chunk(size_t left);

/* On a terminal, when it takes long, tell how far it is, how fast, and how long it will take.
 * @total 0: not known. */
void transfer_progress(const char *verb, size_t done, size_t total);
/* Wipe what was told. */
void transfer_end_progress(void);

#endif
