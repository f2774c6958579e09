/* SPDX-License-Identifier: MIT */
/* Processes of other users, and those that change their user or their root. */
#include "process.h"

#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

START_TEST(attachers_of_other_users_are_counted_and_their_deaths_too)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	SKIP_UNLESS(is_root(), "needs root");
	struct agent reader = agent_start_as(NOBODY), writer = agent_start_as(DAEMON);
	struct unishm *seg = make(0, SMALL, 0644);
	expect_ok(unishm_chown(seg, DAEMON, (gid_t)-1));
	expect_ok(ask(&reader, do_open, 0));
	expect_ok(ask(&writer, do_open, 0));
	expect_ok(ask(&reader, do_attach, UNISHM_RDONLY));
	expect_ok(ask(&reader, do_attach, UNISHM_RDONLY));
	expect_ok(ask(&writer, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 3);
	expect_rc(ask(&reader, do_number, 0), 3);
	expect_rc(ask(&writer, do_number, 0), 3);
	long child = ask(&reader, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 5);
	expect_rc(ask(&writer, do_number, 0), 5);
	expect_ok(ask(&reader, do_reap, child));
	expect_rc(ask(&writer, do_number, 0), 3);
	agent_kill(&reader);
	ck_assert_uint_eq(number_attached(seg), 1);
	expect_rc(ask(&writer, do_number, 0), 1);
	agent_kill(&writer);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

START_TEST(a_process_that_dropped_its_privileges_forks_exactly)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, do_become, NOBODY));
	ck_assert_uint_eq(number_attached(seg), 2);
	for (int i = 0; i < 20; i++) {
		long child = ask(&agent, do_fork, 0);
		ck_assert_int_gt(child, 0);
		ck_assert_uint_eq(number_attached(seg), 4);
		expect_ok(ask(&agent, do_reap, child));
		ck_assert_uint_eq(number_attached(seg), 2);
	}
	ask(&agent, do_write, 0);
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

START_TEST(a_child_of_dropped_privileges_outlives_its_parent_exactly)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, do_become, NOBODY));
	long child = ask(&agent, do_fork, 0), other = ask(&agent, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 6);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(seg), 4);
	kill((pid_t)child, SIGKILL);
	wait_until_gone(child);
	ck_assert_uint_eq(number_attached(seg), 2);
	kill((pid_t)other, SIGKILL);
	wait_until_gone(other);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

static long enter_empty_root(long unused)
{
	char dir[] = "/tmp/unishm-root-XXXXXX";
	(void)unused;
	if (!mkdtemp(dir) || chdir(dir) < 0 || rmdir(dir) < 0 || chroot(".") < 0)
		return -errno;
	return 0;
}

START_TEST(a_process_in_an_empty_root_directory_counts_and_forks_exactly)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = attached_agent(2);
	expect_ok(ask(&agent, enter_empty_root, 0));
	expect_rc(ask(&agent, do_number, 0), 2);
	long child = ask(&agent, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 4);
	expect_ok(ask(&agent, do_reap, child));
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&agent);
	drop(seg);
}
END_TEST

static long count_my_descriptors(long unused)
{
	(void)unused;
	return count_descriptors();
}

