/* SPDX-License-Identifier: MIT */
/* Limits of the process and of the system. */
#include "errors.h"

#include <signal.h>
#include <sys/resource.h>

#ifndef RLIMIT_AS
#define RLIMIT_AS RLIMIT_DATA /* OpenBSD */
#endif

/* A task that sets a soft limit. (The type of its name differs between systems.) */
#define LIMITER(task_name, resource)                                        \
	static long task_name(long soft)                                    \
	{                                                                   \
		struct rlimit limit;                                        \
		getrlimit(resource, &limit);                                \
		limit.rlim_cur = (rlim_t)soft;                              \
		return setrlimit(resource, &limit) < 0 ? -errno : 0;        \
	}

LIMITER(set_descriptors, RLIMIT_NOFILE)
LIMITER(set_address_space, RLIMIT_AS)
LIMITER(set_locked_memory, RLIMIT_MEMLOCK)
LIMITER(set_file_size_only, RLIMIT_FSIZE)

static long is_open_in_agent(long unused)
{
	(void)unused;
	return mine != NULL;
}

START_TEST(without_descriptors_open_fails_cleanly_or_needs_none)
{
	begin(_i);
	int want = on("posix") ? -EMFILE : 0;
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, set_descriptors, 0));
	expect_rc(ask(&agent, do_open, 0), want);
	if (want == 0)
		ask(&agent, do_close, 0);
	expect_rc(ask(&agent, is_open_in_agent, 0), 0);
	expect_rc(ask(&agent, do_create, 1), want);
	if (want == 0)
		expect_ok(ask(&agent, do_remove, 0));
	ck_assert_int_eq(try_open(1), -ENOENT);
	long listed = ask(&agent, do_list_count, 0);
	ck_assert_msg(listed == want || listed == 1, "list: %ld", listed);
	expect_ok(ask(&agent, set_descriptors, 256));
	if (want == 0)
		ask(&agent, do_close, 0);
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(without_descriptors_open_handles_keep_their_accounts)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(ask(&agent, set_descriptors, 0));
	long rc = ask(&agent, do_attach, 0);
	ck_assert_msg(rc == 0 || rc == -EMFILE, "attach: %ld", rc);
	ck_assert_uint_eq(number_attached(seg), rc == 0 ? 2 : 1);
	expect_rc(ask(&agent, do_number, 0), rc == 0 ? 2 : 1);
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), rc == 0 ? 1 : 0);
	rc = ask(&agent, do_remove, 0);
	ck_assert_msg(rc == 0 || rc == -EMFILE, "remove: %ld", rc);
	ck_assert_int_eq(try_open(0), rc == 0 ? -ENOENT : 0);
	agent_end(&agent);
	if (rc < 0)
		expect_ok(unishm_remove(seg));
	unishm_close(seg);
}
END_TEST

START_TEST(without_address_space_attach_fails_and_leaves_the_count)
{
	begin(_i);
	SKIP_UNLESS(!is_instrumented(), "runs instrumented");
	SKIP_UNLESS(!emulator(), "qemu-user ignores RLIMIT_AS");
	struct unishm *seg = make(0, 128 << 20, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, set_address_space, 64 << 20));
	expect_rc(ask(&agent, do_attach, 0), -ENOMEM);
	expect_rc(ask(&agent, do_attach, UNISHM_RDONLY), -ENOMEM);
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.number_attached, 0);
	ck_assert_int_eq(st.last_detach_time, 0);
	expect_ok(ask(&agent, set_address_space, 512 << 20));
	expect_ok(ask(&agent, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&agent);
	drop(seg);
}
END_TEST

static long create_a_megabyte(long n)
{
	return unishm_open(&mine, key((int)n), O_CREAT | O_EXCL, 1 << 20, 0600);
}

START_TEST(locks_keep_to_their_limit)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(is_root(), "needs root to become an ordinary user");
	SKIP_UNLESS(!is_instrumented(), "sanitizers lock nothing");
	struct agent owner = agent_start_as(NOBODY);
	expect_ok(ask(&owner, create_a_megabyte, 0));
	expect_ok(ask(&owner, set_locked_memory, 0));
	expect_rc(ask(&owner, do_lock, 0), -EPERM);
	expect_ok(ask(&owner, do_unlock, 0));
	expect_ok(ask(&owner, set_locked_memory, 4096));
	expect_rc(ask(&owner, do_lock, 0), -ENOMEM);
	expect_ok(ask(&owner, do_status, 0));
	ck_assert(!board->st.locked);
	ck_assert_uint_eq(board->st.number_attached, 0);
	expect_ok(ask(&owner, set_locked_memory, 2 << 20));
	expect_ok(ask(&owner, do_lock, 0));
	expect_ok(ask(&owner, do_lock, 0)); /* costs nothing more */
	expect_ok(ask(&owner, do_status, 0));
	ck_assert(board->st.locked);
	expect_ok(ask(&owner, do_unlock, 0));
	expect_ok(ask(&owner, do_lock, 0)); /* unlock gave back what the limit counts */
	expect_ok(ask(&owner, do_remove, 0));
	agent_end(&owner);
}
END_TEST

