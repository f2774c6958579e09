/* SPDX-License-Identifier: MIT */
/*
 * The model test: random histories, played by real processes on both backends at
 * once, with the kernel's System V shared memory as the judge of POSIX.
 *
 *   model --seed N --steps N      histories from seeds N, N + 1, ...
 *   model --replay FILE           one that was printed
 *   model --shrink ...            make what differs as short as can be
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compare.h"
#include "emulator.h"
#include "isolate.h"
#include "mutants.h"
#include "strangers.h"
#include "sys.h"

enum {
	PAUSE_EVERY = 64, /* histories */
	DRIVER_ENDS_AT = 200,
	PATIENCE_MS = 10000, /* whoever does not answer until then is blocked */
};

static struct world world;
static struct reply reply;
static struct difference difference;
static unsigned users;
static int descriptors; /* that are open in an actor which has nothing open */
static unsigned long steps_played, steps_passed_over;

static struct {
	uint64_t seed;
	unsigned long steps, histories;
	size_t length;
	const char *replay;
	const char *known[16]; /* differences to be silent about */
	bool shrink, progress, keep_going, quiet, trace, pause;
} options = { .seed = 1, .steps = 20000, .length = 120 };

/* ---- Actors -------------------------------------------------------------- */

static void make_seats(void)
{
	for (int i = 0; i < ACTORS; i++) {
		int ends[2];
		int room = 1 << 20;
		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
			abort();
		setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
		setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
		dup2(ends[1], SEATS_AT + i);
		dup3(ends[0], DRIVER_ENDS_AT + i, O_CLOEXEC);
		close(ends[0]);
		close(ends[1]);
	}
}

static int patience(void)
{
	return emulator() ? 6 * PATIENCE_MS : PATIENCE_MS;
}

static int open_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Wait until a process is no more: then the kernel has released what it held. */
static bool await_end(int pidfd)
{
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };
	bool ended = poll(&wait, 1, patience()) == 1;
	close(pidfd);
	return ended;
}

static double seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* When this history began, but for its pauses. */
static double began;

/* What is to be seen at once is seen within a second, unless the machine has so much
 * else to do that the whole history takes longer. */
static void allow_for_slowness(void)
{
	compare_within(1 + (long long)(seconds_now() - began));
}

static bool hear(unsigned actor)
{
	struct known_actor *who = &world.actor[actor];
	struct pollfd wait[2] = {
		{ .fd = DRIVER_ENDS_AT + (int)actor, .events = POLLIN },
		{ .fd = who->alive ? who->pidfd : -1, .events = POLLIN },
	};
	int ready = poll(wait, 2, patience());
	if (ready > 0 && wait[0].revents & POLLIN &&
			recv(wait[0].fd, &reply, sizeof reply, 0) > 0) {
		allow_for_slowness();
		return true;
	}
	differ(&difference, "actor %u, process %ld, %s", actor, (long)who->pid,
			ready == 0 ? "is blocked" : "died");
	return false;
}

static bool tell(unsigned actor, const struct step *step)
{
	struct command command = { .step = *step, .base_key = world.base_key };
	command.step.thread = step->thread && !emulator(); /* see expected.c */
	memcpy(command.id, ((int[]){ -1, -1 }), sizeof command.id);
	if (step->op == OP_OPEN_ID && step->arg[1] >= 0 && world.segments > 0)
		memcpy(command.id, world.segment[step->arg[1] % world.segments].id,
				sizeof command.id);
	else if (step->op == OP_OPEN_ID && step->arg[1] == -2)
		memcpy(command.id, ((int[]){ 0x7fffffff, 0x7fffffff }), sizeof command.id);
	return send(DRIVER_ENDS_AT + (int)actor, &command, sizeof command, MSG_NOSIGNAL) > 0;
}

/* The new actor says hello; from then on it is known. */
static bool welcome(unsigned actor, unsigned user)
{
	world.actor[actor].alive = false;
	if (!hear(actor))
		return false;
	world_begin(&world, actor, reply.pid, open_pidfd(reply.pid), user);
	return true;
}

