/* SPDX-License-Identifier: MIT */
/* Does a backend work here? */
#include <signal.h>

#include "segments.h"

/* A page that no other process can find, and that is removed at once. */
static int make_and_remove(const char *backend)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	void *addr;
	opt.backend = backend;
	opt.size = 4096;
	opt.mode = 0600;
	opt.attach = &addr;
	int rc = unishm_open_with(&seg, &opt);
	if (rc < 0)
		return rc;
	*(volatile char *)addr = 1;
	rc = unishm_remove(seg);
	unishm_close(seg);
	return rc;
}

int try_backend(const char *backend)
{
	sigset_t all, before;
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigprocmask(SIG_BLOCK, &all, &before);
	int rc = make_and_remove(backend);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return rc;
}
