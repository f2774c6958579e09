/* SPDX-License-Identifier: MIT */
/*
 * What the model test found (docs/testing.md), each as small as it got. The races
 * among them are model_race's to find again.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "harness.h"

enum { NOBODY = 65534 };

START_TEST(exclusive_creation_looks_at_the_key_before_the_size)
{
	begin(_i);
	struct unishm *other = NULL, *seg = make(0, SMALL, 0600);
	ck_assert_int_eq(unishm_open(&other, key(0), O_CREAT | O_EXCL, 0, 0600), -EEXIST);
	ck_assert_int_eq(unishm_open(&other, key(0), O_CREAT | O_EXCL, SIZE_MAX, 0600), -EEXIST);
	ck_assert_ptr_null(other);
	drop(seg);
}
END_TEST

START_TEST(an_owner_locks_what_he_may_not_read)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct agent owner = agent_start();
	expect_ok(ask(&owner, do_become, NOBODY));
	expect_ok(ask(&owner, do_create, 0));
	expect_ok(ask(&owner, do_chmod, 0200));
	expect_rc(ask(&owner, do_lock, 0), can_lock() ? 0 : -ENOTSUP);
	expect_rc(ask(&owner, do_unlock, 0), can_lock() ? 0 : -ENOTSUP);
	expect_ok(ask(&owner, do_remove, 0));
	agent_end(&owner);
}
END_TEST

/* Removed is said before refused; and an id of a removed segment is no segment. */
START_TEST(a_removed_segment_is_removed_also_for_those_whom_it_refuses)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	mine = make(0, SMALL, 0600);
	int id = unishm_id(mine);
	struct agent other = agent_start();
	attach(mine, 0);
	expect_ok(unishm_remove(mine));
	expect_ok(ask(&other, do_become, NOBODY));
	expect_rc(ask(&other, do_attach, 0), -EIDRM);
	expect_ok(ask(&other, do_close, 0));
	expect_rc(ask(&other, do_open_id, id), -ENOENT);
	agent_end(&other);
	unishm_close(mine);
}
END_TEST

