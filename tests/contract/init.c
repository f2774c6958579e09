/* SPDX-License-Identifier: MIT */
/* The init callback. */
#include "contract.h"

#include <sched.h>

static int open_with_init(struct unishm **seg, int n, int oflag, size_t size, unishm_init_fn init,
		void *arg)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(n);
	opt.oflag = oflag;
	opt.size = size;
	opt.mode = 0600;
	opt.init = init;
	opt.arg = arg;
	return unishm_open_with(seg, &opt);
}

static int check_and_fill(void *addr, size_t size, void *arg)
{
	char *bytes = addr;
	if (!all_are(bytes, size, 0))
		return -EILSEQ;
	for (size_t i = 0; i < size; i++)
		bytes[i] = 'i';
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
	return 0;
}

START_TEST(init_fills_a_new_segment_and_never_an_old_one)
{
	begin(_i);
	struct unishm *seg, *again;
	int calls = 0;
	for (int n = -1; n < 1; n++) {
		expect_ok(open_with_init(&seg, n, O_CREAT, 5000, check_and_fill, &calls));
		ck_assert_int_eq(calls, n + 2);
		ck_assert(unishm_created(seg));
		struct unishm_status st = status_of(seg);
		ck_assert_uint_eq(st.number_attached, 0);
		ck_assert_uint_eq(st.mode, 0600);
		char *addr = attach(seg, 0);
		ck_assert(all_are(addr, 5000, 'i'));
		if (n < 0)
			drop(seg);
	}
	expect_ok(open_with_init(&again, 0, O_CREAT, 5000, check_and_fill, &calls));
	ck_assert_int_eq(calls, 2);
	ck_assert(!unishm_created(again));
	unishm_close(again);
	drop(seg);
}
END_TEST

START_TEST(after_init_the_status_shows_the_creators_own_attachment)
{
	begin(_i);
	struct unishm *seg;
	int calls = 0;
	expect_ok(open_with_init(&seg, 0, O_CREAT, SMALL, check_and_fill, &calls));
	struct unishm_status st = status_of(seg);
	/* System V cannot fill a segment without, and POSIX does as it does. */
	ck_assert_uint_eq(st.number_attached, 0);
	ck_assert_int_eq(st.last_op_process, getpid());
	ck_assert(since(st.last_change_time, st.last_attach_time));
	ck_assert(since(st.last_change_time, st.last_detach_time));
	drop(seg);
}
END_TEST

static int refuse(void *addr, size_t size, void *arg)
{
	memset(addr, 'r', size);
	return *(int *)arg;
}

START_TEST(a_failing_init_creates_nothing)
{
	begin(_i);
	struct unishm *seg = NULL;
	int why = -EHOSTDOWN;
	ck_assert_int_eq(open_with_init(&seg, 0, O_CREAT, SMALL, refuse, &why), -EHOSTDOWN);
	ck_assert_int_eq(
			open_with_init(&seg, 0, O_CREAT | O_EXCL, SMALL, refuse, &why), -EHOSTDOWN);
	ck_assert_int_eq(open_with_init(&seg, -1, 0, SMALL, refuse, &why), -EHOSTDOWN);
	ck_assert_ptr_null(seg);
	ck_assert_int_eq(try_open(0), -ENOENT);
	if (is_isolated())
		ck_assert_uint_eq(memory_used(), 0);
	drop(make(0, SMALL, 0600));
}
END_TEST

enum { RACERS = 6, RACED_SIZE = 40000 };

/* Open or create with init, and look at once. 1: created, 0: opened. */
static long race_to_create(long n)
{
	if (open_with_init(&mine, (int)n, O_CREAT, RACED_SIZE, check_and_fill,
			    (void *)&board->count) < 0)
		return -1;
	bool made = unishm_created(mine);
	bool filled = all_are(attach(mine, UNISHM_RDONLY), RACED_SIZE, 'i');
	unishm_close(mine);
	return filled ? made : -2;
}

START_TEST(racing_creators_run_init_once_and_see_whole_segments)
{
	begin(_i);
	struct agent racer[RACERS];
	for (int i = 0; i < RACERS; i++)
		racer[i] = agent_start();
	for (int round = 0; round < rounds(100); round++) {
		board->count = 0;
		for (int i = 0; i < RACERS; i++)
			tell(&racer[i], race_to_create, 0);
		long made = 0;
		for (int i = 0; i < RACERS; i++) {
			long got = hear(&racer[i]);
			ck_assert_msg(got >= 0, "racer %d got %ld in round %d", i, got, round);
			made += got;
		}
		ck_assert_int_eq(made, 1);
		ck_assert_int_eq(board->count, 1);
		drop(take(0));
	}
	for (int i = 0; i < RACERS; i++)
		agent_end(&racer[i]);
}
END_TEST

/* Creating with a small chance for whoever comes: create, or find, and remove. */
static long race_exclusively(long n)
{
	int rc = unishm_open(&mine, key((int)n), O_CREAT | O_EXCL, SMALL, 0600);
	if (rc == 0)
		unishm_close(mine);
	return rc;
}

