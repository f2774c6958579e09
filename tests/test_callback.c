/* SPDX-License-Identifier: MIT */
/* Threads that are cancelled in calls, callbacks that never return, and waits for another
 * process: nothing stays locked, nothing half made, and no wait is without end. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#if HAVE_CXX
#include "exceptions.h"
#endif

static struct unishm_options options(int n, unishm_init_fn init)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(n);
	opt.oflag = O_CREAT;
	opt.size = SMALL;
	opt.mode = 0600;
	opt.init = init;
	return opt;
}

static int fill_all(void *addr, size_t size, void *arg)
{
	const char *bytes = addr;
	(void)arg;
	if (bytes[0] || bytes[size - 1])
		return -EILSEQ;
	memset(addr, 'w', size);
	return 0;
}

static int create_filled(struct unishm **seg, int n)
{
	struct unishm_options opt = options(n, fill_all);
	return unishm_open_with(seg, &opt);
}

static void check_filled(struct unishm *seg)
{
	char *bytes = attach(seg, 0);
	expect(bytes[0] == 'w' && bytes[SMALL - 1] == 'w', "%d %d", bytes[0], bytes[SMALL - 1]);
	detach(seg, bytes);
}

static void in_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;
	expect_ok(pthread_create(&thread, NULL, body, arg));
	expect_ok(pthread_join(thread, NULL));
}

/* ---- Cancellation -------------------------------------------------------- */

static int ignore(const struct unishm_status *st, void *arg)
{
	(void)st, (void)arg;
	return 0;
}

static int call_open(void)
{
	struct unishm *seg;
	int rc = unishm_open(&seg, key(0), 0, 0, 0);
	if (rc == 0)
		unishm_close(seg);
	return rc;
}

static int call_create(void)
{
	struct unishm *seg;
	int rc = unishm_open(&seg, key(1), O_CREAT, SMALL, 0600);
	if (rc == 0)
		rc = unishm_remove(seg);
	if (rc == 0)
		unishm_close(seg);
	return rc;
}

static int call_attach(void)
{
	void *addr;
	int rc = unishm_attach(mine, 0, &addr);
	return rc ? rc : unishm_detach(mine, addr);
}

static int call_replace(void)
{
	void *addr;
	int rc = unishm_attach(mine, 0, &addr);
	if (rc == 0)
		rc = unishm_attach_at(mine, addr, UNISHM_REMAP, &addr);
	return rc ? rc : unishm_detach(mine, addr);
}

static int call_lock(void)
{
	int rc = unishm_lock(mine);
	return rc ? rc : unishm_unlock(mine);
}

static int call_chmod(void)
{
	return unishm_chmod(mine, 0600);
}

static int call_chown(void)
{
	return unishm_chown(mine, (uid_t)-1, (gid_t)-1);
}

static int call_status(void)
{
	struct unishm_status st;
	return unishm_status(mine, &st);
}

static int call_list(void)
{
	return unishm_list(backend(), ignore, NULL);
}

static int call_sweep(void)
{
	return unishm_sweep(backend(), UNISHM_SWEEP_DRY, NULL, NULL);
}

static int call_print(void)
{
	struct unishm_status st;
	FILE *out = fopen("/dev/null", "we");
	int rc = unishm_status(mine, &st);
	if (rc == 0)
		rc = unishm_print(out, &st);
	int state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	fclose(out);
	return rc;
}

static int call_key(void)
{
	return unishm_key_from_path("/", 1) == -1 ? -1 : 0;
}

/* Each makes calls until one fails, and has nothing left to do between them. */
static int (*const each_call[])(void) = {
	call_open, call_create, call_attach, call_replace, call_lock, call_chmod, call_chown,
	call_status, call_list, call_sweep, call_key, call_print,
};
enum { CALLS = sizeof each_call / sizeof *each_call };

static bool can(int (*call)(void))
{
	return call != call_lock || can_lock();
}

static int answer;

/* The request is there before the call; the call has to be made all the same. */
static void *call_while_cancelled(void *call)
{
	pthread_cancel(pthread_self());
	answer = (*(int (*const *)(void))call)();
	pthread_testcancel();
	answer = 1;
	return NULL;
}

START_TEST(no_call_is_a_cancellation_point)
{
	begin(_i);
	mine = make(0, SMALL, 0600);
	for (int i = 0; i < CALLS; i++) {
		answer = 1;
		if (!can(each_call[i]) || each_call[i] == call_print)
			continue;
		in_thread(call_while_cancelled, (void *)&each_call[i]);
		ck_assert_msg(answer == 0, "call %d: %d", i, answer);
		ck_assert_int_eq(each_call[i](), 0);
		fork_and_end();
	}
	drop(mine);
}
END_TEST

