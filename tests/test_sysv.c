/* SPDX-License-Identifier: MIT */
/*
 * What concerns the System V backend alone: segments of other programs, makers that die or take
 * their time, ids that come back, and what the kernel's errnos mean.
 *
 * Makers are killed or stopped within the library by replacing members of its table of system
 * calls (core/sys.h).
 */
#include <limits.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "harness.h"
#include "sys.h"

enum { FILLED = 5000 };

/* As the library has it before a test puts its own there. */
static int (*kernels_shmctl)(int id, int cmd, struct shmid_ds *buf);

static void begin_sysv(void)
{
	kernels_shmctl = unishm_sys.shmctl;
	for (int i = 0; i < backends(); i++)
		if (strcmp(unishm_backends()[i], "sysv") == 0)
			begin(i);
}

/* ---- What the kernel has ---------------------------------------------------- */

static bool raw_stat(int id, struct shmid_ds *ds)
{
	return kernels_shmctl(id, IPC_STAT, ds) == 0;
}

static int raw_count(void)
{
	struct shm_info info;
	expect(kernels_shmctl(0, SHM_INFO, (void *)&info) >= 0, "errno %d", errno);
	return info.used_ids;
}

/* ---- Makers that are struck at a call ---------------------------------------- */

static struct unishm_sys real;
static bool without_groups; /* as in a user namespace that maps one only */
static long calls_until;
static int blow;

static void count_call(void)
{
	if (calls_until-- == 0)
		raise(blow);
}

static int struck_shmget(key_t which, size_t size, int flags)
{
	count_call();
	return real.shmget(which, size, flags);
}

static void *struck_shmat(int id, const void *where, int flags)
{
	count_call();
	return real.shmat(id, where, flags);
}

static int struck_shmdt(const void *addr)
{
	count_call();
	return real.shmdt(addr);
}

static int own_group_shmctl(int id, int cmd, struct shmid_ds *buf)
{
	if (cmd != IPC_SET || !without_groups || buf->shm_perm.gid == getegid())
		return kernels_shmctl(id, cmd, buf);
	errno = EINVAL;
	return -1;
}

static int struck_shmctl(int id, int cmd, struct shmid_ds *buf)
{
	count_call();
	return own_group_shmctl(id, cmd, buf);
}

/* Twice: with both kinds of mark. */
static void begin_makers(int kind)
{
	begin_sysv();
	without_groups = kind != 0 || !is_root();
	unishm_sys.shmctl = own_group_shmctl;
}

/* Before call number @turn of the library's, raise @signal_number. */
static void strike_at(long turn, int signal_number)
{
	calls_until = turn;
	blow = signal_number;
	real = unishm_sys;
	unishm_sys.shmget = struck_shmget;
	unishm_sys.shmat = struck_shmat;
	unishm_sys.shmdt = struck_shmdt;
	unishm_sys.shmctl = struck_shmctl;
}

static int fill(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'i', size);
	return 0;
}

static int open_filled(int n, int oflag, unsigned wait_ms, unishm_init_fn init)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(n);
	opt.oflag = oflag;
	opt.size = FILLED;
	opt.mode = 0640;
	opt.init = init;
	opt.wait_ms = wait_ms;
	return unishm_open_with(&mine, &opt);
}

/* A child makes segment @n and is struck before call number @turn; its pid. It is a zombie, or
 * stopped, or 0 is returned: it made no such call. */
static pid_t struck_maker(int n, int oflag, long turn, int signal_number)
{
	siginfo_t ended;
	memset(&ended, 0, sizeof ended);
	pid_t pid = fork();
	if (pid == 0) {
		strike_at(turn, signal_number);
		_exit(open_filled(n, oflag, 0, fill) < 0);
	}
	expect(pid > 0 && waitid(P_PID, (id_t)pid, &ended, WEXITED | WSTOPPED | WNOWAIT) == 0,
			"errno %d", errno);
	if (ended.si_code != CLD_EXITED)
		return pid;
	expect(ended.si_status == 0, "the maker failed");
	waitpid(pid, NULL, 0);
	return 0;
}

static void reap(pid_t pid)
{
	kill(pid, SIGKILL);
	expect(waitpid(pid, NULL, 0) == pid, "errno %d", errno);
}

