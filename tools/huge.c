/* SPDX-License-Identifier: MIT */
/* How much of a segment is mapped by huge pages. The system tells it of the mappings of a process
 * only, and counts what that process has touched; so the most that one of them has is told. */
#include <errno.h>
#include <stdlib.h>

#include "segments.h"
#include "system.h"

/* The attachments to ask for; of a whole list, or of one process. */
struct wanted {
	struct attachment **item;
	size_t count, answered;
};

static int by_process(const void *left, const void *right)
{
	const struct attachment *const *a = left, *const *b = right;
	if ((*a)->pid != (*b)->pid)
		return (*a)->pid < (*b)->pid ? -1 : 1;
	if ((*a)->sysv != (*b)->sysv)
		return (*a)->sysv ? 1 : -1;
	return (*a)->id < (*b)->id ? -1 : (*a)->id > (*b)->id;
}

/* Ends the look at the process when all is known: what follows costs time. */
static int take_bytes(const struct system_attachment *found, uint64_t bytes, void *arg)
{
	struct wanted *wanted = arg;
	const struct attachment one = { .sysv = found->sysv, .id = found->id, .pid = found->pid };
	const struct attachment *key = &one;
	struct attachment **item = bsearch(&key, wanted->item, wanted->count,
			sizeof *wanted->item, by_process);
	if (!item)
		return 0;
	if ((*item)->huge < (long long)bytes)
		(*item)->huge = (long long)bytes;
	wanted->answered += ++(*item)->asked == (*item)->count;
	return wanted->answered == wanted->count;
}

static int ask_processes(const struct wanted *all)
{
	for (size_t first = 0, next; first < all->count; first = next) {
		struct wanted of_one = { all->item + first, 0, 0 };
		long pid = all->item[first]->pid;
		for (next = first; next < all->count && all->item[next]->pid == pid; next++)
			of_one.count++;
		int rc = system_huge_pages(pid, take_bytes, &of_one);
		if (rc < 0)
			return rc;
	}
	return 0;
}

const struct attachment *hugest(const struct attachments *all, const struct unishm_status *st)
{
	size_t count;
	const struct attachment *one = attachments_of(all, st, &count), *most = NULL;
	for (size_t i = 0; i < count; i++)
		if (one[i].huge != UNKNOWN && (!most || one[i].huge > most->huge))
			most = &one[i];
	return most;
}

/* Memory ends with a whole page, the segment perhaps within. */
static void take_most(struct row *row, const struct attachments *all)
{
	const struct attachment *most = hugest(all, &row->st);
	if (!most)
		return;
	row->huge = most->huge;
	if ((unsigned long long)row->huge > row->st.size)
		row->huge = (long long)row->st.size;
}

void find_huge_pages(struct attachments *all, struct rows *rows)
{
	struct wanted wanted = { calloc(all->count + 1, sizeof *wanted.item), 0, 0 };
	struct row_index index = index_rows(rows);
	for (size_t i = 0; wanted.item && i < all->count; i++) {
		struct attachment *one = &all->item[i];
		if (find_row(&index, one->sysv ? "sysv" : "posix", one->id))
			wanted.item[wanted.count++] = one;
	}
	if (wanted.count)
		qsort(wanted.item, wanted.count, sizeof *wanted.item, by_process);
	all->huge_rc = wanted.item && index.row ? ask_processes(&wanted) : -ENOMEM;
	for (size_t i = 0; i < rows->count; i++)
		if (!rows->item[i].foreign)
			take_most(&rows->item[i], all);
	free_index(&index);
	free(wanted.item);
}

const char *why_no_huge_pages(const struct attachments *all, const struct unishm_status *st)
{
	if (hugest(all, st))
		return NULL;
	if (st->number_attached == 0)
		return "no process is attached";
	if (all->rc == -ENOTSUP || all->huge_rc == -ENOTSUP)
		return "this system does not tell";
	if (all->rc < 0 || all->huge_rc < 0)
		return "no memory was left to find out";
	return all->unreadable ? "this user may look into no attached process"
			: "no attached process can be seen from here";
}
