/* SPDX-License-Identifier: MIT */
/*
 * Relays: attachments are handed over from process to process without a moment in which nobody
 * is attached, and others ask all the time. What they are told must lie between the fewest and
 * the most that there can have been; the bytes must stay, and programs' descriptors, too.
 *
 * A chain is one process that becomes another, in one of several ways. It waits until the one
 * before it is gone, so that the most is a true bound.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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
	SIZE = 5000,
	CHAINS = 2,
	WATCHERS = 3,
	READER = 7001,
	EACH = 2, /* attachments of a process in a chain */
	LOGS = 6,
	PATIENCE_MS = 10000,
};

static const char *backend;

static struct board {
	atomic_bool go, stop;
	_Atomic unsigned ready, ended, failures;
	_Atomic unsigned long questions;
	struct chain {
		_Atomic unsigned generation;
		_Atomic unsigned counted; /* this generation is: see pass_raw() */
		_Atomic unsigned token;   /* see take_turns() */
		_Atomic pid_t pid[2];
	} chain[CHAINS];
} *board;

static struct {
	unsigned number; /* of the chain */
	bool second;     /* of the two that take turns */
	struct unishm *seg;
	void *at[EACH];
	uint64_t random;
	int log[LOGS];
	bool logging;
} me;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fail(const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (atomic_fetch_add(&board->failures, 1) < 10)
		printf("relay: %s: process %ld: %s\n", backend, (long)getpid(), text);
	fflush(stdout);
}

static void wait_a_bit(void)
{
	const struct timespec moment = { 0, 20000 };
	nanosleep(&moment, NULL);
}

static long long milliseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int patience(void)
{
	return emulator() ? 6 * PATIENCE_MS : PATIENCE_MS;
}

/* ---- In a chain -------------------------------------------------------------- */

static struct chain *mine(void)
{
	return &board->chain[me.number];
}


static void attach_all(int flags)
{
	for (int i = 0; i < EACH; i++)
		if (unishm_attach(me.seg, flags, &me.at[i]) < 0) {
			fail("attach: %s", unishm_errmsg());
			_exit(1);
		}
}

/* The bytes are what the one before left. */
static void take_over(void)
{
	unsigned generation = atomic_fetch_add(&mine()->generation, 1) + 1;
	atomic_store(&mine()->pid[me.second], getpid());
	const unsigned char *bytes = me.at[0];
	for (unsigned i = SIZE / 2; i < SIZE; i++)
		if (bytes[i] != 0x5a) {
			fail("generation %u: byte %u became 0x%02x", generation, i, bytes[i]);
			_exit(1);
		}
}

static void await_end_of(pid_t parent)
{
	while (getppid() == parent)
		wait_a_bit();
}