/* Nothing or a whole segment is there, and calls that only look remove nothing. */
static void expect_nothing_half_made(long turn)
{
	int before = raw_count();
	int rc = unishm_open(&mine, key(0), 0, 0, 0);
	expect(rc == 0 || rc == -ENOENT, "call %ld: %d, %s", turn, rc, unishm_errmsg());
	if (rc == 0) {
		expect(*(char *)attach(mine, 0) == 'i', "call %ld: half-made", turn);
		unishm_close(mine);
	}
	expect_ok(unishm_sweep(NULL, UNISHM_SWEEP_DRY, NULL, NULL));
	expect(raw_count() == before, "call %ld: a call that looks removed it", turn);
}

/* The key can be created, and then nothing is left. */
static long recover(long turn)
{
	int rc = open_filled(0, O_CREAT, 0, fill);
	expect(rc == 0, "call %ld: %d, %s", turn, rc, unishm_errmsg());
	char *bytes = attach(mine, UNISHM_RDONLY);
	expect(bytes[0] == 'i' && bytes[FILLED - 1] == 'i', "call %ld: half-made", turn);
	/* see making.c on claims */
	mode_t mode = status_of(mine).mode;
	expect(mode == 0640 || (without_groups && !unishm_created(mine) && mode == 0611),
			"call %ld: mode %o", turn, mode);
	drop(mine);
	expect(raw_count() == 0, "call %ld: %d left", turn, raw_count());
	return 0;
}

START_TEST(a_maker_killed_before_any_call_blocks_no_process)
{
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	long turn = 0;
	for (;; turn++) {
		pid_t pid = struck_maker(0, O_CREAT, turn, SIGKILL);
		if (!pid)
			break;
		reap(pid);
		expect_nothing_half_made(turn);
		recover(turn);
	}
	ck_assert_int_gt(turn, 5);
	drop(take(0));
}
END_TEST

START_TEST(a_dead_maker_that_was_not_waited_for_is_dead)
{
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	for (long turn = 0;; turn++) {
		pid_t pid = struck_maker(0, O_CREAT, turn, SIGKILL);
		if (!pid)
			break;
		expect_nothing_half_made(turn);
		recover(turn);
		reap(pid);
	}
	drop(take(0));
}
END_TEST

static int fill_and_fail(void *addr, size_t size, void *arg)
{
	fill(addr, size, arg);
	return -EBUSY;
}

static int fill_and_die(void *addr, size_t size, void *arg)
{
	fill(addr, size, arg);
	return raise(SIGKILL);
}

/* In a child, which may be killed before call number @turn. True: it was. */
static bool is_killed_making(long turn, unishm_init_fn init)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		strike_at(turn, SIGKILL);
		open_filled(0, O_CREAT, 0, init);
		_exit(0);
	}
	expect(pid > 0 && waitpid(pid, &status, 0) == pid, "errno %d", errno);
	return WIFSIGNALED(status);
}

START_TEST(a_maker_killed_while_it_undoes_its_work_leaves_nothing)
{
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	for (long turn = 0; is_killed_making(turn, fill_and_fail); turn++) {
		expect_nothing_half_made(turn);
		recover(turn);
	}
	ck_assert_int_eq(raw_count(), 0);
}
END_TEST

START_TEST(who_is_killed_while_it_clears_away_leaves_nothing)
{
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	bool killed = true;
	for (long turn = 0; killed; turn++) {
		is_killed_making(LONG_MAX, fill_and_die);
		killed = is_killed_making(turn, fill);
		expect_nothing_half_made(turn);
		recover(turn);
	}
}
END_TEST

static long make_and_be_killed(long turn)
{
	pid_t pid = struck_maker(0, O_CREAT, turn, SIGKILL);
	if (pid)
		reap(pid);
	return pid != 0;
}

/* Another user's: it can neither look at what is not whole, nor is it told that it may not. */
static long try_as_another(long unused)
{
	(void)unused;
	int rc = unishm_open(&mine, key(0), 0, 0, 0);
	if (rc == 0)
		unishm_close(mine);
	return rc;
}

START_TEST(a_killed_maker_of_an_ordinary_user_blocks_no_process)
{
	begin_makers(_i);
	SKIP_UNLESS(is_root() && is_isolated(), "needs root");
	struct agent nobody = agent_start_as(NOBODY), other = agent_start_as(DAEMON);
	for (long turn = 0;; turn++) {
		if (!ask(&nobody, make_and_be_killed, turn))
			break;
		long rc = ask(&other, try_as_another, 0);
		expect(rc == -ENOENT || rc == -EACCES, "call %ld: %ld", turn, rc);
		expect_ok(ask(&nobody, recover, turn));
	}
	drop(take(0));
	agent_end(&nobody);
	agent_end(&other);
}
END_TEST

