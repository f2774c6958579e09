/* SPDX-License-Identifier: MIT */
/* Numbers, times, names and strings, as people and as programs read and write them. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct text {
	char text[64];
};

enum time_format { TIME_SHORT, TIME_FULL, TIME_ISO };

/* ---- text.c ---------------------------------------------------------------- */

struct text human_size(uint64_t bytes);
struct text iso_time(time_t when);   /* 2026-01-31T12:00:00+01:00 */
struct text time_text(time_t when, enum time_format format); /* or "never" */
struct text mode_letters(mode_t mode);
struct text user_name(uid_t user);   /* or the number */
struct text group_name(gid_t group);
/* Control characters become '?'. */
void make_printable(char *text);
bool is_text(const unsigned char *bytes, size_t length);
/* Length of the UTF-8 character at @s, or 0 if there is none. */
size_t utf8_length(const unsigned char *s);
/* How many columns of a terminal @text takes, and how many bytes of it fit in @columns. */
int text_width(const char *text);
size_t text_fitting(const char *text, int columns, int *used);

/* ---- parse.c: DONE, or USAGE after a line on stderr ------------------------- */

/* @what names the argument in that line. */
int parse_bytes(const char *text, const char *what, size_t least, size_t *bytes);
int parse_age(const char *text, const char *what, time_t *seconds);
int parse_count(const char *text, const char *what, unsigned long *count);
int parse_time_format(const char *text, enum time_format *format);

/* Permission bits, octal (0640) or symbolic (u=rw,g+r) as chmod(1) has them. Symbolic ones start
 * from @before. */
int parse_mode(const char *text, mode_t before, mode_t *mode);

#endif
