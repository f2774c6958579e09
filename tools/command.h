/* SPDX-License-Identifier: MIT */
/* What the parts of the command unishm share. Segments are reached through unishm.h alone. */
#ifndef COMMAND_H
#define COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "unishm.h"

#if defined(__GNUC__)
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#else
#define PRINTF_LIKE(text, first)
#endif

/* Exit statuses. */
enum { DONE = 0, FAILED = 1, USAGE = 2 };

/* ---- Commands and their arguments: main.c, arguments.c -------------------- */

struct command {
	const char *name;
	const char *arguments;       /* after the name, in the usage line */
	const char *summary;         /* one line */
	const char *help;            /* the options, one a line */
	const char *shorts;          /* for getopt; starts with ":" SHORT_OPTIONS */
	const struct option *longs;  /* ends with COMMON_OPTIONS */
	int (*run)(int argc, char **argv);
};

#define SHORT_OPTIONS "hVB:"
#define COMMON_OPTIONS \
	{ "backend", required_argument, NULL, 'B' }, \
	{ "help", no_argument, NULL, 'h' }, \
	{ "version", no_argument, NULL, 'V' }, \
	{ NULL, 0, NULL, 0 }

/* Values of long options without a short one. */
enum {
	OPT_BYTES = 256, OPT_NOHEADINGS, OPT_MINE, OPT_UNATTACHED, OPT_DEAD_CREATOR, OPT_FOREIGN,
	OPT_ALL_MINE, OPT_OLDER_THAN, OPT_NORESERVE, OPT_HUGETLB, OPT_OFFSET, OPT_LENGTH, OPT_HEX,
	OPT_FORCE, OPT_HOLD, OPT_ATTACHED,
};

extern const struct command list_command, show_command, create_command, remove_command,
	chmod_command, chown_command, lock_command, unlock_command, read_command, write_command,
	watch_command, doctor_command;

/* The command that runs, for messages. */
extern const struct command *this_command;

/* What --backend named, or NULL. */
extern const char *chosen_backend;

/* The next option of this_command: its letter or value; -1 after the last; '?' when the command
 * ends here, with the exit status in option_status. --help, --version and --backend are dealt
 * with inside. */
int next_option(int argc, char **argv);
extern int option_status;

/* Print one line on stderr; nothing has failed. */
void tell(const char *format, ...) PRINTF_LIKE(1, 2);
/* Each prints one line on stderr and returns the exit status. */
int fail(const char *format, ...) PRINTF_LIKE(1, 2);
int usage_error(const char *format, ...) PRINTF_LIKE(1, 2);
int library_failed(void);
/* While a full screen is shown, lines are kept instead of printed; "" if there was none since. */
void keep_errors(bool keep);
const char *kept_line(void);

/* Parsers: DONE, or USAGE after a line on stderr. @what names the argument there. */
int parse_bytes(const char *text, const char *what, size_t least, size_t *bytes);
int parse_age(const char *text, const char *what, time_t *seconds);
int parse_count(const char *text, const char *what, unsigned long *count);
int parse_mode(const char *text, mode_t *mode);
bool is_backend(const char *name);

/* ---- SEGMENT: segment_ref.c ----------------------------------------------- */

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
int open_by_id(struct unishm **seg, const char *backend, int id);
/* Open what a listing told of: by its key, which is quick, or by its id. */
int open_listed(struct unishm **seg, const struct unishm_status *st);

/* Open each SEGMENT of argv and call @act, which prints its own failures and returns a status.
 * All are parsed before the first is touched; one that fails does not stop the rest. */
int for_each_segment(int count, char **texts,
		int (*act)(struct unishm *seg, const char *text, void *arg), void *arg);

/* ---- Text: text.c --------------------------------------------------------- */

struct text {
	char text[64];
};

