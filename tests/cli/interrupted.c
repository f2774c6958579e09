/* SPDX-License-Identifier: MIT */
/*
 * Linked with the command: SIGTERM comes whenever it is about to remove a segment, or one of its
 * names. Who ends there leaves the segment.
 */
#include <signal.h>

#include "sys.h"

static struct unishm_sys real;

#if UNISHM_HAVE_POSIX
static int interrupted_shm_unlink(const char *name)
{
	raise(SIGTERM);
	return real.shm_unlink(name);
}

static int interrupted_unlink(const char *path)
{
	raise(SIGTERM);
	return real.unlink(path);
}

static int interrupted_unlinkat(int dirfd, const char *path, int flags)
{
	raise(SIGTERM);
	return real.unlinkat(dirfd, path, flags);
}
#endif

#if UNISHM_HAVE_SYSV
static int interrupted_shmctl(int id, int cmd, struct shmid_ds *buf)
{
	if (cmd == IPC_RMID)
		raise(SIGTERM);
	return real.shmctl(id, cmd, buf);
}
#endif

__attribute__((constructor)) static void interrupt_removals(void)
{
	real = unishm_sys;
#if UNISHM_HAVE_POSIX
	unishm_sys.shm_unlink = interrupted_shm_unlink;
	unishm_sys.unlink = interrupted_unlink;
	unishm_sys.unlinkat = interrupted_unlinkat;
#endif
#if UNISHM_HAVE_SYSV
	unishm_sys.shmctl = interrupted_shmctl;
#endif
}
