/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../descriptors.h"
#include "../isolate.h"

static int said = 2; /* libFuzzer closes standard error for the target */

/* ---- Input ------------------------------------------------------------------- */

uint8_t take_byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

uint32_t take_word(struct input *in)
{
	uint32_t word = 0;
	for (int i = 0; i < 4; i++)
		word |= (uint32_t)take_byte(in) << 8 * i;
	return word;
}

unsigned take_up_to(struct input *in, unsigned most)
{
	return take_byte(in) % (most + 1);
}

uint64_t take_number(struct input *in)
{
	uint8_t how = take_byte(in);
	if (how < 96)
		return how;
	if (how < 128)
		return take_byte(in) | (uint64_t)take_byte(in) << 8;
	if (how < 192) /* a power of two, and its neighbours */
		return (UINT64_C(1) << (how & 63)) + (uint64_t)(take_byte(in) % 3) - 1;
	if (how < 224)
		return take_word(in);
	if (how < 240)
		return UINT64_MAX - (how & 15);
	uint64_t low = take_word(in);
	return low | (uint64_t)take_word(in) << 32;
}

/* ---- Surroundings ------------------------------------------------------------- */

void fuzz_begin(bool capabilities)
{
	said = fcntl(2, F_DUPFD_CLOEXEC, 100);
	if (!isolate()) {
		fputs("no namespaces: run it as root, or where user namespaces are allowed\n",
				stderr);
		exit(1);
	}
	if (!capabilities)
		isolate_drop_capabilities();
}

void fuzz_found(const char *file, int line, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	dprintf(said, "FOUND: %s:%d: ", file, line);
	vdprintf(said, format, args);
	dprintf(said, "; last message: %s\n", unishm_errmsg());
	va_end(args);
	abort();
}

void check_answer(const char *call, int rc)
{
	CHECK(rc <= 0 && rc > -4096, "%s answers %d", call, rc);
	CHECK(rc == 0 || *unishm_errmsg(), "%s answers %d without a message", call, rc);
}

unsigned count_descriptors(void)
{
	return (unsigned)open_descriptors_below(100);
}

unsigned count_mappings(const char *without)
{
	char line[512];
	unsigned count = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps && fgets(line, sizeof line, maps))
		count += !(without && strstr(line, without)) &&
				(strstr(line, "/dev/shm/") || strstr(line, "/ush") ||
						strstr(line, "/SYSV"));
	if (maps)
		fclose(maps);
	return count;
}
