/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "json.h"
#include "text.h"

static void put_string(FILE *out, const char *text)
{
	putc('"', out);
	for (const unsigned char *c = (const unsigned char *)text; *c;) {
		size_t length = utf8_length(c);
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if (*c < ' ' || *c == 0x7f)
			fprintf(out, "\\u%04x", *c);
		else if (length)
			fwrite(c, 1, length, out);
		else
			fputs("\\ufffd", out);
		c += length ? length : 1;
	}
	putc('"', out);
}

/* What stands before a value: the comma, the line break, the name. */
static void begin(struct json *json, const char *name)
{
	if (json->depth > 0) {
		bool lines = json->level[json->depth - 1].lines;
		if (json->level[json->depth - 1].any)
			fputs(lines ? "," : ", ", json->out);
		if (lines)
			fputs("\n\t", json->out);
		json->level[json->depth - 1].any = true;
	}
	if (name) {
		put_string(json->out, name);
		fputs(": ", json->out);
	}
}

static void open_level(struct json *json, const char *name, bool array, bool lines)
{
	begin(json, name);
	putc(array ? '[' : '{', json->out);
	json->level[json->depth].array = array;
	json->level[json->depth].lines = lines;
	json->level[json->depth++].any = false;
}

void json_object(struct json *json, const char *name)
{
	open_level(json, name, false, false);
}

void json_array(struct json *json, const char *name)
{
	open_level(json, name, true, false);
}

void json_lines(struct json *json, const char *name)
{
	open_level(json, name, true, true);
}

void json_end(struct json *json)
{
	json->depth--;
	if (json->level[json->depth].lines && json->level[json->depth].any)
		putc('\n', json->out);
	putc(json->level[json->depth].array ? ']' : '}', json->out);
	if (json->depth == 0)
		putc('\n', json->out);
}

void json_string(struct json *json, const char *name, const char *text)
{
	begin(json, name);
	if (text)
		put_string(json->out, text);
	else
		fputs("null", json->out);
}

void json_number(struct json *json, const char *name, int64_t number)
{
	begin(json, name);
	fprintf(json->out, "%" PRId64, number);
}

void json_size(struct json *json, const char *name, uint64_t number)
{
	begin(json, name);
	fprintf(json->out, "%" PRIu64, number);
}

void json_bool(struct json *json, const char *name, bool value)
{
	begin(json, name);
	fputs(value ? "true" : "false", json->out);
}
