/* SPDX-License-Identifier: MIT */
/* unishm watch: what there is and what changes, on a full screen or line by line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "terminal.h"

struct watch {
	struct segment_ref ref;
	bool one;            /* only what @ref names */
	bool screen, colour;
	unsigned long interval, count; /* seconds; 0: without end */
	struct rows now, before;
	unsigned long looks;
	size_t first;        /* the first row that is shown */
	int rows, columns;   /* of the screen */
};

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
		return fail("watch: no memory is left; end other programs");
	watch->now.item->st = st;
	watch->now.count = watch->now.room = 1;
	return DONE;
}

static int look(struct watch *watch)
{
	static const struct filter all;
	free_rows(&watch->before);
	watch->before = watch->now;
	watch->now = (struct rows){ NULL, 0, 0 };
	watch->looks++;
	int status = watch->one ? look_at_one(watch) : collect(&watch->now, &all);
	sort_rows(&watch->now, FIELD_BACKEND, false);
	return status;
}

static const struct row *find_same(const struct rows *rows, const struct row *row)
{
	for (size_t i = 0; i < rows->count; i++)
		if (rows->item[i].st.id == row->st.id
				&& strcmp(rows->item[i].st.backend, row->st.backend) == 0)
			return &rows->item[i];
	return NULL;
}

static bool has_changed(enum field field, const struct row *now, const struct row *before)
{
	const unsigned style = STYLE_BYTES | STYLE_ISO;
	return strcmp(field_cell(field, now, style).text, field_cell(field, before, style).text) != 0;
}

static bool any_changed(const struct row *now, const struct row *before)
{
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
		printf(" %s=%s", field_name(told[i]), field_cell(told[i], row, STYLE_BYTES).text);
	putchar('\n');
}

static void print_changed(const struct row *now, const struct row *before)
{
	print_event("changed", now);
	for (int i = 0; i < FIELDS; i++) {
		enum field field = (enum field)i;
		if (has_changed(field, now, before))
			printf(" %s=%s->%s", field_name(field),
					field_cell(field, before, STYLE_BYTES | STYLE_ISO).text,
					field_cell(field, now, STYLE_BYTES | STYLE_ISO).text);
	}
	putchar('\n');
}

static void print_lines(const struct watch *watch)
{
	for (size_t i = 0; i < watch->now.count; i++) {
		const struct row *row = &watch->now.item[i], *before = find_same(&watch->before, row);
		if (!before)
			print_new(watch->looks > 1 ? "new" : "found", row);
		else if (any_changed(row, before))
			print_changed(row, before);
	}
	for (size_t i = 0; i < watch->before.count; i++) {
		if (find_same(&watch->now, &watch->before.item[i]))
			continue;
		print_event("gone", &watch->before.item[i]);
		putchar('\n');
	}
	fflush(stdout);
}

/* ---- Full screen ---------------------------------------------------------- */

static const char BOLD[] = "\033[1m", CHANGED[] = "\033[7m", NEW[] = "\033[32m", GONE[] = "\033[31m";

struct line {
	const struct watch *watch;
	int used; /* columns */
};

static void put(struct line *line, const char *look, const char *text)
{
	int room = line->watch->columns - line->used;
	int length = (int)strlen(text);
	if (room <= 0)
		return;
	bool dressed = look && line->watch->colour;
	printf("%s%.*s%s", dressed ? look : "", room, text, dressed ? "\033[0m" : "");
	line->used += length < room ? length : room;
}

/* The last line of the screen must not scroll it. */
static void end_line(int *lines_left)
{
	fputs("\033[K", stdout);
	if (--*lines_left > 0)
		putchar('\n');
}

static void put_line(const struct watch *watch, int *lines_left, const char *look, const char *text)
{
	struct line line = { watch, 0 };
	if (*lines_left <= 0)
		return;
	put(&line, look, text);
	end_line(lines_left);
}

static void put_title(const struct watch *watch, int *lines_left)
{
	char title[200];
	uint64_t sum = 0;
	for (size_t i = 0; i < watch->now.count; i++)
		sum += watch->now.item[i].st.size;
	if (watch->one)
		snprintf(title, sizeof title, "%s  %.60s: %s  q quits", short_time(time(NULL)).text,
				watch->ref.text, watch->now.count ? "there" : "no such segment");
	else
		snprintf(title, sizeof title, "%s  %zu segments, %s  q quits, j k scroll",
				short_time(time(NULL)).text, watch->now.count, human_size(sum).text);
	make_printable(title);
	put_line(watch, lines_left, BOLD, title);
}

