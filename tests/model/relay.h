/* SPDX-License-Identifier: MIT */
/* What relay.c and the links of its chains share. */
#ifndef UNISHM_MODEL_RELAY_H
#define UNISHM_MODEL_RELAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "unishm.h"

enum {
	KEY = 0x7e570001,
	SIZE = 5000,
	CHAINS = 2,
	WATCHERS = 3,
	READER = 7001,
	EACH = 2, /* attachments of a process in a chain */
	LOGS = 6,
	PATIENCE_MS = 10000,
};


/* Shared by all processes. */
extern struct board {
	atomic_bool go, stop;
	_Atomic unsigned ready, ended, failures;
	_Atomic unsigned long questions;
	struct chain {
		_Atomic unsigned generation;
		_Atomic unsigned counted; /* this generation is: see pass_raw() */
		_Atomic unsigned token;   /* see take_turns() */
		_Atomic pid_t pid[2];
	} chain[CHAINS];
} *board;

/* What a process in a chain is. */
extern struct link {
	unsigned number; /* of the chain */
	bool second;     /* of the two that take turns */
	struct unishm *seg;
	void *at[EACH];
	uint64_t random;
	int log[LOGS];
	bool logging;
} me;

void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void wait_a_bit(void);
long long milliseconds(void);
int patience(void);

/* ---- links.c ---------------------------------------------------------------- */

static inline struct chain *mine(void)
{
	return &board->chain[me.number];
}

void attach_all(int flags);

/* Programs' own descriptors are as they were. */
void check_logs(void);

/* The ways of handing on: each returns in the process that has taken over. */
void pass_by_fork(void);
void pass_by_daemon(void);
void pass_with_handlers(void);
void pass_raw(void);
void pass_by_turns(void);
void pass_by_mixed_turns(void);
void pass_by_turns_as_reader(void);

#endif
