/* SPDX-License-Identifier: MIT */
/*
 * The command line: SEGMENT, sizes, ages, counts, modes, columns, options. Each parser gets the
 * words alone, in memory of just their size; then the whole command runs with them. Left out are
 * commands that wait (watch, lock --hold) and the one that looks at all processes (doctor).
 */
#include <stdlib.h>
#include <string.h>

#include "../isolate.h"
#include "fuzz.h"

/* The command's own dispatch(), which is static. */
#define main command_main
int command_main(int argc, char **argv);
#include "../../tools/main.c"
#undef main
#include "segments.h"

enum { WORDS = 8 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_begin(true);
	if (!freopen("/dev/null", "r", stdin))
		exit(1);
	setlocale(LC_CTYPE, "C.UTF-8");
	return 0;
}

static void try_word(const char *word)
{
	struct segment_ref ref;
	struct columns columns = default_columns;
	enum time_format format;
	size_t bytes = 0;
	unsigned long count = 0;
	time_t seconds = 0;
	mode_t mode = 0;
	this_command = &help_command;
	int rc = parse_segment(word, &ref);
	CHECK(rc == DONE || rc == USAGE || rc == FAILED, "parse_segment answers %d", rc);
	CHECK(rc != DONE || ref.by_id || ref.key != UNISHM_PRIVATE, "a private key was parsed");
	CHECK(rc != DONE || !ref.by_id || ref.id >= 0, "id %d was parsed", ref.id);
	rc = parse_new_segment(word, &ref);
	CHECK(rc != DONE || !ref.by_id, "a new segment with an id");
	if (parse_bytes(word, "size", 1, &bytes) == DONE)
		CHECK(bytes >= 1 && *word >= '0' && *word <= '9', "\"%s\" was taken for %zu bytes",
				word, bytes);
	if (parse_age(word, "age", &seconds) == DONE)
		CHECK(seconds >= 0 && seconds <= INT32_MAX, "\"%s\" was taken for %ld s", word,
				(long)seconds);
	if (parse_count(word, "count", &count) == DONE)
		CHECK(count >= 1 && count <= INT32_MAX, "\"%s\" was taken for %lu", word, count);
	if (parse_mode(word, 0640, &mode) == DONE)
		CHECK(mode <= 0777, "\"%s\" was taken for %o", word, (unsigned)mode);
	if (parse_columns(word, &columns) == DONE)
		CHECK(columns.count >= 1 && columns.count <= TABLE_WIDEST, "%zu columns",
				columns.count);
	parse_time_format(word, &format);
}

static void try_command(unsigned which, int count, char **words)
{
	static const char *const names[] = { "list", "show", "create", "remove", "chmod", "chown",
		"unlock", "read", "write", "help", "complete", "rm", "ls", "mk" };
	char *argv[WORDS + 3] = { "unishm",
		(char *)(uintptr_t)names[which % (sizeof names / sizeof *names)] };
	for (int i = 0; i < count; i++)
		argv[i + 2] = words[i];
	chosen_backend = NULL;
	this_command = NULL;
	option_status = 0;
	int rc = dispatch(count + 2, argv);
	CHECK(rc == DONE || rc == FAILED || rc == USAGE, "%s ends with %d", argv[1], rc);
	fflush(stdout);
}

/* A device gives bytes without end. */
static bool is_device(const char *word)
{
	return strstr(word, "dev/") || strstr(word, "proc/");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *words[WORDS];
	int count = 0;
	bool devices = false;
	if (size < 2)
		return 0;
	const uint8_t *end = data + size;
	unsigned which = *data++;
	unsigned descriptors = count_descriptors();
	while (count < WORDS && data < end) {
		const uint8_t *stop = memchr(data, '\n', (size_t)(end - data));
		size_t length = (size_t)((stop ? stop : end) - data);
		words[count] = strndup((const char *)data, length);
		devices |= is_device(words[count]);
		try_word(words[count++]);
		data += length + 1;
	}
	if (!devices)
		try_command(which, count, words);
	while (count > 0)
		free(words[--count]);
	CHECK(count_descriptors() == descriptors, "%u descriptors, %u before", count_descriptors(),
			descriptors);
	if (which & 128)
		isolate_sweep();
	return 0;
}
