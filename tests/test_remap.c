/* SPDX-License-Identifier: MIT */
/* UNISHM_REMAP over attachments: whole ones are replaced and counted out; nothing of another is
 * replaced in part, as long as it is there. */
#include "harness.h"

#include <sys/mman.h>

enum { PIECES = 8 };

static bool refused_with_reason(int rc)
{
	return rc == -EINVAL && strstr(unishm_errmsg(), "part of the attachment");
}

/* An attachment to be replaced, with bytes of its own. */
static char *attach_marked(struct unishm *seg, char mark)
{
	char *bytes = attach(seg, 0);
	memset(bytes, mark, unishm_size(seg));
	return bytes;
}

static bool all_are(const char *bytes, size_t size, char want)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != want)
			return false;
	return true;
}

/* Over @old, @from pieces from its start on. */
static int replace(struct unishm *seg, char *old, size_t from, void **got)
{
	return unishm_attach_at(seg, old + from * granularity(), UNISHM_REMAP, got);
}

START_TEST(a_part_of_an_attachment_is_never_replaced)
{
	begin(_i);
	struct unishm *old = make(0, PIECES * granularity(), 0600);
	struct unishm *new = make(1, 3 * granularity(), 0600);
	char *bytes = attach_marked(old, 'o');
	for (size_t from = 0; from <= PIECES - 3; from++) {
		void *got = &got;
		ck_assert(refused_with_reason(replace(new, bytes, from, &got)));
		ck_assert_ptr_eq(got, &got);
	}
	ck_assert(all_are(bytes, PIECES * granularity(), 'o'));
	ck_assert_uint_eq(number_attached(old), 1);
	ck_assert_uint_eq(number_attached(new), 0);
	detach(old, bytes);
	drop(old);
	drop(new);
}
END_TEST

/* Where nothing can be mapped: the segment does not remember that it was tried. Programs of 32
 * bits may have all but the last page or two. */
START_TEST(what_cannot_be_mapped_was_never_attached)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	char *beyond = (char *)((UINTPTR_MAX / granularity() - 1) * granularity());
	struct unishm_status st;
	void *got;
	for (int other = 0; other < 2; other++) {
		void *addr = other ? attach(seg, 0) : NULL;
		int rc = unishm_attach_at(seg, beyond, UNISHM_REMAP, &got);
		if (rc == 0) {
			detach(seg, got);
			drop(seg);
			SKIP_UNLESS(false, "programs may have memory there");
		}
		expect_ok(unishm_status(seg, &st));
		ck_assert_uint_eq(st.number_attached, (unsigned long)other);
		ck_assert_int_eq(st.last_op_process, other ? getpid() : 0);
		ck_assert_int_eq(st.last_detach_time, 0);
		ck_assert((st.last_attach_time != 0) == other);
		if (other)
			detach(seg, addr);
	}
	drop(seg);
}
END_TEST

/* At its end, into free memory, and beginning before it. */
START_TEST(an_overlap_at_either_end_is_a_part)
{
	begin(_i);
	size_t size = PIECES * granularity();
	struct unishm *old = make(0, size, 0600), *new = make(1, size, 0600);
	char *area = map_area(3 * size), *bytes = area + size;
	void *got;
	expect_ok(unishm_attach_at(old, bytes, UNISHM_REMAP, &got));
	memset(bytes, 'o', size);
	ck_assert(refused_with_reason(replace(new, bytes, 1, &got)));
	char *before = bytes - granularity();
	ck_assert(refused_with_reason(unishm_attach_at(new, before, UNISHM_REMAP, &got)));
	ck_assert(all_are(bytes, size, 'o'));
	ck_assert(all_are(area, size, 0) && all_are(bytes + size, size, 0));
	detach(old, bytes);
	munmap(area, 3 * size);
	drop(old);
	drop(new);
}
END_TEST

static struct unishm *make_on(const char *name, int n, size_t size)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg = NULL;
	opt.backend = name;
	opt.key = key(n);
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = size;
	opt.mode = 0600;
	expect_ok(unishm_open_with(&seg, &opt));
	return seg;
}

