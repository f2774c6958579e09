/* SPDX-License-Identifier: MIT */
/* Segments of the shim, which have a name by their id: backends/posix/by_id.h. */
#include "harness.h"

#include <sys/ipc.h>
#include <sys/stat.h>

#include "../core/shim.h"
#include "posix/names.h"
#include "posix/object_sys.h"
#include "sys.h"

static struct unishm_sys real;
static int calls_left; /* before one fails */

static long do_make_by_id(long mode)
{
	return unishm_shim_get(key(0), SMALL, IPC_CREAT | IPC_EXCL | (int)mode) < 0 ? -errno : 0;
}

/* By another process, since the shim keeps a handle. */
static struct unishm *make_by_id(mode_t mode)
{
	struct agent maker = agent_start();
	expect_ok(ask(&maker, do_make_by_id, (long)mode));
	agent_end(&maker);
	return take(0);
}

static mode_t mode_in_directory(void)
{
	struct stat st;
	const char *path = record_path();
	ck_assert_ptr_nonnull(path);
	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* ---- Removal and destruction -------------------------------------------------------- */

static int fstat_without_memory(int fd, struct stat *st)
{
	if (calls_left-- > 0)
		return real.fstat(fd, st);
	errno = ENOMEM;
	return -1;
}

START_TEST(a_removed_segment_that_cannot_be_looked_at_is_not_called_destroyed)
{
	begin(_i);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	struct unishm_status st;
	struct unishm *seg = make_by_id(0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	ck_assert_int_eq(unishm_remove(seg), 0);
	agent_kill(&agent);
	real = unishm_sys;
	unishm_sys.fstat = fstat_without_memory;
	calls_left = 1;
	int rc = unishm_status(seg, &st);
	unishm_sys = real;
	ck_assert_int_eq(rc, 0);
	ck_assert(st.removed && st.number_attached == 0);
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
	ck_assert_ptr_null(only_object());
	unishm_close(seg);
}
END_TEST

static int unlink_but_not_by_key(const char *name)
{
	if (strncmp(name, "/ushm.", 6) != 0)
		return real.shm_unlink(name);
	errno = EIO;
	return -1;
}

START_TEST(a_removal_that_fails_halfway_is_ended_by_the_next_who_looks)
{
	begin(_i);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	struct unishm *seg = make_by_id(0600);
	attach(seg, 0);
	real = unishm_sys;
	unishm_sys.shm_unlink = unlink_but_not_by_key;
	int rc = unishm_remove(seg);
	unishm_sys = real;
	ck_assert_int_eq(rc, -EIO);
	ck_assert_int_eq(try_open(0), -ENOENT);
	ck_assert(status_of(seg).removed);
	detach(seg, NULL);
	unishm_close(seg);
	ck_assert_ptr_null(only_object());
}
END_TEST

/* ---- What says that a segment is removed stays ---------------------------------------- */

static struct agent remover;

static ssize_t pread_after_removal(int fd, void *to, size_t size, off_t at_offset)
{
	unishm_sys.pread = real.pread;
	expect_ok(ask(&remover, do_remove, 0));
	return real.pread(fd, to, size, at_offset);
}

START_TEST(a_removal_during_a_change_of_mode_holds)
{
	begin(_i);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	struct unishm *seg = make_by_id(0600);
	remover = agent_start();
	expect_ok(ask(&remover, do_open, 0));
	expect_ok(ask(&remover, do_attach, 0));
	real = unishm_sys;
	unishm_sys.pread = pread_after_removal;
	int rc = unishm_chmod(seg, 0640);
	unishm_sys = real;
	ck_assert_int_eq(rc, 0);
	ck_assert_int_eq((int)mode_in_directory(), S_ISVTX | 0640);
	ck_assert(status_of(seg).removed);
	agent_end(&remover);
	struct unishm_status st;
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
	unishm_close(seg);
}
END_TEST

static mode_t mode_meanwhile;

static int open_and_change(const char *path, int flags, mode_t mode)
{
	int fd = real.open(path, flags, mode);
	if (strncmp(path, "/proc/self/fd/", 14) == 0)
		expect_ok(fchmod(fd, mode_meanwhile));
	return fd;
}

static const char *borrowed;

static long open_as_owner_during_a_change(long unused)
{
	(void)unused;
	real = unishm_sys;
	unishm_sys.open = open_and_change;
	struct loan loan;
	int fd = ushp_sys_open_as_owner(borrowed, &loan);
	unishm_sys = real;
	int rc = fd < 0 ? fd : ushp_sys_return_mode(fd, &loan);
	return rc < 0 ? rc : close(fd);
}

/* The mode that a file of mode 0040 has after it was opened in its owner's right, if it was
 * changed to @meanwhile at that moment. */
static mode_t mode_after_change_to(mode_t meanwhile)
{
	struct unishm *seg = make_by_id(0040);
	ck_assert_int_eq(unishm_chown(seg, NOBODY, (gid_t)-1), 0);
	char name[OBJECT_NAME_MAX];
	ushp_name_of_key(key(0), name);
	borrowed = name;
	mode_meanwhile = meanwhile;
	struct agent nobody = agent_start_as(NOBODY);
	expect_ok(ask(&nobody, open_as_owner_during_a_change, 0));
	agent_end(&nobody);
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/dev/shm%s", name);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(chmod(path, 0600), 0);
	drop(seg);
	return st.st_mode & 07777;
}

START_TEST(who_opens_in_the_owners_right_undoes_no_change_of_that_moment)
{
	begin(_i);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	SKIP_UNLESS(is_root(), "needs root to become another user");
	ck_assert_int_eq((int)mode_after_change_to(0640), 0040);
	ck_assert_int_eq((int)mode_after_change_to(S_ISVTX | 0640), S_ISVTX | 0040);
	ck_assert_int_eq((int)mode_after_change_to(0604), 0604);
}
END_TEST

enum { MANY = 300 };

static long open_as_owner_often(long unused)
{
	(void)unused;
	for (int i = 0; i < MANY; i++) {
		struct loan loan;
		int fd = ushp_sys_open_as_owner(borrowed, &loan);
		if (fd < 0)
			return fd;
		ushp_sys_return_mode(fd, &loan);
		close(fd);
	}
	return 0;
}

START_TEST(many_who_open_in_the_owners_right_leave_the_mode_as_it_was)
{
	begin(_i);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	SKIP_UNLESS(is_root(), "needs root to become another user");
	struct unishm *seg = make_by_id(0);
	ck_assert_int_eq(unishm_chown(seg, NOBODY, (gid_t)-1), 0);
	char name[OBJECT_NAME_MAX];
	ushp_name_of_key(key(0), name);
	borrowed = name;
	struct agent one = agent_start_as(NOBODY), other = agent_start_as(NOBODY);
	tell(&one, open_as_owner_often, 0);
	expect_ok(ask(&other, open_as_owner_often, 0));
	expect_ok(hear(&one));
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/dev/shm%s", name);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq((int)(st.st_mode & 07777), 0);
	agent_end(&one);
	agent_end(&other);
	ck_assert_int_eq(unishm_chmod(seg, 0600), 0);
	drop(seg);
}
END_TEST

/* ---- A segment that another process removes meanwhile ---------------------------------- */

/* To read is the last that is tried. */
static int refuse_and_remove(int dirfd, const char *path, int flags)
{
	if (!strstr(path, "ushm."))
		return real.openat(dirfd, path, flags);
	if ((flags & O_ACCMODE) == O_RDONLY) {
		unishm_sys.openat = real.openat;
		expect_ok(ask(&remover, do_remove, 0));
	}
	errno = EACCES;
	return -1;
}

/* What shmget() answers if the segment of the key may not be read, and is removed after that. */
static int get_as_it_goes(int flags)
{
	unishm_close(make_by_id(0600));
	remover = agent_start();
	expect_ok(ask(&remover, do_open, 0));
	real = unishm_sys;
	unishm_sys.openat = refuse_and_remove;
	int id = unishm_shim_get(key(0), SMALL, flags), rc = id < 0 ? -errno : 0;
	unishm_sys = real;
	agent_end(&remover);
	if (id >= 0)
		ck_assert_int_eq(unishm_shim_ctl(id, IPC_RMID, NULL, NULL), 0);
	return rc;
}

START_TEST(one_that_may_not_be_read_and_goes_is_in_the_way_of_no_new_one)
{
	begin(_i);
	SKIP_UNLESS(on("posix") && is_isolated(), "is about POSIX objects");
	ck_assert_int_eq(get_as_it_goes(IPC_CREAT | 0600), 0);
	ck_assert_int_eq(get_as_it_goes(0600), -ENOENT);
}
END_TEST

static void fill_suite(Suite *suite)
{
	TCase *t = group(suite, "by id", "native", 30);
	EACH(t, a_removed_segment_that_cannot_be_looked_at_is_not_called_destroyed);
	EACH(t, a_removal_that_fails_halfway_is_ended_by_the_next_who_looks);
	EACH(t, a_removal_during_a_change_of_mode_holds);
	EACH(t, who_opens_in_the_owners_right_undoes_no_change_of_that_moment);
	EACH(t, many_who_open_in_the_owners_right_leave_the_mode_as_it_was);
	EACH(t, one_that_may_not_be_read_and_goes_is_in_the_way_of_no_new_one);
}

int main(void)
{
	return harness_main("by_id", fill_suite);
}
