/* SPDX-License-Identifier: MIT */
/* Agents: other processes, which do one task at a time. */
#include "internal.h"

#include "isolate.h"

#include <grp.h>
#include <signal.h>
#include <sys/wait.h>

struct unishm *mine;
void *at;
struct board *board;

static int agent_in = -1, agent_out = -1;

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
	harness_in_agent = true;
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

void fork_and_end(void)
{
	int ended = 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	expect(pid > 0 && waitpid(pid, &ended, 0) == pid, "errno %d", errno);
	expect(ended == 0, "the child ended with %#x", (unsigned)ended);
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
	close(harness_lifeline[1]);
	close(down[1]);
	close(up[0]);
	agent_in = down[0];
	agent_out = up[1];
	harness_in_agent = true;
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
	expect(isolate_pids_of_children() == 0, "errno %d", errno);
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
	return fd == agent_in || fd == agent_out || fd == harness_lifeline[0] || fd == 1 || fd == 2;
}

void wait_to_be_killed(void)
{
	char byte;
	while (read(harness_lifeline[0], &byte, 1) < 0 && errno == EINTR)
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
	expect(WIFEXITED(ended) && WEXITSTATUS(ended) == 0, "the agent ended with %#x",
			(unsigned)ended);
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

long do_close_descriptors(long from)
{
	for (int fd = (int)from; fd < 1024; fd++)
		if (!agent_needs(fd))
			close(fd);
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
