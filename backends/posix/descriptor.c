/* SPDX-License-Identifier: MIT */
#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "sys.h"

/* Owners by number, in chunks that are made when they are needed and never freed: a
 * fork handler may look at any time. */
enum { CHUNK = 1024, CHUNKS = 1024 };
static const void **chunks[CHUNKS];

static const void **owner_of(int fd, bool make)
{
	unsigned chunk = (unsigned)fd / CHUNK;
	if (fd < 0 || chunk >= CHUNKS)
		return NULL;
	const void **list = __atomic_load_n(&chunks[chunk], __ATOMIC_ACQUIRE);
	if (!list && make) {
		const void **fresh = unishm_sys.calloc(CHUNK, sizeof *fresh);
		if (!fresh)
			return NULL;
		if (__atomic_compare_exchange_n(&chunks[chunk], &list, fresh, false,
				    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			list = fresh;
		else
			free(fresh); /* another thread was faster */
	}
	return list ? &list[fd % CHUNK] : NULL;
}

int ushp_fd_own(int fd, const void *owner)
{
	const void **slot = owner_of(fd, owner != NULL);
	if (!slot)
		return owner ? -EMFILE : 0;
	__atomic_store_n(slot, owner, __ATOMIC_RELEASE);
	return 0;
}

static unsigned losses;

static int note_loss(void)
{
	__atomic_fetch_add(&losses, 1, __ATOMIC_RELAXED);
	return -EBADF;
}

unsigned ushp_fd_losses(void)
{
	return __atomic_load_n(&losses, __ATOMIC_RELAXED);
}

int ushp_fd_keep(int fd)
{
	if (fd < 0)
		return -errno;
	if (fd <= 2) {
		int higher = unishm_sys.fcntl_dup(fd, 3);
		int rc = -errno;
		unishm_sys.close(fd);
		if (higher < 0)
			return rc;
		fd = higher;
	}
	const void **slot = owner_of(fd, false);
	if (slot && __atomic_exchange_n(slot, NULL, __ATOMIC_ACQ_REL))
		note_loss(); /* what had the number before has it no more */
	return fd;
}

bool ushp_fd_owned(int fd, const void *owner)
{
	const void **slot = owner_of(fd, false);
	return slot ? __atomic_load_n(slot, __ATOMIC_ACQUIRE) == owner : owner == NULL;
}

int ushp_fd_next(int fd, const void *owner)
{
	for (fd++; fd < CHUNK * CHUNKS; fd++) {
		const void **list = __atomic_load_n(&chunks[fd / CHUNK], __ATOMIC_ACQUIRE);
		if (!list)
			fd |= CHUNK - 1; /* the last of that chunk */
		else if (__atomic_load_n(&list[fd % CHUNK], __ATOMIC_ACQUIRE) == owner)
			return fd;
	}
	return -1;
}

int ushp_fd_check(int fd, const void *owner, dev_t dev, ino_t ino, struct stat *st)
{
	const void **slot = owner_of(fd, false);
	if (!slot || __atomic_load_n(slot, __ATOMIC_ACQUIRE) != owner)
		return -EBADF;
	if (unishm_sys.fstat(fd, st) < 0)
		return errno == EBADF ? note_loss() : -errno;
	return S_ISREG(st->st_mode) && st->st_dev == dev && st->st_ino == ino ? 0 : note_loss();
}
