/* SPDX-License-Identifier: MIT */
/*
 * unishm remove
 *
 * What is named one by one is removed. What is chosen by filters is removed only if it is
 * unattached and own, unless the user says otherwise, and only after a question.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "segments.h"

struct request {
	struct filter filter;
	bool bulk, dry_run, yes, attached, foreign, unfinished;
	bool looked;             /* at all processes, once for all that are named */
	struct attachments all;
};

/* What the filters choose, and what they left out. */
struct choice {
	struct rows rows;
	uint64_t bytes;
	size_t attached, foreign;
};

/* ---- Segments that were named --------------------------------------------- */

/* Who attaches a segment is told before it is removed. */
static void tell_attached(const char *text, const struct unishm_status *st,
		const struct attachments *all)
{
	const struct text_long names = attached_names(all, st);
	tell("%s is attached %lu time%s%s%s; its memory is freed when the last process detaches",
			text, st->number_attached, plural(st->number_attached),
			*names.text ? ", mapped by " : "", names.text);
}

static int remove_named(struct unishm *seg, const char *text, void *arg)
{
	struct request *request = arg;
	struct unishm_status st;
	if (unishm_status(seg, &st) == 0 && st.number_attached) {
		if (!request->looked)
			find_attachments(&request->all);
		request->looked = true;
		tell_attached(text, &st, &request->all);
	}
	if (request->dry_run) {
		printf("would remove %s\n", text);
		return DONE;
	}
	return unishm_remove(seg) < 0 ? library_failed() : DONE;
}

/* ---- What the filters choose ---------------------------------------------- */

/* Keep in @choice what may go, and count the rest. */
static void leave_out(struct choice *choice, const struct request *request)
{
	struct rows *rows = &choice->rows;
	size_t kept = 0;
	for (size_t i = 0; i < rows->count; i++) {
		const struct unishm_status *st = &rows->item[i].st;
		if (!request->foreign && !is_own(st)) {
			choice->foreign++;
		} else if (!request->attached && st->number_attached) {
			choice->attached++;
		} else {
			choice->bytes += st->size;
			rows->item[kept++] = rows->item[i];
		}
	}
	rows->count = kept;
}

static int choose(struct choice *choice, struct request *request)
{
	request->filter.removable = true;
	int status = collect(&choice->rows, &request->filter);
	leave_out(choice, request);
	return status;
}

static void print_choice(FILE *out, const char *verb, const struct unishm_status *st)
{
	fprintf(out, "%s %s (id %d, %s, %s, %lu attached)\n", verb, segment_spelling(st).text,
			st->id, user_name(st->owner_user).text, human_size(st->size).text,
			st->number_attached);
}

static void tell_left_out(const struct choice *choice)
{
	if (choice->attached)
		tell("%zu attached segment%s not chosen; --attached chooses attached ones too",
				choice->attached, were(choice->attached));
	if (choice->foreign)
		tell("%zu segment%s of other users %s not chosen; --foreign chooses %s too",
				choice->foreign, plural(choice->foreign),
				choice->foreign == 1 ? "was" : "were",
				choice->foreign == 1 ? "it" : "them");
}

/* ---- The question --------------------------------------------------------- */

/* One look at all processes for all segments. */
static void tell_all_attached(const struct rows *rows)
{
	enum { MOST = 20 };
	struct attachments all = { .item = NULL };
	size_t attached = 0;
	for (size_t i = 0; i < rows->count; i++) {
		const struct unishm_status *st = &rows->item[i].st;
		if (!st->number_attached || ++attached > MOST)
			continue;
		if (attached == 1)
			find_attachments(&all);
		tell_attached(segment_spelling(st).text, st, &all);
	}
	if (attached > MOST)
		tell("%zu more of the chosen segments are attached", attached - MOST);
	free_attachments(&all);
}

static void print_summary(FILE *out, struct choice *choice)
{
	const size_t most = 5;
	struct rows *rows = &choice->rows;
	size_t told = rows->count < most ? rows->count : most;
	sort_rows(rows, FIELD_SIZE, true);
	fprintf(out, "%zu segment%s, %s in all:\n", rows->count, plural(rows->count),
			human_size(choice->bytes).text);
	for (size_t i = 0; i < told; i++)
		print_choice(out, " ", &rows->item[i].st);
	if (rows->count > told)
		fprintf(out, "  and %zu smaller one%s (--dry-run names all)\n", rows->count - told,
				plural(rows->count - told));
}

