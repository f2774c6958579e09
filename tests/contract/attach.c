/* SPDX-License-Identifier: MIT */
/* Attach and detach. */
#include "contract.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

START_TEST(each_attachment_has_its_address_and_counts)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	char *addr[10];
	for (int i = 0; i < 10; i++) {
		addr[i] = attach(seg, i % 2 ? UNISHM_RDONLY : 0);
		ck_assert_uint_eq(number_attached(seg), (unsigned)i + 1);
		for (int j = 0; j < i; j++)
			ck_assert_ptr_ne(addr[i], addr[j]);
	}
	addr[0][5] = 'k';
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(addr[i][5], 'k');
	for (unsigned i = 10; i-- > 0;) {
		detach(seg, addr[i]);
		ck_assert_uint_eq(number_attached(seg), i);
	}
	drop(seg);
}
END_TEST

START_TEST(attach_and_detach_tell_who_and_when)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	struct unishm_status st, fresh = status_of(seg);
	expect_ok(ask(&agent, do_open, 0));
	ck_assert_int_eq(status_of(seg).last_op_process, 0);
	time_t start = time(NULL);
	expect_ok(ask(&agent, do_attach, 0));
	st = status_of(seg);
	ck_assert_int_eq(st.last_op_process, agent.pid);
	ck_assert(since(start, st.last_attach_time));
	ck_assert_int_eq(st.last_detach_time, 0);
	attach(seg, 0);
	ck_assert_int_eq(status_of(seg).last_op_process, getpid());
	start = time(NULL);
	expect_ok(ask(&agent, do_detach, 0));
	st = status_of(seg);
	ck_assert_int_eq(st.last_op_process, agent.pid);
	ck_assert(since(start, st.last_detach_time));
	detach(seg, NULL);
	ck_assert_int_eq(status_of(seg).last_op_process, getpid());
	ck_assert_int_eq(st.last_change_time, fresh.last_change_time);
	ck_assert_int_eq(st.creator_process, fresh.creator_process);
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(attach_and_detach_move_their_own_time_only)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	void *addr = attach(seg, 0);
	struct unishm_status one = status_of(seg);
	next_second();
	detach(seg, addr);
	struct unishm_status two = status_of(seg);
	ck_assert_int_eq(two.last_attach_time, one.last_attach_time);
	ck_assert_int_ge(two.last_detach_time, one.last_attach_time);
	ck_assert_int_ne(two.last_detach_time, 0);
	next_second();
	attach(seg, 0);
	struct unishm_status three = status_of(seg);
	ck_assert_int_eq(three.last_detach_time, two.last_detach_time);
	ck_assert_int_gt(three.last_attach_time, one.last_attach_time);
	ck_assert_int_eq(three.last_change_time, one.last_change_time);
	drop(seg);
}
END_TEST

START_TEST(a_refused_attach_or_detach_changes_nothing)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	char *addr = attach(seg, 0);
	struct unishm_status before = status_of(seg), after;
	void *out = &before;
	ck_assert_int_eq(unishm_attach(seg, 0x4000, &out), -EINVAL);
	if (can_refuse_addresses())
		ck_assert_int_eq(unishm_attach_at(seg, addr, 0, &out), -EINVAL);
	ck_assert_int_eq(unishm_attach_at(seg, addr + 1, 0, &out), -EINVAL);
	ck_assert_int_eq(unishm_detach(seg, addr + 1), -EINVAL);
	ck_assert_ptr_eq(out, &before);
	after = status_of(seg);
	ck_assert_uint_eq(after.number_attached, 1);
	ck_assert_int_eq(after.last_detach_time, 0);
	ck_assert_int_eq(after.last_attach_time, before.last_attach_time);
	drop(seg);
}
END_TEST

START_TEST(detach_null_means_the_only_attachment)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	ck_assert_int_eq(unishm_detach(seg, NULL), -EINVAL);
	void *one = attach(seg, 0), *two = attach(seg, 0);
	ck_assert_int_eq(unishm_detach(seg, NULL), -EINVAL);
	ck_assert_uint_eq(number_attached(seg), 2);
	detach(seg, one);
	expect_ok(unishm_detach(seg, NULL));
	ck_assert_uint_eq(number_attached(seg), 0);
	ck_assert_int_eq(unishm_detach(seg, two), -EINVAL);
	drop(seg);
}
END_TEST