/* Neither sees the processes of the other. */
START_TEST(a_maker_killed_in_another_pid_namespace_blocks_no_process)
{
	begin_makers(_i);
	SKIP_UNLESS(is_root() && is_isolated(), "needs root");
	struct agent inside = agent_start_in_pid_namespace(), twin = agent_start_in_pid_namespace();
	for (long turn = 0;; turn++) {
		if (!ask(&inside, make_and_be_killed, turn))
			break;
		expect_ok(ask(&twin, recover, turn));
	}
	drop(take(0));
	agent_end(&inside);
	agent_end(&twin);
}
END_TEST

/* One that is stopped while it makes loses nothing but time, and no process sees it half-made. */
START_TEST(a_maker_stopped_before_any_call_is_not_seen)
{
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	for (long turn = 0;; turn++) {
		pid_t pid = struck_maker(0, O_CREAT, turn, SIGSTOP);
		if (!pid)
			break;
		expect_nothing_half_made(turn);
		int rc = open_filled(0, O_CREAT, 100, fill);
		expect(rc == 0 || rc == -ETIMEDOUT, "call %ld: %d, %s", turn, rc, unishm_errmsg());
		if (rc == 0)
			unishm_close(mine);
		int ended = 0;
		kill(pid, SIGCONT);
		expect(waitpid(pid, &ended, 0) == pid && ended == 0, "call %ld: %#x", turn,
				(unsigned)ended);
		recover(turn);
	}
	drop(take(0));
}
END_TEST

static void interrupt(int number)
{
	(void)number;
}

/* Signals come all the time, so that a call which waits is interrupted. */
START_TEST(an_exclusive_open_does_not_wait_for_a_maker_that_lives)
{
	const struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = { 0 };
	struct sigaction act = { .sa_handler = interrupt };
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	for (long turn = 0;; turn++) {
		pid_t pid = struck_maker(0, O_CREAT, turn, SIGSTOP);
		if (!pid)
			break;
		sigaction(SIGALRM, &act, NULL);
		setitimer(ITIMER_REAL, &often, NULL);
		int rc = open_filled(0, O_CREAT | O_EXCL, 0, fill);
		setitimer(ITIMER_REAL, &never, NULL);
		expect(rc == 0 || rc == -EEXIST, "call %ld: %d, %s", turn, rc, unishm_errmsg());
		if (rc == 0)
			unishm_close(mine);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		recover(turn);
	}
	drop(take(0));
}
END_TEST

/* ---- Other processes while the callback runs ---------------------------------- */

static int meet_in_the_middle(void *addr, size_t size, void *arg)
{
	memset(addr, 'i', size / 2);
	say_word();
	while (!board->flag)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	return fill(addr, size, arg);
}

static int fork_in_the_middle(void *addr, size_t size, void *arg)
{
	long pid = raw_fork();
	if (pid == 0)
		wait_to_be_killed();
	board->words[0] = pid;
	return meet_in_the_middle(addr, size, arg);
}

static int pass_a_child_by(void *addr, size_t size, void *arg)
{
	long pid = raw_fork();
	if (pid == 0)
		_exit(0);
	waitpid((pid_t)pid, NULL, 0);
	return meet_in_the_middle(addr, size, arg);
}

static long make_slowly(long n)
{
	return open_filled((int)n, O_CREAT, 0, meet_in_the_middle);
}

static long make_with_a_child(long n)
{
	return open_filled((int)n, O_CREAT, 0, fork_in_the_middle);
}

static long make_after_a_child(long n)
{
	return open_filled((int)n, O_CREAT, 0, pass_a_child_by);
}

static struct agent slow_maker(task how, int n)
{
	struct agent maker = agent_start();
	board->flag = 0;
	tell(&maker, how, n);
	hear_word(&maker);
	return maker;
}

static void let_it_finish(struct agent *maker)
{
	board->flag = 1;
	expect_ok(hear(maker));
	agent_end(maker);
}

static void expect_invisible(void)
{
	struct unishm *seg = NULL;
	int id = shmget(key(0), 0, 0);
	expect(id >= 0, "errno %d", errno);
	expect_rc(try_open(0), -ENOENT);
	expect_rc(unishm_open_id(&seg, id), -ENOENT);
	expect_rc(unishm_open(&seg, key(0), O_CREAT | O_EXCL, SMALL, 0600), -EEXIST);
	expect_rc(do_list_count(0), 0);
	expect_ok(unishm_sweep(NULL, 0, NULL, NULL));
	expect_rc(shmget(key(0), 0, 0), id);
}

