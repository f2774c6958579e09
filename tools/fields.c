/* SPDX-License-Identifier: MIT */
/* The fields of a segment: one name each, for --output, --sort, JSON and the C API. Headings are
 * those of lsipc where it has the same; so the default ones fit 80 columns. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"
#include "segments.h"

enum kind { TEXT, NUMBER, SIZE, MEMORY, TIME, MODE, KEY, USER, GROUP, FLAG, BITS };

static const struct {
	const char *name, *heading;
	enum kind kind;
	bool foreign; /* known of foreign objects, too */
} fields[FIELDS] = {
	[FIELD_SEGMENT] = { "segment", "SEGMENT", TEXT, false },
	[FIELD_BACKEND] = { "backend", "BACKEND", TEXT, true },
	[FIELD_ID] = { "id", "ID", NUMBER, false },
	[FIELD_KEY] = { "key", "KEY", KEY, false },
	[FIELD_OWNER_USER] = { "owner_user", "OWNER", USER, true },
	[FIELD_OWNER_GROUP] = { "owner_group", "GROUP", GROUP, true },
	[FIELD_CREATOR_USER] = { "creator_user", "CREATOR", USER, false },
	[FIELD_CREATOR_GROUP] = { "creator_group", "CREATOR-GROUP", GROUP, false },
	[FIELD_MODE] = { "mode", "MODE", MODE, true },
	[FIELD_SIZE] = { "size", "SIZE", SIZE, true },
	[FIELD_NUMBER_ATTACHED] = { "number_attached", "NATTCH", NUMBER, false },
	[FIELD_CREATOR_PROCESS] = { "creator_process", "CPID", NUMBER, false },
	[FIELD_LAST_OP_PROCESS] = { "last_op_process", "LPID", NUMBER, false },
	[FIELD_LAST_ATTACH_TIME] = { "last_attach_time", "ATTACH", TIME, false },
	[FIELD_LAST_DETACH_TIME] = { "last_detach_time", "DETACH", TIME, false },
	[FIELD_LAST_CHANGE_TIME] = { "last_change_time", "CTIME", TIME, true },
	[FIELD_LOCKED] = { "locked", "LOCKED", FLAG, false },
	[FIELD_REMOVED] = { "removed", "REMOVED", FLAG, false },
	[FIELD_EMULATED] = { "emulated", "EMULATED", BITS, false },
	[FIELD_INEXACT] = { "inexact", "INEXACT", BITS, false },
	[FIELD_NAME] = { "name", "NAME", TEXT, true },
	[FIELD_RSS] = { "rss", "RSS", MEMORY, true },
	[FIELD_SWAP] = { "swap", "SWAP", MEMORY, true },
	[FIELD_PIDS] = { "pids", "PIDS", TEXT, false },
	[FIELD_COMMAND] = { "command", "COMMAND", TEXT, false },
	[FIELD_HUGE_PAGES] = { "huge_pages", "HUGE", MEMORY, false },
};

/* UNISHM_EMULATED_*, bit by bit. */
static const char *const bit_names[] = {
	"number_attached", "creator_process", "last_op_process", "last_attach_time",
			"last_detach_time", "last_change_time", "creator_user", "creator_group",
			"key", "size", "id", "locked", "removed", };

const struct columns default_columns = {
	{ FIELD_BACKEND, FIELD_ID, FIELD_KEY, FIELD_OWNER_USER, FIELD_MODE, FIELD_SIZE,
		FIELD_NUMBER_ATTACHED, FIELD_CREATOR_PROCESS, FIELD_LAST_ATTACH_TIME }, 9,
};

/* All that needs no look at all processes. */
const struct columns status_columns = {
	{ FIELD_SEGMENT, FIELD_BACKEND, FIELD_ID, FIELD_KEY, FIELD_OWNER_USER, FIELD_OWNER_GROUP,
		FIELD_CREATOR_USER, FIELD_CREATOR_GROUP, FIELD_MODE, FIELD_SIZE,
		FIELD_NUMBER_ATTACHED, FIELD_CREATOR_PROCESS, FIELD_LAST_OP_PROCESS,
		FIELD_LAST_ATTACH_TIME, FIELD_LAST_DETACH_TIME, FIELD_LAST_CHANGE_TIME,
		FIELD_LOCKED, FIELD_REMOVED, FIELD_EMULATED, FIELD_INEXACT, FIELD_NAME, FIELD_RSS,
		FIELD_SWAP }, 23,
};

