/* SPDX-License-Identifier: MIT */
/* What becomes of attachments when processes fork, run other programs, stop, die,
 * change their user, or lose their descriptors. The number attached is exact at
 * every moment at which somebody can ask. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#ifdef __linux__
#include <sys/syscall.h>
#endif

enum { NOBODY = 65534, DAEMON = 1 };

extern char **environ;

/* An agent that opened segment 0 and attached it @times times, at last writable. */
static struct agent attached_agent(int times)
{
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	for (int i = 0; i < times; i++)
		expect_ok(ask(&agent, do_attach, (times - i) % 2 ? 0 : UNISHM_RDONLY));
	return agent;
}

/* ---- fork ---------------------------------------------------------------- */

/* Fork; parent and child ask at once. words: 0 the child's answer, 1 the parent's. */
static long fork_and_count(long unused)
{
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	long seen = do_number(unused);
	board->words[pid == 0 ? 0 : 1] = seen;
	if (pid == 0)
		wait_to_be_killed();
	while (board->words[0] == 0)
		sched_yield();
	return pid;
}

START_TEST(the_count_is_right_at_once_in_parent_and_child_after_fork)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(3);
	for (int round = 0; round < rounds(200); round++) {
		board->words[0] = board->words[1] = 0;
		long pid = ask(&agent, fork_and_count, 0);
		ck_assert_int_gt(pid, 0);
		ck_assert_msg(board->words[0] == 6 && board->words[1] == 6,
				"round %d: the child saw %ld, the parent %ld", round,
				board->words[0], board->words[1]);
		expect_ok(ask(&agent, do_reap, pid));
		ck_assert_uint_eq(number_attached(seg), 3);
	}
	agent_end(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

START_TEST(fork_is_an_attach_by_the_parent)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(1);
	attach(seg, 0);
	struct unishm_status before = status_of(seg);
	ck_assert_int_eq(before.last_op_process, getpid());
	next_second();
	long child = ask(&agent, fork_and_count, 0); /* returns when the child ran */
	struct unishm_status after = status_of(seg);
	ck_assert_uint_eq(after.number_attached, 3);
	ck_assert_int_eq(after.last_op_process, agent.pid);
	ck_assert_int_gt(after.last_attach_time, before.last_attach_time);
	ck_assert_int_eq(after.last_detach_time, 0);
	ck_assert_int_eq(after.last_change_time, before.last_change_time);
	expect_ok(ask(&agent, do_reap, child));
	after = status_of(seg);
	ck_assert_uint_eq(after.number_attached, 2);
	ck_assert_int_eq(after.last_op_process, child);
	ck_assert_int_ne(after.last_detach_time, 0);
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(a_fork_without_attachments_changes_nothing)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(0);
	long child = ask(&agent, do_fork, 0);
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.number_attached, 0);
	ck_assert_int_eq(st.last_op_process, 0);
	ck_assert_int_eq(st.last_attach_time, 0);
	expect_ok(ask(&agent, do_reap, child));
	ck_assert_int_eq(status_of(seg).last_detach_time, 0);
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(an_inherited_handle_works_in_the_child)
{
	begin(_i);
	mine = make(0, SMALL, 0600);
	at = attach(mine, 0);
	struct agent child = agent_start();
	ask(&child, do_write, 5);
	ck_assert_int_eq(((char *)at)[5], 'x');
	expect_rc(ask(&child, do_number, 0), 2);
	expect_ok(ask(&child, do_detach, 0));
	ck_assert_uint_eq(number_attached(mine), 1);
	ck_assert_int_eq(status_of(mine).last_op_process, child.pid);
	expect_rc(ask(&child, do_detach, 0), -EINVAL);
	expect_ok(ask(&child, do_attach, 0));
	expect_ok(ask(&child, do_attach, 0));
	ck_assert_uint_eq(number_attached(mine), 3);
	((char *)at)[0] = 'p';
	expect_ok(ask(&child, do_close, 0));
	ck_assert_uint_eq(number_attached(mine), 1);
	ck_assert_int_eq(((char *)at)[0], 'p');
	agent_end(&child);
	ck_assert_uint_eq(number_attached(mine), 1);
	drop(mine);
}
END_TEST

START_TEST(the_parent_may_leave_its_children_behind)
{
	begin(_i);
	struct agent watcher = agent_start();
	mine = make(0, SMALL, 0600);
	at = attach(mine, 0);
	expect_ok(ask(&watcher, do_open, 0));
	struct agent one = agent_start(), two = agent_start();
	expect_rc(ask(&watcher, do_number, 0), 3);
	detach(mine, at);
	expect_rc(ask(&watcher, do_number, 0), 2);
	unishm_close(mine);
	expect_rc(ask(&watcher, do_number, 0), 2);
	expect_ok(ask(&one, do_detach, 0));
	expect_rc(ask(&watcher, do_number, 0), 1);
	agent_kill(&two);
	expect_rc(ask(&watcher, do_number, 0), 0);
	expect_ok(ask(&one, do_remove, 0));
	agent_end(&one);
	agent_end(&watcher);
}
END_TEST

/* A chain of three generations; then they die in any order. */
static long start_chain(long depth)
{
	pid_t pid = fork();
	if (pid == 0) {
		board->words[depth] = getpid();
		if (depth < 2)
			start_chain(depth + 1);
		wait_to_be_killed();
	}
	/* Until fork returned in all of them: words 4 and 5. */
	board->words[3 + depth] = 1;
	while (board->words[2] == 0 || board->words[5] == 0)
		sched_yield();
	return pid;
}

/* A zombie, or gone, with all its threads. */
static bool is_dead(long pid)
{
	char path[64], text[1024] = "";
	struct stat threads;
	snprintf(path, sizeof path, "/proc/%ld/task", pid);
	bool alone = stat(path, &threads) < 0 || threads.st_nlink <= 3;
	snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	FILE *file = fopen(path, "r");
	if (!file)
		return true;
	bool seen = fgets(text, sizeof text, file) != NULL;
	fclose(file);
	return !seen || (alone && (strstr(text, ") Z") || strstr(text, ") X")));
}

/* Wait for the end of a process that is not our child. */
static void wait_until_gone(long pid)
{
	while (!is_dead(pid))
		sched_yield();
}

