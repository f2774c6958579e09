/* SPDX-License-Identifier: MIT */
/* The table of all options: parsing, usage, help and completion come from it. */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "text.h"

const struct command *this_command;
const char *chosen_backend;
int option_status;

const struct option_spec option_table[] = {
	/* What is chosen. */
	{ REMOVE, OPT_ALL_MINE, 0, "all-mine", NULL, WORD_NONE,
		"Choose all that you own." },
	{ LIST, OPT_MINE, 0, "mine", NULL, WORD_NONE,
		"List only what you own." },
	{ LIST | REMOVE, OPT_UNATTACHED, 0, "unattached", NULL, WORD_NONE,
		"Choose what no process attaches." },
	{ LIST | REMOVE, OPT_DEAD_CREATOR, 0, "dead-creator", NULL, WORD_NONE,
		"Choose segments whose creating process has ended." },
	{ REMOVE, OPT_UNFINISHED, 0, "unfinished", NULL, WORD_NONE,
		"Remove what makers left unfinished when they died." },
	{ REMOVE, OPT_OLDER_THAN, 0, "older-than", "AGE", WORD_OTHER,
		"Of these, choose what was not used for so long: 90s, 5m, 1h, 7d, 2w." },
	{ DOCTOR, OPT_OLDER_THAN, 0, "older-than", "AGE", WORD_OTHER,
		"Left-over segments are a problem when unused for so long (default: 1h)." },
	{ REMOVE, OPT_ATTACHED, 0, "attached", NULL, WORD_NONE,
		"Choose attached segments too; without this option none of them is chosen." },
	{ REMOVE, OPT_FOREIGN, 0, "foreign", NULL, WORD_NONE,
		"Choose System V segments of other users too." },
	{ LIST, OPT_FOREIGN, 0, "foreign", NULL, WORD_NONE,
		"List POSIX objects of other programs too." },
	{ REMOVE, 'n', 0, "dry-run", NULL, WORD_NONE,
		"Say what would be removed, and remove nothing." },
	{ REMOVE, 'y', 0, "yes", NULL, WORD_NONE,
		"Do not ask. Needed where there is no terminal." },
	/* How it is printed. */
	{ LIST, 'o', 0, "output", "COLUMN,...", WORD_COLUMNS,
		"Print these columns, with times in ISO 8601. +COLUMN,... adds to the default." },
	{ LIST, 's', 0, "sort", "COLUMN", WORD_SORT,
		"Sort by this column; -COLUMN sorts descending (default: backend)." },
	{ LIST | SHOW | DOCTOR, 'J', 'j', "json", NULL, WORD_NONE,
		"Print JSON." },
	{ LIST, 'r', 0, "raw", NULL, WORD_NONE,
		"Separate columns by one blank, and escape blanks within them as \\x20." },
	{ LIST | SHOW, 'b', 0, "bytes", NULL, WORD_NONE,
		"Print sizes in bytes." },
	{ LIST | SHOW, OPT_TIME_FORMAT, 0, "time-format", "FORMAT", WORD_TIME_FORMAT,
		"Print times as short, full or iso." },
	{ LIST, OPT_NOHEADINGS, 0, "noheadings", NULL, WORD_NONE,
		"Print no line of headings." },
	/* What is made. */
	{ CREATE, 'm', 0, "mode", "MODE", WORD_MODE,
		"Permission bits, octal or symbolic (default: 0600)." },
	{ CREATE, 'x', 0, "exclusive", NULL, WORD_NONE,
		"Fail if the segment exists." },
	{ CREATE, 'f', 0, "from", "FILE", WORD_FILE,
		"Fill it from FILE (-: standard input). Implies --exclusive. SIZE is optional." },
	{ CREATE, OPT_NORESERVE, 0, "noreserve", NULL, WORD_NONE,
		"Reserve no memory: a full system then shows when pages are first used." },
	{ CREATE, OPT_HUGETLB, 0, "hugetlb", NULL, WORD_NONE,
		"Use huge pages." },
	{ LOCK, OPT_HOLD, 0, "hold", NULL, WORD_NONE,
		"Keep the lock until interrupted, then unlock. A POSIX lock needs it: "
		"it ends with the process that made it." },
	/* Bytes. */
	{ READ | WRITE, OPT_OFFSET, 0, "offset", "BYTES", WORD_OTHER,
		"Start here (default: 0)." },
	{ READ, OPT_LENGTH, 0, "length", "BYTES", WORD_OTHER,
		"Copy this many (default: all)." },
	{ WRITE, OPT_LENGTH, 0, "length", "BYTES", WORD_OTHER,
		"Copy no more than this many." },
	{ READ, 'x', 0, "hex", NULL, WORD_NONE,
		"Print a dump in hexadecimal." },
	{ READ, OPT_FORCE, 0, "force", NULL, WORD_NONE,
		"Write bytes that are not text to a terminal, too." },
	/* Looking again. */
	{ WATCH, 'i', 0, "interval", "SECONDS", WORD_OTHER,
		"Look again after so many seconds (default: 2)." },
	{ WATCH, 'c', 0, "count", "NUMBER", WORD_OTHER,
		"End after so many looks." },
	/* Everywhere. */
	{ ALL, 'B', 0, "backend", "NAME", WORD_BACKEND,
		"Work on this backend only: posix or sysv. May stand before the command." },
	{ ALL, 'h', 0, "help", NULL, WORD_NONE,
		"Print this text." },
	{ ALL, 'V', 0, "version", NULL, WORD_NONE,
		"Print the version." },
	{ 0, 0, 0, NULL, NULL, WORD_NONE, NULL },
};

