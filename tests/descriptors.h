/* SPDX-License-Identifier: MIT */
#ifndef UNISHM_TESTS_DESCRIPTORS_H
#define UNISHM_TESTS_DESCRIPTORS_H

/* How many descriptors below number @end are open, without the two that the library keeps for the
 * process once it needs them: of the directory where objects are, and of the list of mappings. */
int open_descriptors_below(int end);

#endif
