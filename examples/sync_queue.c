/* SPDX-License-Identifier: MIT */
/*
 * A queue in shared memory for any number of producers and consumers, which goes on
 * after any of them was killed at any moment.
 *
 * - A robust mutex guards the queue. When its owner dies, the next process to lock it
 *   gets EOWNERDEAD, mends the queue, and goes on.
 * - Waiting is done with semaphores, and each wait ends after a second at the latest.
 *   A semaphore only says "look again"; what counts is in the queue. So a post that a
 *   killed process did not make delays the others, and does no more harm.
 * - There is no pthread_cond_t on purpose: with glibc, a process that is killed while it
 *   waits for a condition makes others hang when they signal it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unishm.h"

enum { SLOTS = 16, CONSUMERS = 3, JOBS = 1000 };

struct queue {
	pthread_mutex_t lock;
	sem_t changed;   /* something was put, or it is finished */
	sem_t room;      /* something was taken */
	/* All below is guarded by the lock. The counters are atomic so that the compiler
	 * keeps their place among the other changes: each change is complete with the one
	 * step of its counter, and does not exist before. */
	_Atomic unsigned put;   /* jobs, since the beginning */
	_Atomic unsigned taken;
	unsigned mended;        /* how often an owner died */
	bool finished;
	unsigned job[SLOTS];
	unsigned long sum[2];   /* of the jobs taken: sum[taken % 2] */
};

/* Called once, by whoever creates the segment, before others can open it. */
static int make_queue(void *addr, size_t size, void *arg)
{
	struct queue *q = addr;
	pthread_mutexattr_t attr;
	(void)size;
	(void)arg;
	int error = pthread_mutexattr_init(&attr);
	if (error != 0)
		return -error;
	error = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (error == 0)
		error = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (error == 0)
		error = pthread_mutex_init(&q->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	if (error != 0)
		return -error;
	if (sem_init(&q->changed, 1, 0) < 0 || sem_init(&q->room, 1, 0) < 0)
		return -errno;
	return 0;
}

/* 0, or a positive errno value. */
static int lock_queue(struct queue *q)
{
	int error = pthread_mutex_lock(&q->lock);
	if (error != EOWNERDEAD)
		return error;
	/* The owner died. What it was putting is not there yet, and what it was taking is
	 * there still: nothing is to be mended in this queue. Where a change needs several
	 * steps, complete it or undo it here. */
	q->mended++;
	return pthread_mutex_consistent(&q->lock);
}

/* Until somebody posts, for a second at most. The caller looks again in either case. */
static void wait_for(sem_t *event)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	sem_timedwait(event, &until);
}

static int put(struct queue *q, unsigned job)
{
	for (;;) {
		if (lock_queue(q) != 0)
			return -1;
		bool done = q->put - q->taken < SLOTS;
		if (done) {
			q->job[q->put % SLOTS] = job;
			q->put++; /* from here on it exists */
		}
		pthread_mutex_unlock(&q->lock);
		if (done)
			return sem_post(&q->changed);
		wait_for(&q->room);
	}
}

/* 1: a job was taken. 0: there are no more. -1: the lock cannot be used. */
static int take(struct queue *q)
{
	for (;;) {
		if (lock_queue(q) != 0)
			return -1;
		bool finished = q->finished;
		bool done = q->put != q->taken;
		if (done) {
			unsigned n = q->taken;
			q->sum[(n + 1) % 2] = q->sum[n % 2] + q->job[n % SLOTS];
			q->taken = n + 1; /* from here on it is done */
		}
		pthread_mutex_unlock(&q->lock);
		if (done)
			return sem_post(&q->room) < 0 ? -1 : 1;
		if (finished)
			return 0;
		wait_for(&q->changed);
	}
}

static int consume(struct queue *q)
{
	int got = 1;
	while (got > 0)
		got = take(q);
	return got < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int produce(struct queue *q)
{
	for (unsigned job = 1; job <= JOBS; job++)
		if (put(q, job) < 0)
			return EXIT_FAILURE;
	if (lock_queue(q) != 0)
		return EXIT_FAILURE;
	q->finished = true;
	pthread_mutex_unlock(&q->lock);
	for (int i = 0; i < CONSUMERS; i++)
		sem_post(&q->changed);
	return EXIT_SUCCESS;
}

/* Killed in the midst of a change, with the lock held. */
static int die_as_owner(struct queue *q)
{
	if (lock_queue(q) == 0) {
		q->job[q->put % SLOTS] = 4711;
		kill(getpid(), SIGKILL);
	}
	return EXIT_FAILURE;
}

static pid_t start(int (*role)(struct queue *), struct queue *q)
{
	pid_t child = fork();
	if (child == 0) {
		alarm(60); /* an example that hangs helps nobody */
		_exit(role(q));
	}
	return child;
}

/* 0 when the child did its work, or was killed if that is expected. */
static int finish(pid_t child, bool killed)
{
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return (killed ? WIFSIGNALED(status) : status == 0) ? 0 : -1;
}

static int play(struct queue *q)
{
	pid_t consumer[CONSUMERS];
	struct timespec moment = {0, 20000000};
	for (int i = 0; i < CONSUMERS; i++)
		consumer[i] = start(consume, q);
	nanosleep(&moment, NULL); /* now they wait, most likely */
	if (consumer[0] > 0)
		kill(consumer[0], SIGKILL);
	int bad = finish(consumer[0], true);
	printf("a consumer was killed while it waited\n");
	bad |= finish(start(die_as_owner, q), true);
	printf("a producer was killed while it held the lock\n");
	bad |= finish(start(produce, q), false);
	for (int i = 1; i < CONSUMERS; i++)
		bad |= finish(consumer[i], false);
	unsigned long sum = q->sum[q->taken % 2];
	printf("%u jobs put, %u taken, sum %lu; owners that died: %u\n", q->put, q->taken, sum,
			q->mended);
	bool right = q->taken == JOBS && sum == JOBS * (JOBS + 1UL) / 2 && q->mended >= 1;
	return bad == 0 && right ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void)
{
	struct unishm *seg = NULL;
	void *addr;
	int status = EXIT_FAILURE;
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = unishm_key_from_name("unishm example: queue");
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = sizeof(struct queue);
	opt.mode = 0600;
	opt.init = make_queue;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (unishm_open_with(&seg, &opt) < 0 || unishm_attach(seg, 0, &addr) < 0)
		fprintf(stderr, "sync_queue: %s\n", unishm_errmsg());
	else
		status = play(addr);
	if (seg != NULL && unishm_remove(seg) < 0)
		fprintf(stderr, "sync_queue: %s\n", unishm_errmsg());
	unishm_close(seg);
	return status;
}
