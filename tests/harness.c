/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include "config.h"

#include <dirent.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

struct unishm *mine;
void *at;
struct board *board;

static bool isolated;
static bool in_agent;
static int agent_in = -1, agent_out = -1;
static int lifeline[2]; /* the test holds the end to write; nobody writes */
static pid_t runner;
static const char *current;
static int descriptors_before;

/* Counted in shared memory, since tests run in children of the runner. */
static volatile int *skipped;

/* ---- Where systems differ ------------------------------------------------ */

#ifdef __linux__
#include <linux/capability.h>
#include <sys/syscall.h>

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

/* Without root: a user namespace in which we are who we were. */
static bool enter_user_namespace(void)
{
	char map[64];
	unsigned user = geteuid(), group_id = getegid();
	if (unshare(CLONE_NEWUSER) < 0)
		return false;
	snprintf(map, sizeof map, "%u %u 1", user, user);
	bool done = write_file("/proc/self/uid_map", map) && write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof map, "%u %u 1", group_id, group_id);
	return done && write_file("/proc/self/gid_map", map);
}

/* The namespace made us powerful: be an ordinary user again. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2];
	memset(none, 0, sizeof none);
	syscall(SYS_capset, &header, none);
}

/* Own System V segments and an own /dev/shm, of a size that a test can fill. */
static bool isolate(void)
{
	bool root = geteuid() == 0;
	if (!root && !enter_user_namespace())
		return false;
	bool done = unshare(CLONE_NEWNS | CLONE_NEWIPC) == 0 &&
			mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0 &&
			mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777,size=256m") == 0;
	if (!root)
		drop_capabilities();
	return done;
}

static int enter_pid_namespace(void)
{
	return unshare(CLONE_NEWPID);
}

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

static size_t sysv_memory(void)
{
	struct shm_info info;
	if (shmctl(0, SHM_INFO, (void *)&info) < 0)
		return 0;
	return (size_t)info.shm_tot * page_size();
}

/* In an own namespace all segments are ours, whatever their keys. */
static void sweep_sysv(void)
{
	struct shmid_ds ds;
	int last = shmctl(0, SHM_INFO, &ds);
	for (int slot = 0; slot <= last; slot++) {
		int id = shmctl(slot, SHM_STAT_ANY, &ds);
		if (id < 0)
			id = shmctl(slot, SHM_STAT, &ds); /* qemu-user has no other */
		if (id >= 0)
			shmctl(id, IPC_RMID, NULL);
	}
}
#else
int resident_pages(void *addr, size_t length)
{
	(void)addr, (void)length;
	return -1;
}

static bool isolate(void)
{
	return false;
}

static int enter_pid_namespace(void)
{
	errno = ENOSYS;
	return -1;
}

static size_t sysv_memory(void)
{
	return 0;
}

static void sweep_sysv(void)
{
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
	if (!in_agent)
		ck_abort_msg("[%s] %s:%d: %s: %s", current ? current : "-", file, line, what, text);
	fprintf(stderr, "agent %ld [%s] %s:%d: %s: %s\n", (long)getpid(), current, file, line, what, text);
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
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
	return true;
#endif
#endif
	return getenv("UNISHM_TEST_INSTRUMENTED") != NULL; /* set for valgrind */
}

int rounds(int many)
{
	return is_instrumented() ? (many + 9) / 10 : many;
}

/* ---- Segments ------------------------------------------------------------ */

/* 0x5, the runner's pid (22 bits on Linux), the number (6 bits). */
static key_t key_of(pid_t owner, int n)
{
	return (key_t)(0x50000000u | ((uint32_t)owner & 0x3fffff) << 6 | ((uint32_t)n & 63));
}

key_t key(int n)
{
	return n < 0 ? UNISHM_PRIVATE : key_of(runner, n);
}

size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

size_t granularity(void)
{
#if UNISHM_HAVE_SYSV && defined SHMLBA
	if (on("sysv") && (size_t)SHMLBA > page_size())
		return (size_t)SHMLBA;
#endif
	return page_size();
}

char *map_area(size_t length)
{
	size_t step = granularity(), room = length + step - page_size();
	char *area = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(area != MAP_FAILED, "errno %d", errno);
	size_t before = (step - (uintptr_t)area % step) % step;
	if (before)
		munmap(area, before);
	if (room > before + length)
		munmap(area + before + length, room - before - length);
	return area + before;
}

