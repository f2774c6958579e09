/* SPDX-License-Identifier: MIT */
/*
 * scripts/coverage includes this before every file: children of tests end by _exit(), and what they
 * ran counts as well. What was killed is lost.
 */
#ifndef UNISHM_TESTS_COVERAGE_H
#define UNISHM_TESTS_COVERAGE_H

#ifndef __cplusplus
#include <unistd.h>

extern void __gcov_dump(void);

static inline _Noreturn void coverage_exit(int status)
{
	__gcov_dump();
	_exit(status);
}
#define _exit(status) coverage_exit(status)
#endif

#endif
