/* SPDX-License-Identifier: MIT */
/* Create and open. */
#include "contract.h"

#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

START_TEST(create_gives_exactly_the_size_asked_for)
{
	begin(_i);
	size_t sizes[] = { 1, 100, page_size() - 1, page_size(), page_size() + 1, 1000003 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct unishm *seg = make(0, sizes[i], 0600);
		ck_assert_uint_eq(unishm_size(seg), sizes[i]);
		ck_assert_uint_eq(status_of(seg).size, sizes[i]);
		drop(seg);
	}
}
END_TEST

START_TEST(new_bytes_read_as_zero)
{
	begin(_i);
	struct unishm *seg = make(0, 300000, 0600);
	char *addr = attach(seg, 0);
	ck_assert(all_are(addr, 300000, 0));
	memset(addr, 'x', 300000);
	drop(seg);
	seg = make(0, 300000, 0600);
	ck_assert(all_are(attach(seg, UNISHM_RDONLY), 300000, 0));
	drop(seg);
}
END_TEST

START_TEST(bytes_to_the_end_of_the_page_are_the_segments_too)
{
	begin(_i);
	struct unishm *seg = make(0, 100, 0600);
	char *one = attach(seg, 0), *two = attach(seg, 0);
	ck_assert(all_are(one, page_size(), 0));
	memset(one, 'x', page_size());
	ck_assert(all_are(two, page_size(), 'x'));
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.size, 100);
	ck_assert_uint_eq(st.number_attached, 2);
	ck_assert_int_eq(st.creator_process, getpid());
	ck_assert_int_eq(try_open(0), 0);
	drop(seg);
}
END_TEST

START_TEST(a_new_segment_has_the_status_of_its_creator)
{
	begin(_i);
	time_t start = time(NULL);
	struct unishm *seg = make(0, SMALL, 0640);
	struct unishm_status st = status_of(seg);
	ck_assert_str_eq(st.backend, backend());
	ck_assert_str_eq(unishm_backend(seg), backend());
	ck_assert_int_ge(st.id, 0);
	ck_assert_int_eq(st.id, unishm_id(seg));
	ck_assert_int_eq(st.key, key(0));
	ck_assert_uint_eq(st.mode, 0640);
	ck_assert_uint_eq(st.number_attached, 0);
	ck_assert_int_eq(st.creator_process, getpid());
	ck_assert_int_eq(st.last_op_process, 0);
	ck_assert_int_eq(st.last_attach_time, 0);
	ck_assert_int_eq(st.last_detach_time, 0);
	ck_assert(since(start, st.last_change_time));
	ck_assert_uint_eq(st.creator_user, geteuid());
	ck_assert_uint_eq(st.owner_user, geteuid());
	ck_assert_uint_eq(st.creator_group, getegid());
	ck_assert_uint_eq(st.owner_group, getegid());
	ck_assert(!st.locked);
	ck_assert(!st.removed);
	drop(seg);
}
END_TEST

START_TEST(what_is_inexact_is_emulated_and_system_v_emulates_nothing)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.inexact & ~st.emulated, 0);
	ck_assert_uint_eq(st.inexact & UNISHM_EMULATED_NUMBER_ATTACHED, 0);
	if (on("sysv"))
		ck_assert_uint_eq(st.emulated, 0);
	else
		ck_assert_uint_ne(st.emulated & UNISHM_EMULATED_NUMBER_ATTACHED, 0);
	drop(seg);
}
END_TEST

START_TEST(create_applies_every_mode_exactly)
{
	begin(_i);
	for (mode_t mode = 0; mode <= 0777; mode++) {
		struct unishm *seg = make(0, 1, mode);
		mode_t got = is_root() ? status_of(seg).mode : mode;
		ck_assert_msg(got == mode, "%#o became %#o", (unsigned)mode, (unsigned)got);
		drop(seg);
	}
}
END_TEST

START_TEST(create_ignores_the_umask_and_leaves_it_alone)
{
	begin(_i);
	static const mode_t masks[] = { 0777, 077, 022, 0 };
	mode_t before = umask(022);
	for (size_t i = 0; i < 4; i++) {
		umask(masks[i]);
		struct unishm *seg = make(0, SMALL, 0664);
		mode_t got = status_of(seg).mode;
		drop(seg);
		mode_t mask = umask(masks[i]);
		ck_assert_uint_eq(got, 0664);
		ck_assert_uint_eq(mask, masks[i]);
	}
	umask(before);
}
END_TEST

