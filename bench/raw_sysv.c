/* SPDX-License-Identifier: MIT */
/* The raw calls of System V: what its backend is measured against. */
#include "contender.h"

#include <sys/ipc.h>
#include <sys/shm.h>

static unsigned base;
static int ids[SLOTS];
static void *addresses[SLOTS];

static void start(const char *variant, unsigned from)
{
	(void)variant;
	base = from;
}

static void create(int handle, unsigned segment, size_t size, int reserve)
{
	int flags = IPC_CREAT | IPC_EXCL | 0600 | (reserve ? 0 : SHM_NORESERVE);
	ids[handle] = shmget((key_t)(base + segment), size, flags);
	if (ids[handle] < 0)
		die("shmget");
}

static void open_existing(int handle, unsigned segment)
{
	ids[handle] = shmget((key_t)(base + segment), 0, 0);
	if (ids[handle] < 0)
		die("shmget");
}

static void attach(int handle)
{
	addresses[handle] = shmat(ids[handle], NULL, 0);
	if (addresses[handle] == (void *)-1)
		die("shmat");
}

static void detach(int handle)
{
	if (shmdt(addresses[handle]) < 0)
		die("shmdt");
}

static void close_handle(int handle)
{
	(void)handle;
}

static void remove_segment(int handle)
{
	if (shmctl(ids[handle], IPC_RMID, NULL) < 0)
		die("shmctl");
}

static void *address(int handle)
{
	return addresses[handle];
}

static size_t status(int handle)
{
	struct shmid_ds ds;
	if (shmctl(ids[handle], IPC_STAT, &ds) < 0)
		die("shmctl");
	return ds.shm_nattch;
}

static void lock(int handle)
{
	if (shmctl(ids[handle], SHM_LOCK, NULL) < 0)
		die("shmctl");
}

static void unlock(int handle)
{
	if (shmctl(ids[handle], SHM_UNLOCK, NULL) < 0)
		die("shmctl");
}

static unsigned list(void)
{
	struct shmid_ds ds;
	unsigned count = 0;
	int last = shmctl(0, SHM_INFO, &ds);
	for (int i = 0; i <= last; i++)
		count += shmctl(i, SHM_STAT, &ds) >= 0;
	return count;
}

const struct contender contender = {
	.start = start,
	.create = create,
	.open = open_existing,
	.attach = attach,
	.detach = detach,
	.close = close_handle,
	.remove = remove_segment,
	.address = address,
	.status = status,
	.lock = lock,
	.unlock = unlock,
	.list = list,
	.reserves = 1,
};
