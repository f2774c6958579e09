/* SPDX-License-Identifier: MIT */
/* unishm: see, make, inspect and clean up shared memory segments of both kinds. */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

const struct command *const commands[] = {
	&list_command, &show_command, &create_command, &remove_command, &chmod_command,
	&chown_command, &lock_command, &unlock_command, &read_command, &write_command,
	&watch_command, &doctor_command, &run_command, &help_command, &complete_command, NULL,
};

enum { COMMANDS = sizeof commands / sizeof *commands - 1 };

const struct command *find_command(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (strcmp(commands[i]->name, name) == 0
				|| (commands[i]->alias && strcmp(commands[i]->alias, name) == 0))
			return commands[i];
	return NULL;
}

/* The names, and then the other names. */
static const char *command_name(size_t index)
{
	const struct command *command = commands[index % COMMANDS];
	if (!command->summary)
		return NULL;
	return index < COMMANDS ? command->name : command->alias;
}

static int unknown_command(const char *text)
{
	return usage_error("there is no command \"%s\"%s", text,
			did_you_mean(closest_name(text, command_name, 2 * COMMANDS)).text);
}

/* ---- help ------------------------------------------------------------------ */

static int run_help(int argc, char **argv)
{
	if (next_option(argc, argv) != -1)
		return option_status;
	if (argc - optind > 1)
		return usage_error("help takes one command");
	if (argc == optind) {
		print_usage(stdout);
		return DONE;
	}
	const struct command *command = find_command(argv[optind]);
	if (!command)
		return unknown_command(argv[optind]);
	print_help(command);
	return DONE;
}

const struct command help_command = {
	.bit = HELP,
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "Tell about all commands, or about one",
	.notes = "",
	.first = WORD_COMMAND,
	.run = run_help,
};

/* ---- The whole ------------------------------------------------------------- */

static int dispatch(int argc, char **argv)
{
	if (!global_options(argc, argv))
		return option_status;
	if (optind == argc) {
		print_usage(stderr);
		return USAGE;
	}
	int at = optind;
	const struct command *command = find_command(argv[at]);
	if (!command)
		return unknown_command(argv[at]);
	this_command = command;
	return command->run(argc - at, argv + at);
}

static void (*former_sigpipe)(int) = SIG_DFL;

void restore_sigpipe(void)
{
	signal(SIGPIPE, former_sigpipe);
}

/* No process reads what we write: the other end of a pipe or socket is closed. */
static bool output_is_closed(void)
{
	struct pollfd fd = { STDOUT_FILENO, POLLOUT, 0 };
	return poll(&fd, 1, 0) > 0 && fd.revents & (POLLERR | POLLHUP);
}

int end_by_sigpipe(void)
{
	sigset_t set;
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGPIPE);
	return FAILED;
}

/* Output that did not reach its file is a failure, also when only the last flush tells. */
static int finish_output(int status)
{
	bool failed = ferror(stdout);
	bool closed = output_is_closed();
	errno = 0;
	if (fflush(stdout) != 0)
		failed = true;
	int error = errno;
	if (fclose(stdout) != 0 && !error)
		error = errno;
	if (!failed && (!error || status != DONE))
		return status; /* or a line has said what failed */
	if (error == EPIPE || (failed && closed))
		return end_by_sigpipe();
	return fail("cannot write to standard output: %s", error == EBADF
			? "it is closed; redirect it"
			: error ? strerror(error) : "an earlier write failed");
}

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");
	/* what was begun is finished, also without a reader */
	former_sigpipe = signal(SIGPIPE, SIG_IGN);
	return finish_output(dispatch(argc, argv));
}
