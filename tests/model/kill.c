/* SPDX-License-Identifier: MIT */
/*
 * Killed anywhere: a victim does one call of the library under ptrace, is stopped
 * at every system call in it, at entry and at exit, and killed there; and at
 * instructions drawn by lot. After each kill the survivor, this program, must see
 * exact counts, a whole segment or none, no call that blocks, and in the end
 * nothing left.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "emulator.h"
#include "history.h"
#include "isolate.h"
#include "unishm.h"

enum {
	KEY = 0x7e570001,
	SIZE = 5000,
	MODE = 0644,
	OTHER_MODE = 0600,
	UNWRITABLE_MODE = 0444,
	READER = 7001,
	BLOCKED_MS = 1000, /* no later call may take longer */
};

static const char *backend;
static const char *const *all_backends;

/* ---- Failing ------------------------------------------------------------- */

static struct {
	const char *operation;
	const char *unit; /* "call" or "instruction" */
	long at;
} now;

static unsigned failures;
static unsigned long kills;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fail(const char *format, ...)
{
	va_list args;
	failures++;
	printf("kill: %s on %s, killed at %s %ld: ", now.operation, backend, now.unit, now.at);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static long long milliseconds(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Whoever is blocked for long is told where by this. */
static const char *in_call;

static void on_alarm(int signal_number)
{
	(void)signal_number;
	printf("kill: %s on %s, killed at %s %ld: %s is blocked for good\n", now.operation, backend,
			now.unit, now.at, in_call);
	fflush(stdout);
	_exit(1);
}

/* A follow-up call; @got is evaluated once, and must not take long. */
#define FOLLOW(got) follow_end(#got, follow_begin(#got), (got))

static long long follow_begin(const char *what)
{
	in_call = what;
	alarm(10);
	return milliseconds();
}

static int follow_end(const char *what, long long start, int rc)
{
	alarm(0);
	if (milliseconds() - start > BLOCKED_MS)
		fail("%s took %lld ms", what, milliseconds() - start);
	return rc;
}

static void must(const char *what, int rc)
{
	if (rc < 0)
		fail("%s: %s", what, unishm_errmsg());
}

#define MUST(got) must(#got, FOLLOW(got))

/* ---- Segments ------------------------------------------------------------ */

static int fill_bytes(void *addr, size_t size, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < size; i++)
		((unsigned char *)addr)[i] = (unsigned char)(i * 7 + 1);
	return 0;
}

static int open_segment(struct unishm **seg, int oflag, bool init)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = backend;
	opt.key = KEY;
	opt.oflag = oflag;
	opt.size = oflag ? SIZE : 0;
	opt.mode = MODE;
	opt.init = init ? fill_bytes : NULL;
	return unishm_open_with(seg, &opt);
}

/* ---- What the victim does ------------------------------------------------ */

static struct unishm *seg; /* the victim's */
static void *at;

static void open_it(void)
{
	if (open_segment(&seg, 0, false) < 0)
		_exit(90);
}

static void attach_it(void)
{
	open_it();
	if (unishm_attach(seg, 0, &at) < 0)
		_exit(91);
}

static void become_reader(void)
{
	if (geteuid() == 0 && (setegid(READER) < 0 || seteuid(READER) < 0))
		_exit(92);
	open_it();
}

static void attach_as_reader(void)
{
	become_reader();
	if (unishm_attach(seg, UNISHM_RDONLY, &at) < 0)
		_exit(93);
}

static void attach_and_remove(void)
{
	attach_it();
	if (unishm_remove(seg) < 0)
		_exit(94);
}

static void lock_it(void)
{
	open_it();
	if (unishm_lock(seg) < 0)
		_exit(95);
}

static void nothing(void)
{
}

static void do_create(void)
{
	open_segment(&seg, O_CREAT | O_EXCL, false);
}

/* On POSIX no mode that lets its owner write: then it is made before it has a name. */
static void do_create_unwritable(void)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = backend;
	opt.key = KEY;
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = SIZE;
	opt.mode = UNWRITABLE_MODE;
	unishm_open_with(&seg, &opt);
}

static void do_create_with_init(void)
{
	open_segment(&seg, O_CREAT, true);
}

