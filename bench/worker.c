/* SPDX-License-Identifier: MIT */
/*
 * Measures one contender. Reads commands, one a line:
 *
 *   size BYTES            of the segments made from now on
 *   holders N             N other processes that are attached to segment 0
 *   segments N            N segments that exist, beyond those measured
 *   attached N            N segments that this process is attached to
 *   OPERATION COUNT       do it COUNT times; answers nanoseconds, or "no"
 *   trace OPERATION       do it once between marks that strace shows
 *   count OPERATION       do it once, with callgrind collecting between the marks
 *
 * Each answers one line. The driver interleaves the contenders' commands.
 */
#include "contender.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined __has_include
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif
#endif
#ifndef CALLGRIND_TOGGLE_COLLECT
#define CALLGRIND_TOGGLE_COLLECT ((void)0)
#endif

/* Handles: 0 to 63 are made and removed, FIXED has a segment that stays, OTHER is
 * a second handle of it, and from MANY on are those of "segments", "attached". */
enum { BATCH = 64, FIXED = 64, OTHER = 65, THREADS = 66, MANY = 70, MOST = 1000 };

static size_t size = SIZE_DEFAULT;
static bool tracing, counting;
static int segments, attached, holders;
static pid_t holder[MOST];

static bool live[SLOTS], dying; /* live: created, so that it is not left behind */

static void make(int handle, size_t bytes, int reserve)
{
	contender.create(handle, (unsigned)handle, bytes, reserve);
	live[handle] = true;
}

static void unmake(int handle)
{
	live[handle] = false;
	contender.remove(handle);
	contender.close(handle);
}