START_TEST(generations_die_in_any_order)
{
	begin(_i);
	static const int orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 },
		{ 2, 0, 1 }, { 2, 1, 0 } };
	struct unishm *seg = make(0, SMALL, 0600);
	for (int i = 0; i < 6; i++) {
		memset((void *)board->words, 0, sizeof board->words);
		struct agent agent = attached_agent(2);
		ck_assert_int_gt(ask(&agent, start_chain, 1), 0);
		long pids[3] = { agent.pid, board->words[1], board->words[2] };
		ck_assert_uint_eq(number_attached(seg), 6);
		for (int k = 0; k < 3; k++) {
			int victim = orders[i][k];
			if (victim == 0)
				agent_kill(&agent);
			else
				kill((pid_t)pids[victim], SIGKILL);
			wait_until_gone(pids[victim]);
			unsigned long want = 4 - 2 * (unsigned long)k, got = number_attached(seg);
			ck_assert_msg(got == want, "order %d, after %d deaths: %lu, not %lu", i,
					k + 1, got, want);
		}
	}
	drop(seg);
}
END_TEST

START_TEST(fork_carries_all_handles_and_segments)
{
	begin(_i);
	struct unishm *seg[8], *second = NULL;
	struct agent watcher = agent_start();
	for (int i = 0; i < 8; i++) {
		seg[i] = make(i, SMALL, 0600);
		for (int k = 0; k < i; k++)
			attach(seg[i], 0);
	}
	second = take(7);
	attach(second, 0);
	struct agent child = agent_start();
	for (int i = 0; i < 8; i++) {
		unsigned long want = 2 * (unsigned long)(i == 7 ? 8 : i);
		expect_ok(ask(&watcher, do_open, i));
		expect_rc(ask(&watcher, do_number, 0), (long)want);
		ask(&watcher, do_close, 0);
	}
	agent_kill(&child);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(number_attached(seg[i]), (unsigned)(i == 7 ? 8 : i));
	unishm_close(second);
	for (int i = 0; i < 8; i++)
		drop(seg[i]);
	agent_end(&watcher);
}
END_TEST

static long limit_processes_and_fork(long user)
{
	struct rlimit none = { 0, 0 };
	if (do_become(user) < 0 || setrlimit(RLIMIT_NPROC, &none) < 0)
		return -1000;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid < 0 ? -errno : 0;
}

static long fork_often(long count)
{
	for (long i = 0; i < count; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return -1;
	}
	return 0;
}

/* What ended children leave behind must not pile up. */
START_TEST(children_that_nobody_counts_leave_nothing_behind)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	size_t before = memory_used();
	expect_ok(ask(&agent, fork_often, 1000));
	ck_assert_uint_eq(memory_used(), before);
	ck_assert_uint_eq(number_attached(seg), 2);
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(a_fork_that_fails_changes_nothing)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0666);
	struct agent agent = attached_agent(2);
	expect_rc(ask(&agent, limit_processes_and_fork, NOBODY), -EAGAIN);
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_rc(ask(&agent, do_number, 0), 2);
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

START_TEST(a_forked_child_keeps_a_removed_segment_alive)
{
	begin(_i);
	struct agent watcher = agent_start();
	mine = make(0, SMALL, 0600);
	at = attach(mine, 0);
	expect_ok(ask(&watcher, do_open, 0));
	expect_ok(unishm_remove(mine));
	struct agent child = agent_start();
	ck_assert_uint_eq(number_attached(mine), 2);
	unishm_close(mine);
	expect_ok(ask(&watcher, do_status, 0));
	ck_assert_uint_eq(board->st.number_attached, 1);
	ck_assert(board->st.removed);
	ask(&child, do_write, 0);
	agent_kill(&child);
	expect_rc(ask(&watcher, do_status, 0), -EIDRM);
	agent_end(&watcher);
}
END_TEST

static long daemonize(long unused)
{
	(void)unused;
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	setsid();
	if (fork() != 0)
		_exit(0);
	board->words[3] = getpid();
	wait_to_be_killed();
}

START_TEST(a_daemon_is_counted_once)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(1);
	long between = ask(&agent, daemonize, 0);
	ck_assert_int_gt(between, 0);
	agent_end(&agent);
	while (board->words[3] == 0)
		sched_yield();
	wait_until_gone(between);
	ck_assert_uint_eq(number_attached(seg), 1);
	kill((pid_t)board->words[3], SIGKILL);
	wait_until_gone(board->words[3]);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

/* ---- Threads ------------------------------------------------------------- */

static atomic_bool stop;

static void *attach_and_detach(void *arg)
{
	struct unishm *seg = arg;
	while (!stop) {
		void *addr = attach(seg, 0);
		*(volatile char *)addr = 1;
		detach(seg, addr);
	}
	return NULL;
}

static void *open_and_close(void *arg)
{
	(void)arg;
	while (!stop) {
		struct unishm *seg = take(0);
		attach(seg, UNISHM_RDONLY);
		number_attached(seg);
		unishm_close(seg);
	}
	return NULL;
}

/* In the child: one attachment in each of its own calls. */
static int live_as_child(void)
{
	long before = do_number(0);
	void *addr = attach(mine, 0);
	*(volatile char *)addr = 2;
	if (before < 1 || number_attached(mine) < 2)
		return 1;
	detach(mine, addr);
	struct unishm *again = take(0);
	attach(again, 0);
	unishm_close(again);
	return 0;
}

static long fork_among_threads(long rounds)
{
	pthread_t thread[3];
	int failed = 0;
	stop = false;
	pthread_create(&thread[0], NULL, attach_and_detach, mine);
	pthread_create(&thread[1], NULL, attach_and_detach, mine);
	pthread_create(&thread[2], NULL, open_and_close, NULL);
	for (long i = 0; i < rounds && !failed; i++) {
		int ended = 0;
		pid_t pid = fork();
		if (pid == 0)
			_exit(live_as_child());
		if (pid < 0 || waitpid(pid, &ended, 0) != pid || ended != 0)
			failed = 1;
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	return failed;
}

START_TEST(forks_in_a_threaded_program_leave_working_handles)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(1);
	expect_ok(ask(&agent, fork_among_threads, 100));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

static void *attach_once(void *arg)
{
	return attach(arg, 0);
}

static void *detach_once(void *arg)
{
	expect_ok(unishm_detach(arg, at));
	return NULL;
}

START_TEST(attachments_belong_to_the_process_not_to_the_thread)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	pthread_t thread;
	pthread_create(&thread, NULL, attach_once, seg);
	pthread_join(thread, &at);
	ck_assert_uint_eq(number_attached(seg), 1);
	ck_assert_int_eq(status_of(seg).last_op_process, getpid());
	*(char *)at = 1;
	pthread_create(&thread, NULL, detach_once, seg);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(number_attached(seg), 0);
	ck_assert_int_eq(status_of(seg).last_op_process, getpid());
	drop(seg);
}
END_TEST