START_TEST(attaching_and_ending_processes_do_not_publish_a_segment)
{
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	static const task hows[] = { make_slowly, make_after_a_child };
	for (int i = 0; i < 2; i++) {
		struct agent maker = slow_maker(hows[i], 0);
		void *raw = shmat(shmget(key(0), 0, 0), NULL, SHM_RDONLY);
		ck_assert_ptr_ne(raw, (void *)-1);
		expect_invisible();
		ck_assert_int_eq(shmdt(raw), 0);
		expect_invisible();
		let_it_finish(&maker);
		struct unishm *seg = take(0);
		ck_assert_int_eq(((char *)attach(seg, 0))[FILLED - 1], 'i');
		drop(seg);
	}
}
END_TEST

START_TEST(a_child_of_a_dead_maker_keeps_its_bytes_and_blocks_no_other)
{
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	struct agent maker = slow_maker(make_with_a_child, 0);
	struct shmid_ds ds;
	int id = shmget(key(0), 0, 0);
	agent_kill(&maker);
	ck_assert_int_eq(try_open(0), -ENOENT);
	expect_ok(open_filled(0, O_CREAT, 0, fill));
	ck_assert(unishm_created(mine));
	ck_assert_int_ne(unishm_id(mine), id);
	ck_assert(raw_stat(id, &ds));
	ck_assert_uint_eq(ds.shm_nattch, 1);
	drop(mine);
	kill((pid_t)board->words[0], SIGKILL);
	while (raw_stat(id, &ds))
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}
END_TEST

static int fork_and_share_the_work(void *addr, size_t size, void *arg)
{
	pid_t pid = fork();
	if (pid == 0)
		return fill(addr, size, arg);
	int ended = 0;
	waitpid(pid, &ended, 0);
	return ended ? -ECHILD : 0;
}

START_TEST(a_child_forked_by_the_callback_fills_and_returns)
{
	begin_makers(_i);
	pid_t self = getpid();
	int rc = open_filled(0, O_CREAT, 0, fork_and_share_the_work);
	if (getpid() != self)
		_exit(rc == -ECANCELED ? 0 : 1);
	expect_ok(rc);
	ck_assert_uint_eq(number_attached(mine), 0);
	ck_assert_int_eq(((char *)attach(mine, 0))[FILLED - 1], 'i');
	drop(mine);
}
END_TEST

static int refuse(void *addr, size_t size, void *arg)
{
	(void)addr, (void)size, (void)arg;
	board->count++;
	return (int)board->words[1];
}

/* Codes by which the backend itself might try again. */
START_TEST(what_the_callback_returns_is_returned_at_once)
{
	begin_makers(_i);
	static const int codes[] = { -EAGAIN, -EEXIST, -ENOENT, -EINVAL, -EIDRM, -EINTR };
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		board->count = 0;
		board->words[1] = codes[i];
		ck_assert_int_eq(open_filled(0, O_CREAT, 0, refuse), codes[i]);
		ck_assert_int_eq(open_filled(-1, 0, 0, refuse), codes[i]);
		ck_assert_int_eq(board->count, 2);
		ck_assert_int_eq(try_open(0), -ENOENT);
	}
}
END_TEST

/* ---- Waiting ------------------------------------------------------------------ */

static void ignore(int signal_number)
{
	(void)signal_number;
}

START_TEST(a_wait_ends_by_time_by_signal_and_by_the_maker)
{
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	struct agent maker = slow_maker(make_slowly, 0), other = agent_start();
	struct itimerval soon = { { 0, 10000 }, { 0, 10000 } }, never = { { 0, 0 }, { 0, 0 } };
	ck_assert_int_eq(open_filled(0, O_CREAT, 20, fill), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "process "));
	struct sigaction act = { .sa_handler = ignore };
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	ck_assert_int_eq(open_filled(0, O_CREAT, 0, fill), -EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
	tell(&other, do_create, 0);
	expect_rc(hear(&other), -EEXIST);
	agent_end(&other);
	let_it_finish(&maker);
	expect_ok(open_filled(0, O_CREAT, 0, fill));
	ck_assert(!unishm_created(mine));
	drop(mine);
}
END_TEST

/* ---- Segments of other programs ------------------------------------------------ */

