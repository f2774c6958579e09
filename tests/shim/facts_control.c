/* SPDX-License-Identifier: MIT */
/* What shmctl() answers. */
#include "facts.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 5000 };

static const int commands[] = { IPC_STAT, IPC_SET, IPC_RMID, SHM_LOCK, SHM_UNLOCK };

static void bad_numbers(void)
{
	struct shmid_ds ds;
	memset(&ds, 0, sizeof ds);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		for (int id = -1; id <= 1; id++)
			say("%s ", result(shmctl(id < 1 ? id * 2 - 1 : INT_MAX, commands[i], &ds)));
	say("%s ", result(shmctl(-1, IPC_INFO, &ds)));
	say("%s ", result(shmctl(-1, SHM_INFO, &ds)));
	int id = make(SIZE, 0600);
	say("%s ", result(shmctl(id, -1, &ds)));
	say("%s ", result(shmctl(id, 99, &ds)));
	say("%s ", result(shmctl(id, INT_MIN, &ds)));
	say("%s", result(shmctl(INT_MAX, 99, &ds)));
}

static void bad_buffers(void)
{
	int id = make(SIZE, 0600);
	struct shmid_ds *const none = (void *)(uintptr_t)16;
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(pages + 4096, 4096);
	struct shmid_ds *const half = (void *)(pages + 4096 - 32);
	say("%s ", result(shmctl(id, IPC_STAT, none)));
	say("%s ", result(shmctl(id, IPC_SET, none)));
	say("%s ", result(shmctl(id, IPC_STAT, half)));
	say("%s ", result(shmctl(id, IPC_SET, half)));
	say("%s ", result(shmctl(INT_MAX, IPC_STAT, none)));
	say("%s ", result(shmctl(INT_MAX, IPC_SET, none)));
	say("%s ", result(shmctl(id, IPC_STAT, NULL)));
	mprotect(pages, 4096, PROT_READ);
	say("%s ", result(shmctl(id, IPC_STAT, (struct shmid_ds *)(void *)pages)));
	say("%s ", result(shmctl(0, IPC_INFO, none)));
	say("%s ", result(shmctl(0, SHM_INFO, none)));
	say("%s ", result(shmctl(id, SHM_LOCK, none)));
	say("%s ", result(shmctl(id, SHM_UNLOCK, none)));
	say("%s", result(shmctl(id, IPC_RMID, none)));
}

static void whole_status(void)
{
	key_t key = fresh_key();
	int id = make_key(key, SIZE, 0641);
	struct shmid_ds ds;
	memset(&ds, 0xff, sizeof ds);
	say("%d ", shmctl(id, IPC_STAT, &ds));
	say("%d %d %d %d %d ", ds.shm_perm.__key == key, ds.shm_perm.uid == geteuid(),
			ds.shm_perm.gid == getegid(), ds.shm_perm.cuid == geteuid(),
			ds.shm_perm.cgid == getegid());
	say("%o %zu %d %lu", (unsigned)ds.shm_perm.mode, ds.shm_segsz, ds.shm_cpid == getpid(),
			(unsigned long)ds.shm_nattch);
}

static void set_owner(void)
{
	int id = make(SIZE, 0600);
	struct shmid_ds ds;
	if (!is_root())
		return;
	shmctl(id, IPC_STAT, &ds);
	ds.shm_perm.uid = 65534;
	ds.shm_perm.gid = 65534;
	ds.shm_perm.mode = 0640;
	say("%s ", result(shmctl(id, IPC_SET, &ds)));
	shmctl(id, IPC_STAT, &ds);
	say("%u %u %u %u %o ", ds.shm_perm.uid, ds.shm_perm.gid, ds.shm_perm.cuid, ds.shm_perm.cgid,
			(unsigned)ds.shm_perm.mode);
	ds.shm_perm.uid = (uid_t)-1;
	say("%s ", result(shmctl(id, IPC_SET, &ds)));
	become(65534, 65534);
	say("%s ", result_of_attach(shmat(id, NULL, 0)));
	shmctl(id, IPC_STAT, &ds);
	ds.shm_perm.mode = 0600;
	say("%s ", result(shmctl(id, IPC_SET, &ds)));
	say_status(id);
	say("%s", result(shmctl(id, IPC_RMID, NULL)));
}