START_TEST(detach_knows_the_attachments_of_its_handle_only)
{
	begin(_i);
	struct unishm *seg = make(0, 3 * page_size(), 0600), *other = take(0),
		      *third = make(1, SMALL, 0600);
	char *addr = attach(seg, 0), *theirs = attach(other, 0);
	char *foreign = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	int local = 0;
	void *wrong[] = { addr + page_size(), addr + 1, theirs, foreign, &local, attach(third, 0),
		(void *)(uintptr_t)8, (void *)UINTPTR_MAX };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_int_eq(unishm_detach(seg, wrong[i]), -EINVAL);
	*foreign = *theirs = *addr = 1;
	ck_assert_uint_eq(number_attached(seg), 2);
	detach(seg, addr);
	ck_assert_int_eq(unishm_detach(seg, addr), -EINVAL);
	*theirs = 2;
	munmap(foreign, page_size());
	drop(third);
	unishm_close(other);
	drop(seg);
}
END_TEST

START_TEST(a_detached_range_is_free_again)
{
	begin(_i);
	size_t size = 5 * page_size() + 1;
	struct unishm *seg = make(0, size, 0600);
	for (int i = 0; i < 3; i++) {
		void *addr = attach(seg, 0), *again;
		detach(seg, addr);
		ck_assert(is_free(addr, 6 * page_size()));
		expect_ok(unishm_attach_at(seg, addr, 0, &again));
		ck_assert_ptr_eq(addr, again);
		if (i == 2)
			break;
		detach(seg, addr);
	}
	drop(seg);
}
END_TEST

START_TEST(detach_leaves_its_neighbours_mapped)
{
	begin(_i);
	size_t page = granularity();
	struct unishm *seg = make(0, page, 0600);
	char *area = map_area(3 * page);
	memset(area, 'n', 3 * page);
	void *addr;
	munmap(area + page, page);
	expect_ok(unishm_attach_at(seg, area + page, 0, &addr));
	memset(addr, 'm', page);
	detach(seg, addr);
	ck_assert(all_are(area, page, 'n'));
	ck_assert(all_are(area + 2 * page, page, 'n'));
	munmap(area, page);
	munmap(area + 2 * page, page);
	drop(seg);
}
END_TEST

static int death_of(struct agent *agent, task what, long arg)
{
	tell(agent, what, arg);
	int ended = agent_wait(agent);
	return WIFSIGNALED(ended) ? WTERMSIG(ended) : -WEXITSTATUS(ended);
}

START_TEST(a_write_through_a_read_only_attachment_is_sigsegv)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, UNISHM_RDONLY));
	expect_rc(ask(&agent, do_read, 0), 0);
	ck_assert_int_eq(death_of(&agent, do_write, 0), SIGSEGV);
	ck_assert_uint_eq(number_attached(seg), 0);
	ck_assert_int_eq(((char *)attach(seg, 0))[0], 0);
	drop(seg);
}
END_TEST

START_TEST(a_detached_page_is_gone)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_int_eq(death_of(&agent, do_read, 0), SIGSEGV);
	drop(seg);
}
END_TEST

START_TEST(populate_brings_all_pages_in)
{
	begin(_i);
	SKIP_UNLESS(!emulator(), "qemu-user populates nothing");
	struct unishm *seg = make(0, 64 * page_size(), 0600);
	void *addr = attach(seg, UNISHM_POPULATE);
	int resident = resident_pages(addr, 64 * page_size());
	if (resident >= 0)
		ck_assert_int_eq(resident, 64);
	detach(seg, addr);
	addr = attach(seg, UNISHM_POPULATE | UNISHM_RDONLY);
	ck_assert(all_are(addr, 64 * page_size(), 0));
	drop(seg);
}
END_TEST

static long run_code(long unused)
{
	(void)unused;
#if defined __x86_64__ || defined __i386__
	*(unsigned char *)at = 0xc3;
#elif defined __aarch64__
	*(uint32_t *)at = 0xd65f03c0u;
	__builtin___clear_cache(at, (char *)at + 4);
#else
	return 0;
#endif
	void (*code)(void);
	memcpy(&code, &at, sizeof code);
	code();
	return 0;
}

