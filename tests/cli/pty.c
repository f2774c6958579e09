/* SPDX-License-Identifier: MIT */
/*
 * pty ROWSxCOLUMNS ACTION,... COMMAND... - run a command on a pseudo-terminal.
 *
 * Actions, one after the other: MILLISECONDS of waiting, send=TEXT, size=ROWSxCOLUMNS,
 * INT, TERM, TSTP, CONT (signals), stopped (say whether it is), modes (say whether the terminal is
 * as it was at the start). What the command writes goes to standard output; the last lines say how
 * it ended and in what modes it left the terminal. Ends after 20 seconds at the latest.
 */
#include <errno.h>
#include <poll.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int terminal, slave;
static pid_t child;
static struct termios start;

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Pass on what the command writes, for so long. */
static void pump(long milliseconds)
{
	long long end = now() + milliseconds;
	for (long long left = milliseconds; left >= 0; left = end - now()) {
		struct pollfd fd = { terminal, POLLIN, 0 };
		char buffer[4096];
		if (poll(&fd, 1, (int)left) <= 0)
			return;
		ssize_t got = read(terminal, buffer, sizeof buffer);
		if (got <= 0)
			return;
		fwrite(buffer, 1, (size_t)got, stdout);
		fflush(stdout);
	}
}

static void set_size(const char *text)
{
	struct winsize size = { 0 };
	sscanf(text, "%hux%hu", &size.ws_row, &size.ws_col);
	ioctl(terminal, TIOCSWINSZ, &size);
}

static void say_modes(void)
{
	struct termios modes;
	tcgetattr(slave, &modes);
	printf("\n[modes %s]\n", modes.c_lflag == start.c_lflag ? "as before" : "changed");
}

static void say_stopped(void)
{
	int how = 0;
	pid_t got = waitpid(child, &how, WNOHANG | WUNTRACED);
	printf("\n[%s]\n", got == child && WIFSTOPPED(how) ? "stopped" : "not stopped");
}

static void act(const char *action)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = {
		{ "INT", SIGINT },
		{ "TERM", SIGTERM },
		{ "TSTP", SIGTSTP },
		{ "CONT", SIGCONT },
	};
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		if (strcmp(action, signals[i].name) == 0)
			kill(child, signals[i].number);
	if (strncmp(action, "send=", 5) == 0 && write(terminal, action + 5, strlen(action + 5)) < 0)
		perror("pty: write");
	if (strncmp(action, "size=", 5) == 0)
		set_size(action + 5);
	if (strcmp(action, "stopped") == 0)
		say_stopped();
	if (strcmp(action, "modes") == 0)
		say_modes();
	if (strcmp(action, "enter") == 0 && write(terminal, "\r", 1) < 0)
		perror("pty: write");
	pump(strtol(action, NULL, 10));
}

static int wait_for_end(void)
{
	int how;
	for (long long end = now() + 20000; now() < end;) {
		pid_t got = waitpid(child, &how, WNOHANG);
		pump(got == child ? 0 : 20);
		if (got != child)
			continue;
		say_modes();
		if (WIFSIGNALED(how))
			printf("[signal %d]\n", WTERMSIG(how));
		else
			printf("[status %d]\n", WEXITSTATUS(how));
		return 0;
	}
	kill(child, SIGKILL);
	puts("\n[hung]");
	return 1;
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fputs("usage: pty ROWSxCOLUMNS ACTION,... COMMAND...\n", stderr);
		return 2;
	}
	terminal = posix_openpt(O_RDWR | O_NOCTTY);
	const char *name = terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0 ? NULL :
			ptsname(terminal);
	slave = name ? open(name, O_RDWR | O_NOCTTY) : -1;
	if (slave < 0) {
		perror("pty: posix_openpt");
		return 77;
	}
	tcgetattr(slave, &start);
	set_size(argv[1]);
	child = fork();
	if (child == 0) {
		close(terminal);
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		for (int fd = 0; fd < 3; fd++)
			dup2(slave, fd);
		close(slave);
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	for (char *action = strtok(argv[2], ","); action; action = strtok(NULL, ","))
		act(action);
	return wait_for_end();
}
