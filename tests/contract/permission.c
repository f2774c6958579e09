/* SPDX-License-Identifier: MIT */
/* Permissions. */
#include "contract.h"

#include <sys/mman.h>
#include <sys/stat.h>

START_TEST(a_stranger_gets_nothing_of_a_private_mode)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600), *group_only = make(1, SMALL, 0660);
	struct agent nobody = agent_start_as(NOBODY);
	expect_rc(ask(&nobody, do_open, 0), -EACCES);
	expect_rc(ask(&nobody, do_open, 1), -EACCES);
	expect_rc(ask(&nobody, do_open_id, unishm_id(seg)), -EACCES);
	expect_rc(ask(&nobody, create_plainly, 0), -EACCES);
	expect_rc(ask(&nobody, do_create, 0), -EEXIST);
	expect_rc(ask(&nobody, do_list_count, 0), 0);
	agent_end(&nobody);
	drop(group_only);
	drop(seg);
}
END_TEST

START_TEST(a_reader_reads_is_counted_and_changes_nothing)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(is_root(), "needs root");
	struct agent nobody = agent_start_as(NOBODY);
	struct unishm *seg = make(0, SMALL, 0644);
	((char *)attach(seg, 0))[9] = 'r';
	expect_ok(ask(&nobody, do_open, 0));
	expect_rc(ask(&nobody, do_attach, 0), -EACCES);
	expect_ok(ask(&nobody, do_attach, UNISHM_RDONLY));
	expect_rc(ask(&nobody, do_read, 9), 'r');
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_ok(ask(&nobody, do_status, 0));
	ck_assert_uint_eq(board->st.number_attached, 2);
	ck_assert_uint_eq(board->st.owner_user, 0);
	ck_assert_int_eq(board->st.creator_process, getpid());
	expect_rc(ask(&nobody, do_list_count, 0), 1);
	expect_rc(ask(&nobody, do_remove, 0), -EPERM);
	expect_rc(ask(&nobody, do_chmod, 0666), -EPERM);
	expect_rc(ask(&nobody, do_chown, NOBODY), -EPERM);
	expect_rc(ask(&nobody, do_lock, 0), can_lock() ? -EPERM : -ENOTSUP);
	expect_rc(ask(&nobody, do_unlock, 0), can_lock() ? -EPERM : -ENOTSUP);
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_ok(ask(&nobody, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	expect_ok(ask(&nobody, do_attach, UNISHM_RDONLY));
	ck_assert_uint_eq(number_attached(seg), 2);
	agent_kill(&nobody);
	ck_assert_uint_eq(number_attached(seg), 1);
	drop(seg);
}
END_TEST

static long make_writable(long unused)
{
	(void)unused;
	return mprotect(at, page_size(), PROT_READ | PROT_WRITE) < 0 ? -errno : 0;
}

START_TEST(a_reader_cannot_make_an_attachment_writable)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0644);
	struct agent nobody = agent_start_as(NOBODY);
	expect_ok(ask(&nobody, do_open, 0));
	expect_ok(ask(&nobody, do_attach, UNISHM_RDONLY));
	expect_rc(ask(&nobody, make_writable, 0), -EACCES);
	agent_end(&nobody);
	drop(seg);
}
END_TEST

START_TEST(opening_needs_read_permission)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	static const mode_t blind[] = { 0622, 0602, 0611, 0600 };
	for (size_t i = 0; i < 4; i++) {
		struct unishm *seg = make(0, SMALL, blind[i]);
		struct agent nobody = agent_start_as(NOBODY);
		expect_rc(ask(&nobody, do_open, 0), -EACCES);
		expect_rc(ask(&nobody, do_open_id, unishm_id(seg)), -EACCES);
		agent_end(&nobody);
		drop(seg);
	}
}
END_TEST

