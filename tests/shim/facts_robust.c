/* SPDX-License-Identifier: MIT */
/* Many at once, and killed at any point. */
#include "facts.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LOCKED = 24 };

static int id;

static void attach_often(void *arg)
{
	for (int i = 0; i < 300; i++)
		if (shmdt(attach(id)) < 0)
			_exit(1);
	(void)arg;
}

static void processes(void)
{
	pid_t pids[6];
	int bad = 0;
	id = make(5000, 0600);
	for (int i = 0; i < 6; i++)
		pids[i] = child(attach_often, NULL);
	for (int i = 0; i < 6; i++)
		bad += ended(pids[i]) != 0;
	say("%d %lu", bad, count(id));
}

static void *attach_often_in_thread(void *arg)
{
	attach_often(arg);
	return NULL;
}

static void threads(void)
{
	pthread_t all[6];
	id = make(5000, 0600);
	for (int i = 0; i < 6; i++)
		pthread_create(&all[i], NULL, attach_often_in_thread, NULL);
	for (int i = 0; i < 6; i++)
		pthread_join(all[i], NULL);
	say("%lu", count(id));
}

static volatile int stop;

static void *attach_until_stopped(void *arg)
{
	while (!stop)
		attach_often(arg);
	return NULL;
}

static void fork_while_threads_attach(void)
{
	pthread_t all[3];
	int bad = 0;
	id = make(5000, 0600);
	for (int i = 0; i < 3; i++)
		pthread_create(&all[i], NULL, attach_until_stopped, NULL);
	for (int i = 0; i < 30; i++)
		bad += ended(child(attach_often, NULL)) != 0;
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(all[i], NULL);
	say("%d %lu", bad, count(id));
}

static void attach_for_ever(void *arg)
{
	for (;;)
		attach_often(arg);
}

static void killed_at_random(void)
{
	id = make(5000, 0600);
	for (int round = 0; round < 40; round++) {
		pid_t pids[4];
		for (int i = 0; i < 4; i++)
			pids[i] = child(attach_for_ever, NULL);
		usleep((useconds_t)(rand() % 4000));
		for (int i = 0; i < 4; i++)
			end_by_kill(pids[i]);
	}
	say("%lu ", count(id));
	say("%s", result(shmdt(attach(id))));
}

static void live_for_ever(void *arg)
{
	key_t key = *(key_t *)arg;
	for (;;) {
		int own = shmget(key, 100, IPC_CREAT | 0600);
		void *addr = shmat(own, NULL, 0);
		shmctl(own, IPC_RMID, NULL);
		if (addr != (void *)-1)
			shmdt(addr);
	}
}

static int used(void)
{
	struct shm_info info;
	memset(&info, 0, sizeof info);
	shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
	return info.used_ids;
}

static void killed_in_a_life(void)
{
	int before = used();
	key_t keys[3] = { fresh_key(), fresh_key(), fresh_key() };
	for (int round = 0; round < 40; round++) {
		pid_t pids[3];
		for (int i = 0; i < 3; i++)
			pids[i] = child(live_for_ever, &keys[i]);
		usleep((useconds_t)(rand() % 4000));
		for (int i = 0; i < 3; i++)
			end_by_kill(pids[i]);
	}
	for (int i = 0; i < 3; i++) {
		int own = shmget(keys[i], 100, IPC_CREAT | 0600);
		say("%s ", result(shmdt(attach(own))));
		say("%s ", result(shmctl(own, IPC_RMID, NULL)));
	}
	say("%d", used() - before);
}

static void attach_and_check(void *arg)
{
	char *addr = shmat(*(int *)arg, NULL, 0);
	if (addr != (void *)-1 && *addr != 9)
		_exit(1);
}

static void attach_against_remove(void)
{
	int bad = 0, left = 0;
	for (int round = 0; round < 200; round++) {
		int own = shmget(IPC_PRIVATE, 100, 0600);
		char *addr = attach(own);
		*addr = 9;
		shmdt(addr);
		pid_t pid = child(attach_and_check, &own);
		if (round % 3)
			usleep((useconds_t)(rand() % 600));
		shmctl(own, IPC_RMID, NULL);
		bad += ended(pid) != 0;
		left += count(own) != 9999;
	}
	say("%d %d", bad, left);
}

static void hand_over(void *arg)
{
	int own = *(int *)arg;
	for (int i = 0; i < 200; i++) {
		void *addr = shmat(own, NULL, 0);
		if (addr == (void *)-1)
			_exit(2);
		shmdt(addr);
	}
}