START_TEST(exclusive_create_refuses_a_key_that_is_taken)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *other = (struct unishm *)&other;
	ck_assert_int_eq(unishm_open(&other, key(0), O_CREAT | O_EXCL, SMALL, 0600), -EEXIST);
	ck_assert_int_eq(unishm_open(&other, key(0), O_CREAT | O_EXCL, 100 * SMALL, 0600), -EEXIST);
	ck_assert_ptr_eq(other, (struct unishm *)&other);
	drop(seg);
}
END_TEST

START_TEST(a_missing_key_is_not_found)
{
	begin(_i);
	ck_assert_int_eq(try_open(0), -ENOENT);
}
END_TEST

START_TEST(open_or_create_finds_what_exists_and_changes_nothing)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *again;
	struct unishm_status before = status_of(seg);
	expect_ok(unishm_open(&again, key(0), O_CREAT, SMALL / 2, 0666));
	ck_assert(unishm_created(seg));
	ck_assert(!unishm_created(again));
	ck_assert_uint_eq(unishm_size(again), SMALL);
	ck_assert_int_eq(unishm_id(again), unishm_id(seg));
	struct unishm_status after = status_of(again);
	ck_assert_uint_eq(after.mode, 0600);
	ck_assert_int_eq(after.last_change_time, before.last_change_time);
	ck_assert_int_eq(after.creator_process, before.creator_process);
	unishm_close(again);
	drop(seg);
}
END_TEST

START_TEST(open_wants_no_more_bytes_than_the_segment_has)
{
	begin(_i);
	struct unishm *seg = make(0, 100, 0600), *again = NULL;
	expect_ok(unishm_open(&again, key(0), 0, 100, 0));
	unishm_close(again);
	expect_ok(unishm_open(&again, key(0), O_CREAT, 0, 0));
	unishm_close(again);
	ck_assert_int_eq(unishm_open(&again, key(0), 0, 101, 0), -EINVAL);
	ck_assert_int_eq(unishm_open(&again, key(0), O_CREAT, 101, 0600), -EINVAL);
	ck_assert_int_eq(unishm_open(&again, key(0), 0, SIZE_MAX, 0), -EINVAL);
	drop(seg);
}
END_TEST

START_TEST(any_key_but_private_names_one_segment)
{
	begin(_i);
	static const key_t keys[] = { -1, 1, INT_MIN, INT_MAX, 0x12345678 };
	SKIP_UNLESS(is_isolated(), "these keys are not ours");
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct unishm *seg, *again;
		expect_ok(unishm_open(&seg, keys[i], O_CREAT | O_EXCL, SMALL, 0600));
		expect_ok(unishm_open(&again, keys[i], 0, 0, 0));
		ck_assert_int_eq(unishm_key(again), keys[i]);
		ck_assert_int_eq(status_of(again).key, keys[i]);
		ck_assert_int_eq(unishm_id(again), unishm_id(seg));
		unishm_close(again);
		drop(seg);
	}
}
END_TEST

START_TEST(private_always_makes_a_new_segment)
{
	begin(_i);
	static const int oflags[] = { 0, O_CREAT, O_CREAT | O_EXCL };
	struct unishm *seg[3];
	for (int i = 0; i < 3; i++)
		expect_ok(unishm_open(&seg[i], UNISHM_PRIVATE, oflags[i], SMALL, 0600));
	for (int i = 0; i < 3; i++) {
		ck_assert(unishm_created(seg[i]));
		ck_assert_int_eq(status_of(seg[i]).key, UNISHM_PRIVATE);
		ck_assert_int_ne(unishm_id(seg[i]), unishm_id(seg[(i + 1) % 3]));
	}
	for (int i = 0; i < 3; i++)
		drop(seg[i]);
}
END_TEST

START_TEST(an_id_finds_its_segment_from_another_process)
{
	begin(_i);
	struct agent agent = agent_start();
	for (int n = -1; n < 1; n++) {
		struct unishm *seg = make(n, SMALL, 0600);
		char *addr = attach(seg, 0);
		addr[7] = 'q';
		expect_ok(ask(&agent, do_open_id, unishm_id(seg)));
		expect_ok(ask(&agent, do_attach, 0));
		expect_rc(ask(&agent, do_read, 7), 'q');
		expect_ok(ask(&agent, do_status, 0));
		ck_assert_int_eq(board->st.key, key(n));
		ck_assert_int_eq(board->st.id, unishm_id(seg));
		ck_assert_uint_eq(board->st.number_attached, 2);
		ask(&agent, do_close, 0);
		drop(seg);
		expect_rc(ask(&agent, do_open_id, board->st.id), -ENOENT);
	}
	agent_end(&agent);
}
END_TEST

