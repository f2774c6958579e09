/* SPDX-License-Identifier: MIT */
/*
 * Many processes and many segments: load [-b BACKEND] [-n PROCESSES] [-m SEGMENTS] [-t SECONDS]
 *
 * Workers create, attach, detach, fork, list and remove at random, and some are killed in the midst
 * of it and replaced. Every few seconds all are told to rest; then the count of each segment must
 * be the sum of what its workers say they have attached, plus nothing for the dead. At the end no
 * object, no byte, no descriptor and no memory of the parent is left over.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../descriptors.h"
#include "../isolate.h"
#include "unishm.h"

enum { HELD = 24, MOST_WORKERS = 4096, MOST_SEGMENTS = 65536 };

/* What a worker writes down before it attaches and after it has detached, and the parent reads when
 * all rest. The child of a worker has a line of its own. */
struct worker {
	atomic_int pid;
	atomic_uint beat;           /* the rest that it has reached */
	atomic_ulong calls, forks;
	atomic_uint held[HELD];     /* the id of the segment, and 1 */
};

static struct shared {
	atomic_uint rest; /* odd: rest */
	atomic_bool end;
	atomic_ulong removals, lists;
	struct worker workers[MOST_WORKERS];
} *shared;

static const char *backend;
static unsigned workers = 1000, segments = 10000, seconds = 600;
static unsigned failures;

static void fail(const char *what, unsigned which, long got, long want)
{
	if (failures++ < 20)
		printf("load: %s %u: %ld, not %ld; %s\n", what, which, got, want, unishm_errmsg());
}

static int open_segment(unsigned which, int oflag, struct unishm **seg)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = backend;
	opt.key = (key_t)(which + 1);
	opt.oflag = oflag;
	opt.size = oflag ? 1 + which % 5000 : 0;
	opt.mode = 0600;
	return unishm_open_with(seg, &opt);
}

/* ---- Workers ------------------------------------------------------------------ */

static uint64_t state;

static unsigned draw(unsigned below)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(state >> 33) % below;
}

static struct mine {
	struct unishm *seg;
	void *at;
} mine[HELD];

static void let_go(struct worker *me, unsigned slot)
{
	unishm_close(mine[slot].seg);
	mine[slot].seg = NULL;
	mine[slot].at = NULL;
	atomic_store(&me->held[slot], 0);
}

static int count_one(const struct unishm_status *st, void *arg)
{
	unsigned *left = arg;
	(void)st;
	return --*left == 0;
}

static void attach_one(struct worker *me, unsigned slot)
{
	atomic_store(&me->held[slot], (unsigned)unishm_id(mine[slot].seg) + 1);
	if (unishm_attach(mine[slot].seg, draw(4) ? 0 : UNISHM_RDONLY, &mine[slot].at) < 0)
		let_go(me, slot);
}

/* The handle stays, idle. */
static void detach_one(struct worker *me, unsigned slot)
{
	unishm_detach(mine[slot].seg, mine[slot].at);
	mine[slot].at = NULL;
	atomic_store(&me->held[slot], 0);
}

static void take_one(struct worker *me, unsigned slot)
{
	unsigned which = draw(segments);
	if (open_segment(which, O_CREAT, &mine[slot].seg) < 0) {
		mine[slot].seg = NULL;
		return;
	}
	attach_one(me, slot);
}

static void remove_one(struct worker *me, unsigned slot)
{
	if (unishm_remove(mine[slot].seg) == 0)
		atomic_fetch_add(&shared->removals, 1);
	let_go(me, slot);
}

