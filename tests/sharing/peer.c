/* SPDX-License-Identifier: MIT */
/*
 * One of two processes that share segments: does what each line on its standard
 * input says, and answers with a line on standard output. The first word of an
 * answer is "ok" or the name of the error, whose number is not the same on all
 * processors.
 *
 * It ends with its input. A child that it forked waits for descriptor LIFELINE to
 * end, which the driver holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unishm.h"

enum { LIFELINE = 9, HANDLES = 2, SLOTS = 8 };

static struct unishm *handle[HANDLES];
static unsigned char *slot[SLOTS];
static long long arg[5];

static const char *name_of(int rc)
{
	static const struct {
		int code;
		const char *name;
	} names[] = {
		{ 0, "ok" },
		{ -EINVAL, "EINVAL" },
		{ -ENOENT, "ENOENT" },
		{ -EEXIST, "EEXIST" },
		{ -EACCES, "EACCES" },
		{ -EPERM, "EPERM" },
		{ -EIDRM, "EIDRM" },
		{ -ENOMEM, "ENOMEM" },
		{ -ENOSPC, "ENOSPC" },
		{ -EBADMSG, "EBADMSG" },
		{ -ENOTSUP, "ENOTSUP" },
		{ -EFBIG, "EFBIG" },
	};
	static char number[16];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].code == rc)
			return names[i].name;
	snprintf(number, sizeof number, "%d", rc);
	return number;
}

static void answer(int rc)
{
	printf("%s %s\n", name_of(rc), rc < 0 ? unishm_errmsg() : "");
}

/* ---- Opening ------------------------------------------------------------- */

static void answer_opened(int rc)
{
	if (rc < 0) {
		answer(rc);
		return;
	}
	const struct unishm *seg = handle[arg[0]];
	printf("ok %d %llu %d %lld\n", unishm_id(seg), (unsigned long long)unishm_size(seg),
			unishm_created(seg), (long long)unishm_key(seg));
}

/* Says that it is at work, and goes on when told. */
static int slow_init(void *addr, size_t size, void *unused)
{
	char line[64];
	(void)unused;
	memset(addr, 0x77, size);
	puts("filling");
	return fgets(line, sizeof line, stdin) ? 0 : -ECANCELED;
}

/* handle key size mode how: 0, 1 create, 2 create alone, 3 slowly, 4 without
 * memory set aside */
static void do_open(void)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = "posix";
	opt.key = (key_t)arg[1];
	opt.size = (size_t)arg[2];
	opt.mode = (mode_t)arg[3];
	opt.oflag = arg[4] == 0 ? 0 : arg[4] == 1 ? O_CREAT : O_CREAT | O_EXCL;
	opt.init = arg[4] == 3 ? slow_init : NULL;
	opt.flags = arg[4] == 4 ? UNISHM_NORESERVE : 0;
	answer_opened(unishm_open_with(&handle[arg[0]], &opt));
}

/* handle id */
static void do_open_id(void)
{
	answer_opened(unishm_open_id(&handle[arg[0]], (int)arg[1]));
}

static void do_close(void)
{
	unishm_close(handle[arg[0]]);
	handle[arg[0]] = NULL;
	answer(0);
}

/* ---- Attachments --------------------------------------------------------- */

/* handle slot rdonly */
static void do_attach(void)
{
	void *addr;
	int rc = unishm_attach(handle[arg[0]], arg[2] ? UNISHM_RDONLY : 0, &addr);
	if (rc == 0)
		slot[arg[1]] = addr;
	answer(rc);
}

/* handle slot */
static void do_detach(void)
{
	answer(unishm_detach(handle[arg[0]], slot[arg[1]]));
}

static unsigned char pattern(long long at, long long seed)
{
	return (unsigned char)(at * 7 + seed);
}

/* slot offset length seed */
static void do_write(void)
{
	for (long long i = 0; i < arg[2]; i++)
		slot[arg[0]][arg[1] + i] = pattern(arg[1] + i, arg[3]);
	answer(0);
}

/* slot offset length seed: is that there? Or seed -1: zeros, -2: what slow_init
 * writes */
