/* SPDX-License-Identifier: MIT */
/* A second file that includes the header: all in it must be inline. */
#ifndef UNISHM_TESTS_CXX_OTHER_H
#define UNISHM_TESTS_CXX_OTHER_H

#include <unishm.hpp>
#include <unishm.h>

unsigned long other_number_attached(const unishm::segment &seg);

#endif
