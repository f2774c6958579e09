/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "transfer.h"

static volatile sig_atomic_t interrupted;
static bool progress_shown;

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

/* Five times a second is enough. */
static bool is_time(void)
{
	static struct timespec last;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	long long passed = (long long)(now.tv_sec - last.tv_sec) * 1000
			+ (now.tv_nsec - last.tv_nsec) / 1000000;
	if (last.tv_sec && passed < 200)
		return false;
	last = now;
	return true;
}

void transfer_progress(const char *verb, size_t done, size_t total)
{
	const size_t large = (size_t)16 << 20;
	if (total < large || isatty(STDOUT_FILENO) || !isatty(STDERR_FILENO) || !is_time())
		return;
	fprintf(stderr, "\r%s %s of %s (%u%%)  ", verb, human_size(done).text, human_size(total).text,
			(unsigned)(done / (total / 100)));
	progress_shown = true;
}

void transfer_end_progress(void)
{
	if (progress_shown)
		fprintf(stderr, "\r%50s\r", "");
	progress_shown = false;
}
