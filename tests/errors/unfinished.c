/* SPDX-License-Identifier: MIT */
/* What killed makers leave, and what only looks like it. */
#include "errors.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

static int die_filling(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 1, size);
	raise(SIGKILL);
	return 0;
}

static int wait_filling(void *addr, size_t size, void *arg)
{
	(void)addr, (void)size, (void)arg;
	say_word();
	while (!board->flag)
		sched_yield();
	return 0;
}

static int make_by(unishm_init_fn init, mode_t mode, struct unishm **seg)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(0);
	opt.oflag = O_CREAT;
	opt.size = SMALL;
	opt.mode = mode;
	opt.init = init;
	return unishm_open_with(seg, &opt);
}

static void leave_unfinished(mode_t mode)
{
	struct unishm *seg;
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(make_by(die_filling, mode, &seg) < 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int count_visit(const struct unishm_status *st, void *arg)
{
	ck_assert_int_eq(st->key, key(0));
	++*(int *)arg;
	return 0;
}

int swept(int flags)
{
	int count = 0;
	expect_ok(unishm_sweep(NULL, flags, count_visit, &count));
	return count;
}

START_TEST(what_a_killed_maker_left_is_removed_by_who_creates_or_sweeps_alone)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "sweeps");
	struct unishm *seg = NULL;
	leave_unfinished(0600);
	ck_assert_int_eq(try_open(0), -ENOENT);
	ck_assert_int_eq(do_list_count(0), 0);
	ck_assert_int_eq(swept(UNISHM_SWEEP_DRY), 1); /* it is still there */
	ck_assert_int_eq(swept(0), 1);
	ck_assert_int_eq(swept(0), 0);
	leave_unfinished(0600);
	drop(make(0, SMALL, 0600)); /* by O_CREAT | O_EXCL */
	leave_unfinished(0600);
	expect_ok(unishm_open(&seg, key(0), O_CREAT, SMALL, 0600));
	ck_assert(unishm_created(seg));
	drop(seg);
}
END_TEST

static long do_take_or_create(long n)
{
	return unishm_open(&mine, key((int)n), O_CREAT, SMALL, 0600);
}

static long make_waiting(long unused)
{
	(void)unused;
	return make_by(wait_filling, 0600, &mine);
}

START_TEST(who_makes_a_segment_is_waited_for_and_not_swept)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "sweeps");
	struct agent maker = agent_start(), agent = agent_start();
	struct pollfd answer = { agent.from, POLLIN, 0 };
	struct unishm *seg = NULL;
	board->flag = 0;
	tell(&maker, make_waiting, 0);
	hear_word(&maker);
	ck_assert_int_eq(try_open(0), -ENOENT);
	ck_assert_int_eq(do_list_count(0), 0);
	ck_assert_int_eq(swept(0), 0);
	ck_assert_int_eq(unishm_open(&seg, key(0), O_CREAT | O_EXCL, SMALL, 0600), -EEXIST);
	tell(&agent, do_take_or_create, 0);
	ck_assert_int_eq(poll(&answer, 1, 50), 0);
	board->flag = 1;
	expect_ok(hear(&maker));
	expect_ok(hear(&agent));
	expect_ok(ask(&agent, do_remove, 0));
	agent_end(&maker);
	agent_end(&agent);
}
END_TEST

START_TEST(who_may_not_sweep_is_told_whose_it_is)
{
	begin(_i);
	SKIP_UNLESS(is_isolated() && on("posix") && can_share(), "is about POSIX objects");
	SKIP_UNLESS(is_root(), "needs root, to be another user");
	struct agent agent = agent_start_as(1);
	leave_unfinished(0666);
	expect_rc(ask(&agent, do_open, 0), -ENOENT);
	expect_rc(ask(&agent, do_take_or_create, 0), -EACCES);
	ck_assert_ptr_nonnull(strstr(board->said, "user 0 was killed"));
	drop(make(0, SMALL, 0600));
	agent_end(&agent);
}
END_TEST

void unfinished_group(Suite *suite)
{
	TCase *t = group(suite, "unfinished", NULL, 30);
	EACH(t, what_a_killed_maker_left_is_removed_by_who_creates_or_sweeps_alone);
	EACH(t, who_makes_a_segment_is_waited_for_and_not_swept);
	EACH(t, who_may_not_sweep_is_told_whose_it_is);
}
