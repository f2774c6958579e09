/* SPDX-License-Identifier: MIT */
/* Segments: as they are named on the command line, chosen by filters, and printed as rows. */
#ifndef SEGMENTS_H
#define SEGMENTS_H

#include "json.h"
#include "style.h"
#include "table.h"
#include "text.h"
#include "unishm.h"

/* ---- SEGMENT: segment_ref.c ------------------------------------------------- */

struct segment_ref {
	const char *text;    /* as the user wrote it */
	const char *backend; /* never NULL */
	bool prefixed;       /* the user named the backend */
	bool by_id;
	key_t key;
	int id;
};

int parse_segment(const char *text, struct segment_ref *ref);
/* The same for a segment to be made: also "private", and no id. */
int parse_new_segment(const char *text, struct segment_ref *ref);

/* DONE, or FAILED after a line on stderr. */
int open_segment(struct unishm **seg, const struct segment_ref *ref);
/* 0 or a negative errno value; prints nothing. */
int try_open_segment(struct unishm **seg, const struct segment_ref *ref);
/* Open what a listing told of: by its key, which is quick, or by its id. */
int open_listed(struct unishm **seg, const struct unishm_status *st);

/* Open each SEGMENT of argv and call @act, which prints its own failures and returns a status.
 * All are parsed before the first is touched; one that fails does not stop the rest. */
int for_each_segment(int count, char **texts,
		int (*act)(struct unishm *seg, const char *text, void *arg), void *arg);

/* How a segment is spelled as SEGMENT. */
struct text segment_spelling(const struct unishm_status *st);

/* ---- Does a backend work: trial.c -------------------------------------------- */

/* Make, attach and remove a private segment. While it exists, no signal ends the command but
 * SIGKILL, SIGSEGV and SIGBUS, which leave it behind. 0 or a negative errno value; prints
 * nothing. */
int try_backend(const char *backend);

/* ---- Who is attached: attached.c -------------------------------------------- */

enum { UNKNOWN = -1 };

struct attachment {
	bool sysv;
	int id;
	long pid;
	unsigned long count;
	char command[64];
	long long huge;      /* bytes that the process has mapped by huge pages, or UNKNOWN */
	unsigned long asked; /* of how many attachments that was told */
};

/* What one look at all processes told, sorted by segment. */
struct attachments {
	struct attachment *item;
	size_t count, room;
	unsigned long unreadable; /* processes that could not be looked into */
	int rc;                   /* 0, -ENOTSUP, -ENOMEM */
	int huge_rc;              /* the same, of find_huge_pages() */
};

void find_attachments(struct attachments *all);
void free_attachments(struct attachments *all);
/* Those of one segment: the first; @count of them. */
const struct attachment *attachments_of(const struct attachments *all,
		const struct unishm_status *st, size_t *count);
/* "1 (init), 2 (sh)", cut when there are many. */
struct text_long {
	char text[256];
};
struct text_long attached_names(const struct attachments *all, const struct unishm_status *st);

/* ---- Huge pages: huge.c ------------------------------------------------------- */

struct rows;
/* Ask the processes that attach these segments, and set @huge of the rows. The kernel looks through
 * the page tables of those processes for it. */
void find_huge_pages(struct attachments *all, struct rows *rows);
/* The process that has most of the segment mapped by huge pages, or NULL: that is not known. */
const struct attachment *hugest(const struct attachments *all, const struct unishm_status *st);
/* Why, in a few words; NULL: it is known. */
const char *why_no_huge_pages(const struct attachments *all, const struct unishm_status *st);

/* ---- Rows: rows.c ------------------------------------------------------------ */

struct row {
	struct unishm_status st; /* of a foreign object: what is known of it */
	bool foreign;
	char *object;            /* the name of the POSIX object, or NULL */
	long long rss, swap;     /* bytes, or UNKNOWN */
	long long huge;          /* mapped by huge pages; the same */
	char *pids, *commands;   /* of those attached, or NULL */
};

/* A row of which nothing but @status is known. */
static inline struct row row_of(const struct unishm_status *status)
{
	return (struct row){ .st = *status, .rss = UNKNOWN, .swap = UNKNOWN, .huge = UNKNOWN };
}

struct rows {
	struct row *item;
	size_t count, room;
};

struct filter {
	bool mine, unattached, dead_creator;
	bool removable;      /* what this user may remove and has not been removed */
	bool older;
	time_t older_than;   /* seconds without attach, detach or change */
};

bool process_is_dead(pid_t pid);
/* Made by this library, or owned by this user. Only POSIX tells who made a segment. */
bool is_own(const struct unishm_status *st);
bool passes(const struct unishm_status *st, const struct filter *filter);
/* All segments of the chosen backend or of all. DONE, or FAILED after lines on stderr; what
 * could be had is in @rows all the same. */
int collect(struct rows *rows, const struct filter *filter);
int collect_foreign(struct rows *rows, const struct filter *filter);
/* Drop the rows that do not pass. */
void keep_passing(struct rows *rows, const struct filter *filter);
/* Segments left unfinished by makers that are dead. @rc of the library when nothing can tell. */
int collect_unfinished(struct rows *rows);
/* How many segments there are that this user may not read. */
size_t count_unreadable(const struct rows *all);
void free_rows(struct rows *rows);

/* ---- Finding rows: index.c --------------------------------------------------- */

/* Points into the rows that it was made of; empty when there was no memory. */
struct row_index {
	struct row **row;
	size_t count;
};

struct row_index index_rows(const struct rows *rows);
struct row *find_row(const struct row_index *index, const char *backend, int id);
void free_index(struct row_index *index);

/* ---- Fields: fields.c -------------------------------------------------------- */

enum field {
	FIELD_SEGMENT, FIELD_BACKEND, FIELD_ID, FIELD_KEY, FIELD_OWNER_USER, FIELD_OWNER_GROUP,
	FIELD_CREATOR_USER, FIELD_CREATOR_GROUP, FIELD_MODE, FIELD_SIZE, FIELD_NUMBER_ATTACHED,
	FIELD_CREATOR_PROCESS, FIELD_LAST_OP_PROCESS, FIELD_LAST_ATTACH_TIME,
	FIELD_LAST_DETACH_TIME, FIELD_LAST_CHANGE_TIME, FIELD_LOCKED, FIELD_REMOVED,
	FIELD_EMULATED, FIELD_INEXACT, FIELD_NAME, FIELD_RSS, FIELD_SWAP, FIELD_PIDS,
	FIELD_COMMAND, FIELD_HUGE_PAGES,
	FIELDS,
};

struct format {
	bool bytes;
	enum time_format time;
};

struct cell {
	char text[512];
};

struct columns {
	enum field field[TABLE_WIDEST];
	size_t count;
};

extern const struct columns default_columns, status_columns;

const char *field_name(enum field field);
struct cell field_cell(enum field field, const struct row *row, const struct format *format);
int parse_field(const char *text, size_t length, enum field *field);
/* "a,b" replaces @columns, "+a,b" adds to them. */
int parse_columns(const char *text, struct columns *columns);
bool has_column(const struct columns *columns, enum field field);
void add_columns(struct table *table, const struct columns *columns);
void sort_rows(struct rows *rows, enum field field, bool descending);
/* Find out what the columns need beyond the status. */
void complete_rows(struct rows *rows, const struct columns *columns, enum field sort);
/* The members of an object that the caller begins and ends. */
void json_fields(struct json *json, const struct row *row, const struct columns *columns);

#endif