/* The child has what the parent has, looks, and goes. */
static void fork_one(struct worker *me)
{
	struct unishm_status st;
	pid_t pid = fork();
	if (pid == 0) {
		for (unsigned i = 0; i < HELD; i++)
			if (mine[i].seg)
				unishm_status(mine[i].seg, &st);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	atomic_fetch_add(&me->forks, 1);
}

static void act(struct worker *me)
{
	unsigned slot = draw(HELD), what = draw(1000);
	struct unishm_status st;
	unsigned some = 200;
	atomic_fetch_add(&me->calls, 1);
	if (what == 0) {
		unishm_list(backend, count_one, &some);
		atomic_fetch_add(&shared->lists, 1);
	} else if (what < 10) {
		fork_one(me);
	} else if (!mine[slot].seg) {
		take_one(me, slot);
	} else if (!mine[slot].at) {
		attach_one(me, slot);
	} else if (what < 60) {
		remove_one(me, slot);
	} else if (what < 500) {
		unishm_status(mine[slot].seg, &st);
	} else if (what < 800) {
		detach_one(me, slot);
	} else {
		let_go(me, slot);
	}
}

static _Noreturn void work(struct worker *me, unsigned seed)
{
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)getpid();
	while (!atomic_load(&shared->end)) {
		unsigned rest = atomic_load(&shared->rest);
		atomic_store(&me->beat, rest);
		if (rest & 1)
			nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
		else
			act(me);
	}
	for (unsigned i = 0; i < HELD; i++)
		if (mine[i].seg)
			let_go(me, i);
	_exit(0);
}

static void start(unsigned which, unsigned seed)
{
	struct worker *me = &shared->workers[which];
	for (unsigned i = 0; i < HELD; i++)
		atomic_store(&me->held[i], 0);
	atomic_store(&me->beat, 0);
	pid_t pid = fork();
	if (pid == 0)
		work(me, seed);
	if (pid < 0) {
		perror("load: fork");
		exit(1);
	}
	atomic_store(&me->pid, pid);
}

/* ---- The parent ----------------------------------------------------------------- */

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool all_rest(unsigned rest)
{
	for (unsigned i = 0; i < workers; i++)
		if (atomic_load(&shared->workers[i].beat) != rest)
			return false;
	return true;
}

static unsigned long checked;

static unsigned held[MOST_WORKERS * HELD];
static unsigned all_held;

static int by_value(const void *one, const void *other)
{
	unsigned a = *(const unsigned *)one, b = *(const unsigned *)other;
	return (a > b) - (a < b);
}

static void collect_held(void)
{
	all_held = 0;
	for (unsigned i = 0; i < workers; i++)
		for (unsigned k = 0; k < HELD; k++) {
			unsigned id = atomic_load(&shared->workers[i].held[k]);
			if (id)
				held[all_held++] = id;
		}
	qsort(held, all_held, sizeof *held, by_value);
}

static unsigned long count_held(unsigned id)
{
	unsigned long count = 0;
	unsigned *found = bsearch(&id, held, all_held, sizeof *held, by_value);
	if (!found)
		return 0;
	while (found > held && found[-1] == id)
		found--;
	for (; found < held + all_held && *found == id; found++)
		count++;
	return count;
}

/* The child of one that was killed within fork() may still be on its way out. */
static void check_count(unsigned which, struct unishm *seg)
{
	struct unishm_status st = { 0 };
	unsigned long want = count_held((unsigned)unishm_id(seg) + 1);
	for (unsigned tries = 0; tries < 100; tries++) {
		if (unishm_status(seg, &st) < 0)
			break;
		if (st.number_attached == want && !st.inexact) {
			checked++;
			return;
		}
		nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
	}
	fail(st.inexact ? "attached (inexact) to segment" : "attached to segment", which,
			(long)st.number_attached, (long)want);
}

static void check_counts(void)
{
	collect_held();
	for (unsigned which = 0; which < segments; which++) {
		struct unishm *seg;
		if (open_segment(which, 0, &seg) < 0)
			continue;
		check_count(which, seg);
		unishm_close(seg);
	}
}

static unsigned long sum_of_counts;
static int add_up(const struct unishm_status *st, void *arg)
{
	(void)arg;
	sum_of_counts += st->number_attached;
	return 0;
}

static void rest_and_check(unsigned *rest)
{
	atomic_store(&shared->rest, ++*rest);
	while (!all_rest(*rest))
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	check_counts();
	atomic_store(&shared->rest, ++*rest);
}

