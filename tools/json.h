/* SPDX-License-Identifier: MIT */
/* Writing JSON: members and elements are separated, lines broken and strings escaped here. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEEPEST = 8 };

/* Start from { out }. */
struct json {
	FILE *out;
	int depth;
	struct {
		bool array, lines, any; /* an array with one element a line; it has elements */
	} level[JSON_DEEPEST];
};

/* @name: of the member; NULL in an array and for the whole. */
void json_object(struct json *json, const char *name);
void json_array(struct json *json, const char *name);
void json_lines(struct json *json, const char *name); /* an array with one element a line */
void json_end(struct json *json);                     /* of what was begun last */
void json_string(struct json *json, const char *name, const char *text); /* NULL: null */
void json_number(struct json *json, const char *name, int64_t number);
void json_size(struct json *json, const char *name, uint64_t number);
void json_bool(struct json *json, const char *name, bool value);

#endif