void die(const char *what)
{
	if (dying)
		_exit(1);
	dying = true;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	for (int handle = 0; handle < SLOTS; handle++)
		if (live[handle])
			unmake(handle);
	_exit(1);
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The begin, the end, or "|", the middle, of what is measured. */
static void mark(const char *text)
{
	if (counting && *text != '|')
		CALLGRIND_TOGGLE_COLLECT;
	if (tracing && write(-1, text, strlen(text)) >= 0)
		abort();
}

/* ---- Operations: each does it @count times and tells how long it took ------- */

/* After create, before close: no more than what create left to do. */
static void attach_new(int handle)
{
	if (contender.attach && !contender.create_attaches)
		contender.attach(handle);
}

static void detach_any(int handle)
{
	if (contender.attach)
		contender.detach(handle);
}

static bool creates_only(void)
{
	return contender.attach && !contender.create_attaches;
}

static int64_t split(int count, bool timed_removal, int reserve, bool with_attach)
{
	int64_t spent = 0;
	for (int done = 0; done < count; done += BATCH) {
		int n = count - done < BATCH ? count - done : BATCH;
		int64_t start = now();
		if (!timed_removal)
			mark("BEGIN");
		for (int i = 0; i < n; i++) {
			make(i, size, reserve);
			if (with_attach)
				attach_new(i);
		}
		if (!timed_removal)
			mark("END");
		int64_t middle = now();
		for (int i = 0; with_attach && i < n; i++)
			detach_any(i);
		int64_t resume = now();
		if (timed_removal)
			mark("BEGIN");
		for (int i = 0; i < n; i++)
			unmake(i);
		if (timed_removal)
			mark("END");
		spent += timed_removal ? now() - resume : middle - start;
	}
	return spent;
}

static int64_t op_create(int count)
{
	return creates_only() ? split(count, false, 0, false) : -1;
}

static int64_t op_create_reserved(int count)
{
	return contender.reserves ? split(count, false, 1, false) : -1;
}

static int64_t op_create_attach(int count)
{
	return split(count, false, 0, true);
}

static int64_t op_remove(int count)
{
	return creates_only() ? split(count, true, 0, false) : -1;
}

static int64_t op_open_pair(int count)
{
	if (!contender.open)
		return -1;
	int64_t start = now();
	mark("BEGIN");
	for (int i = 0; i < count; i++) {
		contender.open(OTHER, FIXED);
		if (contender.attach)
			contender.attach(OTHER);
		mark("|");
		detach_any(OTHER);
		contender.close(OTHER);
	}
	mark("END");
	return now() - start;
}

/* With as few calls as the library has for it: one to open and attach, and a close that detaches.
 * The raw calls are the same as of open_pair. */
static int64_t op_open_pair_fused(int count)
{
	if (!contender.open_attached)
		return contender.attach ? op_open_pair(count) : -1;
	int64_t start = now();
	mark("BEGIN");
	for (int i = 0; i < count; i++) {
		contender.open_attached(OTHER, FIXED);
		mark("|");
		contender.close(OTHER);
	}
	mark("END");
	return now() - start;
}

/* The process holds another handle of the segment, attached: as when several parts
 * of a program use one segment. */
static int64_t op_open_pair_again(int count)
{
	if (!contender.attach || contender.create_attaches)
		return -1;
	contender.attach(FIXED);
	int64_t spent = op_open_pair(count);
	contender.detach(FIXED);
	return spent;
}

static int64_t op_attach_pair(int count)
{
	if (!contender.attach || !contender.open)
		return -1;
	contender.open(OTHER, FIXED);
	for (int i = 0; i < 2; i++) { /* the first is another matter (open_pair), and so is
					 the second, by which a handle shows that there are more */
		contender.attach(OTHER);
		contender.detach(OTHER);
	}
	int64_t start = now();
	mark("BEGIN");
	for (int i = 0; i < count; i++) {
		contender.attach(OTHER);
		mark("|");
		contender.detach(OTHER);
	}
	mark("END");
	int64_t spent = now() - start;
	contender.close(OTHER);
	return spent;
}

static void touch(volatile char *at)
{
	for (size_t i = 0; i < size; i += 4096)
		at[i] = 1;
}

static int64_t life(int count, int reserve)
{
	int64_t start = now();
	mark("BEGIN");
	for (int i = 0; i < count; i++) {
		make(0, size, reserve);
		attach_new(0);
		touch(contender.address(0));
		detach_any(0);
		unmake(0);
	}
	mark("END");
	return now() - start;
}

static int64_t op_life(int count)
{
	return life(count, 0);
}

static int64_t op_life_reserved(int count)
{
	return contender.reserves ? life(count, 1) : -1;
}

static int64_t ask(size_t (*question)(int), int count)
{
	size_t sum = 0;
	if (!question)
		return -1;
	int64_t start = now();
	mark("BEGIN");
	for (int i = 0; i < count; i++)
		sum += question(FIXED);
	mark("END");
	int64_t spent = now() - start;
	return sum == SIZE_MAX ? -1 : spent; /* so that no compiler leaves it out */
}

/* With this process attached to the segment: "one attacher". */
static int64_t op_status(int count)
{
	if (!contender.status)
		return -1;
	attach_new(FIXED);
	int64_t spent = ask(contender.status, count);
	if (creates_only())
		contender.detach(FIXED);
	return spent;
}

static int64_t op_size(int count)
{
	return ask(contender.size, count);
}

static int64_t op_lock_pair(int count)
{
	if (!contender.lock)
		return -1;
	int64_t start = now();
	mark("BEGIN");
	for (int i = 0; i < count; i++) {
		contender.lock(FIXED);
		mark("|");
		contender.unlock(FIXED);
	}
	mark("END");
	return now() - start;
}

static int64_t op_list(int count)
{
	if (!contender.list)
		return -1;
	int64_t start = now();
	mark("BEGIN");
	for (int i = 0; i < count; i++)
		if (contender.list() < (unsigned)segments)
			die("a listing misses some");
	mark("END");
	return now() - start;
}

static int64_t op_fork(int count)
{
	int64_t start = now();
	mark("BEGIN");
	for (int i = 0; i < count; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		if (child < 0 || waitpid(child, NULL, 0) != child)
			die("fork");
	}
	mark("END");
	return now() - start;
}

struct job {
	int handle, count;
};

static void *pairs(void *arg)
{
	struct job *job = arg;
	for (int i = 0; i < job->count; i++) {
		contender.attach(job->handle);
		contender.detach(job->handle);
	}
	return NULL;
}

/* Two threads, each with a segment of its own; or both on one handle. */
static int64_t two_threads(int count, bool shared)
{
	struct job jobs[2];
	pthread_t thread[2];
	if (!creates_only())
		return -1;
	for (int i = 0; i < 2; i++)
		make(THREADS + i, size, 0);
	int64_t start = now();
	for (int i = 0; i < 2; i++) {
		jobs[i] = (struct job){ shared ? THREADS : THREADS + i, count };
		if (pthread_create(&thread[i], NULL, pairs, &jobs[i]))
			die("pthread_create");
	}
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	int64_t spent = now() - start;
	for (int i = 0; i < 2; i++)
		unmake(THREADS + i);
	return spent;
}

static int64_t op_two_threads(int count)
{
	return two_threads(count, false);
}

static int64_t op_two_threads_one_handle(int count)
{
	return two_threads(count, true);
}

/* Eight processes at once, all on the segment that stays. */
static int64_t op_eight_processes(int count)
{
	enum { PROCESSES = 8 };
	int gate[2];
	char byte;
	pid_t child[PROCESSES];
	if (!contender.open)
		return -1;
	if (pipe(gate) < 0)
		die("pipe");
	for (int i = 0; i < PROCESSES; i++) {
		child[i] = fork();
		if (child[i] < 0)
			die("fork");
		if (child[i] == 0) {
			close(gate[1]);
			if (read(gate[0], &byte, 1) != 0)
				_exit(1);
			op_open_pair(count);
			_exit(0);
		}
	}
	close(gate[0]);
	int64_t start = now();
	close(gate[1]);
	for (int i = 0; i < PROCESSES; i++) {
		int status;
		if (waitpid(child[i], &status, 0) != child[i] || status != 0)
			die("a process of eight");
	}
	return now() - start;
}

static const struct operation {
	const char *name;
	int64_t (*run)(int count);
} operations[] = {
	{ "create", op_create },
	{ "create_reserved", op_create_reserved },
	{ "create_attach", op_create_attach },
	{ "remove", op_remove },
	{ "open_pair", op_open_pair },
	{ "open_pair_fused", op_open_pair_fused },
	{ "open_pair_again", op_open_pair_again },
	{ "attach_pair", op_attach_pair },
	{ "life", op_life },
	{ "life_reserved", op_life_reserved },
	{ "status", op_status },
	{ "ask_size", op_size },
	{ "lock_pair", op_lock_pair },
	{ "list", op_list },
	{ "fork", op_fork },
	{ "two_threads", op_two_threads },
	{ "two_threads_one_handle", op_two_threads_one_handle },
	{ "eight_processes", op_eight_processes },
};

/* ---- State ------------------------------------------------------------------ */

static void set_segments(int wanted)
{
	for (; segments < wanted; segments++)
		make(MANY + segments, 4096, 0);
	for (; segments > wanted; segments--)
		unmake(MANY + segments - 1);
}

static void set_attached(int wanted)
{
	for (; attached < wanted; attached++) {
		int handle = MANY + attached;
		make(handle, size, 0);
		attach_new(handle);
		touch(contender.address(handle));
	}
	for (; attached > wanted; attached--) {
		int handle = MANY + attached - 1;
		detach_any(handle);
		unmake(handle);
	}
}

static void hold(int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	contender.open(OTHER, FIXED);
	if (contender.attach)
		contender.attach(OTHER);
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void set_holders(int wanted)
{
	int ready[2];
	char byte;
	for (; holders < wanted; holders++) {
		if (pipe(ready) < 0)
			die("pipe");
		holder[holders] = fork();
		if (holder[holders] == 0)
			hold(ready[1]);
		close(ready[1]);
		if (holder[holders] < 0 || read(ready[0], &byte, 1) != 1)
			die("a process to hold");
		close(ready[0]);
	}
	for (; holders > wanted; holders--) {
		kill(holder[holders - 1], SIGKILL);
		waitpid(holder[holders - 1], NULL, 0);
	}
}

static void set_size(size_t wanted)
{
	unmake(FIXED);
	size = wanted;
	make(FIXED, size, 0);
}

/* ---- Commands ---------------------------------------------------------------- */

static const struct operation *find(const char *name)
{
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	fprintf(stderr, "no operation %s\n", name);
	exit(1);
}

static void answer(int64_t value)
{
	if (value < 0)
		puts("no");
	else
		printf("%lld\n", (long long)value);
	fflush(stdout);
}

static void obey(const char *word, const char *argument)
{
	long number = atol(argument);
	if (strcmp(word, "size") == 0) {
		set_size((size_t)number);
		answer(0);
	} else if (strcmp(word, "holders") == 0) {
		set_holders((int)number);
		answer(0);
	} else if (strcmp(word, "segments") == 0) {
		set_segments((int)number);
		answer(0);
	} else if (strcmp(word, "attached") == 0) {
		set_attached((int)number);
		answer(0);
	} else if (strcmp(word, "trace") == 0) {
		find(argument)->run(3); /* warm: the library has set itself up */
		tracing = true;
		answer(find(argument)->run(1));
		tracing = false;
	} else if (strcmp(word, "count") == 0) {
		find(argument)->run(3);
		counting = true;
		answer(find(argument)->run(1));
		counting = false;
	} else {
		answer(find(word)->run((int)number));
	}
}

int main(int argc, char **argv)
{
	char line[128], word[64], argument[64];
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	contender.start(argc > 1 ? argv[1] : "", 0x5e000000u | ((unsigned)getpid() & 0xfff) << 12);
	make(FIXED, size, 0);
	while (fgets(line, sizeof line, stdin))
		if (sscanf(line, "%63s %63s", word, argument) == 2)
			obey(word, argument);
	set_holders(0);
	set_attached(0);
	set_segments(0);
	unmake(FIXED);
	return 0;
}
