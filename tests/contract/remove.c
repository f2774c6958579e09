/* SPDX-License-Identifier: MIT */
/* Remove. */
#include "contract.h"

#include <sched.h>

START_TEST(removing_what_is_not_attached_ends_it_at_once)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct unishm_status st;
	void *addr;
	expect_ok(unishm_remove(seg));
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
	ck_assert_int_eq(unishm_attach(seg, 0, &addr), -EIDRM);
	ck_assert_int_eq(unishm_remove(seg), -EIDRM);
	ck_assert_int_eq(unishm_chmod(seg, 0666), -EIDRM);
	ck_assert_int_eq(unishm_chown(seg, (uid_t)-1, (gid_t)-1), -EIDRM);
	ck_assert_int_eq(unishm_lock(seg), -EIDRM);
	ck_assert_int_eq(unishm_unlock(seg), -EIDRM);
	ck_assert_int_eq(unishm_detach(seg, NULL), -EINVAL);
	ck_assert_int_eq(try_open(0), -ENOENT);
	ck_assert(data_is_freed());
	unishm_close(seg);
}
END_TEST

START_TEST(a_removed_segment_lives_until_its_last_detach)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	char *addr = attach(seg, 0);
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(unishm_remove(seg));
	for (unsigned left = 2; left > 0; left--) {
		struct unishm_status st = status_of(seg);
		ck_assert(st.removed);
		ck_assert_int_eq(st.key, UNISHM_PRIVATE);
		ck_assert_uint_eq(st.number_attached, left);
		ck_assert_uint_eq(st.size, SMALL);
		expect_ok(ask(&agent, do_status, 0));
		ck_assert(board->st.removed);
		ck_assert_uint_eq(board->st.number_attached, left);
		expect_ok(unishm_remove(seg));
		addr[1] = (char)left;
		if (left == 2) {
			expect_rc(ask(&agent, do_read, 1), 2);
			expect_ok(ask(&agent, do_detach, 0));
		}
	}
	detach(seg, addr);
	struct unishm_status st;
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
	ck_assert_int_eq(unishm_remove(seg), -EIDRM);
	expect_rc(ask(&agent, do_status, 0), -EIDRM);
	expect_rc(ask(&agent, do_remove, 0), -EIDRM);
	ck_assert(data_is_freed());
	agent_end(&agent);
	unishm_close(seg);
}
END_TEST

START_TEST(no_handle_attaches_after_remove)
{
	begin(_i);
	struct agent early = agent_start(), attached = agent_start();
	struct unishm *seg = make(0, SMALL, 0600), *second = take(0);
	void *addr = NULL;
	expect_ok(ask(&early, do_open, 0));
	expect_ok(ask(&attached, do_open, 0));
	expect_ok(ask(&attached, do_attach, 0));
	attach(seg, 0);
	int id = unishm_id(seg);
	expect_ok(unishm_remove(second));
	ck_assert_int_eq(unishm_attach(seg, 0, &addr), -EIDRM);
	ck_assert_int_eq(unishm_attach(second, UNISHM_RDONLY, &addr), -EIDRM);
	expect_rc(ask(&early, do_attach, 0), -EIDRM);
	expect_rc(ask(&early, do_attach, UNISHM_RDONLY), -EIDRM);
	expect_rc(ask(&attached, do_attach, 0), -EIDRM);
	expect_rc(ask(&early, do_open_id, id), -ENOENT);
	ck_assert_uint_eq(number_attached(seg), 2);
	agent_end(&early);
	agent_end(&attached);
	unishm_close(second);
	unishm_close(seg);
}
END_TEST

