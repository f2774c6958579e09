/* SPDX-License-Identifier: MIT */
/*
 * Away from everybody else's segments: where the system allows, the programs of
 * this directory live in namespaces of their own, with their own System V
 * segments and their own /dev/shm, which vanish with them.
 */
#ifndef UNISHM_MODEL_ISOLATE_H
#define UNISHM_MODEL_ISOLATE_H

#include <stdbool.h>
#include <stddef.h>

/* Enter them; false: that is not to be had. */
bool isolate(void);

/* Have another time namespace ready, in which CLOCK_MONOTONIC is a day ahead; and
 * in a new process, enter it or stay in our own. */
void isolate_shift_clocks(void);
void isolate_choose_clock(bool ahead);

/* Where this process goes, other objects are. -errno. */
int isolate_move_away(void);

/* Objects of the POSIX backend, by segment id. */
bool isolate_has_object(int id);
void isolate_drop_object(int id);
bool isolate_name_of_object(int id, char *name, size_t room);
int isolate_count_objects(void);

/* Only when isolated: bytes of all shared memory, number of System V segments, and
 * how to remove all. */
size_t isolate_posix_memory(void);
size_t isolate_sysv_memory(void);
int isolate_count_segments(void);
void isolate_sweep(void);

#endif
