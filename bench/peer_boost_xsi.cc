/* SPDX-License-Identifier: MIT */
/* Boost.Interprocess: xsi_shared_memory and mapped_region. Its keys are made by
 * ftok() from a file and 8 bits; they are made beforehand here. */
#include "contender.h"

#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/xsi_shared_memory.hpp>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace ipc = boost::interprocess;

static std::vector<ipc::xsi_key> keys;
static ipc::xsi_shared_memory objects[SLOTS];
static ipc::mapped_region regions[SLOTS];

static void start(const char *, unsigned)
{
	for (unsigned i = 0; i < SLOTS; i += 250) {
		char path[] = "/tmp/bench-xsi-XXXXXX";
		if (mkstemp(path) < 0)
			die(path);
		for (unsigned j = 1; j <= 250; j++)
			keys.emplace_back(path, static_cast<uint8_t>(j));
		std::remove(path);
	}
}

static void create(int handle, unsigned segment, size_t size, int)
{
	ipc::xsi_shared_memory object(ipc::create_only, keys[segment], size, 0600);
	objects[handle].swap(object);
}

static void open_existing(int handle, unsigned segment)
{
	ipc::xsi_shared_memory object(ipc::open_only, keys[segment]);
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
	ipc::xsi_shared_memory none;
	objects[handle].swap(none);
}

static void remove_segment(int handle)
{
	ipc::xsi_shared_memory::remove(objects[handle].get_shmid());
}

static void *address(int handle)
{
	return regions[handle].get_address();
}

extern "C" {
const struct contender contender = {
	start, create, open_existing, attach, detach, close_handle, remove_segment, address,
	nullptr, nullptr, nullptr, nullptr, nullptr, 0, 0, nullptr,
};
}
