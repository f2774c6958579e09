/* SPDX-License-Identifier: MIT */
/* Commands, their options, and lines on standard error. */
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

/* ---- Commands: main.c ------------------------------------------------------ */

/* One bit for each command: the table of options says by them where an option is known. */
enum {
	LIST = 1 << 0, SHOW = 1 << 1, CREATE = 1 << 2, REMOVE = 1 << 3, CHMOD = 1 << 4,
	CHOWN = 1 << 5, LOCK = 1 << 6, UNLOCK = 1 << 7, READ = 1 << 8, WRITE = 1 << 9,
	WATCH = 1 << 10, DOCTOR = 1 << 11, HELP = 1 << 12, COMPLETE = 1 << 13,
	RUN = 1 << 14,
	ALL = (1 << 15) - 1,
};

/* What a word on the command line is, for completion. */
enum word {
	WORD_NONE, WORD_OTHER, WORD_SEGMENT, WORD_KEY, WORD_COLUMNS, WORD_SORT, WORD_BACKEND,
	WORD_FILE, WORD_TIME_FORMAT, WORD_COMMAND, WORD_MODE, WORD_OWNER,
};

struct command {
	unsigned bit;
	const char *name;
	const char *alias;      /* another name, or NULL */
	const char *arguments;  /* after the name, in the usage line */
	const char *summary;    /* a sentence without its full stop */
	const char *notes;      /* below it; "" if there are none */
	enum word first, rest;  /* operands */
	bool ends_options;      /* what follows the first operand is another program's */
	int (*run)(int argc, char **argv);
};

extern const struct command *const commands[]; /* ends with NULL */
extern const struct command list_command, show_command, create_command, remove_command,
	chmod_command, chown_command, lock_command, unlock_command, read_command, write_command,
	watch_command, doctor_command, run_command, help_command, complete_command;

const struct command *find_command(const char *name);

/* End as other programs do when the reader of their output has gone: by the signal, silently. */
int end_by_sigpipe(void);

/* As it was when the command was started: for a program that it becomes. */
void restore_sigpipe(void);

/* The command that runs, for messages; NULL before it is known. */
extern const struct command *this_command;

/* ---- Options: options.c ---------------------------------------------------- */

/* Values of long options without a letter. */
enum {
	OPT_NOHEADINGS = 256, OPT_MINE, OPT_UNATTACHED, OPT_DEAD_CREATOR, OPT_FOREIGN, OPT_ALL_MINE,
	OPT_OLDER_THAN, OPT_NORESERVE, OPT_HUGETLB, OPT_OFFSET, OPT_LENGTH, OPT_FORCE, OPT_HOLD,
	OPT_ATTACHED, OPT_UNFINISHED, OPT_TIME_FORMAT,
};

struct option_spec {
	unsigned commands;  /* that know it */
	int id;             /* its letter, or one of the values above */
	char also;          /* another letter, or 0 */
	const char *name;
	const char *value;  /* what its value is called in the help; NULL: it takes none */
	enum word word;     /* what its value is, for completion */
	const char *help;   /* a sentence */
};

extern const struct option_spec option_table[]; /* ends with a NULL name */

/* What --backend named, or NULL. */
extern const char *chosen_backend;

/* The options before the command. False: the command line ends there, with option_status. */
bool global_options(int argc, char **argv);
/* The next option of this_command: its id; -1 after the last; '?' when the command ends here, with
 * the exit status in option_status. --help, --version and --backend are dealt with inside. */
int next_option(int argc, char **argv);
extern int option_status;

void print_usage(FILE *out);
void print_help(const struct command *command);
bool is_backend(const char *name);
/* @text and a newline, in columns @at, where the cursor is, to 80. */
void print_wrapped(FILE *out, const char *text, int at);

/* ---- Lines on standard error: message.c ------------------------------------ */

/* Nothing has failed. */
void tell(const char *format, ...) PRINTF_LIKE(1, 2);
/* Return the exit status. */
int fail(const char *format, ...) PRINTF_LIKE(1, 2);
int usage_error(const char *format, ...) PRINTF_LIKE(1, 2);
int library_failed(void);
/* unishm_errmsg(), in the words of the command. */
const char *library_message(void);
int out_of_memory(void);
/* While a full screen is shown, lines are kept instead of printed; "" if there was none since. */
void keep_errors(bool keep);
const char *kept_line(void);

/* Of @count names, the one that @text may have been meant to be, or NULL. */
const char *closest_name(const char *text, const char *(*name)(size_t), size_t count);
/* ", did you mean ...?", or "". @name: NULL for none. */
struct hint {
	char text[80];
};
struct hint did_you_mean(const char *name);

const char *plural(unsigned long count); /* "s", or "" for one */
const char *were(unsigned long count);   /* "s were", or " was" for one */

#endif
