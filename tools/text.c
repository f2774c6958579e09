/* SPDX-License-Identifier: MIT */
/* Numbers, times, names and strings, as people and as programs read them. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "text.h"

/* Three digits at most: 1023, 9.8K, 64K, 1.5G. Never rounded to a false "0". */
struct text human_size(uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	struct text text;
	uint64_t whole = bytes, rest = 0;
	int unit = -1;
	while (whole >= 1024) {
		rest = whole % 1024;
		whole /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text.text, sizeof text.text, "%u", (unsigned)bytes);
	else if (whole < 10 && rest * 10 / 1024)
		snprintf(text.text, sizeof text.text, "%u.%u%c", (unsigned)whole,
				(unsigned)(rest * 10 / 1024), units[unit]);
	else
		snprintf(text.text, sizeof text.text, "%u%c", (unsigned)whole, units[unit]);
	return text;
}

struct text iso_time(time_t when)
{
	struct text text;
	struct tm parts;
	size_t length = 0;
	if (localtime_r(&when, &parts))
		length = strftime(text.text, sizeof text.text - 1, "%Y-%m-%dT%H:%M:%S%z", &parts);
	if (length < 5) {
		snprintf(text.text, sizeof text.text, "%lld", (long long)when);
		return text;
	}
	memmove(text.text + length - 1, text.text + length - 2, 3); /* +0100 to +01:00 */
	text.text[length - 2] = ':';
	return text;
}

/* The time if within a day, else the date. */
static struct text short_time(time_t when)
{
	struct text text = { "-" };
	struct tm parts;
	time_t age = time(NULL) - when;
	if (localtime_r(&when, &parts))
		strftime(text.text, sizeof text.text,
				age >= 0 && age < 86400 ? "%H:%M:%S" : "%Y-%m-%d", &parts);
	return text;
}

static struct text full_time(time_t when)
{
	struct text text = { "-" };
	struct tm parts;
	if (localtime_r(&when, &parts))
		strftime(text.text, sizeof text.text, "%a %b %d %H:%M:%S %Y", &parts);
	return text;
}

struct text time_text(time_t when, enum time_format format)
{
	struct text never = { "never" };
	if (!when)
		return never;
	return format == TIME_ISO ? iso_time(when) : format == TIME_FULL ? full_time(when)
			: short_time(when);
}

struct text mode_letters(mode_t mode)
{
	struct text text = { "rwxrwxrwx" };
	for (unsigned i = 0; i < 9; i++)
		if (!(mode & (0400u >> i)))
			text.text[i] = '-';
	return text;
}

/* Tables ask for the same users again and again, and each answer reads a file, or asks a server:
 * remember some. */
enum { REMEMBERED = 64 };

struct remembered {
	unsigned long number;
	struct text text; /* "": nothing yet */
};

static void name_or_number(struct remembered *entry, unsigned long number, const char *name)
{
	entry->number = number;
	if (name)
		snprintf(entry->text.text, sizeof entry->text.text, "%s", name);
	else
		snprintf(entry->text.text, sizeof entry->text.text, "%lu", number);
}

struct text user_name(uid_t user)
{
	static struct remembered users[REMEMBERED];
	struct remembered *known = &users[user % REMEMBERED];
	if (!known->text.text[0] || known->number != user) {
		const struct passwd *entry = getpwuid(user);
		name_or_number(known, user, entry ? entry->pw_name : NULL);
	}
	return known->text;
}

struct text group_name(gid_t group)
{
	static struct remembered groups[REMEMBERED];
	struct remembered *known = &groups[group % REMEMBERED];
	if (!known->text.text[0] || known->number != group) {
		const struct group *entry = getgrgid(group);
		name_or_number(known, group, entry ? entry->gr_name : NULL);
	}
	return known->text;
}

void make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0))
			*c = '?';
}

/* Overlong forms, surrogates and
 * numbers beyond Unicode are none. A byte that cannot go on ends the look. */
size_t utf8_length(const unsigned char *s)
{
	size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3
			: s[0] < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)
			|| (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

/* Bytes that a terminal shows, and does not take for commands. */
bool is_text(const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length;) {
		unsigned char ahead[5] = { 0 }; /* a character may be cut off by the end */
		memcpy(ahead, bytes + i, length - i < 4 ? length - i : 4);
		size_t step = utf8_length(ahead);
		bool control = (*ahead < ' ' && *ahead != '\t' && *ahead != '\n' && *ahead != '\r')
				|| *ahead == 0x7f || (*ahead == 0xc2 && ahead[1] < 0xa0);
		if (step == 0 || control)
			return false;
		i += step;
	}
	return true;
}

/* ---- Columns of the terminal ------------------------------------------------ */

/* The character at @text: how many bytes it has and how many columns it takes. What the locale does
 * not know counts as one of each. */
static size_t next_character(const char *text, int *width)
{
	wchar_t character;
	mbstate_t state;
	*width = 1;
	if (*text >= ' ' && *text <= '~') /* as in every locale, and nearly all that is shown */
		return 1;
	memset(&state, 0, sizeof state);
	size_t length = mbrtowc(&character, text, strlen(text), &state);
	if (length == 0 || length > 16)
		return 1;
	int columns = wcwidth(character);
	if (columns >= 0)
		*width = columns;
	return length;
}

size_t text_fitting(const char *text, int columns, int *used)
{
	size_t at = 0;
	*used = 0;
	while (text[at]) {
		int width;
		size_t length = next_character(text + at, &width);
		if (*used + width > columns)
			break;
		*used += width;
		at += length;
	}
	return at;
}

int text_width(const char *text)
{
	int used;
	text_fitting(text, 1 << 20, &used);
	return used;
}
