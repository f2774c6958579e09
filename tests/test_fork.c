/* SPDX-License-Identifier: MIT */
/* Forks at any time: from the program's own fork handlers, beside threads that call without
 * pause or wait in callbacks, within callbacks, and in signal handlers that interrupted a call.
 * None may hang, and parent and child go on with working handles. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { MOST_THREADS = 4 };

/* ---- The program's own fork handlers ------------------------------------- */

enum { BEFORE, IN_PARENT, IN_CHILD, PLACES };

/* What handlers do now; @early are those that were registered before the library's. */
static void (*late_handler[PLACES])(void), (*early_handler[PLACES])(void);

static void run(void (*handler)(void))
{
	if (handler)
		handler();
}

#define HANDLER(when, place)                                    \
	static void when##_##place(void)                        \
	{                                                       \
		run(when##_handler[place]);                     \
	}
HANDLER(late, BEFORE)
HANDLER(late, IN_PARENT)
HANDLER(late, IN_CHILD)
HANDLER(early, BEFORE)
HANDLER(early, IN_PARENT)
HANDLER(early, IN_CHILD)

/* In the order of linking, this one comes before the library's of the same number. */
__attribute__((constructor(101))) static void register_before_the_library(void)
{
	pthread_atfork(early_BEFORE, early_IN_PARENT, early_IN_CHILD);
}

__attribute__((constructor)) static void register_at_start(void)
{
	pthread_atfork(late_BEFORE, late_IN_PARENT, late_IN_CHILD);
}

static int count_one(const struct unishm_status *st, void *arg)
{
	(void)st;
	++*(int *)arg;
	return 0;
}

/* Use the library by all kinds of calls, while others may attach. */
static void use(struct unishm *seg)
{
	int count = 0;
	void *addr = attach(seg, 0);
	expect(number_attached(seg) > 0, "it is not counted");
	detach(seg, addr);
	struct unishm *again = take(0);
	unishm_close(again);
	expect_ok(unishm_list(backend(), count_one, &count));
	expect(count > 0, "%d", count);
}

static void use_mine(void)
{
	use(mine);
	board->count++;
}

/* The same while no other attaches. */
static void use_alone(void)
{
	unsigned long before = number_attached(mine);
	void *addr = attach(mine, 0);
	expect(number_attached(mine) == before + 1, "%lu", number_attached(mine));
	detach(mine, addr);
	use_mine();
}

/* Fork; the child runs @in_child and ends. */
static void fork_once(void (*in_child)(void))
{
	int ended = 0;
	pid_t pid = fork();
	if (pid == 0) {
		run(in_child);
		_exit(0);
	}
	expect(pid > 0, "errno %d", errno);
	while (waitpid(pid, &ended, 0) < 0)
		expect(errno == EINTR, "errno %d", errno);
	expect(ended == 0, "the child ended with %#x", (unsigned)ended);
}

static long fork_with_handlers(long place)
{
	void (**handlers)(void) = place < PLACES ? late_handler : early_handler;
	void (*how)(void) = place % PLACES == IN_PARENT ? use_mine : use_alone; /* beside the child
										 */
	mine = take(0);
	void *addr = attach(mine, 0);
	board->count = 0;
	handlers[place % PLACES] = how;
	for (int i = 0; i < 10; i++)
		fork_once(how);
	handlers[place % PLACES] = NULL;
	expect_rc(board->count, 20);
	use(mine);
	detach(mine, addr);
	unishm_close(mine);
	return 0;
}

static void fork_with_each_handler(int from)
{
	struct unishm *seg = make(0, SMALL, 0600);
	for (int place = from; place < from + PLACES; place++) {
		struct agent agent = agent_start();
		expect_ok(ask(&agent, fork_with_handlers, place));
		agent_end(&agent);
		ck_assert_uint_eq(number_attached(seg), 0);
	}
	drop(seg);
}

START_TEST(fork_handlers_of_the_program_may_use_the_library)
{
	begin(_i);
	fork_with_each_handler(0);
}
END_TEST

START_TEST(fork_handlers_that_run_between_ours_may_use_the_library)
{
	begin(_i);
	fork_with_each_handler(PLACES);
}
END_TEST

static void *places_of_parent[4];

/* The parent is still within fork(), and has what it opened for the child. */
static void await_child_in_fork(void)
{
	while (board->flag == 0)
		sched_yield();
}

/* Detach the attachments that the parent had: what is given up must not be counted. */
static void give_up_one_by_one(void)
{
	unsigned long count = number_attached(mine);
	for (int i = 0; i < 4; i++) {
		detach(mine, places_of_parent[i]);
		unsigned long now = number_attached(mine);
		if (now != --count)
			board->count++;
	}
	board->flag = 1;
}

static long fork_with_attachments(long flags)
{
	mine = take(0);
	board->flag = board->count = 0;
	for (int i = 0; i < 4; i++)
		places_of_parent[i] = attach(mine, (int)flags);
	early_handler[IN_PARENT] = await_child_in_fork;
	fork_once(give_up_one_by_one);
	early_handler[IN_PARENT] = NULL;
	expect(board->count == 0, "%d times a wrong count", board->count);
	expect_rc((long)number_attached(mine), 4);
	unishm_close(mine);
	return 0;
}

static void give_up_as(uid_t user, int flags)
{
	struct unishm *seg = make(0, SMALL, 0644);
	struct agent agent = user ? agent_start_as(user) : agent_start();
	expect_ok(ask(&agent, fork_with_attachments, flags));
	agent_end(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}

START_TEST(what_a_child_gives_up_is_not_counted_though_fork_has_not_returned)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"the parent has the child's locks until it knows that the child has them");
	give_up_as(0, 0);
	give_up_as(0, UNISHM_RDONLY);
	if (is_root())
		give_up_as(NOBODY, UNISHM_RDONLY);
}
END_TEST