START_TEST(the_mode_is_judged_when_attaching)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0666);
	struct agent nobody = agent_start_as(NOBODY);
	expect_ok(ask(&nobody, do_open, 0));
	expect_ok(ask(&nobody, do_attach, 0));
	expect_ok(unishm_chmod(seg, 0644));
	ask(&nobody, do_write, 0); /* what is attached keeps working */
	expect_rc(ask(&nobody, do_attach, 0), -EACCES);
	expect_ok(ask(&nobody, do_detach, 0));
	expect_ok(ask(&nobody, do_attach, UNISHM_RDONLY));
	expect_ok(ask(&nobody, do_detach, 0));
	expect_ok(unishm_chmod(seg, 0600));
	expect_rc(ask(&nobody, do_attach, UNISHM_RDONLY), -EACCES);
	expect_rc(ask(&nobody, do_status, 0), -EACCES);
	expect_ok(unishm_chmod(seg, 0666));
	expect_ok(ask(&nobody, do_status, 0));
	expect_ok(ask(&nobody, do_attach, 0));
	agent_end(&nobody);
	drop(seg);
}
END_TEST

START_TEST(a_reader_becomes_a_writer_when_the_mode_allows)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0644);
	struct agent nobody = agent_start_as(NOBODY);
	expect_ok(ask(&nobody, do_open, 0));
	expect_rc(ask(&nobody, do_attach, 0), -EACCES);
	expect_ok(unishm_chmod(seg, 0666));
	expect_ok(ask(&nobody, do_attach, 0));
	ask(&nobody, do_write, 0);
	expect_ok(ask(&nobody, do_detach, 0));
	agent_end(&nobody);
	drop(seg);
}
END_TEST

START_TEST(the_owner_is_judged_by_the_owners_bits)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	SKIP_UNLESS(is_root(), "needs root");
	struct agent owner = agent_start_as(NOBODY), other = agent_start_as(DAEMON);
	expect_ok(ask(&owner, do_create, 0));
	expect_ok(ask(&owner, do_chmod, 0066));
	expect_rc(ask(&owner, do_attach, 0), -EACCES);
	expect_rc(ask(&owner, do_attach, UNISHM_RDONLY), -EACCES);
	expect_rc(ask(&owner, do_status, 0), -EACCES);
	expect_ok(ask(&other, do_open, 0));
	expect_ok(ask(&other, do_attach, 0));
	expect_ok(ask(&owner, do_chmod, 0400));
	expect_rc(ask(&owner, do_attach, 0), -EACCES);
	expect_ok(ask(&owner, do_attach, UNISHM_RDONLY));
	expect_ok(ask(&owner, do_chmod, 0));
	expect_ok(ask(&owner, do_remove, 0));
	expect_ok(ask(&other, do_detach, 0));
	agent_end(&owner);
	agent_end(&other);
}
END_TEST

static long do_join_group(long group_id)
{
	if (setegid((gid_t)group_id) < 0 || seteuid(NOBODY) < 0)
		return -errno;
	return 0;
}

START_TEST(the_group_is_judged_by_its_own_bits)
{
	begin(_i);
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0604), *open_to_group = make(1, SMALL, 0640);
	struct agent member = agent_start(), other = agent_start();
	expect_ok(unishm_chown(seg, (uid_t)-1, 50));
	expect_ok(unishm_chown(open_to_group, (uid_t)-1, 50));
	expect_ok(ask(&member, do_join_group, 50));
	expect_ok(ask(&other, do_join_group, 51));
	/* On System V the creator's group, root's 0, counts as well; neither is in it. */
	expect_rc(ask(&member, do_open, 0), -EACCES);
	expect_ok(ask(&member, do_open, 1));
	expect_ok(ask(&other, do_open, 0));
	expect_rc(ask(&other, do_open, 1), -EACCES);
	agent_kill(&member);
	agent_kill(&other);
	drop(seg);
	drop(open_to_group);
}
END_TEST

