/* SPDX-License-Identifier: MIT */
/* unishm show */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

/* ---- Who is attached ------------------------------------------------------ */

struct attached {
	struct process *process;
	size_t count, room;
	unsigned long attachments, unreadable;
	int rc; /* of looking: 0, -ENOTSUP, -ENOMEM */
};

static void add_process(const struct process *process, void *arg)
{
	struct attached *attached = arg;
	if (attached->count == attached->room) {
		size_t room = attached->room ? 2 * attached->room : 16;
		struct process *more = realloc(attached->process, room * sizeof *more);
		if (!more) {
			attached->rc = -ENOMEM;
			return;
		}
		attached->process = more;
		attached->room = room;
	}
	attached->process[attached->count++] = *process;
	attached->attachments += process->attachments;
}

static struct attached find_attached(const struct unishm_status *st)
{
	struct attached attached = { NULL, 0, 0, 0, 0, 0 };
	if (st->number_attached == 0)
		return attached;
	int rc = system_attached(st, add_process, &attached, &attached.unreadable);
	if (rc < 0)
		attached.rc = rc;
	return attached;
}

/* Why the processes found are perhaps not all, or NULL. */
static const char *what_is_missing(const struct unishm_status *st, const struct attached *attached,
		char *room, size_t size)
{
	if (attached->rc == -ENOTSUP)
		return "this system does not tell who is attached";
	if (attached->rc == -ENOMEM)
		return "no memory was left to list them all";
	if (attached->attachments >= st->number_attached)
		return NULL;
	unsigned long missing = st->number_attached - attached->attachments;
	if (attached->unreadable)
		snprintf(room, size, "%lu more, perhaps in the %lu processes that this user may not "
				"look into: ask as root", missing, attached->unreadable);
	else
		snprintf(room, size, "%lu more, in processes that cannot be seen from here (ended "
				"meanwhile, or in another namespace)", missing);
	return room;
}

/* ---- Output --------------------------------------------------------------- */

static void print_attached(const struct unishm_status *st, const struct attached *attached)
{
	char room[160];
	const char *missing = what_is_missing(st, attached, room, sizeof room);
	fputs("attached_processes:", stdout);
	if (!attached->count && !missing)
		fputs(" none", stdout);
	putchar('\n');
	for (size_t i = 0; i < attached->count; i++) {
		const struct process *process = &attached->process[i];
		printf("  %ld %s", process->pid, process->command);
		if (process->attachments > 1)
			printf(" (%lu times)", process->attachments);
		putchar('\n');
	}
	if (missing)
		printf("  %s\n", missing);
}

static void print_json(const struct unishm_status *st, const struct attached *attached)
{
	char room[160];
	struct row row = { *st, NULL };
	const char *missing = what_is_missing(st, attached, room, sizeof room);
	putchar('{');
	json_fields(stdout, &row);
	fputs(", \"attached_processes\": [", stdout);
	for (size_t i = 0; i < attached->count; i++) {
		const struct process *process = &attached->process[i];
		printf("%s{\"pid\": %ld, \"attachments\": %lu, \"command\": ", i ? ", " : "",
				process->pid, process->attachments);
		json_string(stdout, process->command);
		putchar('}');
	}
	fputs("], \"attached_processes_missing\": ", stdout);
	if (missing)
		json_string(stdout, missing);
	else
		fputs("null", stdout);
	puts("}");
}

/* ---- The command ---------------------------------------------------------- */

struct search {
	int id;
	struct unishm_status *st;
};

static int is_it(const struct unishm_status *st, void *arg)
{
	struct search *search = arg;
	if (st->id != search->id)
		return 0;
	*search->st = *st;
	return 1;
}

/* One that was removed and is still attached cannot be opened, but System V lists it. */
static int find_status(const struct segment_ref *ref, struct unishm_status *st)
{
	struct unishm *seg;
	struct search search = { ref->id, st };
	int rc = try_open_segment(&seg, ref);
	if (rc == -ENOENT && ref->by_id && unishm_list(ref->backend, is_it, &search) == 1)
		return DONE;
	if (rc < 0) {
		rc = open_segment(&seg, ref); /* again, for its line on stderr */
		if (rc != DONE)
			return rc;
	}
	rc = unishm_status(seg, st);
	unishm_close(seg);
	return rc < 0 ? library_failed() : DONE;
}

static int show(const char *text, bool json)
{
	struct segment_ref ref;
	struct unishm_status st;
	int rc = parse_segment(text, &ref);
	if (rc == DONE)
		rc = find_status(&ref, &st);
	if (rc != DONE)
		return rc;
	struct attached attached = find_attached(&st);
	if (json) {
		print_json(&st, &attached);
	} else {
		unishm_print(stdout, &st); /* main() checks stdout */
		print_attached(&st, &attached);
	}
	free(attached.process);
	return DONE;
}

static int run_show(int argc, char **argv)
{
	bool json = false;
	for (int c; (c = next_option(argc, argv)) != -1;) {
		if (c == '?')
			return option_status;
		json = true;
	}
	if (argc - optind != 1)
		return usage_error(optind < argc ? "show one segment at a time" : "which segment?");
	return show(argv[optind], json);
}

static const struct option longs[] = {
	{ "json", no_argument, NULL, 'j' },
	COMMON_OPTIONS
};

const struct command show_command = {
	.name = "show",
	.arguments = "[OPTION]... SEGMENT",
	.summary = "show all that is known of a segment, and who attaches it",
	.help = "  -j, --json            JSON\n",
	.shorts = ":" SHORT_OPTIONS "j",
	.longs = longs,
	.run = run_show,
};