static void *fail_to_open(void *arg)
{
	(void)arg;
	expect(strlen(unishm_errmsg()) == 0, "the other thread's: %s", unishm_errmsg());
	expect_rc(try_open(9), -ENOENT);
	expect(strlen(unishm_errmsg()) > 0, "silence");
	return NULL;
}

START_TEST(messages_belong_to_the_thread)
{
	begin(_i);
	pthread_t thread;
	char before[600];
	ck_assert_int_eq(unishm_detach(NULL, NULL), -EINVAL);
	snprintf(before, sizeof before, "%s", unishm_errmsg());
	ck_assert_uint_gt(strlen(before), 0);
	pthread_create(&thread, NULL, fail_to_open, NULL);
	pthread_join(thread, NULL);
	ck_assert_str_eq(unishm_errmsg(), before);
}
END_TEST

static void *hammer(void *arg)
{
	for (int i = 0; i < 500; i++) {
		void *addr = attach(arg, i % 3 ? 0 : UNISHM_RDONLY);
		number_attached(arg);
		detach(arg, addr);
	}
	return NULL;
}

START_TEST(threads_share_a_handle)
{
	begin(_i);
	pthread_t thread[6];
	struct unishm *seg = make(0, SMALL, 0600);
	for (int i = 0; i < 6; i++)
		pthread_create(&thread[i], NULL, hammer, seg);
	for (int i = 0; i < 6; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

static void *start_as_thread(void *arg)
{
	(void)arg;
	attach(mine, 0);
	board->flag = 1;
	if (board->flag)
		wait_to_be_killed();
	return NULL;
}

static long leave_main_thread(long unused)
{
	pthread_t thread;
	(void)unused;
	pthread_create(&thread, NULL, start_as_thread, NULL);
	while (!board->flag)
		sched_yield();
	say_word();
	pthread_exit(NULL);
}

START_TEST(a_process_whose_main_thread_is_gone_still_counts)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(1);
	tell(&agent, leave_main_thread, 0);
	hear_word(&agent);
	ck_assert_uint_eq(number_attached(seg), 2);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

/* ---- exec, exit and death ------------------------------------------------ */

static struct {
	int in[2], out[2];
} cat;

/* Become cat(1), which reads what the test writes. */
static long exec_cat(long unused)
{
	(void)unused;
	dup2(cat.in[0], 0);
	dup2(cat.out[1], 1);
	execl("/bin/cat", "cat", (char *)NULL);
	return -errno;
}

static void make_cat_pipes(void)
{
	pipe_cloexec(cat.in);
	pipe_cloexec(cat.out);
}

static void close_cat_pipes(void)
{
	for (int i = 0; i < 2; i++) {
		close(cat.in[i]);
		close(cat.out[i]);
	}
}

/* Once cat answers, the new program runs. */
static void wait_for_cat(void)
{
	char byte = 'c';
	expect(write(cat.in[1], &byte, 1) == 1 && read(cat.out[0], &byte, 1) == 1, "errno %d",
			errno);
}

START_TEST(exec_ends_attachments_though_the_process_lives)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	make_cat_pipes();
	struct agent agent = attached_agent(2);
	attach(seg, 0);
	ck_assert_uint_eq(number_attached(seg), 3);
	time_t start = time(NULL);
	tell(&agent, exec_cat, 0);
	wait_for_cat();
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.number_attached, 1);
	ck_assert_int_eq(st.last_op_process, agent.pid);
	ck_assert(since(start, st.last_detach_time));
	agent_kill(&agent);
	close_cat_pipes();
	drop(seg);
}
END_TEST

/* Become a shell that lists its descriptors. */
static long exec_list(long unused)
{
	(void)unused;
	dup2(cat.out[1], 1);
	execl("/bin/sh", "sh", "-c", "ls -l /proc/$$/fd; cat /proc/$$/maps", (char *)NULL);
	return -errno;
}

START_TEST(nothing_leaks_into_the_program_that_exec_runs)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	make_cat_pipes();
	struct agent agent = attached_agent(2);
	expect_ok(is_root() && can_lock() ? ask(&agent, do_lock, 0) : 0);
	tell(&agent, exec_list, 0);
	close(cat.out[1]);
	cat.out[1] = -1;
	FILE *from = fdopen(cat.out[0], "r");
	char line[512];
	bool complete = false;
	while (fgets(line, sizeof line, from)) {
		ck_assert_msg(!strstr(line, "/dev/shm") && !strstr(line, "SYSV"), "%s", line);
		complete |= strstr(line, "[stack]") != NULL;
	}
	ck_assert(complete);
	fclose(from);
	cat.out[0] = -1;
	agent_wait(&agent);
	close_cat_pipes();
	ck_assert_uint_eq(number_attached(seg), 0);
	unishm_unlock(seg);
	drop(seg);
}
END_TEST

static long just_exit(long how)
{
	if (how == 0)
		_exit(0);
	if (how == 1)
		exit(0);
	if (how == 2) {
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	kill(getpid(), SIGKILL);
	return 0;
}

START_TEST(exit_abort_and_kill_end_attachments)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	for (long how = 0; how < 4; how++) {
		struct rlimit no_core = { 0, 0 };
		setrlimit(RLIMIT_CORE, &no_core);
		struct agent agent = attached_agent(3);
		ck_assert_uint_eq(number_attached(seg), 3);
		time_t start = time(NULL);
		tell(&agent, just_exit, how);
		agent_wait(&agent);
		struct unishm_status st = status_of(seg);
		ck_assert_uint_eq(st.number_attached, 0);
		ck_assert_int_eq(st.last_op_process, agent.pid);
		ck_assert(since(start, st.last_detach_time));
	}
	drop(seg);
}
END_TEST

