/* SPDX-License-Identifier: MIT */
/* The calls of the contract one by one: what each does, changes and leaves alone. */
#include "harness.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { NOBODY = 65534, DAEMON = 1 };

/* ---- Create and open ----------------------------------------------------- */

START_TEST(create_gives_exactly_the_size_asked_for)
{
	begin(_i);
	size_t sizes[] = { 1, 100, page_size() - 1, page_size(), page_size() + 1, 1000003 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct unishm *seg = make(0, sizes[i], 0600);
		ck_assert_uint_eq(unishm_size(seg), sizes[i]);
		ck_assert_uint_eq(status_of(seg).size, sizes[i]);
		drop(seg);
	}
}
END_TEST

static bool all_are(const char *bytes, size_t count, char value)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

START_TEST(new_bytes_read_as_zero)
{
	begin(_i);
	struct unishm *seg = make(0, 300000, 0600);
	char *addr = attach(seg, 0);
	ck_assert(all_are(addr, 300000, 0));
	memset(addr, 'x', 300000);
	drop(seg);
	seg = make(0, 300000, 0600);
	ck_assert(all_are(attach(seg, UNISHM_RDONLY), 300000, 0));
	drop(seg);
}
END_TEST

START_TEST(bytes_to_the_end_of_the_page_are_the_segments_too)
{
	begin(_i);
	struct unishm *seg = make(0, 100, 0600);
	char *one = attach(seg, 0), *two = attach(seg, 0);
	ck_assert(all_are(one, page_size(), 0));
	memset(one, 'x', page_size());
	ck_assert(all_are(two, page_size(), 'x'));
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.size, 100);
	ck_assert_uint_eq(st.number_attached, 2);
	ck_assert_int_eq(st.creator_process, getpid());
	ck_assert_int_eq(try_open(0), 0);
	drop(seg);
}
END_TEST

START_TEST(a_new_segment_has_the_status_of_its_creator)
{
	begin(_i);
	time_t start = time(NULL);
	struct unishm *seg = make(0, SMALL, 0640);
	struct unishm_status st = status_of(seg);
	ck_assert_str_eq(st.backend, backend());
	ck_assert_str_eq(unishm_backend(seg), backend());
	ck_assert_int_ge(st.id, 0);
	ck_assert_int_eq(st.id, unishm_id(seg));
	ck_assert_int_eq(st.key, key(0));
	ck_assert_uint_eq(st.mode, 0640);
	ck_assert_uint_eq(st.number_attached, 0);
	ck_assert_int_eq(st.creator_process, getpid());
	ck_assert_int_eq(st.last_op_process, 0);
	ck_assert_int_eq(st.last_attach_time, 0);
	ck_assert_int_eq(st.last_detach_time, 0);
	ck_assert(since(start, st.last_change_time));
	ck_assert_uint_eq(st.creator_user, geteuid());
	ck_assert_uint_eq(st.owner_user, geteuid());
	ck_assert_uint_eq(st.creator_group, getegid());
	ck_assert_uint_eq(st.owner_group, getegid());
	ck_assert(!st.locked);
	ck_assert(!st.removed);
	drop(seg);
}
END_TEST

START_TEST(what_is_inexact_is_emulated_and_system_v_emulates_nothing)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.inexact & ~st.emulated, 0);
	ck_assert_uint_eq(st.inexact & UNISHM_EMULATED_NUMBER_ATTACHED, 0);
	if (on("sysv"))
		ck_assert_uint_eq(st.emulated, 0);
	else
		ck_assert_uint_ne(st.emulated & UNISHM_EMULATED_NUMBER_ATTACHED, 0);
	drop(seg);
}
END_TEST

START_TEST(create_applies_every_mode_exactly)
{
	begin(_i);
	for (mode_t mode = 0; mode <= 0777; mode++) {
		struct unishm *seg = make(0, 1, mode);
		mode_t got = is_root() ? status_of(seg).mode : mode;
		ck_assert_msg(got == mode, "%#o became %#o", (unsigned)mode, (unsigned)got);
		drop(seg);
	}
}
END_TEST

START_TEST(create_ignores_the_umask_and_leaves_it_alone)
{
	begin(_i);
	static const mode_t masks[] = { 0777, 077, 022, 0 };
	mode_t before = umask(022);
	for (size_t i = 0; i < 4; i++) {
		umask(masks[i]);
		struct unishm *seg = make(0, SMALL, 0664);
		mode_t got = status_of(seg).mode;
		drop(seg);
		mode_t mask = umask(masks[i]);
		ck_assert_uint_eq(got, 0664);
		ck_assert_uint_eq(mask, masks[i]);
	}
	umask(before);
}
END_TEST

START_TEST(exclusive_create_refuses_a_key_that_is_taken)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *other = (struct unishm *)&other;
	ck_assert_int_eq(unishm_open(&other, key(0), O_CREAT | O_EXCL, SMALL, 0600), -EEXIST);
	ck_assert_int_eq(unishm_open(&other, key(0), O_CREAT | O_EXCL, 100 * SMALL, 0600), -EEXIST);
	ck_assert_ptr_eq(other, (struct unishm *)&other);
	drop(seg);
}
END_TEST

START_TEST(a_missing_key_is_not_found)
{
	begin(_i);
	ck_assert_int_eq(try_open(0), -ENOENT);
}
END_TEST

START_TEST(open_or_create_finds_what_exists_and_changes_nothing)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *again;
	struct unishm_status before = status_of(seg);
	expect_ok(unishm_open(&again, key(0), O_CREAT, SMALL / 2, 0666));
	ck_assert(unishm_created(seg));
	ck_assert(!unishm_created(again));
	ck_assert_uint_eq(unishm_size(again), SMALL);
	ck_assert_int_eq(unishm_id(again), unishm_id(seg));
	struct unishm_status after = status_of(again);
	ck_assert_uint_eq(after.mode, 0600);
	ck_assert_int_eq(after.last_change_time, before.last_change_time);
	ck_assert_int_eq(after.creator_process, before.creator_process);
	unishm_close(again);
	drop(seg);
}
END_TEST

START_TEST(open_wants_no_more_bytes_than_the_segment_has)
{
	begin(_i);
	struct unishm *seg = make(0, 100, 0600), *again = NULL;
	expect_ok(unishm_open(&again, key(0), 0, 100, 0));
	unishm_close(again);
	expect_ok(unishm_open(&again, key(0), O_CREAT, 0, 0));
	unishm_close(again);
	ck_assert_int_eq(unishm_open(&again, key(0), 0, 101, 0), -EINVAL);
	ck_assert_int_eq(unishm_open(&again, key(0), O_CREAT, 101, 0600), -EINVAL);
	ck_assert_int_eq(unishm_open(&again, key(0), 0, SIZE_MAX, 0), -EINVAL);
	drop(seg);
}
END_TEST

START_TEST(any_key_but_private_names_one_segment)
{
	begin(_i);
	static const key_t keys[] = { -1, 1, INT_MIN, INT_MAX, 0x12345678 };
	SKIP_UNLESS(is_isolated(), "these keys are not ours");
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct unishm *seg, *again;
		expect_ok(unishm_open(&seg, keys[i], O_CREAT | O_EXCL, SMALL, 0600));
		expect_ok(unishm_open(&again, keys[i], 0, 0, 0));
		ck_assert_int_eq(unishm_key(again), keys[i]);
		ck_assert_int_eq(status_of(again).key, keys[i]);
		ck_assert_int_eq(unishm_id(again), unishm_id(seg));
		unishm_close(again);
		drop(seg);
	}
}
END_TEST

START_TEST(private_always_makes_a_new_segment)
{
	begin(_i);
	static const int oflags[] = { 0, O_CREAT, O_CREAT | O_EXCL };
	struct unishm *seg[3];
	for (int i = 0; i < 3; i++)
		expect_ok(unishm_open(&seg[i], UNISHM_PRIVATE, oflags[i], SMALL, 0600));
	for (int i = 0; i < 3; i++) {
		ck_assert(unishm_created(seg[i]));
		ck_assert_int_eq(status_of(seg[i]).key, UNISHM_PRIVATE);
		ck_assert_int_ne(unishm_id(seg[i]), unishm_id(seg[(i + 1) % 3]));
	}
	for (int i = 0; i < 3; i++)
		drop(seg[i]);
}
END_TEST

