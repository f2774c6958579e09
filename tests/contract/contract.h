/* SPDX-License-Identifier: MIT */
/* What the files of the contract test share. */
#ifndef UNISHM_TESTS_CONTRACT_H
#define UNISHM_TESTS_CONTRACT_H

#include "harness.h"

bool all_are(const char *bytes, size_t count, char value);

/* Whether nothing is mapped there. */
bool is_free(void *addr, size_t size);

long create_plainly(long n);

struct seen {
	struct unishm_status st[64];
	int count, stop_at, answer;
};

int see(const struct unishm_status *st, void *arg);

/* On POSIX an open handle may keep the page with the record. */
bool data_is_freed(void);

void create_group(Suite *suite);
void init_group(Suite *suite);
void attach_group(Suite *suite);
void open_attached_group(Suite *suite);
void address_group(Suite *suite);
void status_group(Suite *suite);
void remove_group(Suite *suite);
void lock_group(Suite *suite);
void permission_group(Suite *suite);
void library_group(Suite *suite);

#endif