START_TEST(a_killed_process_is_not_counted_by_anyone_right_after)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent watcher = agent_start();
	expect_ok(ask(&watcher, do_open, 0));
	for (int i = 0; i < rounds(200); i++) {
		struct agent agent = attached_agent(1 + i % 3);
		agent_kill(&agent);
		ck_assert_uint_eq(number_attached(seg), 0);
		expect_rc(ask(&watcher, do_number, 0), 0);
	}
	agent_end(&watcher);
	drop(seg);
}
END_TEST

START_TEST(a_zombie_is_not_counted)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	siginfo_t info;
	kill(agent.pid, SIGKILL);
	ck_assert_int_eq(waitid(P_PID, (id_t)agent.pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert_uint_eq(number_attached(seg), 0);
	ck_assert_int_eq(status_of(seg).last_op_process, agent.pid);
	agent_wait(&agent);
	drop(seg);
}
END_TEST

START_TEST(a_stopped_process_counts_and_blocks_nobody)
{
	begin(_i);
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	int ended;
	kill(agent.pid, SIGSTOP);
	ck_assert_int_eq(waitpid(agent.pid, &ended, WUNTRACED), agent.pid);
	ck_assert_uint_eq(number_attached(seg), 2);
	attach(seg, 0);
	ck_assert_uint_eq(number_attached(seg), 3);
	expect_ok(unishm_chmod(seg, 0640));
	kill(agent.pid, SIGCONT);
	agent_end(&agent);
	ck_assert_uint_eq(number_attached(seg), 1);
	drop(seg);
}
END_TEST

/* Attach, detach, fork and die all the time. */
static long live_wildly(long unused)
{
	(void)unused;
	board->flag = 1;
	for (unsigned i = 0;; i++) {
		void *addr = attach(mine, i % 2 ? UNISHM_RDONLY : 0);
		if (i % 16 == 0) {
			pid_t pid = fork();
			if (pid == 0)
				_exit(0);
			waitpid(pid, NULL, 0);
		}
		detach(mine, addr);
	}
	return 0;
}

START_TEST(processes_killed_or_stopped_at_any_instruction_leave_nothing)
{
	begin(_i);
	unsigned seed = 4711;
	struct unishm *seg = make(0, SMALL, 0600);
	for (int round = 0; round < rounds(60); round++) {
		struct agent agent[4];
		board->flag = 0;
		for (int i = 0; i < 4; i++) {
			agent[i] = attached_agent(i);
			tell(&agent[i], live_wildly, 0);
		}
		while (!board->flag)
			sched_yield();
		seed = seed * 1103515245 + 12345;
		struct timespec nap = { 0, (long)(seed >> 8) % 3000000 };
		nanosleep(&nap, NULL); /* the signal is to come anywhere */
		for (int i = 0; i < 4; i++)
			kill(agent[i].pid, SIGSTOP);
		number_attached(seg);
		detach(seg, attach(seg, 0)); /* they block nobody */
		for (int i = 0; i < 4; i++)
			agent_kill(&agent[i]);
		/* A child that was about to exit may do so a little later. */
		for (int tries = 0; number_attached(seg) != 0 && tries < 100000; tries++)
			sched_yield();
		ck_assert_uint_eq(number_attached(seg), 0);
	}
	drop(seg);
}
END_TEST

/* ---- Children that share memory, or that no handler saw ------------------- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* macOS has it all the same */
static long vfork_and_count(long unused)
{
	long during = -1;
	(void)unused;
	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
	during = do_number(0);
	waitpid(pid, NULL, 0);
	return during;
}
#pragma GCC diagnostic pop

static long spawn_cat(long unused)
{
	posix_spawn_file_actions_t actions;
	char name[] = "cat", *const argv[] = { name, NULL };
	pid_t pid = -1;
	(void)unused;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, cat.in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, cat.out[1], 1);
	int rc = posix_spawn(&pid, "/bin/cat", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return rc ? -rc : pid;
}

static long run_system(long unused)
{
	(void)unused;
	return system("exit 3") == 3 << 8 ? 0 : -1;
}

START_TEST(vfork_spawn_and_system_change_nothing)
{
	begin(_i);
	SKIP_UNLESS(!is_instrumented(), "sanitizers make a fork of it");
	SKIP_UNLESS(!emulator(), "qemu-user makes a fork of it");
	struct unishm *seg = make(0, SMALL, 0600);
	make_cat_pipes();
	struct agent agent = attached_agent(2);
	attach(seg, 0);
	struct unishm_status before = status_of(seg), after;
	expect_rc(ask(&agent, vfork_and_count, 0), 3);
	long pid = ask(&agent, spawn_cat, 0);
	ck_assert_int_gt(pid, 0);
	wait_for_cat();
	ck_assert_uint_eq(number_attached(seg), 3);
	expect_ok(ask(&agent, do_reap, pid));
	expect_ok(ask(&agent, run_system, 0));
	after = status_of(seg);
	ck_assert_uint_eq(after.number_attached, 3);
	ck_assert_int_eq(after.last_op_process, before.last_op_process);
	ck_assert_int_eq(after.last_detach_time, 0);
	ck_assert_int_eq(after.last_attach_time, before.last_attach_time);
	expect_ok(ask(&agent, do_detach, 0));
	agent_end(&agent);
	close_cat_pipes();
	drop(seg);
}
END_TEST

#ifdef __linux__
static long raw_clone(long unused)
{
	(void)unused;
	long pid = raw_fork();
	if (pid == 0) {
		board->words[4] = do_number(0);
		board->words[5] = do_detach(0);
		board->words[6] = do_number(0);
		void *addr;
		board->words[7] = unishm_attach(mine, 0, &addr);
		board->words[8] = do_number(0);
		_exit(0);
	}
	return pid;
}

START_TEST(a_raw_clone_harms_neither_parent_nor_count)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	for (int times = 1; times <= 3; times++) {
		struct agent agent = attached_agent(times);
		long pid = ask(&agent, raw_clone, 0);
		ck_assert_int_gt(pid, 0);
		expect_ok(ask(&agent, do_reap, pid) == 0 ? 0 : -1);
		ck_assert_uint_eq(number_attached(seg), (unsigned long)times);
		ask(&agent, do_write, 0);
		expect_ok(ask(&agent, do_detach, 0));
		ck_assert_uint_eq(number_attached(seg), (unsigned long)times - 1);
		agent_kill(&agent);
		ck_assert_uint_eq(number_attached(seg), 0);
	}
	drop(seg);
}
END_TEST

