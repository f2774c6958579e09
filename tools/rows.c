/* SPDX-License-Identifier: MIT */
/* Collecting segments, and choosing among them. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

/* ---- Filters -------------------------------------------------------------- */

/* A process that we may not signal lives. */
bool process_is_dead(pid_t pid)
{
	return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

static time_t last_use(const struct unishm_status *st)
{
	time_t last = st->last_change_time;
	if (st->last_attach_time > last)
		last = st->last_attach_time;
	return st->last_detach_time > last ? st->last_detach_time : last;
}

bool is_own(const struct unishm_status *st)
{
	return strcmp(st->backend, "posix") == 0 || st->owner_user == geteuid();
}

static bool may_remove(const struct unishm_status *st)
{
	uid_t user = geteuid();
	if (st->removed)
		return false;
	return user == 0 || st->owner_user == user || st->creator_user == user;
}

bool passes(const struct unishm_status *st, const struct filter *filter)
{
	if (filter->mine && st->owner_user != geteuid())
		return false;
	if (filter->unattached && st->number_attached > 0)
		return false;
	if (filter->dead_creator && !process_is_dead(st->creator_process))
		return false;
	if (filter->removable && !may_remove(st))
		return false;
	return !filter->older || time(NULL) - last_use(st) >= filter->older_than;
}

/* ---- Collecting ----------------------------------------------------------- */

static struct row *new_row(struct rows *rows)
{
	if (rows->count == rows->room) {
		size_t room = rows->room ? 2 * rows->room : 64;
		struct row *item = realloc(rows->item, room * sizeof *item);
		if (!item)
			return NULL;
		rows->item = item;
		rows->room = room;
	}
	struct row *row = &rows->item[rows->count++];
	memset(row, 0, sizeof *row);
	return row;
}

struct collection {
	struct rows *rows;
	const struct filter *filter;
};

static int add_segment(const struct unishm_status *st, void *arg)
{
	struct collection *collection = arg;
	if (!passes(st, collection->filter))
		return 0;
	struct row *row = new_row(collection->rows);
	if (!row)
		return -ENOMEM;
	row->st = *st;
	return 0;
}

int collect(struct rows *rows, const struct filter *filter)
{
	struct collection collection = { rows, filter };
	int worst = DONE;
	for (const char *const *name = unishm_backends(); *name; name++) {
		if (chosen_backend && strcmp(*name, chosen_backend) != 0)
			continue;
		int rc = unishm_list(*name, add_segment, &collection);
		if (rc == -ENOMEM)
			return fail("cannot list the %s segments: no memory is left; end other "
					"programs", *name);
		if (rc < 0)
			worst = library_failed();
	}
	return worst;
}

static int add_foreign(const char *name, const struct stat *st, void *arg)
{
	struct collection *collection = arg;
	if (collection->filter->mine && st->st_uid != geteuid())
		return 0;
	struct row *row = new_row(collection->rows);
	char *copy = strdup(name);
	if (!row || !copy) {
		free(copy);
		return -ENOMEM;
	}
	row->name = copy;
	row->st.backend = "foreign";
	row->st.size = (size_t)st->st_size;
	row->st.mode = st->st_mode & 0777;
	row->st.owner_user = st->st_uid;
	row->st.owner_group = st->st_gid;
	row->st.last_change_time = st->st_mtime;
	return 0;
}

int collect_foreign(struct rows *rows, const struct filter *filter)
{
	struct collection collection = { rows, filter };
	/* Nothing tells by whom a foreign object was made or is attached. */
	if (filter->unattached || filter->dead_creator)
		return usage_error("--foreign cannot be asked with --unattached or --dead-creator: "
				"the system does not tell this of foreign objects");
	int rc = system_foreign(add_foreign, &collection);
	if (rc == -ENOTSUP)
		return fail("list --foreign: this system does not tell which objects there are; "
				"leave it out");
	if (rc < 0)
		return fail("cannot read %s: %s; ask its owner for read permission",
				system_shm_directory(), strerror(-rc));
	return DONE;
}

void free_rows(struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		free(rows->item[i].name);
	free(rows->item);
	*rows = (struct rows){ NULL, 0, 0 };
}
