/* SPDX-License-Identifier: MIT */
/* What becomes of attachments that the program unmaps, protects or moves itself. */
#include "facts.h"

#include <sys/mman.h>

enum { SIZE = 20000 };

static void unmapped_whole(void)
{
	int id = make(SIZE, 0600);
	char *addr = attach(id);
	munmap(addr, SIZE);
	say("%s ", result(shmdt(addr)));
	say("%lu", count(id));
}

static void unmapped_tail(void)
{
	int id = make(4 * 4096, 0600);
	char *addr = attach(id);
	munmap(addr + 3 * 4096, 4096);
	say("%lu ", count(id));
	say("%s ", result(shmdt(addr)));
	say("%lu %d", count(id), can_read(addr));
}

static void counted_after_munmap(void)
{
	int id = make(SIZE, 0600);
	char *one = attach(id), *other = attach(id);
	munmap(one, 5 * 4096);
	say("%lu ", count(id));
	shmctl(id, IPC_RMID, NULL);
	munmap(other, 5 * 4096);
	say_status(id);
}

static void mapped_over(void)
{
	int id = make(SIZE, 0600);
	char *addr = attach(id);
	mmap(addr, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			-1, 0);
	addr[0] = 3;
	say("%s ", result(shmdt(addr)));
	say("%lu %d", count(id), addr[0]);
}

static void protected_whole(void)
{
	int id = make(4 * 4096, 0600);
	char *addr = attach(id);
	mprotect(addr, 4 * 4096, PROT_READ);
	say("%lu %d ", count(id), can_write(addr));
	say("%s ", result(shmdt(addr)));
	say("%lu", count(id));
}

static void moved(void)
{
	int id = make(4 * 4096, 0600);
	char *addr = attach(id), *to = free_range(4 * 4096);
	char *now = mremap(addr, 4 * 4096, 4 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	say("%d %lu ", now == to, count(id));
	say("%s ", result(shmdt(now)));
	say("%s ", result(shmdt(addr)));
	say("%lu", count(id));
}

const struct fact mapping_facts[] = {
	{ "munmap of the whole", unmapped_whole },
	{ "the count after munmap", counted_after_munmap },
	{ "munmap of the tail", unmapped_tail },
	{ "mmap over the whole", mapped_over },
	{ "mprotect of the whole", protected_whole },
	{ "mremap", moved },
	{ NULL, NULL },
};