/* Made by a process that is dead; @used: which wrote to it. Its id. */
static int foreign_segment(key_t which, mode_t mode, bool used)
{
	pid_t pid = fork();
	if (pid == 0) {
		int id = shmget(which, SMALL, IPC_CREAT | IPC_EXCL | (int)mode);
		char *bytes = used ? shmat(id, NULL, 0) : NULL;
		if (bytes && bytes != (char *)-1)
			strcpy(bytes, "precious");
		board->words[0] = id;
		_exit(0);
	}
	expect(waitpid(pid, NULL, 0) == pid && board->words[0] >= 0, "errno %d", errno);
	return (int)board->words[0];
}

static void try_everything(int n, int id, bool opens)
{
	struct unishm *seg = NULL;
	for (int oflag = 0; oflag <= O_CREAT; oflag += O_CREAT) {
		int rc = unishm_open(&seg, key(n), oflag, 1, 0600);
		expect(rc == (opens ? 0 : -ENOENT) || oflag, "%d, %s", rc, unishm_errmsg());
		if (rc == 0)
			unishm_close(seg);
	}
	expect_rc(unishm_open(&seg, key(n), O_CREAT | O_EXCL, 1, 0600), -EEXIST);
	expect_ok(unishm_open_id(&seg, id));
	status_of(seg);
	unishm_close(seg);
	expect_rc(do_list_count(0), 1);
	expect_ok(unishm_sweep(NULL, 0, NULL, NULL));
}

static void expect_untouched(int n, int id, const struct shmid_ds *was)
{
	struct shmid_ds now;
	expect(raw_stat(id, &now), "mode %o: gone", was->shm_perm.mode);
	expect(shmget(key(n), 0, 0) == id, "mode %o: another", was->shm_perm.mode);
	expect(now.shm_perm.mode == was->shm_perm.mode && now.shm_ctime == was->shm_ctime &&
			now.shm_lpid == was->shm_lpid && now.shm_nattch == was->shm_nattch &&
			now.shm_perm.gid == was->shm_perm.gid && now.shm_atime == was->shm_atime,
			"mode %o: touched", was->shm_perm.mode);
}

START_TEST(foreign_segments_of_every_mode_are_ordinary_segments)
{
	begin_sysv();
	SKIP_UNLESS(is_root() && is_isolated(), "needs root");
	for (mode_t mode = 0; mode <= 0777; mode++)
		for (int used = 0; used < 2; used++) {
			struct shmid_ds was;
			/* the first step of a maker, as far as can be told; see below */
			if (mode == 0411 && !used)
				continue;
			int id = foreign_segment(key(0), mode, used);
			ck_assert(raw_stat(id, &was));
			try_everything(0, id, true);
			expect_untouched(0, id, &was);
			kernels_shmctl(id, IPC_RMID, NULL);
		}
}
END_TEST

START_TEST(foreign_segments_that_are_attached_are_ordinary_segments)
{
	begin_sysv();
	SKIP_UNLESS(is_root() && is_isolated(), "needs root");
	for (mode_t mode = 0; mode <= 0777; mode++) {
		struct shmid_ds was;
		int id = shmget(key(0), SMALL, IPC_CREAT | IPC_EXCL | (int)mode);
		void *addr = shmat(id, NULL, 0);
		ck_assert_ptr_ne(addr, (void *)-1);
		ck_assert(raw_stat(id, &was));
		try_everything(0, id, true);
		expect_untouched(0, id, &was);
		shmdt(addr);
		kernels_shmctl(id, IPC_RMID, NULL);
	}
}
END_TEST

/* The only segments of others that O_CREAT removes: what no process was ever attached to, with
 * a mode by which none can write, of a creator that is dead. */
START_TEST(what_may_be_a_first_step_is_removed_only_to_create_it)
{
	begin_sysv();
	SKIP_UNLESS(is_root() && is_isolated(), "needs root");
	struct shmid_ds was;
	struct agent other = agent_start_as(DAEMON);
	int id = foreign_segment(key(0), 0411, false);
	ck_assert(raw_stat(id, &was));
	ck_assert_int_eq(try_open(0), -ENOENT);
	ck_assert_int_eq(do_list_count(0), 1);
	expect_ok(unishm_sweep(NULL, 0, NULL, NULL));
	expect_rc(ask(&other, do_create, 0), -EACCES);
	expect_untouched(0, id, &was);
	expect_ok(do_open_id(id));
	expect_ok(unishm_remove(mine));
	unishm_close(mine);
	agent_end(&other);
	id = shmget(key(0), SMALL, IPC_CREAT | IPC_EXCL | 0411); /* by a process that lives */
	ck_assert_int_eq(unishm_open(&mine, key(0), O_CREAT, SMALL, 0600), -ETIMEDOUT);
	ck_assert_int_eq(shmget(key(0), 0, 0), id);
	kernels_shmctl(id, IPC_RMID, NULL);
}
END_TEST