static long set_file_size(long bytes)
{
	signal(SIGXFSZ, SIG_DFL);
	return set_file_size_only(bytes);
}

START_TEST(beyond_the_file_size_limit_create_fails_without_a_signal)
{
	begin(_i);
	int want = on("posix") ? -EFBIG : 0;
	struct agent agent = agent_start();
	expect_ok(ask(&agent, set_file_size, 4096));
	expect_rc(ask(&agent, create_a_megabyte, 0), want);
	if (want == 0)
		expect_ok(ask(&agent, do_remove, 0));
	ck_assert_int_eq(try_open(0), -ENOENT);
	agent_end(&agent);
	if (is_isolated())
		ck_assert_uint_eq(memory_used(), 0);
}
END_TEST

/* ---- Limits of the system ------------------------------------------------ */

static int open_huge(size_t size)
{
	struct unishm *seg = NULL;
	int rc = unishm_open(&seg, key(0), O_CREAT | O_EXCL, size, 0600);
	unishm_close(seg);
	return rc;
}

START_TEST(what_no_system_has_is_refused_at_create)
{
	begin(_i);
	SKIP_UNLESS(can_reserve(), "macOS cannot set memory aside");
	SKIP_UNLESS(sizeof(size_t) > 4, "needs 64 bits");
	static const int shifts[] = { 46, 50, 62 };
	for (int i = 0; i < 3; i++) {
		int rc = open_huge((size_t)1 << shifts[i]);
		ck_assert_msg(rc == -ENOSPC || rc == -ENOMEM, "2^%d: %d", shifts[i], rc);
		ck_assert_int_eq(try_open(0), -ENOENT);
		ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "cannot "));
	}
	if (is_isolated())
		ck_assert_uint_eq(memory_used(), 0);
}
END_TEST

#ifdef __linux__
/* The limits of our own namespace; 0: cannot. */
static unsigned long set_sysctl(const char *path, unsigned long value)
{
	unsigned long old = 0;
	FILE *file = fopen(path, "r+e");
	if (!file)
		return 0;
	if (fscanf(file, "%lu", &old) == 1) {
		rewind(file);
		fprintf(file, "%lu\n", value);
	}
	fclose(file);
	return old;
}

START_TEST(the_systems_limits_of_system_v_are_told_apart)
{
	begin(_i);
	SKIP_UNLESS(is_root() && is_isolated() && on("sysv"), "needs root and System V");
	static const struct {
		const char *path, *word;
		unsigned long value;
		size_t size;
		int code;
	} limits[] = {
		{ "/proc/sys/kernel/shmmni", "SHMMNI", 1, SMALL, -ENOSPC },
		{ "/proc/sys/kernel/shmall", "SHMALL", 4, 64 << 10, -ENOSPC },
		{ "/proc/sys/kernel/shmmax", "SHMMAX", 4096, 8192, -EINVAL },
	};
	for (int i = 0; i < 3; i++) {
		struct unishm *first = make(1, SMALL, 0600);
		unsigned long old = set_sysctl(limits[i].path, limits[i].value);
		int rc = open_huge(limits[i].size);
		char said[600];
		snprintf(said, sizeof said, "%s", unishm_errmsg());
		set_sysctl(limits[i].path, old);
		ck_assert_uint_ne(old, 0);
		ck_assert_msg(rc == limits[i].code, "%s: %d", limits[i].word, rc);
		ck_assert_msg(strstr(said, limits[i].word) != NULL, "%s: %s", limits[i].word, said);
		ck_assert_int_eq(open_huge(limits[i].size), 0);
		drop(take(0));
		drop(first);
	}
}
END_TEST