static pthread_mutex_t programs_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool stop;
static atomic_long calls;

static void lock_programs(void)
{
	pthread_mutex_lock(&programs_lock);
}

static void unlock_programs(void)
{
	pthread_mutex_unlock(&programs_lock);
}

static void *call_under_lock(void *seg)
{
	while (!stop) {
		lock_programs();
		detach(seg, attach(seg, 0));
		calls++;
		unlock_programs();
	}
	return NULL;
}

static void use_under_lock(void)
{
	lock_programs();
	use(mine);
	unlock_programs();
}

/* Run @count threads while forking @forks times, or fewer where that takes long. */
static void fork_beside(void *(*body)(void *), void *arg, int count, int forks,
		void (*in_child)(void))
{
	pthread_t thread[MOST_THREADS];
	stop = false;
	for (int i = 0; i < count; i++)
		expect_ok(pthread_create(&thread[i], NULL, body, arg));
	for (int i = 0; more_rounds(i, forks); i++)
		fork_once(in_child);
	stop = true;
	for (int i = 0; i < count; i++)
		expect_ok(pthread_join(thread[i], NULL));
}

START_TEST(a_lock_around_calls_and_forks_never_deadlocks)
{
	begin(_i);
	mine = make(0, SMALL, 0600);
	late_handler[BEFORE] = lock_programs;
	late_handler[IN_PARENT] = late_handler[IN_CHILD] = unlock_programs;
	fork_beside(call_under_lock, mine, 3, 200, use_under_lock);
	drop(mine);
}
END_TEST

/* ---- Forks beside calls -------------------------------------------------- */

static void *call_without_pause(void *seg)
{
	while (!stop) {
		struct unishm *other = NULL;
		int count = 0;
		expect_ok(unishm_open(&other, key(0), 0, 0, 0));
		detach(other, attach(other, 0));
		unishm_close(other);
		detach(seg, attach(seg, UNISHM_RDONLY));
		expect_ok(unishm_list(backend(), count_one, &count));
		calls += 7;
	}
	return NULL;
}

/* Other threads may finish their calls, and make some before and after; but a fork that waits
 * until none of them happens to be in a call would wait for far more. */
START_TEST(a_fork_does_not_wait_until_threads_pause)
{
	begin(_i);
	const long most = 20000;
	pthread_t thread[MOST_THREADS];
	mine = make(0, SMALL, 0600);
	stop = false;
	for (int i = 0; i < MOST_THREADS; i++)
		expect_ok(pthread_create(&thread[i], NULL, call_without_pause, mine));
	for (int i = 0; more_rounds(i, 200); i++) {
		long before = calls;
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		long meanwhile = calls - before;
		waitpid(pid, NULL, 0);
		expect(meanwhile < most, "%ld calls during one fork", meanwhile);
	}
	stop = true;
	for (int i = 0; i < MOST_THREADS; i++)
		expect_ok(pthread_join(thread[i], NULL));
	ck_assert_uint_eq(number_attached(mine), 0);
	drop(mine);
}
END_TEST

