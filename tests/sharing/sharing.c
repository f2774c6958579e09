/* SPDX-License-Identifier: MIT */
/*
 * Two processes share POSIX segments, each by a library of its own: built for 32 and
 * for 64 bits, or with another C library. What one does the other must see, in both
 * directions: bytes, status, counts, forks, kills, locks, removal.
 *
 *   sharing PEER PEER      commands that run peer.c, built for one and the other
 *
 * scripts/cross runs it on pairs of its targets; meson test on two of a kind.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "emulator.h"
#include "isolate.h"

enum {
	LIFELINE = 9, /* as in peer.c */
	KEY = 0x5e9a0001,
	SIZE = 100003, /* of many pages, and no whole number of them */
	FIELDS = 18,
};

/* What a peer's status has, in the order of its answer. */
enum field {
	NUMBER,
	CREATOR,
	LAST_OP,
	ATTACH_TIME,
	DETACH_TIME,
	CHANGE_TIME,
	MODE,
	KEY_NOW,
	SIZE_NOW,
	ID,
	LOCKED,
	REMOVED,
	CREATOR_USER,
	CREATOR_GROUP,
	OWNER_USER,
	OWNER_GROUP,
	EMULATED,
	INEXACT,
};

struct peer {
	const char *command;
	long long bits, pid;
	FILE *to, *from;
};

static char said[1024];          /* the last answer: a word, */
static const char *message;      /* and a sentence behind it, */
static long long number[FIELDS]; /* or numbers */
static int failures;

/* ---- Peers --------------------------------------------------------------- */

static void hear(struct peer *peer)
{
	int used = 0;
	memset(number, 0, sizeof number);
	if (!fgets(said, sizeof said, peer->from)) {
		printf("sharing: %s does not answer\n", peer->command);
		exit(1);
	}
	said[strcspn(said, "\n")] = '\0';
	char *behind = said + strcspn(said, " ");
	message = behind;
	if (*behind)
		message = behind + 1;
	for (int i = 0; i < FIELDS && sscanf(behind, "%lld%n", &number[i], &used) == 1; i++)
		behind += used;
	said[strcspn(said, " ")] = '\0';
}

static void tell(struct peer *peer, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct peer *peer, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vfprintf(peer->to, format, args);
	va_end(args);
	fputc('\n', peer->to);
	fflush(peer->to);
}

static void start(struct peer *peer)
{
	char line[1024];
	int down[2], up[2];
	if (pipe2(down, O_CLOEXEC) < 0 || pipe2(up, O_CLOEXEC) < 0)
		exit(1);
	snprintf(line, sizeof line, "exec %s %s", emulator() ? emulator() : "", peer->command);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(down[0], 0);
		dup2(up[1], 1);
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	close(down[0]);
	close(up[1]);
	peer->to = fdopen(down[1], "w");
	peer->from = fdopen(up[0], "r");
	hear(peer);
	peer->bits = number[0];
	peer->pid = number[1];
}

static void end(long long pid, int how)
{
	if (how)
		kill((pid_t)pid, how);
	waitpid((pid_t)pid, NULL, 0); /* also for a child of a peer that was killed */
}

static void stop(struct peer *peer, int how)
{
	if (!how)
		fclose(peer->to); /* it ends with its input */
	end(peer->pid, how);
	if (how)
		fclose(peer->to);
	fclose(peer->from);
}

/* ---- Saying what was seen ------------------------------------------------ */

