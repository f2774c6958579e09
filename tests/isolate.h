/* SPDX-License-Identifier: MIT */
/*
 * Away from the segments of others: where the system allows, test programs live in namespaces
 * of their own, with their own System V segments and their own /dev/shm, which vanish with the
 * last process in them. Only Linux has such namespaces.
 */
#ifndef UNISHM_TESTS_ISOLATE_H
#define UNISHM_TESTS_ISOLATE_H

#include <stdbool.h>
#include <stddef.h>

/* Enter them; false: this system or this user cannot. Users without privilege get the same ids
 * in a user namespace, and no capabilities. /dev/shm holds 256 MiB. */
bool isolate(void);

/* The next child of this process is process 1 of a pid namespace of its own. -1 and errno. */
int isolate_pids_of_children(void);

/* Only when isolated: bytes of all segments of a backend, and how to remove all segments and
 * objects. */
size_t isolate_posix_memory(void);
size_t isolate_sysv_memory(void);
void isolate_sweep(void);

/* ---- Only on Linux ------------------------------------------------------- */

/* Have another time namespace ready, in which CLOCK_MONOTONIC is a day ahead; and
 * in a new process, enter it or stay in our own. */
void isolate_shift_clocks(void);
void isolate_choose_clock(bool ahead);

/* Be an ordinary user: root passes all modes, and a new user namespace gives all capabilities. */
void isolate_drop_capabilities(void);

/* Give this process another, empty /dev/shm. -errno. */
int isolate_move_away(void);

/* Objects of the POSIX backend, by segment id. */
bool isolate_has_object(int id);
void isolate_drop_object(int id);
bool isolate_name_of_object(int id, char *name, size_t room);
int isolate_count_objects(void);

/* The number of System V segments, if isolated. */
int isolate_count_segments(void);

#endif