static void mode_zero(void)
{
	if (is_root())
		become(65534, 65534);
	key_t key = fresh_key();
	int id = make_key(key, SIZE, 0);
	struct shmid_ds ds;
	memset(&ds, 0, sizeof ds);
	say("%s ", result(shmctl(id, IPC_STAT, &ds)));
	say("%s ", result_of_attach(shmat(id, NULL, SHM_RDONLY)));
	say("%d ", shmget(key, 0, 0) == id);
	say("%s ", result(shmget(key, 0, 0400)));
	ds.shm_perm.uid = geteuid();
	ds.shm_perm.gid = getegid();
	ds.shm_perm.mode = 0200;
	say("%s ", result(shmctl(id, IPC_SET, &ds)));
	say("%s ", result_of_attach(shmat(id, NULL, 0)));
	ds.shm_perm.mode = 0400;
	say("%s ", result(shmctl(id, IPC_SET, &ds)));
	say("%s ", result_of_attach(shmat(id, NULL, 0)));
	say("%s ", result_of_attach(shmat(id, NULL, SHM_RDONLY)));
	say_status(id);
	ds.shm_perm.mode = 0;
	say("%s ", result(shmctl(id, IPC_SET, &ds)));
	say("%s ", result(shmctl(id, SHM_UNLOCK, NULL)));
	say("%s ", result(shmctl(id, IPC_RMID, NULL)));
	say("%s", result(shmget(key, 0, 0)));
}

static void remove_mode_zero(void)
{
	if (is_root())
		become(65534, 65534);
	key_t key = fresh_key();
	int id = make_key(key, SIZE, 0);
	say("%s ", result(shmctl(id, IPC_RMID, NULL)));
	say("%s ", result(shmget(key, 0, 0)));
	say("%s", result(shmctl(id, IPC_RMID, NULL)));
}

static void any_status_of_mode_zero(void)
{
	struct shmid_ds ds;
	if (is_root())
		become(65534, 65534);
	int id = make(SIZE, 0);
	say("%s ", result(shmctl(id, SHM_STAT, &ds)));
	say("%d ", shmctl(id, SHM_STAT_ANY, &ds) == id);
	say("%o %zu", (unsigned)ds.shm_perm.mode, ds.shm_segsz);
}

static void limits(void)
{
	struct shminfo info;
	memset(&info, 0, sizeof info);
	say("%s ", result(shmctl(0, IPC_INFO, (struct shmid_ds *)(void *)&info)));
	say("%lu %lu %lu %lu %lu", info.shmmin, info.shmmni, info.shmseg, info.shmmax, info.shmall);
}

static void of_another_user(void)
{
	int id = make(SIZE, 0600);
	struct shmid_ds ds;
	if (!is_root())
		return;
	shmctl(id, IPC_STAT, &ds);
	become(65534, 65534);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		say("%s ", result(shmctl(id, commands[i], &ds)));
	say("%s", result_of_attach(shmat(id, NULL, SHM_RDONLY)));
}

static int used(void)
{
	struct shm_info info;
	memset(&info, 0, sizeof info);
	if (shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info) < 0)
		return -1;
	return info.used_ids;
}

static void counts(void)
{
	struct shm_info info;
	int before = used();
	shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
	unsigned long pages = info.shm_tot;
	int one = make(SIZE, 0600);
	make_key(fresh_key(), SIZE, 0600);
	shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
	say("%d %lu ", used() - before, info.shm_tot - pages);
	attach(one);
	shmctl(one, IPC_RMID, NULL);
	say("%d ", used() - before);
}