/* The kernel replaces whole pages, so what ends in the middle of one is gone too. */
START_TEST(what_is_replaced_to_its_last_page_is_detached)
{
	begin(_i);
	size_t page = 1 << 18; /* a multiple of every SHMLBA */
	char *room = map_area(4 * page);
	struct unishm *small = make(0, 100, 0600), *large = make(1, page + 1, 0600);
	void *first, *second;
	munmap(room + page, page_size()); /* no more, or the library's own gets there */
	expect_ok(unishm_attach_at(small, room + page, 0, &first));
	expect_ok(unishm_attach_at(large, room, UNISHM_REMAP, &second));
	ck_assert_uint_eq(number_attached(small), 0);
	ck_assert_uint_eq(number_attached(large), 1);
	ck_assert_int_eq(unishm_detach(small, first), -EINVAL);
	drop(small);
	drop(large);
	munmap(room, 4 * page);
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
START_TEST(a_successors_mode_is_in_nobodys_way)
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

/* The library opens one anew for the handle, and another for a moment, which gets the
 * number that the handle remembers. */
static long ask_after_closing(long unused)
{
	struct unishm_status st;
	(void)unused;
	if (unishm_status(mine, &st) < 0)
		return -1;
	for (int fd = 3; fd < 256; fd++)
		if (!agent_needs(fd))
			close(fd);
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

static pid_t fork_and_wait(void)
{
	pid_t pid = fork();
	if (pid == 0)
		wait_to_be_killed();
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

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
	pid_t child = fork_and_wait();
	if (seteuid(0) < 0 || unishm_attach(mine, UNISHM_RDONLY, &second) < 0 ||
			seteuid(NOBODY) < 0)
		return -1;
	int rc = unishm_open(&again, key(0), 0, 0, 0);
	if (seteuid(0) < 0)
		return -1;
	end_child(child);
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
	pid_t first = fork_and_wait();
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
	end_child(first);
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

/* The library's own mappings go elsewhere. */
START_TEST(a_range_that_was_detached_stays_free_while_others_attach)
{
	begin(_i);
	SKIP_UNLESS(sizeof(void *) == 8 && !is_instrumented(), "needs addresses to spare");
	void *one, *two, *again;
	struct unishm *small = make(0, 4096, 0600), *large = make(1, 1 << 20, 0600);
	for (int i = 0; i < 3; i++) {
		one = attach(small, 0);
		two = attach(large, 0);
		detach(small, one);
		detach(large, two);
		one = attach(small, 0);
		number_attached(small);
		expect_ok(unishm_attach_at(large, two, 0, &again));
		number_attached(large);
		detach(large, two);
		detach(small, one);
	}
	drop(small);
	drop(large);
}
END_TEST

static long detach_without_rights_or_descriptors(long unused)
{
	(void)unused;
	mine = take(0); /* one that no child shares */
	void *first = attach(mine, 0);
	attach(mine, 0);
	do_become(NOBODY);
	for (int fd = 3; fd < 256; fd++)
		if (!agent_needs(fd))
			close(fd);
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

/* The record's page was freed; a mapping of it would ask for a new one. */
START_TEST(asking_what_is_gone_takes_no_memory)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "looks at all of the memory");
	struct unishm_status st;
	for (int asked = 0; asked < 3; asked++) {
		struct unishm *seg = make(0, SMALL, 0600), *other = take(0);
		for (int i = 0; i < asked; i++)
			number_attached(other);
		expect_ok(unishm_remove(seg));
		unishm_close(seg);
		size_t used = memory_used();
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(unishm_status(other, &st), -EIDRM);
		ck_assert_uint_le(memory_used(), used);
		unishm_close(other);
	}
}
END_TEST

/* A foreign link keeps the object alive, and so the lock of the first remover. */
START_TEST(what_somebody_linked_can_be_removed_twice)
{
	begin(_i);
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	struct unishm *seg = make(0, SMALL, 0600), *other = take(0);
	char path[300], second[320];
	snprintf(path, sizeof path, "%s", record_path());
	snprintf(second, sizeof second, "%s.linked", path);
	ck_assert_int_eq(link(path, second), 0);
	expect_ok(unishm_remove(seg));
	int rc = unishm_remove(other);
	ck_assert_msg(rc == 0 || rc == -EIDRM, "%d", rc);
	unlink(second);
	unishm_close(seg);
	unishm_close(other);
}
END_TEST

static void fill(Suite *suite)
{
	TCase *t = group(suite, "found", NULL, 20);
	EACH(t, exclusive_creation_looks_at_the_key_before_the_size);
	EACH(t, an_owner_locks_what_he_may_not_read);
	EACH(t, a_removed_segment_is_removed_also_for_those_whom_it_refuses);
	EACH(t, what_is_replaced_to_its_last_page_is_detached);
	EACH(t, a_range_that_was_detached_stays_free_while_others_attach);
	EACH(t, asking_what_is_gone_takes_no_memory);
	EACH(t, what_somebody_linked_can_be_removed_twice);
	t = group(suite, "found native", "native", 20);
	EACH(t, who_can_open_nothing_any_more_still_detaches);
	EACH(t, handles_whose_descriptors_were_closed_do_not_share_a_new_one);
	EACH(t, a_writer_that_lost_the_right_to_write_forks_without_a_trace);
	EACH(t, a_successors_mode_is_in_nobodys_way);
	EACH(t, a_grandchild_leaves_with_its_process_whatever_counted_its_parent);
	EACH(t, attachments_from_before_and_after_a_change_of_user_are_both_carried_over);
	EACH(t, asking_after_all_descriptors_were_closed_leaves_none_open);
	EACH(t, an_old_descriptor_is_no_permission);
	EACH(t, what_a_child_shares_hides_no_attachment);
}

int main(void)
{
	return harness_main("found", fill);
}
