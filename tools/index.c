/* SPDX-License-Identifier: MIT */
/* Finding rows by backend and id. */
#include <stdlib.h>
#include <string.h>

#include "segments.h"

static int compare(const struct row *row, const char *backend, int id)
{
	int difference = strcmp(row->st.backend, backend);
	if (difference)
		return difference;
	return row->st.id < id ? -1 : row->st.id > id;
}

static int compare_rows(const void *left, const void *right)
{
	struct row *const *a = left, *const *b = right;
	return compare(*a, (*b)->st.backend, (*b)->st.id);
}

struct row_index index_rows(const struct rows *rows)
{
	struct row_index index = { calloc(rows->count + 1, sizeof *index.row), 0 };
	for (size_t i = 0; index.row && i < rows->count; i++)
		if (!rows->item[i].foreign)
			index.row[index.count++] = &rows->item[i];
	if (index.count)
		qsort(index.row, index.count, sizeof *index.row, compare_rows);
	return index;
}

void free_index(struct row_index *index)
{
	free(index->row);
	*index = (struct row_index){ NULL, 0 };
}

struct row *find_row(const struct row_index *index, const char *backend, int id)
{
	size_t low = 0, high = index->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int difference = compare(index->row[middle], backend, id);
		if (difference == 0)
			return index->row[middle];
		if (difference < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
