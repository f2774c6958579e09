/* SPDX-License-Identifier: MIT */
/* Every way in which a call can fail: the errno is the same on both backends, the
 * message says why, nothing has changed, nothing is lost. */
#include "harness.h"

#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { NOBODY = 65534 };

/* ---- The table ----------------------------------------------------------- */

/* Outputs of failing calls: they must stay as they are. */
static struct unishm *out;
static void *out_addr;
static struct unishm_status out_st;

static int open_by(key_t which, int oflag, size_t size, mode_t mode)
{
	return unishm_open(&out, which, oflag, size, mode);
}

static int open_with(size_t struct_size, const char *name, unsigned flags)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.struct_size = struct_size;
	opt.backend = name;
	opt.key = key(1);
	opt.oflag = O_CREAT;
	opt.size = SMALL;
	opt.mode = 0600;
	opt.flags = flags;
	return unishm_open_with(&out, &opt);
}

/* Do @call on a segment that was just removed. */
static int on_gone(int (*call)(struct unishm *seg))
{
	struct unishm *seg = make(2, SMALL, 0600);
	expect_ok(unishm_remove(seg));
	int rc = call(seg);
	char said[600];
	snprintf(said, sizeof said, "%s", unishm_errmsg());
	unishm_close(seg);
	expect(strlen(said) > 0, "no message");
	return rc;
}

static int call_attach(struct unishm *seg)
{
	return unishm_attach(seg, UNISHM_RDONLY, &out_addr);
}

static int call_attach_at(struct unishm *seg)
{
	char *hole = map_area(granularity());
	munmap(hole, granularity());
	return unishm_attach_at(seg, hole, 0, &out_addr);
}

static int call_chmod(struct unishm *seg)
{
	return unishm_chmod(seg, 0640);
}

static int call_chown(struct unishm *seg)
{
	return unishm_chown(seg, geteuid(), getegid());
}

static int call_status(struct unishm *seg)
{
	return unishm_status(seg, &out_st);
}

static int open_id_of_removed(void)
{
	struct unishm *seg = make(2, SMALL, 0600);
	int id = unishm_id(seg);
	drop(seg);
	return unishm_open_id(&out, id);
}

static int detach_twice(struct unishm *seg)
{
	void *addr = attach(seg, 0);
	detach(seg, addr);
	return unishm_detach(seg, addr);
}

static int detach_none(void)
{
	struct unishm *seg = take(0);
	int rc = unishm_detach(seg, NULL);
	unishm_close(seg);
	return rc;
}

static int detach_one_of_two(struct unishm *seg)
{
	void *addr = attach(seg, 0);
	int rc = unishm_detach(seg, NULL);
	detach(seg, addr);
	return rc;
}

static int detach_of_another_handle(struct unishm *seg)
{
	struct unishm *other = take(0);
	void *addr = attach(other, 0);
	int rc = unishm_detach(seg, addr);
	unishm_close(other);
	return rc;
}

static int attach_at_the_stack(struct unishm *seg)
{
	int local;
	return unishm_attach_at(seg, &local, UNISHM_RND, &out_addr);
}

static int ignore(const struct unishm_status *st, void *arg)
{
	(void)st;
	(void)arg;
	return 0;
}

/* Each row is an expression of the fixture: seg has key 0 and SMALL bytes, and is
 * attached once, at `at`. */