START_TEST(a_full_file_system_is_enospc_at_create_and_nothing_is_left)
{
	begin(_i);
	SKIP_UNLESS(can_reserve(), "macOS cannot set memory aside");
	SKIP_UNLESS(is_isolated() && on("posix"), "is about the file system of POSIX objects");
	ck_assert_int_eq(open_huge(300 << 20), -ENOSPC);
	ck_assert_uint_eq(memory_used(), 0);
	struct unishm *seg = make(1, 200 << 20, 0600);
	size_t used = memory_used();
	ck_assert_int_eq(open_huge(100 << 20), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "0x"));
	ck_assert_uint_eq(memory_used(), used);
	ck_assert_int_eq(try_open(0), -ENOENT);
	drop(seg);
	ck_assert_uint_eq(memory_used(), 0);
	ck_assert_int_eq(open_huge(100 << 20), 0);
	drop(take(0));
}
END_TEST

/* Fill it to the last page, by a file of our own. */
static void fill_file_system(void)
{
	int fd = open("/dev/shm/filler", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	char *page = calloc(1, page_size());
	ck_assert_int_ge(fd, 0);
	posix_fallocate(fd, 0, 255 << 20);
	lseek(fd, 0, SEEK_END);
	while (write(fd, page, page_size()) > 0)
		;
	free(page);
	close(fd);
}

START_TEST(on_a_full_file_system_what_exists_keeps_working)
{
	begin(_i);
	SKIP_UNLESS(can_reserve(), "macOS cannot set memory aside");
	SKIP_UNLESS(is_isolated() && on("posix"), "is about the file system of POSIX objects");
	struct agent agent = agent_start();
	struct unishm *seg = make(0, 1 << 20, 0600);
	fill_file_system();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	for (long page = 0; page < 256; page++)
		ask(&agent, do_write, page * 4096); /* reserved: no SIGBUS */
	ck_assert_uint_eq(number_attached(seg), 1);
	long child = ask(&agent, do_fork, 0);
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_ok(ask(&agent, do_reap, child));
	ck_assert_uint_eq(number_attached(seg), 1);
	expect_ok(ask(&agent, do_chmod, 0640));
	expect_ok(ask(&agent, do_detach, 0));
	agent_end(&agent);
	drop(seg);
	unlink("/dev/shm/filler");
}
END_TEST

static long attach_many(long count)
{
	for (long i = 0; i < count; i++) {
		struct unishm *seg;
		void *addr;
		int rc = unishm_open(&seg, key(0), 0, 0, 0);
		if (rc < 0)
			return rc;
		rc = unishm_attach(seg, UNISHM_RDONLY, &addr);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The accounts of many must not need memory that is not there. */
START_TEST(on_a_full_file_system_many_attachers_are_counted_or_refused)
{
	begin(_i);
	SKIP_UNLESS(can_reserve(), "macOS cannot set memory aside");
	SKIP_UNLESS(is_isolated() && on("posix"), "is about the file system of POSIX objects");
	struct agent agent[6];
	struct unishm *seg = make(0, SMALL, 0600);
	unsigned long want = 0;
	for (int i = 0; i < 6; i++)
		agent[i] = agent_start();
	fill_file_system();
	for (int i = 0; i < 6; i++) {
		long rc = ask(&agent[i], attach_many, 200);
		ck_assert_msg(rc == 0, "%ld: %s", rc, board->said);
		want += 200;
		ck_assert_uint_eq(number_attached(seg), want);
	}
	for (int i = 0; i < 6; i++) {
		agent_kill(&agent[i]);
		want -= 200;
		ck_assert_uint_eq(number_attached(seg), want);
	}
	drop(seg);
	unlink("/dev/shm/filler");
}
END_TEST

#endif

void limit_group(Suite *suite)
{
	TCase *t = group(suite, "limits", "native", 30);
	EACH(t, without_descriptors_open_fails_cleanly_or_needs_none);
	EACH(t, without_descriptors_open_handles_keep_their_accounts);
	EACH(t, without_address_space_attach_fails_and_leaves_the_count);
	EACH(t, locks_keep_to_their_limit);
	EACH(t, beyond_the_file_size_limit_create_fails_without_a_signal);
	EACH(t, what_no_system_has_is_refused_at_create);
#ifdef __linux__
	EACH(t, the_systems_limits_of_system_v_are_told_apart);
	EACH(t, a_full_file_system_is_enospc_at_create_and_nothing_is_left);
	EACH(t, on_a_full_file_system_what_exists_keeps_working);
	EACH(t, on_a_full_file_system_many_attachers_are_counted_or_refused);
#endif
}