struct text human_size(uint64_t bytes);
struct text iso_time(time_t when);   /* 2026-01-31T12:00:00+01:00 */
struct text short_time(time_t when); /* the time if within a day, else the date; or "never" */
struct text mode_letters(mode_t mode);
struct text user_name(uid_t user);   /* or the number */
struct text group_name(gid_t group);
/* Control characters become '?'. */
void make_printable(char *text);
bool is_text(const unsigned char *bytes, size_t length);
void json_string(FILE *out, const char *text);
bool stream_has_colour(FILE *stream);

/* ---- Segments as rows: fields.c, rows.c ----------------------------------- */

struct row {
	struct unishm_status st; /* a foreign object fills in what is known of it */
	char *name;              /* NULL unless foreign */
};

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
void free_rows(struct rows *rows);

enum field {
	FIELD_SEGMENT, FIELD_BACKEND, FIELD_ID, FIELD_KEY, FIELD_OWNER_USER, FIELD_OWNER_GROUP,
	FIELD_CREATOR_USER, FIELD_CREATOR_GROUP, FIELD_MODE, FIELD_SIZE, FIELD_NUMBER_ATTACHED,
	FIELD_CREATOR_PROCESS, FIELD_LAST_OP_PROCESS, FIELD_LAST_ATTACH_TIME,
	FIELD_LAST_DETACH_TIME, FIELD_LAST_CHANGE_TIME, FIELD_LOCKED, FIELD_REMOVED,
	FIELD_EMULATED, FIELD_INEXACT, FIELD_NAME,
	FIELDS,
};

enum { STYLE_BYTES = 1, STYLE_ISO = 2 };

struct cell {
	char text[320];
};

struct columns {
	enum field field[FIELDS];
	size_t count;
};

extern const struct columns default_columns;

const char *field_name(enum field field);
const char *field_heading(enum field field);
bool field_is_right_aligned(enum field field);
struct cell field_cell(enum field field, const struct row *row, unsigned style);
int parse_field(const char *text, size_t length, enum field *field);
/* How wide each column must be. @width: FIELDS of them. */
void measure_columns(const struct columns *columns, const struct rows *rows, unsigned style,
		bool headings, int *width);
int parse_columns(const char *text, struct columns *columns);
void sort_rows(struct rows *rows, enum field field, bool descending);
/* "name: value, ..." without the braces around, so that a caller can add to it. */
void json_fields(FILE *out, const struct row *row);
/* How a row is spelled as SEGMENT. */
struct text segment_spelling(const struct unishm_status *st);

/* ---- What only some systems tell: system.c -------------------------------- */

struct process {
	long pid;
	unsigned long attachments;
	char command[64];
};

/* Visit the processes that attach @st. 0, or -ENOTSUP when this system does not tell.
 * @unreadable: how many processes could not be looked into. */
int system_attached(const struct unishm_status *st, void (*visit)(const struct process *, void *),
		void *arg, unsigned long *unreadable);

/* Visit what lies beside the library's objects. 0 or -errno (-ENOTSUP). */
struct stat;
int system_foreign(int (*visit)(const char *name, const struct stat *st, void *arg), void *arg);

/* The mount that POSIX segments live in, or NULL. */
const char *system_shm_directory(void);

/* Numbers that the system may tell; false when it does not. */
enum system_number {
	SYSTEM_SHMMAX, SYSTEM_SHMALL, SYSTEM_SHMMNI, SYSTEM_SHM_RMID_FORCED,
	SYSTEM_PROTECTED_REGULAR,
};
bool system_number(enum system_number which, uint64_t *value);
const char *system_number_name(enum system_number which);
struct statvfs;
bool system_is_noexec(const struct statvfs *fs);
bool system_sysv_usage(uint64_t *segments, uint64_t *pages);
bool system_open_files(uint64_t *used, uint64_t *limit);

/* Whether this process is in another namespace ("ipc", "mnt") than process 1:
 * 1 yes, 0 no, -1 cannot tell. */
int system_foreign_namespace(const char *kind);

/* What systemd-logind does with the IPC objects of users who log out: 1 removes, 0 keeps,
 * -1 there is no systemd. @origin: the file that says so, or "" for its default. */
int system_remove_ipc(char *origin, size_t room);

#endif
