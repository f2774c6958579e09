/* SPDX-License-Identifier: MIT */
/*
 * A producer and consumers with a robust mutex and a condition in shared memory. They go on
 * after a process died that held the mutex: one that crashed in the midst of a change.
 *
 * The limit: a condition does not survive a process that is killed IN a pthread_cond_*
 * call, and that is where a consumer spends most of its time. With glibc before 2.41,
 * others then hang in pthread_cond_signal and pthread_cond_broadcast. With any glibc
 * they hang after one that was killed in these two, and pthread_cond_timedwait can hang
 * with them. Where processes can be killed from outside, take sync_queue.c.
 *
 * Each wait has a limit of a second: a wake-up that a crash prevented is no more than a delay.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unishm.h"

enum { CONSUMERS = 3, JOBS = 1000 };

struct box {
	pthread_mutex_t lock;   /* guards all below */
	pthread_cond_t changed; /* a job was put or taken, or all are */
	unsigned put, taken;    /* jobs, since the beginning: one at most is in the box */
	unsigned mended;        /* how often an owner died */
};

/* Called once, by the process that creates the segment, before others can open it. */
static int make_box(void *addr, size_t size, void *arg)
{
	struct box *b = addr;
	pthread_mutexattr_t lock;
	pthread_condattr_t changed;
	(void)size;
	(void)arg;
	pthread_mutexattr_init(&lock);
	pthread_mutexattr_setpshared(&lock, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&lock, PTHREAD_MUTEX_ROBUST);
	int error = pthread_mutex_init(&b->lock, &lock);
	pthread_mutexattr_destroy(&lock);
	if (error != 0)
		return -error;
	pthread_condattr_init(&changed);
	pthread_condattr_setpshared(&changed, PTHREAD_PROCESS_SHARED);
	error = pthread_cond_init(&b->changed, &changed);
	pthread_condattr_destroy(&changed);
	return -error;
}

/* What a lock or a wait returned: 0 when the lock is held and the data are right. */
static int held(struct box *b, int error)
{
	if (error == ETIMEDOUT)
		return 0;
	if (error != EOWNERDEAD)
		return error;
	if (b->put > b->taken + 1)
		b->put = b->taken + 1; /* no more than one fits: the others are put again */
	b->mended++;
	pthread_cond_broadcast(&b->changed); /* the owner did not come to it */
	return pthread_mutex_consistent(&b->lock);
}

static int wait_for_change(struct box *b)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	return held(b, pthread_cond_timedwait(&b->changed, &b->lock, &until));
}

static int produce(struct box *b)
{
	int error = held(b, pthread_mutex_lock(&b->lock));
	while (error == 0 && b->put < JOBS) {
		if (b->put == b->taken) {
			b->put++;
			pthread_cond_broadcast(&b->changed);
		} else {
			error = wait_for_change(b);
		}
	}
	return error == 0 ? pthread_mutex_unlock(&b->lock) : EXIT_FAILURE;
}

static int consume(struct box *b)
{
	int error = held(b, pthread_mutex_lock(&b->lock));
	while (error == 0 && b->taken < JOBS) {
		if (b->put > b->taken) {
			b->taken++;
			pthread_cond_broadcast(&b->changed);
		} else {
			error = wait_for_change(b);
		}
	}
	return error == 0 ? pthread_mutex_unlock(&b->lock) : EXIT_FAILURE;
}

/* Killed in the midst of a change, with the lock held. */
static int die_as_owner(struct box *b)
{
	if (held(b, pthread_mutex_lock(&b->lock)) == 0) {
		b->put += 2;
		kill(getpid(), SIGKILL);
	}
	return EXIT_FAILURE;
}

static pid_t start(int (*role)(struct box *), struct box *b)
{
	pid_t child = fork();
	if (child == 0) {
		alarm(60); /* the example ends, whatever happens */
		_exit(role(b));
	}
	return child;
}

static int result_of(pid_t child)
{
	int status = -1;
	return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static int play(struct box *b)
{
	pid_t consumer[CONSUMERS];
	for (int i = 0; i < CONSUMERS; i++)
		consumer[i] = start(consume, b);
	int right = result_of(start(die_as_owner, b)) == SIGKILL;
	printf("a process was killed while it held the lock\n");
	right &= result_of(start(produce, b)) == 0;
	for (int i = 0; i < CONSUMERS; i++)
		right &= result_of(consumer[i]) == 0;
	printf("%u jobs put, %u taken; owners that died: %u\n", b->put, b->taken, b->mended);
	return right && b->taken == JOBS && b->mended >= 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void)
{
	struct unishm *seg = NULL;
	void *addr;
	int status = EXIT_FAILURE;
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = unishm_key_from_name("unishm example: condition");
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = sizeof(struct box);
	opt.mode = 0600;
	opt.init = make_box;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (unishm_open_with(&seg, &opt) == 0 && unishm_attach(seg, 0, &addr) == 0)
		status = play(addr);
	else
		fprintf(stderr, "sync_condition: %s\n", unishm_errmsg());
	if (seg != NULL && unishm_remove(seg) < 0)
		fprintf(stderr, "sync_condition: %s\n", unishm_errmsg());
	unishm_close(seg);
	return status;
}
