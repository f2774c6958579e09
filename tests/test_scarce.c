/* SPDX-License-Identifier: MIT */
/*
 * Processes that have no descriptor left when they fork (POSIX backend): the process itself has to
 * hold what the descriptions held.
 */
#include <sched.h>
#include <sys/resource.h>

#include "harness.h"

enum { TWICE = 2 };

static void *places[TWICE];
static struct rlimit usual;

/* ---- Tasks of agents --------------------------------------------------------------- */

static long attach_twice(long flags)
{
	mine = take(0);
	for (int i = 0; i < TWICE; i++)
		places[i] = attach(mine, (int)flags);
	return getrlimit(RLIMIT_NOFILE, &usual) < 0 ? -errno : 0;
}

static long open_no_more(long arg)
{
	struct rlimit none = { 1, usual.rlim_max };
	(void)arg;
	return setrlimit(RLIMIT_NOFILE, &none) < 0 ? -errno : 0;
}

static long open_one_more(long arg)
{
	int next = dup(0);
	struct rlimit one = { (rlim_t)next + 1, usual.rlim_max };
	(void)arg;
	if (next < 0)
		return -errno;
	close(next);
	return setrlimit(RLIMIT_NOFILE, &one) < 0 ? -errno : 0;
}

static long open_again(long arg)
{
	(void)arg;
	return setrlimit(RLIMIT_NOFILE, &usual) < 0 ? -errno : 0;
}

/* The child leaves one by one, and says so without a descriptor. Its pid, or what failed. */
static long have_child_that_detaches(long arg)
{
	int rc = 0;
	(void)arg;
	atomic_store(&board->flag, 0);
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; rc == 0 && i < TWICE; i++)
			rc = unishm_detach(mine, places[i]);
		atomic_store(&board->flag, rc == 0 ? 1 : rc);
		wait_to_be_killed();
	}
	while (child > 0 && atomic_load(&board->flag) == 0)
		sched_yield();
	if (child < 0)
		return -errno;
	rc = atomic_load(&board->flag);
	return rc < 0 ? rc : child;
}

static long detach_one(long which)
{
	return unishm_detach(mine, places[which]);
}

/* ---- What others see --------------------------------------------------------------- */

/* That many are attached, or the status says that the number may be off. */
static void check_number(unsigned long want)
{
	struct unishm_status st = status_of(mine);
	ck_assert_msg(st.number_attached == want || st.inexact & UNISHM_EMULATED_NUMBER_ATTACHED,
			"%lu attached, not %lu", st.number_attached, want);
}

static void fork_without_descriptors(struct agent *agent, long flags)
{
	expect_ok(ask(agent, attach_twice, flags));
	ck_assert_uint_eq(number_attached(mine), TWICE);
	expect_ok(ask(agent, open_no_more, 0));
	long child = ask(agent, do_fork, 0);
	expect(child > 0, "cannot fork: %ld", child);
	check_number(2 * TWICE);
	expect_ok(ask(agent, open_again, 0));
	expect_ok(ask(agent, do_reap, child));
	ck_assert_uint_eq(number_attached(mine), TWICE);
}

static void leave_one_by_one(struct agent *agent)
{
	expect_ok(ask(agent, detach_one, 0));
	ck_assert_uint_eq(number_attached(mine), 1);
	expect_ok(ask(agent, detach_one, 1));
	ck_assert_uint_eq(number_attached(mine), 0);
}

START_TEST(a_reader_that_can_open_nothing_forks_and_stays_counted)
{
	begin(_i);
	SKIP_UNLESS(is_root() && can_share(), "needs another user");
	mine = make(0, SMALL, 0644);
	struct agent agent = agent_start_as(NOBODY);
	fork_without_descriptors(&agent, UNISHM_RDONLY);
	leave_one_by_one(&agent);
	agent_end(&agent);
	drop(mine);
}
END_TEST

START_TEST(a_writer_that_can_open_nothing_forks_and_stays_counted)
{
	begin(_i);
	mine = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	fork_without_descriptors(&agent, 0);
	leave_one_by_one(&agent);
	agent_end(&agent);
	drop(mine);
}
END_TEST

/* The description that serves all holds of the child lets go of them when the last one ends. */
START_TEST(a_child_with_one_descriptor_for_all_leaves_when_it_has_detached_all)
{
	begin(_i);
	SKIP_UNLESS(is_root() && can_share(), "needs another user");
	mine = make(0, SMALL, 0644);
	struct agent agent = agent_start_as(NOBODY);
	expect_ok(ask(&agent, attach_twice, UNISHM_RDONLY));
	expect_ok(ask(&agent, open_one_more, 0));
	long child = ask(&agent, have_child_that_detaches, 0);
	expect(child > 0, "the child did not detach: %ld", child);
	check_number(TWICE);
	expect_ok(ask(&agent, do_reap, child));
	ck_assert_uint_eq(number_attached(mine), TWICE);
	expect_ok(ask(&agent, open_again, 0));
	leave_one_by_one(&agent);
	agent_end(&agent);
	drop(mine);
}
END_TEST

/* What the process holds goes with any close of the object: the next call takes it anew. */
static void close_all_and_ask(struct agent *agent)
{
	expect_ok(ask(agent, do_close_descriptors, 3));
	expect_ok(ask(agent, do_status, 0));
	ck_assert_uint_eq(number_attached(mine), TWICE);
	expect_ok(ask(agent, do_close, 0));
	ck_assert_uint_eq(number_attached(mine), 0);
}

START_TEST(a_reader_held_by_its_process_is_counted_again_after_all_was_closed)
{
	begin(_i);
	SKIP_UNLESS(is_root() && can_share(), "needs another user");
	mine = make(0, SMALL, 0644);
	struct agent agent = agent_start_as(NOBODY);
	fork_without_descriptors(&agent, UNISHM_RDONLY);
	close_all_and_ask(&agent);
	agent_end(&agent);
	drop(mine);
}
END_TEST

START_TEST(a_writer_held_by_its_process_is_counted_again_after_all_was_closed)
{
	begin(_i);
	mine = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	fork_without_descriptors(&agent, 0);
	close_all_and_ask(&agent);
	agent_end(&agent);
	drop(mine);
}
END_TEST

static void fill(Suite *suite)
{
	TCase *t = group(suite, "scarce", "native", 20);
	EACH(t, a_reader_that_can_open_nothing_forks_and_stays_counted);
	EACH(t, a_writer_that_can_open_nothing_forks_and_stays_counted);
	EACH(t, a_child_with_one_descriptor_for_all_leaves_when_it_has_detached_all);
	EACH(t, a_reader_held_by_its_process_is_counted_again_after_all_was_closed);
	EACH(t, a_writer_held_by_its_process_is_counted_again_after_all_was_closed);
}

int main(void)
{
	return harness_main("scarce", fill);
}
