/* SPDX-License-Identifier: MIT */
#include "isolate.h"

#ifdef __linux__

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DIRECTORY "/dev/shm"

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

/* Without root: a user namespace in which our ids are the same. */
static bool enter_user_namespace(void)
{
	char map[64];
	unsigned user = geteuid(), group = getegid();
	if (unshare(CLONE_NEWUSER) < 0)
		return false;
	snprintf(map, sizeof map, "%u %u 1", user, user);
	bool done = write_file("/proc/self/uid_map", map) &&
			write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof map, "%u %u 1", group, group);
	return done && write_file("/proc/self/gid_map", map);
}

void isolate_drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2];
	memset(none, 0, sizeof none);
	syscall(SYS_capset, &header, none);
}

bool isolate(void)
{
	bool root = geteuid() == 0;
	if (!root && !enter_user_namespace())
		return false;
	bool done = unshare(CLONE_NEWNS | CLONE_NEWIPC) == 0 &&
			mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0 &&
			mount("tmpfs", DIRECTORY, "tmpfs", 0, "mode=1777,size=256m") == 0;
	if (!root)
		isolate_drop_capabilities();
	return done;
}

int isolate_pids_of_children(void)
{
	return unshare(CLONE_NEWPID);
}

/* ---- Clocks -------------------------------------------------------------- */

static int shifted = -1; /* the namespace */

void isolate_shift_clocks(void)
{
#ifdef CLONE_NEWTIME
	int own = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	if (own >= 0 && unshare(CLONE_NEWTIME) == 0 &&
			write_file("/proc/self/timens_offsets", "monotonic 86400 0")) {
		shifted = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
		setns(own, CLONE_NEWTIME);
	}
	if (own >= 0)
		close(own);
#endif
}

void isolate_choose_clock(bool ahead)
{
#ifdef CLONE_NEWTIME
	if (shifted >= 0 && ahead)
		setns(shifted, CLONE_NEWTIME);
#else
	(void)ahead;
#endif
	if (shifted >= 0)
		close(shifted);
}

/* ---- Elsewhere ----------------------------------------------------------- */

int isolate_move_away(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("tmpfs", DIRECTORY, "tmpfs", 0, "mode=1777") < 0)
		return -errno;
	return 0;
}

/* ---- Objects ------------------------------------------------------------- */

/* Walk over them; with @id not negative, stop at that one and keep its name. */
static int walk(int id, char *name, size_t room)
{
	DIR *dir = opendir(DIRECTORY);
	const struct dirent *entry;
	int count = 0;
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || (id >= 0 && (int)(entry->d_ino & INT_MAX) != id))
			continue;
		count++;
		snprintf(name, room, DIRECTORY "/%.200s", entry->d_name);
		if (id >= 0)
			break;
	}
	if (dir)
		closedir(dir);
	return count;
}

bool isolate_has_object(int id)
{
	char name[256];
	return walk(id, name, sizeof name) > 0;
}

bool isolate_name_of_object(int id, char *name, size_t room)
{
	return id >= 0 && walk(id, name, room) > 0;
}

void isolate_drop_object(int id)
{
	char name[256];
	if (walk(id, name, sizeof name) > 0)
		unlink(name);
}

int isolate_count_objects(void)
{
	char name[256];
	return walk(-1, name, sizeof name);
}

/* ---- All of it ----------------------------------------------------------- */

int isolate_count_segments(void)
{
	struct shm_info info;
	return shmctl(0, SHM_INFO, (void *)&info) < 0 ? 0 : info.used_ids;
}

size_t isolate_posix_memory(void)
{
	struct statvfs fs;
	if (statvfs(DIRECTORY, &fs) < 0)
		return 0;
	return (size_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
}

size_t isolate_sysv_memory(void)
{
	struct shm_info info;
	if (shmctl(0, SHM_INFO, (void *)&info) < 0)
		return 0;
	return (size_t)info.shm_tot * (size_t)sysconf(_SC_PAGESIZE);
}

static void sweep_segments(void)
{
	struct shmid_ds ds;
	int last = shmctl(0, SHM_INFO, &ds);
	for (int slot = 0; slot <= last; slot++) {
		int id = shmctl(slot, SHM_STAT_ANY, &ds);
		if (id < 0)
			id = shmctl(slot, SHM_STAT, &ds); /* qemu-user has no other */
		if (id >= 0)
			shmctl(id, IPC_RMID, NULL);
	}
}

static void sweep_objects(void)
{
	char path[NAME_MAX + 16];
	DIR *dir = opendir(DIRECTORY);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof path, DIRECTORY "/%s", entry->d_name);
		if (unlink(path) < 0)
			rmdir(path);
	}
	if (dir)
		closedir(dir);
}

void isolate_sweep(void)
{
	sweep_segments();
	sweep_objects();
}

#else

#include <errno.h>

bool isolate(void)
{
	return false;
}

int isolate_pids_of_children(void)
{
	errno = ENOSYS;
	return -1;
}

size_t isolate_posix_memory(void)
{
	return 0;
}

size_t isolate_sysv_memory(void)
{
	return 0;
}

void isolate_sweep(void)
{
}

#endif
