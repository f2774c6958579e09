/* SPDX-License-Identifier: MIT */
/* unishm list */
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct table {
	struct columns columns;
	unsigned style;
	bool headings, colour;
};

/* ---- Table ---------------------------------------------------------------- */

static void print_cell(const struct table *table, size_t i, const int *width, const char *text)
{
	if (i)
		putchar(' ');
	if (field_is_right_aligned(table->columns.field[i]))
		printf("%*s", width[i], text);
	else if (i + 1 < table->columns.count)
		printf("%-*s", width[i], text);
	else
		fputs(text, stdout); /* no blanks at the end of a line */
}

static void print_headings(const struct table *table, const int *width)
{
	if (table->colour)
		fputs("\033[1m", stdout);
	for (size_t i = 0; i < table->columns.count; i++)
		print_cell(table, i, width, field_heading(table->columns.field[i]));
	puts(table->colour ? "\033[0m" : "");
}

/* Red: removed and still attached. Yellow: perhaps forgotten. Dim: not ours. */
static const char *row_colour(const struct table *table, const struct row *row)
{
	if (!table->colour)
		return NULL;
	if (row->name)
		return "\033[2m";
	if (row->st.removed)
		return "\033[31m";
	if (row->st.number_attached == 0 && process_is_dead(row->st.creator_process))
		return "\033[33m";
	return NULL;
}

static void print_table(const struct table *table, const struct rows *rows)
{
	int width[FIELDS];
	measure_columns(&table->columns, rows, table->style, table->headings, width);
	if (table->headings)
		print_headings(table, width);
	for (size_t j = 0; j < rows->count; j++) {
		const char *colour = row_colour(table, &rows->item[j]);
		if (colour)
			fputs(colour, stdout);
		for (size_t i = 0; i < table->columns.count; i++)
			print_cell(table, i, width, field_cell(table->columns.field[i], &rows->item[j],
					table->style).text);
		puts(colour ? "\033[0m" : "");
	}
}

/* ---- JSON ----------------------------------------------------------------- */

static void print_json_array(const char *name, const struct rows *rows, bool foreign)
{
	const char *comma = "";
	printf("\"%s\": [", name);
	for (size_t i = 0; i < rows->count; i++) {
		if ((rows->item[i].name != NULL) != foreign)
			continue;
		printf("%s\n\t{", comma);
		json_fields(stdout, &rows->item[i]);
		putchar('}');
		comma = ",";
	}
	fputs(*comma ? "\n]" : "]", stdout);
}

static void print_json(const struct rows *rows, bool foreign)
{
	putchar('{');
	print_json_array("segments", rows, false);
	if (foreign) {
		fputs(", ", stdout);
		print_json_array("foreign", rows, true);
	}
	puts("}");
}

/* ---- The command ---------------------------------------------------------- */

struct request {
	struct filter filter;
	struct table table;
	bool columns_given, json, foreign, descending;
	enum field sort;
};

static int parse_sort(const char *text, struct request *request)
{
	request->descending = *text == '-';
	text += request->descending;
	return parse_field(text, strlen(text), &request->sort);
}

static int take_option(int c, struct request *request)
{
	switch (c) {
	case 'o':
		request->columns_given = true;
		request->table.style |= STYLE_ISO;
		return parse_columns(optarg, &request->table.columns);
	case 's': return parse_sort(optarg, request);
	case 'j': request->json = true; return DONE;
	case OPT_BYTES: request->table.style |= STYLE_BYTES; return DONE;
	case OPT_NOHEADINGS: request->table.headings = false; return DONE;
	case OPT_MINE: request->filter.mine = true; return DONE;
	case OPT_UNATTACHED: request->filter.unattached = true; return DONE;
	case OPT_DEAD_CREATOR: request->filter.dead_creator = true; return DONE;
	case OPT_FOREIGN: request->foreign = true; return DONE;
	default: return option_status;
	}
}

static void add_name_column(struct request *request)
{
	if (request->foreign && !request->columns_given)
		request->table.columns.field[request->table.columns.count++] = FIELD_NAME;
}

static int run_list(int argc, char **argv)
{
	struct request request = { .sort = FIELD_BACKEND };
	struct rows rows = { NULL, 0, 0 };
	request.table.columns = default_columns;
	request.table.headings = true;
	request.table.colour = stream_has_colour(stdout);
	for (int c; (c = next_option(argc, argv)) != -1;) {
		int rc = take_option(c, &request);
		if (rc != DONE || c == '?')
			return rc;
	}
	if (optind < argc)
		return usage_error("list takes no argument \"%s\"; unishm show tells of one segment",
				argv[optind]);
	add_name_column(&request);
	int status = collect(&rows, &request.filter);
	if (request.foreign) {
		int rc = collect_foreign(&rows, &request.filter);
		if (rc != DONE)
			status = rc;
	}
	sort_rows(&rows, request.sort, request.descending);
	if (status != USAGE && request.json)
		print_json(&rows, request.foreign);
	else if (status != USAGE)
		print_table(&request.table, &rows);
	free_rows(&rows);
	return status;
}

static const struct option longs[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "sort", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ "bytes", no_argument, NULL, OPT_BYTES },
	{ "noheadings", no_argument, NULL, OPT_NOHEADINGS },
	{ "mine", no_argument, NULL, OPT_MINE },
	{ "unattached", no_argument, NULL, OPT_UNATTACHED },
	{ "dead-creator", no_argument, NULL, OPT_DEAD_CREATOR },
	{ "foreign", no_argument, NULL, OPT_FOREIGN },
	COMMON_OPTIONS
};

const struct command list_command = {
	.name = "list",
	.arguments = "[OPTION]...",
	.summary = "list the segments of both backends",
	.help = "  -o, --output COLUMN,...  these columns, with ISO 8601 times: segment, backend, id, key,\n"
		"                        owner_user, owner_group, creator_user, creator_group, mode,\n"
		"                        size, number_attached, creator_process, last_op_process,\n"
		"                        last_attach_time, last_detach_time, last_change_time,\n"
		"                        locked, removed, emulated, inexact, name\n"
		"  -s, --sort COLUMN     in this order; -COLUMN: descending (default: backend)\n"
		"  -j, --json            JSON, with all fields\n"
		"      --bytes           sizes in bytes\n"
		"      --noheadings      no line of headings\n"
		"      --mine            only what I own\n"
		"      --unattached      only what no process attaches\n"
		"      --dead-creator    only what a process created that is gone\n"
		"      --foreign         also POSIX objects that are not of this library\n",
	.shorts = ":" SHORT_OPTIONS "o:s:j",
	.longs = longs,
	.run = run_list,
};
