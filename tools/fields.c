/* SPDX-License-Identifier: MIT */
/* The fields of a segment: one name each, for --output, --sort, JSON and the C API. */
#include <stdlib.h>
#include <string.h>

#include "command.h"

enum kind { TEXT, NUMBER, SIZE, TIME, MODE, KEY, USER, GROUP, FLAG, BITS };

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
	[FIELD_NUMBER_ATTACHED] = { "number_attached", "ATTACHED", NUMBER, false },
	[FIELD_CREATOR_PROCESS] = { "creator_process", "CREATOR-PID", NUMBER, false },
	[FIELD_LAST_OP_PROCESS] = { "last_op_process", "LAST-PID", NUMBER, false },
	[FIELD_LAST_ATTACH_TIME] = { "last_attach_time", "LAST-ATTACH", TIME, false },
	[FIELD_LAST_DETACH_TIME] = { "last_detach_time", "LAST-DETACH", TIME, false },
	[FIELD_LAST_CHANGE_TIME] = { "last_change_time", "LAST-CHANGE", TIME, true },
	[FIELD_LOCKED] = { "locked", "LOCKED", FLAG, false },
	[FIELD_REMOVED] = { "removed", "REMOVED", FLAG, false },
	[FIELD_EMULATED] = { "emulated", "EMULATED", BITS, false },
	[FIELD_INEXACT] = { "inexact", "INEXACT", BITS, false },
	[FIELD_NAME] = { "name", "NAME", TEXT, true },
};

/* UNISHM_EMULATED_*, bit by bit. */
static const char *const bit_names[] = {
	"number_attached", "creator_process", "last_op_process", "last_attach_time",
	"last_detach_time", "last_change_time", "creator_user", "creator_group", "key", "size", "id",
	"locked", "removed",
};

const struct columns default_columns = {
	{ FIELD_BACKEND, FIELD_ID, FIELD_KEY, FIELD_OWNER_USER, FIELD_MODE, FIELD_SIZE,
		FIELD_NUMBER_ATTACHED, FIELD_CREATOR_PROCESS, FIELD_LAST_ATTACH_TIME }, 9,
};

const char *field_name(enum field field)
{
	return fields[field].name;
}

const char *field_heading(enum field field)
{
	return fields[field].heading;
}

bool field_is_right_aligned(enum field field)
{
	return fields[field].kind == NUMBER || fields[field].kind == SIZE;
}

/* ---- Values --------------------------------------------------------------- */

static long long number_of(enum field field, const struct unishm_status *st)
{
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
	case FIELD_BACKEND:
		return row->st.backend;
	case FIELD_NAME:
		return row->name ? row->name : "-";
	default:
		*room = segment_spelling(&row->st);
		return room->text;
	}
}

static bool is_known(enum field field, const struct row *row)
{
	return row->name ? fields[field].foreign : field != FIELD_NAME;
}

/* ---- As cells of a table -------------------------------------------------- */

static void print_bits(unsigned bits, struct cell *cell)
{
	size_t used = 0;
	for (size_t i = 0; i < sizeof bit_names / sizeof *bit_names; i++)
		if (bits & 1u << i)
			used += (size_t)snprintf(cell->text + used, sizeof cell->text - used, "%s%s",
					used ? "," : "", bit_names[i]);
	if (!used)
		strcpy(cell->text, "-");
}

static void print_key(const struct unishm_status *st, struct cell *cell)
{
	if (st->key == UNISHM_PRIVATE)
		strcpy(cell->text, st->removed ? "removed" : "private");
	else
		snprintf(cell->text, sizeof cell->text, "0x%08lx", (unsigned long)(uint32_t)st->key);
}

static struct text time_text(time_t when, unsigned style)
{
	struct text never = { "never" };
	if (!when)
		return never;
	return style & STYLE_ISO ? iso_time(when) : short_time(when);
}

struct cell field_cell(enum field field, const struct row *row, unsigned style)
{
	struct cell cell = { "-" };
	struct text room;
	long long number = number_of(field, &row->st);
	if (!is_known(field, row))
		return cell;
	switch (fields[field].kind) {
	case NUMBER:
		snprintf(cell.text, sizeof cell.text, "%lld", number);
		return cell;
	case KEY:
		print_key(&row->st, &cell);
		return cell;
	case BITS:
		print_bits((unsigned)number, &cell);
		return cell;
	case FLAG:
		strcpy(cell.text, number ? "yes" : "no");
		return cell;
	case TEXT:
		snprintf(cell.text, sizeof cell.text, "%s", text_of(field, row, &room));
		make_printable(cell.text);
		return cell;
	case SIZE:
		room = human_size(row->st.size);
		if (style & STYLE_BYTES)
			snprintf(room.text, sizeof room.text, "%zu", row->st.size);
		break;
	case TIME:
		room = time_text((time_t)number, style);
		break;
	case MODE:
		room = mode_letters(row->st.mode);
		break;
	case USER:
		room = user_name((uid_t)number);
		break;
	case GROUP:
		room = group_name((gid_t)number);
		break;
	}
	snprintf(cell.text, sizeof cell.text, "%s", room.text);
	return cell;
}

