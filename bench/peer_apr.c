/* SPDX-License-Identifier: MIT */
/* Apache Portable Runtime: named segments. Attaching is opening. */
#include "contender.h"

#include <apr_general.h>
#include <apr_shm.h>
#include <stdio.h>

static unsigned base;
static struct slot {
	apr_pool_t *pool;
	apr_shm_t *shm;
	char name[64];
} slots[SLOTS];

static void start(const char *variant, unsigned from)
{
	(void)variant;
	base = from;
	if (apr_initialize() != APR_SUCCESS)
		die("apr_initialize");
}

static struct slot *prepare(int handle, unsigned segment)
{
	struct slot *slot = &slots[handle];
	snprintf(slot->name, sizeof slot->name, "/bench-apr.%08x", base + segment);
	if (!slot->pool && apr_pool_create(&slot->pool, NULL) != APR_SUCCESS)
		die("apr_pool_create");
	return slot;
}

static void create(int handle, unsigned segment, size_t size, int reserve)
{
	struct slot *slot = prepare(handle, segment);
	(void)reserve;
	if (apr_shm_create(&slot->shm, size, slot->name, slot->pool) != APR_SUCCESS)
		die("apr_shm_create");
}

static void open_existing(int handle, unsigned segment)
{
	struct slot *slot = prepare(handle, segment);
	if (apr_shm_attach(&slot->shm, slot->name, slot->pool) != APR_SUCCESS)
		die("apr_shm_attach");
}

static void remove_segment(int handle)
{
	if (apr_shm_destroy(slots[handle].shm) != APR_SUCCESS)
		die("apr_shm_destroy");
	slots[handle].shm = NULL;
}

static void close_handle(int handle)
{
	if (slots[handle].shm && apr_shm_detach(slots[handle].shm) != APR_SUCCESS)
		die("apr_shm_detach");
	apr_pool_clear(slots[handle].pool);
}

static void *address(int handle)
{
	return apr_shm_baseaddr_get(slots[handle].shm);
}

static size_t size_of(int handle)
{
	return apr_shm_size_get(slots[handle].shm);
}

const struct contender contender = {
	.start = start,
	.create = create,
	.open = open_existing,
	.close = close_handle,
	.remove = remove_segment,
	.address = address,
	.size = size_of,
};
