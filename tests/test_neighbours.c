/* SPDX-License-Identifier: MIT */
/* Other processes that use the same segment, or the same directory: some know nothing of this
 * library, some may only read, some wish harm. No process loses bytes or a right number by them,
 * is stopped by them, or gets a signal. */
#include "apart.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../backends/posix/range_lock.h"
#include "sys.h"

/* ---- Memory is never cleared --------------------------------------------------- */

static char object[300];

static void find_object(void)
{
	const char *path = record_path();
	expect(path, "no object, or many");
	snprintf(object, sizeof object, "%s", path);
}

/* A program that knows nothing of this library. */
static long map_plainly(long unused)
{
	(void)unused;
	int fd = open(board->said, O_RDWR | O_CLOEXEC);
	at = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return at == MAP_FAILED ? -errno : 0;
}

static long all_are_there(long unused)
{
	(void)unused;
	return are_all(at, SMALL, 'b');
}

START_TEST(who_maps_an_object_plainly_keeps_its_bytes)
{
	begin(_i);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	struct agent plain = agent_start();
	struct unishm *seg = make(0, SMALL, 0600), *other = take(0);
	memset(attach(seg, 0), 'b', SMALL);
	find_object();
	snprintf(board->said, sizeof board->said, "%s", object);
	expect_ok(ask(&plain, map_plainly, 0));
	expect_ok(unishm_remove(seg));
	expect_rc(ask(&plain, all_are_there, 0), 1);
	expect_ok(unishm_detach(seg, NULL));
	unishm_close(seg);
	struct unishm_status st;
	expect_rc(unishm_status(other, &st), -EIDRM);
	expect_rc(unishm_remove(other), -EIDRM);
	unishm_close(other);
	expect_rc(ask(&plain, all_are_there, 0), 1);
	agent_end(&plain);
}
END_TEST

/* Children whom no fork handler counts share the parent's memory. */
static long keep_in_raw_child(long unused)
{
	(void)unused;
	mine = make(0, SMALL, 0600);
	at = attach(mine, 0);
	memset(at, 'b', SMALL);
	long child = raw_fork();
	if (child == 0) {
		while (!board->flag)
			sched_yield();
		_exit(are_all(at, SMALL, 'b') ? 0 : 1);
	}
	expect_ok(unishm_remove(mine));
	expect_ok(unishm_detach(mine, NULL));
	unishm_close(mine);
	board->flag = 1;
	int status;
	expect(waitpid((pid_t)child, &status, 0) == child, "errno %d", errno);
	return status;
}

START_TEST(an_uncounted_child_keeps_its_bytes)
{
	begin(_i);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, keep_in_raw_child, 0));
	agent_end(&agent);
}
END_TEST

/* Each generation forks twice and leaves. */
static void be_daemons(struct unishm *seg, const char *bytes, long generations)
{
	for (long i = 0; i < generations; i++) {
		if (!are_all(bytes, SMALL, 'b'))
			board->words[0]++;
		pid_t child = fork();
		if (child == 0)
			child = fork();
		if (child == 0)
			continue;
		unishm_detach(seg, bytes);
		unishm_close(seg);
		_exit(0);
	}
	board->flag = 1;
	_exit(0);
}

static long hand_over(long generations)
{
	struct unishm *seg = make(0, SMALL, 0600), *idle = take(0);
	struct unishm_status st;
	char *bytes = attach(seg, 0);
	memset(bytes, 'b', SMALL);
	expect_ok(unishm_remove(seg));
	board->flag = 0;
	pid_t child = fork();
	if (child == 0)
		be_daemons(seg, bytes, generations);
	unishm_close(seg);
	while (!board->flag) {
		int rc = unishm_status(idle, &st); /* it was attached all the time */
		expect(board->flag || (rc == 0 && st.number_attached > 0), "%d, %lu attached", rc,
				st.number_attached);
	}
	unishm_close(idle);
	waitpid(child, NULL, 0);
	return board->words[0];
}