static void put_row(const struct watch *watch, const struct row *row, const struct row *before,
		const int *width, int *lines_left, bool gone)
{
	struct line line = { watch, 0 };
	bool fresh = !gone && !before && watch->looks > 1;
	bool changed = before && any_changed(row, before);
	const char *look = gone ? GONE : fresh ? NEW : NULL;
	put(&line, look, gone ? "-" : fresh ? "+" : changed ? "*" : " ");
	for (size_t i = 0; i < default_columns.count; i++) {
		enum field field = default_columns.field[i];
		char cell[352];
		snprintf(cell, sizeof cell, "%*s", field_is_right_aligned(field) ? width[i] : -width[i],
				field_cell(field, row, 0).text);
		put(&line, NULL, i ? " " : "");
		put(&line, before && has_changed(field, row, before) ? CHANGED : look, cell);
	}
	end_line(lines_left);
}

static void put_headings(const struct watch *watch, const int *width, int *lines_left)
{
	char text[1000] = " ";
	for (size_t i = 0; i < default_columns.count; i++) {
		enum field field = default_columns.field[i];
		size_t used = strlen(text);
		snprintf(text + used, sizeof text - used, "%s%*s", i ? " " : "",
				field_is_right_aligned(field) ? width[i] : -width[i], field_heading(field));
	}
	put_line(watch, lines_left, BOLD, text);
}

/* Segments that were there at the last look only are shown once more, marked. */
static void put_list(struct watch *watch, int *lines_left)
{
	int width[FIELDS];
	size_t total = watch->now.count;
	measure_columns(&default_columns, &watch->now, 0, true, width);
	put_headings(watch, width, lines_left);
	if (watch->first >= total)
		watch->first = total ? total - 1 : 0;
	size_t i = watch->first;
	for (; i < total && *lines_left > 1; i++) {
		const struct row *row = &watch->now.item[i];
		put_row(watch, row, find_same(&watch->before, row), width, lines_left, false);
	}
	for (size_t j = 0; j < watch->before.count && *lines_left > 1; j++)
		if (!find_same(&watch->now, &watch->before.item[j]))
			put_row(watch, &watch->before.item[j], NULL, width, lines_left, true);
	if (i < total) {
		char text[64];
		snprintf(text, sizeof text, "... %zu more", total - i);
		put_line(watch, lines_left, NULL, text);
	}
}

static void put_details(const struct watch *watch, int *lines_left)
{
	if (!watch->now.count)
		return;
	const struct row *row = watch->now.item, *before = find_same(&watch->before, row);
	for (int i = FIELD_BACKEND; i < FIELD_NAME && *lines_left > 1; i++) {
		enum field field = (enum field)i;
		char name[40];
		struct line line = { watch, 0 };
		bool changed = before && has_changed(field, row, before);
		snprintf(name, sizeof name, "%s%-17s ", changed ? "*" : " ", field_name(field));
		put(&line, NULL, name);
		put(&line, changed ? CHANGED : NULL, field_cell(field, row, STYLE_ISO).text);
		end_line(lines_left);
	}
}

static void draw(struct watch *watch)
{
	terminal_size(&watch->rows, &watch->columns);
	int lines_left = watch->rows;
	fputs("\033[H", stdout);
	put_title(watch, &lines_left);
	if (watch->one)
		put_details(watch, &lines_left);
	else
		put_list(watch, &lines_left);
	if (*kept_line())
		put_line(watch, &lines_left, GONE, kept_line());
	if (lines_left > 0)
		fputs("\033[J", stdout);
	fflush(stdout);
}

/* ---- The loop ------------------------------------------------------------- */

static void scroll(struct watch *watch, char key)
{
	if (key == 'j' && watch->first + 1 < watch->now.count)
		watch->first++;
	if (key == 'k' && watch->first > 0)
		watch->first--;
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

static int run_watch(int argc, char **argv)
{
	struct watch watch = { .interval = 2 };
	for (int c; (c = next_option(argc, argv)) != -1;) {
		int rc = c == 'i' ? parse_count(optarg, "--interval", &watch.interval)
				: c == 'c' ? parse_count(optarg, "--count", &watch.count) : option_status;
		if (rc != DONE || c == '?')
			return rc;
	}
	if (argc - optind > 1)
		return usage_error("watch one segment, or all");
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
	free_rows(&watch.before);
	return status;
}

static const struct option longs[] = {
	{ "interval", required_argument, NULL, 'i' },
	{ "count", required_argument, NULL, 'c' },
	COMMON_OPTIONS
};

const struct command watch_command = {
	.name = "watch",
	.arguments = "[OPTION]... [SEGMENT]",
	.summary = "show segments, and what changes, until q is pressed",
	.help = "Keys: q quits, space looks again now, j and k scroll. When the output is no terminal,\n"
		"each change is one line.\n"
		"  -i, --interval SECONDS  look again after so long (default: 2)\n"
		"  -c, --count NUMBER    end after so many looks\n",
	.shorts = ":" SHORT_OPTIONS "i:c:",
	.longs = longs,
	.run = run_watch,
};
