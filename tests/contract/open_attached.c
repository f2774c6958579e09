/* SPDX-License-Identifier: MIT */
/* Open and attach in one call. */
#include "contract.h"

#include <sys/mman.h>

static struct unishm_options options(int n, void **attach)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = backend();
	opt.key = n < 0 ? UNISHM_PRIVATE : key(n);
	opt.size = SMALL;
	opt.mode = 0600;
	opt.attach = attach;
	return opt;
}

static int count_one(const struct unishm_status *st, void *arg)
{
	(void)st;
	++*(unsigned *)arg;
	return 0;
}

static unsigned count_segments(void)
{
	unsigned count = 0;
	expect_rc(unishm_list(backend(), count_one, &count), 0);
	return count;
}

START_TEST(an_open_with_attach_does_what_the_two_calls_do)
{
	begin(_i);
	struct unishm *made, *opened;
	void *first, *second;
	struct unishm_options opt = options(0, &first);
	opt.oflag = O_CREAT | O_EXCL;
	expect_ok(unishm_open_with(&made, &opt));
	ck_assert(unishm_created(made) && all_are(first, SMALL, 0));
	ck_assert_uint_eq(number_attached(made), 1);
	memset(first, 'k', SMALL);
	opt = options(0, &second);
	expect_ok(unishm_open_with(&opened, &opt));
	ck_assert(!unishm_created(opened) && all_are(second, SMALL, 'k'));
	ck_assert_uint_eq(number_attached(made), 2);
	struct unishm_status st = status_of(made);
	ck_assert_int_eq(st.last_op_process, getpid());
	ck_assert(st.last_attach_time != 0 && st.last_detach_time == 0);
	detach(opened, second);
	ck_assert_uint_eq(number_attached(made), 1);
	unishm_close(opened);
	drop(made);
}
END_TEST

START_TEST(attached_with_the_open_the_close_detaches)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *opened;
	void *addr;
	struct unishm_options opt = options(0, &addr);
	for (int i = 0; i < 3; i++) {
		expect_ok(unishm_open_with(&opened, &opt));
		ck_assert_uint_eq(number_attached(seg), 1);
		unishm_close(opened);
		ck_assert_uint_eq(number_attached(seg), 0);
		ck_assert(status_of(seg).last_detach_time != 0);
	}
	drop(seg);
}
END_TEST

START_TEST(an_open_attaches_by_id_and_where_it_is_told)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *opened;
	char *area = map_area(2 * granularity());
	void *addr;
	struct unishm_options opt = options(-1, &addr);
	opt.flags = UNISHM_BY_ID;
	opt.id = unishm_id(seg);
	opt.attach_at = area + granularity() + 1;
	opt.attach_flags = UNISHM_RND | UNISHM_REMAP | UNISHM_RDONLY;
	expect_ok(unishm_open_with(&opened, &opt));
	ck_assert_ptr_eq(addr, area + granularity());
	ck_assert_uint_eq(number_attached(seg), 1);
	unishm_close(opened);
	munmap(area, granularity());
	drop(seg);
}
END_TEST

START_TEST(an_attach_that_fails_undoes_the_open)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *none = NULL;
	char *area = map_area(granularity());
	void *addr = NULL;
	unsigned before = count_segments();
	int descriptors = count_descriptors();
	for (int n = -1; n <= 0; n++) {
		struct unishm_options opt = options(n, &addr);
		opt.attach_at = area;
		expect_rc(unishm_open_with(&none, &opt), -EINVAL);
		ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "attach"));
		ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "choose another address"));
		ck_assert(!none && !addr);
	}
	ck_assert_uint_eq(number_attached(seg), 0);
	ck_assert_uint_eq(count_segments(), before);
	ck_assert_int_eq(count_descriptors(), descriptors);
	munmap(area, granularity());
	drop(seg);
}
END_TEST

START_TEST(what_was_made_by_a_key_stays_when_it_cannot_be_attached)
{
	begin(_i);
	struct unishm *none = NULL;
	char *area = map_area(granularity());
	void *addr = NULL;
	struct unishm_options opt = options(0, &addr);
	opt.oflag = O_CREAT;
	opt.attach_at = area;
	expect_rc(unishm_open_with(&none, &opt), -EINVAL);
	struct unishm *seg = take(0);
	ck_assert_uint_eq(number_attached(seg), 0);
	munmap(area, granularity());
	drop(seg);
}
END_TEST

START_TEST(an_attach_request_is_checked_before_anything_is_made)
{
	begin(_i);
	struct unishm *none = NULL;
	void *addr = NULL;
	struct unishm_options opt = options(0, &addr);
	opt.oflag = O_CREAT;
	opt.attach_flags = UNISHM_REMAP;
	expect_rc(unishm_open_with(&none, &opt), -EINVAL);
	opt.attach = NULL;
	opt.attach_flags = UNISHM_RDONLY;
	expect_rc(unishm_open_with(&none, &opt), -EINVAL);
	expect_rc(try_open(0), -ENOENT);
}
END_TEST

void open_attached_group(Suite *suite)
{
	TCase *group = tcase_create("open_attached");
	tcase_add_loop_test(group, an_open_with_attach_does_what_the_two_calls_do, 0, backends());
	tcase_add_loop_test(group, attached_with_the_open_the_close_detaches, 0, backends());
	tcase_add_loop_test(group, an_open_attaches_by_id_and_where_it_is_told, 0, backends());
	tcase_add_loop_test(group, an_attach_that_fails_undoes_the_open, 0, backends());
	tcase_add_loop_test(group, what_was_made_by_a_key_stays_when_it_cannot_be_attached, 0,
			backends());
	tcase_add_loop_test(group, an_attach_request_is_checked_before_anything_is_made, 0,
			backends());
	suite_add_tcase(suite, group);
}