START_TEST(a_removed_segment_handed_from_daemon_to_daemon_is_never_cleared_or_left)
{
	begin(_i);
	struct agent agent = agent_start();
	for (int i = 0; i < rounds(20); i++)
		expect_ok(ask(&agent, hand_over, 10));
	agent_end(&agent);
}
END_TEST

/* ---- Locks of those who may only read ------------------------------------------ */

static const struct hostile {
	const char *name;
	uint64_t first, count; /* count 0: to the end of all */
	unsigned times;
	uint64_t stride;
} hostile[] = {
	{ "everything", 0, 0, 1, 0 },
	{ "all slots", PLACE_SLOTS, 4000, 1, 0 },
	{ "each slot", PLACE_SLOTS, 1, 1000, 2 },
	{ "each slot's other byte", PLACE_SLOTS + 1, 1, 1000, 2 },
	{ "the growth of slots", PLACE_GROW, 1, 1, 0 },
	{ "the claim", PLACE_CLAIM, 1, 1, 0 },
	{ "all locks in RAM", PLACE_PINS, UINT64_C(1) << 32, 1, 0 },
	{ "many locks in RAM", PLACE_PINS, 1, 1500, 2 },
	{ "many below the readers", PLACE_READERS - 100000, 1, 1500, 2 },
	{ "all readers", PLACE_READERS, 0, 1, 0 },
	{ "half of the readers", PLACE_READERS, UINT64_C(1) << 61, 1, 0 },
	{ "many readers", PLACE_READERS, 1, 1500, 4096 },
	{ "wide and many", PLACE_READERS, 5000, 1000, 6000 },
	{ "from the slots on", PLACE_SLOTS, 0, 1, 0 },
};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

enum { EACH_SLOT = 2 };

static long take_hostile_locks(long which)
{
	const struct hostile *kind = &hostile[which];
	int fd = open(object, O_RDONLY | O_CLOEXEC);
	expect(fd >= 0, "errno %d", errno);
	for (unsigned i = 0; i < kind->times; i++) {
		struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
		lock.l_start = (off_t)(kind->first + i * kind->stride);
		lock.l_len = (off_t)kind->count;
		expect(fcntl(fd, F_OFD_SETLK, &lock) == 0 || errno == EAGAIN, "errno %d", errno);
	}
	return 0;
}

static long attach_a_reader(long unused)
{
	(void)unused;
	mine = take(0);
	attach(mine, UNISHM_RDONLY);
	return 0;
}

static long attach_a_writer(long unused)
{
	(void)unused;
	mine = take(0);
	attach(mine, 0);
	attach(mine, 0);
	return 0;
}

/* As many as there are, or it is said that the number may be off. Narrow locks among the
 * readers are readers. */
static void expect_attached(struct unishm *seg, unsigned long want, const char *when,
		const char *name)
{
	bool more = strcmp(name, "many readers") == 0;
	struct unishm_status st = status_of(seg);
	bool inexact = st.inexact & UNISHM_EMULATED_NUMBER_ATTACHED;
	expect(st.number_attached == want || inexact || (more && st.number_attached > want),
			"%s, %s: %lu attached, not %lu", name, when,
			st.number_attached, want);
}

static void use_with_child_beside(struct unishm *seg, unsigned long before, const char *name)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		expect_attached(seg, before + 1, "in a child", name);
		_exit(0);
	}
	expect(waitpid(child, &status, 0) == child && status == 0, "%s: ended with %#x", name,
			(unsigned)status);
	expect_attached(seg, before, "after a child", name);
}

