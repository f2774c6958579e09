/* SPDX-License-Identifier: MIT */
/*
 * A third backend is one file and one entry in a list: this program is the core
 * with backends/null.c added in that way, and nothing else about it changed.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "unishm.h"

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

int main(void)
{
	Suite *suite = suite_create("null");
	TCase *tcase = tcase_create("null");
	tcase_add_test(tcase, a_third_backend_is_listed_last);
	tcase_add_test(tcase, what_a_backend_cannot_do_is_enotsup_with_a_sentence);
	tcase_add_test(tcase, the_environment_chooses_it_too);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
