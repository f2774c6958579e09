/* SPDX-License-Identifier: MIT */
/* Objects of the POSIX backend that the library did not make. */
#include "errors.h"

#include <sys/stat.h>

char object[300];

/* The path of the object that segment 0 has. */
void find_object(void)
{
	struct unishm *seg = make(0, SMALL, 0600);
	const char *path = record_path();
	ck_assert_ptr_nonnull(path);
	snprintf(object, sizeof object, "%s", path);
	drop(seg);
	ck_assert_int_eq(access(object, F_OK), -1);
}

void put_bytes(const void *bytes, size_t count)
{
	int fd = open(object, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, count), (ssize_t)count);
	close(fd);
}

enum { FOREIGN = 10 };

static void put_making(void) /* an empty one */
{
	const uint32_t making = 1;
	put_bytes("", 0);
	ck_assert_int_eq(truncate(object, 1 << 17), 0);
	int fd = open(object, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, &making, sizeof making, (1 << 16) + 12), sizeof making);
	close(fd);
}

static void put_foreign(int kind)
{
	char bytes[100000];
	switch (kind) {
	case 0:
		put_bytes("", 0);
		break;
	case 1:
		put_bytes("foreign", 7);
		break;
	case 2:
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (char)(i * 2654435761u >> 13);
		put_bytes(bytes, sizeof bytes);
		break;
	case 3:
		memset(bytes, 0, sizeof bytes);
		put_bytes(bytes, sizeof bytes);
		break;
	case 4:
		ck_assert_int_eq(mkfifo(object, 0600), 0);
		break;
	case 5:
		ck_assert_int_eq(mkdir(object, 0700), 0);
		break;
	case 6:
		ck_assert_int_eq(symlink("/etc/passwd", object), 0);
		break;
	case 7:
		ck_assert_int_eq(symlink("nowhere", object), 0);
		break;
	case 8:
		put_bytes("", 0);
		ck_assert_int_eq(truncate(object, 1 << 17), 0);
		break;
	case 9: /* where ours would say that it is in the making */
		put_making();
		break;
	}
}

START_TEST(what_is_not_ours_under_our_name_is_refused_and_left_alone)
{
	begin(_i / FOREIGN);
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	struct stat before, after;
	struct unishm *seg = NULL;
	find_object();
	put_foreign(_i % FOREIGN);
	ck_assert_int_eq(lstat(object, &before), 0);
	ck_assert_int_eq(try_open(0), -EBADMSG);
	ck_assert_int_eq(unishm_open(&seg, key(0), O_CREAT, SMALL, 0600), -EBADMSG);
	ck_assert_uint_gt(strlen(unishm_errmsg()), 10);
	int rc = unishm_open(&seg, key(0), O_CREAT | O_EXCL, SMALL, 0600);
	ck_assert_msg(rc == -EEXIST || rc == -EBADMSG, "exclusive: %d", rc);
	ck_assert_ptr_null(seg);
	ck_assert_int_eq(do_list_count(0), 0);
	ck_assert_int_eq(lstat(object, &after), 0);
	ck_assert_int_eq(after.st_size, before.st_size);
	ck_assert_uint_eq(after.st_mode, before.st_mode);
	ck_assert_uint_eq(after.st_ino, before.st_ino);
	if (unlink(object) < 0)
		rmdir(object);
	drop(make(0, SMALL, 0600));
}
END_TEST

/* An empty file proves nothing, whatever its mode and age. */
START_TEST(an_empty_object_under_our_name_is_refused_and_left_alone)
{
	begin(_i);
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	static const mode_t modes[] = { 0600, S_ISVTX, 0666 | S_ISVTX, 0700 };
	const struct timespec times[2] = { { 4102444800, 0 }, { 4102444800, 0 } }; /* in 2100 */
	find_object();
	for (int i = 0; i < 8; i++) {
		struct unishm *seg = NULL;
		int fd = open(object, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(fchmod(fd, modes[i / 2]), 0);
		ck_assert_int_eq(i & 1 ? futimens(fd, times) : 0, 0);
		close(fd);
		/* root of a user namespace overrides modes as well */
		bool readable = faccessat(AT_FDCWD, object, R_OK | W_OK, AT_EACCESS) == 0;
		int refused = readable ? -EBADMSG : -EACCES;
		ck_assert_int_eq(try_open(0), refused);
		ck_assert_int_eq(unishm_open(&seg, key(0), O_CREAT, SMALL, 0600), refused);
		ck_assert_int_eq(unishm_open(&seg, key(0), O_CREAT | O_EXCL, SMALL, 0600), -EEXIST);
		ck_assert_int_eq(swept(0), 0);
		ck_assert_int_eq(do_list_count(0), 0);
		ck_assert_int_eq(unlink(object), 0);
	}
}
END_TEST

/* What any program does that calls shm_unlink(). */
static void remove_data(void)
{
	char path[64];
	snprintf(path, sizeof path, "/dev/shm/%s", only_object());
	ck_assert_int_eq(unlink(path), 0);
}

/* The data of segment 0 where it has a file beside: is another program's object left alone? */
START_TEST(an_object_of_another_program_in_the_datas_place_is_left_alone)
{
	begin(_i);
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	SKIP_UNLESS(!has_description_locks(), "there is one object here");
	char path[64];
	struct unishm *seg = make(0, SMALL, 0600);
	snprintf(path, sizeof path, "/dev/shm/%s", only_object());
	drop(seg);
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(unishm_open(&seg, key(0), O_CREAT, SMALL, 0600), -EBADMSG);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(try_open(0), -ENOENT);
	ck_assert_int_eq(unlink(path), 0);
	seg = make(0, SMALL, 0600);
	ck_assert_int_eq(unlink(path), 0);
	fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600); /* too short to be mapped */
	ck_assert_int_ge(fd, 0);
	close(fd);
	void *addr;
	ck_assert_int_eq(unishm_attach(seg, 0, &addr), -EBADMSG);
	unishm_remove(seg);
	unishm_close(seg);
	if (can_reserve()) /* macOS: objects have no inode to tell them by */
		ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(an_object_unlinked_by_its_name_counts_as_removed_or_lives_on)
{
	begin(_i);
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	find_object();
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	remove_data();
	if (!has_description_locks()) { /* the file beside it is still there */
		void *addr;
		ck_assert_int_eq(unishm_attach(seg, 0, &addr), -EBADMSG);
		ck_assert_int_eq(unishm_remove(seg), 0);
	}
	ck_assert_int_eq(try_open(0), -ENOENT);
	struct unishm *next = make(0, SMALL, 0600);
	int rc = unishm_remove(seg);
	ck_assert_msg(rc == 0 || rc == -EIDRM, "%d", rc);
	ck_assert_int_eq(try_open(0), 0);
	unishm_close(seg);
	drop(next);
}
END_TEST

void object_group(Suite *suite)
{
	TCase *t = group(suite, "objects", NULL, 30);
	tcase_add_loop_test(t, what_is_not_ours_under_our_name_is_refused_and_left_alone, 0,
			FOREIGN * backends());
	EACH(t, an_empty_object_under_our_name_is_refused_and_left_alone);
	EACH(t, an_object_unlinked_by_its_name_counts_as_removed_or_lives_on);
	EACH(t, an_object_of_another_program_in_the_datas_place_is_left_alone);
}
