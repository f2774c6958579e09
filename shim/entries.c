/* SPDX-License-Identifier: MIT */
/* What libunishm-sysv calls: core/shim.h. And the end of the process. */
#include <errno.h>

#include "../core/shim.h"
#include "fork.h"
#include "shim.h"

/* A result for the program: @rc, or -1 with errno. errno stays as it was if nothing failed. */
static int answer(int rc, int saved_errno)
{
	errno = rc < 0 ? -rc : saved_errno;
	return rc < 0 ? -1 : rc;
}

/* When the process ends by exit(). What ends in another way leaves names for whoever looks next. */
__attribute__((destructor)) static void leave_at_exit(void)
{
	struct shim_call call;
	int saved = errno;
	if (ushs_was_used() && !unishm_holds_forks() && ushs_begin(&call) == 0) {
		ushs_leave_all();
		ushs_end(&call);
	}
	errno = saved;
}

int unishm_shim_get(key_t key, size_t size, int flags)
{
	int saved = errno;
	return answer(ushs_get(key, size, flags), saved);
}

void *unishm_shim_at(int id, const void *where, int flags)
{
	int saved = errno;
	void *addr = (void *)-1;
	answer(ushs_attach(id, where, flags, &addr), saved);
	return addr;
}

int unishm_shim_dt(const void *addr)
{
	int saved = errno;
	return answer(ushs_detach(addr), saved);
}

int unishm_shim_ctl(int id, int command, void *buffer, const struct unishm_shim_layout *layout)
{
	int saved = errno;
	return answer(ushs_control(id, command, buffer, layout), saved);
}
