/* SPDX-License-Identifier: MIT */
#include "shim.h"

#include <errno.h>

#include "../core/shim.h"

/* What the library calls from within its own calls is a part of those. */
int ushs_begin(struct shim_call *call)
{
	call->inner = unishm_is_calling();
	if (!call->inner) {
		/* Not those that an instruction raises: the kernel would end the process. */
		static const int raised[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT,
				SIGSYS };
		sigset_t blocked;
		sigfillset(&blocked);
		for (size_t i = 0; i < sizeof raised / sizeof *raised; i++)
			sigdelset(&blocked, raised[i]);
		pthread_sigmask(SIG_BLOCK, &blocked, &call->mask);
		unishm_begin();
	}
	int rc = unishm_hold_forks();
	if (rc < 0 && !call->inner) {
		unishm_end(rc);
		pthread_sigmask(SIG_SETMASK, &call->mask, NULL);
	}
	return rc;
}

void ushs_end(const struct shim_call *call)
{
	unishm_release_forks();
	if (call->inner)
		return;
	unishm_end(0);
	pthread_sigmask(SIG_SETMASK, &call->mask, NULL);
}

int ushs_answer(int rc, int saved_errno)
{
	errno = rc < 0 ? -rc : saved_errno;
	return rc < 0 ? -1 : rc;
}

/* When the process ends by exit(). What ends in another way leaves names for whoever looks next. */
__attribute__((destructor)) static void leave_at_exit(void)
{
	struct shim_call call;
	int saved = errno;
	if (!unishm_is_calling() && ushs_begin(&call) == 0) {
		ushs_leave_all();
		ushs_end(&call);
	}
	errno = saved;
}

/* ---- What libunishm-sysv calls --------------------------------------------------- */

int unishm_shim_get(key_t key, size_t size, int flags)
{
	int saved = errno;
	return ushs_answer(ushs_get(key, size, flags), saved);
}

void *unishm_shim_at(int id, const void *where, int flags)
{
	int saved = errno;
	void *addr = (void *)-1;
	ushs_answer(ushs_attach(id, where, flags, &addr), saved);
	return addr;
}

int unishm_shim_dt(const void *addr)
{
	int saved = errno;
	return ushs_answer(ushs_detach(addr), saved);
}

int unishm_shim_ctl(int id, int command, struct shmid_ds *buffer)
{
	int saved = errno;
	return ushs_answer(ushs_control(id, command, buffer), saved);
}
