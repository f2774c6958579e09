/* SPDX-License-Identifier: MIT */
/* unishm show */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "segments.h"
#include "system.h"

struct request {
	struct format format;
	bool json;
};

/* ---- Who is attached ------------------------------------------------------ */

static unsigned long sum(const struct attachment *one, size_t count)
{
	unsigned long all = 0;
	for (size_t i = 0; i < count; i++)
		all += one[i].count;
	return all;
}

/* Why the processes found are perhaps not all, or NULL. */
static const char *what_is_missing(const struct unishm_status *st, const struct attachments *all,
		char *room, size_t size)
{
	size_t count;
	const struct attachment *one = attachments_of(all, st, &count);
	unsigned long found = sum(one, count);
	if (found >= st->number_attached)
		return NULL;
	if (all->rc == -ENOTSUP)
		return "this system does not tell who is attached";
	if (all->rc < 0)
		return "no memory was left to list them all";
	unsigned long missing = st->number_attached - found;
	if (all->unreadable)
		snprintf(room, size, "%lu more, perhaps in the %lu process%s "
				"that this user may not look into; root may",
				missing, all->unreadable,
				all->unreadable == 1 ? "" : "es");
	else
		snprintf(room, size, "%lu more, in processes that cannot be seen from here "
				"(ended meanwhile, or in another namespace)", missing);
	return room;
}

/* ---- Output --------------------------------------------------------------- */

enum { VALUE_AT = 20 };

static void print_line(const char *name, const char *value)
{
	printf("%s:%*s%s\n", name, VALUE_AT - 1 - (int)strlen(name), "", value);
}

/* A list with commas, in lines that fit 80 columns. */
static void print_list(const char *name, const char *list)
{
	int column = printf("%s:%*s", name, VALUE_AT - 1 - (int)strlen(name), "");
	bool first = true;
	while (*list) {
		int length = (int)strcspn(list, ",");
		if (!first && column + length + 3 > 80)
			column = printf(",\n%*s", VALUE_AT, "") - 2;
		else if (!first)
			column += printf(", ");
		column += printf("%.*s", length, list);
		list += length + (list[length] == ',');
		first = false;
	}
	putchar('\n');
}

static void print_key(const struct row *row, const struct format *format)
{
	char text[64];
	unsigned long key = (uint32_t)row->st.key;
	snprintf(text, sizeof text, "0x%08lx (%lu)", key, key);
	print_line("key", key ? text : field_cell(FIELD_KEY, row, format).text);
}

static void print_size(const char *name, uint64_t bytes, const struct format *format)
{
	char text[96];
	snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
	if (!format->bytes && bytes >= 1024)
		snprintf(text, sizeof text, "%llu (%s)", (unsigned long long)bytes,
				human_size(bytes).text);
	print_line(name, text);
}

/* Name, and number where they differ. */
static void print_owner(enum field field, const struct row *row, unsigned long number,
		const struct format *format)
{
	char text[96], digits[24];
	const struct cell name = field_cell(field, row, format);
	snprintf(digits, sizeof digits, "%lu", number);
	snprintf(text, sizeof text, "%.60s", name.text);
	if (strcmp(digits, name.text) != 0)
		snprintf(text, sizeof text, "%.60s (%s)", name.text, digits);
	print_line(field_name(field), text);
}

static void print_mode(const struct unishm_status *st)
{
	char text[32];
	snprintf(text, sizeof text, "%.9s (%04lo)", mode_letters(st->mode).text,
			(unsigned long)st->mode);
	print_line("mode", text);
}

/* Where other programs find the object. */
static void print_path(const struct row *row)
{
	char path[320];
	if (!row->object)
		return;
	snprintf(path, sizeof path, "%s/%s", system_shm_directory(), row->object);
	print_line("path", path);
}

static void print_bits(enum field field, const struct row *row, const struct format *format)
{
	const struct cell cell = field_cell(field, row, format);
	print_list(field_name(field), strcmp(cell.text, "-") == 0 ? "none" : cell.text);
}

static void print_field(enum field field, const struct row *row, const struct format *format)
{
	const struct unishm_status *st = &row->st;
	switch (field) {
	case FIELD_SIZE: print_size("size", st->size, format); break;
	case FIELD_CREATOR_USER: print_owner(field, row, st->creator_user, format); break;
	case FIELD_CREATOR_GROUP: print_owner(field, row, st->creator_group, format); break;
	case FIELD_OWNER_USER: print_owner(field, row, st->owner_user, format); break;
	case FIELD_OWNER_GROUP: print_owner(field, row, st->owner_group, format); break;
	case FIELD_MODE: print_mode(st); break;
	case FIELD_KEY: print_key(row, format); break;
	case FIELD_EMULATED:
	case FIELD_INEXACT: print_bits(field, row, format); break;
	default: print_line(field_name(field), field_cell(field, row, format).text);
	}
}

