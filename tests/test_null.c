/* SPDX-License-Identifier: MIT */
/*
 * A third backend is one file and one entry in a list: this program is the core
 * with backends/null.c added in that way, and nothing else about it changed. It also has a table
 * of its own, to see what the core calls when.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

START_TEST(a_third_backend_is_listed_last)
{
	const char *const *names = unishm_backends();
	while (names[1])
		names++;
	ck_assert_str_eq(*names, "null");
}
END_TEST

START_TEST(what_a_backend_cannot_do_is_enotsup_with_a_sentence)
{
	struct unishm *seg = NULL;
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = "null";
	opt.key = 1;
	opt.oflag = O_CREAT;
	opt.size = 1;
	ck_assert_int_eq(unishm_open_with(&seg, &opt), -ENOTSUP);
	ck_assert_ptr_null(seg);
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "null segment with key 0x00000001"));
}
END_TEST

static int never(const struct unishm_status *st, void *arg)
{
	(void)st, (void)arg;
	ck_abort_msg("nothing to visit");
	return 1;
}

START_TEST(the_environment_chooses_it_too)
{
	struct unishm *seg = NULL;
	setenv("UNISHM_BACKEND", "null", 1);
	ck_assert_int_eq(unishm_open(&seg, 1, O_CREAT, 1, 0600), -ENOTSUP);
	ck_assert_int_eq(unishm_open_id(&seg, 1), -ENOTSUP);
	ck_assert_int_eq(unishm_list(NULL, never, NULL), -ENOTSUP);
	ck_assert_ptr_null(seg);
}
END_TEST

/* ---- The order in which the core calls a backend ------------------------------- */

static struct {
	int ready; /* what it answers */
	char calls[64];
} fake;

static int note(const char *what, int rc)
{
	strcat(fake.calls, what);
	return rc;
}

static int fake_ready(struct unishm *seg)
{
	(void)seg;
	return note("ready ", fake.ready);
}

static void fake_settle(struct unishm *seg)
{
	note(seg->attached ? "settle(attached) " : "settle ", 0);
}

static int fake_attach(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	(void)where, (void)flags;
	new->addr = seg;
	return note("attach ", 0);
}

static int fake_detach(struct unishm *seg, struct unishm_attachment *old)
{
	(void)seg, (void)old;
	return note("detach ", 0);
}

static int fake_remove(struct unishm *seg)
{
	(void)seg;
	return note("remove ", 0);
}

static const struct unishm_backend fake_backend = {
	.name = "fake",
	.ready = fake_ready,
	.settle = fake_settle,
	.attach = fake_attach,
	.detach = fake_detach,
	.remove = fake_remove,
};

static struct unishm *fake_handle(int ready)
{
	static struct unishm seg;
	seg = (struct unishm){ .backend = &fake_backend, .size = 1 };
	seg.attachments = seg.inline_room;
	seg.room = UNISHM_INLINE_ATTACHMENTS;
	unishm_mutex_init(&seg.lock);
	fake.ready = ready;
	fake.calls[0] = '\0';
	return &seg;
}

START_TEST(a_member_is_called_between_ready_and_settle)
{
	struct unishm *seg = fake_handle(0);
	void *addr;
	ck_assert_int_eq(unishm_remove(seg), 0);
	ck_assert_str_eq(fake.calls, "ready remove settle ");
	fake.calls[0] = '\0';
	ck_assert_int_eq(unishm_attach(seg, 0, &addr), 0);
	ck_assert_str_eq(fake.calls, "ready attach settle(attached) ");
}
END_TEST

START_TEST(a_handle_that_is_not_ready_refuses_and_settles)
{
	struct unishm *seg = fake_handle(-EIDRM);
	void *addr;
	ck_assert_int_eq(unishm_remove(seg), -EIDRM);
	ck_assert_int_eq(unishm_attach(seg, 0, &addr), -EIDRM);
	ck_assert_str_eq(fake.calls, "ready settle ready settle ");
}
END_TEST

START_TEST(what_was_attached_can_be_detached_from_a_handle_that_is_not_ready)
{
	struct unishm *seg = fake_handle(0);
	void *addr;
	ck_assert_int_eq(unishm_attach(seg, 0, &addr), 0);
	fake.ready = -EBADMSG;
	fake.calls[0] = '\0';
	ck_assert_int_eq(unishm_detach(seg, addr), 0);
	ck_assert_str_eq(fake.calls, "ready detach settle ");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("null");
	TCase *tcase = tcase_create("null");
	tcase_add_test(tcase, a_third_backend_is_listed_last);
	tcase_add_test(tcase, what_a_backend_cannot_do_is_enotsup_with_a_sentence);
	tcase_add_test(tcase, the_environment_chooses_it_too);
	tcase_add_test(tcase, a_member_is_called_between_ready_and_settle);
	tcase_add_test(tcase, a_handle_that_is_not_ready_refuses_and_settles);
	tcase_add_test(tcase, what_was_attached_can_be_detached_from_a_handle_that_is_not_ready);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
