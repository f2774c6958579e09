/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <termios.h>
#include <unistd.h>

#include "style.h"
#include "terminal.h"

static volatile sig_atomic_t ended, stopped, resized;
static sigset_t outside; /* the mask we were started with, used only while waiting */
static struct termios before;
static bool entered;

/* ---- Signals -------------------------------------------------------------- */

static void note(int signal)
{
	if (signal == SIGWINCH)
		resized = 1;
	else if (signal == SIGTSTP)
		stopped = 1;
	else
		ended = 1;
}

/* Blocked, except while waiting: so none comes between a look at the flags and the wait. */
void terminal_catch_signals(void)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH };
	struct sigaction action;
	sigset_t set;
	memset(&action, 0, sizeof action);
	action.sa_handler = note;
	sigemptyset(&action.sa_mask);
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
		sigaddset(&set, caught[i]);
	sigprocmask(SIG_BLOCK, &set, &outside);
	for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
		sigaction(caught[i], &action, NULL);
}

/* ---- The screen ----------------------------------------------------------- */

bool terminal_is_usable(void)
{
	const char *kind = getenv("TERM");
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind && *kind
			&& strcmp(kind, "dumb") != 0;
}

void terminal_enter(void)
{
	struct termios raw;
	if (tcgetattr(STDIN_FILENO, &before) == 0) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		entered = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
	}
	fputs(SCREEN_ENTER, stdout);
	fflush(stdout);
}

void terminal_leave(void)
{
	fputs(SCREEN_LEAVE, stdout);
	fflush(stdout);
	if (entered)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	entered = false;
}

static int from_environment(const char *name, int otherwise)
{
	const char *text = getenv(name);
	int number = text ? atoi(text) : 0;
	return number > 0 && number < 10000 ? number : otherwise;
}

void terminal_size(int *rows, int *columns)
{
	struct winsize size;
	*rows = from_environment("LINES", 24);
	*columns = from_environment("COLUMNS", 80);
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col) {
		*rows = size.ws_row;
		*columns = size.ws_col;
	}
}

/* ---- Waiting -------------------------------------------------------------- */

static void stop_here(void)
{
	bool screen = entered;
	stopped = 0;
	if (screen)
		terminal_leave();
	raise(SIGSTOP); /* until SIGCONT */
	if (screen)
		terminal_enter();
	resized = 1;
}

static struct timespec time_left(const struct timespec *until)
{
	struct timespec now, left;
	clock_gettime(CLOCK_MONOTONIC, &now);
	left.tv_sec = until->tv_sec - now.tv_sec;
	left.tv_nsec = until->tv_nsec - now.tv_nsec;
	if (left.tv_nsec < 0) {
		left.tv_sec--;
		left.tv_nsec += 1000000000;
	}
	if (left.tv_sec < 0)
		left = (struct timespec){ 0, 0 };
	return left;
}

/* The rest of what an arrow key sends comes with its first byte. */
static bool next_byte(char *byte)
{
	struct pollfd fd = { STDIN_FILENO, POLLIN, 0 };
	return poll(&fd, 1, 20) > 0 && read(STDIN_FILENO, byte, 1) == 1;
}

/* 1: a key, 0: none yet, -1: there will be none any more. */
static int read_key(char *key)
{
	char first, second;
	ssize_t got = read(STDIN_FILENO, key, 1);
	if (got < 0 && errno == EINTR)
		return 0;
	if (got == 1 && style_is_escape(*key))
		*key = next_byte(&first) && next_byte(&second) ? style_arrow(first, second) : 0;
	return got == 1 ? 1 : -1;
}

enum event terminal_wait(const struct timespec *until, char *key)
{
	for (;;) {
		if (ended)
			return EVENT_END;
		if (stopped)
			stop_here();
		if (resized) {
			resized = 0;
			if (entered)
				return EVENT_RESIZE;
		}
		fd_set input;
		struct timespec left = time_left(until);
		FD_ZERO(&input);
		if (entered)
			FD_SET(STDIN_FILENO, &input);
		int ready = pselect(STDIN_FILENO + 1, &input, NULL, NULL, &left, &outside);
		if (ready == 0)
			return EVENT_TIME;
		if (ready < 0)
			continue; /* a signal: the flags say which */
		int got = read_key(key);
		if (got != 0)
			return got > 0 ? EVENT_KEY : EVENT_END;
	}
}
