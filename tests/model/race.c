/* SPDX-License-Identifier: MIT */
/*
 * Races: 2, 8 and 32 processes create, open, attach, remove and create anew one
 * key, as fast as they can, and some are killed amidst. There must never be two
 * live segments for the key, nor one that is seen half made; the init callback
 * runs once for each segment; a segment goes only if a process removed that one;
 * and when all rest, counts are exact.
 *
 * Each init callback stamps its segment with a number, its generation. Who
 * opens the key must find no older one than any process had found before the call.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "emulator.h"
#include "history.h"
#include "isolate.h"
#include "mutants.h"
#include "unishm.h"

enum {
	KEY = 0x7e570001,
	WORDS = 1500, /* of a segment */
	WORKERS = 32,
	MOST_ATTACHED = 3,
	GENERATIONS = 1 << 22,
	OPS_IN_ROUND = 60,
	PATIENCE_MS = 10000,
};

static const char *backend;

/* What all processes share, beside the segments. */
static struct board {
	_Atomic unsigned generation; /* of the last init callback */
	_Atomic unsigned newest;     /* that was found under the key */
	_Atomic unsigned failures;
	_Atomic unsigned long calls, created;
	struct {
		unsigned generation; /* 0: none, or not known */
		unsigned attached;
	} rest[WORKERS];
	_Atomic unsigned char removers[GENERATIONS];
} *board;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fail(const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (atomic_fetch_add(&board->failures, 1) < 10)
		printf("race: %s: process %ld: %s\n", backend, (long)getpid(), text);
}

/* ---- Workers ------------------------------------------------------------- */

static struct {
	unsigned number;
	int seat;
	uint64_t random;
	struct unishm *seg;
	unsigned generation; /* of seg */
	unsigned attached;
	unsigned *at[MOST_ATTACHED];
	unsigned inits; /* callbacks in the call in progress */
	unsigned made;  /* the generation that the last of them gave */
	atomic_bool in_act, cancelled;
} me;

static int stamp(void *addr, size_t size, void *arg)
{
	unsigned *words = addr;
	(void)arg;
	me.inits++;
	me.made = atomic_fetch_add(&board->generation, 1) + 1;
	for (size_t i = 0; i < size / sizeof *words; i++) {
		if (words[i] != 0)
			fail("init of generation %u meets bytes of %u", me.made, words[i]);
		words[i] = me.made;
		if (i == WORDS / 2 && below(&me.random, 4) == 0)
			sched_yield();
	}
	return 0;
}

static void note_newest(unsigned generation)
{
	unsigned now = atomic_load(&board->newest);
	while (now < generation && !atomic_compare_exchange_weak(&board->newest, &now, generation))
		continue;
}

static bool was_removed_by_someone(void)
{
	return atomic_load(&board->removers[me.generation % GENERATIONS]) > 0;
}

static void let_go(void)
{
	unishm_close(me.seg);
	me.seg = NULL;
	me.attached = me.generation = 0;
}

static void attach_once(void)
{
	void *addr;
	int rc = unishm_attach(me.seg, 0, &addr);
	if (rc == 0)
		me.at[me.attached++] = addr;
	else if (rc != -EIDRM)
		fail("attach: %s", unishm_errmsg());
	else if (me.generation && !was_removed_by_someone())
		fail("generation %u is removed, by no process", me.generation);
}

static void tell_of_half_made(unsigned word, unsigned value)
{
	struct unishm_status st = { 0 };
	int rc = unishm_status(me.seg, &st);
	fail("half made: word %u is %u, the first is %u; made by %s, "
			"status %d, removed %d, attached %lu",
			word, value, me.generation, unishm_created(me.seg) ? "us" : "others", rc,
			st.removed, st.number_attached);
}

static void check_stamp(unsigned newest_before)
{
	const unsigned *words = me.at[0];
	me.generation = words[0];
	for (unsigned i = 0; i < WORDS; i++) {
		if (words[i] == me.generation && words[i] != 0)
			continue;
		tell_of_half_made(i, words[i]);
		break;
	}
	if (me.generation < newest_before)
		fail("found generation %u, when %u had been found before", me.generation,
				newest_before);
	if (unishm_created(me.seg) && me.generation != me.made)
		fail("made generation %u, but has %u", me.made, me.generation);
	note_newest(me.generation);
}

/* musl cancels by a signal, which interrupts waiting as any other does. */
static bool is_fair(int rc, int oflag)
{
	if (rc == -EINTR)
		return atomic_load(&me.cancelled);
	if (oflag & O_EXCL)
		return rc == -EEXIST;
	return rc == -ENOENT && !oflag;
}

