/* SPDX-License-Identifier: MIT */
/*
 * The shim beside the kernel: run by scripts/shim-programs, with the shim preloaded. The kernel is
 * called by number. Both take turns in each round; a ratio is the median of those within rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 201, SIZE = 65536, KEY = 0x5c17be9c };

struct calls {
	int (*get)(key_t key, size_t size, int flags);
	void *(*at)(int id, const void *where, int flags);
	int (*dt)(const void *addr);
	int (*ctl)(int id, int command, struct shmid_ds *buffer);
};

static int kernel_get(key_t key, size_t size, int flags)
{
	return (int)syscall(SYS_shmget, key, size, flags);
}

static void *kernel_at(int id, const void *where, int flags)
{
	return (void *)syscall(SYS_shmat, id, where, flags); /* NOLINT */
}

static int kernel_dt(const void *addr)
{
	return (int)syscall(SYS_shmdt, addr);
}

static int kernel_ctl(int id, int command, struct shmid_ds *buffer)
{
	return (int)syscall(SYS_shmctl, id, command, buffer);
}

static void get_existing(const struct calls *calls, int id)
{
	(void)id;
	calls->get(KEY, 0, 0600);
}

static void attach_pair(const struct calls *calls, int id)
{
	calls->dt(calls->at(id, NULL, 0));
}

static void touch_pair(const struct calls *calls, int id)
{
	char *addr = calls->at(id, NULL, 0);
	*addr = 1;
	calls->dt(addr);
}

static void status(const struct calls *calls, int id)
{
	struct shmid_ds ds;
	calls->ctl(id, IPC_STAT, &ds);
}

static void life(const struct calls *calls, int id)
{
	id = calls->get(IPC_PRIVATE, SIZE, 0600);
	char *addr = calls->at(id, NULL, 0);
	for (int i = 0; i < SIZE; i += 4096)
		addr[i] = 1;
	calls->dt(addr);
	calls->ctl(id, IPC_RMID, NULL);
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int by_value(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;
	return a < b ? -1 : a > b;
}

static double time_of(void (*act)(const struct calls *calls, int id), const struct calls *calls,
		int id, int times)
{
	double begin = seconds();
	for (int i = 0; i < times; i++)
		act(calls, id);
	return (seconds() - begin) / times;
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof *values, by_value);
	return values[ROUNDS / 2];
}

int main(void)
{
	static const struct {
		const char *name;
		void (*act)(const struct calls *calls, int id);
		int times;
	} acts[] = {
		{ "shmget of an existing key", get_existing, 100 },
		{ "shmat + shmdt", attach_pair, 30 },
		{ "shmat + touch + shmdt", touch_pair, 30 },
		{ "IPC_STAT", status, 30 },
		{ "create, attach, fill, detach, remove", life, 5 },
	};
	const struct calls kernel = { kernel_get, kernel_at, kernel_dt, kernel_ctl };
	const struct calls shim = { shmget, shmat, shmdt, shmctl };
	int kernel_id = kernel.get(KEY, SIZE, IPC_CREAT | 0600);
	int shim_id = shim.get(KEY, SIZE, IPC_CREAT | 0600);
	for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
		double ratios[ROUNDS], times[ROUNDS];
		for (int round = 0; round < ROUNDS; round++) {
			times[round] = time_of(acts[i].act, &kernel, kernel_id, acts[i].times);
			ratios[round] = time_of(acts[i].act, &shim, shim_id, acts[i].times) /
					times[round];
		}
		printf("%-37s %7.0f ns, %5.2f x under the shim\n", acts[i].name,
				median(times) * 1e9, median(ratios));
	}
	kernel.ctl(kernel_id, IPC_RMID, NULL);
	shim.ctl(shim_id, IPC_RMID, NULL);
	return 0;
}
