/* SPDX-License-Identifier: MIT */
/*
 * A ring in shared memory without a lock, for one producer and one consumer.
 *
 * Each side writes one counter and reads the other. A value is stored before the
 * counter that makes it visible (release), and read after it (acquire). No process ever
 * holds anything, so one that is killed leaves nothing to mend: here the producer is
 * killed, and another goes on where it was.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unishm.h"

/* An atomic that needs a lock keeps that lock in the process: useless between two. */
#if ATOMIC_INT_LOCK_FREE != 2
#error "these atomics do not work between processes"
#endif

enum { SLOTS = 1024, VALUES = 1000000 };

struct ring {
	_Atomic uint32_t head; /* values written so far; the producer's */
	char apart[60];        /* the counters do not share a line of the cache */
	_Atomic uint32_t tail; /* values read so far; the consumer's */
	char apart_too[60];
	uint32_t slot[SLOTS];
};

/* New memory reads as zero, which is an empty ring: nothing has to be prepared. */

static int produce(struct ring *r)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	while (head < VALUES) {
		while (head - atomic_load_explicit(&r->tail, memory_order_acquire) == SLOTS)
			sched_yield(); /* full */
		r->slot[head % SLOTS] = head * 2;
		atomic_store_explicit(&r->head, ++head, memory_order_release);
	}
	return EXIT_SUCCESS;
}

static int consume(struct ring *r)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	while (tail < VALUES) {
		while (atomic_load_explicit(&r->head, memory_order_acquire) == tail)
			sched_yield(); /* empty */
		if (r->slot[tail % SLOTS] != tail * 2)
			return EXIT_FAILURE; /* a value was lost, or read too early */
		atomic_store_explicit(&r->tail, ++tail, memory_order_release);
	}
	return EXIT_SUCCESS;
}

static pid_t start(int (*role)(struct ring *), struct ring *r)
{
	pid_t child = fork();
	if (child == 0) {
		alarm(60); /* so that the example does not hang */
		_exit(role(r));
	}
	return child;
}

static int play(struct ring *r)
{
	int status = -1;
	pid_t consumer = start(consume, r);
	pid_t producer = start(produce, r);
	if (consumer < 0 || producer < 0)
		return EXIT_FAILURE;
	while (atomic_load(&r->head) < VALUES / 2)
		sched_yield();
	kill(producer, SIGKILL);
	waitpid(producer, NULL, 0);
	printf("the producer was killed in the midst of its work\n");
	producer = start(produce, r);
	if (producer < 0 || waitpid(producer, &status, 0) != producer || status != 0)
		return EXIT_FAILURE;
	if (waitpid(consumer, &status, 0) != consumer || status != 0)
		return EXIT_FAILURE;
	printf("another went on; %u values came through, each once and in order\n",
			(unsigned)atomic_load(&r->tail));
	return EXIT_SUCCESS;
}

int main(void)
{
	struct unishm *seg;
	void *addr;
	int status = EXIT_FAILURE;
	alarm(60);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (unishm_open(&seg, unishm_key_from_name("unishm example: ring"), O_CREAT | O_EXCL,
			sizeof(struct ring), 0600) < 0) {
		fprintf(stderr, "sync_ring: %s\n", unishm_errmsg());
		return status;
	}
	if (unishm_attach(seg, 0, &addr) < 0)
		fprintf(stderr, "sync_ring: %s\n", unishm_errmsg());
	else
		status = play(addr);
	if (unishm_remove(seg) < 0)
		fprintf(stderr, "sync_ring: %s\n", unishm_errmsg());
	unishm_close(seg);
	return status;
}
