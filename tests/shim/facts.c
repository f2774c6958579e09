/* SPDX-License-Identifier: MIT */
/* facts [SECTION]: what is seen of each fact, a line each. See facts.h. */
#include "facts.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *name;
	const struct fact *facts;
} sections[] = {
	{ "event", event_facts }, { "shmget", get_facts }, { "shmat", attach_facts },
	{ "shmctl", control_facts }, { "mapping", mapping_facts },
	{ "permission", permission_facts }, { "robust", robust_facts },
};

/* ---- What a fact says ------------------------------------------------------- */

void say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	fflush(stdout); /* a child may say something next */
}

static const char *error_name(int error)
{
	static char text[32];
	static const struct {
		int error;
		const char *name;
	} known[] = {
		{ EACCES, "EACCES" }, { EEXIST, "EEXIST" }, { EFAULT, "EFAULT" },
		{ EFBIG, "EFBIG" },
		{ EIDRM, "EIDRM" }, { EINTR, "EINTR" }, { EINVAL, "EINVAL" }, { EMFILE, "EMFILE" },
		{ ENFILE, "ENFILE" }, { ENOENT, "ENOENT" }, { ENOMEM, "ENOMEM" },
		{ ENOSPC, "ENOSPC" }, { ENOSYS, "ENOSYS" }, { EPERM, "EPERM" },
		{ EAGAIN, "EAGAIN" },
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].error == error)
			return known[i].name;
	snprintf(text, sizeof text, "errno %d", error);
	return text;
}

const char *result(long rc)
{
	return rc < 0 ? error_name(errno) : "ok";
}

const char *result_of_attach(const void *addr)
{
	return addr == (void *)-1 ? error_name(errno) : "ok"; /* NOLINT */
}

static struct {
	pid_t pid;
	const char *role;
} roles[8];

void call_it(pid_t pid, const char *role)
{
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
		if (roles[i].pid && roles[i].pid != pid)
			continue;
		roles[i].pid = pid;
		roles[i].role = role;
		return;
	}
}

static const char *role_of(pid_t pid)
{
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (roles[i].pid == pid && pid)
			return roles[i].role;
	return pid ? "another" : "none";
}

static const char *set_or_0(long long value)
{
	return value ? "set" : "0";
}

void say_status(int id)
{
	struct shmid_ds ds;
	if (shmctl(id, IPC_STAT, &ds) < 0) {
		say("[%s]", result(-1));
		return;
	}
	say("[nattch %lu, lpid %s, cpid %s, ", (unsigned long)ds.shm_nattch, role_of(ds.shm_lpid),
			role_of(ds.shm_cpid));
	say("atime %s, dtime %s, ctime %s, ", set_or_0(ds.shm_atime), set_or_0(ds.shm_dtime),
			set_or_0(ds.shm_ctime));
	say("mode %o, size %zu, key %s]", (unsigned)ds.shm_perm.mode, ds.shm_segsz,
			set_or_0(ds.shm_perm.__key));
}

/* ---- Segments ------------------------------------------------------------------ */

static int kept[8192];
static int keeps;

int keep(int id)
{
	if (id >= 0 && keeps < (int)(sizeof kept / sizeof *kept))
		kept[keeps++] = id;
	return id;
}

int make_key(key_t key, size_t size, int mode)
{
	int id = keep(shmget(key, size, IPC_CREAT | IPC_EXCL | mode));
	if (id < 0)
		say("(cannot make a segment: %s)", result(-1));
	return id;
}

int make(size_t size, int mode)
{
	return make_key(IPC_PRIVATE, size, mode);
}

key_t fresh_key(void)
{
	static unsigned next;
	return (key_t)(0x5c000000u | ((unsigned)getpid() & 0xffff) << 8 | (next++ & 0xff));
}

char *attach(int id)
{
	char *addr = shmat(id, NULL, 0);
	if (addr == (void *)-1) {
		say("(cannot attach: %s)", result(-1));
		exit(1);
	}
	return addr;
}

unsigned long count(int id)
{
	struct shmid_ds ds = { .shm_nattch = 0 };
	return shmctl(id, IPC_STAT, &ds) < 0 ? 9999 : (unsigned long)ds.shm_nattch;
}

/* ---- Processes -------------------------------------------------------------------- */

pid_t child(void (*body)(void *arg), void *arg)
{
	pid_t pid = fork();
	if (pid == 0) {
		body(arg);
		_exit(0);
	}
	return pid;
}

int ended(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

pid_t staying_child(void (*body)(void *arg), void *arg)
{
	int ready[2];
	char byte;
	if (pipe(ready) < 0)
		exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body(arg);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		say("(a child died)");
	close(ready[0]);
	return pid;
}

void end_by_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	ended(pid);
}

static void touch_write(void *addr)
{
	*(volatile char *)addr = 1;
}

static void touch_read(void *addr)
{
	(void)*(volatile char *)addr;
}

bool can_write(void *addr)
{
	return ended(child(touch_write, addr)) == 0;
}

bool can_read(const void *addr)
{
	return ended(child(touch_read, (void *)(size_t)addr)) == 0;
}

char *free_range(size_t size)
{
	char *addr = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(addr, size);
	return addr;
}

void become(uid_t user, gid_t group)
{
	if (setgroups(0, NULL) < 0 || setresgid(group, group, group) < 0 ||
			setresuid(user, user, user) < 0)
		say("(cannot become user %u)", (unsigned)user);
}

bool is_root(void)
{
	return geteuid() == 0;
}

/* ---- The run ------------------------------------------------------------------------ */

static void run_fact(void *arg)
{
	const struct fact *fact = arg;
	setvbuf(stdout, NULL, _IOFBF, 65536);
	alarm(60);
	call_it(getpid(), "me");
	fact->run();
	for (int i = 0; i < keeps; i++)
		shmctl(kept[i], IPC_RMID, NULL);
}

/* Some facts leave segments to their IPC namespace, which facts.sh makes. */
int main(int argc, char **argv)
{
	if (!getenv("UNISHM_TEST_INSIDE")) {
		fputs("facts: run it by facts.sh, which gives it segments of its own\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
		if (argc > 1 && strcmp(argv[1], sections[i].name) != 0)
			continue;
		for (const struct fact *fact = sections[i].facts; fact->name; fact++) {
			say("%s: %s: ", sections[i].name, fact->name);
			int status = ended(child(run_fact, (void *)(size_t)fact));
			if (status)
				say(" (ended with %d)", status);
			say("\n");
		}
	}
	return 0;
}