#define CALLS(ROW)                                                                               \
	ROW("open", "NULL handle", -EINVAL, unishm_open(NULL, key(1), O_CREAT, SMALL, 0600))     \
	ROW("open", "O_EXCL alone", -EINVAL, open_by(key(1), O_EXCL, SMALL, 0600))               \
	ROW("open", "O_TRUNC", -EINVAL, open_by(key(0), O_CREAT | O_TRUNC, SMALL, 0600))         \
	ROW("open", "high oflag", -EINVAL, open_by(key(1), O_CREAT | 1 << 30, SMALL, 0600))      \
	ROW("open", "all oflag bits", -EINVAL, open_by(key(1), -1, SMALL, 0600))                 \
	ROW("open", "mode with sticky bit", -EINVAL, open_by(key(1), O_CREAT, SMALL, 01600))     \
	ROW("open", "set-id mode", -EINVAL, open_by(key(1), O_CREAT, SMALL, 04755))              \
	ROW("open", "mode of a file type", -EINVAL, open_by(key(1), O_CREAT, SMALL, S_IFREG | 0600)) \
	ROW("open", "mode -1", -EINVAL, open_by(key(1), O_CREAT, SMALL, (mode_t)-1))             \
	ROW("open", "new with size 0", -EINVAL, open_by(key(1), O_CREAT, 0, 0600))               \
	ROW("open", "new and exclusive with size 0", -EINVAL,                                    \
			open_by(key(1), O_CREAT | O_EXCL, 0, 0600))                              \
	ROW("open", "private with size 0", -EINVAL, open_by(UNISHM_PRIVATE, 0, 0, 0600))         \
	ROW("open", "new with all the address space", -EINVAL, open_by(key(1), O_CREAT, SIZE_MAX, 0600)) \
	ROW("open", "new with nearly all of it", -EINVAL, open_by(key(1), O_CREAT, SIZE_MAX - 4095, 0600)) \
	ROW("open", "private with all of it", -EINVAL, open_by(UNISHM_PRIVATE, 0, SIZE_MAX, 0600)) \
	ROW("open", "one byte more than it has", -EINVAL, open_by(key(0), 0, SMALL + 1, 0))      \
	ROW("open", "create, one byte more", -EINVAL, open_by(key(0), O_CREAT, SMALL + 1, 0600)) \
	ROW("open", "far more than it has", -EINVAL, open_by(key(0), 0, SIZE_MAX, 0))            \
	ROW("open", "missing", -ENOENT, open_by(key(1), 0, 0, 0))                                \
	ROW("open", "missing, whatever the size", -ENOENT, open_by(key(1), 0, SIZE_MAX, 0))      \
	ROW("open", "exists", -EEXIST, open_by(key(0), O_CREAT | O_EXCL, SMALL, 0600))           \
	ROW("open", "exists, and larger", -EEXIST, open_by(key(0), O_CREAT | O_EXCL, 2 * SMALL, 0600)) \
	ROW("open_with", "NULL options", -EINVAL, unishm_open_with(&out, NULL))                  \
	ROW("open_with", "struct_size 0", -EINVAL, open_with(0, NULL, 0))                        \
	ROW("open_with", "struct_size too small", -EINVAL,                                       \
			open_with(offsetof(struct unishm_options, id) - 1, NULL, 0))             \
	ROW("open_with", "unknown backend", -EINVAL,                                             \
			open_with(sizeof(struct unishm_options), "no-such", 0))                  \
	ROW("open_with", "empty backend", -EINVAL, open_with(sizeof(struct unishm_options), "", 0)) \
	ROW("open_with", "backend in capitals", -EINVAL,                                         \
			open_with(sizeof(struct unishm_options), "SYSV", 0))                     \
	ROW("open_with", "unknown flag", -EINVAL, open_with(sizeof(struct unishm_options), NULL, 1u << 31)) \
	ROW("open_with", "all flags", -EINVAL, open_with(sizeof(struct unishm_options), NULL, ~0u)) \
	ROW("open_id", "NULL handle", -EINVAL, unishm_open_id(NULL, unishm_id(seg)))             \
	ROW("open_id", "id -1", -EINVAL, unishm_open_id(&out, -1))                               \
	ROW("open_id", "id INT_MIN", -EINVAL, unishm_open_id(&out, INT_MIN))                     \
	ROW("open_id", "unknown id", -ENOENT, unishm_open_id(&out, INT_MAX))                     \
	ROW("open_id", "removed", -ENOENT, open_id_of_removed())                                 \
	ROW("attach", "NULL handle", -EINVAL, unishm_attach(NULL, 0, &out_addr))                 \
	ROW("attach", "NULL address", -EINVAL, unishm_attach(seg, 0, NULL))                      \
	ROW("attach", "unknown flag", -EINVAL, unishm_attach(seg, 1 << 20, &out_addr))           \
	ROW("attach", "all flags", -EINVAL, unishm_attach(seg, -1, &out_addr))                   \
	ROW("attach", "UNISHM_REMAP", -EINVAL, unishm_attach(seg, UNISHM_REMAP, &out_addr))      \
	ROW("attach", "UNISHM_RND", -EINVAL, unishm_attach(seg, UNISHM_RND, &out_addr))          \
	ROW("attach", "removed", -EIDRM, on_gone(call_attach))                                   \
	ROW("attach_at", "NULL handle", -EINVAL, unishm_attach_at(NULL, at, 0, &out_addr))       \
	ROW("attach_at", "NULL result", -EINVAL, unishm_attach_at(seg, at, UNISHM_REMAP, NULL))  \
	ROW("attach_at", "NULL address", -EINVAL, unishm_attach_at(seg, NULL, 0, &out_addr))     \
	ROW("attach_at", "remap NULL", -EINVAL, unishm_attach_at(seg, NULL, UNISHM_REMAP, &out_addr)) \
	ROW("attach_at", "rounds to NULL", -EINVAL,                                              \
			unishm_attach_at(seg, (void *)(uintptr_t)1, UNISHM_RND, &out_addr))      \
	ROW("attach_at", "unaligned", -EINVAL, unishm_attach_at(seg, (char *)at + 1, 0, &out_addr)) \
	ROW("attach_at", "unaligned remap", -EINVAL,                                             \
			unishm_attach_at(seg, (char *)at + 8, UNISHM_REMAP, &out_addr))          \
	ROW("attach_at", "own attachment", -EINVAL, unishm_attach_at(seg, at, 0, &out_addr))     \
	ROW("attach_at", "the stack", -EINVAL, attach_at_the_stack(seg))                         \
	ROW("attach_at", "unknown flag", -EINVAL, unishm_attach_at(seg, at, UNISHM_REMAP | 1 << 9, &out_addr)) \
	ROW("attach_at", "removed", -EIDRM, on_gone(call_attach_at))                             \
	ROW("detach", "NULL handle", -EINVAL, unishm_detach(NULL, at))                           \
	ROW("detach", "never attached", -EINVAL, unishm_detach(seg, &out))                       \
	ROW("detach", "inside of an attachment", -EINVAL, unishm_detach(seg, (char *)at + 1))    \
	ROW("detach", "behind an attachment", -EINVAL, unishm_detach(seg, (char *)at + page_size())) \
	ROW("detach", "twice", -EINVAL, detach_twice(seg))                                       \
	ROW("detach", "NULL and none", -EINVAL, detach_none())                                   \
	ROW("detach", "NULL and two", -EINVAL, detach_one_of_two(seg))                           \
	ROW("detach", "another handle's", -EINVAL, detach_of_another_handle(seg))                \
	ROW("remove", "NULL handle", -EINVAL, unishm_remove(NULL))                               \
	ROW("remove", "gone", -EIDRM, on_gone(unishm_remove))                                    \
	ROW("lock", "NULL handle", -EINVAL, unishm_lock(NULL))                                   \
	ROW("lock", "gone", -EIDRM, on_gone(unishm_lock))                                        \
	ROW("unlock", "NULL handle", -EINVAL, unishm_unlock(NULL))                               \
	ROW("unlock", "gone", -EIDRM, on_gone(unishm_unlock))                                    \
	ROW("chmod", "NULL handle", -EINVAL, unishm_chmod(NULL, 0600))                           \
	ROW("chmod", "more than permission bits", -EINVAL, unishm_chmod(seg, 02600))             \
	ROW("chmod", "mode -1", -EINVAL, unishm_chmod(seg, (mode_t)-1))                          \
	ROW("chmod", "gone", -EIDRM, on_gone(call_chmod))                                        \
	ROW("chown", "NULL handle", -EINVAL, unishm_chown(NULL, 0, 0))                           \
	ROW("chown", "gone", -EIDRM, on_gone(call_chown))                                        \
	ROW("status", "NULL handle", -EINVAL, unishm_status(NULL, &out_st))                      \
	ROW("status", "NULL status", -EINVAL, unishm_status(seg, NULL))                          \
	ROW("status", "gone", -EIDRM, on_gone(call_status))                                      \
	ROW("list", "NULL visitor", -EINVAL, unishm_list(NULL, NULL, NULL))                      \
	ROW("list", "unknown backend", -EINVAL, unishm_list("no-such", ignore, NULL))            \
	ROW("list", "empty backend", -EINVAL, unishm_list("", ignore, NULL))                     \
	ROW("print", "NULL stream", -EINVAL, unishm_print(NULL, &out_st))                        \
	ROW("print", "NULL status", -EINVAL, unishm_print(stdout, NULL))

