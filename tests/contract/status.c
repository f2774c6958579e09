/* SPDX-License-Identifier: MIT */
/* Status, list and print. */
#include "contract.h"

START_TEST(lock_unlock_and_remove_move_no_time)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(is_root(), "needs root to lock for sure");
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	struct unishm_status one = status_of(seg);
	next_second();
	expect_ok(unishm_lock(seg));
	expect_ok(unishm_unlock(seg));
	expect_ok(unishm_remove(seg));
	struct unishm_status two = status_of(seg);
	ck_assert_int_eq(two.last_change_time, one.last_change_time);
	ck_assert_int_eq(two.last_attach_time, one.last_attach_time);
	ck_assert_int_eq(two.last_detach_time, one.last_detach_time);
	ck_assert_int_eq(two.last_op_process, one.last_op_process);
	ck_assert_uint_eq(two.number_attached, 1);
	unishm_close(seg);
}
END_TEST

START_TEST(chmod_and_chown_move_the_change_time_only)
{
	begin(_i);
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	struct unishm_status one = status_of(seg);
	next_second();
	expect_ok(unishm_chmod(seg, 0640));
	struct unishm_status two = status_of(seg);
	ck_assert_uint_eq(two.mode, 0640);
	ck_assert_int_gt(two.last_change_time, one.last_change_time);
	ck_assert_int_eq(two.last_attach_time, one.last_attach_time);
	next_second();
	expect_ok(unishm_chown(seg, (uid_t)-1, getegid()));
	struct unishm_status three = status_of(seg);
	ck_assert_int_gt(three.last_change_time, two.last_change_time);
	ck_assert_uint_eq(three.owner_user, geteuid());
	ck_assert_int_eq(three.last_detach_time, 0);
	ck_assert_int_eq(three.last_op_process, one.last_op_process);
	ck_assert_uint_eq(three.number_attached, 1);
	drop(seg);
}
END_TEST

START_TEST(using_the_memory_or_asking_changes_no_status)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	char *addr = attach(seg, 0);
	struct unishm_status one = status_of(seg);
	next_second();
	memset(addr, 'u', SMALL);
	do_list_count(0);
	unishm_close(take(0));
	struct unishm_status two = status_of(seg);
	ck_assert_int_eq(two.last_change_time, one.last_change_time);
	ck_assert_int_eq(two.last_attach_time, one.last_attach_time);
	ck_assert_int_eq(two.last_detach_time, 0);
	ck_assert_uint_eq(two.number_attached, 1);
	drop(seg);
}
END_TEST

START_TEST(list_shows_every_segment_once_as_its_status)
{
	begin(_i);
	struct unishm *seg[20];
	struct seen seen = { .count = 0 };
	for (int i = 0; i < 20; i++)
		seg[i] = make(i, (size_t)(i + 1) * 100, 0600);
	attach(seg[3], 0);
	attach(seg[3], 0);
	expect_ok(unishm_list(backend(), see, &seen));
	ck_assert_int_eq(seen.count, 20);
	for (int i = 0; i < 20; i++) {
		struct unishm_status want = status_of(seg[i]), *got = NULL;
		for (int j = 0; j < 20; j++)
			if (seen.st[j].key == key(i))
				got = &seen.st[j];
		ck_assert_ptr_nonnull(got);
		ck_assert_str_eq(got->backend, want.backend);
		ck_assert_int_eq(got->id, want.id);
		ck_assert_uint_eq(got->size, want.size);
		ck_assert_uint_eq(got->mode, want.mode);
		ck_assert_uint_eq(got->number_attached, i == 3 ? 2 : 0);
		ck_assert_int_eq(got->creator_process, want.creator_process);
		ck_assert_int_eq(got->last_op_process, want.last_op_process);
		ck_assert_int_eq(got->last_attach_time, want.last_attach_time);
		ck_assert_int_eq(got->last_change_time, want.last_change_time);
		ck_assert_uint_eq(got->owner_user, want.owner_user);
		ck_assert_uint_eq(got->emulated, want.emulated);
		ck_assert(!got->locked && !got->removed);
	}
	for (int i = 0; i < 20; i++)
		drop(seg[i]);
}
END_TEST

START_TEST(list_stops_when_the_visitor_says_so)
{
	begin(_i);
	static const int answers[] = { 7, -7, -ENOENT };
	struct unishm *seg[4];
	for (int i = 0; i < 4; i++)
		seg[i] = make(i, SMALL, 0600);
	for (int i = 0; i < 3; i++) {
		struct seen seen = { .stop_at = 2, .answer = answers[i] };
		ck_assert_int_eq(unishm_list(NULL, see, &seen), answers[i]);
		ck_assert_int_eq(seen.count, 2);
	}
	for (int i = 0; i < 4; i++)
		drop(seg[i]);
}
END_TEST

