/* SPDX-License-Identifier: MIT */
/* Programs that are careless with what is the library's: they close and reuse descriptors, unmap
 * and map over attachments; and makers that are held up, or whose work is taken away. */
#include "apart.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "sys.h"

/* ---- Descriptors that became the program's ------------------------------------- */

enum { FILES = 64, TEXT = 4096 };

/* Close all, and open logs under the same numbers, which are full of one letter. */
static void open_logs(void)
{
	char path[300], text[TEXT];
	memset(text, 'L', sizeof text);
	do_close_descriptors(3);
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof path, "/tmp/log.%d", i);
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		expect(fd >= 0 && write(fd, text, sizeof text) == TEXT, "errno %d", errno);
	}
}

static void expect_logs(void)
{
	char path[300], text[TEXT + 1];
	for (int i = 0; i < FILES; i++) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		snprintf(path, sizeof path, "/tmp/log.%d", i);
		int fd = open(path, O_RDWR | O_CLOEXEC);
		expect(read(fd, text, sizeof text) == TEXT && are_all(text, TEXT, 'L'),
				"log %d was changed", i);
		expect(fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK,
				"log %d is locked", i);
		close(fd);
	}
}

static int count_logs(void)
{
	char path[64], to[300];
	int count = 0;
	for (int fd = 3; fd < 4 * FILES; fd++) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t length = readlink(path, to, sizeof to - 1);
		to[length < 0 ? 0 : length] = '\0';
		count += strstr(to, "/log.") != NULL;
	}
	return count;
}

static bool logging;

static void open_logs_in_handler(void)
{
	if (logging)
		open_logs();
}

static void use_among_logs(struct unishm *seg, unsigned long number)
{
	void *more, *reader;
	expect_rc((long)number_attached(seg), (long)number);
	expect_ok(unishm_attach(seg, 0, &more));
	expect_ok(unishm_attach(seg, UNISHM_RDONLY, &reader));
	expect_rc((long)number_attached(seg), (long)number + 2);
	use_with_child(seg);
	expect_ok(unishm_lock(seg));
	expect_ok(unishm_unlock(seg));
	expect_ok(unishm_detach(seg, more));
	expect_ok(unishm_detach(seg, reader));
	expect_rc((long)number_attached(seg), (long)number);
	expect_rc(do_list_count(0), 2);
}

static long live_among_logs(long unused)
{
	(void)unused;
	struct unishm *seg = make(0, SMALL, 0600), *other = make(1, SMALL, 0600);
	attach(seg, 0);
	attach(other, UNISHM_RDONLY);
	empty_tmp();
	open_logs();
	use_among_logs(seg, 1);
	use_among_logs(other, 1);
	expect_ok(unishm_remove(seg));
	expect_rc((long)number_attached(seg), 1);
	unishm_close(seg);
	drop(other);
	expect_rc(count_logs(), FILES);
	expect_logs();
	expect_rc(entries(), 0);
	return 0;
}

START_TEST(a_daemon_that_reuses_all_descriptors_loses_no_file_and_no_attachment)
{
	begin(_i);
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	expect_ok(apart(live_among_logs, 0));
}
END_TEST

static long fork_among_logs(long unused)
{
	(void)unused;
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	attach(seg, UNISHM_RDONLY);
	empty_tmp();
	expect(pthread_atfork(open_logs_in_handler, open_logs_in_handler,
			open_logs_in_handler) == 0, "no room");
	logging = true;
	for (int i = 0; i < 3; i++) {
		int status;
		pid_t child = fork();
		if (child == 0) {
			struct unishm_status st = status_of(seg);
			unishm_close(seg);
			_exit(st.number_attached != 4);
		}
		expect(waitpid(child, &status, 0) == child && status == 0, "ended with %#x",
				(unsigned)status);
		expect_rc((long)number_attached(seg), 2);
	}
	logging = false;
	drop(seg);
	expect_logs();
	return 0;
}

START_TEST(fork_handlers_that_reuse_all_descriptors_lose_no_file_and_no_attachment)
{
	begin(_i);
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	expect_ok(apart(fork_among_logs, 0));
}
END_TEST

/* ---- High numbers -------------------------------------------------------------- */

static int base;
static int (*real_open)(const char *, int, mode_t);

static int open_high(const char *path, int oflag, mode_t mode)
{
	int fd = real_open(path, oflag, mode);
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, base);
	int code = errno;
	if (fd >= 0)
		close(fd);
	errno = code;
	return high;
}

static long use_high_numbers(long from)
{
	struct rlimit limit = { (rlim_t)from + 100, (rlim_t)from + 100 };
	base = (int)from;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	real_open = unishm_sys.open;
	unishm_sys.open = open_high;
	long rc = use_fully(SMALL);
	unishm_sys.open = real_open;
	return rc;
}

