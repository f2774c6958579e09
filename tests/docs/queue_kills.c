/* SPDX-License-Identifier: MIT */
/*
 * The queue of examples/sync_queue.c, with producers and consumers that are killed at random
 * moments and started anew: no job is lost, none is counted twice, and nothing hangs. Before
 * that, it goes on with semaphores that cannot count further.
 * Usage: queue_kills [SECONDS]
 */
#define main main_of_the_example
int main_of_the_example(void);
#include "../../examples/sync_queue.c"
#undef main
#include <limits.h>

#include "shared.h"

enum { PRODUCERS = 2, ALL = PRODUCERS + 3 };

/* A post that no process waits for stays: after long use there are as many as can be. */
static int works_with_full_semaphores(struct queue *q)
{
	if (sem_init(&q->room, 1, SEM_VALUE_MAX) < 0 || sem_init(&q->changed, 1, SEM_VALUE_MAX) < 0)
		return 0;
	int works = put(q, 1) == 0 && take(q) == 1;
	sem_init(&q->room, 1, 0);
	sem_init(&q->changed, 1, 0);
	return works;
}

/* Each job is 1: so the sum is the number of those that were taken. */
static int produce_ones(struct queue *q)
{
	while (put(q, 1) == 0)
		;
	return EXIT_FAILURE;
}

static pid_t start_one(int number, struct queue *q)
{
	return start(number < PRODUCERS ? produce_ones : consume, q);
}

static void end_one(pid_t child)
{
	if (child > 0 && kill(child, SIGKILL) == 0)
		waitpid(child, NULL, 0);
}

static int kill_for(int seconds, struct queue *q)
{
	pid_t child[ALL];
	int kills = 0;
	time_t end = time(NULL) + seconds;
	for (int i = 0; i < ALL; i++)
		child[i] = start_one(i, q);
	while (time(NULL) < end) {
		struct timespec moment = {0, 1000 * (rand() % 3000)};
		nanosleep(&moment, NULL);
		int victim = rand() % ALL;
		end_one(child[victim]);
		child[victim] = start_one(victim, q);
		kills++;
	}
	unsigned before = q->taken;
	for (int tries = 0; tries < 500 && q->taken == before; tries++) {
		struct timespec moment = {0, 10000000};
		nanosleep(&moment, NULL); /* does it still move? */
	}
	int stuck = q->taken == before;
	for (int i = 0; i < ALL; i++)
		end_one(child[i]);
	unsigned long sum = q->sum[q->taken % 2];
	printf("%d kills, %u of them with the lock held; %u put, %u taken, sum %lu%s\n", kills,
			q->mended, q->put, q->taken, sum, stuck ? "; stuck" : "");
	return !stuck && sum == q->taken && q->put - q->taken <= SLOTS ? EXIT_SUCCESS
								       : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	void *addr;
	struct unishm *seg = make_shared(sizeof(struct queue), make_queue, &addr);
	if (!seg)
		return EXIT_FAILURE;
	int status = EXIT_FAILURE;
	if (!works_with_full_semaphores(addr))
		printf("a full semaphore stops the queue\n");
	else
		status = kill_for(argc > 1 ? atoi(argv[1]) : 3, addr);
	if (unishm_remove(seg) < 0)
		status = EXIT_FAILURE;
	unishm_close(seg);
	return status;
}