/* ---- Sweeping ------------------------------------------------------------------ */

struct swept {
	int count;
	int answer;
	key_t keys[8];
};

static int note(const struct unishm_status *st, void *arg)
{
	struct swept *swept = arg;
	expect(st->id >= 0 && st->size == FILLED && strcmp(st->backend, "sysv") == 0, "id %d",
			st->id);
	swept->keys[swept->count++] = st->key;
	return swept->answer;
}

static void leave_unfinished(int n)
{
	struct agent maker = slow_maker(make_slowly, n);
	agent_kill(&maker);
}

START_TEST(the_sweep_finds_what_dead_makers_left_and_nothing_else)
{
	begin_makers(_i);
	SKIP_UNLESS(is_isolated(), "counts all segments");
	struct swept swept = { 0, 0, { 0 } };
	struct agent live = slow_maker(make_slowly, 2);
	int foreign = foreign_segment(key(3), 0611, true);
	leave_unfinished(-1);
	leave_unfinished(1);
	int all = raw_count();
	ck_assert_int_eq(all, without_groups ? 7 : 4);
	ck_assert_int_eq(do_list_count(0), 1);
	expect_ok(unishm_sweep(NULL, UNISHM_SWEEP_DRY, note, &swept));
	ck_assert_int_eq(swept.count, 2);
	ck_assert(swept.keys[0] == key(1) || swept.keys[1] == key(1));
	swept = (struct swept){ 0, 7, { 0 } };
	ck_assert_int_eq(unishm_sweep(NULL, 0, note, &swept), 7);
	ck_assert_int_eq(swept.count, 1);
	ck_assert_int_eq(raw_count(), all);
	expect_ok(unishm_sweep(NULL, 0, NULL, NULL));
	ck_assert_int_eq(raw_count(), without_groups ? 3 : 2);
	kernels_shmctl(foreign, IPC_RMID, NULL);
	let_it_finish(&live);
	drop(take(2));
}
END_TEST

static long sweep_all(long unused)
{
	struct swept swept = { 0, 0, { 0 } };
	(void)unused;
	int rc = unishm_sweep(NULL, 0, note, &swept);
	return rc < 0 ? rc : swept.count;
}

START_TEST(what_others_left_is_visited_and_stays)
{
	begin_makers(_i);
	SKIP_UNLESS(is_root() && is_isolated(), "needs root");
	struct agent other = agent_start_as(DAEMON);
	leave_unfinished(0);
	expect_rc(ask(&other, sweep_all, 0), 1);
	expect_rc(ask(&other, do_create, 0), -EACCES);
	ck_assert_ptr_nonnull(strstr(board->said, "died while creating it"));
	ck_assert_int_eq(raw_count(), 1 + without_groups);
	expect_rc(sweep_all(0), 1);
	ck_assert_int_eq(raw_count(), 0);
	agent_end(&other);
}
END_TEST

/* A whole segment cannot be made to look like an unfinished one by our own calls. */
START_TEST(the_mark_cannot_be_given_to_a_whole_segment)
{
	begin_sysv();
	SKIP_UNLESS(is_root() && is_isolated(), "needs root");
	struct shmid_ds ds;
	struct agent maker = slow_maker(make_slowly, 0);
	ck_assert(raw_stat(shmget(key(0), 0, 0), &ds));
	let_it_finish(&maker);
	struct unishm *seg = take(0);
	mode_t mode = ds.shm_perm.mode & 0777;
	ck_assert_uint_ne(ds.shm_perm.gid, ds.shm_perm.cgid);
	expect_ok(unishm_chmod(seg, mode));
	ck_assert_int_eq(unishm_chown(seg, (uid_t)-1, ds.shm_perm.gid), -EINVAL);
	expect_ok(unishm_chmod(seg, 0600));
	expect_ok(unishm_chown(seg, (uid_t)-1, ds.shm_perm.gid));
	ck_assert_int_eq(unishm_chmod(seg, mode), -EINVAL);
	drop(seg);
}
END_TEST

/* ---- Ids that come back ---------------------------------------------------------- */

