/* SPDX-License-Identifier: MIT */
/* Refused for want of permission, and what messages say. */
#include "errors.h"

#include <limits.h>

static long find_message(long unused)
{
	(void)unused;
	return strstr(unishm_errmsg(), "root") != NULL;
}

/* Each message says what was asked, what is the case, and what helps in this case. */
static void says(const char *wanted, const char *unwanted)
{
	const char *said = unishm_errmsg();
	ck_assert_msg(strstr(said, wanted) != NULL, "[%s] \"%s\" is not in: %s", backend(), wanted,
			said);
	if (unwanted)
		ck_assert_msg(!strstr(said, unwanted), "[%s] \"%s\" is in: %s", backend(), unwanted,
				said);
}

START_TEST(a_message_gives_no_advice_that_cannot_help)
{
	begin(_i);
	struct unishm *other, *seg = make(0, 1, 0600);
	void *addr;
	expect_rc(unishm_open_id(&other, INT_MAX), -ENOENT);
	says("check id and backend", "O_CREAT");
	expect_rc(unishm_open(&other, key(0), 0, 2, 0), -EINVAL);
	says("it has 1 byte, fewer than the 2 asked for", NULL);
	expect_rc(unishm_open(&other, key(1), O_CREAT, 0, 0600), -EINVAL);
	says("a size of 1 or more", "size 0 opens");
	expect_rc(unishm_detach(seg, NULL), -EINVAL);
	says("this handle has no attachment", "name the address");
	expect_rc(unishm_attach(NULL, 0, &addr), -EINVAL);
	says("an argument is NULL", "out of range");
	drop(seg);
}
END_TEST

START_TEST(a_refused_address_is_no_matter_of_the_size)
{
	begin(_i);
	SKIP_UNLESS(!is_instrumented(), "ThreadSanitizer replaces such an address by 0");
	struct unishm *seg = make(0, 1, 0600);
	char *highest = (char *)(UINTPTR_MAX - UINTPTR_MAX % granularity() - granularity());
	void *addr;
	ck_assert_int_lt(unishm_attach_at(seg, highest, 0, &addr), 0);
	says("choose", "ask for less");
	drop(seg);
}
END_TEST

static long find_owner_alone(long unused)
{
	(void)unused;
	return strstr(unishm_errmsg(), "its owner is root") && !strstr(unishm_errmsg(), "mode is");
}

START_TEST(what_only_an_owner_may_do_is_no_matter_of_the_mode)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct agent nobody = agent_start_as(NOBODY);
	struct unishm *seg = make(0, SMALL, 0666);
	expect_rc(ask(&nobody, do_open, 0), 0);
	expect_rc(ask(&nobody, do_remove, 0), -EPERM);
	expect_rc(ask(&nobody, find_owner_alone, 0), 1);
	expect_rc(ask(&nobody, do_chmod, 0600), -EPERM);
	expect_rc(ask(&nobody, find_owner_alone, 0), 1);
	agent_end(&nobody);
	drop(seg);
}
END_TEST

START_TEST(a_message_names_owner_and_mode_of_what_is_refused)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct agent nobody = agent_start_as(NOBODY);
	struct unishm *seg = make(0, SMALL, 0640);
	expect_rc(ask(&nobody, do_open, 0), -EACCES);
	expect_rc(ask(&nobody, find_message, 0), 1);
	ck_assert_ptr_nonnull(strstr(board->said, "rw-r-----"));
	agent_end(&nobody);
	drop(seg);
}
END_TEST

/* As nobody, on a segment of root's with mode 0644. */
static const struct {
	const char *call;
	task what;
	long arg;
	int code;
} denied[] = {
	{ "attach", do_attach, 0, -EACCES },
	{ "attach", do_attach, UNISHM_EXEC | UNISHM_RDONLY, -EACCES },
	{ "remove", do_remove, 0, -EPERM },
	{ "chmod", do_chmod, 0666, -EPERM },
	{ "chmod to the same", do_chmod, 0644, -EPERM },
	{ "chown", do_chown, NOBODY, -EPERM },
	{ "lock", do_lock, 0, -EPERM },
	{ "unlock", do_unlock, 0, -EPERM },
	{ "create", do_create, 0, -EEXIST },
};

START_TEST(a_reader_is_refused_with_the_same_errno_everywhere)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct agent nobody = agent_start_as(NOBODY);
	struct unishm *seg = make(0, SMALL, 0644);
	struct unishm_status before = status_of(seg);
	expect_ok(ask(&nobody, do_open, 0));
	for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
		bool locks = denied[i].what == do_lock || denied[i].what == do_unlock;
		int code = locks && !can_lock() ? -ENOTSUP : denied[i].code;
		long rc = ask(&nobody, denied[i].what, denied[i].arg);
		ck_assert_msg(rc == code, "%s: %ld, not %d", denied[i].call, rc, code);
		ck_assert_uint_gt(strlen(board->said), 0);
		struct unishm_status after = status_of(seg);
		same_status(&before, &after);
		ck_assert_int_eq(after.last_op_process, 0);
	}
	agent_end(&nobody);
	drop(seg);
}
END_TEST

void message_group(Suite *suite)
{
	TCase *t = group(suite, "denied", NULL, 15);
	EACH(t, a_message_gives_no_advice_that_cannot_help);
	EACH(t, a_refused_address_is_no_matter_of_the_size);
	EACH(t, what_only_an_owner_may_do_is_no_matter_of_the_mode);
	EACH(t, a_message_names_owner_and_mode_of_what_is_refused);
	EACH(t, a_reader_is_refused_with_the_same_errno_everywhere);
}
