/* SPDX-License-Identifier: MIT */
/* Where objects are kept: file systems of every kind, full, read-only, missing, changed behind
 * our back. Creation works as promised, or is refused with a true sentence and leaves nothing. */
#include "apart.h"
#include "sys.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define APART_ON_POSIX                                                              \
	begin(_i);                                                                  \
	SKIP_UNLESS(on("posix"), "is about the place of POSIX objects");            \
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces")

/* ---- Places that are good ------------------------------------------------------ */

static const struct {
	const char *type, *options;
} good[] = {
	{ "tmpfs", "mode=755" },
	{ "tmpfs", "mode=1777,size=4m" },
	{ "tmpfs", "mode=1777,nr_inodes=4" },
	{ "tmpfs", "mode=1777,huge=always" },
	{ "tmpfs", "mode=1777,huge=within_size" },
	{ "tmpfs", "mode=1777,inode32" },
	{ "tmpfs", "mode=1777,inode64" },
	{ "tmpfs", "mode=2777,gid=5" },
	{ "ramfs", "mode=1777" },
};
enum { GOOD = sizeof good / sizeof *good };

static long use_good_place(long which)
{
	int rc = place(good[which].type, good[which].options);
	if (rc < 0)
		return rc;
	expect_rc(use_fully(SMALL), 0);
	expect_rc(use_fully(1 << 20), 0);
	return 0;
}

START_TEST(all_works_in_every_place_that_keeps_promises)
{
	APART_ON_POSIX;
	for (int i = 0; i < GOOD; i++) {
		long rc = apart(use_good_place, i);
		if (rc < 0)
			printf("skipped: no %s with %s here\n", good[i].type, good[i].options);
	}
}
END_TEST

/* ---- Places that are short ----------------------------------------------------- */

static int create(int n, size_t size)
{
	struct unishm *seg = NULL;
	int rc = unishm_open(&seg, key(n), O_CREAT | O_EXCL, size, 0600);
	expect((rc == 0) == (seg != NULL), "a handle %p at %d", (void *)seg, rc);
	unishm_close(seg);
	return rc;
}

static long run_out_of_inodes(long unused)
{
	int made = 0, rc;
	(void)unused;
	expect_ok(place("tmpfs", "mode=1777,nr_inodes=6"));
	while ((rc = create(made, SMALL)) == 0)
		made++;
	expect_rc(rc, -ENOSPC);
	expect(made >= 3, "only %d segments", made);
	expect(strlen(unishm_errmsg()) > 20, "%s", unishm_errmsg());
	expect_rc(entries(), made);
	for (int n = 0; n < made; n++) { /* they are served all the same */
		struct unishm *seg = take(n);
		attach(seg, 0);
		attach(seg, UNISHM_RDONLY);
		use_with_child(seg);
		drop(seg);
	}
	return entries();
}

START_TEST(without_inodes_create_fails_with_enospc_and_what_exists_works)
{
	APART_ON_POSIX;
	expect_ok(apart(run_out_of_inodes, 0));
}
END_TEST

/* All sizes around the room that is left: whichever step is the one that fails. */
static long run_out_of_pages(long unused)
{
	(void)unused;
	expect_ok(place("tmpfs", "mode=1777,size=256k"));
	for (size_t size = 32 << 10; size <= 320 << 10; size += 4096) {
		int rc = create(0, size);
		expect(rc == 0 || rc == -ENOSPC || rc == -ENOMEM, "%zu bytes: %d", size, rc);
		if (rc < 0) {
			expect_rc(entries(), 0);
			continue;
		}
		struct unishm *seg = take(0);
		memset(attach(seg, 0), 'x', size);
		use_with_child(seg);
		drop(seg);
	}
	return entries();
}

START_TEST(what_was_created_in_a_small_place_never_raises_sigbus)
{
	APART_ON_POSIX;
	expect_ok(apart(run_out_of_pages, 0));
}
END_TEST

/* ---- Pages brought in, and large ones ---------------------------------------------- */

static int old_madvise(void *addr, size_t length, int advice)
{
	(void)addr, (void)length, (void)advice;
	errno = EINVAL;
	return -1;
}