START_TEST(remove_frees_the_key_at_once_and_never_hits_a_successor)
{
	begin(_i);
	struct agent stale = agent_start();
	struct unishm *old = make(0, SMALL, 0600);
	char *before = attach(old, 0);
	expect_ok(ask(&stale, do_open, 0));
	*before = 'o';
	expect_ok(unishm_remove(old));
	ck_assert_int_eq(try_open(0), -ENOENT);
	struct unishm *new = make(0, 2 * SMALL, 0640);
	char *after = attach(new, 0);
	ck_assert_int_eq(*after, 0);
	*after = 'n';
	ck_assert_int_ne(unishm_id(new), unishm_id(old));
	ck_assert_int_eq(*before, 'o');
	ck_assert_uint_eq(number_attached(old), 1);
	ck_assert_uint_eq(number_attached(new), 1);
	ck_assert(!status_of(new).removed);
	ck_assert_int_eq(status_of(new).key, key(0));
	expect_ok(ask(&stale, do_remove, 0));
	expect_ok(unishm_remove(old));
	ck_assert_int_eq(try_open(0), 0);
	unishm_close(old);
	expect_rc(ask(&stale, do_remove, 0), -EIDRM);
	expect_rc(ask(&stale, do_status, 0), -EIDRM);
	expect_rc(ask(&stale, do_attach, 0), -EIDRM);
	ck_assert_int_eq(try_open(0), 0);
	ck_assert_int_eq(*after, 'n');
	agent_end(&stale);
	drop(new);
}
END_TEST

START_TEST(a_stale_handle_does_not_see_the_successor)
{
	begin(_i);
	struct agent stale = agent_start();
	struct unishm *old = make(0, SMALL, 0600);
	expect_ok(ask(&stale, do_open, 0));
	drop(old);
	struct unishm *new = make(0, SMALL, 0600);
	expect_rc(ask(&stale, do_chmod, 0666), -EIDRM);
	expect_rc(ask(&stale, do_attach, 0), -EIDRM);
	expect_rc(ask(&stale, do_remove, 0), -EIDRM);
	ck_assert_uint_eq(status_of(new).mode, 0600);
	ck_assert_int_eq(try_open(0), 0);
	agent_end(&stale);
	drop(new);
}
END_TEST

/* An idle handle of another process lets go when it finds the segment gone. */
START_TEST(memory_is_freed_at_the_last_detach_or_when_idle_handles_notice)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "memory is not ours alone");
	struct agent idle = agent_start();
	struct unishm *seg = make(0, 8 << 20, 0600);
	memset(attach(seg, 0), 1, 8 << 20);
	expect_ok(ask(&idle, do_open, 0));
	expect_ok(unishm_remove(seg));
	ck_assert_uint_ge(memory_used(), 8 << 20);
	detach(seg, NULL);
	expect_rc(ask(&idle, do_status, 0), -EIDRM);
	ck_assert(data_is_freed());
	agent_end(&idle);
	unishm_close(seg);
}
END_TEST

START_TEST(memory_of_an_unattached_segment_is_freed_by_remove_or_when_idle_handles_close)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "memory is not ours alone");
	struct agent idle = agent_start();
	struct unishm *seg = make(0, 8 << 20, 0600);
	expect_ok(ask(&idle, do_open, 0));
	expect_ok(unishm_remove(seg));
	expect_ok(ask(&idle, do_close, 0));
	ck_assert(data_is_freed());
	agent_end(&idle);
	unishm_close(seg);
}
END_TEST

START_TEST(memory_is_freed_when_the_last_is_killed_though_an_idle_handle_is_open)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "memory is not ours alone");
	static const task last_words[] = { do_status, do_attach, do_remove, do_close };
	for (int i = 0; i < 4; i++) {
		struct agent idle = agent_start(), last = agent_start();
		unishm_close(make(0, 8 << 20, 0600));
		expect_ok(ask(&idle, do_open, 0));
		expect_ok(ask(&last, do_open, 0));
		expect_ok(ask(&last, do_attach, UNISHM_POPULATE));
		expect_ok(ask(&last, do_remove, 0));
		ck_assert_uint_ge(memory_used(), 8 << 20);
		agent_kill(&last);
		if (on("sysv"))
			ck_assert_uint_eq(memory_used(), 0);
		expect_rc(ask(&idle, last_words[i], 0), last_words[i] == do_close ? 0 : -EIDRM);
		ck_assert_msg(data_is_freed(), "%zu bytes are used after last words %d",
				memory_used(), i);
		agent_end(&idle);
		ck_assert_uint_eq(memory_used(), 0);
	}
}
END_TEST