struct unishm *make(int n, size_t size, mode_t mode)
{
	struct unishm *seg = NULL;
	expect_ok(unishm_open(&seg, key(n), O_CREAT | O_EXCL, size, mode));
	expect(seg, "no handle");
	return seg;
}

struct unishm *take(int n)
{
	struct unishm *seg = NULL;
	expect_ok(unishm_open(&seg, key(n), 0, 0, 0));
	return seg;
}

int try_open(int n)
{
	struct unishm *seg = NULL;
	int rc = unishm_open(&seg, key(n), 0, 0, 0);
	expect((rc == 0) == (seg != NULL), "the answer %d does not fit the handle %p", rc, (void *)seg);
	unishm_close(seg);
	return rc;
}

void *attach(struct unishm *seg, int flags)
{
	void *addr = NULL;
	expect_ok(unishm_attach(seg, flags, &addr));
	expect(addr, "no address");
	return addr;
}

void detach(struct unishm *seg, void *addr)
{
	expect_ok(unishm_detach(seg, addr));
}

void drop(struct unishm *seg)
{
	expect_ok(unishm_remove(seg));
	unishm_close(seg);
}

struct unishm_status status_of(struct unishm *seg)
{
	struct unishm_status st;
	memset(&st, 0, sizeof st);
	expect_ok(unishm_status(seg, &st));
	return st;
}

unsigned long number_attached(struct unishm *seg)
{
	return status_of(seg).number_attached;
}

bool since(time_t start, time_t when)
{
	return when >= start - 1 && when <= time(NULL) + 1;
}

void next_second(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct timespec rest = { 0, 1000000000L - now.tv_nsec };
	/* One more tick: the kernel's own clock may lag by one. */
	rest.tv_nsec = rest.tv_nsec > 979999999L ? 999999999L : rest.tv_nsec + 20000000L;
	nanosleep(&rest, NULL);
}

size_t memory_used(void)
{
	struct statvfs fs;
	if (on("sysv"))
		return sysv_memory();
	expect(statvfs("/dev/shm", &fs) == 0, "errno %d", errno);
	return (size_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
}

/* The library keeps two for the process, once it needs them: of the directory where objects are, and
 * of the list of mappings. */
static bool is_kept(int fd)
{
	char path[32], to[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(path, to, sizeof to - 1);
	if (length < 0)
		return false;
	to[length] = '\0';
	return strcmp(to, "/dev/shm") == 0 || (length > 5 && strcmp(to + length - 5, "/maps") == 0);
}

int count_descriptors(void)
{
	int open_now = 0;
	for (int fd = 0; fd < 4096; fd++)
		open_now += fcntl(fd, F_GETFD) >= 0 && !is_kept(fd);
	return open_now;
}

bool has_description_locks(void)
{
	return UNISHM_OS_LINUX;
}

static bool imitates(const char *system)
{
	return on("posix") && strcmp(UNISHM_OS_IMITATED, system) == 0;
}

bool can_reserve(void)
{
	return !imitates("macos");
}

bool can_change_rights(void)
{
	return !imitates("macos");
}

bool can_share(void)
{
	return !imitates("openbsd");
}

bool can_refuse_addresses(void)
{
	return !on("sysv") || strcmp(UNISHM_OS_IMITATED, "openbsd") != 0;
}

bool can_lock(void)
{
	return !on("sysv") || UNISHM_OS_LINUX || strcmp(UNISHM_OS_IMITATED, "netbsd") == 0;
}

size_t record_memory(void)
{
	return on("sysv") ? 0 : UNISHM_OS_LINUX ? page_size() : 65536;
}

const char *record_path(void)
{
	static char path[NAME_MAX + 16];
	const char *name = only_object();
	if (!name)
		return NULL;
	snprintf(path, sizeof path, "/dev/shm/%s%s", UNISHM_OS_LINUX ? "" : ".", name);
	return path;
}

const char *only_object(void)
{
	static char name[NAME_MAX + 1];
	int found = 0;
	DIR *dir = opendir("/dev/shm");
	if (!dir)
		return NULL;
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof name, "%s", entry->d_name);
		found++;
	}
	closedir(dir);
	return found == 1 ? name : NULL;
}

/* ---- Leaving nothing behind ---------------------------------------------- */

static void sweep_objects(void)
{
	char path[NAME_MAX + 16];
	DIR *dir = opendir("/dev/shm");
	if (!dir)
		return;
	for (struct dirent *entry; (entry = readdir(dir));) {
		snprintf(path, sizeof path, "/dev/shm/%s", entry->d_name);
		if (unlink(path) < 0)
			rmdir(path);
	}
	closedir(dir);
}

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
			remove_key(unishm_backends()[i], key_of(owner, n));
}