static bool spawn_actor(unsigned actor)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < ACTORS; i++) {
			close(DRIVER_ENDS_AT + i);
			if (world.actor[i].alive)
				close(world.actor[i].pidfd);
		}
		strangers_end();
		isolate_choose_clock(actor % 2);
		actor_run(actor);
	}
	if (pid < 0)
		differ(&difference, "fork: %s", strerror(errno));
	if (pid < 0 || !welcome(actor, 0))
		return false;
	descriptors = reply.descriptors;
	return true;
}

/* Descriptors of a process that has nothing open. */
static void compare_descriptors(unsigned actor, const char *when)
{
	if (reply.descriptors != descriptors)
		differ(&difference, "actor %u: %d descriptors are open where %s; %d are usual",
				actor, reply.descriptors, when, descriptors);
}

/* ---- Steps --------------------------------------------------------------- */

static bool kill_actor(unsigned actor)
{
	kill(world.actor[actor].pid, SIGKILL);
	return await_end(world.actor[actor].pidfd);
}

static void play_end(const struct step *step)
{
	unsigned actor = step->actor;
	if (step->op == OP_KILL ? !kill_actor(actor)
				: !tell(actor, step) || !await_end(world.actor[actor].pidfd))
		differ(&difference, "actor %u does not end", actor);
	world_update(&world, step, NULL);
}

static void play_exec(const struct step *step)
{
	struct known_actor *actor = &world.actor[step->actor];
	if (tell(step->actor, step) && hear(step->actor))
		world_update(&world, step, NULL);
	if (!difference.found && reply.pid != actor->pid)
		differ(&difference, "the process changed its number");
	compare_descriptors(step->actor, "a program was just executed");
}

static void play_fork(const struct step *step)
{
	unsigned child = (unsigned)step->arg[0] % ACTORS;
	if (!tell(step->actor, step) || !hear(step->actor))
		return;
	compare_result(&world, step, &reply, &difference);
	if (!difference.found && step->arg[1] & CLOSE_BEFORE_FORK)
		world_reopened(&world, step->actor);
	if (!difference.found && welcome(child, world.actor[step->actor].user))
		world_inherit(&world, child, step->actor);
	if (!difference.found && step->arg[1]) {
		world_reopened(&world, step->actor);
		world_reopened(&world, child);
	}
}

static void play_call(const struct step *step)
{
	if (!tell(step->actor, step) || !hear(step->actor))
		return;
	if (reply.rc[SYSV] == NOT_PLAYED && reply.rc[POSIX] == NOT_PLAYED) {
		steps_passed_over++;
		return;
	}
	compare_result(&world, step, &reply, &difference);
	if (difference.found)
		return;
	if (step->op == OP_LIST)
		compare_list(&world, step->actor, &reply, &difference);
	world_update(&world, step, &reply);
	for (int i = 0; i < HANDLES; i++)
		if (reply.handle[i].open)
			compare_handle(&world, step->actor, i, &reply, &difference);
}

static bool is_emulated_wrongly(const struct step *step)
{
	return emulator() && expected_of_emulator(&world, step);
}

/* Is there anything for this step to be played on? */
static bool can_play(const struct step *step)
{
	if (step->op == OP_PAUSE || step->op == OP_HIDE || step->op == OP_SCRIBBLE)
		return true;
	if (is_emulated_wrongly(step))
		return false;
	if (step->op == OP_SPAWN)
		return !world.actor[step->actor].alive;
	if (!world.actor[step->actor].alive)
		return false;
	if (step->op == OP_FORK && world.actor[(unsigned)step->arg[0] % ACTORS].alive)
		return false;
	if (step->op == OP_BECOME && (unsigned)step->arg[0] >= users)
		return false;
	if (step->op == OP_MOVE && (users < USERS || !world.isolated))
		return false;
	return world.segments < SEGMENTS - 1 && !expected_step(&world, step);
}

/* Times differ if they are more than a second apart. */
static void pause_a_while(void)
{
	struct timespec left = { 2, 200000000 };
	double start = seconds_now();
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		continue;
	began += seconds_now() - start;
	world_pause(&world);
}

static void play_stranger(const struct step *step)
{
	if (!strangers_play(&world, step))
		steps_passed_over++;
}