static atomic_int made;

static void *call_until_cancelled(void *call)
{
	int type;
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	for (;; made++)
		(*(int (*const *)(void))call)();
	return NULL;
}

/* Cancelled at any instruction, between calls too: then a handle or an attachment is lost with
 * the thread, but nothing stays locked. */
static long cancel_each_call(long unused)
{
	(void)unused;
	mine = take(0);
	for (int round = 0; round < rounds(30) * CALLS; round++) {
		pthread_t thread;
		int which = round % CALLS;
		if (!can(each_call[which]) || each_call[which] == call_print)
			continue;
		made = 0;
		expect_ok(pthread_create(&thread, NULL, call_until_cancelled,
				(void *)&each_call[which]));
		while (made <= round / CALLS)
			sched_yield();
		pthread_cancel(thread);
		expect_ok(pthread_join(thread, NULL));
		expect_ok(each_call[which]());
		if (which == 0)
			fork_and_end();
	}
	for (int i = 0; i < CALLS; i++)
		expect(!can(each_call[i]) || each_call[i]() == 0, "call %d", i);
	return 0;
}

START_TEST(a_thread_that_is_cancelled_at_any_instruction_leaves_nothing_locked)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, cancel_each_call, 0));
	agent_end(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

/* ---- Init callbacks that never return ------------------------------------ */

static jmp_buf before_init;
static atomic_bool in_init;

static int init_that_jumps(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'h', size / 2);
	longjmp(before_init, 1);
}

static int init_that_exits(void *addr, size_t size, void *arg)
{
	memset(addr, 'h', size / 2);
	pthread_exit(arg);
}

static int init_that_is_cancelled(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'h', size / 2);
	in_init = true;
	for (;;)
		pause();
	return 0;
}

static void jump_out_of_init(int n)
{
	struct unishm_options opt = options(n, init_that_jumps);
	struct unishm *seg = NULL;
	if (setjmp(before_init) == 0)
		unishm_open_with(&seg, &opt);
	expect(!seg, "a handle");
}

static long open_or_create(long n)
{
	return create_filled(&mine, (int)n);
}

/* The key is free for all: this thread, others, and other processes; and forks go on. */
static void key_is_usable(int n)
{
	struct agent agent = agent_start();
	struct unishm *seg = NULL;
	fork_and_end();
	expect_rc(try_open(n), -ENOENT);
	expect_ok(ask(&agent, open_or_create, n));
	expect_ok(create_filled(&seg, n));
	expect(!unishm_created(seg), "it was made twice");
	check_filled(seg);
	agent_end(&agent);
	expect_ok(unishm_remove(seg));
	unishm_close(seg);
}

/* What tests of the whole process check in its end: nothing is attached or left open. */
static long jump_and_use_again(long n)
{
	struct unishm *seg = NULL;
	for (int i = 0; i < 5; i++) {
		int before = count_descriptors();
		jump_out_of_init((int)n);
		expect_ok(create_filled(&seg, (int)n));
		expect(unishm_created(seg), "the half made one is still there");
		check_filled(seg);
		drop(seg);
		expect(count_descriptors() == before, "%d, %d before", count_descriptors(), before);
	}
	return 0;
}

START_TEST(after_a_jump_out_of_init_the_same_thread_can_make_it_anew)
{
	begin(_i);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, jump_and_use_again, 0));
	agent_end(&agent);
}
END_TEST

static void *jump_and_end(void *unused)
{
	jump_out_of_init(0);
	jump_out_of_init(1);
	return unused;
}

START_TEST(what_a_jump_out_of_init_left_goes_with_its_thread)
{
	begin(_i);
	in_thread(jump_and_end, NULL);
	key_is_usable(0);
	key_is_usable(1);
}
END_TEST

static long jump_and_stay(long n)
{
	jump_out_of_init((int)n);
	fork_and_end();
	return 0;
}

START_TEST(what_a_jump_out_of_init_left_goes_with_its_process)
{
	begin(_i);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, jump_and_stay, 0));
	expect_rc(try_open(0), -ENOENT);
	agent_kill(&agent);
	key_is_usable(0);
}
END_TEST

static void *exit_in_init(void *number)
{
	struct unishm_options opt = options(*(int *)number, init_that_exits);
	struct unishm *seg;
	unishm_open_with(&seg, &opt);
	answer = 0;
	return NULL;
}

