/* SPDX-License-Identifier: MIT */
/*
 * The System V backend of the library on the shim of the same library, in one process: a call of
 * the library leads to another one, with handles locked. Ends with 0 if all was right; it is killed
 * if something hangs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unishm.h"

enum { SIZE = 20000, ROUNDS = 60, THREADS = 3 };

#define EXPECT(condition)                                                            \
	do {                                                                         \
		if (!(condition)) {                                                  \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__,       \
					#condition, unishm_errmsg());                \
			_exit(1);                                                    \
		}                                                                    \
	} while (0)

static bool alone; /* else children of other threads have the attachments for a moment, too */

static bool has(struct unishm *seg, unsigned long number)
{
	struct unishm_status st = { .number_attached = 0 };
	EXPECT(unishm_status(seg, &st) == 0);
	return alone ? st.number_attached == number : st.number_attached >= number;
}

static struct unishm *make(void)
{
	struct unishm *seg;
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = "sysv";
	opt.size = SIZE;
	opt.mode = 0600;
	EXPECT(unishm_open_with(&seg, &opt) == 0);
	EXPECT(strcmp(unishm_backend(seg), "sysv") == 0);
	return seg;
}

static void drop(struct unishm *seg)
{
	EXPECT(unishm_remove(seg) == 0);
	unishm_close(seg);
}

/* What is replaced is locked together with all others. */
static void replace(void)
{
	struct unishm *one = make(), *other = make();
	void *addr, *again, *direct;
	EXPECT(unishm_attach(one, 0, &addr) == 0);
	EXPECT(unishm_attach_at(other, addr, UNISHM_REMAP, &again) == 0 && again == addr);
	EXPECT(has(one, 0) && has(other, 1));
	direct = shmat(unishm_id(one), NULL, 0);
	EXPECT(direct != (void *)-1 && has(one, 1));
	EXPECT(shmat(unishm_id(other), direct, SHM_REMAP) == direct);
	EXPECT(has(one, 0) && has(other, 2));
	EXPECT(shmdt(direct) == 0 && has(other, 1));
	drop(one);
	drop(other);
}

static void fork_and_count(void)
{
	struct unishm *seg = make();
	void *addr;
	EXPECT(unishm_attach(seg, 0, &addr) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(60);
		EXPECT(unishm_detach(seg, addr) == 0);
		_exit(0);
	}
	int status;
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
	EXPECT(has(seg, 1));
	drop(seg);
}

static int fill(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'i', size);
	return shmget(IPC_PRIVATE, 0, 0600) < 0 ? 0 : -1; /* a callback may call it, too */
}

static void fill_new(void)
{
	struct unishm *seg;
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	void *addr;
	opt.backend = "sysv";
	opt.size = SIZE;
	opt.mode = 0600;
	opt.init = fill;
	EXPECT(unishm_open_with(&seg, &opt) == 0);
	EXPECT(unishm_attach(seg, UNISHM_RDONLY, &addr) == 0);
	EXPECT(*(char *)addr == 'i');
	drop(seg);
}

static int visit(const struct unishm_status *st, void *arg)
{
	struct shmid_ds ds;
	shmctl(st->id, IPC_STAT, &ds);
	*(int *)arg += 1;
	return 0;
}

static void list(void)
{
	struct unishm *seg = make();
	int visited = 0;
	EXPECT(unishm_list("sysv", visit, &visited) == 0 && visited >= 1);
	drop(seg);
}

static void *live(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		replace();
		fork_and_count();
		fill_new();
		if (i % 10 == 0)
			list();
	}
	return arg;
}

int main(void)
{
	pthread_t threads[THREADS];
	int state;
	alarm(120);
	for (int i = 0; i < THREADS; i++)
		EXPECT(pthread_create(&threads[i], NULL, live, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		EXPECT(pthread_join(threads[i], NULL) == 0);
	alone = true;
	live(NULL);
	EXPECT(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state) == 0);
	EXPECT(state == PTHREAD_CANCEL_ENABLE); /* an inner call has left it as it was */
	return 0;
}
