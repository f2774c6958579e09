/* SPDX-License-Identifier: MIT */
/* The table of calls that are refused for their arguments. */
#include "errors.h"

#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

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
	ROW("open", "mode of a file type", -EINVAL,                                              \
			open_by(key(1), O_CREAT, SMALL, S_IFREG | 0600))                         \
	ROW("open", "mode -1", -EINVAL, open_by(key(1), O_CREAT, SMALL, (mode_t)-1))             \
	ROW("open", "new with size 0", -EINVAL, open_by(key(1), O_CREAT, 0, 0600))               \
	ROW("open", "new and exclusive with size 0", -EINVAL,                                    \
			open_by(key(1), O_CREAT | O_EXCL, 0, 0600))                              \
	ROW("open", "private with size 0", -EINVAL, open_by(UNISHM_PRIVATE, 0, 0, 0600))         \
	ROW("open", "new with all the address space", -EINVAL,                                   \
			open_by(key(1), O_CREAT, SIZE_MAX, 0600))                                \
	ROW("open", "new with nearly all of it", -EINVAL,                                        \
			open_by(key(1), O_CREAT, SIZE_MAX - 4095, 0600))                         \
	ROW("open", "private with all of it", -EINVAL,                                           \
			open_by(UNISHM_PRIVATE, 0, SIZE_MAX, 0600))                              \
	ROW("open", "one byte more than it has", -EINVAL, open_by(key(0), 0, SMALL + 1, 0))      \
	ROW("open", "create, one byte more", -EINVAL, open_by(key(0), O_CREAT, SMALL + 1, 0600)) \
	ROW("open", "far more than it has", -EINVAL, open_by(key(0), 0, SIZE_MAX, 0))            \
	ROW("open", "missing", -ENOENT, open_by(key(1), 0, 0, 0))                                \
	ROW("open", "missing, whatever the size", -ENOENT, open_by(key(1), 0, SIZE_MAX, 0))      \
	ROW("open", "exists", -EEXIST, open_by(key(0), O_CREAT | O_EXCL, SMALL, 0600))           \
	ROW("open", "exists, and larger", -EEXIST,                                               \
			open_by(key(0), O_CREAT | O_EXCL, 2 * SMALL, 0600))                      \
	ROW("open_with", "NULL options", -EINVAL, unishm_open_with(&out, NULL))                  \
	ROW("open_with", "struct_size 0", -EINVAL, open_with(0, NULL, 0))                        \
	ROW("open_with", "struct_size too small", -EINVAL,                                       \
			open_with(offsetof(struct unishm_options, id) - 1, NULL, 0))             \
	ROW("open_with", "unknown backend", -EINVAL,                                             \
			open_with(sizeof(struct unishm_options), "no-such", 0))                  \
	ROW("open_with", "empty backend", -EINVAL,                                               \
			open_with(sizeof(struct unishm_options), "", 0))                         \
	ROW("open_with", "backend in capitals", -EINVAL,                                         \
			open_with(sizeof(struct unishm_options), "SYSV", 0))                     \
	ROW("open_with", "unknown flag", -EINVAL,                                                \
			open_with(sizeof(struct unishm_options), NULL, 1u << 31))                \
	ROW("open_with", "all flags", -EINVAL,                                                   \
			open_with(sizeof(struct unishm_options), NULL, ~0u))                     \
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
	ROW("attach_at", "remap NULL", -EINVAL,                                                  \
			unishm_attach_at(seg, NULL, UNISHM_REMAP, &out_addr))                    \
	ROW("attach_at", "rounds to NULL", -EINVAL,                                              \
			unishm_attach_at(seg, (void *)(uintptr_t)1, UNISHM_RND, &out_addr))      \
	ROW("attach_at", "unaligned", -EINVAL,                                                   \
			unishm_attach_at(seg, (char *)at + 1, 0, &out_addr))                     \
	ROW("attach_at", "unaligned remap", -EINVAL,                                             \
			unishm_attach_at(seg, (char *)at + 8, UNISHM_REMAP, &out_addr))          \
	ROW("attach_at", "own attachment", -EINVAL, unishm_attach_at(seg, at, 0, &out_addr))     \
	ROW("attach_at", "the stack", -EINVAL, attach_at_the_stack(seg))                         \
	ROW("attach_at", "unknown flag", -EINVAL,                                                \
			unishm_attach_at(seg, at, UNISHM_REMAP | 1 << 9, &out_addr))             \
	ROW("attach_at", "removed", -EIDRM, on_gone(call_attach_at))                             \
	ROW("detach", "NULL handle", -EINVAL, unishm_detach(NULL, at))                           \
	ROW("detach", "never attached", -EINVAL, unishm_detach(seg, &out))                       \
	ROW("detach", "inside of an attachment", -EINVAL, unishm_detach(seg, (char *)at + 1))    \
	ROW("detach", "behind an attachment", -EINVAL,                                           \
			unishm_detach(seg, (char *)at + page_size()))                            \
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
#define RUN(call, cause, code, expression)                                                       \
	if (row++ == number)                                                                     \
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
	ck_assert_msg(rc == row->code, "[%s] %s: %s: %d, not %d (%s)", backend(), row->call,
			row->cause, rc, row->code, said);
	ck_assert_msg(untouched(), "[%s] %s: %s: an output was touched", backend(), row->call,
			row->cause);
	ck_assert_msg(strncmp(said, "cannot ", 7) == 0 && !strchr(said, '\n'), "message: %s", said);
	ck_assert_msg(!strstr(said, " 1 bytes") && !strstr(said, "NULL: an argument"),
			"message: %s", said);
	struct unishm_status after = status_of(fixture);
	same_status(&before, &after);
	for (int i = 0; i < SMALL; i++)
		ck_assert_int_eq(((char *)at)[i], 's');
	ck_assert_int_eq(try_open(1), -ENOENT);
	drop(fixture);
}
END_TEST

void table_group(Suite *suite)
{
	TCase *t = group(suite, "table", NULL, 15);
	tcase_add_loop_test(t, each_row_of_the_table_is_refused_and_changes_nothing, 0,
			ROWS * backends());
}
