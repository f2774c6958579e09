/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share.
 *
 * An input is read from its beginning: each byte is a choice, and an input that ends goes on with
 * zeros. A target lives in namespaces of its own (tests/isolate.h); where there are none, it
 * refuses to run. What is found ends the process, so that libFuzzer keeps the input.
 */
#ifndef UNISHM_FUZZ_H
#define UNISHM_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unishm.h"

struct input {
	const uint8_t *at;
	size_t left;
};

uint8_t take_byte(struct input *in);
uint32_t take_word(struct input *in);

/* A number below @most + 1. */
unsigned take_up_to(struct input *in, unsigned most);

/* A number of 64 bits of which the ends of all ranges are likely. */
uint64_t take_number(struct input *in);

/* Once, from LLVMFuzzerInitialize(). @capabilities: keep those of root. */
void fuzz_begin(bool capabilities);

/* End the process with a line on what is wrong. */
_Noreturn void fuzz_found(const char *file, int line, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
#define CHECK(condition, ...) \
	((condition) ? (void)0 : fuzz_found(__FILE__, __LINE__, __VA_ARGS__))

/* What a call answers: 0 or an errno, and then a sentence. */
void check_answer(const char *call, int rc);

/* Descriptors and mappings of shared memory that this process has, without those that the library
 * keeps for the process, and without mappings of the file that ends so (NULL: none). */
unsigned count_descriptors(void);
unsigned count_mappings(const char *without);

#endif
