/* SPDX-License-Identifier: MIT */
/* Boost.Interprocess: shared_memory_object and mapped_region. */
#include "contender.h"

#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/shared_memory_object.hpp>
#include <cstdio>
#include <new>

namespace ipc = boost::interprocess;

static unsigned base;
static ipc::shared_memory_object objects[SLOTS];
static ipc::mapped_region regions[SLOTS];

static void start(const char *, unsigned from)
{
	base = from;
}

struct name {
	char text[32];
	explicit name(unsigned segment)
	{
		std::snprintf(text, sizeof text, "bench-boost.%08x", base + segment);
	}
};

static void create(int handle, unsigned segment, size_t size, int)
{
	ipc::shared_memory_object object(ipc::create_only, name(segment).text, ipc::read_write);
	object.truncate(static_cast<ipc::offset_t>(size));
	objects[handle].swap(object);
}

static void open_existing(int handle, unsigned segment)
{
	ipc::shared_memory_object object(ipc::open_only, name(segment).text, ipc::read_write);
	objects[handle].swap(object);
}

static void attach(int handle)
{
	ipc::mapped_region region(objects[handle], ipc::read_write);
	regions[handle].swap(region);
}

static void detach(int handle)
{
	ipc::mapped_region none;
	regions[handle].swap(none);
}

static void close_handle(int handle)
{
	ipc::shared_memory_object none;
	objects[handle].swap(none);
}

static void remove_segment(int handle)
{
	ipc::shared_memory_object::remove(objects[handle].get_name());
}

static void *address(int handle)
{
	return regions[handle].get_address();
}

static size_t size_of(int handle)
{
	ipc::offset_t size = 0;
	if (!objects[handle].get_size(size))
		die("get_size");
	return static_cast<size_t>(size);
}

extern "C" {
const struct contender contender = {
	start, create, open_existing, attach, detach, close_handle, remove_segment, address,
	nullptr, size_of, nullptr, nullptr, nullptr, 0, 0, nullptr,
};
}