/* ---- Help ------------------------------------------------------------------ */

enum { HELP_AT = 26, HELP_TO = 80 };

void print_wrapped(FILE *out, const char *text, int at)
{
	int column = at;
	while (*text) {
		int length = (int)strcspn(text, " ");
		if (column > at && column + 1 + length > HELP_TO) {
			fprintf(out, "\n%*s", at, "");
			column = at;
		}
		column += fprintf(out, "%s%.*s", column > at ? " " : "", length, text);
		text += length;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void print_option(const struct option_spec *option)
{
	char left[48] = "    ";
	if (option->id < 256)
		snprintf(left, sizeof left, "-%c, ", option->id);
	size_t used = strlen(left);
	const char *value = option->value ? option->value : "";
	snprintf(left + used, sizeof left - used, "--%s%s%s", option->name, *value ? " " : "",
			value);
	int width = printf("  %s", left);
	if (width >= HELP_AT)
		printf("\n%*s", HELP_AT, "");
	else
		printf("%*s", HELP_AT - width, "");
	print_wrapped(stdout, option->help, HELP_AT);
}

void print_help(const struct command *command)
{
	printf("Usage: unishm %s%s%s\n", command->name, *command->arguments ? " " : "",
			command->arguments);
	printf("%s.\n", command->summary);
	if (command->alias)
		printf("The same as unishm %s.\n", command->alias);
	if (*command->notes) {
		putchar('\n');
		print_wrapped(stdout, command->notes, 0);
	}
	puts("\nOptions:");
	for (const struct option_spec *option = option_table; option->name; option++)
		if (option->commands & command->bit)
			print_option(option);
}

void print_usage(FILE *out)
{
	fputs("Usage: unishm COMMAND [OPTION]... [ARGUMENT]...\n"
		"See, make, inspect and clean up System V and POSIX shared memory.\n\n"
		"Commands:\n", out);
	for (size_t i = 0; commands[i]; i++)
		if (commands[i]->summary)
			fprintf(out, "  %-8s %s.\n", commands[i]->name, commands[i]->summary);
	fputs("\nA SEGMENT is a key (10, 0xa), an id (id:800), a name (name:my.cache), or a path\n"
		"and a number (path:/etc/hostname:1). A prefix names the backend (posix:10).\n"
		"unishm help COMMAND tells about one command; unishm(1) tells all.\n", out);
}

/* ---- Parsing --------------------------------------------------------------- */

enum { MOST = 48 };

static struct {
	unsigned bit; /* whose */
	char shorts[2 * MOST + 2];
	struct option longs[MOST];
} parser;

static void add_letter(int letter, bool value)
{
	size_t used = strlen(parser.shorts);
	const char *colon = value ? ":" : "";
	snprintf(parser.shorts + used, sizeof parser.shorts - used, "%c%s", letter, colon);
}

/* What getopt wants to know. */
static void prepare(unsigned bit, const char *start)
{
	struct option *next = parser.longs;
	parser.bit = bit;
	snprintf(parser.shorts, sizeof parser.shorts, "%s", start);
	for (const struct option_spec *option = option_table; option->name; option++) {
		if ((option->commands & bit) != bit)
			continue;
		int argument = option->value ? required_argument : no_argument;
		*next++ = (struct option){ option->name, argument, NULL, option->id };
		if (option->id < 256)
			add_letter(option->id, option->value);
		if (option->also)
			add_letter(option->also, option->value);
	}
	*next = (struct option){ NULL, 0, NULL, 0 };
	optind = 0; /* begin anew */
	opterr = 0;
}

static int stop(int status)
{
	option_status = status;
	return '?';
}

bool is_backend(const char *name)
{
	for (const char *const *known = unishm_backends(); *known; known++)
		if (strcmp(*known, name) == 0)
			return true;
	return false;
}

static const char *long_name(size_t index)
{
	return parser.longs[index].name;
}

static int unknown_long(const char *text)
{
	char name[40];
	size_t count = 0, same = 0;
	bool takes_no_value = false;
	snprintf(name, sizeof name, "%.*s", (int)strcspn(text + 2, "="), text + 2);
	for (; parser.longs[count].name; count++) {
		same += strncmp(parser.longs[count].name, name, strlen(name)) == 0;
		takes_no_value |= strcmp(parser.longs[count].name, name) == 0;
	}
	if (takes_no_value)
		return usage_error("option --%s takes no value", name);
	if (same > 1)
		return usage_error("option %s is ambiguous: %zu options begin so", text, same);
	const char *meant = closest_name(name, long_name, count);
	return usage_error("there is no option %s%s%s%s", text, meant ? "; did you mean --" : "",
			meant ? meant : "", meant ? "?" : "");
}

static int bad_option(char **argv)
{
	const char *last = argv[optind - 1];
	if (strncmp(last, "--", 2) == 0)
		return stop(unknown_long(last));
	if (optopt >= '0' && optopt <= '9')
		return stop(usage_error("\"%s\" is below zero; a key may be so, after --", last));
	return stop(usage_error("there is no option -%c", optopt));
}

/* musl's optind may be beyond the end, and the option elsewhere. */
static int no_value(int argc, char **argv)
{
	const char *last = optind <= argc ? argv[optind - 1] : NULL;
	if (last && strncmp(last, "--", 2) == 0)
		return stop(usage_error("option %s needs a value", last));
	return stop(usage_error("option -%c needs a value", optopt));
}

static int choose_backend(void)
{
	if (!is_backend(optarg))
		return stop(usage_error("backend \"%s\" is not built in", optarg));
	if (chosen_backend && strcmp(chosen_backend, optarg) != 0)
		return stop(usage_error("--backend names both %s and %s; "
				"one backend, or none for all", chosen_backend, optarg));
	chosen_backend = optarg;
	return 0;
}

static int print_version(void)
{
	printf("unishm %s\n", unishm_version());
	return DONE;
}

/* Letters that mean the same as another one. */
static int first_letter(int c)
{
	for (const struct option_spec *option = option_table; option->name; option++)
		if (option->also == c && option->commands & parser.bit)
			return option->id;
	return c;
}

static int take_option(int argc, char **argv)
{
	for (;;) {
		int c = getopt_long(argc, argv, parser.shorts, parser.longs, NULL);
		switch (c) {
		case 'B':
			if (choose_backend() != 0)
				return '?';
			break;
		case 'V':
			return stop(print_version());
		case ':':
			return no_value(argc, argv);
		case '?':
			return bad_option(argv);
		default:
			return c > 0 && c < 256 ? first_letter(c) : c;
		}
	}
}

bool global_options(int argc, char **argv)
{
	prepare(ALL, "+:");
	int c = take_option(argc, argv);
	if (c == 'h') {
		print_usage(stdout);
		option_status = DONE;
	}
	return c == -1;
}

int next_option(int argc, char **argv)
{
	if (parser.bit != this_command->bit)
		prepare(this_command->bit, this_command->ends_options ? "+:" : ":");
	int c = take_option(argc, argv);
	if (c != 'h')
		return c;
	print_help(this_command);
	return stop(DONE);
}
