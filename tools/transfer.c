/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "text.h"
#include "transfer.h"

static volatile sig_atomic_t interrupted;
static int progress_width; /* of the line that is shown */

static void note(int signal)
{
	interrupted = signal;
}

void transfer_catch_signals(void)
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = note;
	action.sa_flags = (int)SA_RESETHAND; /* without SA_RESTART: EINTR is what we want */
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool transfer_interrupted(void)
{
	return interrupted != 0;
}

size_t transfer_chunk(size_t left)
{
	const size_t most = 256 * 1024;
	return left < most ? left : most;
}

/* ---- Progress --------------------------------------------------------------- */

static double seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The same terminal: perhaps by two names, but a session has only one to control it. */
static bool is_terminal_of_errors(int fd)
{
	struct stat here, err;
	if (!isatty(fd) || fstat(fd, &here) < 0 || fstat(STDERR_FILENO, &err) < 0)
		return false;
	pid_t session = tcgetsid(fd);
	return here.st_rdev == err.st_rdev
			|| (session >= 0 && session == tcgetsid(STDERR_FILENO));
}

/* The bytes, or what is typed, would mix with the line. */
static bool bytes_are_here(void)
{
	return is_terminal_of_errors(this_command->bit == READ ? STDOUT_FILENO : STDIN_FILENO);
}

/* "12s", "3m05s", "2h07m". */
static struct text duration(double seconds)
{
	struct text text;
	unsigned long whole = (unsigned long)(seconds + 0.5);
	if (whole < 60)
		snprintf(text.text, sizeof text.text, "%lus", whole);
	else if (whole < 3600)
		snprintf(text.text, sizeof text.text, "%lum%02lus", whole / 60, whole % 60);
	else
		snprintf(text.text, sizeof text.text, "%luh%02lum", whole / 3600, whole / 60 % 60);
	return text;
}

static void print_progress(const char *verb, size_t done, size_t total, double passed)
{
	char line[160];
	double rate = (double)done / passed;
	int used = snprintf(line, sizeof line, "%s %s", verb, human_size(done).text);
	if (total)
		used += snprintf(line + used, sizeof line - (size_t)used, " of %s (%u%%)",
				human_size(total).text,
				(unsigned)((double)done / (double)total * 100));
	used += snprintf(line + used, sizeof line - (size_t)used, ", %s/s",
			human_size((uint64_t)rate).text);
	if (total && done)
		used += snprintf(line + used, sizeof line - (size_t)used, ", %s left",
				duration((double)(total - done) / rate).text);
	fprintf(stderr, "\r%-*s", progress_width, line);
	if (used > progress_width)
		progress_width = used;
}

/* The first time after half a second, then five times a second. What is done sooner needs none. The
 * first call, with nothing done, starts the clock. */
void transfer_progress(const char *verb, size_t done, size_t total)
{
	static double start, last;
	double now = seconds_now();
	if (start == 0) {
		start = now;
		last = now + 0.3;
	}
	if (now - last < 0.2 || !isatty(STDERR_FILENO) || bytes_are_here())
		return;
	last = now;
	print_progress(verb, done, total, now - start);
}

void transfer_end_progress(void)
{
	if (progress_width)
		fprintf(stderr, "\r%*s\r", progress_width, "");
	progress_width = 0;
}