START_TEST(a_part_is_not_replaced_whichever_backend_has_it)
{
	begin(_i);
	struct unishm *new = make(0, granularity(), 0600);
	for (int i = 0; i < backends(); i++) {
		struct unishm *old = make_on(unishm_backends()[i], 1, 4 * granularity());
		char *bytes = attach_marked(old, 'o');
		void *got;
		ck_assert(refused_with_reason(replace(new, bytes, 0, &got)));
		ck_assert(refused_with_reason(replace(new, bytes, 3, &got)));
		ck_assert(all_are(bytes, 4 * granularity(), 'o'));
		detach(old, bytes);
		drop(old);
	}
	drop(new);
}
END_TEST

/* One of this handle is no exception, nor one that is whole beside one that is not. */
START_TEST(all_attachments_in_the_range_have_to_be_whole)
{
	begin(_i);
	size_t step = granularity();
	struct unishm *one = make(0, step, 0600), *two = make(1, 2 * step, 0600);
	char *area = map_area(4 * step);
	void *got;
	expect_ok(unishm_attach_at(one, area, UNISHM_REMAP, &got));
	expect_ok(unishm_attach_at(two, area + step, UNISHM_REMAP, &got));
	memset(area, 'a', 3 * step);
	ck_assert(refused_with_reason(unishm_attach_at(two, area, UNISHM_REMAP, &got)));
	ck_assert(all_are(area, 3 * step, 'a'));
	ck_assert_uint_eq(number_attached(one), 1);
	ck_assert_uint_eq(number_attached(two), 1);
	expect_ok(unishm_attach_at(two, area + step, UNISHM_REMAP, &got));
	ck_assert_uint_eq(number_attached(two), 1);
	ck_assert(all_are(area, 3 * step, 'a'));
	detach(one, area);
	detach(two, area + step);
	munmap(area, 4 * step);
	drop(one);
	drop(two);
}
END_TEST

START_TEST(whole_attachments_are_replaced_and_counted_out)
{
	begin(_i);
	size_t step = granularity();
	struct unishm *one = make(0, step, 0600), *all = make(1, 4 * step, 0600);
	char *area = map_area(4 * step);
	void *got;
	for (size_t i = 0; i < 4; i++)
		expect_ok(unishm_attach_at(one, area + i * step, UNISHM_REMAP, &got));
	ck_assert_uint_eq(number_attached(one), 4);
	expect_ok(unishm_attach_at(all, area, UNISHM_REMAP, &got));
	ck_assert_uint_eq(number_attached(one), 0);
	ck_assert_uint_eq(number_attached(all), 1);
	expect_rc(unishm_detach(one, area), -EINVAL);
	detach(all, area);
	drop(one);
	drop(all);
}
END_TEST

/* The program unmapped it, and may have put its own memory there: that may be replaced. */
static void replace_what_was_unmapped(bool by_own)
{
	size_t step = granularity();
	struct unishm *old = make(0, 4 * step, 0600), *new = make(1, step, 0600);
	char *bytes = attach_marked(old, 'o');
	void *got;
	ck_assert_int_eq(munmap(bytes + step, step), 0);
	if (by_own)
		ck_assert_ptr_eq(mmap(bytes + step, step, PROT_READ,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), bytes + step);
	expect_ok(replace(new, bytes, 1, &got));
	ck_assert(refused_with_reason(replace(new, bytes, 2, &got)));
	ck_assert(all_are(bytes, step, 'o') && all_are(bytes + 2 * step, 2 * step, 'o'));
	detach(new, bytes + step);
	unishm_close(old);
	drop(new);
	drop(take(0));
}

START_TEST(what_the_program_unmapped_stops_no_call)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks(), "this system does not tell what is mapped");
	replace_what_was_unmapped(false);
}
END_TEST

START_TEST(memory_that_the_program_put_into_an_attachment_may_be_replaced)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks(), "this system does not tell what is mapped");
	replace_what_was_unmapped(true);
}
END_TEST

static void fill(Suite *suite)
{
	TCase *t = group(suite, "remap", NULL, 15);
	EACH(t, what_cannot_be_mapped_was_never_attached);
	EACH(t, a_part_of_an_attachment_is_never_replaced);
	EACH(t, an_overlap_at_either_end_is_a_part);
	EACH(t, a_part_is_not_replaced_whichever_backend_has_it);
	EACH(t, all_attachments_in_the_range_have_to_be_whole);
	EACH(t, whole_attachments_are_replaced_and_counted_out);
	EACH(t, what_the_program_unmapped_stops_no_call);
	EACH(t, memory_that_the_program_put_into_an_attachment_may_be_replaced);
}

int main(void)
{
	return harness_main("remap", fill);
}
