/* SPDX-License-Identifier: MIT */
/* Poco::SharedMemory. It trusts the opener's size; its creator's end removes. */
#include "contender.h"

#include <Poco/SharedMemory.h>
#include <cstdio>

static unsigned base;
static Poco::SharedMemory objects[SLOTS];
static size_t last_size = SIZE_DEFAULT;

static void start(const char *, unsigned from)
{
	base = from;
}

static void get(int handle, unsigned segment, bool server)
{
	char name[32];
	std::snprintf(name, sizeof name, "bench-poco.%08x", base + segment);
	objects[handle] = Poco::SharedMemory(name, last_size, Poco::SharedMemory::AM_WRITE,
			nullptr, server);
}

static void create(int handle, unsigned segment, size_t size, int)
{
	last_size = size;
	get(handle, segment, true);
}

static void open_existing(int handle, unsigned segment)
{
	get(handle, segment, false);
}

static void close_handle(int handle)
{
	objects[handle] = Poco::SharedMemory();
}

static void remove_segment(int)
{
}

static void *address(int handle)
{
	return objects[handle].begin();
}

static size_t size_of(int handle)
{
	return static_cast<size_t>(objects[handle].end() - objects[handle].begin());
}

extern "C" {
const struct contender contender = {
	start, create, open_existing, nullptr, nullptr, close_handle, remove_segment, address,
	nullptr, size_of, nullptr, nullptr, nullptr, 0, 0, nullptr,
};
}
