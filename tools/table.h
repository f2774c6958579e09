/* SPDX-License-Identifier: MIT */
/* Tables whose columns are as wide as what is in them, measured in columns of the terminal. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "style.h"

enum { TABLE_WIDEST = 32 }; /* columns */

struct table_cell {
	char *text;
	int width;
	enum style style;
};

struct table_column {
	const char *heading;
	bool right;
	int width;
};

struct table {
	struct table_column column[TABLE_WIDEST];
	size_t columns;
	struct table_cell *cell; /* row after row */
	size_t cells, room;
	bool failed;             /* no memory was left */
};

/* Start from zeroes. All columns first, then the cells, row after row. */
void table_add_column(struct table *table, const char *heading, bool right);
void table_add(struct table *table, const char *text, enum style style);
size_t table_rows(const struct table *table);
void table_free(struct table *table);

struct table_print {
	bool headings, colour;
	bool raw;  /* one blank between cells, blanks in them escaped */
};

void table_print(const struct table *table, const struct table_print *how, FILE *out);

/* One line of a table, shown through a window: @from columns are scrolled out to the left, @width
 * are there. What is cut off on either side is marked by '<' and '>'. @row: or TABLE_HEADINGS. */
enum { TABLE_HEADINGS = -1 };
void table_print_window(const struct table *table, long row, int from, int width, bool colour,
		FILE *out);
/* Of a whole line. */
int table_width(const struct table *table);

#endif
