/* SPDX-License-Identifier: MIT */
/* Broken on purpose: variants of the library that the tests in this directory must find. */
#ifndef UNISHM_MODEL_MUTANTS_H
#define UNISHM_MODEL_MUTANTS_H

#include <stdbool.h>

#include "sys.h"

/* Which variant this process is, or NULL. */
extern const char *mutant;

/* Become the one called @name; false: there is no such. */
bool mutate(const char *name);

/* Print each with the program that is to find it. */
void mutants_list(void);

/* The system calls as they were. */
extern struct unishm_sys mutants_real;

/* What is wrong with functions between the files of the POSIX backend: see wrapped.c. */
struct broken {
	bool counts_once;       /* the second reading of the words is not made */
	bool stops_at_wide_locks; /* and does not see what is behind them */
	bool believes_number;   /* a descriptor is ours if its number once was */
	bool believes_file;     /* and if it leads to the file, whoever has it */
	bool claims_nothing;    /* a maker takes no claim */
	bool looks_once;        /* a sweeper does not read the record again */
	bool unlinks_by_name;   /* a remover does not look what the name leads to */
	bool moves_nothing;     /* a fork leaves locks at the descriptor that children share */
	bool numbers_by_clock;  /* operations are numbered by CLOCK_MONOTONIC */
	bool believes_removed;  /* the record says removed, so it is */
	bool reaps_unlocked;    /* a slot is cleared as dead without its lock */
	bool keeps_record;      /* the record's mapping, by which a hold is carried, stays */
	bool counts_nothing_out;
	bool permits_all;
};
extern struct broken broken;

#endif