/* ---- As JSON -------------------------------------------------------------- */

static void json_bits(FILE *out, unsigned bits)
{
	const char *comma = "";
	putc('[', out);
	for (size_t i = 0; i < sizeof bit_names / sizeof *bit_names; i++) {
		if (bits & 1u << i) {
			fprintf(out, "%s\"%s\"", comma, bit_names[i]);
			comma = ", ";
		}
	}
	putc(']', out);
}

static void json_value(FILE *out, enum field field, const struct row *row)
{
	struct text room;
	long long number = number_of(field, &row->st);
	switch (fields[field].kind) {
	case TEXT:
		json_string(out, text_of(field, row, &room));
		break;
	case TIME:
		if (number)
			json_string(out, iso_time((time_t)number).text);
		else
			fputs("null", out);
		break;
	case MODE:
		fprintf(out, "\"%04lo\"", (unsigned long)row->st.mode);
		break;
	case FLAG:
		fputs(number ? "true" : "false", out);
		break;
	case BITS:
		json_bits(out, (unsigned)number);
		break;
	case SIZE:
		fprintf(out, "%zu", row->st.size);
		break;
	default:
		fprintf(out, "%lld", number);
	}
}

void json_fields(FILE *out, const struct row *row)
{
	const char *comma = "";
	for (int i = 0; i < FIELDS; i++) {
		enum field field = (enum field)i;
		if (!is_known(field, row))
			continue;
		fprintf(out, "%s\"%s\": ", comma, fields[i].name);
		comma = ", ";
		json_value(out, field, row);
		if (fields[i].kind != USER && fields[i].kind != GROUP)
			continue;
		fprintf(out, ", \"%s_name\": ", fields[i].name);
		json_string(out, field_cell(field, row, 0).text);
	}
}

/* ---- Columns and order ---------------------------------------------------- */

static int unknown_field(const char *text, size_t length)
{
	char known[400] = "";
	for (int i = 0; i < FIELDS; i++) {
		size_t used = strlen(known);
		snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", fields[i].name);
	}
	return usage_error("there is no column \"%.*s\", but %s", (int)length, text, known);
}

int parse_field(const char *text, size_t length, enum field *field)
{
	for (int i = 0; i < FIELDS; i++) {
		if (strlen(fields[i].name) == length && strncmp(fields[i].name, text, length) == 0) {
			*field = (enum field)i;
			return DONE;
		}
	}
	return unknown_field(text, length < 60 ? length : 60);
}

int parse_columns(const char *text, struct columns *columns)
{
	columns->count = 0;
	for (;;) {
		size_t length = strcspn(text, ",");
		if (columns->count == FIELDS)
			return usage_error("--output names more than %d columns", FIELDS);
		int rc = parse_field(text, length, &columns->field[columns->count++]);
		if (rc != DONE || !text[length])
			return rc;
		text += length + 1;
	}
}

void measure_columns(const struct columns *columns, const struct rows *rows, unsigned style,
		bool headings, int *width)
{
	for (size_t i = 0; i < columns->count; i++) {
		enum field field = columns->field[i];
		width[i] = headings ? (int)strlen(field_heading(field)) : 0;
		for (size_t j = 0; j < rows->count; j++) {
			int length = (int)strlen(field_cell(field, &rows->item[j], style).text);
			if (length > width[i])
				width[i] = length;
		}
	}
}

/* qsort takes no argument of ours. */
static struct {
	enum field field;
	int sign;
} order;

static int compare_field(enum field field, const struct row *a, const struct row *b)
{
	enum kind kind = fields[field].kind;
	if (kind == TEXT || kind == USER || kind == GROUP)
		return strcmp(field_cell(field, a, 0).text, field_cell(field, b, 0).text);
	long long x = number_of(field, &a->st), y = number_of(field, &b->st);
	return x < y ? -1 : x > y;
}

/* What is equal by the chosen field has an order, too, so that output is stable; foreign objects
 * come last. */
static int compare(const void *left, const void *right)
{
	static const enum field then[] = { FIELD_BACKEND, FIELD_KEY, FIELD_ID, FIELD_NAME };
	const struct row *a = left, *b = right;
	if (!a->name != !b->name)
		return a->name ? 1 : -1;
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