START_TEST(an_id_finds_its_segment_from_another_process)
{
	begin(_i);
	struct agent agent = agent_start();
	for (int n = -1; n < 1; n++) {
		struct unishm *seg = make(n, SMALL, 0600);
		char *addr = attach(seg, 0);
		addr[7] = 'q';
		expect_ok(ask(&agent, do_open_id, unishm_id(seg)));
		expect_ok(ask(&agent, do_attach, 0));
		expect_rc(ask(&agent, do_read, 7), 'q');
		expect_ok(ask(&agent, do_status, 0));
		ck_assert_int_eq(board->st.key, key(n));
		ck_assert_int_eq(board->st.id, unishm_id(seg));
		ck_assert_uint_eq(board->st.number_attached, 2);
		ask(&agent, do_close, 0);
		drop(seg);
		expect_rc(ask(&agent, do_open_id, board->st.id), -ENOENT);
	}
	agent_end(&agent);
}
END_TEST

START_TEST(an_id_handle_knows_key_and_size)
{
	begin(_i);
	struct unishm *seg = make(0, 12345, 0600), *again;
	expect_ok(unishm_open_id(&again, unishm_id(seg)));
	ck_assert_int_eq(unishm_key(again), key(0));
	ck_assert_uint_eq(unishm_size(again), 12345);
	ck_assert(!unishm_created(again));
	unishm_close(again);
	drop(seg);
}
END_TEST

START_TEST(ids_are_unique_among_live_segments)
{
	begin(_i);
	struct unishm *seg[64];
	for (int i = 0; i < 64; i++)
		seg[i] = make(i % 2 ? i : -1, SMALL, 0600);
	for (int i = 0; i < 64; i++)
		for (int j = 0; j < i; j++)
			ck_assert_int_ne(unishm_id(seg[i]), unishm_id(seg[j]));
	for (int i = 0; i < 64; i++)
		drop(seg[i]);
}
END_TEST

START_TEST(facts_of_a_handle_survive_removal_and_facts_of_null_are_nothing)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	int id = unishm_id(seg);
	expect_ok(unishm_remove(seg));
	ck_assert_int_eq(unishm_key(seg), key(0));
	ck_assert_int_eq(unishm_id(seg), id);
	ck_assert_uint_eq(unishm_size(seg), SMALL);
	ck_assert_str_eq(unishm_backend(seg), backend());
	ck_assert(unishm_created(seg));
	unishm_close(seg);
	ck_assert_uint_eq(unishm_size(NULL), 0);
	ck_assert_int_eq(unishm_key(NULL), UNISHM_PRIVATE);
	ck_assert_int_eq(unishm_id(NULL), -1);
	ck_assert_ptr_null(unishm_backend(NULL));
	ck_assert(!unishm_created(NULL));
	unishm_close(NULL);
}
END_TEST

START_TEST(a_segment_outlives_its_processes)
{
	begin(_i);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_create, 0));
	expect_ok(ask(&agent, do_attach, 0));
	ask(&agent, do_write, 3);
	pid_t pid = agent.pid;
	agent_kill(&agent);
	struct unishm *seg = take(0);
	struct unishm_status st = status_of(seg);
	ck_assert_int_eq(st.creator_process, pid);
	ck_assert_uint_eq(st.number_attached, 0);
	ck_assert_int_eq(((char *)attach(seg, 0))[3], 'x');
	drop(seg);
}
END_TEST

START_TEST(noreserve_takes_memory_only_when_touched)
{
	begin(_i);
	SKIP_UNLESS(sizeof(size_t) > 4, "needs 64 bits");
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	opt.key = key(0);
	opt.oflag = O_CREAT;
	opt.size = ((size_t)5 << 30) + 123;
	opt.mode = 0600;
	opt.flags = UNISHM_NORESERVE;
	expect_ok(unishm_open_with(&seg, &opt));
	ck_assert_uint_eq(unishm_size(seg), opt.size);
	ck_assert_uint_eq(status_of(seg).size, opt.size);
	char *addr = attach(seg, 0);
	addr[opt.size - 1] = 'z';
	addr[0] = 'a';
	char *again = attach(seg, UNISHM_RDONLY);
	ck_assert_int_eq(again[opt.size - 1], 'z');
	drop(seg);
}
END_TEST

START_TEST(create_reserves_memory_unless_told_not_to)
{
	begin(_i);
	SKIP_UNLESS(can_reserve(), "macOS cannot set memory aside");
	SKIP_UNLESS(on("posix") && is_isolated(), "only the POSIX backend's memory shows it");
	struct unishm *seg = make(0, 1 << 20, 0600);
	ck_assert_uint_ge(memory_used(), 1 << 20);
	drop(seg);
}
END_TEST

START_TEST(options_of_other_versions_are_understood_or_refused)
{
	begin(_i);
	struct {
		struct unishm_options opt;
		char more[64];
	} newer = { UNISHM_OPTIONS_INIT, { 0 } };
	struct unishm *seg = NULL;
	newer.opt.key = key(0);
	newer.opt.oflag = O_CREAT;
	newer.opt.size = SMALL;
	newer.opt.mode = 0600;
	newer.opt.struct_size = sizeof newer;
	expect_ok(unishm_open_with(&seg, &newer.opt));
	drop(seg);
	newer.opt.struct_size = offsetof(struct unishm_options, id); /* of the first version */
	newer.opt.id = 12345;
	newer.opt.wait_ms = 12345;
	expect_ok(unishm_open_with(&seg, &newer.opt));
	drop(seg);
	newer.opt.id = 0;
	newer.opt.wait_ms = 0;
	newer.opt.struct_size = sizeof newer;
	memset(newer.more, 1, sizeof newer.more);
	ck_assert_int_eq(unishm_open_with(&seg, &newer.opt), -EINVAL);
	newer.opt.struct_size = 0;
	ck_assert_int_eq(unishm_open_with(&seg, &newer.opt), -EINVAL);
	newer.opt.struct_size = offsetof(struct unishm_options, id) - 1;
	ck_assert_int_eq(unishm_open_with(&seg, &newer.opt), -EINVAL);
	/* never set: nothing that far away is read */
	memset(&newer.opt, 0, sizeof newer.opt);
	char *page = map_area(2 * page_size());
	ck_assert_int_eq(mprotect(page + page_size(), page_size(), PROT_NONE), 0);
	struct unishm_options *last = (void *)(page + page_size() - sizeof *last);
	last->struct_size = SIZE_MAX;
	ck_assert_int_eq(unishm_open_with(&seg, last), -EINVAL);
	munmap(page, 2 * page_size());
	ck_assert_int_eq(try_open(0), -ENOENT);
}
END_TEST

START_TEST(the_environment_names_the_default_backend)
{
	begin(_i);
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg = make(0, SMALL, 0600), *same;
	opt.backend = backend();
	opt.key = key(0);
	setenv("UNISHM_BACKEND", "no-such", 1);
	expect_ok(unishm_open_with(&same, &opt)); /* a name in the call goes first */
	ck_assert_int_eq(unishm_id(same), unishm_id(seg));
	unishm_close(same);
	ck_assert_int_eq(try_open(0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), backend()));
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "no-such"));
	unsetenv("UNISHM_BACKEND");
	drop(seg);
	seg = make(0, SMALL, 0600);
	ck_assert_str_eq(unishm_backend(seg), unishm_backends()[0]);
	drop(seg);
}
END_TEST

START_TEST(backends_do_not_share_keys)
{
	begin(_i);
	SKIP_UNLESS(backends() > 1, "there is one backend");
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg = make(0, SMALL, 0600), *other;
	opt.backend = unishm_backends()[1 - _i];
	opt.key = key(0);
	ck_assert_int_eq(unishm_open_with(&other, &opt), -ENOENT);
	drop(seg);
}
END_TEST

/* ---- The init callback --------------------------------------------------- */

static int open_with_init(struct unishm **seg, int n, int oflag, size_t size, unishm_init_fn init,
		void *arg)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key(n);
	opt.oflag = oflag;
	opt.size = size;
	opt.mode = 0600;
	opt.init = init;
	opt.arg = arg;
	return unishm_open_with(seg, &opt);
}

static int check_and_fill(void *addr, size_t size, void *arg)
{
	char *bytes = addr;
	if (!all_are(bytes, size, 0))
		return -EILSEQ;
	for (size_t i = 0; i < size; i++)
		bytes[i] = 'i';
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
	return 0;
}

