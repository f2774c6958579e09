/* SPDX-License-Identifier: MIT */
/* The links of relay.c's chains: how one process hands its attachments on to the next. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "history.h"

struct link me;

/* ---- Forks ------------------------------------------------------------------- */

void attach_all(int flags)
{
	for (int i = 0; i < EACH; i++)
		if (unishm_attach(me.seg, flags, &me.at[i]) < 0) {
			fail("attach: %s", unishm_errmsg());
			_exit(1);
		}
}

/* The bytes are what the one before left. */
static void take_over(void)
{
	unsigned generation = atomic_fetch_add(&mine()->generation, 1) + 1;
	atomic_store(&mine()->pid[me.second], getpid());
	const unsigned char *bytes = me.at[0];
	for (unsigned i = SIZE / 2; i < SIZE; i++)
		if (bytes[i] != 0x5a) {
			fail("generation %u: byte %u became 0x%02x", generation, i, bytes[i]);
			_exit(1);
		}
}

static void await_end_of(pid_t parent)
{
	while (getppid() == parent)
		wait_a_bit();
}

/* Other programs may have used up all processes of the system for a moment. */
static pid_t fork_in_time(void)
{
	long long start = milliseconds();
	pid_t pid = fork();
	while (pid < 0 && errno == EAGAIN && milliseconds() - start < patience()) {
		wait_a_bit();
		pid = fork();
	}
	return pid;
}

/* One that is killed at once leaves a dead hold for the next to meet. */
static void lose_a_child(void)
{
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		await_end_of(parent); /* which may be killed before it kills this one */
		_exit(0);
	}
	if (pid < 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void hand_over(void)
{
	pid_t parent = getpid(), pid = fork_in_time();
	if (pid > 0)
		_exit(0);
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	else
		await_end_of(parent);
}

void pass_by_fork(void)
{
	if (below(&me.random, 3) == 0)
		lose_a_child();
	hand_over();
	take_over();
}

/* ---- Daemons ----------------------------------------------------------------- */

void check_logs(void)
{
	char text[8] = "";
	for (int i = 0; me.logging && i < LOGS; i++) {
		struct stat st;
		if (fstat(me.log[i], &st) < 0)
			fail("a log is closed: descriptor %d", me.log[i]);
		else if (st.st_size != 3 || pread(me.log[i], text, 3, 0) != 3 ||
				memcmp(text, "log", 3) != 0)
			fail("a log of 3 bytes has %ld, \"%s\"", (long)st.st_size, text);
	}
}

/* Close whatever is open, and open logs under the same numbers. */
static void close_all_and_log(void)
{
	check_logs();
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	for (int i = 0; i < LOGS; i++) {
		me.log[i] = memfd_create("log", MFD_CLOEXEC);
		if (me.log[i] < 0 || write(me.log[i], "log", 3) != 3)
			abort();
	}
	me.logging = true;
}

void pass_by_daemon(void)
{
	hand_over();
	setsid();
	hand_over();
	close_all_and_log();
	take_over();
	if (below(&me.random, 2))
		lose_a_child();
	check_logs();
}

static void take_descriptors(void)
{
	if (me.seg)
		close_all_and_log();
}

void pass_with_handlers(void)
{
	static bool registered;
	if (!registered)
		pthread_atfork(take_descriptors, NULL, take_descriptors);
	registered = true;
	pass_by_fork();
	check_logs();
}

/* ---- Without the C library's fork ---------------------------------------------- */

extern pid_t _Fork(void) __attribute__((weak));

/* A child of _Fork() is counted from its first call on; until then its parent stays. What the
 * first in the chain mapped is inherited by all, with the description that holds its lock. */
void pass_raw(void)
{
	pid_t parent = getpid(), pid = _Fork ? _Fork() : fork();
	unsigned next = atomic_load(&mine()->generation) + 1;
	struct unishm_status st;
	if (pid > 0) {
		long long start = milliseconds();
		while (atomic_load(&mine()->counted) != next && milliseconds() - start < patience())
			wait_a_bit();
		_exit(0);
	}
	if (unishm_status(me.seg, &st) < 0)
		fail("status in a child: %s", unishm_errmsg());
	atomic_store(&mine()->counted, next);
	await_end_of(parent);
	take_over();
}

/* ---- Two that take turns --------------------------------------------------------- */

/* An even token: the first is attached; the other attaches and makes it odd, which the first
 * answers by leaving. And the other way round, by fours. */
static void take_turns(int flags)
{
	unsigned token = atomic_load(&mine()->token);
	unsigned comes = me.second ? 0 : 2, leaves = me.second ? 3 : 1;
	if (token % 4 == comes) {
		attach_all(flags);
		take_over();
		atomic_store(&mine()->token, token + 1);
	} else if (token % 4 == leaves) {
		for (int i = 0; i < EACH; i++)
			if (unishm_detach(me.seg, me.at[i]) < 0)
				fail("detach: %s", unishm_errmsg());
		atomic_store(&mine()->token, token + 1);
	} else {
		wait_a_bit();
	}
}

void pass_by_turns(void)
{
	take_turns(0);
}

void pass_by_turns_as_reader(void)
{
	take_turns(UNISHM_RDONLY);
}

void pass_by_mixed_turns(void)
{
	take_turns(me.second ? UNISHM_RDONLY : 0);
}