static void open_somehow(void)
{
	static const int oflags[] = { 0, O_CREAT, O_CREAT, O_CREAT | O_EXCL };
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	unsigned newest = atomic_load(&board->newest);
	opt.backend = backend;
	opt.key = KEY;
	opt.oflag = oflags[below(&me.random, 4)];
	opt.size = opt.oflag ? WORDS * sizeof(unsigned) : 0;
	opt.mode = 0600;
	opt.init = stamp;
	me.inits = 0;
	int rc = unishm_open_with(&me.seg, &opt);
	if (rc < 0) {
		me.seg = NULL;
		if (!is_fair(rc, opt.oflag))
			fail("open, oflag 0x%x: %d, %s", (unsigned)opt.oflag, rc, unishm_errmsg());
		return;
	}
	if (me.inits != unishm_created(me.seg))
		fail("%u init callbacks, created: %d", me.inits, unishm_created(me.seg));
	if (unishm_created(me.seg))
		atomic_fetch_add(&board->created, 1);
	me.generation = me.attached = 0;
	attach_once();
	if (me.attached)
		check_stamp(newest);
	else
		let_go();
}

static void ask(void)
{
	struct unishm_status st;
	int rc = unishm_status(me.seg, &st);
	if (rc < 0 && rc != -EIDRM)
		fail("status: %s", unishm_errmsg());
	else if (rc == -EIDRM && me.attached)
		fail("generation %u is gone, and we are attached", me.generation);
	else if ((rc == -EIDRM || st.removed) && !was_removed_by_someone())
		fail("generation %u is removed, by no process", me.generation);
	else if (rc == 0 && st.number_attached < me.attached)
		fail("number_attached %lu, we alone have %u", st.number_attached, me.attached);
}

static void remove_it(void)
{
	atomic_store(&board->removers[me.generation % GENERATIONS], 1);
	int rc = unishm_remove(me.seg);
	if (rc < 0 && rc != -EIDRM)
		fail("remove: %s", unishm_errmsg());
}

static void detach_once(void)
{
	const unsigned *words = me.at[--me.attached];
	if (words[0] != me.generation || words[WORDS - 1] != me.generation)
		fail("generation %u became %u under our hands", me.generation, words[0]);
	if (unishm_detach(me.seg, words) < 0)
		fail("detach: %s", unishm_errmsg());
}

static void act(void)
{
	atomic_fetch_add(&board->calls, 1);
	if (!me.seg) {
		open_somehow();
		return;
	}
	switch (below(&me.random, 8)) {
	case 0: case 1:
		if (me.attached < MOST_ATTACHED)
			attach_once();
		break;
	case 2: case 3:
		if (me.attached)
			detach_once();
		break;
	case 4: remove_it(); break;
	case 5: ask(); break;
	default: let_go();
	}
}

/* All rest. How many attachments should there be, of the generation that we have? */
static void check_count(void)
{
	unsigned long want = 0;
	struct unishm_status st;
	if (!me.generation)
		return;
	for (unsigned i = 0; i < WORKERS; i++)
		if (board->rest[i].generation == me.generation)
			want += board->rest[i].attached;
	int rc = unishm_status(me.seg, &st);
	if (rc == 0 && st.number_attached != want)
		fail("at rest: number_attached %lu, should be %lu", st.number_attached, want);
	if (rc < 0 && (rc != -EIDRM || want > 0))
		fail("at rest: status: %s", unishm_errmsg());
}

/* A thread that is cancelled at any moment ends between two calls, never in one. */
static void *act_until_cancelled(void *arg)
{
	while (!arg) {
		atomic_store(&me.in_act, true);
		act();
		atomic_store(&me.in_act, false);
		pthread_testcancel();
	}
	return NULL;
}

static void act_in_thread(void)
{
	struct timespec moment = { 0, (long)below(&me.random, 3000000) };
	pthread_t thread;
	if (pthread_create(&thread, NULL, act_until_cancelled, NULL) != 0)
		return;
	nanosleep(&moment, NULL);
	atomic_store(&me.cancelled, true);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	atomic_store(&me.cancelled, false);
	if (atomic_load(&me.in_act))
		fail("a thread was cancelled in a call");
}

static void play_round(void)
{
	if (below(&me.random, 4) == 0)
		act_in_thread();
	else
		for (unsigned i = 0; i < OPS_IN_ROUND; i++)
			act();
}

_Noreturn static void work(void)
{
	char word;
	while (read(me.seat, &word, 1) == 1 && word != 'e') {
		if (word == 'g')
			play_round();
		board->rest[me.number].generation = me.generation;
		board->rest[me.number].attached = me.attached;
		if (word == 'c')
			check_count();
		if (write(me.seat, &word, 1) != 1)
			break;
	}
	let_go();
	_exit(0);
}

/* ---- The master ---------------------------------------------------------- */

static struct worker {
	pid_t pid;
	int seat;
} workers[WORKERS];

static void hire(unsigned number, uint64_t seed)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		abort();
	board->rest[number].generation = board->rest[number].attached = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		for (unsigned i = 0; i < WORKERS; i++)
			if (workers[i].pid && i != number)
				close(workers[i].seat);
		close(ends[0]);
		me.number = number;
		me.seat = ends[1];
		me.random = seed + number * 1000003u + (unsigned)getpid();
		work();
	}
	close(ends[1]);
	workers[number] = (struct worker){ pid, ends[0] };
}

static void dismiss(unsigned number)
{
	kill(workers[number].pid, SIGKILL);
	waitpid(workers[number].pid, NULL, 0);
	close(workers[number].seat);
	workers[number].pid = 0;
}