static long close_and_fork(long unused)
{
	int status;
	struct unishm_status st;
	(void)unused;
	for (int fd = 3; fd < 256; fd++) { /* those of the library alone */
		struct stat file;
		if (fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_size > 100000)
			close(fd);
	}
	if (unishm_status(mine, &st) < 0)
		return -1;
	int before = count_descriptors(), of_handle = on("posix") ? 1 : 0;
	pid_t child = fork();
	if (child == 0) {
		if (count_descriptors() != before)
			_exit(1);
		if (unishm_status(mine, &st) < 0 || st.number_attached != 2)
			_exit(2);
		unishm_close(mine);
		_exit(count_descriptors() == before - of_handle ? 0 : 3);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A writer that may only read when it opens the segment again: its child is counted,
 * and the descriptor that was got ready for it is closed. */
START_TEST(a_writer_that_lost_the_right_to_write_forks_without_a_trace)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	mine = make(0, SMALL, 0644);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(ask(&agent, do_become, NOBODY));
	long descriptors = ask(&agent, count_my_descriptors, 0);
	ck_assert_int_eq(ask(&agent, close_and_fork, 0), 0);
	ck_assert_int_eq(ask(&agent, count_my_descriptors, 0), descriptors);
	ck_assert_uint_eq(number_attached(mine), 1);
	agent_end(&agent);
	drop(mine);
}
END_TEST

static long fork_with_a_seat_and_a_mark(long unused)
{
	int status;
	struct unishm_status st;
	struct unishm *other = take(0);
	(void)unused;
	attach(mine, 0);
	do_become(NOBODY);
	attach(other, UNISHM_RDONLY);
	pid_t child = fork();
	if (child == 0) {
		if (unishm_status(mine, &st) < 0 || st.number_attached != 4 ||
				do_list_count(0) != 1)
			_exit(1);
		unishm_close(other);
		_exit(unishm_status(mine, &st) == 0 && st.number_attached == 3 ? 0 : 2);
	}
	waitpid(child, &status, 0);
	long now = do_number(0);
	unishm_close(other);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? now : -status;
}

/* Whose child's seat was a lock of the process once, which kept the descriptor of the
 * child's mark open. */
START_TEST(attachments_from_before_and_after_a_change_of_user_are_both_carried_over)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	mine = make(0, SMALL, 0644);
	struct agent agent = agent_start();
	expect_rc(ask(&agent, fork_with_a_seat_and_a_mark, 0), 2);
	ck_assert_uint_eq(number_attached(mine), 1);
	agent_end(&agent);
	drop(mine);
}
END_TEST

/* Whose child is counted, and exactly so: the status of the child says it. */
static long fork_and_see_two(long unused)
{
	int status;
	struct unishm_status st;
	(void)unused;
	pid_t child = fork();
	if (child == 0)
		_exit(unishm_status(mine, &st) == 0 && st.number_attached == 2 && !st.inexact ? 0
											      : 1);
	waitpid(child, &status, 0);
	return status;
}

/* The name leads to a segment that refuses us, but it is not ours any more. */
START_TEST(a_successors_mode_does_not_change_what_a_fork_counts)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	mine = make(0, SMALL, 0666);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(unishm_remove(mine));
	struct unishm *successor = make(0, SMALL, 0600);
	expect_ok(ask(&agent, do_become, NOBODY));
	expect_ok(ask(&agent, fork_and_see_two, 0));
	agent_end(&agent);
	drop(successor);
	unishm_close(mine);
}
END_TEST

/* A child that nothing but a lock of its process counts forks once it may write. */
static long fork_twice(long unused)
{
	int status;
	(void)unused;
	pid_t child = fork();
	if (child == 0) {
		say_word();
		while (!board->flag)
			sched_yield();
		pid_t grandchild = fork();
		if (grandchild == 0)
			_exit(do_number(0) == 3 ? 0 : 1);
		waitpid(grandchild, &status, 0);
		_exit(status || do_number(0) != 2 ? 2 : 0);
	}
	waitpid(child, &status, 0);
	return status;
}

START_TEST(a_grandchild_leaves_with_its_process_whatever_counted_its_parent)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	SKIP_UNLESS(can_share() && can_change_rights(), "needs a mode that can be widened");
	mine = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	board->flag = 0;
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(ask(&agent, do_become, NOBODY));
	tell(&agent, fork_twice, 0);
	hear_word(&agent);
	expect_ok(unishm_chmod(mine, 0666));
	board->flag = 1;
	expect_ok(hear(&agent));
	ck_assert_uint_eq(number_attached(mine), 1);
	agent_end(&agent);
	drop(mine);
}
END_TEST

