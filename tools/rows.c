/* SPDX-License-Identifier: MIT */
/* Collecting segments, and choosing among them. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "segments.h"
#include "system.h"

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

static struct row *new_row(struct rows *rows, const struct unishm_status *st)
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
	*row = row_of(st);
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
	return new_row(collection->rows, st) ? 0 : -ENOMEM;
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
			return out_of_memory();
		if (rc < 0)
			worst = library_failed();
	}
	return worst;
}

static int add_foreign(const struct system_object *object, void *arg)
{
	struct collection *collection = arg;
	if (object->ours || !S_ISREG(object->st->st_mode))
		return 0;
	if (collection->filter->mine && object->st->st_uid != geteuid())
		return 0;
	const struct unishm_status st = {
		.backend = "foreign",
		.size = (size_t)object->st->st_size,
		.mode = object->st->st_mode & 0777,
		.owner_user = object->st->st_uid,
		.owner_group = object->st->st_gid,
		.last_change_time = object->st->st_mtime,
	};
	struct row *row = new_row(collection->rows, &st);
	if (!row)
		return -ENOMEM;
	row->foreign = true;
	row->object = strdup(object->name);
	row->rss = (long long)object->st->st_blocks * 512;
	return row->object ? 0 : -ENOMEM;
}

int collect_foreign(struct rows *rows, const struct filter *filter)
{
	struct collection collection = { rows, filter };
	/* Nothing tells by whom a foreign object was made or is attached. */
	if (filter->unattached || filter->dead_creator)
		return usage_error(
				"--foreign cannot be combined with --unattached or --dead-creator: "
				"the system does not tell this of foreign objects");
	int rc = system_objects(add_foreign, &collection);
	if (rc == -ENOTSUP)
		return fail("list --foreign: this system does not tell which objects there are; "
				"leave it out");
	if (rc < 0)
		return fail("list --foreign: cannot read %s: %s", system_shm_directory(),
				strerror(-rc));
	return DONE;
}

int collect_unfinished(struct rows *rows)
{
	static const struct filter all;
	struct collection collection = { rows, &all };
	for (const char *const *name = unishm_backends(); *name; name++) {
		if (chosen_backend && strcmp(*name, chosen_backend) != 0)
			continue;
		int rc = unishm_sweep(*name, UNISHM_SWEEP_DRY, add_segment, &collection);
		if (rc < 0 && rc != -ENOTSUP)
			return rc;
	}
	return 0;
}

/* ---- What cannot be read ---------------------------------------------------- */

struct census {
	struct row_index listed;
	size_t unreadable;
};

static int count_segment(const struct system_segment *segment, void *arg)
{
	struct census *census = arg;
	census->unreadable += !find_row(&census->listed, "sysv", segment->id)
			&& !system_may_read_segment(segment->id);
	return 0;
}

static int count_object(const struct system_object *object, void *arg)
{
	struct census *census = arg;
	if (!object->ours || object->draft || find_row(&census->listed, "posix", object->id))
		return 0;
	census->unreadable += !system_may_read(object->name);
	return 0;
}

static bool is_meant(const char *backend)
{
	return is_backend(backend) && (!chosen_backend || strcmp(chosen_backend, backend) == 0);
}

size_t count_unreadable(const struct rows *all)
{
	struct census census = { index_rows(all), 0 };
	if (!census.listed.row)
		return 0;
	if (is_meant("sysv"))
		system_segments(count_segment, &census);
	if (is_meant("posix"))
		system_objects(count_object, &census);
	free_index(&census.listed);
	return census.unreadable;
}

static void free_row(struct row *row)
{
	free(row->object);
	free(row->pids);
	free(row->commands);
}

void keep_passing(struct rows *rows, const struct filter *filter)
{
	size_t kept = 0;
	for (size_t i = 0; i < rows->count; i++) {
		if (passes(&rows->item[i].st, filter))
			rows->item[kept++] = rows->item[i];
		else
			free_row(&rows->item[i]);
	}
	rows->count = kept;
}

void free_rows(struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		free_row(&rows->item[i]);
	free(rows->item);
	*rows = (struct rows){ NULL, 0, 0 };
}