/* Make another program's segment that gets id @id. */
static bool stranger(int id, key_t which, size_t size)
{
	FILE *next = fopen("/proc/sys/kernel/shm_next_id", "we");
	if (!next)
		return false;
	fprintf(next, "%d", id);
	if (fclose(next) != 0)
		return false;
	pid_t pid = fork();
	if (pid == 0)
		_exit(shmget(which, size, IPC_CREAT | IPC_EXCL | 0600) != id);
	int ended = -1;
	waitpid(pid, &ended, 0);
	return ended == 0;
}

static void expect_stale(struct unishm *seg)
{
	struct unishm_status st;
	void *addr;
	expect_rc(unishm_attach(seg, 0, &addr), -EIDRM);
	expect_rc(unishm_status(seg, &st), -EIDRM);
	expect_rc(unishm_chmod(seg, 0666), -EIDRM);
	expect_rc(unishm_chown(seg, 1, 1), -EIDRM);
	if (can_lock()) {
		expect_rc(unishm_lock(seg), -EIDRM);
		expect_rc(unishm_unlock(seg), -EIDRM);
	}
	expect_rc(unishm_remove(seg), -EIDRM);
}

static void meet_stranger(int n, int theirs, size_t size)
{
	struct shmid_ds was, now;
	struct unishm *seg = make(n, SMALL, 0600);
	int id = unishm_id(seg);
	memset(&was, 0, sizeof was); /* the C library may leave parts out */
	memset(&now, 0, sizeof now);
	detach(seg, attach(seg, 0));
	expect_ok(kernels_shmctl(id, IPC_RMID, NULL));
	expect(stranger(id, key(theirs), size), "errno %d", errno);
	expect(raw_stat(id, &was), "errno %d", errno);
	expect_stale(seg);
	expect(raw_stat(id, &now) && memcmp(&was, &now, sizeof was) == 0, "touched");
	unishm_close(seg);
	expect_ok(kernels_shmctl(id, IPC_RMID, NULL));
}

START_TEST(a_handle_does_not_act_on_another_segment_with_its_id)
{
	begin_sysv();
	SKIP_UNLESS(is_isolated() && is_root(), "needs root to choose ids");
	SKIP_UNLESS(access("/proc/sys/kernel/shm_next_id", W_OK) == 0,
			"the kernel lets no process choose ids");
	meet_stranger(0, 1, SMALL);      /* another key */
	meet_stranger(0, 0, SMALL + 1);  /* another size */
	meet_stranger(0, -1, SMALL);     /* a private one, which a removed one looks like */
	meet_stranger(-1, 0, SMALL);
	meet_stranger(0, 0, SMALL);      /* another creator, and never attached */
	meet_stranger(-1, -1, SMALL);
}
END_TEST

/* A handle goes where its process goes. */
static long use_in_a_pid_namespace(long unused)
{
	struct unishm_status st;
	(void)unused;
	int rc = unishm_status(mine, &st);
	return rc < 0 ? rc : unishm_attach(mine, 0, &at);
}

START_TEST(a_handle_works_in_a_child_in_another_pid_namespace)
{
	begin_sysv();
	SKIP_UNLESS(is_root(), "needs root");
	mine = make(0, SMALL, 0600);
	status_of(mine);
	struct agent inside = agent_start_in_pid_namespace();
	expect_ok(ask(&inside, use_in_a_pid_namespace, 0));
	agent_end(&inside);
	drop(mine);
}
END_TEST

/* ---- What errnos mean -------------------------------------------------------------- */

static int failing_with;

static int no_shmget(key_t which, size_t size, int flags)
{
	if (size == 0)
		return real.shmget(which, size, flags);
	errno = failing_with;
	return -1;
}

static void *no_shmat(int id, const void *where, int flags)
{
	(void)id, (void)where, (void)flags;
	errno = failing_with;
	return (void *)-1;
}

START_TEST(attaching_fails_with_one_meaning_for_one_errno)
{
	begin_sysv();
	static const struct {
		int native, flags, want;
		const char *word;
	} cases[] = {
		{ EAGAIN, 0, -ENOMEM, "RLIMIT_MEMLOCK" }, { ENOMEM, 0, -ENOMEM, "" },
		{ EPERM, 0, -EPERM, "sandbox" }, { EPERM, UNISHM_EXEC, -ENOTSUP, "UNISHM_EXEC" },
		{ ENOSYS, 0, -ENOSYS, "sandbox" }, { EIDRM, 0, -EIDRM, "removed" },
		{ ENFILE, 0, -ENFILE, "" }, { EOVERFLOW, 0, -EOVERFLOW, "" },
	};
	struct unishm *seg = make(0, SMALL, 0700);
	real = unishm_sys;
	unishm_sys.shmat = no_shmat;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		void *addr;
		failing_with = cases[i].native;
		expect_rc(unishm_attach(seg, cases[i].flags, &addr), cases[i].want);
		expect(strstr(unishm_errmsg(), cases[i].word), "%s", unishm_errmsg());
		expect_rc(open_filled(1, O_CREAT, 0, fill), cases[i].native == EIDRM ? -EAGAIN :
				cases[i].want == -ENOTSUP ? -EPERM : cases[i].want);
	}
	unishm_sys = real;
	drop(seg);
}
END_TEST

