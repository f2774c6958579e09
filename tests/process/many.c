/* SPDX-License-Identifier: MIT */
/* Many attachments, processes and segments. */
#include "process.h"

#include <signal.h>
#include <sys/wait.h>

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

void many_group(Suite *suite)
{
	TCase *t = group(suite, "many", "native", 60);
	EACH(t, a_thousand_attachments_of_one_process_are_counted);
	EACH(t, a_thousand_processes_are_counted);
	EACH(t, hundreds_of_segments_are_attached_at_once);
}