const char *field_name(enum field field)
{
	return fields[field].name;
}

/* ---- Values --------------------------------------------------------------- */

static long long number_of(enum field field, const struct row *row)
{
	const struct unishm_status *st = &row->st;
	switch (field) {
	case FIELD_ID: return st->id;
	case FIELD_KEY: return (uint32_t)st->key;
	case FIELD_OWNER_USER: return st->owner_user;
	case FIELD_OWNER_GROUP: return st->owner_group;
	case FIELD_CREATOR_USER: return st->creator_user;
	case FIELD_CREATOR_GROUP: return st->creator_group;
	case FIELD_MODE: return st->mode;
	case FIELD_SIZE: return (long long)st->size;
	case FIELD_NUMBER_ATTACHED: return (long long)st->number_attached;
	case FIELD_CREATOR_PROCESS: return st->creator_process;
	case FIELD_LAST_OP_PROCESS: return st->last_op_process;
	case FIELD_LAST_ATTACH_TIME: return st->last_attach_time;
	case FIELD_LAST_DETACH_TIME: return st->last_detach_time;
	case FIELD_LAST_CHANGE_TIME: return st->last_change_time;
	case FIELD_LOCKED: return st->locked;
	case FIELD_REMOVED: return st->removed;
	case FIELD_EMULATED: return st->emulated;
	case FIELD_INEXACT: return st->inexact;
	case FIELD_RSS: return row->rss;
	case FIELD_SWAP: return row->swap;
	case FIELD_HUGE_PAGES: return row->huge;
	default: return 0;
	}
}

struct text segment_spelling(const struct unishm_status *st)
{
	struct text text;
	if (st->key == UNISHM_PRIVATE)
		snprintf(text.text, sizeof text.text, "%s:id:%d", st->backend, st->id);
	else
		snprintf(text.text, sizeof text.text, "%s:0x%08lx", st->backend,
				(unsigned long)(uint32_t)st->key);
	return text;
}

static const char *text_of(enum field field, const struct row *row, struct text *room)
{
	switch (field) {
	case FIELD_BACKEND: return row->st.backend;
	case FIELD_NAME: return row->object;
	case FIELD_PIDS: return row->pids;
	case FIELD_COMMAND: return row->commands;
	default:
		*room = segment_spelling(&row->st);
		return room->text;
	}
}

static bool is_known(enum field field, const struct row *row)
{
	struct text room;
	if (row->foreign && !fields[field].foreign)
		return false;
	if (fields[field].kind == MEMORY)
		return number_of(field, row) != UNKNOWN;
	return fields[field].kind != TEXT || text_of(field, row, &room);
}

/* ---- As cells of a table -------------------------------------------------- */

static void print_bits(unsigned bits, struct cell *cell)
{
	size_t used = 0;
	for (size_t i = 0; i < sizeof bit_names / sizeof *bit_names; i++)
		if (bits & 1u << i)
			used += (size_t)snprintf(cell->text + used, sizeof cell->text - used,
					"%s%s", used ? "," : "", bit_names[i]);
	if (!used)
		strcpy(cell->text, "-");
}

static void print_key(const struct unishm_status *st, struct cell *cell)
{
	if (st->key == UNISHM_PRIVATE)
		strcpy(cell->text, st->removed ? "removed" : "private");
	else
		snprintf(cell->text, sizeof cell->text, "0x%08lx",
				(unsigned long)(uint32_t)st->key);
}

static struct text size_text(uint64_t bytes, const struct format *format)
{
	struct text text;
	if (!format->bytes)
		return human_size(bytes);
	snprintf(text.text, sizeof text.text, "%llu", (unsigned long long)bytes);
	return text;
}