static void play_step(const struct step *step)
{
	steps_played++;
	if (step->op == OP_REMOVE)
		strangers_map(&world, world_segment_of(&world, step->actor, step->arg[0]));
	switch (step->op) {
	case OP_SPAWN: spawn_actor(step->actor); break;
	case OP_EXIT: case OP_KILL: play_end(step); break;
	case OP_EXEC: play_exec(step); break;
	case OP_FORK: play_fork(step); break;
	case OP_PAUSE: pause_a_while(); break;
	case OP_HIDE: case OP_SCRIBBLE: play_stranger(step); break;
	default: play_call(step);
	}
	strangers_compare(step->op == OP_WRITE, &difference);
}

/* ---- Looking ------------------------------------------------------------- */

/* Is there a handle of a removed segment whose process may write it? */
static bool may_free(int segment)
{
	for (unsigned a = 0; a < ACTORS * HANDLES; a++) {
		const struct known_actor *actor = &world.actor[a / HANDLES];
		const struct known_handle *handle = &actor->handle[a % HANDLES];
		if (actor->alive && handle->segment == segment && !handle->reader &&
				!expected_rights(&world, a / HANDLES, segment))
			return true;
	}
	return false;
}

/* All have looked by now, so what no process can reach any more has given back its
 * memory: POSIX may use no more than System V, but for records, of which there is
 * one for each segment that has a handle or a name. */
