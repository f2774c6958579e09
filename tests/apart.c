/* SPDX-License-Identifier: MIT */
#include "apart.h"

#include <dirent.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { LAST_NET = 120 };

bool can_be_apart(void)
{
	return is_root() && is_isolated();
}

/* ---- Processes ------------------------------------------------------------- */

struct job {
	task what;
	long arg;
};

static struct job job;

static long do_apart(long unused)
{
	(void)unused;
	alarm(LAST_NET);
	expect(unshare(CLONE_NEWNS) == 0, "errno %d", errno);
	expect(mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0, "errno %d", errno);
	return job.what(job.arg);
}

long apart(task what, long arg)
{
	job = (struct job){ what, arg };
	struct agent agent = agent_start();
	long rc = ask(&agent, do_apart, 0);
	agent_end(&agent);
	return rc;
}

static void end_with_parent(void)
{
	alarm(LAST_NET);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void become(uid_t user)
{
	if (user != 0)
		expect_ok(do_become((long)user));
}

static long answer_of(pid_t pid, int from)
{
	int status = 0;
	long rc = 0;
	bool answered = read(from, &rc, sizeof rc) == (ssize_t)sizeof rc;
	close(from);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return answered && status == 0 ? rc : DIED + status;
}

static _Noreturn void answer(int to, uid_t user, task what, long arg)
{
	become(user);
	end_with_parent();
	board->said[0] = '\0';
	long rc = what(arg);
	snprintf(board->said, sizeof board->said, "%s", unishm_errmsg());
	_exit(write(to, &rc, sizeof rc) == (ssize_t)sizeof rc ? 0 : 96);
}

long in_child_as(uid_t user, task what, long arg)
{
	int ends[2];
	pipe_cloexec(ends);
	fflush(NULL);
	pid_t pid = fork();
	expect(pid >= 0, "errno %d", errno);
	if (pid == 0)
		answer(ends[1], user, what, arg);
	close(ends[1]);
	return answer_of(pid, ends[0]);
}

long in_child(task what, long arg)
{
	return in_child_as(0, what, arg);
}

struct helper helper_start_as(uid_t user, task what, long arg)
{
	int ends[2];
	pipe_cloexec(ends);
	fflush(NULL);
	pid_t pid = fork();
	expect(pid >= 0, "errno %d", errno);
	if (pid == 0) {
		become(user);
		end_with_parent();
		long rc = what(arg);
		expect(write(ends[1], &rc, sizeof rc) == (ssize_t)sizeof rc, "errno %d", errno);
		wait_to_be_killed();
	}
	close(ends[1]);
	long rc = -1;
	expect(read(ends[0], &rc, sizeof rc) == (ssize_t)sizeof rc, "the helper died");
	expect(rc >= 0, "the helper failed: %ld", rc);
	return (struct helper){ pid, ends[0] };
}

struct helper helper_start(task what, long arg)
{
	return helper_start_as(0, what, arg);
}

void helper_kill(struct helper *helper)
{
	int status;
	kill(helper->pid, SIGKILL);
	close(helper->from);
	while (waitpid(helper->pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* ---- Places ------------------------------------------------------------------ */

int place(const char *type, const char *options)
{
	return mount(type, "/dev/shm", type, 0, options) < 0 ? -errno : 0;
}

void empty_tmp(void)
{
	expect(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777") == 0, "errno %d", errno);
}

/* ---- Filters ------------------------------------------------------------------- */

static int install(struct sock_filter *steps, size_t count)
{
	struct sock_fprog program = { (unsigned short)count, steps };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* The low half of an argument. */
static unsigned place_of(int which)
{
	size_t start = offsetof(struct seccomp_data, args) + (size_t)which * sizeof(uint64_t);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	start += sizeof(uint32_t);
#endif
	return (unsigned)start;
}

static int refuse_if(int number, int which, unsigned mask, unsigned value, int code)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, place_of(which)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)code),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	return install(steps, sizeof steps / sizeof *steps);
}

int refuse(int number, int which, unsigned bits, int code)
{
	return refuse_if(number, which, bits, bits, code);
}

int refuse_equal(int number, int which, unsigned value, int code)
{
	return refuse_if(number, which, ~0u, value, code);
}

/* ---- Small things ------------------------------------------------------------------ */

bool says(const char *words)
{
	return strstr(unishm_errmsg(), words) != NULL;
}

int make_shared(size_t size, struct unishm **seg)
{
	return unishm_open(seg, key(0), O_CREAT | O_EXCL, size, 0666);
}

bool are_all(const volatile char *bytes, size_t size, char byte)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != byte)
			return false;
	return true;
}

int entries(void)
{
	int count = 0;
	DIR *dir = opendir("/dev/shm");
	if (!dir)
		return -errno;
	for (struct dirent *entry; (entry = readdir(dir));)
		count += strncmp(entry->d_name, "ush", 3) == 0;
	closedir(dir);
	return count;
}

/* ---- All that a program does --------------------------------------------------------- */

/* With a child, whose attachments are counted, and whose end is. */
void use_with_child(struct unishm *seg)
{
	int status;
	unsigned long before = number_attached(seg);
	pid_t child = fork();
	if (child == 0)
		_exit(number_attached(seg) == 2 * before ? 0 : 1);
	expect(waitpid(child, &status, 0) == child && status == 0, "ended with %#x",
			(unsigned)status);
	expect_rc((long)number_attached(seg), (long)before);
	expect_rc((long)status_of(seg).inexact, 0);
}

long use_fully(long size)
{
	struct unishm *seg;
	expect_ok(make_shared((size_t)size, &seg));
	char *one = attach(seg, 0), *two = attach(seg, UNISHM_RDONLY);
	memset(one, 'a', (size_t)size);
	expect(are_all(two, (size_t)size, 'a'), "another memory");
	expect_rc((long)number_attached(seg), 2);
	use_with_child(seg);
	detach(seg, two);
	expect_rc(try_open(0), 0);
	expect_rc(do_list_count(0), 1);
	expect_ok(unishm_remove(seg));
	expect_rc(try_open(0), -ENOENT);
	use_with_child(seg);
	expect(are_all(one, (size_t)size, 'a'), "bytes were lost");
	unishm_close(seg);
	return on("posix") ? entries() : 0;
}