static long raw_clone_and_wait(long unused)
{
	long pid = raw_clone(unused);
	int ended = -1;
	if (pid > 0)
		waitpid((pid_t)pid, &ended, 0);
	return ended;
}

START_TEST(a_raw_clone_can_use_its_handles)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, raw_clone_and_wait, 0));
	ck_assert_int_ge(board->words[4], 2);
	ck_assert_int_eq(board->words[5], 0);
	ck_assert_int_ge(board->words[6], 2);
	ck_assert_int_eq(board->words[7], 0);
	ck_assert_int_eq(board->words[8], board->words[6] + 1);
	ck_assert_uint_eq(number_attached(seg), 2);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

/* A child made behind the library's back shares the descriptor by which its parent attaches
 * later. */
static long attach_after_raw_clone(long unused)
{
	int ready[2], status = -1;
	char byte = 0;
	(void)unused;
	mine = make(0, SMALL, 0600);
	pipe_cloexec(ready);
	long pid = raw_fork();
	if (pid == 0) {
		if (read(ready[0], &byte, 1) != 1 || do_number(0) != 1 || unishm_remove(mine) < 0)
			_exit(1);
		_exit(do_number(0) == 1 ? 0 : 2);
	}
	char *bytes = attach(mine, 0);
	strcpy(bytes, "precious");
	if (write(ready[1], &byte, 1) != 1)
		return -1;
	waitpid((pid_t)pid, &status, 0);
	close(ready[0]);
	close(ready[1]);
	long rc = status ? status : strcmp(bytes, "precious") ? -2 : do_number(0) == 1 ? 0 : -3;
	unishm_close(mine);
	return rc;
}

START_TEST(a_raw_clone_sees_what_its_parent_attaches_later)
{
	begin(_i);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, attach_after_raw_clone, 0));
	agent_end(&agent);
}
END_TEST

/* The next pid of this namespace can be chosen by who may. */
static bool set_last_pid(long pid)
{
	char text[32];
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	int length = snprintf(text, sizeof text, "%ld", pid - 1);
	bool done = write(fd, text, (size_t)length) == length;
	close(fd);
	return done;
}

START_TEST(a_reused_pid_is_a_process_of_its_own)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent first = attached_agent(2);
	agent_kill(&first);
	struct agent second = { 0, 0, 0, 0 };
	for (int tries = 0; tries < 20 && second.pid != first.pid; tries++) {
		if (second.pid)
			agent_end(&second);
		if (!set_last_pid(first.pid))
			break;
		second = agent_start();
	}
	bool reused = second.pid == first.pid;
	if (reused) {
		ck_assert_uint_eq(number_attached(seg), 0);
		expect_ok(ask(&second, do_open, 0));
		expect_ok(ask(&second, do_attach, 0));
		ck_assert_uint_eq(number_attached(seg), 1);
	}
	if (second.pid)
		agent_end(&second);
	drop(seg);
	SKIP_UNLESS(reused, "no pid could be had a second time");
}
END_TEST

START_TEST(attachers_in_another_pid_namespace_are_counted)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent inside = agent_start_in_pid_namespace(), twin = agent_start_in_pid_namespace();
	attach(seg, 0);
	expect_ok(ask(&inside, do_open, 0));
	expect_ok(ask(&inside, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 2);
	/* Both are process 1 in their namespaces. */
	expect_ok(ask(&twin, do_open, 0));
	expect_ok(ask(&twin, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 3);
	expect_rc(ask(&inside, do_number, 0), 3);
	long child = ask(&inside, do_fork, 0);
	ck_assert_int_gt(child, 0);
	ck_assert_uint_eq(number_attached(seg), 4);
	expect_ok(ask(&inside, do_reap, child));
	ck_assert_uint_eq(number_attached(seg), 3);
	agent_kill(&inside);
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_ok(ask(&twin, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&twin);
	drop(seg);
}
END_TEST

START_TEST(a_segment_of_a_pid_namespace_that_ended_works)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct agent inside = agent_start_in_pid_namespace();
	expect_ok(ask(&inside, do_create, 0));
	expect_ok(ask(&inside, do_attach, 0));
	agent_kill(&inside);
	struct unishm *seg = take(0);
	ck_assert_uint_eq(number_attached(seg), 0);
	attach(seg, 0);
	ck_assert_uint_eq(number_attached(seg), 1);
	drop(seg);
}
END_TEST
#endif

/* ---- Users --------------------------------------------------------------- */

START_TEST(attachers_of_other_users_are_counted_and_their_deaths_too)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	SKIP_UNLESS(is_root(), "needs root");
	struct agent reader = agent_start_as(NOBODY), writer = agent_start_as(DAEMON);
	struct unishm *seg = make(0, SMALL, 0644);
	expect_ok(unishm_chown(seg, DAEMON, (gid_t)-1));
	expect_ok(ask(&reader, do_open, 0));
	expect_ok(ask(&writer, do_open, 0));
	expect_ok(ask(&reader, do_attach, UNISHM_RDONLY));
	expect_ok(ask(&reader, do_attach, UNISHM_RDONLY));
	expect_ok(ask(&writer, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 3);
	expect_rc(ask(&reader, do_number, 0), 3);
	expect_rc(ask(&writer, do_number, 0), 3);
	long child = ask(&reader, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 5);
	expect_rc(ask(&writer, do_number, 0), 5);
	expect_ok(ask(&reader, do_reap, child));
	expect_rc(ask(&writer, do_number, 0), 3);
	agent_kill(&reader);
	ck_assert_uint_eq(number_attached(seg), 1);
	expect_rc(ask(&writer, do_number, 0), 1);
	agent_kill(&writer);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

START_TEST(a_process_that_dropped_its_privileges_forks_exactly)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, do_become, NOBODY));
	ck_assert_uint_eq(number_attached(seg), 2);
	for (int i = 0; i < 20; i++) {
		long child = ask(&agent, do_fork, 0);
		ck_assert_int_gt(child, 0);
		ck_assert_uint_eq(number_attached(seg), 4);
		expect_ok(ask(&agent, do_reap, child));
		ck_assert_uint_eq(number_attached(seg), 2);
	}
	ask(&agent, do_write, 0);
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