/* In the order of unishm_print(). */
static void print_fields(const struct row *row, const struct format *format)
{
	static const enum field told[] = { FIELD_SIZE, FIELD_NUMBER_ATTACHED, FIELD_CREATOR_PROCESS,
		FIELD_LAST_OP_PROCESS, FIELD_LAST_ATTACH_TIME, FIELD_LAST_DETACH_TIME,
		FIELD_LAST_CHANGE_TIME, FIELD_CREATOR_USER, FIELD_CREATOR_GROUP, FIELD_OWNER_USER,
		FIELD_OWNER_GROUP, FIELD_MODE, FIELD_KEY, FIELD_BACKEND, FIELD_ID, FIELD_LOCKED,
		FIELD_REMOVED, FIELD_EMULATED, FIELD_INEXACT };
	for (size_t i = 0; i < sizeof told / sizeof *told; i++)
		print_field(told[i], row, format);
	print_path(row);
	if (row->rss != UNKNOWN)
		print_size("rss", (uint64_t)row->rss, format);
	if (row->swap != UNKNOWN)
		print_size("swap", (uint64_t)row->swap, format);
}

static void print_huge_pages(const struct row *row, const struct attachments *all,
		const struct format *format)
{
	char text[128];
	const char *why = why_no_huge_pages(all, &row->st);
	if (why)
		snprintf(text, sizeof text, "not known: %s", why);
	else
		snprintf(text, sizeof text, "%.24s of %.24s, as process %ld has it mapped",
				field_cell(FIELD_HUGE_PAGES, row, format).text,
				field_cell(FIELD_SIZE, row, format).text,
				hugest(all, &row->st)->pid);
	print_line(field_name(FIELD_HUGE_PAGES), text);
}

static void print_attached(const struct unishm_status *st, const struct attachments *all)
{
	char room[160];
	size_t count;
	const struct attachment *one = attachments_of(all, st, &count);
	const char *missing = what_is_missing(st, all, room, sizeof room);
	printf("attached_processes:%s\n", count || missing ? "" : " none");
	for (size_t i = 0; i < count; i++) {
		printf("  %ld %s", one[i].pid, one[i].command);
		if (one[i].count > 1)
			printf(" (%lu times)", one[i].count);
		putchar('\n');
	}
	if (missing)
		printf("  %s\n", missing);
}

static void json_huge_pages(struct json *json, const struct row *row, const struct attachments *all)
{
	static const struct columns columns = { { FIELD_HUGE_PAGES }, 1 };
	const struct attachment *most = hugest(all, &row->st);
	json_fields(json, row, &columns);
	if (most)
		json_number(json, "huge_pages_process", most->pid);
	else
		json_string(json, "huge_pages_process", NULL);
	json_string(json, "huge_pages_not_known", why_no_huge_pages(all, &row->st));
}

static void print_json(const struct row *row, const struct attachments *all)
{
	char room[320];
	size_t count;
	const struct attachment *one = attachments_of(all, &row->st, &count);
	struct json json = { .out = stdout };
	json_object(&json, NULL);
	json_fields(&json, row, &status_columns);
	snprintf(room, sizeof room, "%s/%s", system_shm_directory(),
			row->object ? row->object : "");
	json_string(&json, "path", row->object ? room : NULL);
	json_array(&json, "attached_processes");
	for (size_t i = 0; i < count; i++) {
		json_object(&json, NULL);
		json_number(&json, "pid", one[i].pid);
		json_size(&json, "attachments", one[i].count);
		json_string(&json, "command", one[i].command);
		json_end(&json);
	}
	json_end(&json);
	json_string(&json, "attached_processes_missing",
			what_is_missing(&row->st, all, room, sizeof room));
	json_huge_pages(&json, row, all);
	json_end(&json);
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

static int show(const char *text, const struct request *request)
{
	struct segment_ref ref;
	struct unishm_status st = { .size = 0 };
	struct attachments all = { .item = NULL };
	int rc = parse_segment(text, &ref);
	if (rc == DONE)
		rc = find_status(&ref, &st);
	if (rc != DONE)
		return rc;
	struct row row = row_of(&st);
	struct rows rows = { &row, 1, 0 };
	complete_rows(&rows, &status_columns, FIELD_BACKEND);
	if (row.st.number_attached) {
		find_attachments(&all);
		find_huge_pages(&all, &rows);
	}
	if (request->json) {
		print_json(&row, &all);
	} else {
		print_fields(&row, &request->format);
		print_huge_pages(&row, &all, &request->format);
		print_attached(&row.st, &all);
	}
	free_attachments(&all);
	free(row.object);
	return DONE;
}

static int take_option(int c, struct request *request)
{
	switch (c) {
	case 'J': request->json = true; return DONE;
	case 'b': request->format.bytes = true; return DONE;
	case OPT_TIME_FORMAT: return parse_time_format(optarg, &request->format.time);
	default: return option_status;
	}
}

static int run_show(int argc, char **argv)
{
	struct request request = { .format = { false, TIME_ISO } };
	for (int c; (c = next_option(argc, argv)) != -1;) {
		int rc = take_option(c, &request);
		if (rc != DONE || c == '?')
			return rc;
	}
	if (argc - optind != 1)
		return usage_error(optind < argc ? "show takes one segment"
				: "no segment is named");
	return show(argv[optind], &request);
}

const struct command show_command = {
	.bit = SHOW,
	.name = "show",
	.arguments = "[OPTION]... SEGMENT",
	.summary = "Show all that is known of a segment, and who attaches it",
	.notes = "",
	.first = WORD_SEGMENT,
	.run = run_show,
};
