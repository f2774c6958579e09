/* SPDX-License-Identifier: MIT */
/*
 * unishm __complete WORD... - what the last word may become, for the completion scripts.
 *
 * Prints one candidate a line; a tab and a description may follow. The words are those after the
 * command's own name; the last one is what has been typed so far, and may be empty. A line with
 * ":files" alone asks the script for the names of files.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"
#include "segments.h"

static bool begins(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static void offer(const char *typed, const char *candidate, const char *description)
{
	if (begins(candidate, typed))
		printf("%s\t%s\n", candidate, description);
}

static void offer_all(const char *typed, const char *const *candidates)
{
	for (; *candidates; candidates++)
		offer(typed, *candidates, "");
}

/* ---- Values ---------------------------------------------------------------- */

static bool is_among(const char *name, const char *list, size_t length)
{
	for (size_t at = 0; at < length; at += strcspn(list + at, ",") + 1)
		if (strncmp(list + at, name, strlen(name)) == 0 && list[at + strlen(name)] == ',')
			return true;
	return false;
}

/* The last of several, with what stands before it. */
static void offer_columns(const char *typed, bool several)
{
	const char *comma = several ? strrchr(typed, ',') : NULL;
	size_t before = comma ? (size_t)(comma - typed) + 1 : *typed == '+' || *typed == '-';
	const char *list = *typed == '+' ? typed + 1 : typed;
	size_t start = (size_t)(list - typed), length = before > start ? before - start : 0;
	for (int i = 0; i < FIELDS; i++) {
		char candidate[700];
		const char *name = field_name((enum field)i);
		if (is_among(name, list, length))
			continue;
		snprintf(candidate, sizeof candidate, "%.*s%s", (int)before, typed, name);
		offer(typed, candidate, "");
	}
}

/* [BACKEND:]path:FILE:NUMBER: the file. @start: where its name begins. */
static void offer_path(const char *typed, const char *start)
{
	const char *slash = strrchr(start, '/');
	size_t length = slash ? (size_t)(slash - start) + 1 : 0;
	size_t before = (size_t)(start - typed) + length;
	char *directory = length ? strndup(start, length) : strdup(".");
	DIR *all = directory ? opendir(directory) : NULL;
	for (struct dirent *entry; all && (entry = readdir(all));) {
		char candidate[2048];
		struct stat st;
		if (*entry->d_name == '.' && start[length] != '.')
			continue;
		bool is_directory = fstatat(dirfd(all), entry->d_name, &st, 0) == 0
				&& S_ISDIR(st.st_mode);
		snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)before, typed, entry->d_name,
				is_directory ? "/" : ":");
		make_printable(candidate);
		offer(typed, candidate, "");
	}
	if (all)
		closedir(all);
	free(directory);
}

static int offer_listed(const struct unishm_status *st, void *arg)
{
	char text[140];
	snprintf(text, sizeof text, "%s, %s", human_size(st->size).text,
			user_name(st->owner_user).text);
	if (!st->removed)
		offer(arg, segment_spelling(st).text, text);
	return 0;
}

/* @listed: also the segments that exist. */
static void offer_segments(char *typed, bool listed)
{
	static const char *const prefixes[] = { "name:", "path:", "id:", NULL };
	const char *start = typed;
	for (const char *const *name = unishm_backends(); *name; name++)
		if (begins(start, *name) && start[strlen(*name)] == ':')
			start += strlen(*name) + 1;
	if (begins(start, "path:")) {
		offer_path(typed, start + 5);
		return;
	}
	for (const char *const *name = unishm_backends(); *name; name++)
		if (listed && (!chosen_backend || strcmp(chosen_backend, *name) == 0))
			unishm_list(*name, offer_listed, typed);
	if (start == typed && *typed)
		offer_all(typed, prefixes);
}

static void offer_commands(const char *typed)
{
	for (size_t i = 0; commands[i]; i++)
		if (commands[i]->summary)
			offer(typed, commands[i]->name, commands[i]->summary);
}

static void offer_value(enum word word, char *typed)
{
	static const char *const formats[] = { "short", "full", "iso", NULL };
	switch (word) {
	case WORD_SEGMENT: offer_segments(typed, true); break;
	case WORD_KEY: offer_segments(typed, false); break;
	case WORD_COLUMNS: offer_columns(typed, true); break;
	case WORD_SORT: offer_columns(typed, false); break;
	case WORD_BACKEND: offer_all(typed, unishm_backends()); break;
	case WORD_TIME_FORMAT: offer_all(typed, formats); break;
	case WORD_COMMAND: offer_commands(typed); break;
	case WORD_FILE: puts(":files"); break;
	default: break;
	}
}

/* ---- Which word it is ------------------------------------------------------ */

static void offer_options(unsigned bit, const char *typed)
{
	for (const struct option_spec *option = option_table; option->name; option++) {
		char candidate[64];
		if ((option->commands & bit) != bit)
			continue;
		snprintf(candidate, sizeof candidate, "--%s", option->name);
		offer(typed, candidate, option->help);
	}
}

/* The option that the word is, or ends in (-bo), if a value is to follow it. */
static const struct option_spec *awaits_value(unsigned bit, const char *word)
{
	if (*word != '-' || !word[1])
		return NULL;
	bool is_long = word[1] == '-';
	for (const struct option_spec *option = option_table; option->name; option++) {
		if ((option->commands & bit) != bit || !option->value)
			continue;
		if (is_long ? strcmp(word + 2, option->name) == 0
				: word[strlen(word) - 1] == option->id)
			return option;
	}
	return NULL;
}

/* --name=VALUE. Bash makes words of their own of the name, the sign and the value. */
static bool offer_after_sign(unsigned bit, char *typed)
{
	char *sign = strchr(typed, '=');
	if (!begins(typed, "--") || !sign)
		return false;
	*sign = '\0';
	const struct option_spec *option = awaits_value(bit, typed);
	if (option)
		offer_value(option->word, sign + 1);
	return true;
}

struct place {
	const struct command *command;
	const struct option_spec *option; /* whose value is to come */
	int operands;
	bool ended;                       /* by "--" */
};

static struct place find_place(int count, char **words)
{
	struct place place = { NULL, NULL, 0, false };
	for (int i = 0; i < count; i++) {
		unsigned bit = place.command ? place.command->bit : ALL;
		const struct option_spec *option = place.option;
		place.option = NULL;
		if (option) {
			if (option->id == 'B' && is_backend(words[i]))
				chosen_backend = words[i];
		} else if (!place.ended && strcmp(words[i], "--") == 0) {
			place.ended = true;
		} else if (!place.ended && *words[i] == '-') {
			place.option = awaits_value(bit, words[i]);
		} else if (!place.command) {
			place.command = find_command(words[i]);
			if (!place.command)
				place.ended = true;
		} else {
			place.operands++;
		}
	}
	return place;
}

static int run_complete(int argc, char **argv)
{
	if (argc < 2)
		return DONE;
	char *typed = argv[argc - 1];
	struct place place = find_place(argc - 2, argv + 1);
	unsigned bit = place.command ? place.command->bit : ALL;
	if (place.option) {
		offer_value(place.option->word, typed);
	} else if (!place.ended && *typed == '-') {
		if (!offer_after_sign(bit, typed))
			offer_options(bit, typed);
	} else if (!place.command) {
		offer_commands(typed);
	} else {
		offer_value(place.operands ? place.command->rest : place.command->first, typed);
	}
	return DONE;
}

const struct command complete_command = {
	.bit = COMPLETE,
	.name = "__complete",
	.run = run_complete,
};