static void do_open(void)
{
	open_segment(&seg, 0, false);
}

static void do_attach(void)
{
	unishm_attach(seg, 0, &at);
}

static void do_attach_reader(void)
{
	unishm_attach(seg, UNISHM_RDONLY, &at);
}

static void do_detach(void)
{
	unishm_detach(seg, at);
}

static void do_remove(void)
{
	unishm_remove(seg);
}

static void do_close(void)
{
	unishm_close(seg);
}

static void do_chmod(void)
{
	unishm_chmod(seg, OTHER_MODE);
}

static void do_lock(void)
{
	unishm_lock(seg);
}

static void do_unlock(void)
{
	unishm_unlock(seg);
}

static void do_status(void)
{
	struct unishm_status st;
	unishm_status(seg, &st);
}

static int ignore(const struct unishm_status *st, void *arg)
{
	(void)st, (void)arg;
	return 0;
}

static void do_list(void)
{
	unishm_list(backend, ignore, NULL);
}

static void do_fork(void)
{
	if (fork() == 0) {
		raise(SIGSTOP);
		for (;;)
			pause();
	}
}

/* What is there when the victim begins: nothing; a segment; one that the survivor
 * is attached to. */
enum start { NOTHING, IDLE, HELD };

enum {
	MAY_BE_MISSING = 1, /* there may be no segment now */
	INIT = 2,           /* if there is one, it holds what the callback wrote */
	FORKS = 4,          /* the child lives on, and counts */
	KILL_CHILD = 8,     /* the child is the victim */
	MODE_CHANGES = 16,
	UNWRITABLE = 32,    /* it is made with that mode */
};