START_TEST(init_fills_a_new_segment_and_never_an_old_one)
{
	begin(_i);
	struct unishm *seg, *again;
	int calls = 0;
	for (int n = -1; n < 1; n++) {
		expect_ok(open_with_init(&seg, n, O_CREAT, 5000, check_and_fill, &calls));
		ck_assert_int_eq(calls, n + 2);
		ck_assert(unishm_created(seg));
		struct unishm_status st = status_of(seg);
		ck_assert_uint_eq(st.number_attached, 0);
		ck_assert_uint_eq(st.mode, 0600);
		char *addr = attach(seg, 0);
		ck_assert(all_are(addr, 5000, 'i'));
		if (n < 0)
			drop(seg);
	}
	expect_ok(open_with_init(&again, 0, O_CREAT, 5000, check_and_fill, &calls));
	ck_assert_int_eq(calls, 2);
	ck_assert(!unishm_created(again));
	unishm_close(again);
	drop(seg);
}
END_TEST

START_TEST(after_init_the_status_shows_the_creators_own_attachment)
{
	begin(_i);
	struct unishm *seg;
	int calls = 0;
	expect_ok(open_with_init(&seg, 0, O_CREAT, SMALL, check_and_fill, &calls));
	struct unishm_status st = status_of(seg);
	/* System V cannot fill a segment without, and POSIX does as it does. */
	ck_assert_uint_eq(st.number_attached, 0);
	ck_assert_int_eq(st.last_op_process, getpid());
	ck_assert(since(st.last_change_time, st.last_attach_time));
	ck_assert(since(st.last_change_time, st.last_detach_time));
	drop(seg);
}
END_TEST

static int refuse(void *addr, size_t size, void *arg)
{
	memset(addr, 'r', size);
	return *(int *)arg;
}

START_TEST(a_failing_init_creates_nothing)
{
	begin(_i);
	struct unishm *seg = NULL;
	int why = -EHOSTDOWN;
	ck_assert_int_eq(open_with_init(&seg, 0, O_CREAT, SMALL, refuse, &why), -EHOSTDOWN);
	ck_assert_int_eq(open_with_init(&seg, 0, O_CREAT | O_EXCL, SMALL, refuse, &why), -EHOSTDOWN);
	ck_assert_int_eq(open_with_init(&seg, -1, 0, SMALL, refuse, &why), -EHOSTDOWN);
	ck_assert_ptr_null(seg);
	ck_assert_int_eq(try_open(0), -ENOENT);
	if (is_isolated())
		ck_assert_uint_eq(memory_used(), 0);
	drop(make(0, SMALL, 0600));
}
END_TEST

enum { RACERS = 6, RACED_SIZE = 40000 };

/* Open or create with init, and look at once. 1: created, 0: opened. */
static long race_to_create(long n)
{
	if (open_with_init(&mine, (int)n, O_CREAT, RACED_SIZE, check_and_fill, (void *)&board->count) < 0)
		return -1;
	bool made = unishm_created(mine);
	bool filled = all_are(attach(mine, UNISHM_RDONLY), RACED_SIZE, 'i');
	unishm_close(mine);
	return filled ? made : -2;
}

START_TEST(racing_creators_run_init_once_and_see_whole_segments)
{
	begin(_i);
	struct agent racer[RACERS];
	for (int i = 0; i < RACERS; i++)
		racer[i] = agent_start();
	for (int round = 0; round < rounds(100); round++) {
		board->count = 0;
		for (int i = 0; i < RACERS; i++)
			tell(&racer[i], race_to_create, 0);
		long made = 0;
		for (int i = 0; i < RACERS; i++) {
			long got = hear(&racer[i]);
			ck_assert_msg(got >= 0, "racer %d got %ld in round %d", i, got, round);
			made += got;
		}
		ck_assert_int_eq(made, 1);
		ck_assert_int_eq(board->count, 1);
		drop(take(0));
	}
	for (int i = 0; i < RACERS; i++)
		agent_end(&racer[i]);
}
END_TEST

/* Creating with a small chance for whoever comes: create, or find, and remove. */
static long race_exclusively(long n)
{
	int rc = unishm_open(&mine, key((int)n), O_CREAT | O_EXCL, SMALL, 0600);
	if (rc == 0)
		unishm_close(mine);
	return rc;
}

START_TEST(one_of_many_exclusive_creators_wins)
{
	begin(_i);
	struct agent racer[RACERS];
	for (int i = 0; i < RACERS; i++)
		racer[i] = agent_start();
	for (int round = 0; round < rounds(100); round++) {
		int won = 0;
		for (int i = 0; i < RACERS; i++)
			tell(&racer[i], race_exclusively, 0);
		for (int i = 0; i < RACERS; i++) {
			long rc = hear(&racer[i]);
			ck_assert_msg(rc == 0 || rc == -EEXIST, "got %ld", rc);
			won += rc == 0;
		}
		ck_assert_int_eq(won, 1);
		drop(take(0));
	}
	for (int i = 0; i < RACERS; i++)
		agent_end(&racer[i]);
}
END_TEST

static int stop_in_the_middle(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'h', size / 2);
	say_word();
	if (size)
		wait_to_be_killed();
	return 0;
}

static long create_and_hang(long n)
{
	return open_with_init(&mine, (int)n, O_CREAT, SMALL, stop_in_the_middle, NULL);
}

START_TEST(a_segment_in_the_making_is_not_there_yet)
{
	begin(_i);
	struct agent agent = agent_start(), other = agent_start();
	tell(&agent, create_and_hang, 0);
	hear_word(&agent);
	expect_rc(ask(&other, do_open, 0), -ENOENT);
	expect_rc(ask(&other, do_list_count, 0), 0);
	agent_kill(&agent);
	expect_rc(ask(&other, do_open, 0), -ENOENT);
	agent_end(&other);
	int calls = 0;
	struct unishm *seg;
	expect_ok(open_with_init(&seg, 0, O_CREAT | O_EXCL, SMALL, check_and_fill, &calls));
	ck_assert(all_are(attach(seg, 0), SMALL, 'i'));
	drop(seg);
}
END_TEST

static long create_plainly(long n)
{
	return unishm_open(&mine, key((int)n), O_CREAT, SMALL, 0600);
}

static long create_with_init(long n)
{
	return open_with_init(&mine, (int)n, O_CREAT, SMALL, check_and_fill, (void *)&board->count);
}

START_TEST(a_creator_killed_in_init_is_in_nobodys_way)
{
	begin(_i);
	static const task creators[] = { create_plainly, create_with_init, do_create };
	for (int i = 0; i < 3; i++) {
		struct agent agent = agent_start(), other = agent_start();
		tell(&agent, create_and_hang, 0);
		hear_word(&agent);
		agent_kill(&agent);
		expect_ok(ask(&other, creators[i], 0));
		expect_ok(ask(&other, do_attach, 0));
		ck_assert_int_eq(ask(&other, do_read, SMALL - 1), creators[i] == create_with_init ? 'i' : 0);
		ck_assert_int_eq(ask(&other, do_read, 0), creators[i] == create_with_init ? 'i' : 0);
		expect_ok(ask(&other, do_remove, 0));
		agent_end(&other);
	}
}
END_TEST

static long live_and_remove(long n)
{
	board->flag = 1;
	for (;;) {
		if (open_with_init(&mine, (int)n, O_CREAT, 20000, check_and_fill, (void *)&board->count) < 0)
			continue;
		void *addr;
		if (unishm_attach(mine, 0, &addr) == 0)
			expect(all_are(addr, 20000, 'i'), "half-made");
		unishm_remove(mine);
		unishm_close(mine);
	}
	return 0;
}

START_TEST(creators_killed_anywhere_leave_a_usable_key_and_no_memory)
{
	begin(_i);
	unsigned seed = 12345;
	for (int round = 0; round < rounds(100); round++) {
		struct agent agent[2] = { agent_start(), agent_start() };
		board->flag = 0;
		tell(&agent[0], live_and_remove, 0);
		tell(&agent[1], live_and_remove, 0);
		while (!board->flag)
			sched_yield();
		seed = seed * 1103515245 + 12345;
		struct timespec nap = { 0, (long)(seed >> 8) % 2000000 };
		nanosleep(&nap, NULL); /* the kill is to come anywhere */
		agent_kill(&agent[0]);
		agent_kill(&agent[1]);
		int calls = 0;
		struct unishm *seg;
		expect_ok(open_with_init(&seg, 0, O_CREAT, 20000, check_and_fill, &calls));
		ck_assert_uint_eq(number_attached(seg), 0);
		ck_assert(all_are(attach(seg, 0), 20000, 'i'));
		drop(seg);
		sweep_drafts();
		if (is_isolated())
			ck_assert_uint_eq(memory_used(), 0);
	}
}
END_TEST