static void sweep(void)
{
	if (isolated) {
		sweep_sysv();
		sweep_objects();
	} else {
		sweep_keys(runner);
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
	/* With locks of the process, a child whose parent was killed within fork() is
	 * not counted until it runs, and so may still be there. */
	for (int i = 0; isolated && !UNISHM_OS_LINUX && memory_used() && i < 1000; i++)
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
	void *page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
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
	runner = getpid();
	pipe_cloexec(lifeline);
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

/* ---- Agents -------------------------------------------------------------- */

struct request {
	task what;
	long arg;
};

static bool read_all(int fd, void *to, size_t count)
{
	for (size_t done = 0; done < count;) {
		ssize_t n = read(fd, (char *)to + done, count - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static void write_all(int fd, const void *from, size_t count)
{
	ssize_t n;
	do
		n = write(fd, from, count); /* small: never in pieces */
	while (n < 0 && errno == EINTR);
	expect(n == (ssize_t)count, "an agent does not listen any more");
}

static _Noreturn void serve(void)
{
	struct request request;
	in_agent = true;
	signal(SIGPIPE, SIG_DFL);
	signal(SIGSEGV, SIG_DFL); /* sanitizers catch it */
	signal(SIGBUS, SIG_DFL);
	while (read_all(agent_in, &request, sizeof request)) {
		long answer = request.what(request.arg);
		if (answer < 0)
			snprintf(board->said, sizeof board->said, "%s", unishm_errmsg());
		write_all(agent_out, &answer, sizeof answer);
	}
	_exit(0);
}

/* Our ends of the pipes to agents: one that is forked later must not hold those of
 * one that came earlier, which would never see its end. */
static int ends[512];
static int ends_open;

static void remember_end(int fd)
{
	expect(ends_open < (int)(sizeof ends / sizeof *ends), "too many agents");
	ends[ends_open++] = fd;
}

static void close_end(int fd)
{
	for (int i = 0; i < ends_open; i++)
		if (ends[i] == fd)
			ends[i] = ends[--ends_open];
	close(fd);
}

void pipe_cloexec(int fds[2])
{
	expect(pipe(fds) == 0 && fcntl(fds[0], F_SETFD, FD_CLOEXEC) == 0 &&
			fcntl(fds[1], F_SETFD, FD_CLOEXEC) == 0, "errno %d", errno);
}

static void make_pipes(int down[2], int up[2])
{
	signal(SIGPIPE, SIG_IGN);
	fflush(NULL);
	pipe_cloexec(down);
	pipe_cloexec(up);
}

static void become_agent(const int down[2], const int up[2])
{
	while (ends_open)
		close(ends[--ends_open]);
	close(lifeline[1]);
	close(down[1]);
	close(up[0]);
	agent_in = down[0];
	agent_out = up[1];
	in_agent = true;
}

static struct agent agent_of(pid_t pid, const int down[2], const int up[2])
{
	expect(pid > 0, "cannot fork: errno %d", errno);
	close(down[0]);
	close(up[1]);
	remember_end(down[1]);
	remember_end(up[0]);
	return (struct agent){ pid, pid, down[1], up[0] };
}

struct agent agent_start(void)
{
	int down[2], up[2];
	make_pipes(down, up);
	pid_t pid = fork();
	if (pid == 0) {
		become_agent(down, up);
		serve();
	}
	return agent_of(pid, down, up);
}

struct agent agent_start_as(uid_t user)
{
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_become, (long)user));
	return agent;
}

/* Its first process would be the namespace's init; the one between makes it, and
 * passes on how it ends. */
static _Noreturn void hold_namespace(void)
{
	int ended;
	expect(enter_pid_namespace() == 0, "errno %d", errno);
	pid_t pid = fork();
	if (pid == 0)
		serve();
	long number = pid;
	write_all(agent_out, &number, sizeof number);
	close(agent_in);
	close(agent_out);
	while (waitpid(pid, &ended, 0) < 0)
		;
	_exit(WIFEXITED(ended) ? WEXITSTATUS(ended) : 100 + WTERMSIG(ended));
}

struct agent agent_start_in_pid_namespace(void)
{
	int down[2], up[2];
	make_pipes(down, up);
	pid_t pid = fork();
	if (pid == 0) {
		become_agent(down, up);
		hold_namespace();
	}
	struct agent agent = agent_of(pid, down, up);
	agent.pid = (pid_t)hear(&agent);
	return agent;
}

void tell(struct agent *agent, task what, long arg)
{
	struct request request;
	memset(&request, 0, sizeof request);
	request.what = what;
	request.arg = arg;
	write_all(agent->to, &request, sizeof request);
}

long hear(struct agent *agent)
{
	long answer = 0;
	expect(read_all(agent->from, &answer, sizeof answer), "the agent died");
	return answer;
}

long ask(struct agent *agent, task what, long arg)
{
	tell(agent, what, arg);
	return hear(agent);
}

void say_word(void)
{
	long word = 0x77;
	write_all(agent_out, &word, sizeof word);
}

void hear_word(struct agent *agent)
{
	expect_rc(hear(agent), 0x77);
}

bool agent_needs(int fd)
{
	return fd == agent_in || fd == agent_out || fd == lifeline[0] || fd == 1 || fd == 2;
}

void wait_to_be_killed(void)
{
	char byte;
	while (read(lifeline[0], &byte, 1) < 0 && errno == EINTR)
		;
	_exit(97);
}

int agent_wait(struct agent *agent)
{
	int ended = 0;
	close_end(agent->to);
	close_end(agent->from);
	while (waitpid(agent->waiter, &ended, 0) < 0)
		expect(errno == EINTR, "errno %d", errno);
	return ended;
}

void agent_end(struct agent *agent)
{
	int ended = agent_wait(agent);
	expect(WIFEXITED(ended) && WEXITSTATUS(ended) == 0, "the agent ended with %#x", (unsigned)ended);
}

int agent_kill(struct agent *agent)
{
	kill(agent->pid, SIGKILL);
	return agent_wait(agent);
}

/* ---- Tasks --------------------------------------------------------------- */

long do_open(long n)
{
	return unishm_open(&mine, key((int)n), 0, 0, 0);
}

long do_create(long n)
{
	return unishm_open(&mine, key((int)n), O_CREAT | O_EXCL, SMALL, 0600);
}

long do_open_id(long id)
{
	return unishm_open_id(&mine, (int)id);
}

long do_attach(long flags)
{
	int rc = unishm_attach(mine, (int)flags, &at);
	board->where = at;
	return rc;
}

long do_detach(long unused)
{
	(void)unused;
	return unishm_detach(mine, at);
}

long do_close(long unused)
{
	(void)unused;
	unishm_close(mine);
	mine = NULL;
	return 0;
}

long do_remove(long unused)
{
	(void)unused;
	return unishm_remove(mine);
}

long do_lock(long unused)
{
	(void)unused;
	return unishm_lock(mine);
}

long do_unlock(long unused)
{
	(void)unused;
	return unishm_unlock(mine);
}

long do_chmod(long mode)
{
	return unishm_chmod(mine, (mode_t)mode);
}

long do_chown(long user)
{
	return unishm_chown(mine, (uid_t)user, (gid_t)-1);
}

long do_status(long unused)
{
	(void)unused;
	return unishm_status(mine, &board->st);
}

long do_number(long unused)
{
	struct unishm_status st;
	(void)unused;
	int rc = unishm_status(mine, &st);
	return rc < 0 ? rc : (long)st.number_attached;
}

long do_read(long offset)
{
	return ((volatile char *)at)[offset];
}

long do_write(long offset)
{
	((volatile char *)at)[offset] = 'x';
	return 0;
}

long do_become(long user)
{
	if (setgroups(0, NULL) < 0 || setgid((gid_t)user) < 0 || setuid((uid_t)user) < 0)
		return -errno;
	return 0;
}

long do_fork(long unused)
{
	(void)unused;
	pid_t pid = fork();
	if (pid == 0) {
		/* The pipes are the agent's: its end must show although we live. */
		close(agent_in);
		close(agent_out);
		wait_to_be_killed();
	}
	return pid;
}

long do_reap(long pid)
{
	int ended = 0;
	kill((pid_t)pid, SIGKILL);
	return waitpid((pid_t)pid, &ended, 0) == (pid_t)pid ? 0 : -errno;
}

static int count_one(const struct unishm_status *st, void *arg)
{
	(void)st;
	++*(long *)arg;
	return 0;
}

long do_list_count(long unused)
{
	long count = 0;
	(void)unused;
	int rc = unishm_list(NULL, count_one, &count);
	return rc < 0 ? rc : count;
}
