/* SPDX-License-Identifier: MIT */
/* The end of attachments: exec, exit, death. */
#include "process.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Become cat(1), which reads what the test writes. */
static long exec_cat(long unused)
{
	(void)unused;
	dup2(cat.in[0], 0);
	dup2(cat.out[1], 1);
	execl("/bin/cat", "cat", (char *)NULL);
	return -errno;
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

START_TEST(a_stopped_process_counts_and_blocks_no_other)
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
		if (i % 16 == 0)
			fork_and_end();
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
		detach(seg, attach(seg, 0)); /* they block no other */
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

void end_group(Suite *suite)
{
	TCase *t = group(suite, "end", NULL, 20);
	EACH(t, exec_ends_attachments_though_the_process_lives);
	EACH(t, exit_abort_and_kill_end_attachments);
	EACH(t, a_killed_process_is_not_counted_by_anyone_right_after);
	EACH(t, a_zombie_is_not_counted);
	EACH(t, a_stopped_process_counts_and_blocks_no_other);
	t = group(suite, "end native", "native", 30);
	EACH(t, nothing_leaks_into_the_program_that_exec_runs);
	EACH(t, processes_killed_or_stopped_at_any_instruction_leave_nothing);
}
