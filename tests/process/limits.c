/* SPDX-License-Identifier: MIT */
/* Limits of the process, signals, and handlers. */
#include "process.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

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

START_TEST(a_file_size_limit_stops_no_call)
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

START_TEST(a_file_size_limit_that_comes_late_or_to_the_unattached_stops_no_call)
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

void limit_group(Suite *suite)
{
	TCase *t = group(suite, "limits", "native", 20);
	EACH(t, a_process_without_free_descriptors_forks_exactly);
	EACH(t, a_file_size_limit_stops_no_call);
	EACH(t, a_file_size_limit_that_comes_late_or_to_the_unattached_stops_no_call);
	EACH(t, signals_interrupt_no_call);
	EACH(t, the_library_installs_no_handler_and_makes_no_child);
}