START_TEST(an_id_handle_knows_key_and_size)
{
	begin(_i);
	struct unishm *seg = make(0, 12345, 0600), *again;
	expect_ok(unishm_open_id(&again, unishm_id(seg)));
	ck_assert_int_eq(unishm_key(again), key(0));
	ck_assert_uint_eq(unishm_size(again), 12345);
	ck_assert(!unishm_created(again));
	unishm_close(again);
	drop(seg);
}
END_TEST

START_TEST(ids_are_unique_among_live_segments)
{
	begin(_i);
	struct unishm *seg[64];
	for (int i = 0; i < 64; i++)
		seg[i] = make(i % 2 ? i : -1, SMALL, 0600);
	for (int i = 0; i < 64; i++)
		for (int j = 0; j < i; j++)
			ck_assert_int_ne(unishm_id(seg[i]), unishm_id(seg[j]));
	for (int i = 0; i < 64; i++)
		drop(seg[i]);
}
END_TEST

START_TEST(facts_of_a_handle_survive_removal_and_facts_of_null_are_nothing)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	int id = unishm_id(seg);
	expect_ok(unishm_remove(seg));
	ck_assert_int_eq(unishm_key(seg), key(0));
	ck_assert_int_eq(unishm_id(seg), id);
	ck_assert_uint_eq(unishm_size(seg), SMALL);
	ck_assert_str_eq(unishm_backend(seg), backend());
	ck_assert(unishm_created(seg));
	unishm_close(seg);
	ck_assert_uint_eq(unishm_size(NULL), 0);
	ck_assert_int_eq(unishm_key(NULL), UNISHM_PRIVATE);
	ck_assert_int_eq(unishm_id(NULL), -1);
	ck_assert_ptr_null(unishm_backend(NULL));
	ck_assert(!unishm_created(NULL));
	unishm_close(NULL);
}
END_TEST

START_TEST(a_segment_outlives_its_processes)
{
	begin(_i);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_create, 0));
	expect_ok(ask(&agent, do_attach, 0));
	ask(&agent, do_write, 3);
	pid_t pid = agent.pid;
	agent_kill(&agent);
	struct unishm *seg = take(0);
	struct unishm_status st = status_of(seg);
	ck_assert_int_eq(st.creator_process, pid);
	ck_assert_uint_eq(st.number_attached, 0);
	ck_assert_int_eq(((char *)attach(seg, 0))[3], 'x');
	drop(seg);
}
END_TEST

START_TEST(noreserve_takes_memory_only_when_touched)
{
	begin(_i);
	SKIP_UNLESS(sizeof(size_t) > 4, "needs 64 bits");
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	opt.key = key(0);
	opt.oflag = O_CREAT;
	opt.size = ((size_t)5 << 30) + 123;
	opt.mode = 0600;
	opt.flags = UNISHM_NORESERVE;
	expect_ok(unishm_open_with(&seg, &opt));
	ck_assert_uint_eq(unishm_size(seg), opt.size);
	ck_assert_uint_eq(status_of(seg).size, opt.size);
	char *addr = attach(seg, 0);
	addr[opt.size - 1] = 'z';
	addr[0] = 'a';
	char *again = attach(seg, UNISHM_RDONLY);
	ck_assert_int_eq(again[opt.size - 1], 'z');
	drop(seg);
}
END_TEST

START_TEST(create_reserves_memory_unless_told_not_to)
{
	begin(_i);
	SKIP_UNLESS(can_reserve(), "macOS cannot set memory aside");
	SKIP_UNLESS(on("posix") && is_isolated(), "only the POSIX backend's memory shows it");
	struct unishm *seg = make(0, 1 << 20, 0600);
	ck_assert_uint_ge(memory_used(), 1 << 20);
	drop(seg);
}
END_TEST

