/* SPDX-License-Identifier: MIT */
/*
 * Relays: attachments are handed over from process to process without a moment in which none
 * is attached, and others ask all the time. What they are told must lie between the fewest and
 * the most that there can have been; the bytes must stay, and programs' descriptors, too.
 *
 * A chain is one process that becomes another, in one of several ways. It waits until the one
 * before it is gone, so that the most is a true bound.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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
#include "isolate.h"
#include "mutants.h"
#include "relay.h"

static const char *backend;

struct board *board;

void fail(const char *format, ...)
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

void wait_a_bit(void)
{
	const struct timespec moment = { 0, 20000 };
	nanosleep(&moment, NULL);
}

long long milliseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int patience(void)
{
	return emulator() ? 6 * PATIENCE_MS : PATIENCE_MS;
}

/* ---- Kinds ------------------------------------------------------------------------- */

static const struct kind {
	const char *name;
	void (*pass)(void);
	bool reader, removed, turns;
	bool mixed; /* the second of each two is a reader */
	unsigned kept; /* attachments of the first in a chain that count as long as it goes on */
} kinds[] = {
	{ "fork", pass_by_fork, false, false, false, false, 0 },
	{ "fork of a removed one", pass_by_fork, false, true, false, false, 0 },
	{ "fork by readers", pass_by_fork, true, false, false, false, 0 },
	{ "fork by readers of a removed one", pass_by_fork, true, true, false, false, 0 },
	{ "daemons", pass_by_daemon, false, false, false, false, 0 },
	{ "daemons that read", pass_by_daemon, true, false, false, false, 0 },
	{ "handlers that close", pass_with_handlers, false, false, false, false, 0 },
	{ "children of _Fork", pass_raw, false, false, false, false, EACH },
	{ "turns", pass_by_turns, false, false, true, false, 0 },
	{ "turns of a writer and a reader", pass_by_mixed_turns, false, false, true, true, 0 },
	{ "turns of readers", pass_by_turns_as_reader, true, false, true, false, 0 },
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
	bool reader = kind->reader || (kind->mixed && second);
	if ((reader && !become_reader()) || !open_it(&me.seg))
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
	/* The kernel's shmat() counts once more until it is done. */
	unsigned long on_the_way = kind->turns && strcmp(backend, "sysv") == 0 ? CHAINS : 0;
	const unsigned long least = CHAINS * EACH;
	const unsigned long most = 2 * least + CHAINS * kind->kept + on_the_way;
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
			fail("number_attached is %lu, and there were %lu to %lu",
					st.number_attached, least, most);
		else if (st.removed != kind->removed ||
				st.inexact & UNISHM_EMULATED_NUMBER_ATTACHED)
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
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	if (board == MAP_FAILED)
		return 1;
	return relay_all(only_backend, only_kind, seconds) > 0;
}