static struct text field_text(enum field field, const struct row *row, const struct format *format)
{
	long long number = number_of(field, row);
	struct text text;
	switch (fields[field].kind) {
	case SIZE: return size_text(row->st.size, format);
	case MEMORY: return size_text((uint64_t)number, format);
	case TIME: return time_text((time_t)number, format->time);
	case MODE: return mode_letters(row->st.mode);
	case USER: return user_name((uid_t)number);
	case GROUP: return group_name((gid_t)number);
	default:
		snprintf(text.text, sizeof text.text, "%lld", number);
		return text;
	}
}

struct cell field_cell(enum field field, const struct row *row, const struct format *format)
{
	struct cell cell = { "-" };
	struct text room;
	if (!is_known(field, row))
		return cell;
	switch (fields[field].kind) {
	case KEY:
		print_key(&row->st, &cell);
		break;
	case BITS:
		print_bits((unsigned)number_of(field, row), &cell);
		break;
	case FLAG:
		strcpy(cell.text, number_of(field, row) ? "yes" : "no");
		break;
	case TEXT:
		snprintf(cell.text, sizeof cell.text, "%s", text_of(field, row, &room));
		make_printable(cell.text);
		break;
	default:
		snprintf(cell.text, sizeof cell.text, "%s", field_text(field, row, format).text);
	}
	return cell;
}

/* ---- As JSON -------------------------------------------------------------- */

static void json_bits(struct json *json, const char *name, unsigned bits)
{
	json_array(json, name);
	for (size_t i = 0; i < sizeof bit_names / sizeof *bit_names; i++)
		if (bits & 1u << i)
			json_string(json, NULL, bit_names[i]);
	json_end(json);
}

static void json_key(struct json *json, const struct unishm_status *st)
{
	char hex[16];
	snprintf(hex, sizeof hex, "0x%08lx", (unsigned long)(uint32_t)st->key);
	json_number(json, "key", (uint32_t)st->key);
	json_string(json, "key_hex", hex);
}

static void json_name_of(struct json *json, enum field field, const struct row *row)
{
	static const struct format format = { false, TIME_ISO };
	char name[32];
	snprintf(name, sizeof name, "%s_name", fields[field].name);
	json_string(json, name, field_cell(field, row, &format).text);
}

static void json_field(struct json *json, enum field field, const struct row *row)
{
	const char *name = fields[field].name;
	struct text room;
	long long number = number_of(field, row);
	switch (fields[field].kind) {
	case TEXT:
		json_string(json, name, text_of(field, row, &room));
		break;
	case TIME:
		json_string(json, name, number ? iso_time((time_t)number).text : NULL);
		break;
	case MODE:
		snprintf(room.text, sizeof room.text, "%04lo", (unsigned long)row->st.mode);
		json_string(json, name, room.text);
		break;
	case FLAG:
		json_bool(json, name, number);
		break;
	case BITS:
		json_bits(json, name, (unsigned)number);
		break;
	case SIZE:
		json_size(json, name, row->st.size);
		break;
	case KEY:
		json_key(json, &row->st);
		break;
	case USER:
	case GROUP:
		json_number(json, name, number);
		json_name_of(json, field, row);
		break;
	default:
		json_number(json, name, number);
	}
}

/* What is not known: of foreign objects it is left out, else it is null. */
void json_fields(struct json *json, const struct row *row, const struct columns *columns)
{
	for (size_t i = 0; i < columns->count; i++) {
		enum field field = columns->field[i];
		if (is_known(field, row))
			json_field(json, field, row);
		else if (!row->foreign)
			json_string(json, fields[field].name, NULL);
	}
}

/* ---- Columns --------------------------------------------------------------- */

static const char *name_at(size_t index)
{
	return fields[index].name;
}