START_TEST(options_of_other_versions_are_understood_or_refused)
{
	begin(_i);
	struct {
		struct unishm_options opt;
		char more[64];
	} newer = { UNISHM_OPTIONS_INIT, { 0 } };
	struct unishm *seg = NULL;
	newer.opt.key = key(0);
	newer.opt.oflag = O_CREAT;
	newer.opt.size = SMALL;
	newer.opt.mode = 0600;
	newer.opt.struct_size = sizeof newer;
	expect_ok(unishm_open_with(&seg, &newer.opt));
	drop(seg);
	newer.opt.struct_size = offsetof(struct unishm_options, id); /* of the first version */
	newer.opt.id = 12345;
	newer.opt.wait_ms = 12345;
	expect_ok(unishm_open_with(&seg, &newer.opt));
	drop(seg);
	newer.opt.id = 0;
	newer.opt.wait_ms = 0;
	newer.opt.struct_size = sizeof newer;
	memset(newer.more, 1, sizeof newer.more);
	ck_assert_int_eq(unishm_open_with(&seg, &newer.opt), -EINVAL);
	newer.opt.struct_size = 0;
	ck_assert_int_eq(unishm_open_with(&seg, &newer.opt), -EINVAL);
	newer.opt.struct_size = offsetof(struct unishm_options, id) - 1;
	ck_assert_int_eq(unishm_open_with(&seg, &newer.opt), -EINVAL);
	/* never set: nothing that far away is read */
	memset(&newer.opt, 0, sizeof newer.opt);
	char *page = map_area(2 * page_size());
	ck_assert_int_eq(mprotect(page + page_size(), page_size(), PROT_NONE), 0);
	struct unishm_options *last = (void *)(page + page_size() - sizeof *last);
	last->struct_size = SIZE_MAX;
	ck_assert_int_eq(unishm_open_with(&seg, last), -EINVAL);
	munmap(page, 2 * page_size());
	ck_assert_int_eq(try_open(0), -ENOENT);
}
END_TEST

START_TEST(the_environment_names_the_default_backend)
{
	begin(_i);
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg = make(0, SMALL, 0600), *same;
	opt.backend = backend();
	opt.key = key(0);
	setenv("UNISHM_BACKEND", "no-such", 1);
	expect_ok(unishm_open_with(&same, &opt)); /* a name in the call goes first */
	ck_assert_int_eq(unishm_id(same), unishm_id(seg));
	unishm_close(same);
	ck_assert_int_eq(try_open(0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), backend()));
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "no-such"));
	unsetenv("UNISHM_BACKEND");
	drop(seg);
	seg = make(0, SMALL, 0600);
	ck_assert_str_eq(unishm_backend(seg), unishm_backends()[0]);
	drop(seg);
}
END_TEST

START_TEST(backends_do_not_share_keys)
{
	begin(_i);
	SKIP_UNLESS(backends() > 1, "there is one backend");
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg = make(0, SMALL, 0600), *other;
	opt.backend = unishm_backends()[1 - _i];
	opt.key = key(0);
	ck_assert_int_eq(unishm_open_with(&other, &opt), -ENOENT);
	drop(seg);
}
END_TEST

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

void create_group(Suite *suite)
{
	TCase *t = group(suite, "create", NULL, 15);
	EACH(t, create_gives_exactly_the_size_asked_for);
	EACH(t, exclusive_creation_looks_at_the_key_before_the_size);
	EACH(t, new_bytes_read_as_zero);
	EACH(t, bytes_to_the_end_of_the_page_are_the_segments_too);
	EACH(t, a_new_segment_has_the_status_of_its_creator);
	EACH(t, what_is_inexact_is_emulated_and_system_v_emulates_nothing);
	EACH(t, create_applies_every_mode_exactly);
	EACH(t, create_ignores_the_umask_and_leaves_it_alone);
	EACH(t, exclusive_create_refuses_a_key_that_is_taken);
	EACH(t, a_missing_key_is_not_found);
	EACH(t, open_or_create_finds_what_exists_and_changes_nothing);
	EACH(t, open_wants_no_more_bytes_than_the_segment_has);
	EACH(t, any_key_but_private_names_one_segment);
	EACH(t, private_always_makes_a_new_segment);
	EACH(t, an_id_finds_its_segment_from_another_process);
	EACH(t, an_id_handle_knows_key_and_size);
	EACH(t, ids_are_unique_among_live_segments);
	EACH(t, facts_of_a_handle_survive_removal_and_facts_of_null_are_nothing);
	EACH(t, a_segment_outlives_its_processes);
	EACH(t, create_reserves_memory_unless_told_not_to);
	EACH(t, options_of_other_versions_are_understood_or_refused);
	EACH(t, the_environment_names_the_default_backend);
	EACH(t, backends_do_not_share_keys);
	t = group(suite, "huge", "native", 15);
	EACH(t, noreserve_takes_memory_only_when_touched);
}
