/* SPDX-License-Identifier: MIT */
/* What shmget() answers. */
#include "facts.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void order_for_existing(void)
{
	key_t key = fresh_key();
	make_key(key, 100, 0);
	say("%s ", result(shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0666)));
	if (is_root())
		become(65534, 65534);
	say("%s ", result(shmget(key, 100000, 0666)));
	say("%s ", result(shmget(key, 100, 0666)));
	say("%s ", result(shmget(key, 100, IPC_CREAT | IPC_EXCL | 0666)));
	say("%s ", result(shmget(key, 100, IPC_CREAT | 0666)));
	say("%s", result(shmget(key, 0, 0)));
}

static void exclusive_alone(void)
{
	key_t key = fresh_key();
	int id = make_key(key, 100, 0600);
	say("%d", shmget(key, 0, IPC_EXCL | 0600) == id);
}

static void sizes_of_existing(void)
{
	key_t key = fresh_key();
	make_key(key, 100, 0600);
	static const size_t sizes[] = { 0, 1, 99, 100, 101, 4096, 65536, SIZE_MAX };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		say("%s ", result(shmget(key, sizes[i], 0600)));
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		say("%s ", result(shmget(key, sizes[i], IPC_CREAT | 0600)));
}

static void sizes_of_new(void)
{
	key_t key = fresh_key();
	static const size_t sizes[] = { 0, SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX - 40960 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		say("%s ", result(keep(shmget(key, sizes[i], IPC_CREAT | 0600))));
		say("%s ", result(keep(shmget(IPC_PRIVATE, sizes[i], 0600))));
		say("%s ", result(keep(shmget(key, sizes[i], 0600))));
	}
}

static void too_large(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	const size_t sizes[] = { (size_t)pages * 2 * (size_t)page, (size_t)1 << 46,
		(size_t)1 << 62 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		say("%s ", result(keep(shmget(fresh_key(), sizes[i], IPC_CREAT | 0600))));
}

static void missing_key(void)
{
	key_t key = fresh_key();
	say("%s ", result(shmget(key, 0, 0)));
	say("%s ", result(shmget(key, SIZE_MAX, 0600)));
	say("%s", result(shmget(key, 100, IPC_EXCL)));
}

static void private_is_always_new(void)
{
	int one = keep(shmget(IPC_PRIVATE, 10, 0600));
	int two = keep(shmget(IPC_PRIVATE, 10, IPC_CREAT | 0600));
	int three = keep(shmget(IPC_PRIVATE, 10, IPC_CREAT | IPC_EXCL | 0600));
	int four = keep(shmget(IPC_PRIVATE, 10, IPC_EXCL | 0600));
	say("%d %d %d %d", one >= 0, two != one, three != two, four != three && four >= 0);
}

static void keys(void)
{
	static const key_t list[] = { -1, INT_MIN, INT_MAX, 1 };
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		int id = keep(shmget(list[i], 10, IPC_CREAT | IPC_EXCL | 0600));
		say("%d ", id >= 0 && shmget(list[i], 0, 0) == id);
	}
}

static void unknown_flags(void)
{
	key_t key = fresh_key();
	int id = keep(shmget(key, 10, IPC_CREAT | 0600 | 0x10000000 | SHM_NORESERVE));
	say("%d ", id >= 0);
	say_status(id);
	say("%d", shmget(key, 0, 0x10000000 | SHM_NORESERVE) == id);
}

static void ids_are_not_reused(void)
{
	enum { ROUNDS = 200 };
	int ids[ROUNDS], same = 0;
	for (int i = 0; i < ROUNDS; i++) {
		ids[i] = shmget(IPC_PRIVATE, 10, 0600);
		shmctl(ids[i], IPC_RMID, NULL);
		for (int j = 0; j < i; j++)
			same += ids[j] == ids[i];
	}
	say("%d %s", same, result_of_attach(shmat(ids[0], NULL, 0)));
}