static int unknown_field(const char *text, size_t length)
{
	char known[500] = "", name[64];
	snprintf(name, sizeof name, "%.*s", (int)(length < 60 ? length : 60), text);
	const char *meant = closest_name(name, name_at, FIELDS);
	for (int i = 0; i < FIELDS && !meant; i++) {
		size_t used = strlen(known);
		snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "; there are ",
				fields[i].name);
	}
	return usage_error("there is no column \"%s\"%s%s", name, did_you_mean(meant).text, known);
}

static bool is_name(const char *name, const char *text, size_t length)
{
	return strlen(name) == length && strncasecmp(name, text, length) == 0;
}

/* What lsipc calls a column, where that is another name. */
static const struct {
	const char *name;
	enum field field;
} lsipc_names[] = {
	{ "perms", FIELD_MODE },
	{ "user", FIELD_OWNER_USER },
	{ "cuser", FIELD_CREATOR_USER },
	{ "cgroup", FIELD_CREATOR_GROUP },
};

/* By its name or its heading, or by what lsipc calls it, in any case. */
int parse_field(const char *text, size_t length, enum field *field)
{
	for (int i = 0; i < FIELDS; i++) {
		if (is_name(fields[i].name, text, length) || is_name(fields[i].heading, text,
				length)) {
			*field = (enum field)i;
			return DONE;
		}
	}
	for (size_t i = 0; i < sizeof lsipc_names / sizeof *lsipc_names; i++) {
		if (is_name(lsipc_names[i].name, text, length)) {
			*field = lsipc_names[i].field;
			return DONE;
		}
	}
	return unknown_field(text, length);
}

int parse_columns(const char *text, struct columns *columns)
{
	if (*text == '+')
		text++;
	else
		columns->count = 0;
	for (;;) {
		size_t length = strcspn(text, ",");
		if (columns->count == TABLE_WIDEST)
			return usage_error("--output names more than %d columns", TABLE_WIDEST);
		int rc = parse_field(text, length, &columns->field[columns->count++]);
		if (rc != DONE || !text[length])
			return rc;
		text += length + 1;
	}
}

bool has_column(const struct columns *columns, enum field field)
{
	for (size_t i = 0; i < columns->count; i++)
		if (columns->field[i] == field)
			return true;
	return false;
}

/* What is compared by its size stands at the right. */
static bool is_right_aligned(enum field field)
{
	enum kind kind = fields[field].kind;
	return kind == NUMBER || kind == SIZE || kind == MEMORY || kind == TIME;
}

void add_columns(struct table *table, const struct columns *columns)
{
	for (size_t i = 0; i < columns->count; i++)
		table_add_column(table, fields[columns->field[i]].heading,
				is_right_aligned(columns->field[i]));
}

/* ---- Order ----------------------------------------------------------------- */

/* qsort takes no argument of ours. */
static struct {
	enum field field;
	int sign;
} order;

static int compare_field(enum field field, const struct row *a, const struct row *b)
{
	static const struct format format = { false, TIME_ISO };
	enum kind kind = fields[field].kind;
	if (field == FIELD_BACKEND)
		return strcmp(a->st.backend, b->st.backend);
	if (kind == TEXT || kind == USER || kind == GROUP)
		return strcmp(field_cell(field, a, &format).text, field_cell(field, b,
				&format).text);
	long long x = number_of(field, a), y = number_of(field, b);
	return x < y ? -1 : x > y;
}

/* What is equal by the chosen field has an order, too, so that output is stable; foreign objects
 * come last. */
static int compare(const void *left, const void *right)
{
	static const enum field then[] = { FIELD_BACKEND, FIELD_KEY, FIELD_ID, FIELD_NAME };
	const struct row *a = left, *b = right;
	if (a->foreign != b->foreign)
		return a->foreign ? 1 : -1;
	int difference = order.sign * compare_field(order.field, a, b);
	for (size_t i = 0; difference == 0 && i < sizeof then / sizeof *then; i++)
		difference = compare_field(then[i], a, b);
	return difference;
}

void sort_rows(struct rows *rows, enum field field, bool descending)
{
	order.field = field;
	order.sign = descending ? -1 : 1;
	if (rows->count)
		qsort(rows->item, rows->count, sizeof *rows->item, compare);
}