static void attached_by_turns_after_removal(void)
{
	int own = shmget(IPC_PRIVATE, 100, 0600), bad = 0;
	pid_t pids[4];
	char *addr = attach(own);
	shmctl(own, IPC_RMID, NULL);
	for (int i = 0; i < 4; i++)
		pids[i] = child(hand_over, &own);
	for (int i = 0; i < 4; i++)
		bad += ended(pids[i]) != 0;
	say("%d %lu ", bad, count(own));
	shmdt(addr);
	say("%lu", count(own));
}

static void memory_comes_back(void)
{
	for (int i = 0; i < 30; i++) {
		int own = shmget(IPC_PRIVATE, 8 << 20, 0600);
		if (own < 0) {
			say("%d: %s ", i, result(own));
			return;
		}
		memset(attach(own), i, 8 << 20);
		shmctl(own, IPC_RMID, NULL);
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		ended(pid);
		say("%s", i % 2 ? "" : ".");
		if (i % 3 == 0)
			continue; /* attached until the end: 80 MiB */
		struct shmid_ds ds;
		shmctl(own, IPC_STAT, &ds);
	}
}

static int descriptors(void)
{
	int open = 0;
	for (int fd = 0; fd < 256; fd++)
		open += fcntl(fd, F_GETFD) >= 0;
	return open;
}

static int ids[LOCKED];

/* The locks are the parent's: nothing keeps the segments in the child that runs @body. */
static void as_child_of_who_locked_many(void (*body)(void *before))
{
	int before = descriptors();
	for (int i = 0; i < LOCKED; i++) {
		ids[i] = make(100, 0600);
		shmctl(ids[i], SHM_LOCK, NULL);
	}
	ended(child(body, &before));
}

/* Handles that nothing needs are kept, but not all of them. */
static void say_whether_few_are_kept(void *before)
{
	enum { FEW = 16 };
	say("%d", descriptors() <= *(int *)before + FEW);
}

static void look_at_all(void *before)
{
	struct shmid_ds ds;
	for (int i = 0; i < 2 * LOCKED; i++)
		shmctl(ids[i % LOCKED], IPC_STAT, &ds);
	say_whether_few_are_kept(before);
}

static void child_of_who_locked_many(void)
{
	as_child_of_who_locked_many(look_at_all);
}

static void make_others(void *before)
{
	int own[LOCKED];
	for (int i = 0; i < LOCKED; i++)
		own[i] = shmget(IPC_PRIVATE, 100, 0600);
	say_whether_few_are_kept(before);
	for (int i = 0; i < LOCKED; i++)
		say(" %s", result(shmctl(own[i], IPC_RMID, NULL)));
}

static void child_that_makes_others(void)
{
	as_child_of_who_locked_many(make_others);
}

static void make_without_descriptors(void *before)
{
	struct rlimit none;
	(void)before;
	getrlimit(RLIMIT_NOFILE, &none);
	none.rlim_cur = (rlim_t)dup(0); /* the lowest that is free */
	setrlimit(RLIMIT_NOFILE, &none);
	int own = shmget(IPC_PRIVATE, 100, 0600);
	say("%s ", result(own));
	say("%s", result(shmctl(own, IPC_RMID, NULL)));
}

static void child_without_descriptors(void)
{
	as_child_of_who_locked_many(make_without_descriptors);
}

static void remove_all(void *arg)
{
	(void)arg;
	for (int i = 0; i < LOCKED; i++)
		shmctl(ids[i], IPC_RMID, NULL);
}

/* A descriptor that is left keeps the memory of what was removed. */
static void look_after_removal(void *before)
{
	ended(child(remove_all, NULL));
	used();
	say("%d", descriptors() <= *(int *)before + 1);
}

static void child_keeps_no_memory(void)
{
	as_child_of_who_locked_many(look_after_removal);
}

const struct fact robust_facts[] = {
	{ "processes attach and detach", processes },
	{ "threads attach and detach", threads },
	{ "forks while threads attach", fork_while_threads_attach },
	{ "killed while they attach and detach", killed_at_random },
	{ "killed in create, attach, remove", killed_in_a_life },
	{ "attach against remove", attach_against_remove },
	{ "attached in turns after removal", attached_by_turns_after_removal },
	{ "memory comes back", memory_comes_back },
	{ "a child of a process that locked many", child_of_who_locked_many },
	{ "such a child makes others", child_that_makes_others },
	{ "such a child has no descriptors left", child_without_descriptors },
	{ "such a child keeps no memory of removed ones", child_keeps_no_memory },
	{ NULL, NULL },
};