START_TEST(one_of_many_exclusive_creators_wins)
{
	begin(_i);
	struct agent racer[RACERS];
	for (int i = 0; i < RACERS; i++)
		racer[i] = agent_start();
	for (int round = 0; round < rounds(100); round++) {
		int won = 0;
		for (int i = 0; i < RACERS; i++)
			tell(&racer[i], race_exclusively, 0);
		for (int i = 0; i < RACERS; i++) {
			long rc = hear(&racer[i]);
			ck_assert_msg(rc == 0 || rc == -EEXIST, "got %ld", rc);
			won += rc == 0;
		}
		ck_assert_int_eq(won, 1);
		drop(take(0));
	}
	for (int i = 0; i < RACERS; i++)
		agent_end(&racer[i]);
}
END_TEST

static int stop_in_the_middle(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'h', size / 2);
	say_word();
	if (size)
		wait_to_be_killed();
	return 0;
}

static long create_and_hang(long n)
{
	return open_with_init(&mine, (int)n, O_CREAT, SMALL, stop_in_the_middle, NULL);
}

START_TEST(a_segment_in_the_making_is_not_there_yet)
{
	begin(_i);
	struct agent agent = agent_start(), other = agent_start();
	tell(&agent, create_and_hang, 0);
	hear_word(&agent);
	expect_rc(ask(&other, do_open, 0), -ENOENT);
	expect_rc(ask(&other, do_list_count, 0), 0);
	agent_kill(&agent);
	expect_rc(ask(&other, do_open, 0), -ENOENT);
	agent_end(&other);
	int calls = 0;
	struct unishm *seg;
	expect_ok(open_with_init(&seg, 0, O_CREAT | O_EXCL, SMALL, check_and_fill, &calls));
	ck_assert(all_are(attach(seg, 0), SMALL, 'i'));
	drop(seg);
}
END_TEST

static long create_with_init(long n)
{
	return open_with_init(&mine, (int)n, O_CREAT, SMALL, check_and_fill, (void *)&board->count);
}

START_TEST(a_creator_killed_in_init_blocks_no_process)
{
	begin(_i);
	static const task creators[] = { create_plainly, create_with_init, do_create };
	for (int i = 0; i < 3; i++) {
		struct agent agent = agent_start(), other = agent_start();
		tell(&agent, create_and_hang, 0);
		hear_word(&agent);
		agent_kill(&agent);
		expect_ok(ask(&other, creators[i], 0));
		expect_ok(ask(&other, do_attach, 0));
		ck_assert_int_eq(ask(&other, do_read, SMALL - 1),
				creators[i] == create_with_init ? 'i' : 0);
		ck_assert_int_eq(
				ask(&other, do_read, 0), creators[i] == create_with_init ? 'i' : 0);
		expect_ok(ask(&other, do_remove, 0));
		agent_end(&other);
	}
}
END_TEST

static long live_and_remove(long n)
{
	board->flag = 1;
	for (;;) {
		if (open_with_init(&mine, (int)n, O_CREAT, 20000, check_and_fill,
				    (void *)&board->count) < 0)
			continue;
		void *addr;
		if (unishm_attach(mine, 0, &addr) == 0)
			expect(all_are(addr, 20000, 'i'), "half-made");
		unishm_remove(mine);
		unishm_close(mine);
	}
	return 0;
}

START_TEST(creators_killed_anywhere_leave_a_usable_key_and_no_memory)
{
	begin(_i);
	unsigned seed = 12345;
	for (int round = 0; round < rounds(100); round++) {
		struct agent agent[2] = { agent_start(), agent_start() };
		board->flag = 0;
		tell(&agent[0], live_and_remove, 0);
		tell(&agent[1], live_and_remove, 0);
		while (!board->flag)
			sched_yield();
		seed = seed * 1103515245 + 12345;
		struct timespec nap = { 0, (long)(seed >> 8) % 2000000 };
		nanosleep(&nap, NULL); /* the kill is to come anywhere */
		agent_kill(&agent[0]);
		agent_kill(&agent[1]);
		int calls = 0;
		struct unishm *seg;
		expect_ok(open_with_init(&seg, 0, O_CREAT, 20000, check_and_fill, &calls));
		ck_assert_uint_eq(number_attached(seg), 0);
		ck_assert(all_are(attach(seg, 0), 20000, 'i'));
		drop(seg);
		sweep_drafts();
		if (is_isolated())
			ck_assert_uint_eq(memory_used(), 0);
	}
}
END_TEST

void init_group(Suite *suite)
{
	TCase *t = group(suite, "init", NULL, 15);
	EACH(t, init_fills_a_new_segment_and_never_an_old_one);
	EACH(t, after_init_the_status_shows_the_creators_own_attachment);
	EACH(t, a_failing_init_creates_nothing);
	EACH(t, a_segment_in_the_making_is_not_there_yet);
	EACH(t, a_creator_killed_in_init_blocks_no_process);
	t = group(suite, "races", "native", 40);
	EACH(t, racing_creators_run_init_once_and_see_whole_segments);
	EACH(t, one_of_many_exclusive_creators_wins);
	EACH(t, creators_killed_anywhere_leave_a_usable_key_and_no_memory);
}
