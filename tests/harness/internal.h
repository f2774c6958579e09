/* SPDX-License-Identifier: MIT */
/* What the files of the harness share; tests include harness.h. */
#ifndef UNISHM_TESTS_HARNESS_INTERNAL_H
#define UNISHM_TESTS_HARNESS_INTERNAL_H

#include "harness.h"

extern bool harness_in_agent;
extern int harness_lifeline[2]; /* the test holds the end to write; no process writes */
extern pid_t harness_runner;

key_t harness_key_of(pid_t owner, int n);

#endif
