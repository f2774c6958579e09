/* SPDX-License-Identifier: MIT */
/* Programs that close or reuse descriptors that they do not own. */
#include "process.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

START_TEST(a_program_that_closes_all_descriptors_stays_counted)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, do_close_descriptors, 0));
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_rc(ask(&agent, do_number, 0), 2);
	ask(&agent, do_write, 0);
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	expect_ok(ask(&agent, do_close_descriptors, 0));
	expect_ok(ask(&agent, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 2);
	ask(&agent, do_write, 0);
	expect_ok(ask(&agent, do_close_descriptors, 0));
	long child = ask(&agent, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 4);
	expect_ok(ask(&agent, do_reap, child));
	ck_assert_uint_eq(number_attached(seg), 2);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

START_TEST(each_call_works_after_all_descriptors_were_closed)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	static const task calls[] = { do_attach, do_number, do_chmod, do_remove, do_fork,
		do_close };
	static const long args[] = { 0, 0, 0640, 0, 0, 0 };
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		struct unishm *seg = make(0, SMALL, 0600);
		struct agent agent = attached_agent(1);
		expect_ok(ask(&agent, do_close_descriptors, 0));
		long rc = ask(&agent, calls[i], args[i]);
		ck_assert_msg(rc >= 0, "call %zu gave %ld: %s", i, rc, board->said);
		unsigned long want = calls[i] == do_attach || calls[i] == do_fork ? 2
				: calls[i] == do_close                            ? 0
										  : 1;
		ck_assert_msg(number_attached(seg) == want, "call %zu: %lu attached", i,
				number_attached(seg));
		if (calls[i] == do_fork)
			expect_ok(ask(&agent, do_reap, rc));
		agent_end(&agent);
		if (calls[i] == do_remove)
			unishm_close(seg);
		else
			drop(seg);
	}
}
END_TEST

START_TEST(a_removed_segment_of_a_program_that_closed_all_descriptors_ends_well)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(1);
	expect_ok(ask(&agent, do_close_descriptors, 0));
	expect_ok(unishm_remove(seg));
	ck_assert_uint_eq(number_attached(seg), 1);
	ask(&agent, do_write, 0);
	expect_ok(ask(&agent, do_detach, 0));
	struct unishm_status st;
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
	agent_end(&agent);
	unishm_close(seg);
}
END_TEST

/* Under qemu-user a child has mappings of its parent's that it should not inherit, and so keeps
 * what its parent held until it runs. */
static void await_child_of_emulator(struct unishm *seg)
{
	for (int i = 0; emulator() && number_attached(seg) > 1 && i < 5000; i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

/* The only attachment of a handle is proved alive by the handle's descriptor: then not
 * by what a child shares, whoever of the two ends first. */
START_TEST(an_only_attachment_outlives_descriptors_and_forks)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	struct unishm *seg = make(0, SMALL, 0600);
	for (int way = 0; way < 8; way++) {
		struct agent agent = attached_agent(1);
		if (way & 1)
			expect_ok(ask(&agent, do_close_descriptors, 0));
		if (way & 2)
			expect_rc(ask(&agent, do_number, 0), 1);
		long child = ask(&agent, do_fork, 0);
		ck_assert_uint_eq(number_attached(seg), 2);
		if (way & 4) {
			expect_ok(ask(&agent, do_detach, 0));
			ck_assert_uint_eq(number_attached(seg), 1);
			expect_ok(ask(&agent, do_attach, 0));
			ck_assert_uint_eq(number_attached(seg), 2);
		}
		agent_kill(&agent);
		await_child_of_emulator(seg);
		ck_assert_uint_eq(number_attached(seg), 1);
		kill((pid_t)child, SIGKILL);
		wait_until_gone(child);
		ck_assert_uint_eq(number_attached(seg), 0);
	}
	drop(seg);
}
END_TEST

static int foreign = -1;

/* Put a file of our own, locked by us, in the place of every descriptor. */
static long replace_everything(long unused)
{
	char name[] = "/tmp/unishm-foreign-XXXXXX";
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	(void)unused;
	int fd = mkstemp(name);
	if (fd < 0)
		return -errno;
	unlink(name);
	if (write(fd, "foreign", 7) != 7)
		return -EIO;
	for (int other = 3; other < 128; other++)
		if (!agent_needs(other) && other != fd)
			dup2(fd, other);
	foreign = fd;
	return fcntl(fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

/* How many of the stand-ins are open, the file as it was; negative: harmed. */
static long look_at_foreign(long unused)
{
	struct stat st, other;
	char bytes[8] = "";
	long still = 0;
	(void)unused;
	if (fstat(foreign, &st) < 0 || st.st_size != 7 || pread(foreign, bytes, 7, 0) != 7 ||
			memcmp(bytes, "foreign", 7) != 0)
		return -EIO;
	for (int fd = 3; fd < 128; fd++)
		if (!agent_needs(fd) && fstat(fd, &other) == 0 && other.st_ino == st.st_ino)
			still++;
	pid_t pid = fork(); /* the lock of this process is seen by another */
	if (pid == 0) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		_exit(fcntl(foreign, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK ? 0 : 1);
	}
	int ended = -1;
	waitpid(pid, &ended, 0);
	return ended == 0 ? still : -ENOLCK;
}

START_TEST(descriptors_that_became_foreign_files_are_left_alone)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	struct unishm *seg = make(0, SMALL, 0600);
	static const task calls[] = { do_number, do_attach, do_chmod, do_detach, do_number,
		do_close };
	static const unsigned long counts[] = { 2, 3, 3, 2, 2, 0 };
	static const long args[] = { 0, 0, 0640, 0, 0, 0 };
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, replace_everything, 0));
	long before = ask(&agent, look_at_foreign, 0);
	ck_assert_int_gt(before, 100);
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		long rc = ask(&agent, calls[i], args[i]);
		ck_assert_msg(rc >= 0, "call %zu gave %ld: %s", i, rc, board->said);
		ck_assert_int_eq(ask(&agent, look_at_foreign, 0), before);
		ck_assert_msg(number_attached(seg) == counts[i], "call %zu: %lu", i,
				number_attached(seg));
	}
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(a_removed_segment_ends_well_though_descriptors_became_foreign)
{
	begin(_i);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_create, 0));
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(ask(&agent, replace_everything, 0));
	long before = ask(&agent, look_at_foreign, 0);
	expect_ok(ask(&agent, do_remove, 0));
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_int_eq(ask(&agent, look_at_foreign, 0), before);
	ask(&agent, do_close, 0);
	ck_assert_int_eq(ask(&agent, look_at_foreign, 0), before);
	if (is_isolated())
		ck_assert_uint_eq(memory_used(), 0);
	agent_end(&agent);
}
END_TEST