static struct unishm *fixture;

static int run_row(int number)
{
	struct unishm *seg = fixture;
	int row = 0;
#define RUN(call, cause, code, expression) \
	if (row++ == number)               \
		return (expression);
	CALLS(RUN)
#undef RUN
	return 0;
}

static const struct row {
	const char *call, *cause;
	int code;
} rows[] = {
#define DESCRIBE(call, cause, code, expression) { call, cause, code },
	CALLS(DESCRIBE)
#undef DESCRIBE
};

enum { ROWS = sizeof rows / sizeof *rows };

static void same_status(const struct unishm_status *one, const struct unishm_status *two)
{
	ck_assert_uint_eq(one->number_attached, two->number_attached);
	ck_assert_uint_eq(one->mode, two->mode);
	ck_assert_uint_eq(one->owner_user, two->owner_user);
	ck_assert_int_eq(one->last_change_time, two->last_change_time);
	ck_assert_int_eq(one->removed, two->removed);
	ck_assert_int_eq(one->locked, two->locked);
	ck_assert_int_eq(one->key, two->key);
}

static bool untouched(void)
{
	struct unishm_status poison;
	memset(&poison, 0xa5, sizeof poison);
	return out == (struct unishm *)&out && out_addr == &out_addr &&
			memcmp(&poison, &out_st, sizeof poison) == 0;
}

