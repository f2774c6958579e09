/* SPDX-License-Identifier: MIT */
/* Options and their values; the lines on stderr. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

const struct command *this_command;
const char *chosen_backend;
int option_status;

/* ---- Lines on stderr ------------------------------------------------------ */

static char kept[1400];
static bool keeping;

void keep_errors(bool keep)
{
	keeping = keep;
	if (keep)
		kept[0] = '\0';
}

const char *kept_line(void)
{
	return kept;
}

static void print_line(const char *format, va_list args, const char *tail)
{
	char line[sizeof kept];
	vsnprintf(line, sizeof line, format, args);
	make_printable(line);
	if (keeping) {
		memcpy(kept, line, sizeof line);
		return;
	}
	fflush(stdout); /* keep the order where both go to one place */
	fprintf(stderr, "unishm: %s%s\n", line, tail);
}

void tell(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	print_line(format, args, "");
	va_end(args);
}

int fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	print_line(format, args, "");
	va_end(args);
	return FAILED;
}

int usage_error(const char *format, ...)
{
	char tail[64] = "; see unishm --help";
	va_list args;
	if (this_command)
		snprintf(tail, sizeof tail, "; see unishm %s --help", this_command->name);
	va_start(args, format);
	print_line(format, args, tail);
	va_end(args);
	return USAGE;
}

int library_failed(void)
{
	return fail("%s", unishm_errmsg());
}

/* ---- Options -------------------------------------------------------------- */

static void print_help(void)
{
	printf("Usage: unishm %s %s\n%s.\n\n%s", this_command->name, this_command->arguments,
			this_command->summary, this_command->help);
	puts("  -B, --backend NAME    sysv or posix, for segments given without prefix\n"
		"  -h, --help            this text\n"
		"  -V, --version         the version");
}

static int stop(int status)
{
	option_status = status;
	return '?';
}

bool is_backend(const char *name)
{
	for (const char *const *known = unishm_backends(); *known; known++)
		if (strcmp(*known, name) == 0)
			return true;
	return false;
}

static int bad_option(char **argv, const char *problem)
{
	const char *last = argv[optind - 1];
	if (strncmp(last, "--", 2) == 0)
		return stop(usage_error("option %s %s", last, problem));
	if (optopt >= '0' && optopt <= '9')
		return stop(usage_error("\"%s\" is below zero; a key may be so, after --", last));
	return stop(usage_error("option -%c %s", optopt, problem));
}

int next_option(int argc, char **argv)
{
	opterr = 0;
	for (;;) {
		int c = getopt_long(argc, argv, this_command->shorts, this_command->longs, NULL);
		switch (c) {
		case 'h':
			print_help();
			return stop(DONE);
		case 'V':
			printf("unishm %s\n", unishm_version());
			return stop(DONE);
		case 'B':
			if (!is_backend(optarg))
				return stop(usage_error("backend \"%s\" is not built in", optarg));
			chosen_backend = optarg;
			break;
		case ':':
			return bad_option(argv, "needs a value");
		case '?':
			return bad_option(argv, "is unknown, ambiguous, or takes no value");
		default:
			return c;
		}
	}
}

/* ---- Values --------------------------------------------------------------- */

/* Decimal digits at the start of @text. @end: behind them. False: none, or too many. */
static bool digits(const char *text, uint64_t *number, const char **end)
{
	if (*text < '0' || *text > '9')
		return false; /* strtoull would take a sign and spaces */
	char *behind;
	errno = 0;
	unsigned long long value = strtoull(text, &behind, 10);
	if (errno)
		return false;
	*number = value;
	*end = behind;
	return true;
}

static int too_large(const char *text, const char *what)
{
	return usage_error("%s \"%s\" is too large: this system counts to %zu", what, text, SIZE_MAX);
}

int parse_bytes(const char *text, const char *what, size_t least, size_t *bytes)
{
	static const char suffixes[] = "kmgtKMGT";
	uint64_t number;
	const char *end;
	if (!digits(text, &number, &end)) {
		if (*text >= '0' && *text <= '9')
			return too_large(text, what);
		return usage_error("%s \"%s\" is no number of bytes: give digits and perhaps K, M, G or T",
				what, text);
	}
	unsigned shift = 0;
	const char *suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		shift = 10 * ((unsigned)(suffix - suffixes) % 4 + 1);
		end++;
	}
	if (*end)
		return usage_error("%s \"%s\" ends in \"%s\": only K, M, G or T may follow the digits",
				what, text, end);
	if (number > (uint64_t)SIZE_MAX >> shift) /* a T has more bits than some size_t */
		return too_large(text, what);
	if (number << shift < least)
		return usage_error("%s \"%s\" is too small: it must be %zu or more", what, text, least);
	*bytes = (size_t)(number << shift);
	return DONE;
}

int parse_age(const char *text, const char *what, time_t *seconds)
{
	static const char units[] = "smhdw";
	static const long length[] = { 1, 60, 3600, 86400, 604800 };
	uint64_t number;
	const char *end;
	if (!digits(text, &number, &end))
		return usage_error("%s \"%s\" is no time: give a number and s, m, h, d or w", what, text);
	long unit = 1;
	const char *found = *end ? strchr(units, *end) : NULL;
	if (found) {
		unit = length[found - units];
		end++;
	}
	if (*end || number > (uint64_t)(INT32_MAX / unit))
		return usage_error("%s \"%s\" is no time: give a number up to %ld and s, m, h, d or w",
				what, text, INT32_MAX / unit);
	*seconds = (time_t)number * unit;
	return DONE;
}

int parse_count(const char *text, const char *what, unsigned long *count)
{
	uint64_t number;
	const char *end;
	if (!digits(text, &number, &end) || *end || number < 1 || number > INT32_MAX)
		return usage_error("%s \"%s\" is no number from 1 to %ld", what, text, (long)INT32_MAX);
	*count = (unsigned long)number;
	return DONE;
}

int parse_mode(const char *text, mode_t *mode)
{
	size_t count = strspn(text, "01234567");
	unsigned long bits = count && count <= 6 ? strtoul(text, NULL, 8) : 01000;
	if (text[count] || bits > 0777)
		return usage_error("mode \"%s\" is not octal permission bits, 0 to 0777", text);
	*mode = (mode_t)bits;
	return DONE;
}