START_TEST(a_child_of_dropped_privileges_outlives_its_parent_exactly)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, do_become, NOBODY));
	long child = ask(&agent, do_fork, 0), other = ask(&agent, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 6);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(seg), 4);
	kill((pid_t)child, SIGKILL);
	wait_until_gone(child);
	ck_assert_uint_eq(number_attached(seg), 2);
	kill((pid_t)other, SIGKILL);
	wait_until_gone(other);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

static long enter_empty_root(long unused)
{
	char dir[] = "/tmp/unishm-root-XXXXXX";
	(void)unused;
	if (!mkdtemp(dir) || chdir(dir) < 0 || rmdir(dir) < 0 || chroot(".") < 0)
		return -errno;
	return 0;
}

START_TEST(a_process_in_an_empty_root_directory_counts_and_forks_exactly)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, enter_empty_root, 0));
	expect_rc(ask(&agent, do_number, 0), 2);
	long child = ask(&agent, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 4);
	expect_ok(ask(&agent, do_reap, child));
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&agent);
	drop(seg);
}
END_TEST

/* ---- Strangers' hands ---------------------------------------------------- */

static long close_everything(long unused)
{
	(void)unused;
	for (int fd = 0; fd < 1024; fd++)
		if (!agent_needs(fd))
			close(fd);
	return 0;
}

START_TEST(a_program_that_closes_all_descriptors_stays_counted)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, close_everything, 0));
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_rc(ask(&agent, do_number, 0), 2);
	ask(&agent, do_write, 0);
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	expect_ok(ask(&agent, close_everything, 0));
	expect_ok(ask(&agent, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 2);
	ask(&agent, do_write, 0);
	expect_ok(ask(&agent, close_everything, 0));
	long child = ask(&agent, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 4);
	expect_ok(ask(&agent, do_reap, child));
	ck_assert_uint_eq(number_attached(seg), 2);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

START_TEST(each_call_works_after_all_descriptors_were_closed)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	static const task calls[] = { do_attach, do_number, do_chmod, do_remove, do_fork,
		do_close };
	static const long args[] = { 0, 0, 0640, 0, 0, 0 };
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		struct unishm *seg = make(0, SMALL, 0600);
		struct agent agent = attached_agent(1);
		expect_ok(ask(&agent, close_everything, 0));
		long rc = ask(&agent, calls[i], args[i]);
		ck_assert_msg(rc >= 0, "call %zu gave %ld: %s", i, rc, board->said);
		unsigned long want = calls[i] == do_attach || calls[i] == do_fork ? 2
				: calls[i] == do_close                            ? 0
										  : 1;
		ck_assert_msg(number_attached(seg) == want, "call %zu: %lu attached", i,
				number_attached(seg));
		if (calls[i] == do_fork)
			expect_ok(ask(&agent, do_reap, rc));
		agent_end(&agent);
		if (calls[i] == do_remove)
			unishm_close(seg);
		else
			drop(seg);
	}
}
END_TEST

START_TEST(a_removed_segment_of_a_program_that_closed_all_descriptors_ends_well)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(1);
	expect_ok(ask(&agent, close_everything, 0));
	expect_ok(unishm_remove(seg));
	ck_assert_uint_eq(number_attached(seg), 1);
	ask(&agent, do_write, 0);
	expect_ok(ask(&agent, do_detach, 0));
	struct unishm_status st;
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
	agent_end(&agent);
	unishm_close(seg);
}
END_TEST

/* Under qemu-user a child has mappings of its parent's that it should not inherit, and so keeps
 * what its parent held until it runs. */
static void await_child_of_emulator(struct unishm *seg)
{
	for (int i = 0; emulator() && number_attached(seg) > 1 && i < 5000; i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

/* The only attachment of a handle is proved alive by the handle's descriptor: then not
 * by what a child shares, whoever of the two ends first. */
START_TEST(an_only_attachment_outlives_descriptors_and_forks)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	struct unishm *seg = make(0, SMALL, 0600);
	for (int way = 0; way < 8; way++) {
		struct agent agent = attached_agent(1);
		if (way & 1)
			expect_ok(ask(&agent, close_everything, 0));
		if (way & 2)
			expect_rc(ask(&agent, do_number, 0), 1);
		long child = ask(&agent, do_fork, 0);
		ck_assert_uint_eq(number_attached(seg), 2);
		if (way & 4) {
			expect_ok(ask(&agent, do_detach, 0));
			ck_assert_uint_eq(number_attached(seg), 1);
			expect_ok(ask(&agent, do_attach, 0));
			ck_assert_uint_eq(number_attached(seg), 2);
		}
		agent_kill(&agent);
		await_child_of_emulator(seg);
		ck_assert_uint_eq(number_attached(seg), 1);
		kill((pid_t)child, SIGKILL);
		wait_until_gone(child);
		ck_assert_uint_eq(number_attached(seg), 0);
	}
	drop(seg);
}
END_TEST

static int foreign = -1;

/* Put a file of our own, locked by us, in the place of every descriptor. */
static long replace_everything(long unused)
{
	char name[] = "/tmp/unishm-foreign-XXXXXX";
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	(void)unused;
	int fd = mkstemp(name);
	if (fd < 0)
		return -errno;
	unlink(name);
	if (write(fd, "foreign", 7) != 7)
		return -EIO;
	for (int other = 3; other < 128; other++)
		if (!agent_needs(other) && other != fd)
			dup2(fd, other);
	foreign = fd;
	return fcntl(fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

/* How many of the stand-ins are open, the file as it was; negative: harmed. */
static long look_at_foreign(long unused)
{
	struct stat st, other;
	char bytes[8] = "";
	long still = 0;
	(void)unused;
	if (fstat(foreign, &st) < 0 || st.st_size != 7 || pread(foreign, bytes, 7, 0) != 7 ||
			memcmp(bytes, "foreign", 7) != 0)
		return -EIO;
	for (int fd = 3; fd < 128; fd++)
		if (!agent_needs(fd) && fstat(fd, &other) == 0 && other.st_ino == st.st_ino)
			still++;
	pid_t pid = fork(); /* the lock of this process is seen by another */
	if (pid == 0) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		_exit(fcntl(foreign, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK ? 0 : 1);
	}
	int ended = -1;
	waitpid(pid, &ended, 0);
	return ended == 0 ? still : -ENOLCK;
}

START_TEST(descriptors_that_became_foreign_files_are_left_alone)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	struct unishm *seg = make(0, SMALL, 0600);
	static const task calls[] = { do_number, do_attach, do_chmod, do_detach, do_number,
		do_close };
	static const unsigned long counts[] = { 2, 3, 3, 2, 2, 0 };
	static const long args[] = { 0, 0, 0640, 0, 0, 0 };
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, replace_everything, 0));
	long before = ask(&agent, look_at_foreign, 0);
	ck_assert_int_gt(before, 100);
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		long rc = ask(&agent, calls[i], args[i]);
		ck_assert_msg(rc >= 0, "call %zu gave %ld: %s", i, rc, board->said);
		ck_assert_int_eq(ask(&agent, look_at_foreign, 0), before);
		ck_assert_msg(number_attached(seg) == counts[i], "call %zu: %lu", i,
				number_attached(seg));
	}
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(a_removed_segment_ends_well_though_descriptors_became_foreign)
{
	begin(_i);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_create, 0));
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(ask(&agent, replace_everything, 0));
	long before = ask(&agent, look_at_foreign, 0);
	expect_ok(ask(&agent, do_remove, 0));
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_int_eq(ask(&agent, look_at_foreign, 0), before);
	ask(&agent, do_close, 0);
	ck_assert_int_eq(ask(&agent, look_at_foreign, 0), before);
	if (is_isolated())
		ck_assert_uint_eq(memory_used(), 0);
	agent_end(&agent);
}
END_TEST

