/* SPDX-License-Identifier: MIT */
/* unishm list */
#include <string.h>

#include "command.h"
#include "segments.h"

struct request {
	struct filter filter;
	struct columns columns;
	struct format format;
	struct table_print print;
	bool columns_given, time_given, json, foreign, descending;
	enum field sort;
};

/* ---- Table ---------------------------------------------------------------- */

/* Red: removed and still attached. Yellow: perhaps forgotten. Dim: of other programs. */
static enum style row_style(const struct row *row)
{
	if (row->foreign)
		return DIM;
	if (row->st.removed)
		return RED;
	if (row->st.number_attached == 0 && process_is_dead(row->st.creator_process))
		return YELLOW;
	return PLAIN;
}

static int print_table(const struct request *request, const struct rows *rows)
{
	struct table table = { .columns = 0 };
	add_columns(&table, &request->columns);
	for (size_t j = 0; j < rows->count; j++) {
		const struct row *row = &rows->item[j];
		enum style style = request->print.colour ? row_style(row) : PLAIN;
		for (size_t i = 0; i < request->columns.count; i++)
			table_add(&table, field_cell(request->columns.field[i], row,
					&request->format).text, style);
	}
	bool failed = table.failed;
	if (!failed)
		table_print(&table, &request->print, stdout);
	table_free(&table);
	return failed ? out_of_memory() : DONE;
}

/* ---- JSON ----------------------------------------------------------------- */

static void json_rows(struct json *json, const char *name, const struct request *request,
		const struct rows *rows, bool foreign)
{
	json_lines(json, name);
	for (size_t i = 0; i < rows->count; i++) {
		if (rows->item[i].foreign != foreign)
			continue;
		json_object(json, NULL);
		json_fields(json, &rows->item[i], &request->columns);
		json_end(json);
	}
	json_end(json);
}

static void print_json(const struct request *request, const struct rows *rows, size_t unreadable)
{
	struct json json = { .out = stdout };
	json_object(&json, NULL);
	json_rows(&json, "segments", request, rows, false);
	if (request->foreign)
		json_rows(&json, "foreign", request, rows, true);
	json_size(&json, "unreadable", unreadable);
	json_end(&json);
}

/* ---- The command ---------------------------------------------------------- */

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
		return parse_columns(optarg, &request->columns);
	case 's': return parse_sort(optarg, request);
	case 'J': request->json = true; return DONE;
	case 'r': request->print.raw = true; return DONE;
	case 'b': request->format.bytes = true; return DONE;
	case OPT_TIME_FORMAT:
		request->time_given = true;
		return parse_time_format(optarg, &request->format.time);
	case OPT_NOHEADINGS: request->print.headings = false; return DONE;
	case OPT_MINE: request->filter.mine = true; return DONE;
	case OPT_UNATTACHED: request->filter.unattached = true; return DONE;
	case OPT_DEAD_CREATOR: request->filter.dead_creator = true; return DONE;
	case OPT_FOREIGN: request->foreign = true; return DONE;
	default: return option_status;
	}
}

/* What follows from the other choices. */
static void complete_request(struct request *request)
{
	bool for_programs = request->columns_given || request->print.raw;
	if (!request->time_given && for_programs)
		request->format.time = TIME_ISO;
	if (!request->columns_given && request->json)
		request->columns = status_columns;
	else if (!request->columns_given && request->foreign)
		parse_columns("+name", &request->columns);
	request->print.colour = !request->print.raw && stream_has_colour(stdout);
}

static int output(const struct request *request, struct rows *rows, size_t unreadable)
{
	complete_rows(rows, &request->columns, request->sort);
	sort_rows(rows, request->sort, request->descending);
	if (request->json) {
		print_json(request, rows, unreadable);
		return DONE;
	}
	int status = print_table(request, rows);
	if (unreadable && !request->columns_given && !request->print.raw)
		tell("%zu segment%s not listed: this user may not read %s", unreadable,
				unreadable == 1 ? " is" : "s are", unreadable == 1 ? "it" : "them");
	return status;
}

static int collect_and_output(const struct request *request)
{
	static const struct filter everything;
	struct rows rows = { NULL, 0, 0 };
	int status = collect(&rows, &everything);
	size_t unreadable = count_unreadable(&rows);
	keep_passing(&rows, &request->filter);
	int rc = request->foreign ? collect_foreign(&rows, &request->filter) : DONE;
	if (rc != USAGE && output(request, &rows, unreadable) != DONE)
		status = FAILED;
	free_rows(&rows);
	return rc != DONE ? rc : status;
}

static int run_list(int argc, char **argv)
{
	struct request request = { .sort = FIELD_BACKEND };
	request.columns = default_columns;
	request.print.headings = true;
	for (int c; (c = next_option(argc, argv)) != -1;) {
		int rc = take_option(c, &request);
		if (rc != DONE || c == '?')
			return rc;
	}
	if (optind < argc)
		return usage_error("list takes no argument \"%s\"; "
				"unishm show tells of one segment", argv[optind]);
	complete_request(&request);
	return collect_and_output(&request);
}

const struct command list_command = {
	.bit = LIST,
	.name = "list",
	.alias = "ls",
	.arguments = "[OPTION]...",
	.summary = "List the segments of both backends",
	.notes = "Columns: segment, backend, id, key, owner_user, owner_group, creator_user, "
		"creator_group, mode, size, number_attached, creator_process, last_op_process, "
		"last_attach_time, last_detach_time, last_change_time, locked, removed, emulated, "
		"inexact, name (of the POSIX object), rss and swap (memory in use), pids and "
		"command (of the processes that attach it), huge_pages (memory that one of "
		"them has mapped by huge pages).",
	.run = run_list,
};