/* Only a plain yes removes. */
static bool answered_yes(size_t count)
{
	char answer[16] = "";
	fprintf(stderr, "Remove %s? [y/N] ", count == 1 ? "this segment" : "these segments");
	fflush(stderr);
	if (!fgets(answer, sizeof answer, stdin)) {
		fputc('\n', stderr);
		return false;
	}
	return strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0;
}

/* DONE: remove them. */
static int ask(struct choice *choice)
{
	size_t count = choice->rows.count;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return fail("remove: %zu segment%s (%s) would be removed, but there is no terminal "
				"to ask on, and nothing was removed; see them with --dry-run, and "
				"give --yes", count, plural(count), human_size(choice->bytes).text);
	print_summary(stderr, choice);
	if (!answered_yes(count))
		return fail("remove: the answer was not y, and nothing was removed");
	return DONE;
}

/* ---- Removing them -------------------------------------------------------- */

/* Whether it is still the one that was listed, and still chosen. */
static bool is_still(const struct unishm_status *now, const struct unishm_status *listed,
		const struct request *request)
{
	return now->id == listed->id && now->key == listed->key && now->size == listed->size
			&& now->creator_process == listed->creator_process
			&& now->owner_user == listed->owner_user && passes(now, &request->filter)
			&& (request->attached || !now->number_attached);
}

static int remove_if_still(const struct unishm_status *listed, const struct request *request)
{
	struct unishm *seg;
	struct unishm_status now;
	int rc = open_listed(&seg, listed);
	if (rc == -ENOENT || rc == -EIDRM)
		return DONE;
	if (rc < 0)
		return library_failed();
	rc = unishm_status(seg, &now);
	bool same = rc == 0 && is_still(&now, listed, request);
	if (same)
		rc = unishm_remove(seg);
	unishm_close(seg);
	if (rc == -EIDRM)
		return DONE;
	if (rc < 0)
		return library_failed();
	print_choice(stdout, same ? "removed" : "kept, since it changed meanwhile:", &now);
	return DONE;
}

static int remove_rows(const struct rows *rows, const struct request *request)
{
	int worst = DONE;
	for (size_t i = 0; i < rows->count; i++) {
		if (request->dry_run)
			print_choice(stdout, "would remove", &rows->item[i].st);
		else if (remove_if_still(&rows->item[i].st, request) != DONE)
			worst = FAILED;
	}
	return worst;
}

static int remove_chosen(struct request *request)
{
	struct choice choice = { .bytes = 0 };
	int status = choose(&choice, request);
	tell_left_out(&choice);
	tell_all_attached(&choice.rows);
	int rc = DONE;
	if (choice.rows.count && !request->dry_run && !request->yes)
		rc = ask(&choice);
	sort_rows(&choice.rows, FIELD_BACKEND, false);
	if (rc == DONE)
		rc = remove_rows(&choice.rows, request);
	free_rows(&choice.rows);
	return rc != DONE ? rc : status;
}

/* ---- Unfinished ones -------------------------------------------------------- */

/* What the question was not about is kept, and ends the sweep. */
static int is_asked(const struct unishm_status *st, void *arg)
{
	return !find_row(arg, st->backend, st->id);
}

static int sweep_backends(struct row_index *asked)
{
	int worst = DONE;
	for (const char *const *name = unishm_backends(); *name; name++) {
		if (chosen_backend && strcmp(*name, chosen_backend) != 0)
			continue;
		int rc = unishm_sweep(*name, 0, is_asked, asked);
		if (rc < 0 && rc != -ENOTSUP)
			worst = library_failed();
	}
	return worst;
}

/* What is still there could not be removed: it belongs to another user. */
static int tell_swept(const struct rows *asked)
{
	struct rows left = { NULL, 0, 0 };
	int worst = collect_unfinished(&left) < 0 ? library_failed() : DONE;
	struct row_index index = index_rows(&left);
	for (size_t i = 0; i < asked->count && worst == DONE; i++) {
		const struct unishm_status *st = &asked->item[i].st;
		if (!find_row(&index, st->backend, st->id))
			print_choice(stdout, "removed", st);
	}
	if (worst == DONE && left.count)
		worst = fail("remove --unfinished: %zu segment%s could not be removed; "
				"run it as their owner, or as root",
				left.count, plural(left.count));
	free_index(&index);
	free_rows(&left);
	return worst;
}