static long limit_descriptors(long unused)
{
	struct rlimit limit;
	(void)unused;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 0; /* what is open stays, nothing new */
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

START_TEST(a_process_without_free_descriptors_forks_exactly)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, limit_descriptors, 0));
	for (int i = 0; i < 20; i++) {
		board->words[0] = board->words[1] = 0;
		long child = ask(&agent, fork_and_count, 0);
		ck_assert_int_gt(child, 0);
		ck_assert_int_eq(board->words[0], 4);
		ck_assert_int_eq(board->words[1], 4);
		ck_assert_uint_eq(number_attached(seg), 4);
		expect_ok(ask(&agent, do_reap, child));
		ck_assert_uint_eq(number_attached(seg), 2);
	}
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&agent);
	drop(seg);
}
END_TEST

static long limit_file_size(long bytes)
{
	struct rlimit limit = { (rlim_t)bytes, (rlim_t)bytes };
	signal(SIGXFSZ, SIG_DFL);
	return setrlimit(RLIMIT_FSIZE, &limit) < 0 ? -errno : 0;
}

START_TEST(a_file_size_limit_is_in_nobodys_way)
{
	begin(_i);
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	struct unishm *seg = make(0, 100000, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, limit_file_size, 0));
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	ask(&agent, do_write, 99999);
	expect_rc(ask(&agent, do_number, 0), 1);
	long child = ask(&agent, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 2);
	struct unishm_status st = status_of(seg);
	ck_assert_int_eq(st.last_op_process, agent.pid);
	expect_ok(ask(&agent, do_reap, child));
	expect_ok(ask(&agent, do_chmod, 0640));
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_int_ne(status_of(seg).last_detach_time, 0);
	expect_ok(ask(&agent, do_remove, 0));
	agent_end(&agent);
	unishm_close(seg);
}
END_TEST

START_TEST(a_file_size_limit_that_comes_late_or_to_the_unattached_is_in_nobodys_way)
{
	begin(_i);
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	struct unishm *seg = make(0, 100000, 0600);
	struct agent agent = attached_agent(1), other = agent_start();
	expect_ok(ask(&agent, limit_file_size, 4096));
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_int_ne(status_of(seg).last_detach_time, 0);
	expect_ok(ask(&other, do_open, 0));
	expect_ok(ask(&other, limit_file_size, 4096));
	expect_ok(ask(&other, do_chmod, 0640));
	expect_ok(ask(&other, do_remove, 0));
	agent_end(&agent);
	agent_end(&other);
	unishm_close(seg);
}
END_TEST

static void ignore_signal(int number)
{
	(void)number;
}

static long attach_amid_signals(long unused)
{
	struct sigaction action = { .sa_handler = ignore_signal };
	struct itimerval timer = { { 0, 50 }, { 0, 50 } }, off = { { 0, 0 }, { 0, 0 } };
	(void)unused;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (int i = 0; i < 2000; i++) {
		detach(mine, attach(mine, 0));
		number_attached(mine);
	}
	for (int i = 0; i < 100; i++)
		drop(make(1, 1 << 20, 0600));
	setitimer(ITIMER_REAL, &off, NULL);
	return 0;
}

