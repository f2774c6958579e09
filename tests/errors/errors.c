/* SPDX-License-Identifier: MIT */
/* Every way in which a call can fail: the errno is the same on both backends, the
 * message says why, nothing has changed, nothing is lost. */
#include "errors.h"

void same_status(const struct unishm_status *one, const struct unishm_status *two)
{
	ck_assert_uint_eq(one->number_attached, two->number_attached);
	ck_assert_uint_eq(one->mode, two->mode);
	ck_assert_uint_eq(one->owner_user, two->owner_user);
	ck_assert_int_eq(one->last_change_time, two->last_change_time);
	ck_assert_int_eq(one->removed, two->removed);
	ck_assert_int_eq(one->locked, two->locked);
	ck_assert_int_eq(one->key, two->key);
}

static void fill(Suite *suite)
{
	table_group(suite);
	message_group(suite);
	limit_group(suite);
#ifdef __linux__
	object_group(suite);
	damaged_group(suite);
	unfinished_group(suite);
#endif
}

int main(void)
{
	return harness_main("errors", fill);
}
