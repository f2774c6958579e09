/* SPDX-License-Identifier: MIT */
/* Values on the command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"
#include "text.h"

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

/* ---- Sizes ----------------------------------------------------------------- */

static int too_large(const char *text, const char *what)
{
	return usage_error("%s \"%s\" is too large: the most that this system can address is %zu",
			what, text, SIZE_MAX);
}

static int no_size(const char *text, const char *what)
{
	return usage_error("%s \"%s\" is no number of bytes; give digits and perhaps K, M, G or T, "
			"as in 64K, 4KiB, 1.5M", what, text);
}

/* K, M, G or T, KiB and so on, in any case. The shift that it means, or -1. */
static int unit_shift(const char *unit)
{
	static const char units[] = "KMGT";
	if (!*unit || strcasecmp(unit, "B") == 0)
		return 0;
	const char *found = strchr(units, *unit >= 'a' && *unit <= 'z' ? *unit - 'a' + 'A' : *unit);
	if (!found || (unit[1] && strcasecmp(unit + 1, "iB") != 0))
		return -1;
	return 10 * (int)(found - units + 1);
}

/* Digits behind a point, up to 6: @fraction of a @scale. */
static bool parse_fraction(const char **text, uint64_t *fraction, uint64_t *scale)
{
	const char *start = ++*text;
	*fraction = 0;
	*scale = 1;
	for (; **text >= '0' && **text <= '9'; ++*text) {
		if (*text - start == 6)
			return false;
		*fraction = *fraction * 10 + (uint64_t)(**text - '0');
		*scale *= 10;
	}
	return *text > start;
}

int parse_bytes(const char *text, const char *what, size_t least, size_t *bytes)
{
	uint64_t number, fraction = 0, scale = 1;
	const char *end;
	if (!digits(text, &number, &end))
		return *text >= '0' && *text <= '9' ? too_large(text, what) : no_size(text, what);
	if (*end == '.' && !parse_fraction(&end, &fraction, &scale))
		return no_size(text, what);
	if (strlen(end) == 2 && (end[1] == 'B' || end[1] == 'b') && unit_shift(end) < 0)
		return usage_error("%s \"%s\": \"%s\" may mean 1000 or 1024; "
				"write %ciB for powers of 1024", what, text, end, *end);
	int shift = unit_shift(end);
	if (shift < 0)
		return no_size(text, what);
	if (fraction && shift == 0)
		return usage_error("%s \"%s\" is no whole number of bytes", what, text);
	if (number > (uint64_t)SIZE_MAX >> shift) /* a T has more bits than some size_t */
		return too_large(text, what);
	/* Up to whole bytes; a T has 40 bits, a fraction 20. */
	number = (number << shift) + ((fraction << shift) + scale - 1) / scale;
	if (number > SIZE_MAX)
		return too_large(text, what);
	if (number < least)
		return usage_error("%s \"%s\" is too small; give %zu or more", what, text, least);
	*bytes = (size_t)number;
	return DONE;
}

/* ---- Times and counts ------------------------------------------------------ */

int parse_age(const char *text, const char *what, time_t *seconds)
{
	static const char units[] = "smhdw";
	static const long length[] = { 1, 60, 3600, 86400, 604800 };
	uint64_t number;
	const char *end;
	if (!digits(text, &number, &end))
		return usage_error("%s \"%s\" is no time; give a number and s, m, h, d or w", what,
				text);
	long unit = 1;
	const char *found = *end ? strchr(units, *end) : NULL;
	if (found) {
		unit = length[found - units];
		end++;
	}
	if (*end || number > (uint64_t)(INT32_MAX / unit))
		return usage_error("%s \"%s\" is no time; "
				"give a number up to %ld and s, m, h, d or w",
				what, text, INT32_MAX / unit);
	*seconds = (time_t)number * unit;
	return DONE;
}

int parse_count(const char *text, const char *what, unsigned long *count)
{
	uint64_t number;
	const char *end;
	if (!digits(text, &number, &end) || *end || number < 1 || number > INT32_MAX)
		return usage_error("%s \"%s\" is no number from 1 to %ld", what, text,
				(long)INT32_MAX);
	*count = (unsigned long)number;
	return DONE;
}

int parse_time_format(const char *text, enum time_format *format)
{
	static const char *const names[] = { "short", "full", "iso" };
	for (int i = 0; i < 3; i++) {
		if (strcmp(text, names[i]) == 0) {
			*format = (enum time_format)i;
			return DONE;
		}
	}
	return usage_error("--time-format \"%s\" is not short, full or iso", text);
}

/* ---- Modes ----------------------------------------------------------------- */

static bool take_who(const char **text, mode_t *who)
{
	*who = 0;
	for (;; ++*text) {
		if (**text == 'u')
			*who |= 0700;
		else if (**text == 'g')
			*who |= 0070;
		else if (**text == 'o')
			*who |= 0007;
		else if (**text == 'a')
			*who |= 0777;
		else
			break;
	}
	if (!*who)
		*who = 0777; /* the umask is ignored, as everywhere */
	return **text && strchr("+-=", **text);
}

static mode_t take_rights(const char **text)
{
	mode_t rights = 0;
	for (;; ++*text) {
		if (**text == 'r')
			rights |= 0444;
		else if (**text == 'w')
			rights |= 0222;
		else if (**text == 'x')
			rights |= 0111;
		else
			return rights;
	}
}

/* The rights that another has by now, as in g=u. */
static bool take_copied(const char **text, mode_t mode, mode_t *rights)
{
	static const char from[] = "ogu";
	const char *found = **text ? strchr(from, **text) : NULL;
	if (!found)
		return false;
	++*text;
	*rights = (mode >> 3 * (found - from) & 7) * 0111;
	return true;
}

/* WHO[+-=]RIGHTS, several with commas. */
static bool parse_symbolic(const char *text, mode_t *mode)
{
	mode_t who;
	do {
		if (!take_who(&text, &who))
			return false;
		while (*text && strchr("+-=", *text)) {
			char how = *text++;
			mode_t rights;
			bool copied = take_copied(&text, *mode, &rights);
			if (!copied)
				rights = take_rights(&text);
			rights &= who;
			if (how != '=' && !rights && !copied)
				return false;
			if (how == '=')
				*mode &= ~who;
			*mode = how == '-' ? *mode & ~rights : *mode | rights;
		}
	} while (*text++ == ',');
	return !text[-1];
}

int parse_mode(const char *text, mode_t before, mode_t *mode)
{
	size_t count = strspn(text, "01234567");
	unsigned long bits = count && count <= 6 ? strtoul(text, NULL, 8) : 01000;
	mode_t symbolic = before & 0777;
	if (count && !text[count] && bits <= 0777)
		*mode = (mode_t)bits;
	else if (!count && parse_symbolic(text, &symbolic))
		*mode = symbolic;
	else
		return usage_error("mode \"%s\" is neither octal, 0 to 0777, "
				"nor symbolic, as in u=rw,g+r", text);
	return DONE;
}