static long count_beside(long which)
{
	const char *name = hostile[which].name;
	struct unishm *seg;
	expect_ok(place("tmpfs", "mode=1777"));
	expect_ok(make_shared(SMALL, &seg));
	expect_ok(unishm_chmod(seg, 0644));
	find_object();
	struct helper early = helper_start_as(OTHER, take_hostile_locks, which);
	struct helper writer = helper_start(attach_a_writer, 0);
	struct helper reader = helper_start_as(USER, attach_a_reader, 0);
	expect_attached(seg, 3, "at first", name);
	if (which % 2)
		helper_kill(&early);
	struct helper foe = helper_start_as(OTHER, take_hostile_locks, which);
	expect_attached(seg, 3, "before", name);
	struct helper late = helper_start(attach_a_writer, 0);
	struct helper late_reader = helper_start_as(USER, attach_a_reader, 0);
	expect_attached(seg, 6, "later", name);
	helper_kill(&late);
	helper_kill(&reader);
	expect_attached(seg, 3, "after deaths", name);
	attach(seg, 0);
	use_with_child_beside(seg, 4, name);
	helper_kill(&foe);
	if (which % 2 == 0)
		helper_kill(&early);
	expect_attached(seg, 4, "without the foe", name);
	helper_kill(&late_reader);
	helper_kill(&writer);
	expect_attached(seg, 1, "at the end", name);
	drop(seg);
	return 0;
}

START_TEST(locks_of_readers_neither_hide_nor_invent_a_process)
{
	begin(_i / HOSTILE);
	SKIP_UNLESS(on("posix"), "is about locks");
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	expect_ok(apart(count_beside, _i % HOSTILE));
}
END_TEST

/* How often the kernel is asked is what bounds the time. */
static long questions;
static int (*real_lock)(int, int, struct flock *);

static int counted_lock(int fd, int command, struct flock *lock)
{
	questions++;
	return real_lock(fd, command, lock);
}

static long ask_beside(long which)
{
	struct unishm *seg;
	void *addr;
	expect_ok(place("tmpfs", "mode=1777"));
	expect_ok(make_shared(SMALL, &seg));
	expect_ok(unishm_chmod(seg, 0644));
	find_object();
	struct helper foe = helper_start_as(OTHER, take_hostile_locks, which);
	real_lock = unishm_sys.fcntl_lock;
	unishm_sys.fcntl_lock = counted_lock;
	status_of(seg);
	expect(questions < 5000, "%s: %ld questions for a status", hostile[which].name, questions);
	questions = 0;
	expect_ok(unishm_attach(seg, 0, &addr));
	expect(questions < 100000, "%s: %ld questions for an attach", hostile[which].name,
			questions);
	helper_kill(&foe);
	drop(seg);
	return 0;
}

START_TEST(locks_of_others_make_no_call_ask_without_end)
{
	begin(_i / HOSTILE);
	SKIP_UNLESS(on("posix"), "is about locks");
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	expect_ok(apart(ask_beside, _i % HOSTILE));
}
END_TEST

/* The lock that would show that the slot is no process's cannot be had. */
static long die_beside(long unused)
{
	struct unishm *seg;
	(void)unused;
	expect_ok(place("tmpfs", "mode=1777"));
	expect_ok(make_shared(SMALL, &seg));
	expect_ok(unishm_chmod(seg, 0644));
	find_object();
	struct helper writer = helper_start(attach_a_writer, 0);
	struct helper later = helper_start(attach_a_writer, 0);
	pid_t dead = writer.pid;
	helper_kill(&writer);
	struct helper foe = helper_start_as(OTHER, take_hostile_locks, EACH_SLOT);
	struct unishm_status st = status_of(seg);
	expect(st.last_op_process == dead || st.inexact & UNISHM_EMULATED_LAST_OP_PROCESS,
			"process %ld was the last, %ld is said", (long)dead,
					(long)st.last_op_process);
	helper_kill(&later);
	helper_kill(&foe);
	drop(seg);
	return 0;
}

START_TEST(who_died_beside_a_foreign_lock_is_the_last_or_that_is_inexact)
{
	begin(_i);
	SKIP_UNLESS(on("posix"), "is about locks");
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	expect_ok(apart(die_beside, 0));
}
END_TEST