static void indices(void)
{
	struct shmid_ds ds;
	int ids[5], found = 0, known = 0;
	for (int i = 0; i < 5; i++)
		ids[i] = make_key(fresh_key(), SIZE + (size_t)i, 0600);
	attach(ids[0]);
	shmctl(ids[0], IPC_RMID, NULL);
	shmctl(ids[1], IPC_RMID, NULL);
	int total = used();
	int last = shmctl(0, IPC_INFO, (struct shmid_ds *)(void *)&(struct shminfo){ 0 });
	for (int i = 0; i <= last; i++) {
		int id = shmctl(i, SHM_STAT, &ds);
		found += id >= 0;
		for (int j = 0; j < 5; j++)
			known += id == ids[j] && ds.shm_segsz == SIZE + (size_t)j;
	}
	say("%d %d ", found == total, known);
	say("%s ", result(shmctl(last + 1, SHM_STAT, &ds)));
	say("%d ", shmctl(ids[2], SHM_STAT, &ds) == ids[2] && ds.shm_segsz == SIZE + 2);
	say("%d ", shmctl(ids[3], SHM_STAT_ANY, &ds) == ids[3] && ds.shm_segsz == SIZE + 3);
	say("%s", result(shmctl(ids[2], SHM_STAT, NULL)));
}

static void new_one_has_an_index(void)
{
	struct shmid_ds ds;
	used();
	int id = make(SIZE, 0600), found = 0;
	int last = shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&(struct shm_info){ 0 });
	for (int i = 0; i <= last; i++)
		found += shmctl(i, SHM_STAT, &ds) == id;
	say("%d", found);
}

static struct timespec in_milliseconds(struct timespec from, long more)
{
	from.tv_nsec += more * 1000000;
	from.tv_sec += from.tv_nsec / 1000000000;
	from.tv_nsec %= 1000000000;
	return from;
}

static bool is_past(struct timespec time)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec > time.tv_sec ||
			(now.tv_sec == time.tv_sec && now.tv_nsec > time.tv_nsec);
}

/* Make one; the directory of the objects has changed at @when. */
static int make_at(struct timespec when)
{
	const struct timespec both[] = { when, when };
	int id = make(SIZE, 0600);
	utimensat(AT_FDCWD, "/dev/shm", both, 0);
	return id;
}

/* Within the grain of the clock of files the directory's time does not tell them apart. The first
 * is asked for within that grain, the other after it. */
static void made_at_the_same_instant(void)
{
	struct shmid_ds ds;
	struct timespec when;
	bool found;
	do {
		clock_gettime(CLOCK_REALTIME, &when);
		when = in_milliseconds(when, 300);
		int id = make_at(when);
		found = shmctl(id, SHM_STAT, &ds) == id;
	} while (is_past(when));
	int other = make_at(when);
	struct timespec later = in_milliseconds(when, 50);
	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &later, NULL);
	say("%d %d", found, shmctl(other, SHM_STAT, &ds) == other);
}

static void lock_limits(void)
{
	if (is_root())
		become(65534, 65534);
	int id = make(100000, 0600);
	struct rlimit none = { 0, 0 }, few = { 4096, 0 };
	few.rlim_max = 1 << 20;
	setrlimit(RLIMIT_MEMLOCK, &few);
	say("%s ", result(shmctl(id, SHM_LOCK, NULL)));
	setrlimit(RLIMIT_MEMLOCK, &none);
	say("%s ", result(shmctl(id, SHM_LOCK, NULL)));
	say("%s", result(shmctl(id, SHM_UNLOCK, NULL)));
}

const struct fact control_facts[] = {
	{ "numbers that are none", bad_numbers },
	{ "buffers that are none", bad_buffers },
	{ "IPC_STAT", whole_status },
	{ "IPC_SET of an owner", set_owner },
	{ "the owner of a segment with mode 0", mode_zero },
	{ "IPC_RMID with mode 0", remove_mode_zero },
	{ "SHM_STAT_ANY with mode 0", any_status_of_mode_zero },
	{ "IPC_INFO", limits },
	{ "of another user", of_another_user },
	{ "SHM_INFO", counts },
	{ "SHM_STAT by index", indices },
	{ "a new segment has an index", new_one_has_an_index },
	{ "two made at the same instant have an index each", made_at_the_same_instant },
	{ "SHM_LOCK and RLIMIT_MEMLOCK", lock_limits },
	{ NULL, NULL },
};