START_TEST(a_thread_may_end_in_init)
{
	begin(_i);
	int number = 0;
	answer = 1;
	in_thread(exit_in_init, &number);
	ck_assert_int_eq(answer, 1);
	key_is_usable(0);
}
END_TEST

static void *be_cancelled_in_init(void *unused)
{
	struct unishm_options opt = options(0, init_that_is_cancelled);
	struct unishm *seg;
	unishm_open_with(&seg, &opt);
	answer = 0;
	return unused;
}

START_TEST(a_thread_may_be_cancelled_in_init)
{
	begin(_i);
	pthread_t thread;
	void *how;
	answer = 1;
	in_init = false;
	expect_ok(pthread_create(&thread, NULL, be_cancelled_in_init, NULL));
	while (!in_init)
		sched_yield();
	pthread_cancel(thread);
	expect_ok(pthread_join(thread, &how));
	ck_assert_ptr_eq(how, PTHREAD_CANCELED);
	ck_assert_int_eq(answer, 1);
	key_is_usable(0);
}
END_TEST

/* A private one has no key that could be used again. */
START_TEST(a_private_segment_left_in_init_goes_with_its_thread)
{
	begin(_i);
	int count = count_descriptors(), number = -1;
	in_thread(exit_in_init, &number);
	ck_assert_int_eq(count_descriptors(), count);
	expect_rc(do_list_count(0), 0);
}
END_TEST

#if HAVE_CXX
START_TEST(init_may_be_left_by_an_exception)
{
	begin(_i);
	for (int i = 0; i < 3; i++) {
		struct unishm_options opt = options(i ? 0 : -1, NULL);
		struct unishm *seg = NULL;
		ck_assert(open_with_exception(&seg, &opt));
		ck_assert_ptr_null(seg);
		key_is_usable(0);
	}
}
END_TEST

START_TEST(visit_may_be_left_by_an_exception)
{
	begin(_i);
	mine = make(0, SMALL, 0600);
	ck_assert(list_with_exception(backend()));
	fork_and_end();
	expect_rc(do_list_count(0), 1);
	drop(mine);
}
END_TEST
#endif

static int use_another_key(void *addr, size_t size, void *arg)
{
	struct unishm *seg = NULL;
	expect_ok(create_filled(&seg, *(int *)arg));
	check_filled(seg);
	drop(seg);
	fork_and_end();
	return fill_all(addr, size, NULL);
}

START_TEST(init_may_use_the_library_on_other_keys)
{
	begin(_i);
	int other = 1;
	struct unishm_options opt = options(0, use_another_key);
	struct unishm *seg = NULL;
	opt.arg = &other;
	expect_ok(unishm_open_with(&seg, &opt));
	check_filled(seg);
	drop(seg);
}
END_TEST

static int fail_so(void *addr, size_t size, void *code)
{
	memset(addr, 'h', size);
	return *(const int *)code;
}

START_TEST(init_may_fail_with_any_code)
{
	begin(_i);
	static int codes[] = { -ECANCELED, -EINTR, -ETIMEDOUT, -EAGAIN, -EEXIST, -ENOENT, -EBUSY };
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct unishm_options opt = options(0, fail_so);
		struct unishm *seg = NULL;
		opt.arg = &codes[i];
		expect_rc(unishm_open_with(&seg, &opt), codes[i]);
		expect_rc(try_open(0), -ENOENT);
		expect_ok(create_filled(&seg, 0));
		drop(seg);
	}
}
END_TEST

/* ---- Visits that never return -------------------------------------------- */

static jmp_buf before_list;

static int visit_that_jumps(const struct unishm_status *st, void *arg)
{
	(void)st, (void)arg;
	longjmp(before_list, 1);
}

static int visit_that_exits(const struct unishm_status *st, void *arg)
{
	(void)st;
	pthread_exit(arg);
}

static void *exit_in_visit(void *unused)
{
	unishm_list(backend(), visit_that_exits, NULL);
	return unused;
}

static long leave_visits(long unused)
{
	mine = take(0);
	if (setjmp(before_list) == 0)
		unishm_list(backend(), visit_that_jumps, NULL);
	fork_and_end();
	in_thread(exit_in_visit, NULL);
	fork_and_end();
	expect_ok(call_attach());
	return do_list_count(unused);
}

START_TEST(visit_may_be_left_for_good)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_rc(ask(&agent, leave_visits, 0), 1);
	agent_kill(&agent);
	drop(seg);
}
END_TEST

