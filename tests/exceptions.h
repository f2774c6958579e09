/* SPDX-License-Identifier: MIT */
/* What tests in C need of C++: tests/exceptions.cc. */
#ifndef UNISHM_TESTS_EXCEPTIONS_H
#define UNISHM_TESTS_EXCEPTIONS_H

#include "unishm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Callbacks that are left by an exception; whether the call let it through. */
bool open_with_exception(struct unishm **seg, struct unishm_options *opt);
bool list_with_exception(const char *backend);

#ifdef __cplusplus
}
#endif

#endif