START_TEST(descriptors_with_high_numbers_serve_as_well)
{
	begin(_i);
	SKIP_UNLESS(on("posix"), "is about descriptors");
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	static const int bases[] = { 1000, 5000, 65536, 1000000 };
	for (int i = 0; i < 4; i++) {
		long rc = apart(use_high_numbers, bases[i]);
		if (rc == -EPERM)
			printf("skipped: number %d is more than fs.nr_open\n", bases[i]);
		else
			expect_ok(rc);
	}
}
END_TEST

/* ---- Addresses that became the program's --------------------------------------- */

/* In place of the whole attachment, or of one of its three pages. */
static void *replace(char *addr, int page)
{
	char *from = addr + (page < 0 ? 0 : (size_t)page * page_size());
	size_t length = (page < 0 ? 3 : 1) * page_size();
	munmap(from, length);
	void *own = mmap(from, length, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	expect(own == from, "errno %d", errno);
	memset(own, 'p', length);
	return own;
}

START_TEST(what_a_program_unmapped_is_detached_once)
{
	begin(_i);
	SKIP_UNLESS(on("posix"), "the kernel counts the mappings of System V");
	struct unishm *seg = make(0, SMALL, 0600), *other = take(0);
	char *addr = attach(seg, 0);
	attach(seg, 0);
	ck_assert_int_eq(munmap(addr, page_size()), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(unishm_detach(seg, addr), -EINVAL);
		ck_assert_uint_eq(number_attached(seg), 1);
		ck_assert_uint_eq(number_attached(other), 1);
	}
	unishm_close(other);
	drop(seg);
}
END_TEST

#define SHMDT_LOOKS_FIRST \
	SKIP_UNLESS(!emulator() || on("posix"), "shmdt() of qemu-user unmaps whatever is there")

START_TEST(what_a_program_maps_over_an_attachment_is_left_alone)
{
	begin(_i);
	SHMDT_LOOKS_FIRST;
	for (int by_close = 0; by_close < 2; by_close++) {
		for (int page = -1; page < 3; page++) {
			struct unishm *seg = make(0, 3 * page_size(), 0600);
			char *addr = attach(seg, 0), *own = replace(addr, page);
			if (by_close)
				unishm_close(seg);
			else
				unishm_detach(seg, addr); /* 0, or -EINVAL if nothing was left */
			expect(are_all(own, (page < 0 ? 3 : 1) * page_size(), 'p'), "lost");
			if (by_close)
				seg = take(0);
			ck_assert_uint_eq(number_attached(seg), 0);
			drop(seg);
			munmap(addr, 3 * page_size());
		}
	}
}
END_TEST

static long replace_without_proc(long unused)
{
	(void)unused;
	struct unishm *seg = make(0, 3 * page_size(), 0600);
	char *addr = attach(seg, 0), *other = attach(seg, 0);
	expect(mount("tmpfs", "/proc", "tmpfs", 0, NULL) == 0, "errno %d", errno);
	replace(addr, -1);
	replace(other, 1);
	unishm_detach(seg, addr);
	unishm_close(seg);
	expect(are_all(addr, 3 * page_size(), 'p'), "lost");
	expect(are_all(other + page_size(), page_size(), 'p'), "lost");
	drop(take(0));
	return 0;
}

START_TEST(what_a_program_maps_over_an_attachment_is_left_alone_without_proc_as_well)
{
	begin(_i);
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	SHMDT_LOOKS_FIRST;
	expect_ok(apart(replace_without_proc, 0));
}
END_TEST

/* ---- Makers that are held up --------------------------------------------------- */

static long calls, stop_at;

static void maybe_stop(void)
{
	if (calls++ == stop_at)
		raise(SIGSTOP);
}

static struct unishm_sys real;

#define STOPPING(type, name, params, args)        \
	static type stopping_##name params        \
	{                                         \
		maybe_stop();                     \
		return real.name args;            \
	}
STOPPING(int, open, (const char *n, int o, mode_t m), (n, o, m))
STOPPING(int, linkat, (int f, const char *a, int d, const char *b, int g), (f, a, d, b, g))
STOPPING(int, rename_new, (const char *a, const char *b), (a, b))
STOPPING(int, fchmod, (int f, mode_t m), (f, m))
STOPPING(int, fstat, (int f, struct stat *s), (f, s))
STOPPING(int, fcntl_lock, (int f, int c, struct flock *l), (f, c, l))
STOPPING(ssize_t, pwrite, (int f, const void *b, size_t c, off_t o), (f, b, c, o))
STOPPING(int, close, (int f), (f))

static int no_tmpfile(const char *path, int oflag, mode_t mode)
{
	if ((oflag & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return stopping_open(path, oflag, mode);
}

static int put_x(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'x', size);
	return 0;
}

enum { WITH_INIT = 1, WITH_NAMES = 2, VARIANTS = 4 };

static int ignore(const struct unishm_status *st, void *arg)
{
	(void)st, (void)arg;
	return 0;
}

static long make_stopping(long variant)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(0);
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = SMALL;
	opt.mode = 0600;
	opt.init = variant & WITH_INIT ? put_x : NULL;
	calls = 0;
	stop_at = board->words[1];
	real = unishm_sys;
	unishm_sys.open = variant & WITH_NAMES ? no_tmpfile : stopping_open;
	unishm_sys.linkat = stopping_linkat;
	unishm_sys.rename_new = stopping_rename_new;
	unishm_sys.fchmod = stopping_fchmod;
	unishm_sys.fstat = stopping_fstat;
	unishm_sys.fcntl_lock = stopping_fcntl_lock;
	unishm_sys.pwrite = stopping_pwrite;
	unishm_sys.close = stopping_close;
	int rc = unishm_open_with(&mine, &opt);
	unishm_sys = real;
	return rc;
}

/* While the maker stands still: what others see, and whether one of them could make it. */
static bool look_at_stopped(long variant)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg = NULL;
	opt.key = key(0);
	int rc = unishm_open_with(&seg, &opt);
	bool there = rc == 0;
	expect(rc == 0 || rc == -ENOENT, "open: %d", rc);
	if (there && variant & WITH_INIT)
		expect(are_all(attach(seg, UNISHM_RDONLY), SMALL, 'x'), "half made");
	unishm_close(seg);
	expect_rc(do_list_count(0), there);
	expect_ok(unishm_sweep(NULL, 0, ignore, NULL));
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = SMALL;
	opt.mode = 0600;
	rc = unishm_open_with(&mine, &opt);
	expect(rc == 0 || rc == -EEXIST, "exclusive: %d", rc);
	expect(!there || rc == -EEXIST, "two segments have one key");
	return rc == 0;
}