static void compare_memory(void)
{
	enum { RECORD_PAGES = 17 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t records = 0;
	for (int i = 0; i < world.segments; i++) {
		bool idle = false;
		for (unsigned a = 0; a < ACTORS * HANDLES; a++) {
			const struct known_actor *actor = &world.actor[a / HANDLES];
			bool has = actor->alive && actor->handle[a % HANDLES].segment == i;
			if (has && world.segment[i].removed && (!may_free(i) ||
					world.segment[i].forked_without_rights))
				return;
			idle |= has;
		}
		records += idle || !world.segment[i].removed;
	}
	size_t most = isolate_sysv_memory() + records * RECORD_PAGES * page + strangers_memory();
	if (isolate_posix_memory() > most)
		differ(&difference, "memory: posix uses %zu bytes, where %zu (sysv's %zu) would do",
				isolate_posix_memory(), most, isolate_sysv_memory());
}

static void look_at_all(unsigned lister)
{
	struct step look = { .op = OP_LOOK }, list = { .op = OP_LIST };
	for (unsigned i = 0; i < ACTORS && !difference.found; i++)
		if (world.actor[i].alive && tell(i, &look) && hear(i))
			compare_all(&world, i, &reply, &difference);
	if (!difference.found && world.actor[lister].alive && !world.actor[lister].away &&
			tell(lister, &list) && hear(lister)) {
		compare_result(&world, &list, &reply, &difference);
		compare_list(&world, lister, &reply, &difference);
	}
	if (!difference.found && world.isolated)
		compare_memory();
}

/* ---- The end of a history ------------------------------------------------ */

/* All handles closed: nothing may be left in any process. */
static void close_all(void)
{
	struct step end = { .op = OP_END };
	for (unsigned i = 0; i < ACTORS && !difference.found; i++) {
		if (!world.actor[i].alive || !tell(i, &end) || !hear(i))
			continue;
		compare_result(&world, &end, &reply, &difference);
		if (reply.mappings)
			differ(&difference, "actor %u: all closed, and %d mappings are left", i,
					reply.mappings);
		if (reply.stolen)
			differ(&difference, "actor %u: %d descriptors of its own were closed", i,
					reply.stolen);
		compare_descriptors(i, "all is closed");
	}
}

static bool stat_segment(int id, struct shmid_ds *ds)
{
	return unishm_sys.shmctl(id, IPC_STAT, ds) == 0 ||
			unishm_sys.shmctl(id, SHM_STAT_ANY, ds) == id;
}

/* All have ended: do the same segments exist on both? And no more memory be
 * used than they need? */
static void compare_what_is_left(void)
{
	int names = 0;
	for (int i = 0; i < world.segments; i++) {
		struct shmid_ds ds;
		const struct known_segment *s = &world.segment[i];
		bool sysv = stat_segment(s->id[SYSV], &ds);
		bool posix = isolate_has_object(s->id[POSIX]);
		names += posix;
		if (sysv != posix)
			differ(&difference, "at the end, segment %d is %son sysv, and %son posix",
					i, sysv ? "" : "not ", posix ? "" : "not ");
		if (sysv && ds.shm_nattch)
			differ(&difference, "at the end, segment %d is attached", i);
	}
	if (world.isolated && isolate_count_objects() != names)
		differ(&difference, "at the end, /dev/shm holds %d objects, of which %d are known",
				isolate_count_objects(), names);
}

static void sweep(void)
{
	for (int i = 0; i < world.segments; i++) {
		unishm_sys.shmctl(world.segment[i].id[SYSV], IPC_RMID, NULL);
		isolate_drop_object(world.segment[i].id[POSIX]);
	}
	if (world.isolated)
		isolate_sweep();
}

static void end_actors(void)
{
	for (unsigned i = 0; i < ACTORS; i++)
		if (world.actor[i].alive && !kill_actor(i))
			differ(&difference, "actor %u cannot be killed", i);
	for (int i = 0; i < ACTORS; i++) {
		close(SEATS_AT + i); /* whoever is left sees this, and ends */
		close(DRIVER_ENDS_AT + i);
	}
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		continue;
}

static void end_history(void)
{
	strangers_end();
	if (!difference.found)
		close_all();
	end_actors();
	if (!difference.found)
		compare_what_is_left();
	sweep();
	if (!difference.found && world.isolated &&
			isolate_sysv_memory() + isolate_posix_memory() > 0)
		differ(&difference, "at the end, all removed, %zu bytes are in use",
				isolate_sysv_memory() + isolate_posix_memory());
}

/* ---- Histories ----------------------------------------------------------- */

/* Returns the number of the step that differs; history->count: none, or the end. */
static size_t play(const struct history *history)
{
	size_t at = 0;
	difference.found = false;
	began = seconds_now();
	world_clear(&world);
	make_seats();
	spawn_actor(0);
	if (!difference.found)
		spawn_actor(1);
	for (; at < history->count && !difference.found; at++) {
		const struct step *step = &history->steps[at];
		if (options.trace)
			step_print(stdout, step);
		if (!can_play(step)) {
			steps_passed_over++;
			continue;
		}
		play_step(step);
		if (step->look == LOOK_ALL && !difference.found)
			look_at_all(step->actor);
		if (difference.found)
			break;
	}
	if (!difference.found)
		look_at_all(0);
	end_history();
	return at;
}

/* Is it one that we were told not to tell? The rest of that history is lost. */
static bool is_known(void)
{
	for (int i = 0; options.known[i]; i++)
		if (strstr(difference.text, options.known[i]))
			return true;
	return false;
}

static bool fails(const struct history *history)
{
	play(history);
	return difference.found && !is_known();
}

static void report(struct history *history)
{
	const struct difference first = difference;
	size_t at = play(history);
	if (options.shrink && difference.found) {
		history_shrink(history, fails);
		at = play(history);
	}
	if (!difference.found) {
		printf("# seed %llu differs, but not always: %s\n",
				(unsigned long long)history->seed, first.text);
		return;
	}
	history_print(stdout, history);
	printf("# difference after step %zu: %s\n", at + 1, difference.text);
}

static void show_progress(time_t start, bool last)
{
	static time_t shown;
	time_t now = time(NULL);
	if (!options.progress || (now == shown && !last))
		return;
	shown = now;
	double rate = (double)steps_played / (double)(now > start ? now - start : 1);
	double left = rate > 0 ? (double)(options.steps - steps_played) / rate : 0;
	fprintf(stderr, "\r%lu of %lu steps, %.0f a second, %.0f s left  %s", steps_played,
			options.steps, rate, left > 0 && !last ? left : 0, last ? "\n" : "");
}

static unsigned run_seeds(void)
{
	time_t start = time(NULL);
	unsigned differences = 0;
	uint64_t seed = options.seed, last = seed;
	for (unsigned long done = 0; options.histories ? done < options.histories
			: steps_played < options.steps; done++, seed++) {
		struct history history;
		last = seed;
		history_generate(&history, seed, options.length, users,
				options.pause || seed % PAUSE_EVERY == 0);
		if (fails(&history)) {
			differences++;
			unsigned long played = steps_played, passed_over = steps_passed_over;
			if (!options.quiet)
				report(&history);
			steps_played = played;
			steps_passed_over = passed_over;
		}
		history_free(&history);
		show_progress(start, false);
		if (differences && !options.keep_going)
			break;
	}
	show_progress(start, true);
	printf("model: seeds %llu to %llu, %lu steps played, %lu passed over, "
			"%u differences, %lld s\n",
			(unsigned long long)options.seed, (unsigned long long)last, steps_played,
			steps_passed_over, differences, (long long)(time(NULL) - start));
	return differences;
}

static unsigned run_file(void)
{
	struct history history;
	FILE *in = strcmp(options.replay, "-") == 0 ? stdin : fopen(options.replay, "re");
	if (!in || !history_read(&history, in)) {
		fprintf(stderr, "model: cannot read %s\n", options.replay);
		return 1;
	}
	fclose(in);
	unsigned differs = fails(&history);
	if (differs)
		report(&history);
	else
		printf("model: %s: no difference\n", options.replay);
	return differs;
}

/* ---- Starting ------------------------------------------------------------ */

static void usage(void)
{
	puts("usage: model [--seed N] [--steps N | --histories N] [--length N]\n"
			"             [--replay FILE] [--shrink] [--keep-going] [--progress]\n"
			"             [--quiet] [--trace] [--pause] [--known TEXT]...\n"
			"             [--mutant NAME] [--list-mutants]\n"
			"Plays random histories on both backends and stops where they differ.");
	exit(2);
}

static void parse(int argc, char **argv)
{
	enum { SEED = 1, STEPS, HISTORIES, LENGTH, REPLAY, SHRINK, KEEP, PROGRESS, QUIET, TRACE,
		MUTANT, MUTANTS, KNOWN, PAUSE };
	int known_count = 0;
	static const struct option known[] = {
		{ "seed", 1, NULL, SEED }, { "steps", 1, NULL, STEPS },
		{ "histories", 1, NULL, HISTORIES }, { "length", 1, NULL, LENGTH },
		{ "replay", 1, NULL, REPLAY }, { "shrink", 0, NULL, SHRINK },
		{ "keep-going", 0, NULL, KEEP }, { "progress", 0, NULL, PROGRESS },
		{ "quiet", 0, NULL, QUIET }, { "trace", 0, NULL, TRACE },
		{ "mutant", 1, NULL, MUTANT }, { "list-mutants", 0, NULL, MUTANTS },
		{ "known", 1, NULL, KNOWN }, { "pause", 0, NULL, PAUSE }, { 0 },
	};
	int what;
	while ((what = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (what) {
		case SEED: options.seed = strtoull(optarg, NULL, 0); break;
		case STEPS: options.steps = strtoul(optarg, NULL, 0); break;
		case HISTORIES: options.histories = strtoul(optarg, NULL, 0); break;
		case LENGTH: options.length = strtoul(optarg, NULL, 0); break;
		case REPLAY: options.replay = optarg; break;
		case SHRINK: options.shrink = true; break;
		case KEEP: options.keep_going = true; break;
		case PROGRESS: options.progress = true; break;
		case QUIET: options.quiet = true; break;
		case PAUSE: options.pause = true; break;
		case TRACE: options.trace = true; break;
		case KNOWN:
			if (known_count < 15)
				options.known[known_count++] = optarg;
			break;
		case MUTANT: if (!mutate(optarg)) usage(); break;
		case MUTANTS: mutants_list(); exit(0);
		default: usage();
		}
	}
}

static void settle_in(void)
{
	if (emulator())
		expected_tell_of_emulator(stdout, emulator());
	struct rlimit plenty = { RLIM_INFINITY, RLIM_INFINITY };
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int fd = 3; fd < 1024; fd++)
		close(fd); /* what a shell left open would be counted */
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setrlimit(RLIMIT_MEMLOCK, &plenty);
	users = geteuid() == 0 ? USERS : 1;
	world.isolated = isolate();
	if (world.isolated)
		isolate_shift_clocks();
	/* Elsewhere, other programs' segments are to be kept clear of. */
	world.base_key = world.isolated ? 0x7e570000
					: (int32_t)(0x7e000000 | (getpid() & 0xffff) << 8);
}

int main(int argc, char **argv)
{
	emulator_correct();
	if (actor_is_reborn(argc, argv))
		return 0;
	parse(argc, argv);
	settle_in();
	return (options.replay ? run_file() : run_seeds()) > 0;
}
