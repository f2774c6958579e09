/* SPDX-License-Identifier: MIT */
/* Which processes attach which segments, by one look at all of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "segments.h"
#include "system.h"

static int by_segment(const void *left, const void *right)
{
	const struct attachment *a = left, *b = right;
	if (a->sysv != b->sysv)
		return a->sysv ? 1 : -1;
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static int add(const struct system_attachment *found, void *arg)
{
	struct attachments *all = arg;
	if (all->count == all->room) {
		size_t room = all->room ? 2 * all->room : 64;
		struct attachment *more = realloc(all->item, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		all->item = more;
		all->room = room;
	}
	all->item[all->count++] = (struct attachment){ .sysv = found->sysv, .id = found->id,
		.pid = found->pid, .count = 1, .huge = UNKNOWN };
	return 0;
}

/* One entry for each process and segment. */
static void unite(struct attachments *all)
{
	size_t kept = 0;
	if (all->count)
		qsort(all->item, all->count, sizeof *all->item, by_segment);
	for (size_t i = 0; i < all->count; i++) {
		if (kept && by_segment(&all->item[kept - 1], &all->item[i]) == 0)
			all->item[kept - 1].count++;
		else
			all->item[kept++] = all->item[i];
	}
	all->count = kept;
	for (size_t i = 0; i < kept; i++)
		system_command(all->item[i].pid, all->item[i].command, sizeof all->item[i].command);
}

void find_attachments(struct attachments *all)
{
	*all = (struct attachments){ .item = NULL };
	all->rc = system_attachments(add, all, &all->unreadable);
	unite(all);
}

void free_attachments(struct attachments *all)
{
	free(all->item);
	all->item = NULL;
	all->count = 0;
}

const struct attachment *attachments_of(const struct attachments *all,
		const struct unishm_status *st, size_t *count)
{
	const struct attachment wanted = { .sysv = strcmp(st->backend, "sysv") == 0, .id = st->id };
	size_t low = 0, high = all->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (by_segment(&all->item[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*count = 0;
	while (low + *count < all->count && all->item[low + *count].sysv == wanted.sysv
			&& all->item[low + *count].id == wanted.id)
		++*count;
	return all->item + low;
}

struct text_long attached_names(const struct attachments *all, const struct unishm_status *st)
{
	struct text_long names = { "" };
	size_t count, used = 0;
	const struct attachment *one = attachments_of(all, st, &count);
	for (size_t i = 0; i < count; i++) {
		if (used > 150) {
			snprintf(names.text + used, sizeof names.text - used, " and %zu more",
					count - i);
			break;
		}
		used += (size_t)snprintf(names.text + used, sizeof names.text - used, "%s%ld (%s)",
				i ? ", " : "", one[i].pid, one[i].command);
	}
	return names;
}