static void note(int line, const char *what, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
static void note(int line, const char *what, const char *format, ...)
{
	va_list args;
	printf("sharing: line %d: %s: ", line, what);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	failures++;
}

static void expect_answer(int line, const char *want, struct peer *peer, const char *format, ...)
		__attribute__((format(printf, 4, 5)));
static void expect_answer(int line, const char *want, struct peer *peer, const char *format, ...)
{
	char command[256];
	va_list args;
	va_start(args, format);
	vsnprintf(command, sizeof command, format, args);
	va_end(args);
	tell(peer, "%s", command);
	hear(peer);
	if (strcmp(said, want) != 0)
		note(line, command, "%s (%s), not %s; by process %lld with %lld bits", said,
				message, want, peer->pid, peer->bits);
}

static void expect_number(int line, const char *what, long long got, long long want)
{
	if (got != want)
		note(line, what, "%lld, not %lld", got, want);
}

/* The peer's answer to a command begins with that word. */
#define ANSWERS(want, ...) expect_answer(__LINE__, want, __VA_ARGS__)
#define OK(...) ANSWERS("ok", __VA_ARGS__)
#define SAME(got, want) expect_number(__LINE__, #got, (got), (want))

static long long status(struct peer *peer, enum field field)
{
	OK(peer, "status 0");
	return number[field];
}

/* Both see the same in everything, and in the list. */
static void expect_same_status(int line, struct peer *a, struct peer *b)
{
	long long seen[FIELDS];
	OK(a, "status 0");
	memcpy(seen, number, sizeof seen);
	OK(b, "status 0");
	if (memcmp(seen, number, sizeof seen) != 0)
		note(line, "status", "the two differ");
	OK(b, "list %lld", seen[ID]);
	if (memcmp(seen, number, sizeof seen) != 0)
		note(line, "list", "differs from the status");
}
#define SAME_STATUS(a, b) expect_same_status(__LINE__, a, b)

static bool is_now(long long when)
{
	return llabs((long long)time(NULL) - when) < 60;
}

/* ---- What is shared ------------------------------------------------------ */

/* Both open segment KEY as handle 0. */
static void open_both(struct peer *a, struct peer *b)
{
	OK(a, "open 0 %d %d %d 2", KEY, SIZE, 0640);
	OK(b, "open 0 %d 0 0 0", KEY);
}

static void remove_and_close(struct peer *a, struct peer *b)
{
	OK(a, "remove 0");
	OK(a, "close 0");
	OK(b, "close 0");
	SAME((long long)isolate_posix_memory(), 0);
	SAME(isolate_count_objects(), 0);
}

static void facts(struct peer *a, struct peer *b)
{
	ANSWERS("ENOENT", b, "open 0 %d 0 0 0", KEY);
	OK(a, "open 0 %d %d %d 2", KEY, SIZE, 0640);
	long long id = number[0];
	SAME(number[2], true); /* created */
	OK(b, "open 0 %d 0 0 0", KEY);
	SAME(number[0], id);
	SAME(number[1], SIZE);
	SAME(number[2], false);
	SAME(number[3], KEY);
	ANSWERS("EEXIST", b, "open 1 %d 1 %d 2", KEY, 0600);
	ANSWERS("EINVAL", b, "open 1 %d %d 0 0", KEY, SIZE + 1);
	OK(b, "open-id 1 %lld", id);
	SAME(number[1], SIZE);
	OK(b, "close 1");
	SAME_STATUS(a, b);
	SAME(status(b, CREATOR), a->pid);
	SAME(status(b, NUMBER), 0);
	SAME(status(b, LAST_OP), 0);
	SAME(status(b, MODE), 0640);
	SAME(is_now(status(b, CHANGE_TIME)), true);
	SAME(status(b, CREATOR_USER), (long long)geteuid());
	SAME(status(b, CREATOR_GROUP), (long long)getegid());
	SAME(status(b, OWNER_USER), (long long)geteuid());
	OK(b, "chmod 0 %d", 0600);
	SAME(status(a, MODE), 0600);
	SAME_STATUS(a, b);
	remove_and_close(a, b);
}

static void bytes(struct peer *a, struct peer *b)
{
	open_both(a, b);
	OK(a, "attach 0 0 0");
	SAME(is_now(status(b, ATTACH_TIME)), true);
	SAME(status(b, DETACH_TIME), 0);
	OK(b, "attach 0 0 1"); /* to read */
	OK(b, "attach 0 1 0");
	OK(b, "read 0 0 %d -1", SIZE);
	OK(a, "write 0 0 %d 3", SIZE);
	OK(b, "read 0 0 %d 3", SIZE);
	OK(b, "write 1 0 100 4");
	OK(b, "write 1 %d 100 5", SIZE - 100);
	OK(a, "read 0 0 100 4");
	OK(a, "read 0 100 %d 3", SIZE - 200);
	OK(a, "read 0 %d 100 5", SIZE - 100);
	SAME_STATUS(a, b); /* what was written last did not touch the record */
	SAME(status(a, NUMBER), 3);
	SAME(status(a, LAST_OP), b->pid);
	OK(a, "detach 0 0");
	SAME(status(b, LAST_OP), a->pid);
	SAME(is_now(status(b, DETACH_TIME)), true);
	OK(b, "detach 0 0");
	OK(b, "detach 0 1");
	SAME(status(a, NUMBER), 0);
	remove_and_close(a, b);
}

/* Forked children, and who is killed, also with children that live on. */
static void lives(struct peer *a, struct peer *b)
{
	open_both(a, b);
	OK(a, "attach 0 0 0");
	OK(a, "attach 0 1 1");
	OK(b, "attach 0 0 0");
	OK(a, "fork");
	long long child = number[0];
	SAME(status(b, NUMBER), 5);
	OK(b, "fork");
	long long other = number[0];
	SAME(status(a, NUMBER), 6);
	SAME_STATUS(a, b);
	OK(b, "reap %lld", other);
	SAME(status(a, NUMBER), 5);
	SAME(status(a, LAST_OP), other);
	stop(a, SIGKILL);
	SAME(status(b, NUMBER), 3);
	SAME(status(b, LAST_OP), a->pid);
	SAME(is_now(status(b, DETACH_TIME)), true);
	end(child, SIGKILL);
	SAME(status(b, NUMBER), 1);
	SAME(status(b, LAST_OP), child);
	start(a);
	OK(a, "open 0 %d 0 0 0", KEY);
	OK(a, "attach 0 0 0");
	SAME(status(b, NUMBER), 2);
	SAME_STATUS(a, b);
	tell(a, "exec"); /* another program, which echoes */
	ANSWERS("echo", a, "echo");
	SAME(status(b, NUMBER), 1);
	stop(a, 0);
	start(a);
	OK(a, "open 0 %d 0 0 0", KEY);
	OK(a, "attach 0 0 1");
	SAME(status(b, NUMBER), 2);
	stop(a, 0); /* it exits */
	SAME(status(b, NUMBER), 1);
	start(a);
	OK(a, "open 0 %d 0 0 0", KEY);
	stop(b, SIGKILL);
	SAME(status(a, NUMBER), 0);
	start(b);
	OK(b, "open 0 %d 0 0 0", KEY);
	remove_and_close(a, b);
}

static void locks(struct peer *a, struct peer *b)
{
	open_both(a, b);
	OK(a, "lock 0");
	SAME(status(b, LOCKED), true);
	SAME(status(b, NUMBER), 0);
	OK(b, "unlock 0");
	SAME(status(a, LOCKED), false);
	OK(a, "lock 0");
	OK(b, "lock 0");
	stop(a, SIGKILL);
	SAME(status(b, LOCKED), true);
	OK(b, "unlock 0");
	SAME(status(b, LOCKED), false);
	start(a);
	OK(a, "open 0 %d 0 0 0", KEY);
	SAME_STATUS(a, b);
	remove_and_close(a, b);
}

/* A removed segment lives on for those who have it, and its key is free. */
static void removal(struct peer *a, struct peer *b)
{
	open_both(a, b);
	OK(a, "attach 0 0 0");
	OK(b, "attach 0 0 0");
	OK(a, "remove 0");
	SAME(status(b, REMOVED), true);
	SAME(status(b, KEY_NOW), 0);
	SAME(status(b, NUMBER), 2);
	ANSWERS("EIDRM", b, "attach 0 1 0");
	ANSWERS("ENOENT", b, "open 1 %d 0 0 0", KEY);
	OK(b, "open 1 %d 5 %d 1", KEY, 0600); /* its successor */
	long long successor = number[0];
	SAME(number[2], true);
	OK(a, "open 1 %d 0 0 0", KEY);
	SAME(number[0], successor);
	OK(b, "remove 0"); /* does nothing more */
	OK(a, "open-id 1 %lld", successor);
	OK(b, "write 0 0 %d 9", SIZE);
	OK(a, "read 0 0 %d 9", SIZE);
	stop(a, SIGKILL);
	SAME(status(b, NUMBER), 1);
	OK(b, "detach 0 0");
	ANSWERS("EIDRM", b, "status 0");
	SAME(isolate_count_objects(), 1);
	OK(b, "remove 1");
	OK(b, "close 1");
	OK(b, "close 0");
	SAME((long long)isolate_posix_memory(), 0);
	start(a);
}

/* No process sees a segment that is being filled, and one whose maker dies is none. */
static void half_made(struct peer *a, struct peer *b)
{
	ANSWERS("filling", a, "open 0 %d %d %d 3", KEY, SIZE, 0600);
	ANSWERS("ENOENT", b, "open 0 %d 0 0 0", KEY);
	OK(a, "go on");
	OK(b, "open 0 %d 0 0 0", KEY);
	OK(b, "attach 0 0 0");
	OK(b, "read 0 0 %d -2", SIZE);
	OK(b, "detach 0 0");
	remove_and_close(a, b);

	ANSWERS("filling", a, "open 0 %d %d %d 3", KEY, SIZE, 0600);
	tell(b, "open 0 %d %d %d 1", KEY, SIZE, 0600); /* waits */
	stop(a, SIGKILL);
	hear(b);
	SAME(number[1], SIZE);
	SAME(number[2], true); /* its own */
	OK(b, "attach 0 0 0");
	OK(b, "read 0 0 %d -1", SIZE);
	OK(b, "detach 0 0");
	start(a);
	OK(a, "open 0 %d 0 0 0", KEY);
	remove_and_close(a, b);
}

/* What a 32-bit program cannot even count is refused there, and not harmed. */
static void too_large(struct peer *a, struct peer *b)
{
	const long long large = 5LL << 30;
	if (a->bits != 64)
		return;
	OK(a, "open 0 %d %lld %d 4", KEY, large, 0600);
	OK(a, "attach 0 0 0");
	OK(a, "write 0 %lld 100 1", large - 100);
	tell(b, "open 0 %d 0 0 0", KEY);
	hear(b);
	SAME(strcmp(said, b->bits == 64 ? "ok" : "ENOMEM"), 0);
	if (b->bits == 64) {
		SAME(number[1], large);
		OK(b, "attach 0 0 1");
		OK(b, "read 0 %lld 100 1", large - 100);
		OK(b, "detach 0 0");
	}
	OK(a, "read 0 %lld 100 1", large - 100);
	SAME(status(a, NUMBER), 1);
	OK(a, "detach 0 0");
	remove_and_close(a, b);
}

static void share(struct peer *a, struct peer *b)
{
	facts(a, b);
	bytes(a, b);
	lives(a, b);
	locks(a, b);
	removal(a, b);
	half_made(a, b);
	too_large(a, b);
}

static void hold_lifeline(void)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0 || dup2(ends[0], LIFELINE) < 0)
		exit(1);
	close(ends[0]);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		puts("usage: sharing PEER PEER");
		return 2;
	}
	struct peer a = { .command = argv[1] }, b = { .command = argv[2] };
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!isolate()) {
		puts("sharing: skipped: needs namespaces of its own");
		return 77;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_IGN);
	alarm(300);
	hold_lifeline();
	start(&a);
	start(&b);
	share(&a, &b);
	share(&b, &a);
	stop(&a, 0);
	stop(&b, 0);
	printf("sharing: %lld and %lld bits, %d failures\n", a.bits, b.bits, failures);
	return failures > 0;
}