/* ---- Attach and detach --------------------------------------------------- */

START_TEST(each_attachment_has_its_address_and_counts)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	char *addr[10];
	for (int i = 0; i < 10; i++) {
		addr[i] = attach(seg, i % 2 ? UNISHM_RDONLY : 0);
		ck_assert_uint_eq(number_attached(seg), (unsigned)i + 1);
		for (int j = 0; j < i; j++)
			ck_assert_ptr_ne(addr[i], addr[j]);
	}
	addr[0][5] = 'k';
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(addr[i][5], 'k');
	for (unsigned i = 10; i-- > 0;) {
		detach(seg, addr[i]);
		ck_assert_uint_eq(number_attached(seg), i);
	}
	drop(seg);
}
END_TEST

START_TEST(attach_and_detach_tell_who_and_when)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	struct unishm_status st, fresh = status_of(seg);
	expect_ok(ask(&agent, do_open, 0));
	ck_assert_int_eq(status_of(seg).last_op_process, 0);
	time_t start = time(NULL);
	expect_ok(ask(&agent, do_attach, 0));
	st = status_of(seg);
	ck_assert_int_eq(st.last_op_process, agent.pid);
	ck_assert(since(start, st.last_attach_time));
	ck_assert_int_eq(st.last_detach_time, 0);
	attach(seg, 0);
	ck_assert_int_eq(status_of(seg).last_op_process, getpid());
	start = time(NULL);
	expect_ok(ask(&agent, do_detach, 0));
	st = status_of(seg);
	ck_assert_int_eq(st.last_op_process, agent.pid);
	ck_assert(since(start, st.last_detach_time));
	detach(seg, NULL);
	ck_assert_int_eq(status_of(seg).last_op_process, getpid());
	ck_assert_int_eq(st.last_change_time, fresh.last_change_time);
	ck_assert_int_eq(st.creator_process, fresh.creator_process);
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(attach_and_detach_move_their_own_time_only)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	void *addr = attach(seg, 0);
	struct unishm_status one = status_of(seg);
	next_second();
	detach(seg, addr);
	struct unishm_status two = status_of(seg);
	ck_assert_int_eq(two.last_attach_time, one.last_attach_time);
	ck_assert_int_ge(two.last_detach_time, one.last_attach_time);
	ck_assert_int_ne(two.last_detach_time, 0);
	next_second();
	attach(seg, 0);
	struct unishm_status three = status_of(seg);
	ck_assert_int_eq(three.last_detach_time, two.last_detach_time);
	ck_assert_int_gt(three.last_attach_time, one.last_attach_time);
	ck_assert_int_eq(three.last_change_time, one.last_change_time);
	drop(seg);
}
END_TEST

START_TEST(a_refused_attach_or_detach_changes_nothing)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	char *addr = attach(seg, 0);
	struct unishm_status before = status_of(seg), after;
	void *out = &before;
	ck_assert_int_eq(unishm_attach(seg, 0x4000, &out), -EINVAL);
	if (can_refuse_addresses())
		ck_assert_int_eq(unishm_attach_at(seg, addr, 0, &out), -EINVAL);
	ck_assert_int_eq(unishm_attach_at(seg, addr + 1, 0, &out), -EINVAL);
	ck_assert_int_eq(unishm_detach(seg, addr + 1), -EINVAL);
	ck_assert_ptr_eq(out, &before);
	after = status_of(seg);
	ck_assert_uint_eq(after.number_attached, 1);
	ck_assert_int_eq(after.last_detach_time, 0);
	ck_assert_int_eq(after.last_attach_time, before.last_attach_time);
	drop(seg);
}
END_TEST

START_TEST(detach_null_means_the_only_attachment)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	ck_assert_int_eq(unishm_detach(seg, NULL), -EINVAL);
	void *one = attach(seg, 0), *two = attach(seg, 0);
	ck_assert_int_eq(unishm_detach(seg, NULL), -EINVAL);
	ck_assert_uint_eq(number_attached(seg), 2);
	detach(seg, one);
	expect_ok(unishm_detach(seg, NULL));
	ck_assert_uint_eq(number_attached(seg), 0);
	ck_assert_int_eq(unishm_detach(seg, two), -EINVAL);
	drop(seg);
}
END_TEST

START_TEST(detach_knows_the_attachments_of_its_handle_only)
{
	begin(_i);
	struct unishm *seg = make(0, 3 * page_size(), 0600), *other = take(0), *third = make(1, SMALL, 0600);
	char *addr = attach(seg, 0), *theirs = attach(other, 0);
	char *foreign = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int local = 0;
	void *wrong[] = { addr + page_size(), addr + 1, theirs, foreign, &local, attach(third, 0),
		(void *)(uintptr_t)8, (void *)UINTPTR_MAX };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_int_eq(unishm_detach(seg, wrong[i]), -EINVAL);
	*foreign = *theirs = *addr = 1;
	ck_assert_uint_eq(number_attached(seg), 2);
	detach(seg, addr);
	ck_assert_int_eq(unishm_detach(seg, addr), -EINVAL);
	*theirs = 2;
	munmap(foreign, page_size());
	drop(third);
	unishm_close(other);
	drop(seg);
}
END_TEST

static bool is_free(void *addr, size_t size)
{
	void *got = mmap(addr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (got != MAP_FAILED)
		munmap(got, size);
	return got == addr;
}

START_TEST(a_detached_range_is_free_again)
{
	begin(_i);
	size_t size = 5 * page_size() + 1;
	struct unishm *seg = make(0, size, 0600);
	for (int i = 0; i < 3; i++) {
		void *addr = attach(seg, 0), *again;
		detach(seg, addr);
		ck_assert(is_free(addr, 6 * page_size()));
		expect_ok(unishm_attach_at(seg, addr, 0, &again));
		ck_assert_ptr_eq(addr, again);
		if (i == 2)
			break;
		detach(seg, addr);
	}
	drop(seg);
}
END_TEST

START_TEST(detach_leaves_its_neighbours_mapped)
{
	begin(_i);
	size_t page = granularity();
	struct unishm *seg = make(0, page, 0600);
	char *area = map_area(3 * page);
	memset(area, 'n', 3 * page);
	void *addr;
	munmap(area + page, page);
	expect_ok(unishm_attach_at(seg, area + page, 0, &addr));
	memset(addr, 'm', page);
	detach(seg, addr);
	ck_assert(all_are(area, page, 'n'));
	ck_assert(all_are(area + 2 * page, page, 'n'));
	munmap(area, page);
	munmap(area + 2 * page, page);
	drop(seg);
}
END_TEST

static int death_of(struct agent *agent, task what, long arg)
{
	tell(agent, what, arg);
	int ended = agent_wait(agent);
	return WIFSIGNALED(ended) ? WTERMSIG(ended) : -WEXITSTATUS(ended);
}

START_TEST(a_write_through_a_read_only_attachment_is_sigsegv)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, UNISHM_RDONLY));
	expect_rc(ask(&agent, do_read, 0), 0);
	ck_assert_int_eq(death_of(&agent, do_write, 0), SIGSEGV);
	ck_assert_uint_eq(number_attached(seg), 0);
	ck_assert_int_eq(((char *)attach(seg, 0))[0], 0);
	drop(seg);
}
END_TEST

START_TEST(a_detached_page_is_gone)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(ask(&agent, do_detach, 0));
	ck_assert_int_eq(death_of(&agent, do_read, 0), SIGSEGV);
	drop(seg);
}
END_TEST

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
			place[k] = mmap(NULL, sizes[i], PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			munmap(place[k], sizes[i]);
			expect_ok(unishm_attach_at(seg, place[k], k == 2 ? UNISHM_RDONLY : 0, &addr[k]));
			ck_assert_ptr_eq(addr[k], place[k]);
		}
		drop(seg);
	}
}
END_TEST

START_TEST(populate_brings_all_pages_in)
{
	begin(_i);
	SKIP_UNLESS(!emulator(), "qemu-user populates nothing");
	struct unishm *seg = make(0, 64 * page_size(), 0600);
	void *addr = attach(seg, UNISHM_POPULATE);
	int resident = resident_pages(addr, 64 * page_size());
	if (resident >= 0)
		ck_assert_int_eq(resident, 64);
	detach(seg, addr);
	addr = attach(seg, UNISHM_POPULATE | UNISHM_RDONLY);
	ck_assert(all_are(addr, 64 * page_size(), 0));
	drop(seg);
}
END_TEST