START_TEST(chown_gives_the_segment_to_its_new_owner)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent nobody = agent_start_as(NOBODY), other = agent_start_as(DAEMON);
	expect_ok(unishm_chown(seg, NOBODY, DAEMON));
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.owner_user, NOBODY);
	ck_assert_uint_eq(st.owner_group, DAEMON);
	ck_assert_uint_eq(st.creator_user, 0);
	ck_assert_uint_eq(st.creator_group, 0);
	expect_ok(unishm_chown(seg, (uid_t)-1, (gid_t)-1));
	expect_ok(ask(&nobody, do_open, 0));
	expect_ok(ask(&nobody, do_attach, 0));
	expect_ok(ask(&nobody, do_chmod, 0640));
	expect_rc(ask(&other, do_open, 0), 0); /* by its group */
	expect_rc(ask(&other, do_remove, 0), -EPERM);
	ck_assert_uint_eq(status_of(seg).mode, 0640);
	ck_assert_uint_eq(number_attached(seg), 1);
	expect_ok(ask(&nobody, do_remove, 0));
	ck_assert_int_eq(try_open(0), -ENOENT);
	agent_end(&nobody);
	agent_end(&other);
	unishm_close(seg);
}
END_TEST

START_TEST(root_may_do_anything_to_anyones_segment)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(is_root(), "needs root");
	struct agent nobody = agent_start_as(NOBODY);
	expect_ok(ask(&nobody, do_create, 0));
	expect_ok(ask(&nobody, do_chmod, 0));
	struct unishm *seg = take(0);
	attach(seg, 0);
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.owner_user, NOBODY);
	ck_assert_uint_eq(st.creator_user, NOBODY);
	ck_assert_uint_eq(st.owner_group, NOBODY);
	ck_assert_int_eq(st.creator_process, nobody.pid);
	expect_ok(unishm_chmod(seg, 0600));
	expect_rc(unishm_lock(seg), can_lock() ? 0 : -ENOTSUP);
	expect_rc(unishm_unlock(seg), can_lock() ? 0 : -ENOTSUP);
	expect_ok(ask(&nobody, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 2);
	expect_ok(unishm_remove(seg));
	agent_end(&nobody);
	unishm_close(seg);
}
END_TEST

static long do_seteuid(long user)
{
	return seteuid((uid_t)user) < 0 ? -errno : 0;
}

START_TEST(the_effective_user_counts_and_what_is_attached_stays)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(ask(&agent, do_seteuid, NOBODY));
	ask(&agent, do_write, 0);
	expect_rc(ask(&agent, do_status, 0), -EACCES);
	void *before = board->where;
	expect_rc(ask(&agent, do_attach, UNISHM_RDONLY), -EACCES);
	ck_assert_ptr_eq(board->where, before);
	expect_rc(ask(&agent, do_remove, 0), -EPERM);
	expect_rc(ask(&agent, do_chmod, 0666), -EPERM);
	ck_assert_uint_eq(number_attached(seg), 1);
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_uint_eq(number_attached(seg), 0);
	expect_ok(ask(&agent, do_seteuid, 0));
	expect_ok(ask(&agent, do_attach, 0));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(execution_needs_an_execute_bit)
{
	begin(_i);
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	SKIP_UNLESS(is_root(), "needs root");
	struct agent owner = agent_start_as(NOBODY);
	expect_ok(ask(&owner, do_create, 0));
	expect_rc(ask(&owner, do_attach, UNISHM_EXEC), -EACCES);
	expect_rc(ask(&owner, do_attach, UNISHM_EXEC | UNISHM_RDONLY), -EACCES);
	expect_ok(ask(&owner, do_chmod, 0700));
	expect_ok(ask(&owner, do_attach, UNISHM_EXEC | UNISHM_RDONLY));
	expect_ok(ask(&owner, do_remove, 0));
	agent_end(&owner);
}
END_TEST