START_TEST(opening_fails_with_one_meaning_for_one_errno)
{
	begin_sysv();
	static const struct {
		int native;
		const char *word, *no_word;
	} cases[] = {
		{ EPERM, "sandbox", "owner" }, { EINVAL, "", "fewer" }, { ENOSYS, "sandbox", "" },
		{ ENFILE, "", "memory" }, { ENOMEM, "", "fewer" },
	};
	struct unishm *seg = make(0, SMALL, 0600);
	real = unishm_sys;
	unishm_sys.shmget = no_shmget;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		failing_with = cases[i].native;
		for (int oflag = 0; oflag <= O_CREAT; oflag += O_CREAT) {
			expect_rc(unishm_open(&mine, key(0), oflag, 1, 0600), -cases[i].native);
			expect(strstr(unishm_errmsg(), cases[i].word), "%s", unishm_errmsg());
			expect(!*cases[i].no_word || !strstr(unishm_errmsg(), cases[i].no_word),
					"%s", unishm_errmsg());
		}
	}
	unishm_sys = real;
	drop(seg);
}
END_TEST

/* ---------------------------------------------------------------------------------- */

static void fill_suite(Suite *suite)
{
	TCase *t = group(suite, "makers", "native", 60);
	tcase_add_loop_test(t, a_maker_killed_before_any_call_blocks_no_process, 0, 2);
	tcase_add_loop_test(t, a_dead_maker_that_was_not_waited_for_is_dead, 0, 2);
	tcase_add_loop_test(t, a_maker_killed_while_it_undoes_its_work_leaves_nothing, 0, 2);
	tcase_add_loop_test(t, who_is_killed_while_it_clears_away_leaves_nothing, 0, 2);
	tcase_add_loop_test(t, a_killed_maker_of_an_ordinary_user_blocks_no_process, 0, 2);
	tcase_add_loop_test(t, a_maker_killed_in_another_pid_namespace_blocks_no_process, 0, 2);
	tcase_add_loop_test(t, a_maker_stopped_before_any_call_is_not_seen, 0, 2);
	tcase_add_loop_test(t, an_exclusive_open_does_not_wait_for_a_maker_that_lives, 0, 2);
	tcase_add_loop_test(t, attaching_and_ending_processes_do_not_publish_a_segment, 0, 2);
	tcase_add_loop_test(t, a_child_of_a_dead_maker_keeps_its_bytes_and_blocks_no_other, 0, 2);
	tcase_add_loop_test(t, a_child_forked_by_the_callback_fills_and_returns, 0, 2);
	tcase_add_loop_test(t, what_the_callback_returns_is_returned_at_once, 0, 2);
	tcase_add_loop_test(t, a_wait_ends_by_time_by_signal_and_by_the_maker, 0, 2);
	t = group(suite, "foreign", "native", 60);
	ONCE(t, foreign_segments_of_every_mode_are_ordinary_segments);
	ONCE(t, foreign_segments_that_are_attached_are_ordinary_segments);
	ONCE(t, what_may_be_a_first_step_is_removed_only_to_create_it);
	ONCE(t, the_mark_cannot_be_given_to_a_whole_segment);
	t = group(suite, "sweep", "native", 30);
	tcase_add_loop_test(t, the_sweep_finds_what_dead_makers_left_and_nothing_else, 0, 2);
	tcase_add_loop_test(t, what_others_left_is_visited_and_stays, 0, 2);
	t = group(suite, "ids", "native", 30);
	ONCE(t, a_handle_does_not_act_on_another_segment_with_its_id);
	ONCE(t, a_handle_works_in_a_child_in_another_pid_namespace);
	t = group(suite, "errnos", NULL, 30);
	ONCE(t, attaching_fails_with_one_meaning_for_one_errno);
	ONCE(t, opening_fails_with_one_meaning_for_one_errno);
}

int main(void)
{
	return harness_main("sysv", fill_suite);
}