static long run_code(long unused)
{
	(void)unused;
#if defined __x86_64__ || defined __i386__
	*(unsigned char *)at = 0xc3;
#elif defined __aarch64__
	*(uint32_t *)at = 0xd65f03c0u;
	__builtin___clear_cache(at, (char *)at + 4);
#else
	return 0;
#endif
	void (*code)(void);
	memcpy(&code, &at, sizeof code);
	code();
	return 0;
}

START_TEST(code_runs_where_execution_was_asked_for)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0700);
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, UNISHM_EXEC));
	expect_ok(ask(&agent, run_code, 0));
	expect_ok(ask(&agent, do_detach, 0));
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(close_detaches_what_its_handle_attached_and_no_more)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600), *other = take(0);
	char *kept = attach(seg, 0), *lost = attach(other, 0);
	attach(other, UNISHM_RDONLY);
	ck_assert_uint_eq(number_attached(seg), 3);
	unishm_close(other);
	ck_assert_uint_eq(number_attached(seg), 1);
	ck_assert(is_free(lost, page_size()));
	*kept = 'k';
	drop(seg);
}
END_TEST

START_TEST(handles_of_one_segment_do_not_disturb_each_other)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	expect_ok(ask(&agent, do_open, 0));
	for (int i = 0; i < 5; i++) {
		struct unishm *again = take(0), *by_id;
		expect_ok(unishm_open_id(&by_id, unishm_id(seg)));
		expect_rc(ask(&agent, do_number, 0), 1);
		unishm_close(again);
		expect_rc(ask(&agent, do_number, 0), 1);
		attach(by_id, 0);
		expect_rc(ask(&agent, do_number, 0), 2);
		do_list_count(0);
		expect_rc(ask(&agent, do_number, 0), 2);
		ck_assert_int_eq(unishm_open(&again, key(0), O_CREAT | O_EXCL, 1, 0600), -EEXIST);
		ck_assert_int_eq(unishm_open(&again, key(0), 0, SMALL + 1, 0600), -EINVAL);
		expect_rc(ask(&agent, do_number, 0), 2);
		unishm_close(by_id);
		expect_rc(ask(&agent, do_number, 0), 1);
	}
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(two_handles_attach_and_detach_in_any_order)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *one = make(0, SMALL, 0600), *two = take(0);
	expect_ok(ask(&agent, do_open, 0));
	void *a = attach(one, 0), *b = attach(two, 0), *c = attach(one, UNISHM_RDONLY);
	expect_rc(ask(&agent, do_number, 0), 3);
	detach(one, a);
	expect_rc(ask(&agent, do_number, 0), 2);
	detach(two, b);
	expect_rc(ask(&agent, do_number, 0), 1);
	unishm_close(two);
	expect_rc(ask(&agent, do_number, 0), 1);
	detach(one, c);
	expect_rc(ask(&agent, do_number, 0), 0);
	agent_end(&agent);
	drop(one);
}
END_TEST

START_TEST(the_handle_that_opened_first_may_close_first)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *one = make(0, SMALL, 0600), *two = take(0);
	expect_ok(ask(&agent, do_open, 0));
	attach(two, 0);
	unishm_close(one);
	expect_rc(ask(&agent, do_number, 0), 1);
	attach(two, 0);
	expect_rc(ask(&agent, do_number, 0), 2);
	unishm_close(two);
	expect_rc(ask(&agent, do_number, 0), 0);
	expect_ok(ask(&agent, do_remove, 0));
	agent_end(&agent);
}
END_TEST

/* ---- Status, list and print ---------------------------------------------- */

START_TEST(lock_unlock_and_remove_move_no_time)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(is_root(), "needs root to lock for sure");
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	struct unishm_status one = status_of(seg);
	next_second();
	expect_ok(unishm_lock(seg));
	expect_ok(unishm_unlock(seg));
	expect_ok(unishm_remove(seg));
	struct unishm_status two = status_of(seg);
	ck_assert_int_eq(two.last_change_time, one.last_change_time);
	ck_assert_int_eq(two.last_attach_time, one.last_attach_time);
	ck_assert_int_eq(two.last_detach_time, one.last_detach_time);
	ck_assert_int_eq(two.last_op_process, one.last_op_process);
	ck_assert_uint_eq(two.number_attached, 1);
	unishm_close(seg);
}
END_TEST

START_TEST(chmod_and_chown_move_the_change_time_only)
{
	begin(_i);
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	struct unishm_status one = status_of(seg);
	next_second();
	expect_ok(unishm_chmod(seg, 0640));
	struct unishm_status two = status_of(seg);
	ck_assert_uint_eq(two.mode, 0640);
	ck_assert_int_gt(two.last_change_time, one.last_change_time);
	ck_assert_int_eq(two.last_attach_time, one.last_attach_time);
	next_second();
	expect_ok(unishm_chown(seg, (uid_t)-1, getegid()));
	struct unishm_status three = status_of(seg);
	ck_assert_int_gt(three.last_change_time, two.last_change_time);
	ck_assert_uint_eq(three.owner_user, geteuid());
	ck_assert_int_eq(three.last_detach_time, 0);
	ck_assert_int_eq(three.last_op_process, one.last_op_process);
	ck_assert_uint_eq(three.number_attached, 1);
	drop(seg);
}
END_TEST

START_TEST(using_the_memory_or_asking_changes_no_status)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	char *addr = attach(seg, 0);
	struct unishm_status one = status_of(seg);
	next_second();
	memset(addr, 'u', SMALL);
	do_list_count(0);
	unishm_close(take(0));
	struct unishm_status two = status_of(seg);
	ck_assert_int_eq(two.last_change_time, one.last_change_time);
	ck_assert_int_eq(two.last_attach_time, one.last_attach_time);
	ck_assert_int_eq(two.last_detach_time, 0);
	ck_assert_uint_eq(two.number_attached, 1);
	drop(seg);
}
END_TEST

struct seen {
	struct unishm_status st[64];
	int count, stop_at, answer;
};

static int see(const struct unishm_status *st, void *arg)
{
	struct seen *seen = arg;
	if ((uint32_t)st->key >> 6 != (uint32_t)key(0) >> 6 || seen->count == 64)
		return 0;
	seen->st[seen->count++] = *st;
	return seen->count == seen->stop_at ? seen->answer : 0;
}

START_TEST(list_shows_every_segment_once_as_its_status)
{
	begin(_i);
	struct unishm *seg[20];
	struct seen seen = { .count = 0 };
	for (int i = 0; i < 20; i++)
		seg[i] = make(i, (size_t)(i + 1) * 100, 0600);
	attach(seg[3], 0);
	attach(seg[3], 0);
	expect_ok(unishm_list(backend(), see, &seen));
	ck_assert_int_eq(seen.count, 20);
	for (int i = 0; i < 20; i++) {
		struct unishm_status want = status_of(seg[i]), *got = NULL;
		for (int j = 0; j < 20; j++)
			if (seen.st[j].key == key(i))
				got = &seen.st[j];
		ck_assert_ptr_nonnull(got);
		ck_assert_str_eq(got->backend, want.backend);
		ck_assert_int_eq(got->id, want.id);
		ck_assert_uint_eq(got->size, want.size);
		ck_assert_uint_eq(got->mode, want.mode);
		ck_assert_uint_eq(got->number_attached, i == 3 ? 2 : 0);
		ck_assert_int_eq(got->creator_process, want.creator_process);
		ck_assert_int_eq(got->last_op_process, want.last_op_process);
		ck_assert_int_eq(got->last_attach_time, want.last_attach_time);
		ck_assert_int_eq(got->last_change_time, want.last_change_time);
		ck_assert_uint_eq(got->owner_user, want.owner_user);
		ck_assert_uint_eq(got->emulated, want.emulated);
		ck_assert(!got->locked && !got->removed);
	}
	for (int i = 0; i < 20; i++)
		drop(seg[i]);
}
END_TEST

START_TEST(list_stops_when_the_visitor_says_so)
{
	begin(_i);
	static const int answers[] = { 7, -7, -ENOENT };
	struct unishm *seg[4];
	for (int i = 0; i < 4; i++)
		seg[i] = make(i, SMALL, 0600);
	for (int i = 0; i < 3; i++) {
		struct seen seen = { .stop_at = 2, .answer = answers[i] };
		ck_assert_int_eq(unishm_list(NULL, see, &seen), answers[i]);
		ck_assert_int_eq(seen.count, 2);
	}
	for (int i = 0; i < 4; i++)
		drop(seg[i]);
}
END_TEST

