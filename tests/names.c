/* SPDX-License-Identifier: MIT */
/* A program may have functions of its own by any name without a prefix of ours, and link with the
 * static library: these are names that files of the library once had, or have for themselves. */
#include <fcntl.h>
#include <stdio.h>

#include "unishm.h"

#define OF_THE_PROGRAM(name) \
	int name(void);      \
	int name(void)       \
	{                    \
		return 1;    \
	}

OF_THE_PROGRAM(attach)
OF_THE_PROGRAM(create)
OF_THE_PROGRAM(detach)
OF_THE_PROGRAM(find)
OF_THE_PROGRAM(find_backend)
OF_THE_PROGRAM(fork_prepare)
OF_THE_PROGRAM(hold_forks)
OF_THE_PROGRAM(lock)
OF_THE_PROGRAM(mutex_lock)
OF_THE_PROGRAM(open_named)
OF_THE_PROGRAM(os_lock)
OF_THE_PROGRAM(posix_attach)
OF_THE_PROGRAM(record_now)
OF_THE_PROGRAM(refresh)
OF_THE_PROGRAM(status)
OF_THE_PROGRAM(sweep)
OF_THE_PROGRAM(sysv_attach)
OF_THE_PROGRAM(sysv_sweep)

/* What links is enough; that each is the program's own shows in the sum. */
static int (*const own[])(void) = { attach, create, detach, find, find_backend, fork_prepare,
	hold_forks, lock, mutex_lock, open_named, os_lock, posix_attach, record_now, refresh,
	status, sweep, sysv_attach, sysv_sweep };

static int use(void)
{
	struct unishm *seg;
	struct unishm_status st;
	void *addr;
	if (unishm_open(&seg, UNISHM_PRIVATE, O_CREAT, 1024, 0600) < 0)
		return 1;
	int rc = unishm_attach(seg, 0, &addr);
	if (rc == 0)
		rc = unishm_status(seg, &st);
	if (rc == 0 && st.number_attached != 1)
		rc = 1;
	if (unishm_remove(seg) < 0)
		rc = 1;
	unishm_close(seg);
	return rc;
}

int main(void)
{
	const size_t count = sizeof own / sizeof *own;
	size_t sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += (size_t)own[i]();
	if (sum == count && use() == 0)
		return 0;
	fprintf(stderr, "%zu of %zu; %s\n", sum, count, unishm_errmsg());
	return 1;
}