/* ---- Waiting for another process ----------------------------------------- */

static int slow_init(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'h', size / 2);
	say_word();
	wait_to_be_killed();
}

static long create_slowly(long n)
{
	struct unishm_options opt = options((int)n, slow_init);
	return unishm_open_with(&mine, &opt);
}

static struct agent slow_creator(void)
{
	struct agent agent = agent_start();
	tell(&agent, create_slowly, 0);
	hear_word(&agent);
	return agent;
}

START_TEST(a_wait_for_init_ends_at_its_limit)
{
	begin(_i);
	struct agent agent = slow_creator();
	struct unishm_options opt = options(0, NULL);
	struct unishm *seg = NULL;
	struct timespec start, end;
	opt.wait_ms = 100;
	clock_gettime(CLOCK_MONOTONIC, &start);
	expect_rc(unishm_open_with(&seg, &opt), -ETIMEDOUT);
	clock_gettime(CLOCK_MONOTONIC, &end);
	ck_assert_ptr_null(seg);
	ck_assert((end.tv_sec - start.tv_sec) * 1000 +
			(end.tv_nsec - start.tv_nsec) / 1000000 >= 99);
	ck_assert_msg(strstr(unishm_errmsg(), "wait for"), "%s", unishm_errmsg());
	agent_kill(&agent);
	key_is_usable(0);
}
END_TEST

static volatile sig_atomic_t rung;

static void ring(int sig)
{
	(void)sig;
	rung++;
}

/* One signal is enough, wherever it finds the call, and with SA_RESTART, too. */
START_TEST(a_wait_for_init_gives_way_to_a_signal)
{
	begin(_i);
	SKIP_UNLESS(!emulator(), "pselect() of qemu-user misses signals that come before it waits");
	struct agent agent = slow_creator();
	struct sigaction action = { .sa_handler = ring, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &action, NULL);
	for (int i = 0; i < rounds(50); i++) {
		struct unishm *seg = NULL;
		struct itimerval timer = { .it_value = { 0, 20000 + i % 10 * 100 } };
		rung = 0;
		setitimer(ITIMER_REAL, &timer, NULL);
		expect_rc(unishm_open(&seg, key(0), O_CREAT, SMALL, 0600), -EINTR);
		ck_assert_int_eq(rung, 1);
	}
	agent_kill(&agent);
	key_is_usable(0);
}
END_TEST

static long open_in_the_meantime(long n)
{
	sigset_t blocked;
	say_word();
	long rc = create_filled(&mine, (int)n);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	return sigismember(&blocked, SIGALRM) ? -EDEADLK : rc;
}

START_TEST(one_who_waited_takes_over_when_the_creator_dies)
{
	begin(_i);
	struct agent agent = slow_creator(), other = agent_start();
	tell(&other, open_in_the_meantime, 0);
	hear_word(&other);
	agent_kill(&agent);
	expect_ok(hear(&other));
	struct unishm *seg = take(0);
	check_filled(seg);
	agent_end(&other);
	drop(seg);
}
END_TEST

static void fill(Suite *suite)
{
	TCase *t = group(suite, "cancellation", "native", 60);
	EACH(t, no_call_is_a_cancellation_point);
	EACH(t, a_thread_that_is_cancelled_at_any_instruction_leaves_nothing_locked);
	t = group(suite, "init", "native", 30);
	EACH(t, after_a_jump_out_of_init_the_same_thread_can_make_it_anew);
	EACH(t, what_a_jump_out_of_init_left_goes_with_its_thread);
	EACH(t, what_a_jump_out_of_init_left_goes_with_its_process);
	EACH(t, a_thread_may_end_in_init);
	EACH(t, a_thread_may_be_cancelled_in_init);
	EACH(t, a_private_segment_left_in_init_goes_with_its_thread);
	EACH(t, init_may_use_the_library_on_other_keys);
	EACH(t, init_may_fail_with_any_code);
	t = group(suite, "visit", "native", 20);
	EACH(t, visit_may_be_left_for_good);
#if HAVE_CXX
	t = group(suite, "exceptions", "native", 30);
	EACH(t, init_may_be_left_by_an_exception);
	EACH(t, visit_may_be_left_by_an_exception);
#endif
	t = group(suite, "waiting", NULL, 30);
	EACH(t, a_wait_for_init_ends_at_its_limit);
	EACH(t, a_wait_for_init_gives_way_to_a_signal);
	EACH(t, one_who_waited_takes_over_when_the_creator_dies);
}

int main(void)
{
	return harness_main("callback", fill);
}