static int remove_what_is_seen(const struct unishm_status *st, void *arg)
{
	struct unishm *seg;
	if ((uint32_t)st->key >> 6 != (uint32_t)key(0) >> 6)
		return 0;
	expect_ok(unishm_open_id(&seg, st->id));
	attach(seg, 0);
	ck_assert_uint_eq(number_attached(seg), 1);
	do_list_count(0);
	drop(seg);
	++*(int *)arg;
	return 0;
}

START_TEST(the_visitor_may_use_the_library)
{
	begin(_i);
	int removed = 0;
	for (int i = 0; i < 8; i++)
		unishm_close(make(i, SMALL, 0600));
	expect_ok(unishm_list(NULL, remove_what_is_seen, &removed));
	ck_assert_int_eq(removed, 8);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(try_open(i), -ENOENT);
}
END_TEST

static void print_to(char *text, size_t room, const struct unishm_status *st)
{
	memset(text, 0, room);
	FILE *out = fmemopen(text, room - 1, "w");
	ck_assert_ptr_nonnull(out);
	expect_ok(unishm_print(out, st));
	fclose(out);
}

static const char *const line_names[] = { "size", "number_attached", "creator_process",
	"last_op_process", "last_attach_time", "last_detach_time", "last_change_time", "creator_user",
	"creator_group", "owner_user", "owner_group", "mode", "key" };

START_TEST(print_writes_its_lines_in_order)
{
	begin(_i);
	char text[4096], *line = text;
	struct unishm *seg = make(0, SMALL, 0640);
	struct unishm_status st = status_of(seg);
	print_to(text, sizeof text, &st);
	for (size_t i = 0; i < sizeof line_names / sizeof *line_names; i++) {
		size_t length = strlen(line_names[i]);
		ck_assert_msg(strncmp(line, line_names[i], length) == 0 && strncmp(line + length, ": ", 2) == 0,
				"line %zu is not %s: %.40s", i, line_names[i], line);
		line = strchr(line, '\n') + 1;
	}
	ck_assert_ptr_nonnull(strstr(text, "size: 1024\nnumber_attached: 0\n"));
	ck_assert_ptr_nonnull(strstr(text, "last_attach_time: never\nlast_detach_time: never\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nmode: rw-r-----\n"));
	for (; *line; line = strchr(line, '\n') + 1)
		ck_assert_ptr_nonnull(strstr(line, ": "));
	drop(seg);
}
END_TEST

START_TEST(print_names_users_groups_and_local_times)
{
	begin(_i);
	char text[4096], want[64];
	struct unishm_status st;
	memset(&st, 0, sizeof st);
	st.backend = backend();
	st.last_attach_time = 1000000000;
	st.creator_user = st.creator_group = 4000000000u; /* nobody's */
	setenv("TZ", "UTC-3", 1);
	tzset();
	print_to(text, sizeof text, &st);
	ck_assert_ptr_nonnull(strstr(text, "last_attach_time: 2001-09-09 04:46:40"));
	ck_assert_ptr_nonnull(strstr(text, "creator_user: 4000000000\ncreator_group: 4000000000\n"));
	ck_assert_ptr_nonnull(strstr(text, "owner_user: root (0)\n"));
	ck_assert_ptr_nonnull(strstr(text, "mode: ---------\n"));
	st.key = (key_t)0xdeadbeef;
	st.mode = 0777;
	print_to(text, sizeof text, &st);
	snprintf(want, sizeof want, "mode: rwxrwxrwx\nkey: 0xdeadbeef\n");
	ck_assert_ptr_nonnull(strstr(text, want));
	unsetenv("TZ");
	tzset();
}
END_TEST

START_TEST(print_reports_a_write_error)
{
	begin(_i);
	struct unishm_status st;
	memset(&st, 0, sizeof st);
	st.backend = backend();
	FILE *full = fopen("/dev/full", "w");
	SKIP_UNLESS(full, "there is no /dev/full");
	setvbuf(full, NULL, _IONBF, 0);
	ck_assert_int_eq(unishm_print(full, &st), -ENOSPC);
	fclose(full);
	ck_assert_int_eq(unishm_print(NULL, &st), -EINVAL);
	ck_assert_int_eq(unishm_print(stdout, NULL), -EINVAL);
}
END_TEST

/* ---- Remove -------------------------------------------------------------- */

/* On POSIX an open handle may keep the page with the record. */
static bool data_is_freed(void)
{
	return !is_isolated() || memory_used() <= record_memory();
}

START_TEST(removing_what_nobody_attaches_ends_it_at_once)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	struct unishm_status st;
	void *addr;
	expect_ok(unishm_remove(seg));
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
	ck_assert_int_eq(unishm_attach(seg, 0, &addr), -EIDRM);
	ck_assert_int_eq(unishm_remove(seg), -EIDRM);
	ck_assert_int_eq(unishm_chmod(seg, 0666), -EIDRM);
	ck_assert_int_eq(unishm_chown(seg, (uid_t)-1, (gid_t)-1), -EIDRM);
	ck_assert_int_eq(unishm_lock(seg), -EIDRM);
	ck_assert_int_eq(unishm_unlock(seg), -EIDRM);
	ck_assert_int_eq(unishm_detach(seg, NULL), -EINVAL);
	ck_assert_int_eq(try_open(0), -ENOENT);
	ck_assert(data_is_freed());
	unishm_close(seg);
}
END_TEST

START_TEST(a_removed_segment_lives_until_its_last_detach)
{
	begin(_i);
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	char *addr = attach(seg, 0);
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_attach, 0));
	expect_ok(unishm_remove(seg));
	for (unsigned left = 2; left > 0; left--) {
		struct unishm_status st = status_of(seg);
		ck_assert(st.removed);
		ck_assert_int_eq(st.key, UNISHM_PRIVATE);
		ck_assert_uint_eq(st.number_attached, left);
		ck_assert_uint_eq(st.size, SMALL);
		expect_ok(ask(&agent, do_status, 0));
		ck_assert(board->st.removed);
		ck_assert_uint_eq(board->st.number_attached, left);
		expect_ok(unishm_remove(seg));
		addr[1] = (char)left;
		if (left == 2) {
			expect_rc(ask(&agent, do_read, 1), 2);
			expect_ok(ask(&agent, do_detach, 0));
		}
	}
	detach(seg, addr);
	struct unishm_status st;
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
	ck_assert_int_eq(unishm_remove(seg), -EIDRM);
	expect_rc(ask(&agent, do_status, 0), -EIDRM);
	expect_rc(ask(&agent, do_remove, 0), -EIDRM);
	ck_assert(data_is_freed());
	agent_end(&agent);
	unishm_close(seg);
}
END_TEST

START_TEST(no_handle_attaches_after_remove)
{
	begin(_i);
	struct agent early = agent_start(), attached = agent_start();
	struct unishm *seg = make(0, SMALL, 0600), *second = take(0);
	void *addr = NULL;
	expect_ok(ask(&early, do_open, 0));
	expect_ok(ask(&attached, do_open, 0));
	expect_ok(ask(&attached, do_attach, 0));
	attach(seg, 0);
	int id = unishm_id(seg);
	expect_ok(unishm_remove(second));
	ck_assert_int_eq(unishm_attach(seg, 0, &addr), -EIDRM);
	ck_assert_int_eq(unishm_attach(second, UNISHM_RDONLY, &addr), -EIDRM);
	expect_rc(ask(&early, do_attach, 0), -EIDRM);
	expect_rc(ask(&early, do_attach, UNISHM_RDONLY), -EIDRM);
	expect_rc(ask(&attached, do_attach, 0), -EIDRM);
	expect_rc(ask(&early, do_open_id, id), -ENOENT);
	ck_assert_uint_eq(number_attached(seg), 2);
	agent_end(&early);
	agent_end(&attached);
	unishm_close(second);
	unishm_close(seg);
}
END_TEST

