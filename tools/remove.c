/* SPDX-License-Identifier: MIT */
/* unishm remove */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

struct request {
	struct filter filter;
	bool bulk, dry_run, yes;
};

/* ---- Segments that were named --------------------------------------------- */

static int remove_named(struct unishm *seg, const char *text, void *arg)
{
	const struct request *request = arg;
	if (request->dry_run) {
		printf("would remove %s\n", text);
		return DONE;
	}
	return unishm_remove(seg) < 0 ? library_failed() : DONE;
}

/* ---- All that a filter chooses -------------------------------------------- */

static void print_choice(FILE *out, const char *verb, const struct unishm_status *st)
{
	fprintf(out, "%s %s (id %d, %s, %s, %lu attached)\n", verb, segment_spelling(st).text, st->id,
			user_name(st->owner_user).text, human_size(st->size).text, st->number_attached);
}

/* Only a plain yes removes. */
static bool confirmed(const struct rows *rows)
{
	char answer[16] = "";
	for (size_t i = 0; i < rows->count; i++)
		print_choice(stderr, "remove", &rows->item[i].st);
	fprintf(stderr, "Remove %s? [y/N] ", rows->count == 1 ? "this segment" : "these segments");
	fflush(stderr);
	if (!fgets(answer, sizeof answer, stdin)) {
		fputc('\n', stderr);
		return false;
	}
	return strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0;
}

/* Time has passed since it was listed: somebody may have attached it, or removed it. */
static int remove_if_still(const struct unishm_status *listed, const struct request *request)
{
	struct unishm *seg;
	struct unishm_status now;
	int rc = open_by_id(&seg, listed->backend, listed->id);
	if (rc == -ENOENT || rc == -EIDRM)
		return DONE;
	if (rc < 0)
		return library_failed();
	rc = unishm_status(seg, &now);
	bool same = rc == 0 && now.key == listed->key && now.creator_process == listed->creator_process
			&& passes(&now, &request->filter);
	if (rc == 0 && same)
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
	struct rows rows = { NULL, 0, 0 };
	request->filter.removable = true;
	int status = collect(&rows, &request->filter);
	sort_rows(&rows, FIELD_BACKEND, false);
	bool ask = !request->dry_run && !request->yes && rows.count && isatty(STDIN_FILENO);
	if (ask && !confirmed(&rows))
		status = fail("remove: nothing was removed; answer y, or give --yes");
	else if (remove_rows(&rows, request) != DONE)
		status = FAILED;
	free_rows(&rows);
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
	case OPT_OLDER_THAN:
		request->filter.older = true;
		return parse_age(optarg, "--older-than", &request->filter.older_than);
	default: return option_status;
	}
}

static int run_remove(int argc, char **argv)
{
	struct request request = { .bulk = false };
	for (int c; (c = next_option(argc, argv)) != -1;) {
		int rc = take_option(c, &request);
		if (rc != DONE || c == '?')
			return rc;
	}
	if (request.bulk && optind < argc)
		return usage_error("name segments, or choose by --all-mine, --unattached or --dead-creator, "
				"not both");
	if (request.bulk)
		return remove_chosen(&request);
	if (request.filter.older)
		return usage_error("--older-than needs --all-mine, --unattached or --dead-creator");
	return for_each_segment(argc - optind, argv + optind, remove_named, &request);
}

static const struct option longs[] = {
	{ "all-mine", no_argument, NULL, OPT_ALL_MINE },
	{ "unattached", no_argument, NULL, OPT_UNATTACHED },
	{ "dead-creator", no_argument, NULL, OPT_DEAD_CREATOR },
	{ "older-than", required_argument, NULL, OPT_OLDER_THAN },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "yes", no_argument, NULL, 'y' },
	COMMON_OPTIONS
};

const struct command remove_command = {
	.name = "remove",
	.arguments = "[OPTION]... SEGMENT... | --all-mine | --unattached | --dead-creator",
	.summary = "remove segments",
	.help = "      --all-mine        all that I own\n"
		"      --unattached      all that no process attaches and that I may remove\n"
		"      --dead-creator    all that a process created that is gone\n"
		"                        (given together: what all of them choose)\n"
		"      --older-than AGE  of these, what was not used for so long: 90s, 5m, 1h, 7d, 2w\n"
		"  -n, --dry-run         say what would be removed, and remove nothing\n"
		"  -y, --yes             do not ask on a terminal\n",
	.shorts = ":" SHORT_OPTIONS "ny",
	.longs = longs,
	.run = run_remove,
};
