/* SPDX-License-Identifier: MIT */
/* Netscape Portable Runtime: System V, with key files, here on a tmpfs. Its keys are
 * ftok()'s, 16 bits of an inode number, so that two files can have the same: then the
 * next file is tried. */
#include "contender.h"

#include <nspr.h>
#include <stdio.h>
#include <unistd.h>

static unsigned base;
static struct slot {
	PRSharedMemory *shm;
	void *addr;
	const char *name;
} slots[SLOTS];
static char names[SLOTS][64]; /* of segments */

static void start(const char *variant, unsigned from)
{
	(void)variant;
	base = from;
}

static PRSharedMemory *get(int handle, unsigned segment, size_t size, PRIntn flags)
{
	slots[handle].name = names[segment];
	slots[handle].shm = PR_OpenSharedMemory(names[segment], (PRSize)size, flags, 0600);
	return slots[handle].shm;
}

static void create(int handle, unsigned segment, size_t size, int reserve)
{
	(void)reserve;
	for (int attempt = 0; attempt < 10; attempt++) {
		snprintf(names[segment], sizeof names[segment], "/dev/shm/bench-nspr.%08x.%d",
				base + segment, attempt);
		if (get(handle, segment, size, PR_SHM_CREATE | PR_SHM_EXCL))
			return;
		unlink(names[segment]);
	}
	die("PR_OpenSharedMemory");
}

static void open_existing(int handle, unsigned segment)
{
	if (!get(handle, segment, 1, 0))
		die("PR_OpenSharedMemory");
}

static void attach(int handle)
{
	slots[handle].addr = PR_AttachSharedMemory(slots[handle].shm, 0);
	if (!slots[handle].addr)
		die("PR_AttachSharedMemory");
}

static void detach(int handle)
{
	if (PR_DetachSharedMemory(slots[handle].shm, slots[handle].addr) != PR_SUCCESS)
		die("PR_DetachSharedMemory");
}

static void remove_segment(int handle)
{
	if (PR_DeleteSharedMemory(slots[handle].name) != PR_SUCCESS)
		die("PR_DeleteSharedMemory");
}

static void close_handle(int handle)
{
	PR_CloseSharedMemory(slots[handle].shm);
}

static void *address(int handle)
{
	return slots[handle].addr;
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
};