static long lock_removal(long unused)
{
	(void)unused;
	int fd = open(object, O_RDONLY | O_CLOEXEC);
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET,
			.l_start = (off_t)PLACE_REMOVE, .l_len = 1 };
	return fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static long remove_beside(long unused)
{
	struct unishm *seg;
	(void)unused;
	expect_ok(place("tmpfs", "mode=1777"));
	expect_ok(make_shared(SMALL, &seg));
	find_object();
	struct helper foe = helper_start_as(OTHER, lock_removal, 0);
	int rc = unishm_remove(seg);
	expect(rc == 0 || (rc == -EBUSY && says("lslocks")), "%d: %s", rc, unishm_errmsg());
	expect_rc(try_open(0), rc == 0 ? -ENOENT : 0);
	helper_kill(&foe);
	expect_ok(rc == 0 ? 0 : unishm_remove(seg));
	expect_rc(try_open(0), -ENOENT);
	unishm_close(seg);
	return 0;
}

START_TEST(a_lock_on_removal_stops_a_remover_for_a_moment_only)
{
	begin(_i);
	SKIP_UNLESS(on("posix"), "is about locks");
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	expect_ok(apart(remove_beside, 0));
}
END_TEST

/* ---- Objects that change under our hands --------------------------------------- */

/* What a neighbour who may write does to the record, without pause. */
static _Noreturn void spoil(int kind)
{
	unsigned seed = 12345;
	struct stat st;
	int fd = open(object, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		_exit(1);
	char *bytes = malloc((size_t)st.st_size);
	if (!bytes || pread(fd, bytes, (size_t)st.st_size, 0) != st.st_size)
		_exit(1);
	board->flag = 1;
	for (;;) {
		off_t where = st.st_size - 1 - (off_t)(rand_r(&seed) % 600);
		char byte = (char)rand_r(&seed);
		if (kind == 0 && (ftruncate(fd, rand_r(&seed) % st.st_size) < 0))
			_exit(1);
		if (kind == 1 && ftruncate(fd, 2 * st.st_size) < 0)
			_exit(1);
		if (kind == 2 && pwrite(fd, &byte, 1, where) != 1)
			_exit(1);
		if (rand_r(&seed) % 4 == 0 && ftruncate(fd, st.st_size) == 0 &&
				pwrite(fd, bytes, (size_t)st.st_size, 0) < 0)
			_exit(1);
	}
}

static long spoil_as(long kind)
{
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(100);
		spoil((int)kind);
	}
	while (!board->flag)
		sched_yield();
	return child < 0 ? -errno : 0;
}

/* Whatever it answers. */
static void use_once(void)
{
	struct unishm *seg = NULL;
	struct unishm_status st;
	void *addr;
	do_list_count(0);
	if (unishm_open(&seg, key(0), 0, 0, 0) < 0)
		return;
	for (int i = 0; i < 3; i++) {
		unishm_attach(seg, i == 1 ? UNISHM_RDONLY : 0, &addr);
		unishm_status(seg, &st);
	}
	fork_and_end();
	unishm_lock(seg);
	unishm_unlock(seg);
	unishm_detach(seg, addr);
	unishm_close(seg);
}

static long use_many_times(long count)
{
	for (long i = 0; i < count; i++)
		use_once();
	return 0;
}

static long use_spoilt(long kind)
{
	struct unishm *seg;
	board->flag = 0;
	expect_ok(place("tmpfs", "mode=1777"));
	expect_ok(make_shared(SMALL, &seg));
	find_object();
	struct helper foe = helper_start_as(USER, spoil_as, kind);
	long rc = in_child(use_many_times, rounds(300));
	helper_kill(&foe);
	unishm_close(seg);
	return rc;
}

enum { SPOILS = 3 };

START_TEST(an_object_that_changes_without_pause_crashes_and_stops_no_process)
{
	begin(_i / SPOILS);
	SKIP_UNLESS(on("posix"), "is about POSIX objects");
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	/* see record.h: attach and detach touch a mapping after a look at the file's size */
	SKIP_UNLESS(!emulator(), "qemu-user takes long from a look at a size to what follows");
	expect_ok(apart(use_spoilt, _i % SPOILS));
}
END_TEST

