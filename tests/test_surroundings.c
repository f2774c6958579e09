/* SPDX-License-Identifier: MIT */
/* What a system, a sandbox or an administrator refuses, and when: filters, roots, users, clocks and
 * limits, before a segment is opened and after. */
#include "apart.h"

#include <grp.h>
#include <linux/capability.h>
#include <malloc.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define APART                                                        \
	begin(_i);                                                   \
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces")

/* ---- Filters before ------------------------------------------------------------ */

enum { TMPFILE_BIT = O_TMPFILE & ~O_DIRECTORY };

static const struct filter {
	const char *name;
	int number, which;
	unsigned value;
	bool bits; /* of @value, or the whole argument */
} filters[] = {
	{ "fallocate", SYS_fallocate, 0, 0, true },
	{ "linkat", SYS_linkat, 0, 0, true },
	{ "O_TMPFILE", SYS_openat, 2, TMPFILE_BIT, true },
	{ "faccessat2", SYS_faccessat2, 0, 0, true },
	{ "renameat2", SYS_renameat2, 0, 0, true },
	{ "fremovexattr", SYS_fremovexattr, 0, 0, true },
	{ "ioctl", SYS_ioctl, 0, 0, true },
};
enum { FILTERS = sizeof filters / sizeof *filters };
static const int codes[] = { EPERM, ENOSYS, EACCES };
enum { CODES = sizeof codes / sizeof *codes };

static void set_filter(const struct filter *filter, int code)
{
	int rc = filter->bits ? refuse(filter->number, filter->which, filter->value, code)
			: refuse_equal(filter->number, filter->which, filter->value, code);
	expect(rc == 0, "%s: %d", filter->name, rc);
}

static long use_filtered(long number)
{
	for (int i = 0; i < FILTERS; i++)
		if (number % (1 << FILTERS) >> i & 1)
			set_filter(&filters[i], codes[number >> FILTERS]);
	return use_fully(SMALL);
}

static long try_filters(long unused)
{
	(void)unused;
	for (int code = 0; code < CODES; code++)
		for (int one = 0; one < FILTERS; one++)
			for (int two = 0; two <= one; two++) {
				long set = 1 << one | 1 << two | code << FILTERS;
				if (filters[one].number == SYS_renameat2 &&
						filters[two].number == SYS_linkat)
					continue; /* no way to give a name is left */
				long rc = in_child_as(one & 1 ? USER : 0, use_filtered, set);
				expect(rc == 0, "%s and %s, %s: %ld", filters[one].name,
						filters[two].name,
						strerror(codes[code]), rc);
			}
	return 0;
}

START_TEST(what_a_filter_refuses_is_done_in_another_way)
{
	APART;
	NEEDS_FILTERS;
	expect_ok(apart(try_filters, 0));
}
END_TEST

static long create_without_names(long unused)
{
	struct unishm *seg = NULL;
	(void)unused;
	expect_ok(refuse(SYS_renameat2, 0, 0, EPERM));
	expect_ok(refuse(SYS_linkat, 0, 0, EPERM));
	expect_ok(refuse(SYS_link, 0, 0, EPERM));
	int rc = unishm_open(&seg, key(0), O_CREAT, SMALL, 0600);
	expect(rc < 0 && !seg, "%d", rc);
	expect(strlen(unishm_errmsg()) > 20 && says("sandbox"), "%s", unishm_errmsg());
	return entries();
}

START_TEST(where_no_name_can_be_given_create_fails_and_leaves_nothing)
{
	APART;
	NEEDS_FILTERS;
	SKIP_UNLESS(on("posix"), "System V has no names");
	expect_ok(apart(create_without_names, 0));
}
END_TEST

/* Old sandboxes know no locks of open file descriptions. */
static void refuse_description_locks(void)
{
	for (unsigned command = F_OFD_GETLK; command <= F_OFD_SETLKW; command++) {
		expect_ok(refuse_equal(SYS_fcntl, 1, command, EINVAL));
#ifdef SYS_fcntl64 /* of 32 bits */
		expect_ok(refuse_equal(SYS_fcntl64, 1, command, EINVAL));
#endif
	}
}

static long use_without_description_locks(long unused)
{
	struct unishm *seg = NULL;
	(void)unused;
	refuse_description_locks();
	expect_rc(unishm_open(&seg, key(1), O_CREAT, SMALL, 0600), -ENOTSUP);
	expect(says("locks"), "%s", unishm_errmsg());
	expect_rc(entries(), 1);
	expect_rc(unishm_open(&seg, key(0), 0, 0, 0), -ENOTSUP);
	expect(says("locks"), "%s", unishm_errmsg());
	expect(!seg, "a handle");
	expect_rc(entries(), 1);
	return 0;
}

