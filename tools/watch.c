/* SPDX-License-Identifier: MIT */
/* unishm watch: what there is and what changes, on a full screen or line by line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "segments.h"
#include "terminal.h"

struct watch {
	struct segment_ref ref;
	bool one;            /* only what @ref names */
	bool screen, colour;
	unsigned long interval, count; /* seconds; 0: without end */
	struct rows now, before;
	struct row_index now_index, before_index;
	unsigned long looks;
	size_t first;        /* the first row that is shown */
	int from;            /* the first column of it */
	int rows, columns;   /* of the screen */
};

static const struct format exact = { true, TIME_ISO };

/* ---- Snapshots ------------------------------------------------------------ */

static int look_at_one(struct watch *watch)
{
	struct unishm *seg;
	struct unishm_status st;
	int rc = try_open_segment(&seg, &watch->ref);
	if (rc == -ENOENT || rc == -EIDRM)
		return DONE;
	if (rc < 0)
		return library_failed();
	rc = unishm_status(seg, &st);
	unishm_close(seg);
	if (rc == -EIDRM)
		return DONE;
	if (rc < 0)
		return library_failed();
	watch->now.item = calloc(1, sizeof *watch->now.item);
	if (!watch->now.item)
		return out_of_memory();
	*watch->now.item = row_of(&st);
	watch->now.count = watch->now.room = 1;
	return DONE;
}

static int look(struct watch *watch)
{
	static const struct filter all;
	free_rows(&watch->before);
	free_index(&watch->before_index);
	watch->before = watch->now;
	watch->before_index = watch->now_index;
	watch->now = (struct rows){ NULL, 0, 0 };
	watch->looks++;
	int status = watch->one ? look_at_one(watch) : collect(&watch->now, &all);
	sort_rows(&watch->now, FIELD_BACKEND, false);
	watch->now_index = index_rows(&watch->now);
	return status;
}

static const struct row *find_same(const struct row_index *index, const struct row *row)
{
	return find_row(index, row->st.backend, row->st.id);
}

static bool has_changed(enum field field, const struct row *now, const struct row *before)
{
	return strcmp(field_cell(field, now, &exact).text, field_cell(field, before, &exact).text)
			!= 0;
}

static bool any_changed(const struct row *now, const struct row *before)
{
	/* Quick, and true of most. Padding that differs costs time only. */
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
	if (memcmp(&now->st, &before->st, sizeof now->st) == 0)
		return false;
	for (int i = 0; i < FIELDS; i++)
		if (has_changed((enum field)i, now, before))
			return true;
	return false;
}

/* ---- Line by line --------------------------------------------------------- */

static void print_event(const char *what, const struct row *row)
{
	printf("%s %s %s", iso_time(time(NULL)).text, what, segment_spelling(&row->st).text);
}

static void print_new(const char *what, const struct row *row)
{
	static const enum field told[] = { FIELD_ID, FIELD_OWNER_USER, FIELD_MODE, FIELD_SIZE,
		FIELD_NUMBER_ATTACHED, FIELD_CREATOR_PROCESS };
	print_event(what, row);
	for (size_t i = 0; i < sizeof told / sizeof *told; i++)
		printf(" %s=%s", field_name(told[i]), field_cell(told[i], row, &exact).text);
	putchar('\n');
}

static void print_changed(const struct row *now, const struct row *before)
{
	print_event("changed", now);
	for (int i = 0; i < FIELDS; i++) {
		enum field field = (enum field)i;
		if (has_changed(field, now, before))
			printf(" %s=%s->%s", field_name(field),
					field_cell(field, before, &exact).text,
					field_cell(field, now, &exact).text);
	}
	putchar('\n');
}

static void print_lines(const struct watch *watch)
{
	for (size_t i = 0; i < watch->now.count; i++) {
		const struct row *row = &watch->now.item[i];
		const struct row *before = find_same(&watch->before_index, row);
		if (!before)
			print_new(watch->looks > 1 ? "new" : "found", row);
		else if (any_changed(row, before))
			print_changed(row, before);
	}
	for (size_t i = 0; i < watch->before.count; i++) {
		if (find_same(&watch->now_index, &watch->before.item[i]))
			continue;
		print_event("gone", &watch->before.item[i]);
		putchar('\n');
	}
	fflush(stdout);
}

/* ---- Full screen ---------------------------------------------------------- */