START_TEST(signals_interrupt_no_call)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(1);
	expect_ok(ask(&agent, attach_amid_signals, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(the_library_installs_no_handler_and_makes_no_child)
{
	begin(_i);
	struct sigaction before[32], after;
	memset(before, 0, sizeof before);
	for (int i = 1; i < 32; i++)
		sigaction(i, NULL, &before[i]);
	struct unishm *seg = make(0, SMALL, 0600);
	detach(seg, attach(seg, 0));
	status_of(seg);
	do_list_count(0);
	drop(seg);
	for (int i = 1; i < 32; i++) {
		sigaction(i, NULL, &after);
		ck_assert(after.sa_handler == before[i].sa_handler);
	}
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

/* ---- Many ---------------------------------------------------------------- */

START_TEST(a_thousand_attachments_of_one_process_are_counted)
{
	begin(_i);
	enum { MANY = 1000 };
	static void *addr[MANY];
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent watcher = agent_start();
	expect_ok(ask(&watcher, do_open, 0));
	for (int i = 0; i < MANY; i++)
		addr[i] = attach(seg, 0);
	expect_rc(ask(&watcher, do_number, 0), MANY);
	struct agent child = agent_start();
	expect_rc(ask(&watcher, do_number, 0), 2 * MANY);
	agent_kill(&child);
	expect_rc(ask(&watcher, do_number, 0), MANY);
	for (int i = 0; i < MANY; i += 2)
		detach(seg, addr[i]);
	expect_rc(ask(&watcher, do_number, 0), MANY / 2);
	for (int i = 1; i < MANY; i += 2)
		detach(seg, addr[i]);
	expect_rc(ask(&watcher, do_number, 0), 0);
	agent_end(&watcher);
	drop(seg);
}
END_TEST

static long fork_many(long count)
{
	static pid_t pids[1000];
	long seen;
	for (long i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			wait_to_be_killed();
		if (pids[i] < 0)
			return -errno;
	}
	seen = do_number(0);
	for (long i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	for (long i = 0; i < count; i++)
		waitpid(pids[i], NULL, 0);
	return seen;
}

START_TEST(a_thousand_processes_are_counted)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(1);
	expect_rc(ask(&agent, fork_many, 1000), 1001);
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

START_TEST(hundreds_of_segments_are_attached_at_once)
{
	begin(_i);
	enum { MANY = 300 };
	SKIP_UNLESS(!is_instrumented(), "TSan cannot see so many locks held at once");
	static struct unishm *seg[MANY];
	for (int i = 0; i < MANY; i++) {
		seg[i] = make(-1, SMALL, 0600);
		attach(seg[i], 0);
	}
	struct agent child = agent_start();
	for (int i = 0; i < MANY; i += 37)
		ck_assert_uint_eq(number_attached(seg[i]), 2);
	agent_kill(&child);
	for (int i = 0; i < MANY; i++) {
		ck_assert_uint_eq(number_attached(seg[i]), 1);
		drop(seg[i]);
	}
}
END_TEST

static void fork_group(Suite *suite)
{
	TCase *t = group(suite, "fork", NULL, 20);
	EACH(t, the_count_is_right_at_once_in_parent_and_child_after_fork);
	EACH(t, fork_is_an_attach_by_the_parent);
	EACH(t, a_fork_without_attachments_changes_nothing);
	EACH(t, an_inherited_handle_works_in_the_child);
	EACH(t, the_parent_may_leave_its_children_behind);
	EACH(t, generations_die_in_any_order);
	EACH(t, fork_carries_all_handles_and_segments);
	EACH(t, a_forked_child_keeps_a_removed_segment_alive);
	EACH(t, a_daemon_is_counted_once);
	t = group(suite, "fork limits", "native", 20);
	EACH(t, children_that_nobody_counts_leave_nothing_behind);
	EACH(t, a_fork_that_fails_changes_nothing);
}

static void thread_group(Suite *suite)
{
	TCase *t = group(suite, "thread", "native", 30);
	EACH(t, forks_in_a_threaded_program_leave_working_handles);
	EACH(t, attachments_belong_to_the_process_not_to_the_thread);
	EACH(t, messages_belong_to_the_thread);
	EACH(t, threads_share_a_handle);
	t = group(suite, "main thread", "native", 20);
	EACH(t, a_process_whose_main_thread_is_gone_still_counts);
}

static void end_group(Suite *suite)
{
	TCase *t = group(suite, "end", NULL, 20);
	EACH(t, exec_ends_attachments_though_the_process_lives);
	EACH(t, exit_abort_and_kill_end_attachments);
	EACH(t, a_killed_process_is_not_counted_by_anyone_right_after);
	EACH(t, a_zombie_is_not_counted);
	EACH(t, a_stopped_process_counts_and_blocks_nobody);
	t = group(suite, "end native", "native", 30);
	EACH(t, nothing_leaks_into_the_program_that_exec_runs);
	EACH(t, processes_killed_or_stopped_at_any_instruction_leave_nothing);
}

static void clone_group(Suite *suite)
{
	TCase *t = group(suite, "clone", "native", 20);
	EACH(t, vfork_spawn_and_system_change_nothing);
#ifdef __linux__
	EACH(t, a_raw_clone_harms_neither_parent_nor_count);
	EACH(t, a_raw_clone_can_use_its_handles);
	EACH(t, a_raw_clone_sees_what_its_parent_attaches_later);
	EACH(t, a_reused_pid_is_a_process_of_its_own);
	EACH(t, attachers_in_another_pid_namespace_are_counted);
	EACH(t, a_segment_of_a_pid_namespace_that_ended_works);
#endif
}

static void stranger_group(Suite *suite)
{
	TCase *t = group(suite, "users", NULL, 20);
	EACH(t, attachers_of_other_users_are_counted_and_their_deaths_too);
	EACH(t, a_process_that_dropped_its_privileges_forks_exactly);
	EACH(t, a_child_of_dropped_privileges_outlives_its_parent_exactly);
	t = group(suite, "strangers", "native", 20);
	EACH(t, a_process_in_an_empty_root_directory_counts_and_forks_exactly);
	EACH(t, a_program_that_closes_all_descriptors_stays_counted);
	EACH(t, each_call_works_after_all_descriptors_were_closed);
	EACH(t, a_removed_segment_of_a_program_that_closed_all_descriptors_ends_well);
	EACH(t, an_only_attachment_outlives_descriptors_and_forks);
	EACH(t, descriptors_that_became_foreign_files_are_left_alone);
	EACH(t, a_removed_segment_ends_well_though_descriptors_became_foreign);
	EACH(t, a_process_without_free_descriptors_forks_exactly);
	EACH(t, a_file_size_limit_is_in_nobodys_way);
	EACH(t, a_file_size_limit_that_comes_late_or_to_the_unattached_is_in_nobodys_way);
	EACH(t, signals_interrupt_no_call);
	EACH(t, the_library_installs_no_handler_and_makes_no_child);
}

static void many_group(Suite *suite)
{
	TCase *t = group(suite, "many", "native", 60);
	EACH(t, a_thousand_attachments_of_one_process_are_counted);
	EACH(t, a_thousand_processes_are_counted);
	EACH(t, hundreds_of_segments_are_attached_at_once);
}

static void fill(Suite *suite)
{
	fork_group(suite);
	thread_group(suite);
	end_group(suite);
	clone_group(suite);
	stranger_group(suite);
	many_group(suite);
}

int main(void)
{
	return harness_main("process", fill);
}
