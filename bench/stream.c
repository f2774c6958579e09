/* SPDX-License-Identifier: MIT */
/*
 * One run of one way to have a large segment: how long until every page is there,
 * and how fast it can be written and read then, in a row and at random places.
 *
 *   stream WAY BYTES     ->  "ready_ns write_ns read_ns huge_kib random_ns", or "no";
 *                            random_ns is the time of one read that waits for the one before
 *
 * WAY is raw-sysv, raw-posix, or BACKEND[-populate][-reserve][-thp][-huge].
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#include "unishm.h"

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *no(void)
{
	puts("no");
	exit(0);
}

static char *raw_sysv(size_t size)
{
	int id = shmget(IPC_PRIVATE, size, IPC_CREAT | SHM_NORESERVE | 0600);
	void *addr = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	return addr == (void *)-1 ? no() : addr;
}

static char *raw_posix(size_t size)
{
	char name[32];
	snprintf(name, sizeof name, "/bench-stream.%d", (int)getpid());
	int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return no();
	shm_unlink(name);
	void *addr = ftruncate(fd, (off_t)size) < 0 ? MAP_FAILED
			: mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return addr == MAP_FAILED ? no() : addr;
}

static char *ours(const char *way, size_t size)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	void *addr;
	int flags = (strstr(way, "-populate") ? UNISHM_POPULATE : 0) |
			(strstr(way, "-thp") ? UNISHM_THP : 0);
	opt.backend = strncmp(way, "sysv", 4) == 0 ? "sysv" : "posix";
	opt.size = size;
	opt.mode = 0600;
	opt.flags = strstr(way, "-huge") ? UNISHM_HUGETLB
			: strstr(way, "-reserve") ? 0 : UNISHM_NORESERVE;
	if (unishm_open_with(&seg, &opt) < 0)
		return no();
	int rc = unishm_attach(seg, flags, &addr);
	unishm_remove(seg);
	if (rc < 0)
		return no();
	return addr;
}

/* How much of this process's memory is in huge pages of shared memory. */
static unsigned long huge_kib(void)
{
	char line[256];
	unsigned long sum = 0, value;
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "ShmemPmdMapped: %lu", &value) == 1 ||
				sscanf(line, "Shared_Hugetlb: %lu", &value) == 1 ||
				sscanf(line, "Private_Hugetlb: %lu", &value) == 1)
			sum += value;
	if (file)
		fclose(file);
	return sum;
}

/* Where the next read is depends on what the last one found (zero). */
static int64_t read_at_random(const char *at, size_t size)
{
	enum { READS = 2000000 };
	uint64_t place = 88172645463325252u;
	int64_t start = now();
	for (int i = 0; i < READS; i++) {
		place = place * 6364136223846793005u + 1442695040888963407u;
		place += *(const volatile unsigned char *)&at[place >> 16 & (size - 1)];
	}
	return (now() - start) / READS;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const char *way = argv[1];
	size_t size = (size_t)strtoull(argv[2], NULL, 10);
	int64_t begin = now();
	char *at = strcmp(way, "raw-sysv") == 0 ? raw_sysv(size)
			: strcmp(way, "raw-posix") == 0 ? raw_posix(size) : ours(way, size);
	for (size_t i = 0; i < size; i += 4096)
		*(volatile char *)&at[i] = 1;
	int64_t ready = now() - begin, writing = INT64_MAX, reading = INT64_MAX;
	uint64_t sum = 0;
	for (int round = 0; round < 3; round++) {
		int64_t start = now();
		memset(at, round, size);
		int64_t middle = now();
		for (size_t i = 0; i < size; i += 8)
			sum += *(const uint64_t *)(const void *)&at[i];
		int64_t end = now();
		writing = middle - start < writing ? middle - start : writing;
		reading = end - middle < reading ? end - middle : reading;
	}
	printf("%lld %lld %lld %lu %lld%s\n", (long long)ready, (long long)writing,
			(long long)reading, huge_kib(), (long long)read_at_random(at, size),
			sum == 1 ? " " : "");
	return 0;
}