/* The last line of the screen must not scroll it. */
static void end_line(int *lines_left)
{
	fputs(SCREEN_ERASE_LINE, stdout);
	if (--*lines_left > 0)
		putchar('\n');
}

static void put_line(const struct watch *watch, int *lines_left, enum style style, const char *text)
{
	int used;
	if (*lines_left <= 0)
		return;
	if (!watch->colour)
		style = PLAIN;
	int length = (int)text_fitting(text, watch->columns, &used);
	printf("%s%.*s%s", style_on(style), length, text, style_off(style));
	end_line(lines_left);
}

static void put_title(const struct watch *watch, int *lines_left)
{
	char title[200];
	const struct text now = time_text(time(NULL), TIME_SHORT);
	uint64_t sum = 0;
	for (size_t i = 0; i < watch->now.count; i++)
		sum += watch->now.item[i].st.size;
	if (watch->one)
		snprintf(title, sizeof title, "%s  %.60s: %s  q quits, hjkl scroll", now.text,
				watch->ref.text, watch->now.count ? "exists" : "no such segment");
	else
		snprintf(title, sizeof title, "%s  %zu segment%s, %s  q quits, hjkl scroll",
				now.text, watch->now.count, plural(watch->now.count),
				human_size(sum).text);
	make_printable(title);
	put_line(watch, lines_left, BOLD, title);
}

/* A mark, and the columns of list. */
static void add_row(const struct watch *watch, struct table *table, const struct row *row,
		bool gone)
{
	static const struct format format = { false, TIME_SHORT };
	const struct row *before = gone ? NULL : find_same(&watch->before_index, row);
	bool fresh = !gone && !before && watch->looks > 1;
	enum style style = gone ? RED : fresh ? GREEN : PLAIN;
	table_add(table, gone ? "-" : fresh ? "+" : before && any_changed(row, before) ? "*" : " ",
			style);
	for (size_t i = 0; i < default_columns.count; i++) {
		enum field field = default_columns.field[i];
		bool changed = before && has_changed(field, row, before);
		table_add(table, field_cell(field, row, &format).text, changed ? REVERSE : style);
	}
}

/* Segments that existed at the last look only are shown once more, marked. */
static void add_rows(const struct watch *watch, struct table *table)
{
	table_add_column(table, " ", false);
	add_columns(table, &default_columns);
	for (size_t i = 0; i < watch->now.count; i++)
		add_row(watch, table, &watch->now.item[i], false);
	for (size_t i = 0; i < watch->before.count; i++)
		if (!find_same(&watch->now_index, &watch->before.item[i]))
			add_row(watch, table, &watch->before.item[i], true);
}

static void limit_scrolling(struct watch *watch, const struct table *table)
{
	size_t total = table_rows(table);
	int width = table_width(table);
	if (watch->first >= total)
		watch->first = total ? total - 1 : 0;
	if (watch->from > width - watch->columns)
		watch->from = width > watch->columns ? width - watch->columns : 0;
}

static void put_row(const struct watch *watch, const struct table *table, long row, int *lines_left)
{
	table_print_window(table, row, watch->from, watch->columns, watch->colour, stdout);
	end_line(lines_left);
}

/* What of it is in sight. */
static void put_table(struct watch *watch, const struct table *table, int *lines_left)
{
	limit_scrolling(watch, table);
	size_t i = watch->first, total = table_rows(table);
	if (!watch->one && *lines_left > 0)
		put_row(watch, table, TABLE_HEADINGS, lines_left);
	for (; i < total && *lines_left > 1; i++)
		put_row(watch, table, (long)i, lines_left);
	if (i < total) {
		char text[64];
		snprintf(text, sizeof text, "... %zu more", total - i);
		put_line(watch, lines_left, PLAIN, text);
	}
}

static void put_list(struct watch *watch, int *lines_left)
{
	struct table table = { .columns = 0 };
	add_rows(watch, &table);
	put_table(watch, &table, lines_left);
	table_free(&table);
}