/* One that is killed at once leaves a dead hold for the next to meet. */
static void lose_a_child(void)
{
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	if (pid < 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void hand_over(void)
{
	pid_t parent = getpid(), pid = fork();
	if (pid > 0)
		_exit(0);
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	else
		await_end_of(parent);
}

static void pass_by_fork(void)
{
	if (below(&me.random, 3) == 0)
		lose_a_child();
	hand_over();
	take_over();
}

/* ---- Daemons ----------------------------------------------------------------- */

static void check_logs(void)
{
	char text[8] = "";
	for (int i = 0; me.logging && i < LOGS; i++) {
		struct stat st;
		if (fstat(me.log[i], &st) < 0)
			fail("a log is closed: descriptor %d", me.log[i]);
		else if (st.st_size != 3 || pread(me.log[i], text, 3, 0) != 3 || memcmp(text, "log", 3) != 0)
			fail("a log of 3 bytes has %ld, \"%s\"", (long)st.st_size, text);
	}
}

/* Close whatever is open, and open logs under the same numbers. */
static void close_all_and_log(void)
{
	check_logs();
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	for (int i = 0; i < LOGS; i++) {
		me.log[i] = memfd_create("log", MFD_CLOEXEC);
		if (me.log[i] < 0 || write(me.log[i], "log", 3) != 3)
			abort();
	}
	me.logging = true;
}

static void pass_by_daemon(void)
{
	hand_over();
	setsid();
	hand_over();
	close_all_and_log();
	take_over();
	if (below(&me.random, 2))
		lose_a_child();
	check_logs();
}

static void take_descriptors(void)
{
	if (me.seg)
		close_all_and_log();
}

static void pass_with_handlers(void)
{
	static bool registered;
	if (!registered)
		pthread_atfork(take_descriptors, NULL, take_descriptors);
	registered = true;
	pass_by_fork();
	check_logs();
}

/* ---- Without the C library's fork ---------------------------------------------- */

extern pid_t _Fork(void) __attribute__((weak));

/* A child of _Fork() is counted from its first call on; until then its parent stays. What the
 * first in the chain mapped is inherited by all, with the description that holds its lock. */
static void pass_raw(void)
{
	pid_t parent = getpid(), pid = _Fork ? _Fork() : fork();
	unsigned next = atomic_load(&mine()->generation) + 1;
	struct unishm_status st;
	if (pid > 0) {
		long long start = milliseconds();
		while (atomic_load(&mine()->counted) != next && milliseconds() - start < patience())
			wait_a_bit();
		_exit(0);
	}
	if (unishm_status(me.seg, &st) < 0)
		fail("status in a child: %s", unishm_errmsg());
	atomic_store(&mine()->counted, next);
	await_end_of(parent);
	take_over();
}

/* ---- Two that take turns --------------------------------------------------------- */

/* An even token: the first is attached; the other attaches and makes it odd, which the first
 * answers by leaving. And the other way round, by fours. */
static void take_turns(int flags)
{
	unsigned token = atomic_load(&mine()->token);
	unsigned comes = me.second ? 0 : 2, leaves = me.second ? 3 : 1;
	if (token % 4 == comes) {
		attach_all(flags);
		take_over();
		atomic_store(&mine()->token, token + 1);
	} else if (token % 4 == leaves) {
		for (int i = 0; i < EACH; i++)
			if (unishm_detach(me.seg, me.at[i]) < 0)
				fail("detach: %s", unishm_errmsg());
		atomic_store(&mine()->token, token + 1);
	} else {
		wait_a_bit();
	}
}

static void pass_by_turns(void)
{
	take_turns(0);
}

static void pass_by_turns_as_reader(void)
{
	take_turns(UNISHM_RDONLY);
}

/* ---- Kinds ------------------------------------------------------------------------- */

static const struct kind {
	const char *name;
	void (*pass)(void);
	bool reader, removed, turns;
	unsigned kept; /* attachments of the first in a chain that count as long as it goes on */
} kinds[] = {
	{ "fork", pass_by_fork, false, false, false, 0 },
	{ "fork of a removed one", pass_by_fork, false, true, false, 0 },
	{ "fork by readers", pass_by_fork, true, false, false, 0 },
	{ "fork by readers of a removed one", pass_by_fork, true, true, false, 0 },
	{ "daemons", pass_by_daemon, false, false, false, 0 },
	{ "daemons that read", pass_by_daemon, true, false, false, 0 },
	{ "handlers that close", pass_with_handlers, false, false, false, 0 },
	{ "children of _Fork", pass_raw, false, false, false, EACH },
	{ "turns", pass_by_turns, false, false, true, 0 },
	{ "turns of readers", pass_by_turns_as_reader, true, false, true, 0 },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool open_it(struct unishm **seg)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = backend;
	opt.key = KEY;
	if (unishm_open_with(seg, &opt) < 0) {
		fail("open: %s", unishm_errmsg());
		return false;
	}
	return true;
}

static bool become_reader(void)
{
	return geteuid() != 0 || (setgid(READER) == 0 && setuid(READER) == 0);
}

static void get_ready(void)
{
	atomic_fetch_add(&board->ready, 1);
	while (!atomic_load(&board->go))
		wait_a_bit();
}

_Noreturn static void be_chain(const struct kind *kind, unsigned number, bool second)
{
	me.number = number;
	me.second = second;
	me.random = (uint64_t)getpid();
	if ((kind->reader && !become_reader()) || !open_it(&me.seg))
		_exit(1);
	if (!second)
		attach_all(kind->reader ? UNISHM_RDONLY : 0);
	atomic_store(&mine()->pid[second], getpid());
	get_ready();
	while (!atomic_load(&board->stop))
		kind->pass();
	check_logs();
	unishm_close(me.seg);
	atomic_fetch_add(&board->ended, 1);
	_exit(0);
}

_Noreturn static void watch(const struct kind *kind, unsigned number)
{
	struct unishm *seg;
	const unsigned long least = CHAINS * EACH, most = 2 * least + CHAINS * kind->kept;
	if ((number == 0 && !become_reader()) || !open_it(&seg))
		_exit(1);
	get_ready();
	while (!atomic_load(&board->stop)) {
		struct unishm_status st;
		int rc = unishm_status(seg, &st);
		atomic_fetch_add(&board->questions, 1);
		if (atomic_load(&board->stop))
			break; /* and the chains may have ended */
		if (rc < 0)
			fail("status: %s", unishm_errmsg());
		else if (st.number_attached < least || st.number_attached > most)
			fail("number_attached is %lu, and there were %lu to %lu", st.number_attached, least,
					most);
		else if (st.removed != kind->removed || st.inexact & UNISHM_EMULATED_NUMBER_ATTACHED)
			fail("removed: %d, inexact: 0x%x", st.removed, st.inexact);
	}
	unishm_close(seg);
	atomic_fetch_add(&board->ended, 1);
	_exit(0);
}

/* ---- The master ----------------------------------------------------------------------- */

static pid_t watchers[WATCHERS];

static void start(const struct kind *kind)
{
	fflush(stdout);
	for (unsigned i = 0; i < CHAINS * (kind->turns ? 2u : 1u); i++)
		if (fork() == 0)
			be_chain(kind, i % CHAINS, i >= CHAINS);
	for (unsigned i = 0; i < WATCHERS; i++) {
		watchers[i] = fork();
		if (watchers[i] == 0)
			watch(kind, i);
	}
}

static bool await(_Atomic unsigned *number, unsigned want)
{
	long long start = milliseconds();
	while (atomic_load(number) < want && milliseconds() - start < patience() &&
			!atomic_load(&board->failures))
		wait_a_bit();
	return atomic_load(number) >= want;
}

static void end_all(void)
{
	for (int i = 0; i < WATCHERS; i++)
		kill(watchers[i], SIGKILL);
	for (int i = 0; i < CHAINS; i++)
		for (int j = 0; j < 2; j++)
			if (board->chain[i].pid[j] > 0)
				kill(board->chain[i].pid[j], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		continue;
}

static struct unishm *make(void)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg = NULL;
	void *bytes;
	opt.backend = backend;
	opt.key = KEY;
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = SIZE;
	opt.mode = 0644;
	if (unishm_open_with(&seg, &opt) < 0 || unishm_attach(seg, 0, &bytes) < 0) {
		fail("create: %s", unishm_errmsg());
		return NULL;
	}
	memset(bytes, 0x5a, SIZE);
	unishm_detach(seg, bytes);
	return seg;
}

static void check_nothing_left(void)
{
	int objects = isolate_count_objects(), segments = isolate_count_segments();
	if (objects || segments || isolate_posix_memory())
		fail("at the end %d objects, %d segments and %zu bytes are left", objects, segments,
				isolate_posix_memory());
	isolate_sweep();
}

static void check_count_at_end(struct unishm *seg)
{
	struct unishm_status st;
	int rc = unishm_status(seg, &st);
	if (rc == 0 && st.number_attached != 0)
		fail("all have ended, and number_attached is %lu", st.number_attached);
	else if (rc < 0 && rc != -EIDRM)
		fail("status: %s", unishm_errmsg());
}

static void relay(const struct kind *kind, unsigned seconds)
{
	unsigned others = CHAINS * (kind->turns ? 2u : 1u) + WATCHERS;
	memset(board, 0, sizeof *board);
	struct unishm *seg = make();
	if (!seg)
		return;
	start(kind);
	if (!await(&board->ready, others))
		fail("%u of %u are ready", board->ready, others);
	if (kind->removed && unishm_remove(seg) < 0)
		fail("remove: %s", unishm_errmsg());
	atomic_store(&board->go, true);
	for (unsigned i = 0; i < seconds * 100 && !atomic_load(&board->failures); i++)
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	atomic_store(&board->stop, true);
	if (!await(&board->ended, others) && !atomic_load(&board->failures))
		fail("%u of %u have ended", board->ended, others);
	end_all();
	if (!board->failures)
		check_count_at_end(seg);
	unishm_remove(seg);
	unishm_close(seg);
	check_nothing_left();
	printf("relay: %s, %s: %u generations, %lu questions, %u failures\n", backend, kind->name,
			board->chain[0].generation + board->chain[1].generation,
			(unsigned long)board->questions, (unsigned)board->failures);
}

static unsigned relay_all(const char *only_backend, const char *only_kind, unsigned seconds)
{
	unsigned failures = 0;
	for (const char *const *name = unishm_backends(); *name; name++) {
		backend = *name;
		for (int i = 0; i < KINDS && !failures; i++) {
			if ((only_backend && strcmp(only_backend, backend) != 0) ||
					(only_kind && strcmp(only_kind, kinds[i].name) != 0))
				continue;
			relay(&kinds[i], seconds);
			failures += board->failures;
		}
	}
	return failures;
}

int main(int argc, char **argv)
{
	unsigned seconds = 2;
	const char *only_backend = NULL, *only_kind = NULL;
	int option;
	while ((option = getopt(argc, argv, "t:b:k:m:")) != -1) {
		switch (option) {
		case 't': seconds = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'b': only_backend = optarg; break;
		case 'k': only_kind = optarg; break;
		case 'm':
			if (!mutate(optarg))
				return 2;
			break;
		default:
			puts("usage: relay [-t seconds for each] [-b backend] [-k kind]");
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	emulator_correct();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!isolate()) {
		puts("relay: skipped: needs namespaces of its own");
		return 77;
	}
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return 1;
	return relay_all(only_backend, only_kind, seconds) > 0;
}