/* Once the place is known to be good it is not tried again. */
static long attach_without_description_locks(long unused)
{
	void *addr;
	struct unishm *seg = take(0);
	(void)unused;
	refuse_description_locks();
	expect_rc(unishm_attach(seg, 0, &addr), -ENOTSUP);
	expect(says("locks"), "%s", unishm_errmsg());
	unishm_close(seg);
	return 0;
}

static long create_shared(long unused)
{
	struct unishm *seg;
	(void)unused;
	return make_shared(SMALL, &seg);
}

static long without_description_locks(long unused)
{
	(void)unused;
	expect_ok(in_child(create_shared, 0));
	expect_ok(in_child(use_without_description_locks, 0));
	expect_ok(in_child(attach_without_description_locks, 0));
	drop(take(0));
	return 0;
}

START_TEST(without_locks_of_descriptions_segments_are_refused_with_the_reason)
{
	APART;
	NEEDS_FILTERS;
	SKIP_UNLESS(on("posix"), "is about locks");
	expect_ok(apart(without_description_locks, 0));
}
END_TEST

/* ---- Later: after something was given up --------------------------------------- */

static void refuse_all_opens(void)
{
	expect_ok(refuse(SYS_openat, 0, 0, EPERM));
#ifdef SYS_open
	expect_ok(refuse(SYS_open, 0, 0, EPERM));
#endif
	expect_ok(refuse(SYS_openat2, 0, 0, EPERM));
}

static void enter_empty_root(void)
{
	empty_tmp();
	expect(chroot("/tmp") == 0 && chdir("/") == 0, "errno %d", errno);
}

static void hide_objects(void)
{
	expect(unshare(CLONE_NEWNS) == 0, "errno %d", errno);
	expect_ok(place("tmpfs", "mode=1777"));
	drop(make(5, SMALL, 0600)); /* so the library knows the new place, too */
	unishm_close(make(0, SMALL, 0600)); /* and a stranger has the name */
}

static void hide_proc(void)
{
	expect(mount("tmpfs", "/proc", "tmpfs", 0, NULL) == 0, "errno %d", errno);
}

static void become_nobody(void)
{
	expect_ok(do_become(NOBODY));
}

/* Landlock, version 1: nothing may be opened, made or removed any more. */
static void enter_landlock(void)
{
	const struct {
		uint64_t handled;
	} rules = { 0x1fff };
	long fd = syscall(444, &rules, sizeof rules, 0);
	if (fd < 0)
		return;
	expect(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "errno %d", errno);
	expect(syscall(446, fd, 0) == 0, "errno %d", errno);
	close((int)fd);
}

static const struct loss {
	const char *name;
	void (*happen)(void);
	bool may_attach; /* afterwards, as well as before */
	bool may_remove;
} losses[] = {
	{ "no more opens", refuse_all_opens, true, true },
	{ "an empty root", enter_empty_root, true, true },
	{ "another /dev/shm", hide_objects, true, false },
	{ "no /proc", hide_proc, true, true },
	{ "another user", become_nobody, false, false },
	{ "Landlock", enter_landlock, true, false },
	{ "no locks of descriptions", refuse_description_locks, false, false },
};
enum { LOSSES = sizeof losses / sizeof *losses };

/* A call may fail, with a reason that is none of "the program closed it". */
static bool works(const struct loss *loss, const char *call, long rc, bool must)
{
	if (rc == 0)
		return true;
	expect(!must, "%s after %s: %ld, %s", call, loss->name, rc, unishm_errmsg());
	expect(!says("closed by the program") && !says("was removed"), "%s after %s: %ld, %s", call,
			loss->name, rc, unishm_errmsg());
	return false;
}

static void fork_after(const struct loss *loss, struct unishm *seg)
{
	struct unishm_status st;
	int status;
	pid_t child = fork();
	if (child == 0) {
		if (unishm_status(seg, &st) == 0)
			expect(st.number_attached == (unsigned long)board->words[0] || st.inexact,
					"fork after %s: %lu", loss->name, st.number_attached);
		unishm_close(seg);
		_exit(0);
	}
	expect(child > 0 && waitpid(child, &status, 0) == child && status == 0,
			"fork after %s: %#x",
			loss->name, (unsigned)status);
}