/* False: it has answered instead. */
static bool stops(struct agent *maker)
{
	struct pollfd answer = { maker->from, POLLIN, 0 };
	for (;;) {
		siginfo_t info = { 0 };
		expect(waitid(P_PID, (id_t)maker->pid, &info, WSTOPPED | WNOHANG) == 0, "errno %d",
				errno);
		if (info.si_pid != 0)
			return true;
		if (poll(&answer, 1, 1) > 0)
			return false;
	}
}

static bool make_with_a_stop(long variant, long turn)
{
	struct agent maker = agent_start();
	board->words[1] = turn;
	tell(&maker, make_stopping, variant);
	bool stopped = stops(&maker);
	bool made = stopped && look_at_stopped(variant);
	kill(maker.pid, SIGCONT);
	expect_rc(hear(&maker), made ? -EEXIST : 0);
	agent_end(&maker);
	drop(made ? mine : take(0));
	expect_rc(try_open(0), -ENOENT);
	expect_rc(on("posix") && is_isolated() ? entries() : 0, 0);
	return stopped;
}

START_TEST(a_maker_held_up_at_any_call_is_waited_for_or_loses_and_nothing_is_half_made)
{
	begin(_i / VARIANTS);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	long turn = 0;
	while (make_with_a_stop(_i % VARIANTS, turn))
		turn++;
	ck_assert_int_ge(turn, 4);
}
END_TEST

/* ---- Work that was taken away -------------------------------------------------- */

/* An administrator deletes the object in the making; another process makes the key anew. */
static int lose_the_name(void *addr, size_t size, void *arg)
{
	struct agent *other = arg;
	(void)addr, (void)size;
	const char *path = record_path();
	expect(path && unlink(path) == 0, "errno %d", errno);
	expect_ok(ask(other, do_create, 0));
	return -ECANCELED;
}

START_TEST(a_maker_that_fails_takes_no_successor_away)
{
	begin(_i);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	struct agent other = agent_start();
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg = NULL;
	opt.key = key(0);
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = SMALL;
	opt.mode = 0600;
	opt.init = lose_the_name;
	opt.arg = &other;
	expect_rc(unishm_open_with(&seg, &opt), -ECANCELED);
	expect_rc(try_open(0), 0);
	expect_ok(ask(&other, do_attach, 0));
	expect_ok(ask(&other, do_remove, 0));
	agent_end(&other);
}
END_TEST

/* ---- Ids that meet ------------------------------------------------------------- */

static struct dirent *(*real_readdir)(DIR *);

static struct dirent *readdir_alike(DIR *dir)
{
	struct dirent *entry = real_readdir(dir);
	if (entry)
		entry->d_ino = 77 + (strncmp(entry->d_name, "ush",
				3) == 0 ? ((ino_t)INT_MAX + 1) : 0);
	return entry;
}