static const struct operation {
	const char *name;
	enum start start;
	void (*prepare)(void);
	void (*act)(void);
	int flags;
} operations[] = {
	{ "create", NOTHING, nothing, do_create, MAY_BE_MISSING },
	{ "create unwritable", NOTHING, nothing, do_create_unwritable,
			MAY_BE_MISSING | UNWRITABLE },
	{ "create with init", NOTHING, nothing, do_create_with_init, MAY_BE_MISSING | INIT },
	{ "open", HELD, nothing, do_open, 0 },
	{ "attach", HELD, open_it, do_attach, 0 },
	{ "attach by a reader", HELD, become_reader, do_attach_reader, 0 },
	{ "second attach", HELD, attach_it, do_attach, 0 },
	{ "detach", HELD, attach_it, do_detach, 0 },
	{ "detach by a reader", HELD, attach_as_reader, do_detach, 0 },
	{ "last detach of a removed one", IDLE, attach_and_remove, do_detach, MAY_BE_MISSING },
	{ "remove", HELD, open_it, do_remove, MAY_BE_MISSING },
	{ "remove of an idle one", IDLE, open_it, do_remove, MAY_BE_MISSING },
	{ "close", HELD, attach_it, do_close, 0 },
	{ "close by a reader", HELD, attach_as_reader, do_close, 0 },
	{ "chmod", HELD, open_it, do_chmod, MODE_CHANGES },
	{ "lock", HELD, open_it, do_lock, 0 },
	{ "unlock", HELD, lock_it, do_unlock, 0 },
	{ "status", HELD, attach_it, do_status, 0 },
	{ "list", HELD, attach_it, do_list, 0 },
	{ "fork, the parent", HELD, attach_it, do_fork, FORKS },
	{ "fork, the child", HELD, attach_it, do_fork, FORKS | KILL_CHILD },
	{ "fork by a reader, the parent", HELD, attach_as_reader, do_fork, FORKS },
	{ "fork by a reader, the child", HELD, attach_as_reader, do_fork, FORKS | KILL_CHILD },
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

_Noreturn static void be_victim(const struct operation *op, int go)
{
	char byte;
	if (read(go, &byte, 1) != 1)
		_exit(96);
	op->prepare();
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	op->act();
	raise(SIGSTOP);
	for (;;)
		pause();
}

/* ---- Tracing ------------------------------------------------------------- */

static struct unishm *held; /* the survivor's handle, if any */

struct trial {
	const struct operation *op;
	pid_t victim, child;    /* of the one that forks; 0: none (yet) */
	pid_t traced;           /* which of them is stepped */
	bool done;              /* the call has returned */
};

/* Wait for @pid to stop; the signal, or -1 when it ended. */
static int await_stop(pid_t pid, int *status)
{
	while (waitpid(pid, status, __WALL) < 0)
		if (errno != EINTR)
			return -1;
	return WIFSTOPPED(*status) ? WSTOPSIG(*status) : -1;
}

#ifdef __GLIBC__
typedef enum __ptrace_request request;
#else
typedef int request;
#endif

static void trace(request how, pid_t pid)
{
	ptrace(how, pid, NULL, NULL);
}

static void set_up_segment(enum start start)
{
	void *where;
	held = NULL;
	if (start == NOTHING)
		return;
	MUST(open_segment(&held, O_CREAT | O_EXCL, false));
	if (start == HELD)
		MUST(unishm_attach(held, 0, &where));
}

/* Start a victim and stop it right before the call. It is made before the survivor
 * holds anything, so as to inherit nothing. */
static bool begin(struct trial *trial)
{
	int go[2], status = 0;
	if (pipe2(go, O_CLOEXEC) < 0)
		return false;
	fflush(stdout);
	trial->victim = fork();
	if (trial->victim == 0)
		be_victim(trial->op, go[0]);
	set_up_segment(trial->op->start);
	bool told = write(go[1], "g", 1) == 1;
	close(go[0]);
	close(go[1]);
	trial->traced = trial->victim;
	if (!told || await_stop(trial->victim, &status) != SIGSTOP) {
		fail("the victim did not start: status 0x%x", (unsigned)status);
		return false;
	}
	ptrace(PTRACE_SETOPTIONS, trial->victim, NULL, (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD |
			PTRACE_O_EXITKILL | (trial->op->flags & FORKS ? PTRACE_O_TRACEFORK : 0)));
	return true;
}

/* The victim forked: the child is stopped before its first instruction. Let it run
 * free, or step it instead of its parent, who goes on to the end. */
static bool meet_child(struct trial *trial)
{
	unsigned long pid;
	int status;
	ptrace(PTRACE_GETEVENTMSG, trial->victim, NULL, &pid);
	trial->child = (pid_t)pid;
	await_stop(trial->child, &status);
	if (!(trial->op->flags & KILL_CHILD)) {
		trace(PTRACE_DETACH, trial->child);
		return true;
	}
	trace(PTRACE_CONT, trial->victim);
	trial->traced = trial->child;
	return await_stop(trial->victim, &status) == SIGSTOP;
}

/* Go on to the next stop. */
static bool step(struct trial *trial, request how)
{
	int status;
	int signal_number;
	do { /* SIGCHLD tells of a child that has stopped at its end */
		trace(how, trial->traced);
		signal_number = await_stop(trial->traced, &status);
	} while (signal_number == SIGCHLD);
	if (signal_number == SIGTRAP && status >> 16 == PTRACE_EVENT_FORK)
		return meet_child(trial);
	if (signal_number == SIGSTOP)
		trial->done = true;
	else if (signal_number != (SIGTRAP | 0x80) && signal_number != SIGTRAP)
		fail("the victim stopped with signal %d", signal_number);
	return signal_number >= 0 && !trial->done;
}

/* As far as fork(), for those whose child is to be stepped. */
static bool skip_to_child(struct trial *trial)
{
	while (trial->op->flags & KILL_CHILD && !trial->child)
		if (!step(trial, PTRACE_SYSCALL))
			return false;
	return true;
}

static void end_process(pid_t pid)
{
	int status;
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	do
		status = 0;
	while (waitpid(pid, &status, __WALL) == pid && !WIFSIGNALED(status) && !WIFEXITED(status));
}

/* ---- What the survivor must see ------------------------------------------ */

static void check_count(struct unishm *by, unsigned long want, const char *when)
{
	struct unishm_status st;
	int rc = FOLLOW(unishm_status(by, &st));
	if (rc == -EIDRM && want == 0)
		return;
	if (rc < 0)
		fail("status %s: %s", when, unishm_errmsg());
	else if (st.number_attached != want)
		fail("number_attached %s: %lu, should be %lu", when, st.number_attached, want);
}

static void check_bytes(const unsigned char *bytes, bool init)
{
	for (size_t i = 0; i < SIZE; i++) {
		if (bytes[i] == (init ? (unsigned char)(i * 7 + 1) : 0))
			continue;
		fail("byte %zu is 0x%02x: half made", i, bytes[i]);
		return;
	}
}

/* A segment that can be opened is whole, and everything can be done with it. */
static void check_whole(struct unishm *opened, const struct operation *op, unsigned long others)
{
	struct unishm_status st;
	void *addr = NULL;
	MUST(unishm_status(opened, &st));
	mode_t mode = op->flags & UNWRITABLE ? UNWRITABLE_MODE : MODE;
	if (st.size != SIZE ||
			(st.mode != mode && !(op->flags & MODE_CHANGES && st.mode == OTHER_MODE)))
		fail("size %zu, mode 0%o", st.size, (unsigned)st.mode);
	check_count(opened, others, "before the attach");
	MUST(unishm_attach(opened, 0, &addr));
	if (addr)
		check_bytes(addr, op->flags & INIT);
	check_count(opened, others + 1, "attached");
	MUST(unishm_chmod(opened, 0666));
	MUST(unishm_lock(opened));
	MUST(unishm_unlock(opened));
	MUST(unishm_detach(opened, addr));
	check_count(opened, others, "detached");
}

static void check_removable(struct unishm *opened)
{
	struct unishm *other = NULL;
	MUST(unishm_remove(opened));
	int rc = FOLLOW(open_segment(&other, 0, false));
	if (rc != -ENOENT)
		fail("open after remove: %d", rc);
	MUST(open_segment(&other, O_CREAT | O_EXCL, true));
	if (other)
		MUST(unishm_remove(other));
	unishm_close(other);
}

static void check_nothing_left(void)
{
	if (isolate_count_objects())
		fail("%d objects are left", isolate_count_objects());
	if (isolate_count_segments())
		fail("%d System V segments are left", isolate_count_segments());
	if (isolate_posix_memory())
		fail("%zu bytes are left", isolate_posix_memory());
}

/* What is gone gives back its bytes although we have an idle handle of it; a page
 * of the record may stay. */
static void check_freed(void)
{
	struct unishm_status st;
	size_t used = isolate_posix_memory() + isolate_sysv_memory();
	if (unishm_status(held, &st) == -EIDRM && used > SIZE)
		fail("%zu bytes are in use by what is gone", used);
}

static void check(struct trial *trial)
{
	const struct operation *op = trial->op;
	struct unishm *opened = NULL;
	unsigned long others = op->start == HELD;
	/* The child of the fork that was not killed, or its parent, lives. */
	unsigned long living = op->flags & KILL_CHILD ? 1 : trial->child != 0;
	if (held)
		check_count(held, others + living, "after the kill");
	end_process(trial->child);
	end_process(trial->victim);
	if (held) {
		check_count(held, others, "after all ended");
		check_freed();
	}
	int rc = FOLLOW(open_segment(&opened, 0, false));
	if (rc < 0 && !(rc == -ENOENT && op->flags & MAY_BE_MISSING))
		fail("open: %s", unishm_errmsg());
	if (rc == 0)
		check_whole(opened, op, others);
	else /* whoever creates next is not in anyone's way */
		MUST(open_segment(&opened, O_CREAT, op->flags & INIT));
	if (opened)
		check_removable(opened);
	unishm_close(opened);
	unishm_close(held);
	check_nothing_left();
	isolate_sweep();
}

/* ---- Trials -------------------------------------------------------------- */

/* Kill after @steps stops. Returns whether there are more stops to come. */
static bool kill_after(const struct operation *op, request how, long steps)
{
	struct trial trial = { .op = op };
	now.operation = op->name;
	now.unit = how == PTRACE_SYSCALL ? "boundary" : "instruction";
	now.at = steps;
	if (!begin(&trial))
		return false;
	bool more = skip_to_child(&trial);
	for (long i = 0; i < steps && more; i++)
		more = step(&trial, how);
	if (op->flags & KILL_CHILD) {
		if (held && trial.child)
			check_count(held, 3, "with a child in the midst of fork");
		end_process(trial.child);
		trial.child = 0;
	} else {
		end_process(trial.victim);
		trial.victim = 0;
	}
	kills++;
	check(&trial);
	return more;
}

/* How many instructions is it long? */
static long measure(const struct operation *op)
{
	struct trial trial = { .op = op };
	long count = 0;
	now.operation = op->name;
	now.unit = "measuring";
	if (!begin(&trial))
		return 1;
	if (skip_to_child(&trial))
		while (step(&trial, PTRACE_SINGLESTEP))
			count++;
	end_process(trial.child);
	end_process(trial.victim);
	struct unishm *opened;
	if (open_segment(&opened, 0, false) == 0) {
		unishm_remove(opened);
		unishm_close(opened);
	}
	unishm_close(held);
	isolate_sweep();
	return count > 0 ? count : 1;
}

static void kill_at_boundaries(const char *only)
{
	for (int b = 0; all_backends[b]; b++) {
		backend = all_backends[b];
		for (int i = 0; i < OPERATIONS; i++) {
			long at_boundary = 0;
			if (only && strcmp(only, operations[i].name) != 0)
				continue;
			while (kill_after(&operations[i], PTRACE_SYSCALL, at_boundary) &&
					failures < 20)
				at_boundary++;
		}
	}
}

static void show_progress(time_t start, long done, long all)
{
	static time_t shown;
	time_t when = time(NULL);
	if (when == shown && done < all)
		return;
	shown = when;
	double rate = (double)done / (double)(when > start ? when - start : 1);
	fprintf(stderr, "\r%ld of %ld instructions, %.0f a second, %.0f s left  %s", done, all,
			rate, rate > 0 ? (double)(all - done) / rate : 0, done == all ? "\n" : "");
}

static void kill_at_instructions(uint64_t seed, long count, bool progress)
{
	static long length[8][OPERATIONS];
	unsigned backends = 0;
	time_t start = time(NULL);
	while (all_backends[backends])
		backends++;
	for (long done = 0; done < count && failures < 20; done++) {
		unsigned b = below(&seed, backends) % 8;
		unsigned op = below(&seed, OPERATIONS);
		uint64_t lot = draw(&seed);
		backend = all_backends[b];
		if (!length[b][op])
			length[b][op] = measure(&operations[op]);
		kill_after(&operations[op], PTRACE_SINGLESTEP,
				(long)(lot % (uint64_t)length[b][op]));
		if (progress)
			show_progress(start, done + 1, count);
	}
}

static void settle_in(void)
{
	struct rlimit plenty = { RLIM_INFINITY, RLIM_INFINITY };
	setvbuf(stdout, NULL, _IOLBF, 0);
	setrlimit(RLIMIT_MEMLOCK, &plenty);
	umask(077); /* which must change nothing */
	signal(SIGALRM, on_alarm);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!isolate()) {
		puts("kill: skipped: needs namespaces of its own");
		exit(77);
	}
	all_backends = unishm_backends();
	/* So that nothing is done for the first time in a victim. */
	for (int b = 0; all_backends[b]; b++) {
		backend = all_backends[b];
		set_up_segment(HELD);
		unishm_remove(held);
		unishm_close(held);
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = 1;
	long instructions = 100;
	bool boundaries = true, progress = false;
	const char *only = NULL;
	int option;
	while ((option = getopt(argc, argv, "s:i:o:np")) != -1) {
		switch (option) {
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'i': instructions = strtol(optarg, NULL, 0); break;
		case 'o': only = optarg; break;
		case 'n': boundaries = false; break;
		case 'p': progress = true; break;
		default:
			puts("usage: kill [-s seed] [-i instructions] [-n: no boundaries] "
					"[-o operation] [-p]");
			return 2;
		}
	}
	if (emulator()) {
		printf("kill: skipped: %s has no ptrace\n", emulator());
		return 77;
	}
	settle_in();
	time_t start = time(NULL);
	if (boundaries)
		kill_at_boundaries(only);
	unsigned long at_boundaries = kills;
	kill_at_instructions(seed, instructions, progress);
	printf("kill: %lu kills at boundaries, %lu at instructions (seed %llu), "
			"%u failures, %lld s\n",
			at_boundaries, kills - at_boundaries, (unsigned long long)seed, failures,
			(long long)(time(NULL) - start));
	return failures > 0;
}
