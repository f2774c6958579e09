/* SPDX-License-Identifier: MIT */
/* Addresses: attach at one, replace what is there, and what stays free. */
#include "contract.h"

#include <sys/mman.h>

START_TEST(attach_at_maps_exactly_there)
{
	begin(_i);
	size_t page = granularity();
	struct unishm *seg = make(0, page, 0600);
	char *hole = map_area(4 * page);
	void *addr = NULL;
	munmap(hole, 4 * page);
	expect_ok(unishm_attach_at(seg, hole + page, 0, &addr));
	ck_assert_ptr_eq(addr, hole + page);
	expect_ok(unishm_attach_at(seg, hole + 2 * page + 17, UNISHM_RND | UNISHM_RDONLY, &addr));
	ck_assert_ptr_eq(addr, hole + 2 * page);
	ck_assert_int_eq(unishm_attach_at(seg, hole + 17, 0, &addr), -EINVAL);
	ck_assert_uint_eq(number_attached(seg), 2);
	drop(seg);
}
END_TEST

START_TEST(attach_at_an_occupied_address_harms_nothing)
{
	begin(_i);
	size_t page = granularity();
	struct unishm *seg = make(0, 3 * page, 0600);
	char *area = map_area(5 * page);
	void *addr = NULL;
	munmap(area, 2 * page); /* only the last page of the range is taken */
	memset(area + 2 * page, 'o', 3 * page);
	ck_assert_int_eq(unishm_attach_at(seg, area, 0, &addr), -EINVAL);
	ck_assert_int_eq(unishm_attach_at(seg, area + 2 * page, 0, &addr), -EINVAL);
	ck_assert_int_eq(unishm_attach_at(seg, area + 2 * page + 5, UNISHM_RND, &addr), -EINVAL);
	ck_assert(all_are(area + 2 * page, 3 * page, 'o'));
	ck_assert(is_free(area, 2 * page));
	ck_assert_uint_eq(number_attached(seg), 0);
	ck_assert_ptr_null(addr);
	munmap(area + 2 * page, 3 * page);
	drop(seg);
}
END_TEST

START_TEST(remap_replaces_what_is_mapped)
{
	begin(_i);
	size_t page = granularity();
	struct unishm *seg = make(0, 2 * page, 0600);
	char *area = map_area(4 * page);
	memset(area, 'o', 4 * page);
	void *addr;
	expect_ok(unishm_attach_at(seg, area + page, UNISHM_REMAP, &addr));
	ck_assert_ptr_eq(addr, area + page);
	ck_assert(all_are(addr, 2 * page, 0));
	ck_assert(all_are(area, page, 'o'));
	ck_assert(all_are(area + 3 * page, page, 'o'));
	munmap(area, page);
	munmap(area + 3 * page, page);
	drop(seg);
}
END_TEST

START_TEST(remap_over_an_attachment_detaches_that)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *other = make(1, SMALL, 0600);
	char *addr = attach(seg, 0);
	void *again;
	time_t start = time(NULL);
	expect_ok(unishm_attach_at(other, addr, UNISHM_REMAP, &again));
	ck_assert_uint_eq(number_attached(seg), 0);
	ck_assert(since(start, status_of(seg).last_detach_time));
	ck_assert_uint_eq(number_attached(other), 1);
	ck_assert_int_eq(unishm_detach(seg, addr), -EINVAL);
	addr[0] = 'r';
	expect_ok(unishm_attach_at(other, addr, UNISHM_REMAP, &again)); /* over itself */
	ck_assert_uint_eq(number_attached(other), 1);
	ck_assert_int_eq(addr[0], 'r');
	detach(other, addr);
	ck_assert_uint_eq(number_attached(other), 0);
	drop(seg);
	drop(other);
}
END_TEST

START_TEST(addresses_that_cannot_be_are_refused)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	void *addr = NULL;
	void *first = (void *)(uintptr_t)5;
	ck_assert_int_eq(unishm_attach_at(seg, NULL, 0, &addr), -EINVAL);
	ck_assert_int_eq(unishm_attach_at(seg, NULL, UNISHM_REMAP, &addr), -EINVAL);
	ck_assert_int_eq(unishm_attach_at(seg, first, UNISHM_RND, &addr), -EINVAL);
	ck_assert_int_eq(unishm_attach_at(seg, first, UNISHM_RND | UNISHM_REMAP, &addr), -EINVAL);
	ck_assert_ptr_null(addr);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST

#if defined __linux__ && defined __LP64__
START_TEST(an_address_outside_of_what_programs_get_is_enomem)
{
	begin(_i);
	SKIP_UNLESS(!is_instrumented(), "a sanitizer takes such an address for a bug");
	struct unishm *seg = make(0, SMALL, 0600);
	void *addr = NULL, *high = (void *)(UINTPTR_MAX - 0xffffff);
	ck_assert_int_eq(unishm_attach_at(seg, high, UNISHM_RND, &addr), -ENOMEM);
	ck_assert_int_eq(unishm_attach_at(seg, high, UNISHM_RND | UNISHM_REMAP, &addr), -ENOMEM);
	ck_assert_ptr_null(addr);
	ck_assert_uint_eq(number_attached(seg), 0);
	drop(seg);
}
END_TEST
#endif

/* The usual way to find a place: let the system choose one, and give it back. What
 * the library maps for itself must not get there first. */
START_TEST(attach_at_takes_the_place_that_the_system_chose)
{
	begin(_i);
	SKIP_UNLESS(granularity() == page_size(), "System V takes every fourth page or fewer here");
	static const size_t sizes[] = { 4096, 65536, 1 << 20 };
	for (int i = 0; i < 3; i++) {
		struct unishm *seg = make(0, sizes[i], 0600);
		void *place[3], *addr[3];
		for (int k = 0; k < 3; k++) {
			place[k] = mmap(NULL, sizes[i], PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
					0);
			munmap(place[k], sizes[i]);
			expect_ok(unishm_attach_at(
					seg, place[k], k == 2 ? UNISHM_RDONLY : 0, &addr[k]));
			ck_assert_ptr_eq(addr[k], place[k]);
		}
		drop(seg);
	}
}
END_TEST

/* The kernel replaces whole pages, so what ends in the middle of one is gone too. */
START_TEST(what_is_replaced_to_its_last_page_is_detached)
{
	begin(_i);
	size_t page = 1 << 18; /* a multiple of every SHMLBA */
	char *room = map_area(4 * page);
	struct unishm *small = make(0, 100, 0600), *large = make(1, page + 1, 0600);
	void *first, *second;
	munmap(room + page, page_size()); /* no more, or the library's own gets there */
	expect_ok(unishm_attach_at(small, room + page, 0, &first));
	expect_ok(unishm_attach_at(large, room, UNISHM_REMAP, &second));
	ck_assert_uint_eq(number_attached(small), 0);
	ck_assert_uint_eq(number_attached(large), 1);
	ck_assert_int_eq(unishm_detach(small, first), -EINVAL);
	drop(small);
	drop(large);
	munmap(room, 4 * page);
}
END_TEST

/* The library's own mappings go elsewhere. */
START_TEST(a_range_that_was_detached_stays_free_while_others_attach)
{
	begin(_i);
	SKIP_UNLESS(sizeof(void *) == 8 && !is_instrumented(), "needs addresses to spare");
	void *one, *two, *again;
	struct unishm *small = make(0, 4096, 0600), *large = make(1, 1 << 18, 0600);
	for (int i = 0; i < 3; i++) {
		one = attach(small, 0);
		two = attach(large, 0);
		detach(small, one);
		detach(large, two);
		one = attach(small, 0);
		number_attached(small);
		expect_ok(unishm_attach_at(large, two, 0, &again));
		number_attached(large);
		detach(large, two);
		detach(small, one);
	}
	drop(small);
	drop(large);
}
END_TEST

void address_group(Suite *suite)
{
	TCase *t = group(suite, "place", "native", 15); /* valgrind 3.19 trips over such mappings */
	EACH(t, attach_at_maps_exactly_there);
	EACH(t, attach_at_an_occupied_address_harms_nothing);
	EACH(t, remap_replaces_what_is_mapped);
	EACH(t, remap_over_an_attachment_detaches_that);
	EACH(t, addresses_that_cannot_be_are_refused);
	EACH(t, attach_at_takes_the_place_that_the_system_chose);
#if defined __linux__ && defined __LP64__
	EACH(t, an_address_outside_of_what_programs_get_is_enomem);
#endif
	t = group(suite, "replaced and free", NULL, 20);
	EACH(t, what_is_replaced_to_its_last_page_is_detached);
	EACH(t, a_range_that_was_detached_stays_free_while_others_attach);
}