static atomic_long forks;

static void *fork_without_pause(void *unused)
{
	while (!stop) {
		fork_once(NULL);
		forks++;
	}
	return unused;
}

/* Those who waited for one fork get in before the next. */
START_TEST(calls_do_not_wait_until_forks_pause)
{
	begin(_i);
	const long most = 200;
	pthread_t thread[2];
	mine = make(0, SMALL, 0600);
	stop = false;
	for (int i = 0; i < 2; i++)
		expect_ok(pthread_create(&thread[i], NULL, fork_without_pause, NULL));
	for (int i = 0; more_rounds(i, 300); i++) {
		long before = forks;
		detach(mine, attach(mine, 0));
		expect(forks - before < most, "%ld forks during two calls", forks - before);
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		expect_ok(pthread_join(thread[i], NULL));
	drop(mine);
}
END_TEST

static void *attach_and_detach(void *seg)
{
	while (!stop)
		detach(seg, attach(seg, 0));
	return NULL;
}

/* All of the child's handles work, also those that other threads of the parent were using. */
START_TEST(a_fork_beside_calls_leaves_the_child_working_handles)
{
	begin(_i);
	mine = make(0, SMALL, 0600);
	fork_beside(attach_and_detach, mine, 3, 100, use_mine);
	ck_assert_uint_eq(number_attached(mine), 0);
	drop(mine);
}
END_TEST

#ifdef __linux__
static void raw_fork_once(void)
{
	int ended = 0;
	long pid = raw_fork();
	if (pid == 0) {
		/* No memory is asked for: other threads may have been at that. */
		void *addr;
		struct unishm_status st;
		bool works = unishm_status(mine, &st) == 0 && unishm_attach(mine, 0, &addr) == 0 &&
				unishm_detach(mine, addr) == 0;
		_exit(works ? 0 : 1);
	}
	expect(pid > 0, "errno %d", errno);
	while (waitpid((pid_t)pid, &ended, 0) < 0)
		expect(errno == EINTR, "errno %d", errno);
	expect(ended == 0, "the child ended with %#x", (unsigned)ended);
}

/* What threads held that the child does not have is free there. */
START_TEST(a_raw_clone_beside_calls_does_not_hang)
{
	begin(_i);
	SKIP_UNLESS(!is_instrumented(), "a sanitizer takes the threads of the parent for ours");
	pthread_t thread[2];
	struct unishm *other = make(0, SMALL, 0600);
	mine = take(0);
	use(mine); /* so that this thread is known */
	stop = false;
	for (int i = 0; i < 2; i++)
		expect_ok(pthread_create(&thread[i], NULL, attach_and_detach, other));
	for (int i = 0; more_rounds(i, 300); i++)
		raw_fork_once();
	stop = true;
	for (int i = 0; i < 2; i++)
		expect_ok(pthread_join(thread[i], NULL));
	unishm_close(mine);
	drop(other);
}
END_TEST

/* Where the parent has memory that children do not inherit, a child may put its own. */
static char *places[512];
static unsigned place_count;

static void note_places(void)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	expect(maps, "errno %d", errno);
	for (place_count = 0; place_count < 512 && fgets(line, sizeof line, maps); place_count++)
		places[place_count] = (char *)(uintptr_t)strtoull(line, NULL, 16);
	fclose(maps);
}