START_TEST(remove_frees_the_key_at_once_and_never_hits_a_successor)
{
	begin(_i);
	struct agent stale = agent_start();
	struct unishm *old = make(0, SMALL, 0600);
	char *before = attach(old, 0);
	expect_ok(ask(&stale, do_open, 0));
	*before = 'o';
	expect_ok(unishm_remove(old));
	ck_assert_int_eq(try_open(0), -ENOENT);
	struct unishm *new = make(0, 2 * SMALL, 0640);
	char *after = attach(new, 0);
	ck_assert_int_eq(*after, 0);
	*after = 'n';
	ck_assert_int_ne(unishm_id(new), unishm_id(old));
	ck_assert_int_eq(*before, 'o');
	ck_assert_uint_eq(number_attached(old), 1);
	ck_assert_uint_eq(number_attached(new), 1);
	ck_assert(!status_of(new).removed);
	ck_assert_int_eq(status_of(new).key, key(0));
	expect_ok(ask(&stale, do_remove, 0));
	expect_ok(unishm_remove(old));
	ck_assert_int_eq(try_open(0), 0);
	unishm_close(old);
	expect_rc(ask(&stale, do_remove, 0), -EIDRM);
	expect_rc(ask(&stale, do_status, 0), -EIDRM);
	expect_rc(ask(&stale, do_attach, 0), -EIDRM);
	ck_assert_int_eq(try_open(0), 0);
	ck_assert_int_eq(*after, 'n');
	agent_end(&stale);
	drop(new);
}
END_TEST

START_TEST(a_stale_handle_does_not_see_the_successor)
{
	begin(_i);
	struct agent stale = agent_start();
	struct unishm *old = make(0, SMALL, 0600);
	expect_ok(ask(&stale, do_open, 0));
	drop(old);
	struct unishm *new = make(0, SMALL, 0600);
	expect_rc(ask(&stale, do_chmod, 0666), -EIDRM);
	expect_rc(ask(&stale, do_attach, 0), -EIDRM);
	expect_rc(ask(&stale, do_remove, 0), -EIDRM);
	ck_assert_uint_eq(status_of(new).mode, 0600);
	ck_assert_int_eq(try_open(0), 0);
	agent_end(&stale);
	drop(new);
}
END_TEST

/* An idle handle of another process lets go when it finds the segment gone. */
START_TEST(memory_is_freed_at_the_last_detach_or_when_idle_handles_notice)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "memory is not ours alone");
	struct agent idle = agent_start();
	struct unishm *seg = make(0, 8 << 20, 0600);
	memset(attach(seg, 0), 1, 8 << 20);
	expect_ok(ask(&idle, do_open, 0));
	expect_ok(unishm_remove(seg));
	ck_assert_uint_ge(memory_used(), 8 << 20);
	detach(seg, NULL);
	expect_rc(ask(&idle, do_status, 0), -EIDRM);
	ck_assert(data_is_freed());
	agent_end(&idle);
	unishm_close(seg);
}
END_TEST

START_TEST(memory_of_an_unattached_segment_is_freed_by_remove_or_when_idle_handles_close)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "memory is not ours alone");
	struct agent idle = agent_start();
	struct unishm *seg = make(0, 8 << 20, 0600);
	expect_ok(ask(&idle, do_open, 0));
	expect_ok(unishm_remove(seg));
	expect_ok(ask(&idle, do_close, 0));
	ck_assert(data_is_freed());
	agent_end(&idle);
	unishm_close(seg);
}
END_TEST

START_TEST(memory_is_freed_when_the_last_is_killed_though_an_idle_handle_is_open)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "memory is not ours alone");
	static const task last_words[] = { do_status, do_attach, do_remove, do_close };
	for (int i = 0; i < 4; i++) {
		struct agent idle = agent_start(), last = agent_start();
		unishm_close(make(0, 8 << 20, 0600));
		expect_ok(ask(&idle, do_open, 0));
		expect_ok(ask(&last, do_open, 0));
		expect_ok(ask(&last, do_attach, UNISHM_POPULATE));
		expect_ok(ask(&last, do_remove, 0));
		ck_assert_uint_ge(memory_used(), 8 << 20);
		agent_kill(&last);
		if (on("sysv"))
			ck_assert_uint_eq(memory_used(), 0);
		expect_rc(ask(&idle, last_words[i], 0), last_words[i] == do_close ? 0 : -EIDRM);
		ck_assert_msg(data_is_freed(), "%zu bytes are used after last words %d", memory_used(), i);
		agent_end(&idle);
		ck_assert_uint_eq(memory_used(), 0);
	}
}
END_TEST

START_TEST(memory_is_freed_when_the_last_is_killed_and_nobody_else_has_it_open)
{
	begin(_i);
	SKIP_UNLESS(is_isolated(), "memory is not ours alone");
	struct agent last = agent_start();
	expect_ok(ask(&last, do_create, 0));
	expect_ok(ask(&last, do_attach, 0));
	expect_ok(ask(&last, do_remove, 0));
	ck_assert_uint_gt(memory_used(), 0);
	agent_kill(&last);
	ck_assert_uint_eq(memory_used(), 0);
}
END_TEST

START_TEST(list_shows_no_removed_segment_that_is_gone)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	expect_ok(unishm_remove(seg));
	struct seen seen = { .count = 0 };
	expect_ok(unishm_list(NULL, see, &seen)); /* its key is private by now */
	ck_assert_int_eq(seen.count, 0);
	detach(seg, NULL);
	expect_ok(unishm_list(NULL, see, &seen));
	ck_assert_int_eq(seen.count, 0);
	unishm_close(seg);
}
END_TEST

START_TEST(a_removed_segment_can_still_be_changed)
{
	begin(_i);
	struct unishm *seg = make(0, SMALL, 0600);
	attach(seg, 0);
	expect_ok(unishm_remove(seg));
	expect_ok(unishm_chmod(seg, 0640));
	struct unishm_status st = status_of(seg);
	ck_assert_uint_eq(st.mode, 0640);
	ck_assert(st.removed);
	unishm_close(seg);
}
END_TEST

static long attach_until_removed(long unused)
{
	void *addr;
	int rc;
	(void)unused;
	while ((rc = unishm_attach(mine, 0, &addr)) == 0) {
		expect(*(volatile char *)addr == 'A', "wrong memory");
		expect_ok(unishm_detach(mine, addr));
		board->flag = 1;
	}
	return rc;
}

START_TEST(attach_against_remove_gets_the_right_memory_or_eidrm)
{
	begin(_i);
	struct agent agent = agent_start();
	for (int round = 0; round < rounds(100); round++) {
		struct unishm *seg = make(0, SMALL, 0600);
		*(char *)attach(seg, 0) = 'A';
		detach(seg, NULL);
		board->flag = 0;
		expect_ok(ask(&agent, do_open, 0));
		tell(&agent, attach_until_removed, 0);
		while (!board->flag)
			sched_yield();
		expect_ok(unishm_remove(seg));
		struct unishm *next = make(0, SMALL, 0600);
		expect_rc(hear(&agent), -EIDRM);
		struct unishm_status st;
		ck_assert_int_eq(unishm_status(seg, &st), -EIDRM);
		ask(&agent, do_close, 0);
		unishm_close(seg);
		drop(next);
	}
	agent_end(&agent);
}
END_TEST

/* ---- Locks --------------------------------------------------------------- */

START_TEST(a_lock_shows_and_one_unlock_undoes_all)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(is_root(), "needs root to lock for sure");
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	expect_ok(ask(&agent, do_open, 0));
	ck_assert(!status_of(seg).locked);
	expect_ok(unishm_lock(seg));
	ck_assert(status_of(seg).locked);
	expect_ok(unishm_lock(seg));
	expect_ok(ask(&agent, do_status, 0));
	ck_assert(board->st.locked);
	ck_assert_uint_eq(board->st.number_attached, 0);
	expect_ok(unishm_unlock(seg));
	ck_assert(!status_of(seg).locked);
	expect_ok(ask(&agent, do_status, 0));
	ck_assert(!board->st.locked);
	expect_ok(unishm_unlock(seg));
	agent_end(&agent);
	drop(seg);
}
END_TEST

START_TEST(anyone_who_may_undoes_the_locks_of_others)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(is_root(), "needs root to lock for sure");
	struct agent agent = agent_start();
	struct unishm *seg = make(0, SMALL, 0600);
	expect_ok(ask(&agent, do_open, 0));
	expect_ok(ask(&agent, do_lock, 0));
	ck_assert(status_of(seg).locked);
	expect_ok(unishm_unlock(seg));
	ck_assert(!status_of(seg).locked);
	expect_ok(ask(&agent, do_lock, 0));
	agent_kill(&agent);
	ck_assert_int_eq(status_of(seg).locked, on("sysv"));
	drop(seg);
}
END_TEST