/* As many as there are; or it is said that the number may be off. */
static void expect_number(const struct loss *loss, struct unishm *seg, unsigned long want)
{
	struct unishm_status st;
	if (works(loss, "status", unishm_status(seg, &st), loss->may_attach))
		expect(st.number_attached == want || st.inexact, "status after %s: %lu, not %lu",
				loss->name, st.number_attached, want);
}

static long lose(long which)
{
	const struct loss *loss = &losses[which];
	struct unishm *seg = take(0);
	void *more;
	unsigned long number = 1;
	char *first = attach(seg, 0);
	memset(first, 'l', SMALL);
	loss->happen();
	if (works(loss, "attach", unishm_attach(seg, 0, &more), loss->may_attach))
		number++;
	if (works(loss, "attach read-only", unishm_attach(seg, UNISHM_RDONLY, &more),
			loss->may_attach))
		number++;
	expect_number(loss, seg, number);
	board->words[0] = 2 * (long)number;
	fork_after(loss, seg);
	expect_number(loss, seg, number);
	works(loss, "lock", unishm_lock(seg), false);
	works(loss, "detach", unishm_detach(seg, first), true);
	expect_number(loss, seg, number - 1);
	board->count = unishm_remove(seg);
	works(loss, "remove", board->count, loss->may_remove);
	if (number > 1)
		expect(are_all(more, SMALL, 'l'), "bytes were lost after %s", loss->name);
	unishm_close(seg);
	return 0;
}

/* Seen from outside: the truth. */
static long survive_loss(long which)
{
	struct unishm *seg = make(0, SMALL, 0600);
	struct helper other = helper_start(do_open, 0);
	expect_ok(in_child(lose, which));
	struct unishm_status st = { 0 };
	int rc = unishm_status(seg, &st);
	if (board->count == 0) {
		expect_rc(rc, -EIDRM);
		expect_rc(try_open(0), -ENOENT);
	} else {
		expect(rc == 0 && !st.removed && st.number_attached == 0, "%s: %d, removed %d, %lu",
				losses[which].name, rc, st.removed, st.number_attached);
		expect_rc(try_open(0), 0);
		expect_ok(unishm_remove(seg));
	}
	helper_kill(&other);
	unishm_close(seg);
	return 0;
}

START_TEST(a_handle_keeps_working_after_a_loss_or_says_the_true_reason)
{
	begin(_i / LOSSES);
	SKIP_UNLESS(can_be_apart(), "needs root and namespaces");
	const struct loss *loss = &losses[_i % LOSSES];
	SKIP_UNLESS(on("posix") || (loss->happen != refuse_description_locks &&
			loss->happen != hide_objects),
			"is about POSIX objects");
	if (loss->happen == refuse_all_opens || loss->happen == refuse_description_locks)
		NEEDS_FILTERS;
	SKIP_UNLESS(loss->happen != enter_landlock || syscall(444, NULL, 0, 1) > 0,
			"no Landlock here");
	expect_ok(apart(survive_loss, _i % LOSSES));
}
END_TEST

/* ---- Removal where the name cannot be seen ------------------------------------- */

static long remove_elsewhere(long unused)
{
	struct unishm *seg = take(0);
	(void)unused;
	expect(unshare(CLONE_NEWNS) == 0, "errno %d", errno);
	expect_ok(place("tmpfs", "mode=1777"));
	struct unishm *stranger = make(0, 2 * SMALL, 0600);
	long rc = unishm_remove(seg);
	expect(rc < 0 && says("namespace"), "%ld: %s", rc, unishm_errmsg());
	expect(!status_of(seg).removed, "marked as removed");
	attach(seg, 0); /* it lives */
	expect_rc(try_open(0), 0);
	drop(stranger);
	unishm_close(seg);
	return 0;
}

static long see_it_live(long unused)
{
	(void)unused;
	struct unishm *seg = make(0, SMALL, 0600);
	expect_ok(in_child(remove_elsewhere, 0));
	expect(!status_of(seg).removed, "removed");
	expect_rc(try_open(0), 0);
	attach(seg, 0);
	drop(seg);
	return 0;
}

START_TEST(remove_in_another_mount_namespace_removes_no_strangers_segment)
{
	APART;
	SKIP_UNLESS(on("posix"), "System V has no names");
	expect_ok(apart(see_it_live, 0));
}
END_TEST

/* ---- Users --------------------------------------------------------------------- */

