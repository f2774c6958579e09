/* SPDX-License-Identifier: MIT */
/* What the files of the test of errors share. */
#ifndef UNISHM_TESTS_ERRORS_H
#define UNISHM_TESTS_ERRORS_H

#include "harness.h"

/* Fail if the two differ in what a refused call may not change. */
void same_status(const struct unishm_status *one, const struct unishm_status *two);

/* Objects of the POSIX backend that are not as the library makes them. find_object() sets
 * object to the path that the object of segment 0 has; put_bytes() makes a file there. */
extern char object[300];
void find_object(void);
void put_bytes(const void *bytes, size_t count);

/* How many unfinished segments unishm_sweep() visits. */
int swept(int flags);

void table_group(Suite *suite);
void message_group(Suite *suite);
void limit_group(Suite *suite);
void object_group(Suite *suite);
void damaged_group(Suite *suite);
void unfinished_group(Suite *suite);

#endif
