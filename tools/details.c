/* SPDX-License-Identifier: MIT */
/* What a status does not tell: names of objects, memory in use, and who is attached. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "segments.h"
#include "system.h"

static int take_segment(const struct system_segment *segment, void *arg)
{
	struct row *row = find_row(arg, "sysv", segment->id);
	if (row && segment->memory_known) {
		row->rss = (long long)segment->rss;
		row->swap = (long long)segment->swap;
	}
	return 0;
}

/* The system does not tell how much of an object is swapped out; its memory is in use anyway. */
static int take_object(const struct system_object *object, void *arg)
{
	struct row *row = object->ours ? find_row(arg, "posix", object->id) : NULL;
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
	bool memory = false, processes = false, huge = false;
	for (size_t i = 0; i <= columns->count; i++) {
		enum field field = i < columns->count ? columns->field[i] : sort;
		memory |= field == FIELD_NAME || field == FIELD_RSS || field == FIELD_SWAP;
		huge |= field == FIELD_HUGE_PAGES;
		processes |= huge || field == FIELD_PIDS || field == FIELD_COMMAND;
	}
	if (memory) {
		struct row_index index = index_rows(rows);
		system_segments(take_segment, &index);
		system_objects(take_object, &index);
		free_index(&index);
	}
	if (processes) {
		struct attachments all;
		find_attachments(&all);
		for (size_t i = 0; i < rows->count; i++)
			if (!rows->item[i].foreign)
				take_processes(&rows->item[i], &all);
		if (huge)
			find_huge_pages(&all, rows);
		free_attachments(&all);
	}
}