START_TEST(a_lock_is_no_attachment_and_survives_attach_detach_and_chmod)
{
	begin(_i);
	SKIP_UNLESS(can_lock(), "this system cannot lock System V segments");
	SKIP_UNLESS(can_change_rights(), "macOS cannot change an object");
	SKIP_UNLESS(is_root(), "needs root to lock for sure");
	struct unishm *seg = make(0, SMALL, 0600);
	expect_ok(unishm_lock(seg));
	attach(seg, 0);
	expect_ok(unishm_chmod(seg, 0640));
	detach(seg, NULL);
	struct unishm_status st = status_of(seg);
	ck_assert(st.locked);
	ck_assert_uint_eq(st.mode, 0640);
	ck_assert_uint_eq(st.number_attached, 0);
	expect_ok(unishm_remove(seg));
	ck_assert_int_eq(unishm_status(seg, &st), -EIDRM); /* the lock keeps nothing alive */
	ck_assert(data_is_freed());
	unishm_close(seg);
}
END_TEST

/* ---- Permissions --------------------------------------------------------- */

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

START_TEST(a_reader_cannot_make_his_attachment_writable)
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

START_TEST(the_owner_is_judged_by_his_own_bits)
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

/* ---- Keys and the library ------------------------------------------------ */

START_TEST(keys_of_names_are_the_same_everywhere)
{
	key_t empty = unishm_key_from_name(""), longer = unishm_key_from_name("a much longer name than that");
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

static void create_group(Suite *suite)
{
	TCase *t = group(suite, "create", NULL, 15);
	EACH(t, create_gives_exactly_the_size_asked_for);
	EACH(t, new_bytes_read_as_zero);
	EACH(t, bytes_to_the_end_of_the_page_are_the_segments_too);
	EACH(t, a_new_segment_has_the_status_of_its_creator);
	EACH(t, what_is_inexact_is_emulated_and_system_v_emulates_nothing);
	EACH(t, create_applies_every_mode_exactly);
	EACH(t, create_ignores_the_umask_and_leaves_it_alone);
	EACH(t, exclusive_create_refuses_a_key_that_is_taken);
	EACH(t, a_missing_key_is_not_found);
	EACH(t, open_or_create_finds_what_exists_and_changes_nothing);
	EACH(t, open_wants_no_more_bytes_than_the_segment_has);
	EACH(t, any_key_but_private_names_one_segment);
	EACH(t, private_always_makes_a_new_segment);
	EACH(t, an_id_finds_its_segment_from_another_process);
	EACH(t, an_id_handle_knows_key_and_size);
	EACH(t, ids_are_unique_among_live_segments);
	EACH(t, facts_of_a_handle_survive_removal_and_facts_of_null_are_nothing);
	EACH(t, a_segment_outlives_its_processes);
	EACH(t, create_reserves_memory_unless_told_not_to);
	EACH(t, options_of_other_versions_are_understood_or_refused);
	EACH(t, the_environment_names_the_default_backend);
	EACH(t, backends_do_not_share_keys);
	t = group(suite, "huge", "native", 15);
	EACH(t, noreserve_takes_memory_only_when_touched);
}

static void init_group(Suite *suite)
{
	TCase *t = group(suite, "init", NULL, 15);
	EACH(t, init_fills_a_new_segment_and_never_an_old_one);
	EACH(t, after_init_the_status_shows_the_creators_own_attachment);
	EACH(t, a_failing_init_creates_nothing);
	EACH(t, a_segment_in_the_making_is_not_there_yet);
	EACH(t, a_creator_killed_in_init_is_in_nobodys_way);
	t = group(suite, "races", "native", 40);
	EACH(t, racing_creators_run_init_once_and_see_whole_segments);
	EACH(t, one_of_many_exclusive_creators_wins);
	EACH(t, creators_killed_anywhere_leave_a_usable_key_and_no_memory);
	EACH(t, attach_against_remove_gets_the_right_memory_or_eidrm);
}

static void attach_group(Suite *suite)
{
	TCase *t = group(suite, "attach", NULL, 15);
	EACH(t, each_attachment_has_its_address_and_counts);
	EACH(t, attach_and_detach_tell_who_and_when);
	EACH(t, attach_and_detach_move_their_own_time_only);
	EACH(t, a_refused_attach_or_detach_changes_nothing);
	EACH(t, detach_null_means_the_only_attachment);
	EACH(t, detach_knows_the_attachments_of_its_handle_only);
	EACH(t, a_detached_range_is_free_again);
	EACH(t, detach_leaves_its_neighbours_mapped);
	EACH(t, close_detaches_what_its_handle_attached_and_no_more);
	EACH(t, handles_of_one_segment_do_not_disturb_each_other);
	EACH(t, two_handles_attach_and_detach_in_any_order);
	EACH(t, the_handle_that_opened_first_may_close_first);
	t = group(suite, "place", "native", 15); /* valgrind 3.19 trips over such mappings */
	EACH(t, attach_at_maps_exactly_there);
	EACH(t, attach_at_an_occupied_address_harms_nothing);
	EACH(t, remap_replaces_what_is_mapped);
	EACH(t, remap_over_an_attachment_detaches_that);
	EACH(t, addresses_that_cannot_be_are_refused);
	EACH(t, attach_at_takes_the_place_that_the_system_chose);
	EACH(t, populate_brings_all_pages_in);
	t = group(suite, "faults", "native", 15);
	EACH(t, a_write_through_a_read_only_attachment_is_sigsegv);
	EACH(t, a_detached_page_is_gone);
#if defined __linux__ && defined __LP64__
	EACH(t, an_address_outside_of_what_programs_get_is_enomem);
#endif
	EACH(t, code_runs_where_execution_was_asked_for);
}

static void status_group(Suite *suite)
{
	TCase *t = group(suite, "status", NULL, 15);
	EACH(t, lock_unlock_and_remove_move_no_time);
	EACH(t, chmod_and_chown_move_the_change_time_only);
	EACH(t, using_the_memory_or_asking_changes_no_status);
	EACH(t, list_shows_every_segment_once_as_its_status);
	EACH(t, list_stops_when_the_visitor_says_so);
	EACH(t, the_visitor_may_use_the_library);
	EACH(t, print_writes_its_lines_in_order);
	EACH(t, print_names_users_groups_and_local_times);
	EACH(t, print_reports_a_write_error);
}

static void remove_group(Suite *suite)
{
	TCase *t = group(suite, "remove", NULL, 15);
	EACH(t, removing_what_nobody_attaches_ends_it_at_once);
	EACH(t, a_removed_segment_lives_until_its_last_detach);
	EACH(t, no_handle_attaches_after_remove);
	EACH(t, remove_frees_the_key_at_once_and_never_hits_a_successor);
	EACH(t, a_stale_handle_does_not_see_the_successor);
	EACH(t, list_shows_no_removed_segment_that_is_gone);
	EACH(t, a_removed_segment_can_still_be_changed);
	t = group(suite, "memory", "native", 15);
	EACH(t, memory_is_freed_at_the_last_detach_or_when_idle_handles_notice);
	EACH(t, memory_of_an_unattached_segment_is_freed_by_remove_or_when_idle_handles_close);
	EACH(t, memory_is_freed_when_the_last_is_killed_though_an_idle_handle_is_open);
	EACH(t, memory_is_freed_when_the_last_is_killed_and_nobody_else_has_it_open);
	t = group(suite, "lock", NULL, 15);
	EACH(t, a_lock_shows_and_one_unlock_undoes_all);
	EACH(t, anyone_who_may_undoes_the_locks_of_others);
	EACH(t, a_lock_is_no_attachment_and_survives_attach_detach_and_chmod);
}

static void permission_group(Suite *suite)
{
	/* valgrind asks the kernel about a segment before shmat, which needs rights. */
	TCase *t = group(suite, "permission", "native", 15);
	EACH(t, a_stranger_gets_nothing_of_a_private_mode);
	EACH(t, a_reader_reads_is_counted_and_changes_nothing);
	EACH(t, a_reader_cannot_make_his_attachment_writable);
	EACH(t, opening_needs_read_permission);
	EACH(t, the_mode_is_judged_when_attaching);
	EACH(t, a_reader_becomes_a_writer_when_the_mode_allows);
	EACH(t, the_owner_is_judged_by_his_own_bits);
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

static void library_group(Suite *suite)
{
	TCase *t = group(suite, "library", NULL, 15);
	ONCE(t, keys_of_names_are_the_same_everywhere);
	ONCE(t, similar_names_have_keys_of_their_own);
	ONCE(t, all_spellings_of_a_path_give_one_key);
	ONCE(t, the_library_says_what_it_is);
}

static void fill(Suite *suite)
{
	create_group(suite);
	init_group(suite);
	attach_group(suite);
	status_group(suite);
	remove_group(suite);
	permission_group(suite);
	library_group(suite);
}

int main(void)
{
	return harness_main("contract", fill);
}