START_TEST(an_id_that_two_segments_have_opens_neither)
{
	begin(_i);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	struct unishm *one = make(0, SMALL, 0600), *two = make(1, SMALL, 0600), *seg = NULL;
	real_readdir = unishm_sys.readdir;
	unishm_sys.readdir = readdir_alike;
	expect_rc(unishm_open_id(&seg, 77), -ENOENT);
	expect(says("2 segments"), "%s", unishm_errmsg());
	drop(two);
	expect_rc(unishm_open_id(&seg, 77), -ENOENT); /* another object has the name by now */
	unishm_sys.readdir = real_readdir;
	expect_ok(unishm_open_id(&seg, unishm_id(one)));
	unishm_close(seg);
	drop(one);
}
END_TEST

/* ---- Leaks --------------------------------------------------------------------- */

static void attach_and_detach_without_descriptors(void)
{
	struct unishm *seg = take(0), *other = take(0);
	struct rlimit limit, none;
	void *first = attach(seg, 0), *more;
	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	pid_t child = fork(); /* which is counted by a lock of the process */
	if (child == 0)
		_exit(0);
	int rc = unishm_attach(seg, UNISHM_RDONLY, &more);
	expect(rc == 0 || rc == -EMFILE, "%d", rc);
	waitpid(child, NULL, 0);
	setrlimit(RLIMIT_NOFILE, &limit);
	detach(seg, first);
	unishm_close(other);
	unishm_close(seg);
}

/* 0 where the C library does not tell. */
static size_t bytes_in_use(void)
{
#ifdef __GLIBC__
	return mallinfo2().uordblks;
#else
	return 0;
#endif
}

static long loop_without_descriptors(long count)
{
	size_t before = 0;
	int descriptors = 0;
	for (long i = 0; i < count; i++) {
		if (i == 10) {
			before = bytes_in_use();
			descriptors = count_descriptors();
		}
		attach_and_detach_without_descriptors();
	}
	expect_rc(count_descriptors(), descriptors);
	size_t now = bytes_in_use();
	expect(now <= before + 512, "%zu bytes more after %ld rounds", now - before, count - 10);
	return 0;
}

START_TEST(locks_of_the_process_leak_neither_memory_nor_descriptors)
{
	begin(_i);
	SKIP_UNLESS(!is_instrumented(), "counts the bytes of malloc");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, loop_without_descriptors, 100));
	agent_end(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

static long fail_to_fork(long unused)
{
	(void)unused;
	struct unishm *seg = take(0);
	attach(seg, 0);
	attach(seg, UNISHM_RDONLY);
	struct unishm_status before = status_of(seg);
	expect_ok(refuse(SYS_clone, 0, 0, EAGAIN));
	expect_ok(refuse(SYS_clone3, 0, 0, ENOSYS));
#ifdef SYS_fork /* musl */
	expect_ok(refuse(SYS_fork, 0, 0, EAGAIN));
#endif
	next_second();
	for (int i = 0; i < 50; i++)
		expect(fork() < 0 && errno == EAGAIN, "errno %d", errno);
	struct unishm_status after = status_of(seg);
	expect(after.number_attached == 2 && after.last_attach_time == before.last_attach_time &&
			after.last_op_process == before.last_op_process && !after.inexact,
			"%lu, %ld, %ld", after.number_attached, (long)after.last_attach_time,
			(long)after.last_op_process);
	return 0;
}

START_TEST(forks_that_a_filter_refuses_change_nothing)
{
	begin(_i);
	SKIP_UNLESS(can_be_apart(), "needs filters");
	NEEDS_FILTERS;
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, fail_to_fork, 0));
	agent_end(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

static void fill(Suite *suite)
{
	TCase *t = group(suite, "descriptors", "native", 120);
	EACH(t, a_daemon_that_reuses_all_descriptors_loses_no_file_and_no_attachment);
	EACH(t, fork_handlers_that_reuse_all_descriptors_lose_no_file_and_no_attachment);
	EACH(t, descriptors_with_high_numbers_serve_as_well);
	t = group(suite, "addresses", "native", 60);
	EACH(t, what_a_program_unmapped_is_detached_once);
	EACH(t, what_a_program_maps_over_an_attachment_is_left_alone);
	EACH(t, what_a_program_maps_over_an_attachment_is_left_alone_without_proc_as_well);
	t = group(suite, "makers", "native", 120);
	tcase_add_loop_test(t,
		a_maker_held_up_at_any_call_is_waited_for_or_loses_and_nothing_is_half_made, 0,
			VARIANTS * backends());
	EACH(t, a_maker_that_fails_takes_no_successor_away);
	EACH(t, an_id_that_two_segments_have_opens_neither);
	t = group(suite, "leaks", "native", 120);
	EACH(t, locks_of_the_process_leak_neither_memory_nor_descriptors);
	EACH(t, forks_that_a_filter_refuses_change_nothing);
}

int main(void)
{
	return harness_main("careless", fill);
}