/* The same at rest: cut after each number of attachments, then each call. The bytes of the program
 * are lost, and touching them is a signal; the library does not touch them. */
static void call_after_cut(long which, struct unishm *seg, void *addr);

static long use_cut(long which)
{
	struct unishm *seg = take(0);
	void *addr = NULL;
	for (long i = 0; i < which % 4; i++)
		addr = attach(seg, i == 1 ? UNISHM_RDONLY : 0);
	expect(truncate(object, which & 4 ? 0 : 70000) == 0, "errno %d", errno);
	call_after_cut(which / 8, seg, addr);
	unishm_close(seg);
	return 0;
}

static void call_status(struct unishm *seg, void *addr)
{
	struct unishm_status st;
	(void)addr;
	unishm_status(seg, &st);
}

static void call_attach(struct unishm *seg, void *addr)
{
	unishm_attach(seg, 0, &addr);
	unishm_attach(seg, UNISHM_RDONLY, &addr);
}

static void call_detach(struct unishm *seg, void *addr)
{
	unishm_detach(seg, addr);
}

static void call_fork(struct unishm *seg, void *addr)
{
	(void)seg, (void)addr;
	fork_and_end();
}

static void call_lock(struct unishm *seg, void *addr)
{
	(void)addr;
	unishm_lock(seg);
	unishm_unlock(seg);
}

static void call_change(struct unishm *seg, void *addr)
{
	(void)addr;
	unishm_chmod(seg, 0640);
	unishm_chown(seg, 0, 0);
}

static void call_remove(struct unishm *seg, void *addr)
{
	(void)addr;
	unishm_remove(seg);
}

static void (*const after_cut[])(struct unishm *seg, void *addr) = {
	call_status, call_attach, call_detach, call_fork, call_lock, call_change, call_remove,
};

static void call_after_cut(long which, struct unishm *seg, void *addr)
{
	after_cut[which](seg, addr);
}

enum { CUTS = 8 * (int)(sizeof after_cut / sizeof *after_cut) };

static long cut_once(long which)
{
	struct unishm *seg;
	expect_ok(place("tmpfs", "mode=1777"));
	expect_ok(make_shared(SMALL, &seg));
	find_object();
	unishm_close(seg);
	return in_child(use_cut, which);
}

START_TEST(each_call_after_a_cut_answers_without_a_signal)
{
	begin(_i / CUTS);
	SKIP_UNLESS(on("posix"), "is about POSIX objects");
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	int which = _i % CUTS;
	long rc = apart(cut_once, which);
	ck_assert_msg(rc == 0, "call %d, %d attachments, cut to %s: %#lx", which / 8, which % 4,
			which & 4 ? "nothing" : "half", (unsigned long)rc);
}
END_TEST

static void fill(Suite *suite)
{
	TCase *t = group(suite, "memory", "native", 120);
	EACH(t, who_maps_an_object_plainly_keeps_its_bytes);
	EACH(t, an_uncounted_child_keeps_its_bytes);
	EACH(t, a_removed_segment_handed_from_daemon_to_daemon_is_never_cleared_or_left);
	t = group(suite, "hostile readers", "native", 120);
	tcase_add_loop_test(t, locks_of_readers_neither_hide_nor_invent_a_process, 0,
			HOSTILE * backends());
	tcase_add_loop_test(t, locks_of_others_make_no_call_ask_without_end, 0,
			HOSTILE * backends());
	EACH(t, who_died_beside_a_foreign_lock_is_the_last_or_that_is_inexact);
	EACH(t, a_lock_on_removal_stops_a_remover_for_a_moment_only);
	t = group(suite, "spoilt objects", "native", 120);
	tcase_add_loop_test(t, each_call_after_a_cut_answers_without_a_signal, 0,
			CUTS * backends());
	tcase_add_loop_test(t, an_object_that_changes_without_pause_crashes_and_stops_no_process, 0,
			SPOILS * backends());
}

int main(void)
{
	return harness_main("neighbours", fill);
}