/* No mode keeps who overrides modes from anything, as on System V. */
START_TEST(root_executes_whatever_the_mode)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct unishm *seg = make(0, SMALL, 0600);
	void *addr;
	expect_ok(unishm_attach(seg, UNISHM_EXEC, &addr));
	expect_ok(unishm_detach(seg, addr));
	drop(seg);
}
END_TEST

static long create_world_readable(long n)
{
	return unishm_open(&mine, key((int)n), O_CREAT | O_EXCL, SMALL, 0666);
}

/* What fs.protected_regular refuses to a naive O_CREAT in a sticky directory. */
START_TEST(open_or_create_finds_the_segments_of_others)
{
	begin(_i);
	SKIP_UNLESS(can_share(), "OpenBSD shares no objects between users");
	SKIP_UNLESS(is_root(), "needs root");
	struct agent nobody = agent_start_as(NOBODY), other = agent_start_as(DAEMON);
	expect_ok(ask(&nobody, create_world_readable, 0));
	expect_ok(ask(&other, create_plainly, 0));
	expect_ok(ask(&other, do_attach, 0));
	struct unishm *seg;
	expect_ok(unishm_open(&seg, key(0), O_CREAT, SMALL, 0600));
	ck_assert(!unishm_created(seg));
	ck_assert_uint_eq(number_attached(seg), 1);
	agent_end(&nobody);
	agent_end(&other);
	drop(seg);
}
END_TEST

START_TEST(a_stranger_cannot_take_a_segment_out_of_the_way)
{
	begin(_i);
	SKIP_UNLESS(is_root() && is_isolated() && on("posix"), "needs root and the POSIX backend");
	struct unishm *seg = make(0, SMALL, 0666);
	struct stat st;
	char path[300];
	const char *name = only_object();
	ck_assert_ptr_nonnull(name);
	snprintf(path, sizeof path, "/dev/shm/%s", name);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0666);
	ck_assert_uint_le(strlen(name), 13);
	drop(seg);
}
END_TEST

/* The data starts at offset 0 of the object, for programs that know only that. */
START_TEST(a_plain_shm_open_sees_the_data_at_offset_0)
{
	begin(_i);
	SKIP_UNLESS(is_isolated() && on("posix"), "is about the POSIX backend");
	struct unishm *seg = make(0, SMALL, 0600);
	memcpy(attach(seg, 0), "hello", 6);
	char name[300], bytes[6];
	snprintf(name, sizeof name, "/%s", only_object());
	int fd = shm_open(name, O_RDONLY, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, bytes, 6, 0), 6);
	ck_assert_str_eq(bytes, "hello");
	close(fd);
	drop(seg);
}
END_TEST

void permission_group(Suite *suite)
{
	/* valgrind asks the kernel about a segment before shmat, which needs rights. */
	TCase *t = group(suite, "permission", "native", 15);
	EACH(t, a_stranger_gets_nothing_of_a_private_mode);
	EACH(t, a_reader_reads_is_counted_and_changes_nothing);
	EACH(t, a_reader_cannot_make_an_attachment_writable);
	EACH(t, opening_needs_read_permission);
	EACH(t, the_mode_is_judged_when_attaching);
	EACH(t, a_reader_becomes_a_writer_when_the_mode_allows);
	EACH(t, the_owner_is_judged_by_the_owners_bits);
	EACH(t, the_group_is_judged_by_its_own_bits);
	EACH(t, chown_gives_the_segment_to_its_new_owner);
	EACH(t, root_may_do_anything_to_anyones_segment);
	EACH(t, the_effective_user_counts_and_what_is_attached_stays);
	EACH(t, execution_needs_an_execute_bit);
	EACH(t, root_executes_whatever_the_mode);
	EACH(t, open_or_create_finds_the_segments_of_others);
	EACH(t, a_stranger_cannot_take_a_segment_out_of_the_way);
	EACH(t, a_plain_shm_open_sees_the_data_at_offset_0);
}
