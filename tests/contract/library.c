/* SPDX-License-Identifier: MIT */
/* Keys and the library. */
#include "contract.h"

START_TEST(keys_of_names_are_the_same_everywhere)
{
	key_t empty = unishm_key_from_name(""),
	      longer = unishm_key_from_name("a much longer name than that");
	ck_assert_int_eq(unishm_key_from_name(NULL), empty);
	ck_assert_int_ne(longer, empty);
	for (int i = 0; i < 100000; i++) {
		char name[16];
		snprintf(name, sizeof name, "%d", i);
		key_t made = unishm_key_from_name(name);
		if (made == UNISHM_PRIVATE || made == -1)
			ck_abort_msg("%s gives %ld", name, (long)made);
	}
	/* FNV-1a and MurmurHash3's finisher, worked out by another program. */
	ck_assert_uint_eq((uint32_t)empty, 0xab3e7c0bu);
	ck_assert_uint_eq((uint32_t)unishm_key_from_name("unishm"), 0x1f436ef6u);
	ck_assert_uint_eq((uint32_t)unishm_key_from_name("\xc3\xa4\xff"), 0x46a03982u);
}
END_TEST

static int compare_keys(const void *one, const void *two)
{
	key_t a = *(const key_t *)one, b = *(const key_t *)two;
	return (a > b) - (a < b);
}

START_TEST(similar_names_have_keys_of_their_own)
{
	enum { MANY = 2000 };
	static key_t keys[MANY];
	for (int i = 0; i < MANY; i++) {
		char name[16];
		snprintf(name, sizeof name, "segment%d", i);
		keys[i] = unishm_key_from_name(name);
	}
	qsort(keys, MANY, sizeof *keys, compare_keys);
	for (int i = 1; i < MANY; i++)
		ck_assert_int_ne(keys[i], keys[i - 1]);
}
END_TEST

START_TEST(all_spellings_of_a_path_give_one_key)
{
	char dir[] = "/tmp/unishm-key-XXXXXX", file[64], dotted[80], link[64];
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof file, "%s/file", dir);
	snprintf(dotted, sizeof dotted, "%s/.././%s/./file", dir, dir + 5);
	snprintf(link, sizeof link, "%s/link", dir);
	ck_assert_int_eq(unishm_key_from_path(file, 1), -1);
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), file));
	close(open(file, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(symlink("file", link), 0);
	key_t made = unishm_key_from_path(file, 1);
	ck_assert_int_ne(made, -1);
	ck_assert_int_ne(made, UNISHM_PRIVATE);
	ck_assert_int_eq(unishm_key_from_path(dotted, 1), made);
	ck_assert_int_eq(unishm_key_from_path(link, 1), made);
	ck_assert_int_ne(unishm_key_from_path(file, 2), made);
	ck_assert_int_ne(unishm_key_from_path(file, 257), made);
	ck_assert_int_ne(unishm_key_from_path(file, 1 << 24 | 1), made);
	ck_assert_int_ne(unishm_key_from_path(dir, 1), made);
	/* The path alone counts: the same name made anew is the same key. */
	unlink(file);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(unishm_key_from_path(file, 1), made);
	ck_assert_int_eq(unishm_key_from_path(NULL, 1), -1);
	unlink(link);
	unlink(file);
	rmdir(dir);
}
END_TEST

START_TEST(the_library_says_what_it_is)
{
	ck_assert_str_eq(unishm_version(), UNISHM_VERSION);
	ck_assert_int_ge(backends(), 1);
	for (int i = 0; i < backends(); i++) {
		const char *name = unishm_backends()[i];
		ck_assert(strcmp(name, "sysv") == 0 || strcmp(name, "posix") == 0);
	}
}
END_TEST

void library_group(Suite *suite)
{
	TCase *t = group(suite, "library", NULL, 15);
	ONCE(t, keys_of_names_are_the_same_everywhere);
	ONCE(t, similar_names_have_keys_of_their_own);
	ONCE(t, all_spellings_of_a_path_give_one_key);
	ONCE(t, the_library_says_what_it_is);
}
