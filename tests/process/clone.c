/* SPDX-License-Identifier: MIT */
/* Children that share memory, and those that no handler saw. */
#include "process.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

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

void clone_group(Suite *suite)
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