/* Keeps those places only that were free. */
static void use_free_places(void)
{
	unsigned kept = 0;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	for (unsigned i = 0; i < place_count; i++) {
		if (msync(places[i], page, MS_ASYNC) == 0)
			continue;
		char *own = mmap(places[i], page, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		expect(own != MAP_FAILED, "errno %d", errno);
		*own = 'm';
		places[kept++] = own;
	}
	place_count = kept;
}

static long use_places_of_the_parent(long unused)
{
	(void)unused;
	int ended = 0;
	note_places();
	long pid = raw_fork();
	if (pid == 0) {
		use_free_places();
		use(mine);
		for (unsigned i = 0; i < place_count; i++)
			expect(*places[i] == 'm', "it is %d", *places[i]);
		_exit(0);
	}
	while (waitpid((pid_t)pid, &ended, 0) < 0)
		expect(errno == EINTR, "errno %d", errno);
	return ended;
}

START_TEST(what_a_raw_clone_maps_where_its_parent_has_something_stays)
{
	begin(_i);
	mine = make(0, SMALL, 0600);
	attach(mine, 0);
	if (can_lock())
		expect_ok(unishm_lock(mine));
	fork_and_end(); /* from now on its lock is kept by a mapping */
	expect_ok(use_places_of_the_parent(0));
	ck_assert_uint_eq(number_attached(mine), 1);
	drop(mine);
}
END_TEST
#endif

/* ---- Forks and callbacks ------------------------------------------------- */

static atomic_bool in_callback, go_on;

static void wait_until(atomic_bool *flag)
{
	while (!*flag)
		sched_yield();
}

static int slow_init(void *addr, size_t size, void *arg)
{
	memset(addr, 'i', size);
	in_callback = true;
	wait_until(&go_on);
	return arg ? -*(int *)arg : 0;
}

static int open_filled(struct unishm **seg, int n, unishm_init_fn init, void *arg)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(n);
	opt.oflag = O_CREAT;
	opt.size = SMALL;
	opt.mode = 0600;
	opt.init = init;
	opt.arg = arg;
	return unishm_open_with(seg, &opt);
}

static void *create_slowly(void *unused)
{
	struct unishm *seg = NULL;
	(void)unused;
	expect_ok(open_filled(&seg, 1, slow_init, NULL));
	return seg;
}

static void begin_slow_creation(pthread_t *thread)
{
	in_callback = go_on = false;
	expect_ok(pthread_create(thread, NULL, create_slowly, NULL));
	wait_until(&in_callback);
}

static void end_slow_creation(pthread_t thread)
{
	void *seg;
	go_on = true;
	expect_ok(pthread_join(thread, &seg));
	char *bytes = attach(seg, 0);
	expect(bytes[SMALL - 1] == 'i', "%d", bytes[SMALL - 1]);
	drop(seg);
}

START_TEST(a_fork_does_not_wait_for_the_init_of_another_thread)
{
	begin(_i);
	pthread_t thread;
	mine = make(0, SMALL, 0600);
	begin_slow_creation(&thread);
	for (int i = 0; i < 20; i++)
		fork_once(use_alone);
	end_slow_creation(thread);
	drop(mine);
}
END_TEST

static void *open_made_by_another(void *unused)
{
	struct unishm *seg = NULL;
	(void)unused;
	in_callback = true;
	expect_ok(unishm_open(&seg, key(1), O_CREAT, SMALL, 0600));
	return seg;
}

START_TEST(a_fork_does_not_wait_for_a_thread_that_waits)
{
	begin(_i);
	pthread_t maker, waiter;
	void *seg;
	mine = make(0, SMALL, 0600);
	begin_slow_creation(&maker);
	in_callback = false;
	expect_ok(pthread_create(&waiter, NULL, open_made_by_another, NULL));
	wait_until(&in_callback);
	for (int i = 0; i < 50; i++)
		fork_once(use_mine);
	go_on = true;
	expect_ok(pthread_join(waiter, &seg));
	ck_assert(!unishm_created(seg));
	unishm_close(seg);
	end_slow_creation(maker);
	drop(mine);
}
END_TEST

static int slow_visit(const struct unishm_status *st, void *arg)
{
	(void)st, (void)arg;
	in_callback = true;
	wait_until(&go_on);
	return 1;
}

static void *list_slowly(void *unused)
{
	expect_rc(unishm_list(backend(), slow_visit, NULL), 1);
	return unused;
}

START_TEST(a_fork_does_not_wait_for_the_visit_of_another_thread)
{
	begin(_i);
	pthread_t thread;
	mine = make(0, SMALL, 0600);
	in_callback = go_on = false;
	expect_ok(pthread_create(&thread, NULL, list_slowly, NULL));
	wait_until(&in_callback);
	for (int i = 0; i < 20; i++)
		fork_once(use_mine);
	go_on = true;
	expect_ok(pthread_join(thread, NULL));
	drop(mine);
}
END_TEST