static void do_read(void)
{
	for (long long i = 0; i < arg[2]; i++) {
		unsigned char want = arg[3] == -1 ? 0
				: arg[3] == -2    ? 0x77
						  : pattern(arg[1] + i, arg[3]);
		if (slot[arg[0]][arg[1] + i] == want)
			continue;
		printf("byte %lld is 0x%02x, not 0x%02x\n", arg[1] + i, slot[arg[0]][arg[1] + i],
				want);
		return;
	}
	answer(0);
}

/* ---- Accounts ------------------------------------------------------------ */

static void print_status(const struct unishm_status *st)
{
	printf("ok %lu %lld %lld %lld %lld %lld %lu %lld %llu %d %d %d %lu %lu %lu %lu %u %u\n",
			st->number_attached, (long long)st->creator_process,
			(long long)st->last_op_process, (long long)st->last_attach_time,
			(long long)st->last_detach_time, (long long)st->last_change_time,
			(unsigned long)st->mode, (long long)st->key, (unsigned long long)st->size,
			st->id, st->locked, st->removed, (unsigned long)st->creator_user,
			(unsigned long)st->creator_group, (unsigned long)st->owner_user,
			(unsigned long)st->owner_group, st->emulated, st->inexact);
}

/* handle */
static void do_status(void)
{
	struct unishm_status st;
	int rc = unishm_status(handle[arg[0]], &st);
	if (rc < 0)
		answer(rc);
	else
		print_status(&st);
}

static int is_it(const struct unishm_status *st, void *found)
{
	if (st->id == (int)arg[0])
		*(struct unishm_status *)found = *st;
	return 0;
}

/* id: its status, from the list */
static void do_list(void)
{
	struct unishm_status found = { .id = -1 };
	int rc = unishm_list("posix", is_it, &found);
	if (rc < 0 || found.id < 0)
		answer(rc < 0 ? rc : -ENOENT);
	else
		print_status(&found);
}

static void do_lock(void)
{
	answer(unishm_lock(handle[arg[0]]));
}

static void do_unlock(void)
{
	answer(unishm_unlock(handle[arg[0]]));
}

/* handle mode */
static void do_chmod(void)
{
	answer(unishm_chmod(handle[arg[0]], (mode_t)arg[1]));
}

static void do_remove(void)
{
	answer(unishm_remove(handle[arg[0]]));
}

/* ---- Processes ----------------------------------------------------------- */

/* Answers when the child has run: until then its number is not known. */
static void do_fork(void)
{
	char byte = 0;
	int up[2];
	if (pipe(up) < 0)
		exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		if (write(up[1], &byte, 1) == 1)
			while (read(LIFELINE, &byte, 1) < 0 && errno == EINTR)
				continue;
		_exit(0);
	}
	close(up[1]);
	if (read(up[0], &byte, 1) != 1)
		pid = -1;
	close(up[0]);
	printf("ok %ld\n", (long)pid);
}

/* pid */
static void do_reap(void)
{
	kill((pid_t)arg[0], SIGKILL);
	answer(waitpid((pid_t)arg[0], NULL, 0) == (pid_t)arg[0] ? 0 : -errno);
}

static void do_exec(void)
{
	execl("/bin/cat", "cat", (char *)NULL);
	_exit(99);
}

static const struct {
	const char *name;
	void (*call)(void);
} commands[] = {
	{ "open", do_open },
	{ "open-id", do_open_id },
	{ "close", do_close },
	{ "attach", do_attach },
	{ "detach", do_detach },
	{ "write", do_write },
	{ "read", do_read },
	{ "status", do_status },
	{ "list", do_list },
	{ "lock", do_lock },
	{ "unlock", do_unlock },
	{ "chmod", do_chmod },
	{ "remove", do_remove },
	{ "fork", do_fork },
	{ "reap", do_reap },
	{ "exec", do_exec },
};

static void obey(const char *line)
{
	char name[16];
	memset(arg, 0, sizeof arg);
	sscanf(line, "%15s %lld %lld %lld %lld %lld", name, &arg[0], &arg[1], &arg[2], &arg[3],
			&arg[4]);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			commands[i].call();
}

int main(void)
{
	char line[256];
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	setenv("UNISHM_BACKEND", "posix", 1); /* for unishm_open_id() */
	printf("ok %d %ld\n", (int)sizeof(void *) * 8, (long)getpid());
	while (fgets(line, sizeof line, stdin))
		obey(line);
	return 0;
}