static void put_details(struct watch *watch, int *lines_left)
{
	static const struct format format = { false, TIME_ISO };
	struct table table = { .columns = 0 };
	if (!watch->now.count)
		return;
	const struct row *row = watch->now.item, *before = find_same(&watch->before_index, row);
	table_add_column(&table, "", false);
	table_add_column(&table, "", false);
	for (int i = FIELD_BACKEND; i < FIELD_NAME; i++) {
		enum field field = (enum field)i;
		char name[40];
		bool changed = before && has_changed(field, row, before);
		snprintf(name, sizeof name, "%s%s", changed ? "*" : " ", field_name(field));
		table_add(&table, name, PLAIN);
		table_add(&table, field_cell(field, row, &format).text, changed ? REVERSE : PLAIN);
	}
	put_table(watch, &table, lines_left);
	table_free(&table);
}

static void draw(struct watch *watch)
{
	terminal_size(&watch->rows, &watch->columns);
	int lines_left = watch->rows;
	fputs(SCREEN_HOME, stdout);
	put_title(watch, &lines_left);
	if (watch->one)
		put_details(watch, &lines_left);
	else
		put_list(watch, &lines_left);
	if (*kept_line())
		put_line(watch, &lines_left, RED, kept_line());
	if (lines_left > 0)
		fputs(SCREEN_ERASE_BELOW, stdout);
	fflush(stdout);
}

/* ---- The loop ------------------------------------------------------------- */

static void scroll(struct watch *watch, char key)
{
	if (key == 'j')
		watch->first++; /* these are limited when the table is drawn */
	if (key == 'k' && watch->first > 0)
		watch->first--;
	if (key == 'l')
		watch->from += 8;
	if (key == 'h')
		watch->from -= watch->from < 8 ? watch->from : 8;
}

/* Until the next look is due. False: the end. */
static bool wait_for_refresh(struct watch *watch)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)watch->interval;
	for (;;) {
		char key = 0;
		switch (terminal_wait(&until, &key)) {
		case EVENT_TIME:
			return true;
		case EVENT_END:
			return false;
		case EVENT_KEY:
			if (key == 'q' || key == 'Q')
				return false;
			if (key == ' ')
				return true;
			scroll(watch, key);
			break;
		case EVENT_RESIZE:
			break;
		}
		draw(watch);
	}
}

static int keep_watching(struct watch *watch)
{
	int status;
	do {
		keep_errors(watch->screen);
		status = look(watch);
		keep_errors(false);
		if (!watch->screen && status != DONE)
			return status;
		if (watch->screen)
			draw(watch);
		else
			print_lines(watch);
		if (ferror(stdout))
			return FAILED;
	} while (watch->looks != watch->count && wait_for_refresh(watch));
	return DONE;
}

/* One that is missing now is more likely misspelt than awaited. */
static int check_segment(struct watch *watch, const char *text)
{
	struct unishm *seg;
	int rc = parse_segment(text, &watch->ref);
	if (rc == DONE)
		rc = open_segment(&seg, &watch->ref);
	if (rc == DONE)
		unishm_close(seg);
	watch->one = true;
	return rc;
}

static int take_option(int c, struct watch *watch)
{
	switch (c) {
	case 'i': return parse_count(optarg, "--interval", &watch->interval);
	case 'c': return parse_count(optarg, "--count", &watch->count);
	default: return option_status;
	}
}

static int run_watch(int argc, char **argv)
{
	struct watch watch = { .interval = 2 };
	for (int c; (c = next_option(argc, argv)) != -1;) {
		int rc = take_option(c, &watch);
		if (rc != DONE || c == '?')
			return rc;
	}
	if (argc - optind > 1)
		return usage_error("watch takes one segment, or none for all");
	int status = optind < argc ? check_segment(&watch, argv[optind]) : DONE;
	if (status != DONE)
		return status;
	watch.screen = terminal_is_usable();
	watch.colour = stream_has_colour(stdout);
	terminal_catch_signals();
	if (watch.screen)
		terminal_enter();
	status = keep_watching(&watch);
	if (watch.screen)
		terminal_leave();
	free_rows(&watch.now);
	free_index(&watch.now_index);
	free_rows(&watch.before);
	free_index(&watch.before_index);
	return status;
}

const struct command watch_command = {
	.bit = WATCH,
	.name = "watch",
	.arguments = "[OPTION]... [SEGMENT]",
	.summary = "Show segments, and what changes, until q is pressed",
	.notes = "Keys: q quits, space looks again at once, h, j, k, l and the arrow keys scroll. "
		"When the output is no terminal, each change is one line.",
	.first = WORD_SEGMENT,
	.run = run_watch,
};