static int sweep_all(const struct rows *rows)
{
	struct row_index asked = index_rows(rows);
	int status = sweep_backends(&asked);
	free_index(&asked);
	int rc = tell_swept(rows);
	return rc != DONE ? rc : status;
}

/* The library proves of each that its maker is dead, and that it is its own work. */
static int remove_unfinished(const struct request *request)
{
	struct choice choice = { .bytes = 0 };
	int status = collect_unfinished(&choice.rows) < 0 ? library_failed() : DONE;
	for (size_t i = 0; i < choice.rows.count; i++)
		choice.bytes += choice.rows.item[i].st.size;
	if (status == DONE && choice.rows.count && !request->dry_run && !request->yes)
		status = ask(&choice);
	if (status == DONE && request->dry_run)
		status = remove_rows(&choice.rows, request);
	else if (status == DONE && choice.rows.count)
		status = sweep_all(&choice.rows);
	free_rows(&choice.rows);
	return status;
}

/* ---- The command ---------------------------------------------------------- */

static int take_option(int c, struct request *request)
{
	switch (c) {
	case 'n': request->dry_run = true; return DONE;
	case 'y': request->yes = true; return DONE;
	case OPT_ALL_MINE: request->filter.mine = request->bulk = true; return DONE;
	case OPT_UNATTACHED: request->filter.unattached = request->bulk = true; return DONE;
	case OPT_DEAD_CREATOR: request->filter.dead_creator = request->bulk = true; return DONE;
	case OPT_UNFINISHED: request->unfinished = true; return DONE;
	case OPT_ATTACHED: request->attached = true; return DONE;
	case OPT_FOREIGN: request->foreign = true; return DONE;
	case OPT_OLDER_THAN:
		request->filter.older = true;
		return parse_age(optarg, "--older-than", &request->filter.older_than);
	default: return option_status;
	}
}

static const char FILTERS[] = "--all-mine, --unattached or --dead-creator";

static int check_request(const struct request *request, int segments)
{
	bool narrowed = request->filter.older || request->attached || request->foreign;
	if (segments && (request->bulk || request->unfinished))
		return usage_error("name segments, or choose them by filters, not both");
	if (request->unfinished && (request->bulk || narrowed))
		return usage_error("--unfinished cannot be combined with other filters");
	if (request->attached && request->filter.unattached)
		return usage_error("--attached and --unattached exclude each other");
	if (!request->bulk && narrowed)
		return usage_error("%s needs %s", request->filter.older ? "--older-than"
				: request->attached ? "--attached" : "--foreign", FILTERS);
	if (!request->bulk && !request->unfinished && !segments)
		return usage_error("no segment is named; name segments, or choose by %s", FILTERS);
	return DONE;
}

static int run_remove(int argc, char **argv)
{
	struct request request = { .bulk = false };
	for (int c; (c = next_option(argc, argv)) != -1;) {
		int rc = take_option(c, &request);
		if (rc != DONE || c == '?')
			return rc;
	}
	int rc = check_request(&request, argc - optind);
	if (rc != DONE)
		return rc;
	if (request.unfinished)
		return remove_unfinished(&request);
	if (request.bulk)
		return remove_chosen(&request);
	rc = for_each_segment(argc - optind, argv + optind, remove_named, &request);
	free_attachments(&request.all);
	return rc;
}

const struct command remove_command = {
	.bit = REMOVE,
	.name = "remove",
	.alias = "rm",
	.arguments = "[OPTION]... SEGMENT... | FILTER...",
	.summary = "Remove segments",
	.notes = "A FILTER is --all-mine, --unattached, --dead-creator or --unfinished; several "
		"choose what all of them do. Filters choose only segments that no process "
		"attaches, and that this library made or that you own; --attached and --foreign "
		"choose more. The command then asks before it removes anything.",
	.first = WORD_SEGMENT,
	.rest = WORD_SEGMENT,
	.run = run_remove,
};