static void last_page_is_whole(void)
{
	int id = make(100, 0600);
	char *one = attach(id), *other = attach(id);
	int zero = 1;
	for (int i = 0; i < 4096; i++)
		zero &= one[i] == 0;
	one[4095] = 5;
	say("%d %d", zero, other[4095]);
}

static int racing_flags;

static void race(void *arg)
{
	int id = shmget(*(key_t *)arg, 100, racing_flags | 0600);
	_exit(id >= 0 ? 1 : 0);
}

static void racing(void)
{
	static const int flags[] = { IPC_CREAT | IPC_EXCL, IPC_CREAT };
	for (int i = 0; i < 2; i++) {
		int won = 0;
		racing_flags = flags[i];
		for (int round = 0; round < 20; round++) {
			key_t key = fresh_key();
			pid_t pids[6];
			for (int j = 0; j < 6; j++)
				pids[j] = child(race, &key);
			for (int j = 0; j < 6; j++)
				won += ended(pids[j]);
			keep(shmget(key, 0, 0));
		}
		say("%d ", won);
	}
}

static void limited_file_size(void)
{
	struct rlimit limit = { 4096, 4096 };
	setrlimit(RLIMIT_FSIZE, &limit);
	say("%s", result(keep(shmget(fresh_key(), 1 << 20, IPC_CREAT | 0600))));
}

static void limited_descriptors(void)
{
	struct rlimit limit = { 3, 3 };
	setrlimit(RLIMIT_NOFILE, &limit);
	int id = keep(shmget(fresh_key(), 1 << 20, IPC_CREAT | 0600));
	say("%s ", result(id));
	say("%s", result_of_attach(shmat(id, NULL, 0)));
}

static void permission_asked(void)
{
	key_t key = fresh_key();
	make_key(key, 10, 0604);
	if (is_root())
		become(65534, 65534);
	static const int modes[] = { 0, 0400, 0040, 0004, 0200, 0020, 0002, 0100, 0600, 0444 };
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		say("%s ", result(shmget(key, 0, modes[i])));
}

static void create_where_none_can_be_made(void *arg)
{
	(void)arg;
	become(65534, 65534);
	int id = shmget(fresh_key(), 100, IPC_CREAT | 0600);
	say("%d", id < 0 && errno == ENOENT);
	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
}

/* The shim has no other place for a segment than a directory. */
static void never_missing(void)
{
	if (!is_root())
		return;
	chmod("/dev/shm", 0755);
	ended(child(create_where_none_can_be_made, NULL));
	chmod("/dev/shm", 01777);
}

static void many(void)
{
	int ids[300], good = 0;
	for (int i = 0; i < 300; i++)
		ids[i] = make(100, 0600);
	for (int i = 0; i < 300; i++)
		good += *attach(ids[i]) == 0;
	say("%d ", good);
	for (int i = 0; i < 300; i++)
		good += count(ids[i]) == 1;
	say("%d", good);
}

static void huge_pages(void)
{
	int id = keep(shmget(IPC_PRIVATE, 0, SHM_HUGETLB | 0600));
	say("%s", result(id));
}

const struct fact get_facts[] = {
	{ "the order of checks", order_for_existing },
	{ "IPC_EXCL alone", exclusive_alone },
	{ "sizes of an existing one", sizes_of_existing },
	{ "sizes of a new one", sizes_of_new },
	{ "more than there is", too_large },
	{ "no such key", missing_key },
	{ "IPC_PRIVATE is always new", private_is_always_new },
	{ "any key", keys },
	{ "unknown flags", unknown_flags },
	{ "ids are not used again soon", ids_are_not_reused },
	{ "the last page is whole", last_page_is_whole },
	{ "racing creators", racing },
	{ "RLIMIT_FSIZE", limited_file_size },
	{ "RLIMIT_NOFILE", limited_descriptors },
	{ "what permission is asked for", permission_asked },
	{ "many segments", many },
	{ "SHM_HUGETLB without a size", huge_pages },
	{ "IPC_CREAT never answers ENOENT", never_missing },
	{ NULL, NULL },
};