START_TEST(each_row_of_the_table_is_refused_and_changes_nothing)
{
	begin(_i / ROWS);
	const struct row *row = &rows[_i % ROWS];
	out = (struct unishm *)&out;
	out_addr = &out_addr;
	memset(&out_st, 0xa5, sizeof out_st);
	fixture = make(0, SMALL, 0600);
	at = attach(fixture, 0);
	memset(at, 's', SMALL);
	struct unishm_status before = status_of(fixture);
	int rc = run_row(_i % ROWS);
	char said[600];
	snprintf(said, sizeof said, "%s", unishm_errmsg());
	ck_assert_msg(rc == row->code, "[%s] %s: %s: %d, not %d (%s)", backend(), row->call, row->cause,
			rc, row->code, said);
	ck_assert_msg(untouched(), "[%s] %s: %s: an output was touched", backend(), row->call, row->cause);
	ck_assert_msg(strncmp(said, "cannot ", 7) == 0 && !strchr(said, '\n'), "message: %s", said);
	ck_assert_msg(!strstr(said, " 1 bytes") && !strstr(said, "NULL: an argument"), "message: %s", said);
	struct unishm_status after = status_of(fixture);
	same_status(&before, &after);
	for (int i = 0; i < SMALL; i++)
		ck_assert_int_eq(((char *)at)[i], 's');
	ck_assert_int_eq(try_open(1), -ENOENT);
	drop(fixture);
}
END_TEST

/* ---- Permission ---------------------------------------------------------- */

static long find_message(long unused)
{
	(void)unused;
	return strstr(unishm_errmsg(), "root") != NULL;
}

/* Each message says what was asked, what is the case, and what helps in this case. */
static void says(const char *wanted, const char *unwanted)
{
	const char *said = unishm_errmsg();
	ck_assert_msg(strstr(said, wanted) != NULL, "[%s] \"%s\" is not in: %s", backend(), wanted, said);
	if (unwanted)
		ck_assert_msg(!strstr(said, unwanted), "[%s] \"%s\" is in: %s", backend(), unwanted, said);
}