enum { GROUPS = 300, FIRST_GROUP = 20000 };

static long join_groups(void)
{
	gid_t groups[GROUPS];
	for (int i = 0; i < GROUPS; i++)
		groups[i] = (gid_t)(FIRST_GROUP + i);
	expect(setgroups(GROUPS, groups) == 0, "errno %d", errno);
	expect(setgid(USER) == 0 && setuid(USER) == 0, "errno %d", errno);
	return 0;
}

static long use_by_last_group(long unused)
{
	(void)unused;
	join_groups();
	struct unishm *seg = take(0);
	attach(seg, 0);
	expect_rc((long)number_attached(seg), 1);
	expect_rc(unishm_remove(seg), -EPERM);
	unishm_close(seg);
	return 0;
}

START_TEST(a_user_in_many_groups_has_the_rights_of_each)
{
	APART;
	struct unishm *seg = make(0, SMALL, 0660);
	expect_ok(unishm_chown(seg, (uid_t)-1, FIRST_GROUP + GROUPS - 1));
	expect_ok(apart(use_by_last_group, 0));
	drop(seg);
}
END_TEST

/* Who has nothing but the right to read: all else is refused, and nothing has changed. */
static void be_refused(void)
{
	struct unishm *seg = take(0);
	struct unishm_status before = status_of(seg);
	void *addr;
	attach(seg, UNISHM_RDONLY);
	expect_rc(unishm_attach(seg, 0, &addr), -EACCES);
	expect_rc(unishm_lock(seg), -EPERM);
	expect_rc(unishm_unlock(seg), -EPERM);
	expect_rc(unishm_chmod(seg, 0666), -EPERM);
	expect_rc(unishm_remove(seg), -EPERM);
	struct unishm_status after = status_of(seg);
	expect_rc((long)after.number_attached, 1);
	expect(after.mode == before.mode && !after.removed && !after.locked, "changed");
	unishm_close(seg);
	struct unishm *hidden = NULL;
	expect_rc(unishm_open(&hidden, key(1), 0, 0, 0), -EACCES);
}

static void use_own(void)
{
	struct unishm *own = make(2, SMALL, 0600);
	attach(own, 0);
	expect_ok(unishm_chmod(own, 0640));
	use_with_child(own);
	drop(own);
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return done;
}

/* Root there, a user here; of others it sees no names. */
static long as_root_of_a_namespace(long unused)
{
	(void)unused;
	expect(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "errno %d", errno);
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	expect(write_text("/proc/self/uid_map", "0 1000 1") && write_text("/proc/self/setgroups",
			"deny") &&
			write_text("/proc/self/gid_map", "0 1000 1"), "errno %d", errno);
	expect(geteuid() == 0, "not root");
	be_refused();
	use_own();
	return 0;
}

static long without_capabilities(long unused)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2];
	(void)unused;
	memset(none, 0, sizeof none);
	expect(setgroups(0, NULL) == 0, "errno %d", errno);
	expect(syscall(SYS_capset, &header, none) == 0, "errno %d", errno);
	be_refused();
	use_own();
	return 0;
}

/* Made by another user: on System V the creator keeps rights. */
static void make_others(struct unishm *segs[2])
{
	struct agent other = agent_start_as(OTHER);
	expect_ok(ask(&other, do_create, 1));
	expect_ok(ask(&other, do_create, 0));
	expect_ok(ask(&other, do_chmod, 0644));
	agent_end(&other);
	for (int i = 0; i < 2; i++)
		segs[i] = take(i);
}

START_TEST(root_of_a_user_namespace_has_no_rights_over_others)
{
	APART;
	SKIP_UNLESS(!emulator(), "qemu-user has threads, so it enters no user namespace");
	struct unishm *segs[2];
	make_others(segs);
	struct agent agent = agent_start();
	long rc = ask(&agent, do_become, USER);
	rc = rc < 0 ? rc : ask(&agent, as_root_of_a_namespace, 0);
	agent_end(&agent);
	drop(segs[0]);
	drop(segs[1]);
	SKIP_UNLESS(rc != -EPERM && rc != -ENOSPC, "no user namespaces here");
	expect_ok(rc);
}
END_TEST

START_TEST(root_without_capabilities_has_no_rights_over_others)
{
	APART;
	struct unishm *segs[2];
	make_others(segs);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, without_capabilities, 0));
	agent_end(&agent);
	drop(segs[0]);
	drop(segs[1]);
}
END_TEST

