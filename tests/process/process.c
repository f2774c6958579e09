/* SPDX-License-Identifier: MIT */
/* What becomes of attachments when processes fork, run other programs, stop, die,
 * change their user, or lose their descriptors. The number attached is exact at
 * every moment at which a process can ask. */
#include "process.h"

#include <sched.h>
#include <sys/stat.h>

struct agent attached_agent(int times)
{
	struct agent agent = agent_start();
	expect_ok(ask(&agent, do_open, 0));
	for (int i = 0; i < times; i++)
		expect_ok(ask(&agent, do_attach, (times - i) % 2 ? 0 : UNISHM_RDONLY));
	return agent;
}

long fork_and_count(long unused)
{
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	long seen = do_number(unused);
	board->words[pid == 0 ? 0 : 1] = seen;
	if (pid == 0)
		wait_to_be_killed();
	while (board->words[0] == 0)
		sched_yield();
	return pid;
}

/* A zombie, or gone, with all its threads. */
static bool is_dead(long pid)
{
	char path[64], text[1024] = "";
	struct stat threads;
	snprintf(path, sizeof path, "/proc/%ld/task", pid);
	bool alone = stat(path, &threads) < 0 || threads.st_nlink <= 3;
	snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	FILE *file = fopen(path, "r");
	if (!file)
		return true;
	bool seen = fgets(text, sizeof text, file) != NULL;
	fclose(file);
	return !seen || (alone && (strstr(text, ") Z") || strstr(text, ") X")));
}

void wait_until_gone(long pid)
{
	while (!is_dead(pid))
		sched_yield();
}

struct cat cat;

void make_cat_pipes(void)
{
	pipe_cloexec(cat.in);
	pipe_cloexec(cat.out);
}

void close_cat_pipes(void)
{
	for (int i = 0; i < 2; i++) {
		close(cat.in[i]);
		close(cat.out[i]);
	}
}

void wait_for_cat(void)
{
	char byte = 'c';
	expect(write(cat.in[1], &byte, 1) == 1 && read(cat.out[0], &byte, 1) == 1, "errno %d",
			errno);
}

static void fill(Suite *suite)
{
	fork_group(suite);
	thread_group(suite);
	end_group(suite);
	clone_group(suite);
	user_group(suite);
	descriptor_group(suite);
	limit_group(suite);
	many_group(suite);
}

int main(void)
{
	return harness_main("process", fill);
}
