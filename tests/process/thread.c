/* SPDX-License-Identifier: MIT */
/* Threads. */
#include "process.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

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

void thread_group(Suite *suite)
{
	TCase *t = group(suite, "thread", "native", 30);
	EACH(t, forks_in_a_threaded_program_leave_working_handles);
	EACH(t, attachments_belong_to_the_process_not_to_the_thread);
	EACH(t, messages_belong_to_the_thread);
	EACH(t, threads_share_a_handle);
	t = group(suite, "main thread", "native", 20);
	EACH(t, a_process_whose_main_thread_is_gone_still_counts);
}