static void say(unsigned count, char word)
{
	for (unsigned i = 0; i < count; i++)
		if (write(workers[i].seat, &word, 1) != 1)
			fail("worker %u is gone", i);
}

static int patience(void)
{
	return emulator() ? 6 * PATIENCE_MS : PATIENCE_MS;
}

/* Wait until all have done what they were told. */
static bool hear(unsigned count)
{
	char word;
	for (unsigned i = 0; i < count; i++) {
		struct pollfd wait = { .fd = workers[i].seat, .events = POLLIN };
		if (poll(&wait, 1, patience()) != 1) {
			fail("worker %u, process %ld, is blocked", i, (long)workers[i].pid);
			return false;
		}
		if (read(workers[i].seat, &word, 1) != 1) {
			fail("worker %u died", i);
			return false;
		}
	}
	return true;
}

/* Kill one in the midst of its work, and hire another. */
static void kill_one(unsigned count, uint64_t *random)
{
	struct timespec moment = { 0, (long)below(random, 2000000) };
	unsigned victim = below(random, count);
	nanosleep(&moment, NULL);
	dismiss(victim);
	hire(victim, *random);
	if (write(workers[victim].seat, "g", 1) != 1)
		fail("cannot talk to worker %u", victim);
}

static int count_live(const struct unishm_status *st, void *arg)
{
	*(unsigned *)arg += !st->removed;
	return 0;
}

static void check_one_live(void)
{
	unsigned live = 0;
	int rc = unishm_list(backend, count_live, &live);
	if (rc < 0 || live > 1)
		fail("at rest, %u live segments for one key (%d)", live, rc);
}

static unsigned play_rounds(unsigned count, unsigned seconds, uint64_t *random)
{
	struct timespec start, now;
	unsigned rounds = 0;
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		say(count, 'g');
		if (below(random, 3) == 0)
			kill_one(count, random);
		if (!hear(count))
			break;
		say(count, 'c');
		if (!hear(count))
			break;
		check_one_live();
		rounds++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < (time_t)seconds && !atomic_load(&board->failures) &&
			atomic_load(&board->generation) < GENERATIONS - 10000);
	return rounds;
}

static void check_nothing_left(void)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	opt.backend = backend;
	opt.key = KEY;
	opt.oflag = O_CREAT;
	opt.size = 1;
	if (unishm_open_with(&seg, &opt) < 0) {
		fail("at the end: %s", unishm_errmsg());
		return;
	}
	unishm_remove(seg);
	unishm_close(seg);
	unishm_sweep(backend, 0, NULL, NULL); /* drafts of who was killed */
	int objects = isolate_count_objects();
	if (objects || isolate_count_segments() || isolate_posix_memory())
		fail("at the end %d objects, %d segments and %zu bytes are left", objects,
				isolate_count_segments(), isolate_posix_memory());
	isolate_sweep();
}

static void race(unsigned count, unsigned seconds, uint64_t *random)
{
	board->generation = board->newest = 0;
	board->calls = board->created = 0;
	memset((void *)board->removers, 0, sizeof board->removers);
	for (unsigned i = 0; i < count; i++)
		hire(i, *random);
	unsigned rounds = play_rounds(count, seconds, random);
	for (unsigned i = 0; i < count; i++)
		dismiss(i);
	memset(board->rest, 0, sizeof board->rest);
	check_nothing_left();
	printf("race: %s, %u processes: %u rounds, %lu calls, %lu segments, %u failures\n", backend,
			count, rounds, (unsigned long)board->calls, (unsigned long)board->created,
			(unsigned)board->failures);
}

static bool become(uid_t user)
{
	return setgroups(0, NULL) == 0 && setgid((gid_t)user) == 0 && setuid(user) == 0;
}

int main(int argc, char **argv)
{
	static const unsigned counts[] = { 2, 8, 32 };
	uint64_t seed = 1;
	unsigned seconds = 2, only_count = 0;
	const char *only = NULL;
	uid_t user = geteuid();
	int option;
	while ((option = getopt(argc, argv, "s:t:b:n:u:m:")) != -1) {
		switch (option) {
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 't': seconds = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'b': only = optarg; break;
		case 'u': user = (uid_t)strtoul(optarg, NULL, 0); break;
		case 'n': only_count = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'm':
			if (!mutate(optarg))
				return 2;
			break;
		default:
			puts("usage: race [-s seed] [-t seconds for each] [-b backend] "
					"[-n processes] [-u user]");
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	emulator_correct();
	if (!isolate()) {
		puts("race: skipped: needs namespaces of its own");
		return 77;
	}
	if (user != geteuid() && !become(user)) {
		puts("race: skipped: needs root to become another user");
		return 77;
	}
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	if (board == MAP_FAILED)
		return 1;
	for (const char *const *name = unishm_backends(); *name; name++) {
		backend = *name;
		if (only && strcmp(only, backend) != 0)
			continue;
		for (unsigned i = 0; i < sizeof counts / sizeof *counts && !board->failures; i++)
			if (!only_count || only_count == counts[i])
				race(counts[i], seconds, &seed);
	}
	return board->failures > 0;
}
