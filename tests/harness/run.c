/* SPDX-License-Identifier: MIT */
/* The run: isolated where the system allows, swept before and after each test. */
#include "internal.h"

#include "config.h"
#include "isolate.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <time.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

bool harness_in_agent;
int harness_lifeline[2];
pid_t harness_runner;

static bool isolated;
static const char *current;
static int descriptors_before;
static time_t began; /* of a clock that is not set */

/* Counted in shared memory, since tests run in children of the runner. */
static volatile int *skipped;

/* ---- Where systems differ ------------------------------------------------ */

#ifdef __linux__
/* These have clone()'s first two arguments the other way round. */
long raw_fork(void)
{
#if defined __s390__ || defined __CRIS__
	return syscall(SYS_clone, 0, SIGCHLD, 0, 0, 0);
#else
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

int resident_pages(void *addr, size_t length)
{
	unsigned char resident[1024] = { 0 };
	int count = 0;
	expect(length <= sizeof resident * page_size(), "too long");
	expect(mincore(addr, length, resident) == 0, "errno %d", errno);
	for (size_t i = 0; i < sizeof resident; i++)
		count += resident[i] & 1;
	return count;
}
#else
int resident_pages(void *addr, size_t length)
{
	(void)addr, (void)length;
	return -1;
}
#endif

/* ---- Failing and skipping ------------------------------------------------ */

void harness_fail(const char *file, int line, const char *what, const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (!harness_in_agent)
		ck_abort_msg("[%s] %s:%d: %s: %s", current ? current : "-", file, line, what, text);
	fprintf(stderr, "agent %ld [%s] %s:%d: %s: %s\n", (long)getpid(), current, file, line, what,
			text);
	_exit(98);
}

void harness_rc(const char *file, int line, const char *what, long got, long want)
{
	if (got != want)
		harness_fail(file, line, what, "is %ld, not %ld; last message: %s; of an agent: %s",
				got, want, unishm_errmsg(), board->said);
}

void skip(const char *test, const char *why)
{
	int length = (int)strlen(test); /* Check names the function of a test "name_fn" */
	if (length > 3 && strcmp(test + length - 3, "_fn") == 0)
		length -= 3;
	printf("skipped: %.*s [%s]: %s\n", length, test, current, why);
	fflush(stdout);
	++*skipped;
}

/* Root of a user namespace may know no other user: then it can be none. */
static bool knows_others(void)
{
	unsigned from = 0, to = 0, count = ~0u;
	FILE *map = fopen("/proc/self/uid_map", "re");
	if (map && fscanf(map, "%u %u %u", &from, &to, &count) != 3)
		count = 0;
	if (map)
		fclose(map);
	return count > 65534;
}

bool is_root(void)
{
	return geteuid() == 0 && knows_others();
}

bool is_isolated(void)
{
	return isolated;
}

bool is_instrumented(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
	return true;
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
		__has_feature(memory_sanitizer)
	return true;
#endif
#endif
	return getenv("UNISHM_TEST_INSTRUMENTED") != NULL; /* set for valgrind */
}

int rounds(int many)
{
	return is_instrumented() ? (many + 9) / 10 : many;
}

static time_t seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

bool more_rounds(long done, int many)
{
	const time_t long_enough = 10;
	long wanted = rounds(many);
	return done < wanted && (done < wanted / 10 || seconds() - began < long_enough);
}

/* ---- Leaving nothing behind ---------------------------------------------- */

static void remove_key(const char *name, key_t which)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	opt.backend = name;
	opt.key = which;
	if (unishm_open_with(&seg, &opt) < 0)
		return;
	unishm_remove(seg);
	unishm_close(seg);
}

static void sweep_keys(pid_t owner)
{
	for (int i = 0; i < backends(); i++)
		for (int n = 0; n < 64; n++)
			remove_key(unishm_backends()[i], harness_key_of(owner, n));
}

static void sweep(void)
{
	if (isolated) {
		isolate_sweep();
	} else {
		sweep_keys(harness_runner);
	}
}

/* A run that was killed where nothing isolates it left what it had. */
static int sweep_dead_runner(const struct unishm_status *st, void *arg)
{
	uint32_t bits = (uint32_t)st->key;
	pid_t owner = (pid_t)(bits >> 6 & 0x3fffff);
	(void)arg;
	if (bits >> 28 == 5 && kill(owner, 0) < 0 && errno == ESRCH)
		remove_key(st->backend, st->key);
	return 0;
}

static void sweep_dead_runners(void)
{
	for (int i = 0; i < backends(); i++)
		unishm_list(unishm_backends()[i], sweep_dead_runner, NULL);
}

static int take_any(const struct unishm_status *st, void *arg)
{
	(void)st, (void)arg;
	return 0;
}

void sweep_drafts(void)
{
	if (isolated && !has_description_locks() && on("posix"))
		expect_ok(unishm_sweep("posix", 0, take_any, NULL));
}

/* After each test that went well: it gave back all it took. */
static void nothing_is_left(void)
{
	if (!current)
		return;
	sweep_drafts();
	/* Processes that are no children of the test's may still be ending. With locks of the
	 * process, a child whose parent was killed within fork() is not counted until it runs. */
	for (int i = 0; isolated && memory_used() && i < 2000; i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	if (isolated)
		expect(memory_used() == 0, "%zu bytes of segments are left", memory_used());
	int now = count_descriptors();
	expect(now == descriptors_before, "%d descriptors, %d before", now, descriptors_before);
}

/* ---- Running ------------------------------------------------------------- */

int backends(void)
{
	int count = 0;
	while (unishm_backends()[count])
		count++;
	return count;
}

void begin(int which)
{
	sweep();
	memset((void *)board, 0, sizeof *board);
	mine = NULL;
	at = NULL;
	current = unishm_backends()[which];
	setenv("UNISHM_BACKEND", current, 1);
	descriptors_before = count_descriptors();
	began = seconds();
}

const char *backend(void)
{
	return current;
}

bool on(const char *name)
{
	return strcmp(current, name) == 0;
}

static void forget_test(void)
{
	current = NULL;
}

TCase *group(Suite *suite, const char *name, const char *tags, int seconds)
{
	TCase *tcase = tcase_create(name);
	if (tags)
		tcase_set_tags(tcase, tags);
	tcase_set_timeout(tcase, seconds);
	tcase_add_unchecked_fixture(tcase, NULL, sweep);
	tcase_add_checked_fixture(tcase, forget_test, nothing_is_left);
	suite_add_tcase(suite, tcase);
	return tcase;
}

static void *shared_page(void)
{
	void *page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	if (page == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return page;
}

int harness_main(const char *name, void (*fill)(Suite *suite))
{
	emulator_correct();
	isolated = !getenv("UNISHM_TEST_AS_IS") && isolate(); /* set by scripts/surroundings */
	harness_runner = getpid();
	pipe_cloexec(harness_lifeline);
	board = shared_page();
	skipped = shared_page();
	if (!isolated) {
		printf("not isolated (needs root or user namespaces): using keys of our own\n");
		sweep_dead_runners();
	}
	Suite *suite = suite_create(name);
	fill(suite);
	SRunner *all = srunner_create(suite);
	srunner_run_all(all, CK_ENV);
	int failed = srunner_ntests_failed(all);
	srunner_free(all);
	if (*skipped)
		printf("%d skipped\n", *skipped);
	sweep();
	munmap((void *)skipped, page_size());
	munmap(board, page_size());
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