/* Descriptors from better times are kept open, as long as there are locks of the process. */
static long open_what_is_still_open(long unused)
{
	struct unishm *again;
	void *second;
	(void)unused;
	mine = make(0, SMALL, 0600);
	attach(mine, 0);
	if (seteuid(NOBODY) < 0)
		return -1;
	long child = do_fork(0);
	if (seteuid(0) < 0 || unishm_attach(mine, UNISHM_RDONLY, &second) < 0 ||
			seteuid(NOBODY) < 0)
		return -1;
	int rc = unishm_open(&again, key(0), 0, 0, 0);
	if (seteuid(0) < 0)
		return -1;
	do_reap(child);
	drop(mine);
	return rc;
}

START_TEST(an_old_descriptor_is_no_permission)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	struct agent agent = agent_start();
	expect_rc(ask(&agent, open_what_is_still_open, 0), -EACCES);
	agent_end(&agent);
}
END_TEST

static int note_number(const struct unishm_status *st, void *number)
{
	*(unsigned long *)number = st->number_attached;
	return 0;
}

/* The child and its parent share a descriptor that was kept open; the parent's next
 * attachment must show to the child all the same. */
static long attach_by_what_a_child_shares(long unused)
{
	unsigned long number = 0;
	int status = -1;
	(void)unused;
	mine = make(0, SMALL, 0600);
	attach(mine, 0);
	if (seteuid(NOBODY) < 0)
		return -1;
	long first = do_fork(0);
	if (seteuid(0) < 0 || unishm_list(NULL, note_number, &number) < 0)
		return -1;
	pid_t second = fork();
	if (second == 0) {
		while (!board->flag)
			sched_yield();
		_exit(unishm_list(NULL, note_number, &number) < 0 ? 99 : (int)number);
	}
	struct unishm *again = take(0);
	unishm_close(mine);
	attach(again, 0);
	board->flag = 1;
	waitpid(second, &status, 0);
	do_reap(first);
	number = number_attached(again);
	drop(again);
	return WEXITSTATUS(status) == 3 ? (long)number : -WEXITSTATUS(status);
}

START_TEST(what_a_child_shares_hides_no_attachment)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "lists all segments");
	SKIP_UNLESS(is_root(), "needs root");
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	struct agent agent = agent_start();
	board->flag = 0;
	expect_rc(ask(&agent, attach_by_what_a_child_shares, 0), 1);
	agent_end(&agent);
}
END_TEST

static long detach_without_rights_or_descriptors(long unused)
{
	(void)unused;
	mine = take(0); /* one that no child shares */
	void *first = attach(mine, 0);
	attach(mine, 0);
	do_become(NOBODY);
	do_close_descriptors(3);
	return unishm_detach(mine, first);
}

START_TEST(who_can_open_nothing_any_more_still_detaches)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"),
			"a lock of the process goes with any close");
	SKIP_UNLESS(is_root(), "needs root");
	mine = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, detach_without_rights_or_descriptors, 0));
	ck_assert_uint_eq(number_attached(mine), 1);
	agent_kill(&agent);
	ck_assert_uint_eq(number_attached(mine), 0);
	drop(mine);
}
END_TEST

void user_group(Suite *suite)
{
	TCase *t = group(suite, "users", NULL, 20);
	EACH(t, attachers_of_other_users_are_counted_and_their_deaths_too);
	EACH(t, a_process_that_dropped_its_privileges_forks_exactly);
	EACH(t, a_child_of_dropped_privileges_outlives_its_parent_exactly);
	t = group(suite, "users native", "native", 20);
	EACH(t, a_process_in_an_empty_root_directory_counts_and_forks_exactly);
	EACH(t, a_writer_that_lost_the_right_to_write_forks_without_a_trace);
	EACH(t, attachments_from_before_and_after_a_change_of_user_are_both_carried_over);
	EACH(t, a_successors_mode_does_not_change_what_a_fork_counts);
	EACH(t, a_grandchild_leaves_with_its_process_whatever_counted_its_parent);
	EACH(t, an_old_descriptor_is_no_permission);
	EACH(t, what_a_child_shares_hides_no_attachment);
	EACH(t, who_can_open_nothing_any_more_still_detaches);
}
