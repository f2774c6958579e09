/* SPDX-License-Identifier: MIT */
/* What shmat() and shmdt() answer. */
#include "facts.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SIZE = 3 * 4096 };

static void bad_ids(void)
{
	static const int ids[] = { -1, INT_MIN, INT_MAX, 1 << 30 };
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
		say("%s ", result_of_attach(shmat(ids[i], NULL, 0)));
}

static void at_an_address(void)
{
	int id = make(SIZE, 0600);
	char *range = free_range(4 * SIZE);
	say("%d ", shmat(id, range, 0) == range);
	say("%s ", result_of_attach(shmat(id, range, 0)));
	say("%s ", result_of_attach(shmat(id, range - 4096, 0)));
	say("%s ", result_of_attach(shmat(id, range + SIZE + 1, 0)));
	say("%d ", shmat(id, range + SIZE + 1, SHM_RND) == range + SIZE);
	say("%lu", count(id));
}

static void remap(void)
{
	int id = make(SIZE, 0600);
	char *own = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	say("%s ", result_of_attach(shmat(id, own, 0)));
	say("%d ", shmat(id, own, SHM_REMAP) == own);
	say("%s ", result_of_attach(shmat(id, NULL, SHM_REMAP)));
	say("%s ", result_of_attach(shmat(id, (void *)(uintptr_t)1, SHM_REMAP | SHM_RND)));
	say("%s ", result_of_attach(shmat(id, (void *)(uintptr_t)1, SHM_REMAP)));
	say("%lu", count(id));
}

static void out_of_reach(void)
{
	int id = make(SIZE, 0600);
	say("%s ", result_of_attach(shmat(id, (void *)(uintptr_t)0xffff800000000000ull, 0)));
	struct rlimit limit = { 1 << 20, 1 << 20 };
	setrlimit(RLIMIT_AS, &limit);
	say("%s", result_of_attach(shmat(id, NULL, 0)));
}

static void unknown_flags(void)
{
	say("%s", result_of_attach(shmat(make(SIZE, 0600), NULL, 0x4)));
}

static void readonly(void)
{
	int id = make(SIZE, 0600);
	char *addr = shmat(id, NULL, SHM_RDONLY);
	say("%d %d ", can_read(addr), can_write(addr));
	say("%s", result(mprotect(addr, 4096, PROT_READ | PROT_WRITE)));
}

