/* SPDX-License-Identifier: MIT */
/* ACE_SV_Shared_Memory: a thin wrapper of System V. */
#include "contender.h"

#include <ace/SV_Shared_Memory.h>
#include <sys/shm.h>

static unsigned base;
static ACE_SV_Shared_Memory objects[SLOTS];

static void start(const char *, unsigned from)
{
	base = from;
}

static void create(int handle, unsigned segment, size_t size, int)
{
	key_t key = static_cast<key_t>(base + segment);
	if (objects[handle].open(key, size, IPC_CREAT | IPC_EXCL, 0600) < 0)
		die("ACE_SV_Shared_Memory::open");
}

static void open_existing(int handle, unsigned segment)
{
	key_t key = static_cast<key_t>(base + segment);
	if (objects[handle].open(key, 0, ACE_SV_Shared_Memory::ACE_OPEN, 0) < 0)
		die("ACE_SV_Shared_Memory::open");
}

static void attach(int handle)
{
	if (objects[handle].attach() < 0)
		die("ACE_SV_Shared_Memory::attach");
}

static void detach(int handle)
{
	if (objects[handle].detach() < 0)
		die("ACE_SV_Shared_Memory::detach");
}

static void close_handle(int)
{
}

static void remove_segment(int handle)
{
	if (objects[handle].remove() < 0)
		die("ACE_SV_Shared_Memory::remove");
}

static void *address(int handle)
{
	return objects[handle].get_segment_ptr();
}

static size_t status(int handle)
{
	struct shmid_ds ds;
	if (objects[handle].control(IPC_STAT, &ds) < 0)
		die("ACE_SV_Shared_Memory::control");
	return ds.shm_nattch;
}

extern "C" {
const struct contender contender = {
	start, create, open_existing, attach, detach, close_handle, remove_segment, address,
	status, nullptr, nullptr, nullptr, nullptr, 0, 0, nullptr,
};
}