START_TEST(a_message_gives_no_advice_that_cannot_help)
{
	begin(_i);
	struct unishm *other, *seg = make(0, 1, 0600);
	void *addr;
	expect_rc(unishm_open_id(&other, INT_MAX), -ENOENT);
	says("check id and backend", "O_CREAT");
	expect_rc(unishm_open(&other, key(0), 0, 2, 0), -EINVAL);
	says("it has 1 byte, fewer than the 2 asked for", NULL);
	expect_rc(unishm_open(&other, key(1), O_CREAT, 0, 0600), -EINVAL);
	says("a size of 1 or more", "size 0 opens");
	expect_rc(unishm_detach(seg, NULL), -EINVAL);
	says("this handle has no attachment", "name the address");
	expect_rc(unishm_attach(NULL, 0, &addr), -EINVAL);
	says("an argument is NULL", "out of range");
	char *highest = (char *)(UINTPTR_MAX - UINTPTR_MAX % granularity() - granularity());
	ck_assert_int_lt(unishm_attach_at(seg, highest, 0, &addr), 0);
	says("choose", "ask for less");
	drop(seg);
}
END_TEST

static long find_owner_alone(long unused)
{
	(void)unused;
	return strstr(unishm_errmsg(), "its owner is root") && !strstr(unishm_errmsg(), "mode is");
}

START_TEST(what_only_an_owner_may_do_is_no_matter_of_the_mode)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct agent nobody = agent_start_as(NOBODY);
	struct unishm *seg = make(0, SMALL, 0666);
	expect_rc(ask(&nobody, do_open, 0), 0);
	expect_rc(ask(&nobody, do_remove, 0), -EPERM);
	expect_rc(ask(&nobody, find_owner_alone, 0), 1);
	expect_rc(ask(&nobody, do_chmod, 0600), -EPERM);
	expect_rc(ask(&nobody, find_owner_alone, 0), 1);
	agent_end(&nobody);
	drop(seg);
}
END_TEST

START_TEST(a_message_names_owner_and_mode_of_what_is_refused)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct agent nobody = agent_start_as(NOBODY);
	struct unishm *seg = make(0, SMALL, 0640);
	expect_rc(ask(&nobody, do_open, 0), -EACCES);
	expect_rc(ask(&nobody, find_message, 0), 1);
	ck_assert_ptr_nonnull(strstr(board->said, "rw-r-----"));
	agent_end(&nobody);
	drop(seg);
}
END_TEST

/* As nobody, on a segment of root's with mode 0644. */
#ifndef RLIMIT_AS
#define RLIMIT_AS RLIMIT_DATA /* OpenBSD */
#endif

static const struct {
	const char *call;
	task what;
	long arg;
	int code;
} denied[] = {
	{ "attach", do_attach, 0, -EACCES },
	{ "attach", do_attach, UNISHM_EXEC | UNISHM_RDONLY, -EACCES },
	{ "remove", do_remove, 0, -EPERM },
	{ "chmod", do_chmod, 0666, -EPERM },
	{ "chmod to the same", do_chmod, 0644, -EPERM },
	{ "chown", do_chown, NOBODY, -EPERM },
	{ "lock", do_lock, 0, -EPERM },
	{ "unlock", do_unlock, 0, -EPERM },
	{ "create", do_create, 0, -EEXIST },
};

START_TEST(a_reader_is_refused_with_the_same_errno_everywhere)
{
	begin(_i);
	SKIP_UNLESS(is_root(), "needs root");
	struct agent nobody = agent_start_as(NOBODY);
	struct unishm *seg = make(0, SMALL, 0644);
	struct unishm_status before = status_of(seg);
	expect_ok(ask(&nobody, do_open, 0));
	for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
		bool locks = denied[i].what == do_lock || denied[i].what == do_unlock;
		int code = locks && !can_lock() ? -ENOTSUP : denied[i].code;
		long rc = ask(&nobody, denied[i].what, denied[i].arg);
		ck_assert_msg(rc == code, "%s: %ld, not %d", denied[i].call, rc, code);
		ck_assert_uint_gt(strlen(board->said), 0);
		struct unishm_status after = status_of(seg);
		same_status(&before, &after);
		ck_assert_int_eq(after.last_op_process, 0);
	}
	agent_end(&nobody);
	drop(seg);
}
END_TEST

