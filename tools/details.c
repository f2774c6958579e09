/* SPDX-License-Identifier: MIT */
/* What a status does not tell: names of objects, memory in use, and who is attached. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "segments.h"
#include "system.h"

/* Rows by backend and id. */
struct index {
	struct row **row;
	size_t count;
};

static int compare(const struct row *row, bool sysv, int id)
{
	bool row_sysv = strcmp(row->st.backend, "sysv") == 0;
	if (row_sysv != sysv)
		return row_sysv ? 1 : -1;
	return row->st.id < id ? -1 : row->st.id > id;
}

static int compare_rows(const void *left, const void *right)
{
	const struct row *const *a = left, *const *b = right;
	return compare(*a, strcmp((*b)->st.backend, "sysv") == 0, (*b)->st.id);
}

static struct index make_index(struct rows *rows)
{
	struct index index = { calloc(rows->count + 1, sizeof *index.row), 0 };
	for (size_t i = 0; index.row && i < rows->count; i++)
		if (!rows->item[i].foreign)
			index.row[index.count++] = &rows->item[i];
	if (index.count)
		qsort(index.row, index.count, sizeof *index.row, compare_rows);
	return index;
}

static struct row *find(const struct index *index, bool sysv, int id)
{
	size_t low = 0, high = index->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int difference = compare(index->row[middle], sysv, id);
		if (difference == 0)
			return index->row[middle];
		if (difference < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int take_segment(const struct system_segment *segment, void *arg)
{
	struct row *row = find(arg, true, segment->id);
	if (row && segment->memory_known) {
		row->rss = (long long)segment->rss;
		row->swap = (long long)segment->swap;
	}
	return 0;
}

/* The system does not tell how much of an object is swapped out; its memory is in use anyway. */
static int take_object(const struct system_object *object, void *arg)
{
	struct row *row = object->ours ? find(arg, false, object->id) : NULL;
	if (!row || row->object)
		return 0;
	row->rss = (long long)object->st->st_blocks * 512;
	row->object = strdup(object->name);
	return 0;
}

/* Append to a list with commas; NULL when there is no memory. */
static char *append(char *list, const char *text)
{
	size_t used = list ? strlen(list) : 0, more = strlen(text);
	char *longer = realloc(list, used + more + 2);
	if (!longer) {
		free(list);
		return NULL;
	}
	if (used)
		longer[used++] = ',';
	memcpy(longer + used, text, more + 1);
	return longer;
}

static void take_processes(struct row *row, const struct attachments *all)
{
	size_t count;
	const struct attachment *one = attachments_of(all, &row->st, &count);
	for (size_t i = 0; i < count; i++) {
		char pid[24];
		snprintf(pid, sizeof pid, "%ld", one[i].pid);
		row->pids = append(row->pids, pid);
		row->commands = append(row->commands, one[i].command);
	}
}

void complete_rows(struct rows *rows, const struct columns *columns, enum field sort)
{
	bool memory = false, processes = false;
	for (size_t i = 0; i <= columns->count; i++) {
		enum field field = i < columns->count ? columns->field[i] : sort;
		memory |= field == FIELD_NAME || field == FIELD_RSS || field == FIELD_SWAP;
		processes |= field == FIELD_PIDS || field == FIELD_COMMAND;
	}
	if (memory) {
		struct index index = make_index(rows);
		system_segments(take_segment, &index);
		system_objects(take_object, &index);
		free(index.row);
	}
	if (processes) {
		struct attachments all;
		find_attachments(&all);
		for (size_t i = 0; i < rows->count; i++)
			if (!rows->item[i].foreign)
				take_processes(&rows->item[i], &all);
		free_attachments(&all);
	}
}
