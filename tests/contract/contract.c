/* SPDX-License-Identifier: MIT */
/* The calls of the contract one by one: what each does, changes and leaves alone. */
#include "contract.h"

#include <sys/mman.h>

bool all_are(const char *bytes, size_t count, char value)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

bool is_free(void *addr, size_t size)
{
	void *got = mmap(addr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (got != MAP_FAILED)
		munmap(got, size);
	return got == addr;
}

long create_plainly(long n)
{
	return unishm_open(&mine, key((int)n), O_CREAT, SMALL, 0600);
}

int see(const struct unishm_status *st, void *arg)
{
	struct seen *seen = arg;
	if ((uint32_t)st->key >> 6 != (uint32_t)key(0) >> 6 || seen->count == 64)
		return 0;
	seen->st[seen->count++] = *st;
	return seen->count == seen->stop_at ? seen->answer : 0;
}

bool data_is_freed(void)
{
	return !is_isolated() || memory_used() <= record_memory();
}

static void fill(Suite *suite)
{
	create_group(suite);
	init_group(suite);
	attach_group(suite);
	open_attached_group(suite);
	address_group(suite);
	status_group(suite);
	remove_group(suite);
	lock_group(suite);
	permission_group(suite);
	library_group(suite);
}

int main(void)
{
	return harness_main("contract", fill);
}