/* ---- Limits of the process ----------------------------------------------- */

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

/* ---- Objects that are not ours ------------------------------------------- */

static char object[300];

/* The path of the object that segment 0 has. */
static void find_object(void)
{
	struct unishm *seg = make(0, SMALL, 0600);
	const char *path = record_path();
	ck_assert_ptr_nonnull(path);
	snprintf(object, sizeof object, "%s", path);
	drop(seg);
	ck_assert_int_eq(access(object, F_OK), -1);
}

static void put_bytes(const void *bytes, size_t count)
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

/* ---- What dead makers left, and what only looks like it ---------------------- */

static int die_filling(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 1, size);
	raise(SIGKILL);
	return 0;
}

static int wait_filling(void *addr, size_t size, void *arg)
{
	(void)addr, (void)size, (void)arg;
	say_word();
	while (!board->flag)
		sched_yield();
	return 0;
}

static int make_by(unishm_init_fn init, mode_t mode, struct unishm **seg)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(0);
	opt.oflag = O_CREAT;
	opt.size = SMALL;
	opt.mode = mode;
	opt.init = init;
	return unishm_open_with(seg, &opt);
}

static void leave_unfinished(mode_t mode)
{
	struct unishm *seg;
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(make_by(die_filling, mode, &seg) < 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int count_visit(const struct unishm_status *st, void *arg)
{
	ck_assert_int_eq(st->key, key(0));
	++*(int *)arg;
	return 0;
}

static int swept(int flags)
{
	int count = 0;
	expect_ok(unishm_sweep(NULL, flags, count_visit, &count));
	return count;
}

START_TEST(what_a_killed_maker_left_is_removed_by_who_creates_or_sweeps_alone)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "sweeps");
	struct unishm *seg = NULL;
	leave_unfinished(0600);
	ck_assert_int_eq(try_open(0), -ENOENT);
	ck_assert_int_eq(do_list_count(0), 0);
	ck_assert_int_eq(swept(UNISHM_SWEEP_DRY), 1); /* it is still there */
	ck_assert_int_eq(swept(0), 1);
	ck_assert_int_eq(swept(0), 0);
	leave_unfinished(0600);
	drop(make(0, SMALL, 0600)); /* by O_CREAT | O_EXCL */
	leave_unfinished(0600);
	expect_ok(unishm_open(&seg, key(0), O_CREAT, SMALL, 0600));
	ck_assert(unishm_created(seg));
	drop(seg);
}
END_TEST

static long do_take_or_create(long n)
{
	return unishm_open(&mine, key((int)n), O_CREAT, SMALL, 0600);
}

static long make_waiting(long unused)
{
	(void)unused;
	return make_by(wait_filling, 0600, &mine);
}

START_TEST(who_makes_a_segment_is_waited_for_and_not_swept)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "sweeps");
	struct agent maker = agent_start(), agent = agent_start();
	struct pollfd answer = { agent.from, POLLIN, 0 };
	struct unishm *seg = NULL;
	board->flag = 0;
	tell(&maker, make_waiting, 0);
	hear_word(&maker);
	ck_assert_int_eq(try_open(0), -ENOENT);
	ck_assert_int_eq(do_list_count(0), 0);
	ck_assert_int_eq(swept(0), 0);
	ck_assert_int_eq(unishm_open(&seg, key(0), O_CREAT | O_EXCL, SMALL, 0600), -EEXIST);
	tell(&agent, do_take_or_create, 0);
	ck_assert_int_eq(poll(&answer, 1, 50), 0);
	board->flag = 1;
	expect_ok(hear(&maker));
	expect_ok(hear(&agent));
	expect_ok(ask(&agent, do_remove, 0));
	agent_end(&maker);
	agent_end(&agent);
}
END_TEST

