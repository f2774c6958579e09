/* SPDX-License-Identifier: MIT */
#include "strangers.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "isolate.h"

enum { NEIGHBOURS = 4, HIDERS = 4, MOST_BYTES = 1 << 17 };

static struct neighbour {
	unsigned char *bytes, *copy; /* NULL: none */
	size_t size, memory;
} neighbours[NEIGHBOURS];

static int hiders[HIDERS];
static unsigned hider_count;

static int open_object(const struct world *world, int segment, int access)
{
	char name[256];
	if (segment < 0 || !isolate_name_of_object(world->segment[segment].id[POSIX], name,
			sizeof name))
		return -1;
	return open(name, access | O_CLOEXEC);
}

/* ---- Neighbours ------------------------------------------------------------ */

static void let_go(struct neighbour *at)
{
	if (!at->bytes)
		return;
	munmap(at->bytes, at->size);
	free(at->copy);
	*at = (struct neighbour){ 0 };
}

static void map_as(struct neighbour *at, int fd, size_t size)
{
	struct stat st;
	void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	at->copy = malloc(size);
	if (bytes == MAP_FAILED || !at->copy || fstat(fd, &st) < 0)
		abort();
	at->bytes = bytes;
	at->size = size;
	at->memory = (size_t)st.st_blocks * 512;
	memcpy(at->copy, bytes, size);
}

void strangers_map(const struct world *world, int segment)
{
	static unsigned next;
	struct neighbour *at = &neighbours[next++ % NEIGHBOURS];
	struct stat st;
	int fd = world->isolated ? open_object(world, segment, O_RDONLY) : -1;
	let_go(at);
	/* the record is behind the data: what is mapped is the data, in whole pages of 64 KiB */
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size <= MOST_BYTES)
		map_as(at, fd, (size_t)st.st_size - 65536);
	if (fd >= 0)
		close(fd);
}

void strangers_compare(bool written, struct difference *out)
{
	for (int i = 0; i < NEIGHBOURS; i++) {
		struct neighbour *at = &neighbours[i];
		if (!at->bytes)
			continue;
		if (!written && memcmp(at->bytes, at->copy, at->size) != 0)
			differ(out, "a program that has mapped a removed object finds other bytes "
					"in it");
		memcpy(at->copy, at->bytes, at->size);
	}
}

size_t strangers_memory(void)
{
	size_t sum = 0;
	struct stat st;
	for (int i = 0; i < NEIGHBOURS; i++)
		sum += neighbours[i].bytes ? neighbours[i].memory + 65536 : 0;
	for (unsigned i = 0; i < hider_count; i++)
		if (fstat(hiders[i], &st) == 0)
			sum += (size_t)st.st_blocks * 512;
	return sum;
}

/* ---- Those who may read, and those who may write ------------------------------ */

static bool hide(const struct world *world, int segment, unsigned step)
{
	const int64_t readers = INT64_C(1) << 62; /* see range_lock.h */
	const int64_t starts[] = { readers, readers + (INT64_C(1) << 40),
		readers + (INT64_C(1) << 60) };
	struct flock lock = { .l_type = F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = starts[step % 3] };
	int fd = hider_count < HIDERS ? open_object(world, segment, O_RDONLY) : -1;
	if (fd < 0)
		return false;
	if (step % 3 == 1)
		lock.l_len = INT64_C(1) << 50;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		abort();
	hiders[hider_count++] = fd;
	return true;
}

/* That it is removed, which it is not. */
static bool scribble(const struct world *world, int segment)
{
	const off_t removed_back = 112 - 44; /* see record.h */
	const uint32_t yes = 1;
	struct stat st;
	int fd = open_object(world, segment, O_WRONLY);
	if (fd < 0)
		return false;
	bool done = fstat(fd, &st) == 0 &&
			pwrite(fd, &yes, sizeof yes, st.st_size - removed_back) == sizeof yes;
	close(fd);
	return done;
}

bool strangers_play(const struct world *world, const struct step *step)
{
	int segment = world_segment_by_key(world, step->arg[0]);
	if (!world->isolated)
		return false;
	return step->op == OP_HIDE ? hide(world, segment, (unsigned)step->arg[1])
			: scribble(world, segment);
}

void strangers_end(void)
{
	for (int i = 0; i < NEIGHBOURS; i++)
		let_go(&neighbours[i]);
	while (hider_count > 0)
		close(hiders[--hider_count]);
}
