/* SPDX-License-Identifier: MIT */
/* Forks. */
#include "process.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

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
	for (long i = 0; i < count; i++)
		fork_and_end();
	return 0;
}

/* What ended children leave behind must not pile up. */
START_TEST(children_that_end_uncounted_leave_nothing_behind)
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

void fork_group(Suite *suite)
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
	EACH(t, children_that_end_uncounted_leave_nothing_behind);
	EACH(t, a_fork_that_fails_changes_nothing);
}