START_TEST(who_may_not_sweep_is_told_whose_it_is)
{
	begin(_i);
	SKIP_UNLESS(is_isolated() && on("posix") && can_share(), "is about POSIX objects");
	SKIP_UNLESS(is_root(), "needs root, to be another user");
	struct agent agent = agent_start_as(1);
	leave_unfinished(0666);
	expect_rc(ask(&agent, do_open, 0), -ENOENT);
	expect_rc(ask(&agent, do_take_or_create, 0), -EACCES);
	ck_assert_ptr_nonnull(strstr(board->said, "user 0 was killed"));
	drop(make(0, SMALL, 0600));
	agent_end(&agent);
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
		int refused = is_root() || modes[i / 2] & 0600 ? -EBADMSG : -EACCES;
		ck_assert_int_eq(try_open(0), refused);
		ck_assert_int_eq(unishm_open(&seg, key(0), O_CREAT, SMALL, 0600), refused);
		ck_assert_int_eq(unishm_open(&seg, key(0), O_CREAT | O_EXCL, SMALL, 0600), -EEXIST);
		ck_assert_int_eq(swept(0), 0);
		ck_assert_int_eq(do_list_count(0), 0);
		ck_assert_int_eq(unlink(object), 0);
	}
}
END_TEST

/* Copy the object of a segment, changed, to where it was. */
static char *save_object(size_t *size)
{
	struct unishm *seg = make(0, SMALL, 0600);
	struct stat st;
	ck_assert_int_eq(stat(object, &st), 0);
	char *bytes = malloc((size_t)st.st_size);
	int fd = open(object, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	drop(seg);
	*size = (size_t)st.st_size;
	return bytes;
}

/* Use whatever is there as a program would; it may fail, but not crash. */
static long use_all(long unused)
{
	(void)unused;
	struct unishm_status st;
	void *addr;
	int rc = unishm_open(&mine, key(0), 0, 0, 0);
	if (rc < 0)
		return rc;
	unishm_status(mine, &st);
	unishm_lock(mine);
	unishm_unlock(mine);
	if (unishm_attach(mine, 0, &addr) == 0) {
		unishm_status(mine, &st);
		unishm_detach(mine, addr);
	}
	do_list_count(0);
	unishm_chmod(mine, 0640);
	unishm_remove(mine);
	unishm_close(mine);
	return 0;
}

/* Nothing that a record says may keep a process busy for ever. */
static void use_within(struct agent *agent, size_t offset, unsigned value)
{
	struct pollfd answer = { agent->from, POLLIN, 0 };
	tell(agent, use_all, 0);
	ck_assert_msg(poll(&answer, 1, 2000) == 1, "byte %zu of the record, %#x: it hangs", offset, value);
	hear(agent);
}

START_TEST(a_cut_or_grown_object_is_refused)
{
	begin(_i);
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	size_t size;
	find_object();
	char *bytes = save_object(&size);
	const size_t sizes[] = { 1, SMALL, 4096, size / 2, size - 1, size - 4096 };
	for (int i = 0; i < 6; i++) {
		put_bytes(bytes, sizes[i]);
		ck_assert_int_eq(try_open(0), -EBADMSG);
		ck_assert_int_eq(do_list_count(0), 0);
		unlink(object);
	}
	put_bytes(bytes, size);
	ck_assert_int_eq(truncate(object, (off_t)size + 4096), 0);
	ck_assert_int_eq(try_open(0), -EBADMSG);
	unlink(object);
	free(bytes);
}
END_TEST

START_TEST(no_hostile_record_crashes_anyone)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"), "the record is beside the object here");
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	static const unsigned char values[] = { 0, 0xff, 0x80, 0x01 };
	size_t size, first;
	find_object();
	char *bytes = save_object(&size);
	struct agent agent = agent_start();
	first = size - 192; /* the head of the record, and the first slots before it */
	for (size_t offset = first; offset < size; offset++) {
		for (int i = 0; i < 4; i++) {
			char old = bytes[offset];
			bytes[offset] = (char)values[i];
			put_bytes(bytes, size);
			bytes[offset] = old;
			use_within(&agent, offset - first, values[i]);
			unlink(object);
		}
	}
	for (size_t width = 4; width <= 8; width += 4) { /* whole fields */
		for (size_t offset = first; offset < size; offset += width) {
			char old[8];
			memcpy(old, bytes + offset, width);
			memset(bytes + offset, 0xff, width);
			put_bytes(bytes, size);
			memcpy(bytes + offset, old, width);
			use_within(&agent, offset - first, 0xff);
			unlink(object);
		}
	}
	agent_end(&agent);
	free(bytes);
}
END_TEST