static int forking_visit(const struct unishm_status *st, void *arg)
{
	(void)st;
	fork_once(use_mine);
	++*(int *)arg;
	return 0;
}

START_TEST(visit_may_fork)
{
	begin(_i);
	int visited = 0;
	mine = make(0, SMALL, 0600);
	struct unishm *other = make(1, SMALL, 0600);
	expect_ok(unishm_list(backend(), forking_visit, &visited));
	ck_assert_int_eq(visited, 2);
	drop(other);
	drop(mine);
}
END_TEST

static atomic_int child_of_init;

static int forking_init(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'f', size / 2);
	child_of_init = fork();
	if (child_of_init == 0)
		return 0;
	memset(addr, 'f', size);
	return 0;
}

/* The child's call fails, and it goes on with all that it has. */
static _Noreturn void check_child_of_init(int rc, struct unishm *seg)
{
	struct unishm *again = NULL;
	expect_rc(rc, -ECANCELED);
	expect(!seg && strstr(unishm_errmsg(), "fork"), "%s", unishm_errmsg());
	use(mine);
	board->flag = 1;
	while (board->flag == 1)
		sched_yield();
	expect_ok(unishm_open(&again, key(1), 0, 0, 0));
	char *bytes = attach(again, 0);
	expect(bytes[0] == 'f' && bytes[SMALL - 1] == 'f', "%d", bytes[SMALL - 1]);
	unishm_close(again);
	_exit(0);
}

static void reap_child_of_init(void)
{
	int ended = -1;
	waitpid(child_of_init, &ended, 0);
	expect(ended == 0, "the child ended with %#x", (unsigned)ended);
}

START_TEST(a_child_that_init_forked_cannot_go_on_with_the_segment_of_its_parent)
{
	begin(_i);
	struct unishm *seg = NULL;
	mine = make(0, SMALL, 0600);
	int rc = open_filled(&seg, 1, forking_init, NULL);
	if (child_of_init == 0)
		check_child_of_init(rc, seg);
	expect_ok(rc);
	while (board->flag == 0)
		sched_yield();
	board->flag = 2;
	reap_child_of_init();
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
	drop(mine);
}
END_TEST

static int fork_and_fail(void *addr, size_t size, void *arg)
{
	forking_init(addr, size, arg);
	return child_of_init == 0 ? 0 : -EHOSTDOWN;
}

/* Nor does it keep the parent from undoing what it made. */
START_TEST(a_child_that_init_forked_blocks_no_process)
{
	begin(_i);
	struct unishm *seg = NULL;
	mine = make(0, SMALL, 0600);
	int rc = open_filled(&seg, 1, fork_and_fail, NULL);
	if (child_of_init == 0) {
		expect_rc(rc, -ECANCELED);
		wait_to_be_killed();
	}
	expect_rc(rc, -EHOSTDOWN);
	expect_rc(try_open(1), -ENOENT);
	expect_ok(open_filled(&seg, 1, NULL, NULL));
	drop(seg);
	kill(child_of_init, SIGKILL);
	waitpid(child_of_init, NULL, 0);
	drop(mine);
}
END_TEST

/* ---- Forks in signal handlers -------------------------------------------- */

static volatile sig_atomic_t handled, end_at_once;
static volatile pid_t handlers_child;

static void fork_in_handler(int sig)
{
	int code = errno, ended = -1;
	(void)sig;
	pid_t pid = fork();
	if (pid == 0 && end_at_once)
		_exit(0);
	handlers_child = pid;
	if (pid > 0) {
		while (waitpid(pid, &ended, 0) < 0 && errno == EINTR)
			;
		if (ended != 0)
			board->count++;
		handled++;
	}
	errno = code;
}

static void use_forever(struct unishm *seg)
{
	struct unishm *other = NULL;
	struct unishm_status st;
	detach(seg, attach(seg, 0));
	detach(seg, attach(seg, UNISHM_RDONLY));
	expect_ok(unishm_open(&other, key(0), 0, 0, 0));
	expect_ok(unishm_status(other, &st));
	unishm_close(other);
}

