/* SPDX-License-Identifier: MIT */
/* What the files of the test of processes share. */
#ifndef UNISHM_TESTS_PROCESS_H
#define UNISHM_TESTS_PROCESS_H

#include "harness.h"

/* An agent that opened segment 0 and attached it @times times, at last writable. */
struct agent attached_agent(int times);

/* Wait for the end of a process that is not our child. */
void wait_until_gone(long pid);

/* A task: fork; parent and child ask at once. words: 0 the child's answer, 1 the parent's. */
long fork_and_count(long unused);

/* Pipes for a cat(1) that an agent becomes or starts: it reads what the test writes. */
struct cat {
	int in[2], out[2];
};
extern struct cat cat;
void make_cat_pipes(void);
void close_cat_pipes(void);

/* Once cat answers, the new program runs. */
void wait_for_cat(void);

void fork_group(Suite *suite);
void thread_group(Suite *suite);
void end_group(Suite *suite);
void clone_group(Suite *suite);
void user_group(Suite *suite);
void descriptor_group(Suite *suite);
void limit_group(Suite *suite);
void many_group(Suite *suite);

#endif