START_TEST(a_newer_record_version_is_enotsup)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"), "the record is beside the object here");
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	size_t size, first;
	find_object();
	char *bytes = save_object(&size);
	for (first = SMALL; first < size && !bytes[first]; first++)
		;
	bytes[first + 8] = 99; /* the version follows 8 bytes of magic */
	bytes[first + 11] = 99;
	put_bytes(bytes, size);
	ck_assert_int_eq(try_open(0), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "version"));
	ck_assert_int_eq(do_list_count(0), 0);
	unlink(object);
	free(bytes);
}
END_TEST

/* The user's own bytes are lost then, but asking must stay safe. */
START_TEST(status_of_an_object_that_was_cut_is_an_error_and_no_signal)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"), "the record is beside the object here");
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	find_object();
	static const off_t sizes[] = { 0, 100, 65536, 70000 };
	for (int attached = 0; attached < 2; attached++) {
		for (int i = 0; i < 4; i++) {
			struct agent agent = agent_start();
			unishm_close(make(0, SMALL, 0600));
			expect_ok(ask(&agent, do_open, 0));
			if (attached)
				expect_ok(ask(&agent, do_attach, 0));
			for (int asked = 0; asked < 4; asked++) {
				if (asked == 1)
					ck_assert_int_eq(truncate(object, sizes[i]), 0);
				long number = ask(&agent, do_number, 0);
				ck_assert_msg((asked && number == -EBADMSG) || number == attached,
						"%d, cut to %ld: %ld", attached, (long)sizes[i], number);
			}
			agent_kill(&agent);
			unlink(object);
		}
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
#endif

static void table_group(Suite *suite)
{
	TCase *t = group(suite, "table", NULL, 15);
	tcase_add_loop_test(t, each_row_of_the_table_is_refused_and_changes_nothing, 0, ROWS * backends());
	t = group(suite, "denied", NULL, 15);
	EACH(t, a_message_gives_no_advice_that_cannot_help);
	EACH(t, what_only_an_owner_may_do_is_no_matter_of_the_mode);
	EACH(t, a_message_names_owner_and_mode_of_what_is_refused);
	EACH(t, a_reader_is_refused_with_the_same_errno_everywhere);
}

static void limit_group(Suite *suite)
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

static void object_group(Suite *suite)
{
#ifdef __linux__
	TCase *t = group(suite, "objects", NULL, 30);
	tcase_add_loop_test(t, what_is_not_ours_under_our_name_is_refused_and_left_alone, 0, FOREIGN * backends());
	EACH(t, what_a_killed_maker_left_is_removed_by_who_creates_or_sweeps_alone);
	EACH(t, who_makes_a_segment_is_waited_for_and_not_swept);
	EACH(t, who_may_not_sweep_is_told_whose_it_is);
	EACH(t, an_empty_object_under_our_name_is_refused_and_left_alone);
	EACH(t, a_cut_or_grown_object_is_refused);
	EACH(t, a_newer_record_version_is_enotsup);
	EACH(t, status_of_an_object_that_was_cut_is_an_error_and_no_signal);
	EACH(t, an_object_unlinked_by_its_name_counts_as_removed_or_lives_on);
	EACH(t, an_object_of_another_program_in_the_datas_place_is_left_alone);
	t = group(suite, "hostile", "native", 60);
	EACH(t, no_hostile_record_crashes_anyone);
#else
	(void)suite;
#endif
}

static void fill(Suite *suite)
{
	table_group(suite);
	limit_group(suite);
	object_group(suite);
}

int main(void)
{
	return harness_main("errors", fill);
}