static void what_detach_refuses(void)
{
	int id = make(SIZE, 0600);
	char *addr = attach(id), *heap = malloc(10000), on_stack[10000];
	char *own = mmap(NULL, SIZE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *const all[] = { addr + 4096, addr + 1, NULL, heap, on_stack, own,
		(char *)(uintptr_t)4096 };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		say("%s ", result(shmdt(all[i])));
	say("%lu ", count(id));
	say("%s ", result(shmdt(addr)));
	say("%s ", result(shmdt(addr)));
	say("%d %d", can_read(addr), can_read(own));
	free(heap);
}

static void neighbours_stay(void)
{
	int id = make(4096, 0600);
	char *range = free_range(3 * 4096);
	mmap(range, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(range + 8192, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	say("%s ", result_of_attach(shmat(id, range + 4096, 0)));
	say("%s ", result(shmdt(range + 4096)));
	say("%d %d %d", can_read(range), can_read(range + 4096), can_read(range + 8192));
}

static void descriptors_closed(void)
{
	int id = make_key(fresh_key(), SIZE, 0600);
	char *addr = attach(id);
	for (int i = 3; i < 1024; i++)
		close(i);
	for (int i = 3; i < 20; i++)
		if (open("/dev/null", O_RDWR) < 0)
			say("?");
	char *other = attach(id);
	addr[0] = 4;
	say("%d %lu ", other[0], count(id));
	say("%s ", result(shmdt(addr)));
	say("%s ", result(shmctl(id, IPC_RMID, NULL)));
	say("%lu ", count(id));
	say("%s ", result(shmdt(other)));
	say_status(id);
}

static void closed_after_removal(void)
{
	int id = make_key(fresh_key(), SIZE, 0600);
	char *addr = attach(id);
	shmctl(id, IPC_RMID, NULL);
	for (int i = 3; i < 1024; i++)
		close(i);
	say("%lu ", count(id));
	say("%s ", result_of_attach(shmat(id, NULL, 0)));
	say("%lu ", count(id));
	say("%s ", result(shmdt(addr)));
	say("%lu", count(id));
}

static void executable(void)
{
	int id = make(SIZE, 0600);
	if (is_root())
		become(65534, 65534);
	int own = make(SIZE, 0600);
	say("%s ", result_of_attach(shmat(own, NULL, SHM_EXEC)));
	say("%s", result_of_attach(shmat(id, NULL, SHM_EXEC)));
}

static void executable_allowed(void)
{
	say("%s", result_of_attach(shmat(make(SIZE, 0700), NULL, SHM_EXEC)));
}

static int signalled;
static volatile int seen_in_handler;

static void attach_in_handler(int sig)
{
	(void)sig;
	void *addr = shmat(signalled, NULL, 0);
	seen_in_handler += addr != (void *)-1 && shmdt(addr) == 0 &&
			shmget(IPC_PRIVATE, 0, 0600) < 0;
}

static void in_a_signal_handler(void)
{
	signalled = make(SIZE, 0600);
	struct sigaction action = { .sa_handler = attach_in_handler };
	sigaction(SIGUSR1, &action, NULL);
	pid_t me = getpid(), pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 300; i++)
			kill(me, SIGUSR1);
		_exit(0);
	}
	int good = 0, tries = 0;
	for (; tries < 2000 || (seen_in_handler == 0 && tries < 1000000); tries++) {
		void *addr = shmat(signalled, NULL, 0);
		good += addr != (void *)-1 && shmdt(addr) == 0;
	}
	ended(pid);
	say("%d %d ", good == tries, seen_in_handler > 0);
	say("%lu", count(signalled));
}

static void signals_blocked(void)
{
	sigset_t all, now;
	int id = make(SIZE, 0600);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	say("%s ", result(shmdt(attach(id))));
	sigprocmask(SIG_SETMASK, NULL, &now);
	say("%d ", sigismember(&now, SIGUSR1));
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	shmdt(attach(id));
	sigprocmask(SIG_SETMASK, NULL, &now);
	say("%d", sigismember(&now, SIGUSR1));
}

static void many_of_one(void)
{
	enum { MANY = 1500 };
	static char *all[MANY];
	int id = make(4096, 0600);
	for (int i = 0; i < MANY; i++)
		all[i] = attach(id);
	say("%lu ", count(id));
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	say("%lu ", count(id));
	end_by_kill(pid);
	for (int i = 0; i < MANY; i++)
		if (shmdt(all[i]) < 0)
			say("?");
	say("%lu", count(id));
}

static int late;

static void use_late(void)
{
	say("%s ", result(shmdt(attach(late))));
	say("%lu ", count(late));
}

static void at_exit(void)
{
	late = make(SIZE, 0600);
	pid_t pid = fork();
	if (pid == 0) {
		atexit(use_late);
		exit(0);
	}
	ended(pid);
}

static void keeps_errno(void)
{
	int id = make(SIZE, 0600);
	__extension__ extern int *__errno_location(void);
	*__errno_location() = 77;
	void *addr = attach(id);
	say("%d ", *__errno_location());
	shmdt(addr);
	say("%d ", *__errno_location());
	shmget(fresh_key(), 0, 0);
	say("%s", result(-1));
}

const struct fact attach_facts[] = {
	{ "ids that are none", bad_ids },
	{ "at an address", at_an_address },
	{ "SHM_REMAP", remap },
	{ "out of reach", out_of_reach },
	{ "unknown flags", unknown_flags },
	{ "SHM_RDONLY", readonly },
	{ "what shmdt refuses", what_detach_refuses },
	{ "neighbours stay", neighbours_stay },
	{ "descriptors closed", descriptors_closed },
	{ "descriptors closed after IPC_RMID", closed_after_removal },
	{ "SHM_EXEC refused", executable },
	{ "SHM_EXEC", executable_allowed },
	{ "in a signal handler", in_a_signal_handler },
	{ "the signal mask is as it was", signals_blocked },
	{ "many attachments of one", many_of_one },
	{ "at exit", at_exit },
	{ "errno stays", keeps_errno },
	{ NULL, NULL },
};
