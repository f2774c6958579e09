/* SPDX-License-Identifier: MIT */
#include "emulator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

const char *emulator(void)
{
	return getenv("UNISHM_TEST_EMULATOR");
}

#if UNISHM_HAVE_SYSV && defined SHM_STAT_ANY

static int (*shmctl_of_emulator)(int, int, struct shmid_ds *);

/* qemu-user (10.0) has the mode of s390x in the wrong half of its word. */
#ifdef __s390__
enum { MODE_SHIFT = 16 };
#else
enum { MODE_SHIFT = 0 };
#endif

/* It leaves the upper halves of times alone, in which 32-bit programs find rubbish. */
static void correct_times(struct shmid_ds *ds)
{
	if (sizeof(long) != 4)
		return;
	ds->shm_atime &= 0xffffffff;
	ds->shm_dtime &= 0xffffffff;
	ds->shm_ctime &= 0xffffffff;
}

/* One line of /proc/sysvipc/shm, which tells all to all, as SHM_STAT_ANY does. */
static bool read_line(const char *line, int *id, struct shmid_ds *ds)
{
	long key, creator, last;
	unsigned long long size;
	unsigned long attached, user, group, creator_user, creator_group;
	unsigned mode;
	long long attach, detach, change;
	if (sscanf(line, "%ld %d %o %llu %ld %ld %lu %lu %lu %lu %lu %lld %lld %lld", &key, id,
			    &mode, &size, &creator, &last, &attached, &user, &group, &creator_user,
			    &creator_group, &attach, &detach, &change) != 14)
		return false;
	memset(ds, 0, sizeof *ds);
	ds->shm_perm.UNISHM_IPC_PERM_KEY = (key_t)key;
	ds->shm_perm.mode = (mode_t)mode;
	ds->shm_perm.uid = (uid_t)user;
	ds->shm_perm.gid = (gid_t)group;
	ds->shm_perm.cuid = (uid_t)creator_user;
	ds->shm_perm.cgid = (gid_t)creator_group;
	ds->shm_segsz = (size_t)size;
	ds->shm_nattch = attached;
	ds->shm_cpid = (pid_t)creator;
	ds->shm_lpid = (pid_t)last;
	ds->shm_atime = (time_t)attach;
	ds->shm_dtime = (time_t)detach;
	ds->shm_ctime = (time_t)change;
	return true;
}

/* qemu-user does not know SHM_STAT_ANY. A slot is the lower bits of an id. */
static int stat_any(int id, struct shmid_ds *ds)
{
	enum { SLOTS = 32768 };
	char line[512];
	FILE *file = fopen("/proc/sysvipc/shm", "re");
	int found = -1;
	if (!file)
		return -1;
	while (found < 0 && fgets(line, sizeof line, file)) {
		struct shmid_ds one;
		int number;
		if (!read_line(line, &number, &one) || number % SLOTS != id % SLOTS)
			continue;
		*ds = one;
		found = number;
	}
	fclose(file);
	if (found < 0)
		errno = EINVAL;
	return found;
}

static int corrected_shmctl(int id, int cmd, struct shmid_ds *buf)
{
	struct shmid_ds ds;
	if (cmd == SHM_STAT_ANY)
		return stat_any(id, buf);
	if (cmd == IPC_SET) {
		ds = *buf;
		ds.shm_perm.mode <<= MODE_SHIFT;
		return shmctl_of_emulator(id, cmd, &ds);
	}
	int rc = shmctl_of_emulator(id, cmd, buf);
	if (rc >= 0 && (cmd == IPC_STAT || cmd == SHM_STAT)) {
		buf->shm_perm.mode >>= MODE_SHIFT;
		correct_times(buf);
	}
	return rc;
}

void emulator_correct(void)
{
	if (!emulator())
		return;
	shmctl_of_emulator = unishm_sys.shmctl;
	unishm_sys.shmctl = corrected_shmctl;
}

#else

void emulator_correct(void)
{
}

#endif
