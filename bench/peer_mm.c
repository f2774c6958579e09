/* SPDX-License-Identifier: MIT */
/* OSSP mm: shared with children only, so there is nothing to open. */
#include "contender.h"

#include <mm.h>
#include <stdio.h>

static unsigned base;
static void *cores[SLOTS];

static void start(const char *variant, unsigned from)
{
	(void)variant;
	base = from;
}

static void create(int handle, unsigned segment, size_t size, int reserve)
{
	char file[64];
	(void)reserve;
	snprintf(file, sizeof file, "/dev/shm/bench-mm.%08x", base + segment);
	cores[handle] = mm_core_create(size, file);
	if (!cores[handle])
		die("mm_core_create");
}

static void remove_segment(int handle)
{
	(void)handle;
}

static void close_handle(int handle)
{
	mm_core_delete(cores[handle]);
}

static void *address(int handle)
{
	return cores[handle];
}

static size_t size_of(int handle)
{
	return mm_core_size(cores[handle]);
}

const struct contender contender = {
	.start = start,
	.create = create,
	.close = close_handle,
	.remove = remove_segment,
	.address = address,
	.size = size_of,
};