START_TEST(memory_is_freed_when_the_last_is_killed_and_no_other_has_it_open)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "memory is not ours alone");
	struct agent last = agent_start();
	expect_ok(ask(&last, do_create, 0));
	expect_ok(ask(&last, do_attach, 0));
	expect_ok(ask(&last, do_remove, 0));
	ck_assert_uint_gt(memory_used(), 0);
	agent_kill(&last);
	ck_assert_uint_eq(memory_used(), 0);
}
END_TEST

START_TEST(list_shows_no_removed_segment_that_is_gone)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	expect_ok(unishm_remove(seg));
	struct seen seen = { .count = 0 };
	expect_ok(unishm_list(NULL, see, &seen)); /* its key is private by now */
	ck_assert_int_eq(seen.count, 0);
	detach(seg, NULL);
	expect_ok(unishm_list(NULL, see, &seen));
	ck_assert_int_eq(seen.count, 0);
	unishm_close(seg);
}
END_TEST

START_TEST(a_removed_segment_can_still_be_changed)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	expect_ok(unishm_remove(seg));
	expect_ok(unishm_chmod(seg, 0640));
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.mode, 0640);
	ck_assert(st.removed);
	unishm_close(seg);
}
END_TEST

static long attach_until_removed(long unused)
{
	void *addr;
	int rc;
	(void)unused;
	while ((rc = unishm_attach(mine, 0, &addr)) == 0) {
		expect(*(volatile char *)addr == 'A', "wrong memory");
		expect_ok(unishm_detach(mine, addr));
		board->flag = 1;
	}
	return rc;
}

START_TEST(attach_against_remove_gets_the_right_memory_or_eidrm)
{
	begin(_i);
	struct agent agent = agent_start();
	for (int round = 0; round < rounds(100); round++) {
		struct unishm *seg = make(0, SMALL, 0600);
		*(char *)attach(seg, 0) = 'A';
		detach(seg, NULL);
		board->flag = 0;
		expect_ok(ask(&agent, do_open, 0));
		tell(&agent, attach_until_removed, 0);
		while (!board->flag)
			sched_yield();
		expect_ok(unishm_remove(seg));
		struct unishm *next = make(0, SMALL, 0600);
		expect_rc(hear(&agent), -EIDRM);
		struct unishm_status st;
		ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
		ask(&agent, do_close, 0);
		unishm_close(seg);
		drop(next);
	}
	agent_end(&agent);
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

/* A foreign link keeps the object alive, and so the lock of the first remover. */
START_TEST(what_has_another_link_can_be_removed_twice)
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

void remove_group(Suite *suite)
{
	TCase *t = group(suite, "remove", NULL, 15);
	EACH(t, removing_what_is_not_attached_ends_it_at_once);
	EACH(t, a_removed_segment_lives_until_its_last_detach);
	EACH(t, no_handle_attaches_after_remove);
	EACH(t, remove_frees_the_key_at_once_and_never_hits_a_successor);
	EACH(t, a_stale_handle_does_not_see_the_successor);
	EACH(t, list_shows_no_removed_segment_that_is_gone);
	EACH(t, a_removed_segment_can_still_be_changed);
	EACH(t, a_removed_segment_is_removed_also_for_those_whom_it_refuses);
	EACH(t, what_has_another_link_can_be_removed_twice);
	t = group(suite, "memory", "native", 15);
	EACH(t, memory_is_freed_at_the_last_detach_or_when_idle_handles_notice);
	EACH(t, memory_of_an_unattached_segment_is_freed_by_remove_or_when_idle_handles_close);
	EACH(t, memory_is_freed_when_the_last_is_killed_though_an_idle_handle_is_open);
	EACH(t, memory_is_freed_when_the_last_is_killed_and_no_other_has_it_open);
	t = group(suite, "races", "native", 40);
	EACH(t, attach_against_remove_gets_the_right_memory_or_eidrm);
}