/* Not reserved, and no room: by the kernel's own call, and as before Linux 5.14. */
static long populate_without_room(long old)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	void *addr = NULL;
	expect_ok(place("tmpfs", "mode=1777,size=256k"));
	opt.size = 1 << 20;
	opt.mode = 0600;
	opt.flags = UNISHM_NORESERVE;
	expect_ok(unishm_open_with(&seg, &opt));
	if (old)
		unishm_sys.madvise = old_madvise;
	expect_rc(unishm_attach(seg, UNISHM_POPULATE, &addr), -ENOMEM);
	expect(!addr && number_attached(seg) == 0, "attached");
	drop(seg);
	return entries();
}

START_TEST(to_bring_in_pages_for_which_there_is_no_room_is_an_error_and_no_signal)
{
	APART_ON_POSIX;
	expect_ok(apart(populate_without_room, 0));
	expect_ok(apart(populate_without_room, 1));
}
END_TEST

static long attach_in_huge_pages(long unused)
{
	enum { HUGE_PAGE = 2 << 20 };
	struct unishm *seg, *small;
	void *addr = NULL;
	(void)unused;
	int rc = place("tmpfs", "mode=1777,huge=advise");
	if (rc < 0)
		return rc;
	expect_ok(unishm_open(&seg, UNISHM_PRIVATE, 0, 2 * HUGE_PAGE, 0600));
	expect_ok(unishm_open(&small, UNISHM_PRIVATE, 0, SMALL, 0600));
	expect_rc(unishm_attach(small, UNISHM_THP, &addr), -ENOTSUP);
	rc = unishm_attach(seg, UNISHM_THP | UNISHM_POPULATE, &addr);
	if (rc == 0) {
		expect((uintptr_t)addr % HUGE_PAGE == 0, "at %p", addr);
		expect(number_attached(seg) == 1, "not counted");
		memset(addr, 'h', 2 * HUGE_PAGE);
		unishm_detach(seg, addr);
	}
	drop(small);
	drop(seg);
	return rc;
}

START_TEST(an_attachment_in_huge_pages_begins_with_one)
{
	APART_ON_POSIX;
	long rc = apart(attach_in_huge_pages, 0);
	SKIP_UNLESS(rc != -EINVAL && rc != -ENOTSUP, "this kernel has no such pages");
	expect_ok(rc);
}
END_TEST

static long attach_in_huge_pages_where_there_are_none(long unused)
{
	struct unishm *seg;
	void *addr = NULL;
	(void)unused;
	expect_ok(place("tmpfs", "mode=1777"));
	expect_ok(unishm_open(&seg, UNISHM_PRIVATE, 0, 4 << 20, 0600));
	expect_rc(unishm_attach(seg, UNISHM_THP, &addr), -ENOTSUP);
	expect(strstr(unishm_errmsg(), "huge"), "%s", unishm_errmsg());
	expect(!addr && number_attached(seg) == 0, "attached");
	drop(seg);
	return entries();
}

START_TEST(huge_pages_that_cannot_be_had_are_refused)
{
	APART_ON_POSIX;
	expect_ok(apart(attach_in_huge_pages_where_there_are_none, 0));
}
END_TEST

/* As a quota does it: from now on nothing more, but with another errno than a full system. */
static long refuse_more(int code)
{
	static const int calls[] = { SYS_fallocate, SYS_pwrite64, SYS_ftruncate };
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		expect_ok(refuse(calls[i], 0, 0, code));
	return 0;
}

static long create_without_quota(long unused)
{
	(void)unused;
	refuse_more(EDQUOT);
	long rc = create(1, SMALL);
	expect(says("quota"), "%s", unishm_errmsg());
	return rc;
}

static long use_without_quota(long unused)
{
	void *addr;
	struct unishm *seg = take(0);
	(void)unused;
	refuse_more(EDQUOT);
	long rc = unishm_attach(seg, 0, &addr);
	expect(rc == 0 || rc == -ENOSPC, "%ld", rc);
	if (rc == 0)
		expect_rc((long)number_attached(seg), 1);
	if (rc == 0)
		use_with_child(seg);
	expect_ok(unishm_remove(seg));
	expect_rc(try_open(0), -ENOENT);
	unishm_close(seg);
	return 0;
}

static long out_of_quota(long unused)
{
	(void)unused;
	expect_ok(place("tmpfs", "mode=1777"));
	expect_rc(in_child(create_without_quota, 0), -ENOSPC);
	expect_rc(entries(), 0);
	expect_ok(create(0, SMALL));
	expect_ok(in_child(use_without_quota, 0));
	return entries();
}

