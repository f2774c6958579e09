/* SPDX-License-Identifier: MIT */
/*
 * A queue in shared memory for any number of producers and consumers. It goes on after any
 * of them was killed at any moment.
 *
 * - A robust mutex guards the queue. When its owner dies, the next process to lock it
 *   gets EOWNERDEAD, mends the queue, and goes on.
 * - Two semaphores do what conditions do among threads. A post means "look again"; what
 *   counts is in the queue. A wait ends after a second at the latest: so a post that was lost
 *   with a killed process delays the others, and does no more harm.
 * - pthread_cond_t cannot do this: see sync_condition.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unishm.h"

enum { SLOTS = 16, CONSUMERS = 3, JOBS = 1000 };

struct queue {
	pthread_mutex_t lock; /* guards all below */
	sem_t changed;        /* something was put, or the queue is finished */
	sem_t room;           /* something was taken */
	/* Atomic, so that the compiler moves no other store across: a change is prepared
	 * first, and the store to the counter makes it true. */
	_Atomic unsigned put, taken; /* jobs, since the beginning */
	unsigned mended, finished;   /* how often an owner died; 1: no job follows */
	unsigned job[SLOTS];
	unsigned long sum[2]; /* of the jobs taken: sum[taken % 2] */
};

/* Called once, by the process that creates the segment, before others can open it. */
static int make_queue(void *addr, size_t size, void *arg)
{
	struct queue *q = addr;
	pthread_mutexattr_t attr;
	(void)size;
	(void)arg;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	int error = pthread_mutex_init(&q->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	if (error == 0 && (sem_init(&q->changed, 1, 0) < 0 || sem_init(&q->room, 1, 0) < 0))
		error = errno;
	return -error;
}

/* 0, or a positive errno value. */
static int lock_queue(struct queue *q)
{
	int error = pthread_mutex_lock(&q->lock);
	if (error != EOWNERDEAD)
		return error;
	/* The owner died. A job that it was putting is not in the queue yet, and one that it
	 * was taking still is: there is nothing to mend. Where a change needs several steps,
	 * complete it or undo it here. */
	q->mended++;
	return pthread_mutex_consistent(&q->lock);
}

/* As pthread_cond_wait: unlocks, waits, locks. The caller looks again in any case. */
static int wait_for(struct queue *q, sem_t *event)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	pthread_mutex_unlock(&q->lock);
	sem_timedwait(event, &until);
	return lock_queue(q);
}

/* As pthread_cond_signal; to be called with the lock held. A post that no process waits for
 * stays: so there is a limit to them. */
static void wake_one(sem_t *event)
{
	int posts;
	if (sem_getvalue(event, &posts) == 0 && posts < SLOTS)
		sem_post(event);
}

static int put(struct queue *q, unsigned job)
{
	int error = lock_queue(q);
	while (error == 0 && q->put - q->taken == SLOTS)
		error = wait_for(q, &q->room);
	if (error != 0)
		return -1;
	q->job[q->put % SLOTS] = job;
	q->put++; /* from here on the job is in the queue */
	wake_one(&q->changed);
	return pthread_mutex_unlock(&q->lock);
}

/* 1: a job was taken. 0: there are no more. -1: the lock cannot be used. */
static int take(struct queue *q)
{
	int error = lock_queue(q);
	while (error == 0 && q->put == q->taken && !q->finished)
		error = wait_for(q, &q->changed);
	if (error != 0)
		return -1;
	unsigned n = q->taken;
	int got = q->put != n;
	if (got) {
		q->sum[(n + 1) % 2] = q->sum[n % 2] + q->job[n % SLOTS];
		q->taken = n + 1; /* from here on the job is done */
	}
	wake_one(got ? &q->room : &q->changed); /* finished: each consumer tells the next */
	pthread_mutex_unlock(&q->lock);
	return got;
}

static int consume(struct queue *q)
{
	int got = 1;
	while (got > 0)
		got = take(q);
	return got;
}

static int produce(struct queue *q)
{
	for (unsigned job = 1; job <= JOBS; job++)
		if (put(q, job) != 0)
			return EXIT_FAILURE;
	if (lock_queue(q) != 0)
		return EXIT_FAILURE;
	q->finished = 1;
	wake_one(&q->changed);
	return pthread_mutex_unlock(&q->lock);
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
		alarm(60); /* the example ends, whatever happens */
		_exit(role(q));
	}
	return child;
}

static int result_of(pid_t child)
{
	int status = -1;
	return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static int play(struct queue *q)
{
	pid_t consumer[CONSUMERS];
	for (int i = 0; i < CONSUMERS; i++)
		consumer[i] = start(consume, q);
	nanosleep(&(struct timespec){0, 20000000}, NULL); /* now they wait, most likely */
	if (consumer[0] > 0)
		kill(consumer[0], SIGKILL);
	int right = result_of(consumer[0]) == SIGKILL;
	printf("a consumer was killed while it waited\n");
	right &= result_of(start(die_as_owner, q)) == SIGKILL;
	printf("a producer was killed while it held the lock\n");
	right &= result_of(start(produce, q)) == 0;
	for (int i = 1; i < CONSUMERS; i++)
		right &= result_of(consumer[i]) == 0;
	unsigned long sum = q->sum[q->taken % 2];
	printf("%u jobs put, %u taken, sum %lu; owners that died: %u\n", q->put, q->taken, sum,
			q->mended);
	right &= q->taken == JOBS && sum == JOBS * (JOBS + 1UL) / 2 && q->mended >= 1;
	return right ? EXIT_SUCCESS : EXIT_FAILURE;
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
	if (unishm_open_with(&seg, &opt) == 0 && unishm_attach(seg, 0, &addr) == 0)
		status = play(addr);
	else
		fprintf(stderr, "sync_queue: %s\n", unishm_errmsg());
	if (seg != NULL && unishm_remove(seg) < 0)
		fprintf(stderr, "sync_queue: %s\n", unishm_errmsg());
	unishm_close(seg);
	return status;
}