static void kill_some(unsigned seed)
{
	unsigned count = workers / 100 + 1;
	state = seed;
	for (unsigned i = 0; i < count; i++) {
		unsigned which = draw(workers);
		pid_t pid = atomic_load(&shared->workers[which].pid);
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			continue;
		start(which, seed + i);
	}
}

static void end_workers(void)
{
	atomic_store(&shared->end, true);
	for (unsigned i = 0; i < workers; i++) {
		int ended = 0;
		while (waitpid(atomic_load(&shared->workers[i].pid), &ended, 0) < 0 &&
				errno == EINTR)
			continue;
		if (!WIFEXITED(ended) || WEXITSTATUS(ended))
			fail("the end of worker", i, ended, 0);
	}
}

static void remove_all(void)
{
	for (unsigned which = 0; which < segments; which++) {
		struct unishm *seg;
		if (open_segment(which, 0, &seg) < 0)
			continue;
		if (unishm_remove(seg) < 0)
			fail("removal of segment", which, -1, 0);
		unishm_close(seg);
	}
}

static long memory_of_parent(void)
{
	long pages = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return resident * sysconf(_SC_PAGESIZE) / 1024;
}

static void run(void)
{
	enum { END = 256 };
	unsigned rest = 0, rounds = 0, kills = 0;
	unsigned long calls = 0, forks = 0;
	double began = now(), next = began + 5;
	check_counts();
	int descriptors = open_descriptors_below(END);
	for (unsigned i = 0; i < workers; i++)
		start(i, i + 1);
	long memory = memory_of_parent();
	while (now() < began + seconds) {
		nanosleep(&(struct timespec){ 0, 300000000 }, NULL);
		kill_some(++kills);
		if (now() < next)
			continue;
		rest_and_check(&rest);
		rounds++;
		next = now() + 5;
	}
	end_workers();
	unishm_list(backend, add_up, NULL);
	if (sum_of_counts)
		fail("attached when no worker is left", 0, (long)sum_of_counts, 0);
	remove_all();
	for (unsigned i = 0; i < workers; i++) {
		calls += atomic_load(&shared->workers[i].calls);
		forks += atomic_load(&shared->workers[i].forks);
	}
	long grown = memory_of_parent() - memory;
	if (open_descriptors_below(END) > descriptors)
		fail("descriptors of the parent", 0, open_descriptors_below(END), descriptors);
	if (grown > 2048)
		fail("KiB that the parent grew by", 0, grown, 0);
	if (isolate_posix_memory() || isolate_count_objects() || isolate_count_segments())
		fail("bytes that are left", 0,
				(long)isolate_posix_memory() + isolate_count_segments(), 0);
	printf("load: %s, %u processes, %u segments, %.0f s: "
			"%lu steps, %lu forks, %lu lists, %lu removals, "
			"%u kills, %u rests with %lu counts; "
			"the parent grew by %ld KiB; %u failures\n",
			backend, workers, segments, now() - began, calls, forks,
			atomic_load(&shared->lists), atomic_load(&shared->removals),
			kills * (workers / 100 + 1), rounds, checked, grown, failures);
}

static unsigned number(const char *text, unsigned most)
{
	unsigned long value = strtoul(text, NULL, 10);
	return value < 1 || value > most ? most : (unsigned)value;
}

int main(int argc, char **argv)
{
	int option;
	backend = "posix";
	while ((option = getopt(argc, argv, "b:n:m:t:")) != -1) {
		if (option == 'b')
			backend = optarg;
		else if (option == 'n')
			workers = number(optarg, MOST_WORKERS);
		else if (option == 'm')
			segments = number(optarg, MOST_SEGMENTS);
		else if (option == 't')
			seconds = number(optarg, 86400);
		else
			return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!isolate()) {
		printf("load: skipped: no namespaces: it needs root or user namespaces\n");
		return 77;
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	if (shared == MAP_FAILED)
		return 1;
	run();
	return failures ? 1 : 0;
}