static void tick(bool on)
{
	/* Drawn, so that calls are met at all places. */
	struct itimerval timer = { .it_value = { 0, on ? 50 + rand() % 400 : 0 } };
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void catch_alarms(void)
{
	struct sigaction action = { .sa_handler = fork_in_handler, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &action, NULL);
}

/* A child returns from the handler into the call that was interrupted, makes more, and ends. */
static void end_if_child(pid_t parent)
{
	if (getpid() == parent)
		return;
	use_forever(mine);
	expect(number_attached(mine) >= 1, "none attached");
	_exit(0);
}

static long call_and_be_interrupted(long at_once)
{
	pid_t parent = getpid();
	mine = take(0);
	attach(mine, 0);
	end_at_once = (int)at_once;
	catch_alarms();
	sig_atomic_t last = -1;
	while (more_rounds(handled, 2000)) {
		if (handled != last) {
			last = handled;
			tick(true);
		}
		use_forever(mine);
		end_if_child(parent);
	}
	tick(false);
	expect(board->count == 0, "%d children failed", board->count);
	expect(number_attached(mine) == 1, "%lu attached", number_attached(mine));
	unishm_close(mine);
	return 0;
}

static void be_interrupted(bool at_once)
{
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, call_and_be_interrupted, at_once));
	agent_end(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}

START_TEST(a_fork_in_a_signal_handler_does_not_hang)
{
	begin(_i);
	be_interrupted(true);
}
END_TEST

START_TEST(a_child_of_a_signal_handler_finishes_the_call_that_was_interrupted)
{
	begin(_i);
	be_interrupted(false);
}
END_TEST

/* Calls that ask for no memory: a fork in a handler that interrupted malloc() may hang in the C
 * library as soon as there are threads. */
static void *call_beside_handlers(void *seg)
{
	sigset_t alarms;
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	while (!stop) {
		detach(seg, attach(seg, 0));
		number_attached(seg);
	}
	return NULL;
}

static long interrupt_beside_threads(long unused)
{
	pthread_t thread[2];
	(void)unused;
	end_at_once = true;
	catch_alarms();
	for (int i = 0; i < 2; i++) /* one shares the handle, and waits for its lock */
		expect_ok(pthread_create(&thread[i], NULL, call_beside_handlers, i ? mine : at));
	sig_atomic_t last = -1;
	while (more_rounds(handled, 300)) {
		if (handled != last) {
			last = handled;
			tick(true);
		}
		detach(mine, attach(mine, 0));
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		expect_ok(pthread_join(thread[i], NULL));
	return board->count;
}

START_TEST(a_fork_in_a_signal_handler_does_not_hang_beside_threads)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	mine = take(0);
	at = take(0);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, interrupt_beside_threads, 0));
	agent_kill(&agent);
	unishm_close(at);
	unishm_close(mine);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

static void fill(Suite *suite)
{
	TCase *t = group(suite, "handlers", "native", 30);
	EACH(t, fork_handlers_of_the_program_may_use_the_library);
	EACH(t, fork_handlers_that_run_between_ours_may_use_the_library);
	EACH(t, what_a_child_gives_up_is_not_counted_though_fork_has_not_returned);
	EACH(t, a_lock_around_calls_and_forks_never_deadlocks);
	t = group(suite, "beside calls", "native", 60);
	EACH(t, a_fork_does_not_wait_until_threads_pause);
	EACH(t, calls_do_not_wait_until_forks_pause);
	EACH(t, a_fork_beside_calls_leaves_the_child_working_handles);
#ifdef __linux__
	EACH(t, a_raw_clone_beside_calls_does_not_hang);
	EACH(t, what_a_raw_clone_maps_where_its_parent_has_something_stays);
#endif
	t = group(suite, "callbacks", "native", 30);
	EACH(t, a_fork_does_not_wait_for_the_init_of_another_thread);
	EACH(t, a_fork_does_not_wait_for_a_thread_that_waits);
	EACH(t, a_fork_does_not_wait_for_the_visit_of_another_thread);
	EACH(t, visit_may_fork);
	EACH(t, a_child_that_init_forked_cannot_go_on_with_the_segment_of_its_parent);
	EACH(t, a_child_that_init_forked_blocks_no_process);
	t = group(suite, "signals", "native", 60);
	EACH(t, a_fork_in_a_signal_handler_does_not_hang);
	EACH(t, a_child_of_a_signal_handler_finishes_the_call_that_was_interrupted);
	EACH(t, a_fork_in_a_signal_handler_does_not_hang_beside_threads);
}

int main(void)
{
	return harness_main("fork", fill);
}
