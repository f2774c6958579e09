/* SPDX-License-Identifier: MIT */
/* Locks. */
#include "contract.h"

START_TEST(a_lock_shows_and_one_unlock_undoes_all)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(is_root(), "needs root to lock for sure");
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	expect_ok(ask(&agent, do_open, 0));
	ck_assert(!status_of(seg).locked);
	expect_ok(unishm_lock(seg));
	ck_assert(status_of(seg).locked);
	expect_ok(unishm_lock(seg));
	expect_ok(ask(&agent, do_status, 0));
	ck_assert(board->st.locked);
	ck_assert_uint_eq(board->st.number_attached, 0);
	expect_ok(unishm_unlock(seg));
	ck_assert(!status_of(seg).locked);
	expect_ok(ask(&agent, do_status, 0));
	ck_assert(!board->st.locked);
	expect_ok(unishm_unlock(seg));
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(anyone_who_may_undoes_the_locks_of_others)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(is_root(), "needs root to lock for sure");
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_lock, 0));
	ck_assert(status_of(seg).locked);
	expect_ok(unishm_unlock(seg));
	ck_assert(!status_of(seg).locked);
	expect_ok(ask(&agent, do_lock, 0));
	agent_kill(&agent);
	ck_assert_int_eq(status_of(seg).locked, on("sysv"));
	drop(seg);
}
END_TEST

START_TEST(a_lock_is_no_attachment_and_survives_attach_detach_and_chmod)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	SKIP_UNLESS(is_root(), "needs root to lock for sure");
	struct unishm *seg = make(0, SMALL, 0600);
	expect_ok(unishm_lock(seg));
	attach(seg, 0);
	expect_ok(unishm_chmod(seg, 0640));
	detach(seg, NULL);
	struct unishm_status st = status_of(seg);
	ck_assert(st.locked);
	ck_assert_uint_eq(st.mode, 0640);
	ck_assert_uint_eq(st.number_attached, 0);
	expect_ok(unishm_remove(seg));
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM); /* the lock keeps nothing alive */
	ck_assert(data_is_freed());
	unishm_close(seg);
}
END_TEST

START_TEST(an_owner_whom_the_mode_lets_only_read_unlocks_what_it_locked)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(is_root(), "needs root to be another user");
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_become, NOBODY));
	expect_ok(ask(&agent, do_create, 0));
	expect_ok(ask(&agent, do_chmod, 0400));
	expect_ok(ask(&agent, do_close, 0));
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_lock, 0));
	expect_ok(ask(&agent, do_status, 0));
	ck_assert(board->st.locked);
	expect_ok(ask(&agent, do_unlock, 0));
	expect_ok(ask(&agent, do_status, 0));
	ck_assert(!board->st.locked);
	expect_ok(ask(&agent, do_remove, 0));
	agent_end(&agent);
}
END_TEST

START_TEST(an_owner_without_read_permission_locks)
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

void lock_group(Suite *suite)
{
	TCase *t = group(suite, "lock", NULL, 15);
	EACH(t, a_lock_shows_and_one_unlock_undoes_all);
	EACH(t, anyone_who_may_undoes_the_locks_of_others);
	EACH(t, an_owner_whom_the_mode_lets_only_read_unlocks_what_it_locked);
	EACH(t, a_lock_is_no_attachment_and_survives_attach_detach_and_chmod);
	EACH(t, an_owner_without_read_permission_locks);
}
