/* SPDX-License-Identifier: MIT */
/* Lines on standard error. */
#include <stdarg.h>
#include <string.h>

#include "command.h"
#include "text.h"

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

/* The library's advice names what programs write; here it is an option or a command. */
static const struct {
	const char *api, *here;
} words[] = {
	{ "use UNISHM_NORESERVE", "add --noreserve" },
	{ "UNISHM_NORESERVE", "--noreserve" },
	{ "UNISHM_HUGETLB", "--hugetlb" },
	{ "create it with O_CREAT", "create it with unishm create" },
	{ "attach with UNISHM_RDONLY", "use unishm read" },
};

/* @sentence, which has @room, with all of @api replaced. */
static void replace(char *sentence, size_t room, const char *api, const char *here)
{
	char *at = strstr(sentence, api);
	char rest[sizeof kept];
	if (!at)
		return;
	snprintf(rest, sizeof rest, "%s", at + strlen(api));
	snprintf(at, room - (size_t)(at - sentence), "%s%s", here, rest);
}

const char *library_message(void)
{
	static char sentence[sizeof kept];
	snprintf(sentence, sizeof sentence, "%s", unishm_errmsg());
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		replace(sentence, sizeof sentence, words[i].api, words[i].here);
	return sentence;
}

int library_failed(void)
{
	return fail("%s", library_message());
}

int out_of_memory(void)
{
	return fail("%s: the process has no memory left", this_command->name);
}

const char *plural(unsigned long count)
{
	return count == 1 ? "" : "s";
}

const char *were(unsigned long count)
{
	return count == 1 ? " was" : "s were";
}

/* ---- Did you mean ---------------------------------------------------------- */

enum { LONGEST = 32 };

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters must be added, dropped, replaced or swapped with the next to make @b of @a. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][LONGEST + 1], length = strlen(b), i;
	if (strlen(a) > LONGEST || length > LONGEST)
		return LONGEST;
	for (size_t j = 0; j <= length; j++)
		rows[0][j] = j;
	for (i = 0; a[i]; i++) {
		const size_t *before = rows[(i + 2) % 3], *above = rows[i % 3];
		size_t *row = rows[(i + 1) % 3];
		row[0] = i + 1;
		for (size_t j = 0; j < length; j++) {
			row[j + 1] = least(above[j] + (a[i] != b[j]), 1 + least(above[j + 1],
					row[j]));
			if (i && j && a[i] == b[j - 1] && a[i - 1] == b[j])
				row[j + 1] = least(row[j + 1], before[j - 1] + 1);
		}
	}
	return rows[i % 3][length];
}

const char *closest_name(const char *text, const char *(*name)(size_t), size_t count)
{
	const char *best = NULL;
	size_t most = strlen(text) < 4 ? 1 : 2, found = most + 1;
	for (size_t i = 0; i < count; i++) {
		const char *one = name(i);
		size_t far = one ? distance(text, one) : LONGEST;
		if (far < found) {
			found = far;
			best = one;
		}
	}
	return best;
}

struct hint did_you_mean(const char *name)
{
	struct hint hint = { "" };
	if (name)
		snprintf(hint.text, sizeof hint.text, "; did you mean \"%s\"?", name);
	return hint;
}