START_TEST(a_used_up_quota_is_out_of_room_and_existing_segments_work)
{
	APART_ON_POSIX;
	NEEDS_FILTERS;
	expect_ok(apart(out_of_quota, 0));
}
END_TEST

/* ---- Read-only ----------------------------------------------------------------- */

static long look_at_read_only(long unused)
{
	void *addr;
	struct unishm *seg = take(0);
	struct unishm_status st = status_of(seg);
	(void)unused;
	expect(st.size == SMALL && st.number_attached == 2, "%zu, %lu", st.size,
			st.number_attached);
	attach(seg, UNISHM_RDONLY);
	expect_rc((long)number_attached(seg), 3);
	int rc = unishm_attach(seg, 0, &addr);
	expect(rc == -EROFS || rc == -EACCES, "%d", rc);
	expect(says("ead-only"), "%s", unishm_errmsg()); /* and not that the mode does */
	expect_rc(do_list_count(0), 1);
	rc = unishm_remove(seg);
	expect(rc == -EROFS || rc == -EPERM || rc == -EACCES, "%d", rc);
	unishm_close(seg);
	return 0;
}

static long read_only(long unused)
{
	struct unishm *seg, *other = NULL;
	(void)unused;
	expect_ok(place("tmpfs", "mode=1777"));
	expect_ok(make_shared(SMALL, &seg));
	attach(seg, 0);
	expect(mount("/dev/shm", "/dev/shm", NULL, MS_BIND, NULL) == 0, "errno %d", errno);
	expect(mount(NULL, "/dev/shm", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0,
			"errno %d", errno);
	expect_ok(in_child(look_at_read_only, 0));
	expect_ok(in_child_as(USER, look_at_read_only, 0));
	int rc = unishm_open(&other, key(1), O_CREAT, SMALL, 0600);
	expect_rc(rc, -EROFS);
	expect(says("ead-only"), "%s", unishm_errmsg());
	attach(seg, 0); /* who has it open for writing goes on */
	attach(seg, UNISHM_RDONLY);
	expect_rc((long)number_attached(seg), 3);
	rc = unishm_remove(seg);
	expect(rc == 0 || rc == -EROFS, "%d", rc);
	expect_rc((long)number_attached(seg), 3);
	expect_rc((long)status_of(seg).removed, rc == 0);
	unishm_close(seg);
	return 0;
}

START_TEST(a_read_only_place_serves_readers_and_says_that_it_is_read_only)
{
	APART_ON_POSIX;
	expect_ok(apart(read_only, 0));
}
END_TEST

/* ---- Missing, or something else ------------------------------------------------ */

static long expect_missing(long unused)
{
	struct unishm *seg = NULL;
	(void)unused;
	expect_rc(unishm_open(&seg, key(0), 0, 0, 0), -ENOENT);
	expect(says("/dev/shm"), "%s", unishm_errmsg());
	int rc = unishm_open(&seg, key(0), O_CREAT, SMALL, 0600);
	expect(rc == -ENOENT || rc == -ENOTDIR, "%d", rc);
	expect(says("/dev/shm"), "%s", unishm_errmsg());
	rc = unishm_open_id(&seg, 5);
	expect(rc == -ENOENT || rc == -ENOTDIR, "%d", rc);
	long listed = do_list_count(0);
	expect(listed == 0 || listed == -ENOENT || listed == -ENOTDIR, "%ld", listed);
	expect(!seg, "a handle");
	return 0;
}

static long without_directory(long as_file)
{
	expect(mount("tmpfs", "/dev", "tmpfs", 0, "mode=755") == 0, "errno %d", errno);
	if (as_file)
		close(open("/dev/shm", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	expect_ok(expect_missing(0));
	return 0;
}

START_TEST(a_missing_directory_is_said_to_be_missing)
{
	APART_ON_POSIX;
	expect_ok(apart(without_directory, 0));
	expect_ok(apart(without_directory, 1));
}
END_TEST

/* The directory goes while a handle is open: what is attached stays, all else answers. */
static long lose_directory(long unused)
{
	(void)unused;
	struct unishm *seg;
	expect_ok(make_shared(SMALL, &seg));
	char *addr = attach(seg, 0);
	memset(addr, 'k', SMALL);
	expect(mount("tmpfs", "/dev", "tmpfs", 0, "mode=755") == 0, "errno %d", errno);
	attach(seg, 0);
	attach(seg, UNISHM_RDONLY);
	use_with_child(seg);
	expect_ok(unishm_lock(seg));
	expect_ok(unishm_unlock(seg));
	int rc = unishm_remove(seg); /* through the directory that is remembered, or not at all */
	expect_rc((long)status_of(seg).removed, rc == 0);
	expect(rc == 0 || says("namespace"), "%d: %s", rc, unishm_errmsg());
	expect(are_all(addr, SMALL, 'k'), "bytes were lost");
	unishm_close(seg);
	return rc;
}

START_TEST(what_is_open_survives_the_loss_of_the_directory)
{
	APART_ON_POSIX;
	long rc = apart(lose_directory, 0);
	struct unishm *seg = NULL;
	int there = unishm_open(&seg, key(0), 0, 0, 0);
	ck_assert_int_eq(there, rc == 0 ? -ENOENT : 0);
	if (there == 0)
		drop(seg);
}
END_TEST

/* ---- Code, groups, lists ------------------------------------------------------- */

static long attach_code(long unused)
{
	void *addr;
	struct unishm *seg = take(0);
	(void)unused;
	int rc = unishm_attach(seg, UNISHM_EXEC | UNISHM_RDONLY, &addr);
	expect(says("noexec"), "%s", unishm_errmsg());
	unishm_close(seg);
	return rc;
}

static long noexec(long unused)
{
	struct unishm *seg;
	(void)unused;
	expect(mount("tmpfs", "/dev/shm", "tmpfs", MS_NOEXEC, "mode=1777") == 0, "errno %d", errno);
	expect_ok(unishm_open(&seg, key(0), O_CREAT, SMALL, 0777));
	expect_rc(in_child(attach_code, 0), -ENOTSUP);
	expect_rc(in_child_as(USER, attach_code, 0), -ENOTSUP);
	expect_rc((long)number_attached(seg), 0);
	drop(seg);
	return entries();
}

START_TEST(a_place_mounted_noexec_refuses_code_to_all_users_alike)
{
	APART_ON_POSIX;
	SKIP_UNLESS(!emulator(), "qemu-user maps no code as the kernel's");
	expect_ok(apart(noexec, 0));
}
END_TEST

static long create_as_user(long mode)
{
	struct unishm *seg = NULL;
	int rc = unishm_open(&seg, key(0), O_CREAT | O_EXCL, SMALL, (mode_t)mode);
	if (rc == 0)
		expect_rc((long)status_of(seg).owner_group, USER);
	unishm_close(seg);
	return rc;
}

static long setgid_directory(long unused)
{
	struct stat st;
	struct unishm *seg;
	(void)unused;
	expect_ok(place("tmpfs", "mode=3777,gid=5"));
	expect_ok(in_child_as(USER, create_as_user, 0660));
	expect_ok(unishm_open(&seg, key(1), O_CREAT, SMALL, 0600));
	expect_rc((long)status_of(seg).owner_group, 0);
	drop(seg);
	drop(take(0));
	expect(stat("/dev/shm", &st) == 0 && st.st_gid == 5, "the directory changed");
	return entries();
}

START_TEST(a_setgid_directory_does_not_give_its_group)
{
	APART_ON_POSIX;
	expect_ok(apart(setgid_directory, 0));
}
END_TEST

/* A default access list as setfacl writes it: USER may do all, the group nothing. */
static int give_default_list(void)
{
	enum { OWNER = 1, NAMED = 2, GROUP = 4, MASK = 0x10, OTHERS = 0x20 };
	struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} list[5];
	} acl = { 2, { { OWNER, 7, ~0u }, { NAMED, 7, OTHER }, { GROUP, 0, ~0u }, { MASK, 7, ~0u },
			{ OTHERS, 0, ~0u } } };
	return setxattr("/dev/shm", "system.posix_acl_default", &acl, sizeof acl,
			0) < 0 ? -errno : 0;
}

static long attach_to_write(long n)
{
	void *addr;
	struct unishm *seg = NULL;
	int rc = unishm_open(&seg, key((int)n), 0, 0, 0);
	if (rc == 0)
		rc = unishm_attach(seg, 0, &addr);
	unishm_close(seg);
	return rc;
}

static long in_group(long n)
{
	expect(setgid(USER) == 0 && setuid(OTHER + 1) == 0, "errno %d", errno);
	return attach_to_write(n);
}

static long open_it_to_the_group(long unused)
{
	struct unishm *seg = take(0);
	(void)unused;
	expect_ok(unishm_chmod(seg, 0660));
	unishm_close(seg);
	return 0;
}

/* Where the mode gives nothing to the group it gives nothing to a list either, until it changes. */
static long default_list(long unused)
{
	(void)unused;
	expect_ok(place("tmpfs", "mode=1777"));
	int rc = give_default_list();
	if (rc < 0)
		return rc;
	expect_ok(in_child_as(USER, create_as_user, 0600));
	expect_rc(in_child_as(OTHER, attach_to_write, 0), -EACCES);
	expect_ok(in_child_as(USER, open_it_to_the_group, 0));
	expect_rc(in_child_as(OTHER, attach_to_write, 0), -EACCES);
	expect_ok(in_child(in_group, 0));
	drop(take(0));
	expect_ok(in_child_as(USER, create_as_user, 0660));
	expect_rc(in_child_as(OTHER, attach_to_write, 0), -EACCES); /* of no list of ours */
	expect_ok(in_child(in_group, 0));
	drop(take(0));
	return entries();
}

START_TEST(a_default_access_list_of_the_directory_changes_no_rights)
{
	APART_ON_POSIX;
	long rc = apart(default_list, 0);
	SKIP_UNLESS(rc != -EOPNOTSUPP, "this kernel has no access lists here");
	expect_ok(rc);
}
END_TEST

/* ---- Overlay ------------------------------------------------------------------- */

static long overlay(long unused)
{
	struct unishm *seg = NULL;
	(void)unused;
	expect_ok(place("tmpfs", "mode=1777"));
	expect(mkdir("/dev/shm/up", 0755) == 0 && mkdir("/dev/shm/work", 0755) == 0 &&
			mkdir("/dev/shm/low", 0755) == 0, "errno %d", errno);
	if (mount("overlay", "/dev/shm", "overlay", 0,
			"lowerdir=/dev/shm/low,upperdir=/dev/shm/up,workdir=/dev/shm/work") < 0)
		return -errno;
	expect_rc(unishm_open(&seg, key(0), O_CREAT, SMALL, 0600), -ENOTSUP);
	expect(says("overlay"), "%s", unishm_errmsg());
	expect_rc(unishm_open(&seg, UNISHM_PRIVATE, O_CREAT, SMALL, 0600), -ENOTSUP);
	expect(!seg, "a handle");
	expect_rc(try_open(0), -ENOENT);
	return entries();
}

START_TEST(overlayfs_is_refused_at_create_with_the_reason)
{
	APART_ON_POSIX;
	long rc = apart(overlay, 0);
	SKIP_UNLESS(rc != -ENODEV && rc != -EINVAL, "no overlayfs here");
	expect_ok(rc);
}
END_TEST

static void fill(Suite *suite)
{
	TCase *t = group(suite, "places", "native", 120);
	EACH(t, all_works_in_every_place_that_keeps_promises);
	EACH(t, without_inodes_create_fails_with_enospc_and_what_exists_works);
	EACH(t, what_was_created_in_a_small_place_never_raises_sigbus);
	EACH(t, to_bring_in_pages_for_which_there_is_no_room_is_an_error_and_no_signal);
	EACH(t, an_attachment_in_huge_pages_begins_with_one);
	EACH(t, huge_pages_that_cannot_be_had_are_refused);
	EACH(t, a_used_up_quota_is_out_of_room_and_existing_segments_work);
	EACH(t, a_read_only_place_serves_readers_and_says_that_it_is_read_only);
	EACH(t, a_missing_directory_is_said_to_be_missing);
	EACH(t, what_is_open_survives_the_loss_of_the_directory);
	EACH(t, a_place_mounted_noexec_refuses_code_to_all_users_alike);
	EACH(t, a_setgid_directory_does_not_give_its_group);
	EACH(t, a_default_access_list_of_the_directory_changes_no_rights);
	EACH(t, overlayfs_is_refused_at_create_with_the_reason);
}

int main(void)
{
	return harness_main("places", fill);
}