/* ---- Clocks -------------------------------------------------------------------- */

enum { DAY = 86400 };

/* Without the header, which has none: CLONE_NEWTIME. */
static long enter_time_namespace(void)
{
	const char *offsets = "monotonic 86400 0\nboottime 86400 0\n";
	return unshare(0x80) < 0 ? -errno : write_text("/proc/self/timens_offsets",
			offsets) ? 0 : -EPERM;
}

static long attach_and_leave(long unused)
{
	(void)unused;
	struct unishm *seg = take(0);
	attach(seg, 0);
	attach(seg, UNISHM_RDONLY);
	expect_rc((long)number_attached(seg), 2 + board->words[2]);
	unishm_close(seg);
	board->words[3] = getpid();
	return 0;
}

static void expect_last(struct unishm *seg, pid_t pid, time_t start)
{
	struct unishm_status st = status_of(seg);
	expect(st.last_op_process == pid, "%ld, not %ld", (long)st.last_op_process, (long)pid);
	expect(since(start, st.last_attach_time), "attached at %ld", (long)st.last_attach_time);
}

static long in_time_namespace(long unused)
{
	(void)unused;
	time_t start = time(NULL);
	struct unishm *seg = make(0, SMALL, 0600);
	long rc = enter_time_namespace();
	if (rc == 0) {
		expect_ok(in_child(attach_and_leave, 0));
		expect_last(seg, (pid_t)board->words[3], start);
		attach(seg, 0);
		expect_last(seg, getpid(), start);
		expect_ok(unishm_detach(seg, NULL));
		expect_ok(in_child(attach_and_leave, 0));
		expect_last(seg, (pid_t)board->words[3], start);
	}
	drop(seg);
	return rc;
}

START_TEST(who_was_the_last_does_not_depend_on_a_clock_that_namespaces_shift)
{
	APART;
	long rc = apart(in_time_namespace, 0);
	SKIP_UNLESS(rc == 0, "no time namespaces here");
}
END_TEST

/* A clock of this program alone; what the library asks goes by it, too. */
static long shift;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, now);
	now->tv_sec += shift;
	return rc;
}

static long read_by_clock(long seconds)
{
	shift = seconds;
	mine = take(0);
	for (int i = 0; i < 3; i++)
		attach(mine, UNISHM_RDONLY);
	return 0;
}

static long count_by_clocks(long unused)
{
	static const long shifts[] = { 0, DAY, -DAY, 40L * 365 * DAY, -60L * 365 * DAY, 1 };
	struct helper readers[6];
	(void)unused;
	struct unishm *seg = make(0, SMALL, 0644);
	for (int i = 0; i < 6; i++) {
		readers[i] = helper_start_as(USER, read_by_clock, shifts[i]);
		expect_rc((long)number_attached(seg), 3 * (i + 1));
	}
	for (int i = 0; i < 6; i++) {
		helper_kill(&readers[i]);
		expect_rc((long)number_attached(seg), 3 * (5 - i));
	}
	drop(seg);
	return 0;
}

START_TEST(readers_whose_clocks_disagree_are_counted)
{
	APART;
	SKIP_UNLESS(sizeof(time_t) > 4, "the syscall has another struct");
	expect_ok(apart(count_by_clocks, 0));
}
END_TEST

static void fill(Suite *suite)
{
	TCase *t = group(suite, "filters", "native", 120);
	EACH(t, what_a_filter_refuses_is_done_in_another_way);
	EACH(t, where_no_name_can_be_given_create_fails_and_leaves_nothing);
	EACH(t, without_locks_of_descriptions_segments_are_refused_with_the_reason);
	t = group(suite, "losses", "native", 120);
	tcase_add_loop_test(t, a_handle_keeps_working_after_a_loss_or_says_the_true_reason, 0,
			LOSSES * backends());
	EACH(t, remove_in_another_mount_namespace_removes_no_strangers_segment);
	t = group(suite, "users", "native", 120);
	EACH(t, a_user_in_many_groups_has_the_rights_of_each);
	EACH(t, root_of_a_user_namespace_has_no_rights_over_others);
	EACH(t, root_without_capabilities_has_no_rights_over_others);
	t = group(suite, "clocks", "native", 120);
	EACH(t, who_was_the_last_does_not_depend_on_a_clock_that_namespaces_shift);
	EACH(t, readers_whose_clocks_disagree_are_counted);
}

int main(void)
{
	return harness_main("surroundings", fill);
}
