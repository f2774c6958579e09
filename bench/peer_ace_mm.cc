/* SPDX-License-Identifier: MIT */
/* ACE_Mem_Map: a mapped file, here on a tmpfs. */
#include "contender.h"

#include <ace/Mem_Map.h>
#include <cstdio>

static unsigned base;
static ACE_Mem_Map *objects[SLOTS];

static void start(const char *, unsigned from)
{
	base = from;
}

static void map(int handle, unsigned segment, size_t size, int flags)
{
	char name[64];
	std::snprintf(name, sizeof name, "/dev/shm/bench-ace.%08x", base + segment);
	objects[handle] = new ACE_Mem_Map;
	if (objects[handle]->map(name, size, O_RDWR | flags, 0600, PROT_RDWR, MAP_SHARED) < 0)
		die("ACE_Mem_Map::map");
}

static void create(int handle, unsigned segment, size_t size, int)
{
	map(handle, segment, size, O_CREAT | O_EXCL);
}

static void open_existing(int handle, unsigned segment)
{
	map(handle, segment, static_cast<size_t>(-1), 0);
}

static void close_handle(int handle)
{
	delete objects[handle];
}

static void remove_segment(int handle)
{
	if (objects[handle]->remove() < 0)
		die("ACE_Mem_Map::remove");
}

static void *address(int handle)
{
	return objects[handle]->addr();
}

static size_t size_of(int handle)
{
	return objects[handle]->size();
}

extern "C" {
const struct contender contender = {
	start, create, open_existing, nullptr, nullptr, close_handle, remove_segment, address,
	nullptr, size_of, nullptr, nullptr, nullptr, 0, 0, nullptr,
};
}