static int remove_what_is_seen(const struct unishm_status *st, void *arg)
{
	struct unishm *seg;
	if ((uint32_t)st->key >> 6 != (uint32_t)key(0) >> 6)
		return 0;
	expect_ok(unishm_open_id(&seg, st->id));
	attach(seg, 0);
	ck_assert_uint_eq(number_attached(seg), 1);
	do_list_count(0);
	drop(seg);
	++*(int *)arg;
	return 0;
}

START_TEST(the_visitor_may_use_the_library)
{
	begin(_i);
	int removed = 0;
	for (int i = 0; i < 8; i++)
		unishm_close(make(i, SMALL, 0600));
	expect_ok(unishm_list(NULL, remove_what_is_seen, &removed));
	ck_assert_int_eq(removed, 8);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(try_open(i), -ENOENT);
}
END_TEST

static void print_to(char *text, size_t room, const struct unishm_status *st)
{
	memset(text, 0, room);
	FILE *out = fmemopen(text, room - 1, "w");
	ck_assert_ptr_nonnull(out);
	expect_ok(unishm_print(out, st));
	fclose(out);
}

static const char *const line_names[] = { "size", "number_attached", "creator_process",
	"last_op_process", "last_attach_time", "last_detach_time", "last_change_time",
	"creator_user", "creator_group", "owner_user", "owner_group", "mode", "key" };

START_TEST(print_writes_its_lines_in_order)
{
	begin(_i);
	char text[4096], *line = text;
	struct unishm *seg = make(0, SMALL, 0640);
	struct unishm_status st = status_of(seg);
	print_to(text, sizeof text, &st);
	for (size_t i = 0; i < sizeof line_names / sizeof *line_names; i++) {
		size_t length = strlen(line_names[i]);
		ck_assert_msg(strncmp(line, line_names[i], length) == 0 &&
						strncmp(line + length, ": ", 2) == 0,
				"line %zu is not %s: %.40s", i, line_names[i], line);
		line = strchr(line, '\n') + 1;
	}
	ck_assert_ptr_nonnull(strstr(text, "size: 1024\nnumber_attached: 0\n"));
	ck_assert_ptr_nonnull(strstr(text, "last_attach_time: never\nlast_detach_time: never\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nmode: rw-r-----\n"));
	for (; *line; line = strchr(line, '\n') + 1)
		ck_assert_ptr_nonnull(strstr(line, ": "));
	drop(seg);
}
END_TEST

START_TEST(print_names_users_groups_and_local_times)
{
	begin(_i);
	char text[4096], want[64];
	struct unishm_status st;
	memset(&st, 0, sizeof st);
	st.backend = backend();
	st.last_attach_time = 1000000000;
	st.creator_user = st.creator_group = 4000000000u; /* nobody's */
	setenv("TZ", "UTC-3", 1);
	tzset();
	print_to(text, sizeof text, &st);
	ck_assert_ptr_nonnull(strstr(text, "last_attach_time: 2001-09-09 04:46:40"));
	ck_assert_ptr_nonnull(
			strstr(text, "creator_user: 4000000000\ncreator_group: 4000000000\n"));
	ck_assert_ptr_nonnull(strstr(text, "owner_user: root (0)\n"));
	ck_assert_ptr_nonnull(strstr(text, "mode: ---------\n"));
	st.key = (key_t)0xdeadbeef;
	st.mode = 0777;
	print_to(text, sizeof text, &st);
	snprintf(want, sizeof want, "mode: rwxrwxrwx\nkey: 0xdeadbeef\n");
	ck_assert_ptr_nonnull(strstr(text, want));
	unsetenv("TZ");
	tzset();
}
END_TEST

START_TEST(print_reports_a_write_error)
{
	begin(_i);
	struct unishm_status st;
	memset(&st, 0, sizeof st);
	st.backend = backend();
	FILE *full = fopen("/dev/full", "w");
	SKIP_UNLESS(full, "there is no /dev/full");
	setvbuf(full, NULL, _IONBF, 0);
	ck_assert_int_eq(unishm_print(full, &st), -ENOSPC);
	fclose(full);
	ck_assert_int_eq(unishm_print(NULL, &st), -EINVAL);
	ck_assert_int_eq(unishm_print(stdout, NULL), -EINVAL);
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

void status_group(Suite *suite)
{
	TCase *t = group(suite, "status", NULL, 15);
	EACH(t, lock_unlock_and_remove_move_no_time);
	EACH(t, chmod_and_chown_move_the_change_time_only);
	EACH(t, using_the_memory_or_asking_changes_no_status);
	EACH(t, list_shows_every_segment_once_as_its_status);
	EACH(t, list_stops_when_the_visitor_says_so);
	EACH(t, the_visitor_may_use_the_library);
	EACH(t, asking_what_is_gone_takes_no_memory);
	EACH(t, print_writes_its_lines_in_order);
	EACH(t, print_names_users_groups_and_local_times);
	EACH(t, print_reports_a_write_error);
}
