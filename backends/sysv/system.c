/* SPDX-License-Identifier: MIT */
/* Where systems differ in System V shared memory. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "sysv.h"

#if defined __has_include
#if __has_include(<sys/syscall.h>)
#include <sys/syscall.h>
#endif
#endif

int ushv_create_flags(unsigned flags)
{
	int native = 0;
	if (flags & UNISHM_NORESERVE) {
#ifdef SHM_NORESERVE
		native |= SHM_NORESERVE;
#else
		return unishm_because(-ENOTSUP,
				"this system always reserves; leave out UNISHM_NORESERVE");
#endif
	}
	if (flags & UNISHM_HUGETLB) {
#ifdef SHM_HUGETLB
		native |= SHM_HUGETLB;
#else
		return unishm_because(-ENOTSUP, "this system has no SHM_HUGETLB");
#endif
	}
	return native;
}

int ushv_attach_flags(int flags)
{
	int native = flags & UNISHM_RDONLY ? SHM_RDONLY : 0;
	if (flags & UNISHM_EXEC) {
#ifdef SHM_EXEC
		native |= SHM_EXEC;
#else
		return unishm_because(-ENOTSUP, "this system has no SHM_EXEC");
#endif
	}
	if (flags & UNISHM_REMAP) {
#ifdef SHM_REMAP
		native |= SHM_REMAP;
#else
		return unishm_because(-ENOTSUP, "this system has no SHM_REMAP");
#endif
	}
	return native;
}

int ushv_set_lock(int id, bool lock)
{
	struct shmid_ds ds;
	int rc = -EINVAL;
	(void)lock;
#if defined SHM_LOCK && defined SHM_UNLOCK
	if (unishm_sys.shmctl(id, lock ? SHM_LOCK : SHM_UNLOCK, NULL) == 0)
		return 0;
	rc = -errno;
#endif
	/* macOS and FreeBSD define the commands and do nothing; EACCES means that the segment
	 * exists */
	if (rc == -EINVAL && (unishm_sys.shmctl(id, IPC_STAT, &ds) == 0 || errno == EACCES))
		return unishm_because(-ENOTSUP,
				"this system cannot lock System V segments; use the POSIX backend");
	return ushv_gone(rc);
}

/* IPC_STAT wants read permission, which an owner may not have either. */
int ushv_stat_any(int id, struct shmid_ds *ds)
{
	if (unishm_sys.shmctl(id, IPC_STAT, ds) == 0)
		return 0;
	int rc = ushv_gone(-errno);
#ifdef SHM_STAT_ANY
	/* Linux 4.17. It takes a slot number from the id, and returns the id of the segment in that
	 * slot */
	if (rc == -EACCES && unishm_sys.shmctl(id, SHM_STAT_ANY, ds) == id)
		return 0;
#endif
	return rc;
}

static int cannot_list(void)
{
	return unishm_because(-ENOTSUP,
			"this system has no call that lists System V segments; use ipcs");
}

#if defined SHM_STAT && defined SHM_INFO
static int stat_slot(int slot, bool any, struct shmid_ds *ds)
{
#ifdef SHM_STAT_ANY
	if (any) {
		int id = unishm_sys.shmctl(slot, SHM_STAT_ANY, ds);
		if (id >= 0 || errno != EINVAL)
			return id;
		/* an empty slot, or Linux before 4.17 */
	}
#else
	(void)any;
#endif
	return unishm_sys.shmctl(slot, SHM_STAT, ds);
}

int ushv_scan(bool any, int (*visit)(int id, const struct shmid_ds *ds, void *arg), void *arg)
{
	struct shmid_ds ds = { 0 }; /* valgrind does not know what SHM_STAT_ANY fills */
	int last = unishm_sys.shmctl(0, SHM_INFO, &ds); /* fills a smaller struct shm_info */
	if (last < 0 && errno == EINVAL)
		return cannot_list(); /* FreeBSD has these commands for Linux programs only */
	if (last < 0)
		return -errno;
	for (int slot = 0; slot <= last; slot++) {
		int id = stat_slot(slot, any, &ds);
		if (id < 0 && errno != EINVAL && errno != EACCES && errno != EIDRM)
			return -errno;
		int rc = id < 0 ? 0 : visit(id, &ds, arg); /* empty, or not ours to read */
		if (rc)
			return rc;
	}
	return 0;
}
#else
int ushv_scan(bool any, int (*visit)(int id, const struct shmid_ds *ds, void *arg), void *arg)
{
	(void)any, (void)visit, (void)arg;
	return cannot_list();
}
#endif

/* A zombie has no attachments but keeps its pid. /proc shows zombies, too. But it may be that of
 * another pid namespace, and it shows a process as a zombie when only its first thread has
 * ended. */
static bool is_zombie(pid_t pid)
{
#ifdef SYS_pidfd_open
	int fd = (int)syscall(SYS_pidfd_open, pid, 0); /* Linux 5.3; close-on-exec */
	if (fd < 0)
		return false;
	struct pollfd ended = { fd, POLLIN, 0 };
	bool zombie = poll(&ended, 1, 0) == 1 && ended.revents & POLLIN;
	close(fd);
	return zombie;
#else
	(void)pid;
	return false;
#endif
}

/* IPC_STAT gives pids as the caller's pid namespace numbers them, and 0 for a process that has no
 * number there: nothing is known of that process. */
bool ushv_is_dead(pid_t pid)
{
	if (pid <= 0)
		return false;
	return kill(pid, 0) < 0 ? errno == ESRCH : is_zombie(pid);
}