START_TEST(code_runs_where_execution_was_asked_for)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0700);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, UNISHM_EXEC));
	expect_ok(ask(&agent, run_code, 0));
	expect_ok(ask(&agent, do_detach, 0));
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(close_detaches_what_its_handle_attached_and_no_more)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *other = take(0);
	char *kept = attach(seg, 0), *lost = attach(other, 0);
	attach(other, UNISHM_RDONLY);
	ck_assert_uint_eq(number_attached(seg), 3);
	unishm_close(other);
	ck_assert_uint_eq(number_attached(seg), 1);
	ck_assert(is_free(lost, page_size()));
	*kept = 'k';
	drop(seg);
}
END_TEST

START_TEST(handles_of_one_segment_do_not_disturb_each_other)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	expect_ok(ask(&agent, do_open, 0));
	for (int i = 0; i < 5; i++) {
		struct unishm *again = take(0), *by_id;
		expect_ok(unishm_open_id(&by_id, unishm_id(seg)));
		expect_rc(ask(&agent, do_number, 0), 1);
		unishm_close(again);
		expect_rc(ask(&agent, do_number, 0), 1);
		attach(by_id, 0);
		expect_rc(ask(&agent, do_number, 0), 2);
		do_list_count(0);
		expect_rc(ask(&agent, do_number, 0), 2);
		ck_assert_int_eq(unishm_open(&again, key(0), O_CREAT | O_EXCL, 1, 0600), -EEXIST);
		ck_assert_int_eq(unishm_open(&again, key(0), 0, SMALL + 1, 0600), -EINVAL);
		expect_rc(ask(&agent, do_number, 0), 2);
		unishm_close(by_id);
		expect_rc(ask(&agent, do_number, 0), 1);
	}
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(two_handles_attach_and_detach_in_any_order)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *one = make(0, SMALL, 0600), *two = take(0);
	expect_ok(ask(&agent, do_open, 0));
	void *a = attach(one, 0), *b = attach(two, 0), *c = attach(one, UNISHM_RDONLY);
	expect_rc(ask(&agent, do_number, 0), 3);
	detach(one, a);
	expect_rc(ask(&agent, do_number, 0), 2);
	detach(two, b);
	expect_rc(ask(&agent, do_number, 0), 1);
	unishm_close(two);
	expect_rc(ask(&agent, do_number, 0), 1);
	detach(one, c);
	expect_rc(ask(&agent, do_number, 0), 0);
	agent_end(&agent);
	drop(one);
}
END_TEST

START_TEST(the_handle_that_opened_first_may_close_first)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *one = make(0, SMALL, 0600), *two = take(0);
	expect_ok(ask(&agent, do_open, 0));
	attach(two, 0);
	unishm_close(one);
	expect_rc(ask(&agent, do_number, 0), 1);
	attach(two, 0);
	expect_rc(ask(&agent, do_number, 0), 2);
	unishm_close(two);
	expect_rc(ask(&agent, do_number, 0), 0);
	expect_ok(ask(&agent, do_remove, 0));
	agent_end(&agent);
}
END_TEST

void attach_group(Suite *suite)
{
	TCase *t = group(suite, "attach", NULL, 15);
	EACH(t, each_attachment_has_its_address_and_counts);
	EACH(t, attach_and_detach_tell_who_and_when);
	EACH(t, attach_and_detach_move_their_own_time_only);
	EACH(t, a_refused_attach_or_detach_changes_nothing);
	EACH(t, detach_null_means_the_only_attachment);
	EACH(t, detach_knows_the_attachments_of_its_handle_only);
	EACH(t, a_detached_range_is_free_again);
	EACH(t, detach_leaves_its_neighbours_mapped);
	EACH(t, close_detaches_what_its_handle_attached_and_no_more);
	EACH(t, handles_of_one_segment_do_not_disturb_each_other);
	EACH(t, two_handles_attach_and_detach_in_any_order);
	EACH(t, the_handle_that_opened_first_may_close_first);
	t = group(suite, "populate", "native", 15);
	EACH(t, populate_brings_all_pages_in);
	t = group(suite, "faults", "native", 15);
	EACH(t, a_write_through_a_read_only_attachment_is_sigsegv);
	EACH(t, a_detached_page_is_gone);
	EACH(t, code_runs_where_execution_was_asked_for);
}