static void close_all_descriptors(void)
{
	for (int fd = 3; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			close(fd);
}

/* Runs in a child without the harness's pipes: they are closed with the rest. */
static int two_handles_without_descriptors(void)
{
	struct unishm_status st;
	void *addr;
	close_all_descriptors(); /* so that the handles get the lowest numbers */
	struct unishm *one = make(0, SMALL, 0600), *two = take(0);
	attach(one, 0);
	attach(two, 0);
	close_all_descriptors();
	/* The first to be used gets the number that the other remembers. */
	if (unishm_attach(two, 0, &addr) < 0)
		return 1;
	int descriptors = count_descriptors();
	unishm_close(one);
	if (count_descriptors() != descriptors)
		return 2;
	if (unishm_remove(two) < 0 || unishm_status(two, &st) < 0 || st.number_attached != 2)
		return 3;
	unishm_close(two);
	return 0;
}

START_TEST(handles_whose_descriptors_were_closed_do_not_share_a_new_one)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(two_handles_without_descriptors());
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "ended with %x",
			(unsigned)status);
}
END_TEST

/* The library opens one anew for the handle, and another for a moment, which gets the
 * number that the handle remembers. */
static long ask_after_closing(long unused)
{
	struct unishm_status st;
	(void)unused;
	if (unishm_status(mine, &st) < 0)
		return -1;
	do_close_descriptors(3);
	int descriptors = count_descriptors();
	if (unishm_status(mine, &st) < 0)
		return -2;
	unishm_close(mine);
	return count_descriptors() - descriptors;
}

START_TEST(asking_after_all_descriptors_were_closed_leaves_none_open)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, ask_after_closing, 0));
	agent_kill(&agent);
	drop(seg);
}
END_TEST

void descriptor_group(Suite *suite)
{
	TCase *t = group(suite, "descriptors", "native", 20);
	EACH(t, a_program_that_closes_all_descriptors_stays_counted);
	EACH(t, each_call_works_after_all_descriptors_were_closed);
	EACH(t, a_removed_segment_of_a_program_that_closed_all_descriptors_ends_well);
	EACH(t, an_only_attachment_outlives_descriptors_and_forks);
	EACH(t, descriptors_that_became_foreign_files_are_left_alone);
	EACH(t, a_removed_segment_ends_well_though_descriptors_became_foreign);
	EACH(t, handles_whose_descriptors_were_closed_do_not_share_a_new_one);
	EACH(t, asking_after_all_descriptors_were_closed_leaves_none_open);
}
