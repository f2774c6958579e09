/* SPDX-License-Identifier: MIT */
/* unishm: see, make, inspect and clean up shared memory segments of both kinds. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <string.h>

#include "command.h"

static const struct command *const commands[] = {
	&list_command, &show_command, &create_command, &remove_command, &chmod_command,
	&chown_command, &lock_command, &unlock_command, &read_command, &write_command,
	&watch_command, &doctor_command,
};

static void print_usage(FILE *out)
{
	fputs("Usage: unishm COMMAND [OPTION]... [ARGUMENT]...\n"
		"See, make, inspect and clean up System V and POSIX shared memory.\n\n"
		"Commands:\n", out);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nA SEGMENT is a key (10, 0xa), an id (id:800), a name (name:my.cache) or a path\n"
		"with a number (path:/etc/hostname:1); a prefix chooses the backend (posix:10).\n"
		"unishm COMMAND --help tells the options of one command; unishm(1) tells all.\n",
		out);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int dispatch(int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : NULL;
	if (!first) {
		print_usage(stderr);
		return USAGE;
	}
	if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
		print_usage(stdout);
		return DONE;
	}
	if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0) {
		printf("unishm %s\n", unishm_version());
		return DONE;
	}
	this_command = find_command(first);
	if (!this_command)
		return usage_error("there is no command \"%s\"", first);
	return this_command->run(argc - 1, argv + 1);
}

/* Output that did not reach its file is a failure, also when only the last flush tells. */
static int finish_output(int status)
{
	bool failed = ferror(stdout);
	errno = 0;
	if (fclose(stdout) != 0)
		failed = true;
	if (!failed)
		return status;
	if (errno == EPIPE)
		return fail("cannot write the output: nobody reads it any more; let the reader stay");
	return fail("cannot write the output: %s; make room, or write it elsewhere",
			errno ? strerror(errno) : "an earlier write failed");
}

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error that we report */
	return finish_output(dispatch(argc, argv));
}
