/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "text.h"

void table_add_column(struct table *table, const char *heading, bool right)
{
	if (table->columns < TABLE_WIDEST)
		table->column[table->columns++] = (struct table_column){ heading, right, 0 };
}

void table_add(struct table *table, const char *text, enum style style)
{
	if (table->cells == table->room) {
		size_t room = table->room ? 2 * table->room : 256;
		struct table_cell *more = realloc(table->cell, room * sizeof *more);
		if (!more) {
			table->failed = true;
			return;
		}
		table->cell = more;
		table->room = room;
	}
	struct table_column *column = &table->column[table->cells % table->columns];
	struct table_cell cell = { strdup(text), text_width(text), style };
	if (!cell.text) {
		table->failed = true;
		return;
	}
	if (cell.width > column->width)
		column->width = cell.width;
	table->cell[table->cells++] = cell;
}

size_t table_rows(const struct table *table)
{
	return table->columns ? table->cells / table->columns : 0;
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->cells; i++)
		free(table->cell[i].text);
	free(table->cell);
	*table = (struct table){ .columns = 0 };
}

/* ---- Whole lines ----------------------------------------------------------- */

static struct table_cell cell_at(const struct table *table, long row, size_t column)
{
	if (row >= 0)
		return table->cell[(size_t)row * table->columns + column];
	char *heading = (char *)(size_t)table->column[column].heading; /* only read */
	return (struct table_cell){ heading, text_width(heading), BOLD };
}

static int width_of(const struct table *table, size_t column, bool headings)
{
	int width = table->column[column].width;
	int heading = headings ? text_width(table->column[column].heading) : 0;
	return width > heading ? width : heading;
}

static void print_cell(const struct table *table, long row, size_t column,
		const struct table_print *how, FILE *out)
{
	struct table_cell cell = cell_at(table, row, column);
	int pad = width_of(table, column, how->headings) - cell.width;
	enum style style = how->colour ? cell.style : PLAIN;
	bool right = table->column[column].right, last = column + 1 == table->columns;
	fprintf(out, "%s%*s%s%s%s", column ? " " : "", right ? pad : 0, "", style_on(style),
			cell.text, style_off(style));
	if (!right && !last) /* no blanks at the end of a line */
		fprintf(out, "%*s", pad, "");
}

static void print_raw_cell(const char *text, FILE *out)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == ' ' || *c == '\\' || *c == '"' || *c < ' ' || *c == 0x7f)
			fprintf(out, "\\x%02x", *c);
		else
			putc(*c, out);
	}
}

static void print_line(const struct table *table, long row, const struct table_print *how,
		FILE *out)
{
	for (size_t i = 0; i < table->columns; i++) {
		if (!how->raw) {
			print_cell(table, row, i, how, out);
			continue;
		}
		if (i)
			putc(' ', out);
		print_raw_cell(cell_at(table, row, i).text, out);
	}
	putc('\n', out);
}

void table_print(const struct table *table, const struct table_print *how, FILE *out)
{
	if (how->headings)
		print_line(table, TABLE_HEADINGS, how, out);
	for (size_t row = 0; row < table_rows(table); row++)
		print_line(table, (long)row, how, out);
}

/* ---- Through a window ------------------------------------------------------ */

int table_width(const struct table *table)
{
	int width = 0;
	for (size_t i = 0; i < table->columns; i++)
		width += width_of(table, i, true) + (i ? 1 : 0);
	return width;
}

struct window {
	int at, from, to; /* columns of the line: the next one; those that are shown */
	FILE *out;
};

/* Of @text, print what falls into the window. Characters that are cut in two become blanks. */
static void put(struct window *window, const char *text, enum style style)
{
	int skipped = 0, shown = 0, width = text_width(text);
	int left = window->from - window->at, room = window->to - window->at;
	size_t start = left > 0 ? text_fitting(text, left, &skipped) : 0;
	if (left < width && room > 0) {
		int gap = left > skipped ? left - skipped : 0;
		if (gap) { /* a wide character straddles the edge */
			start += text_fitting(text + start, 2, &shown);
			shown = 0;
		}
		text += start;
		room -= (left > 0 ? left : 0) + gap;
		size_t length = text_fitting(text, room, &shown);
		fprintf(window->out, "%*s%s%.*s%s", gap, "", style_on(style), (int)length, text,
				style_off(style));
	}
	window->at += width;
}

static void put_blanks(struct window *window, int count)
{
	while (count-- > 0)
		put(window, " ", PLAIN);
}

static void put_cell(struct window *window, const struct table *table, long row, size_t column,
		bool colour)
{
	struct table_cell cell = cell_at(table, row, column);
	int pad = width_of(table, column, true) - cell.width;
	bool right = table->column[column].right;
	put_blanks(window, (column ? 1 : 0) + (right ? pad : 0));
	put(window, cell.text, colour ? cell.style : PLAIN);
	put_blanks(window, right ? 0 : pad);
}

void table_print_window(const struct table *table, long row, int from, int width, bool colour,
		FILE *out)
{
	bool cut_left = from > 0, cut_right = table_width(table) > from + width;
	struct window window = { 0, from + cut_left, from + width - cut_right, out };
	if (cut_left)
		putc('<', out);
	for (size_t i = 0; i < table->columns; i++)
		put_cell(&window, table, row, i, colour);
	if (cut_right) {
		while (window.at < window.to) {
			putc(' ', out);
			window.at++;
		}
		putc('>', out);
	}
}
