/* SPDX-License-Identifier: MIT */
/*
 * What only some systems tell: who is attached, what else lies in the shared memory file system,
 * limits and settings. All #if about systems in the command are here. Linux tells through /proc;
 * elsewhere each function says that it does not know, and the command says so in turn.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system.h"
#include "text.h"

#if defined(__linux__)

#include <fcntl.h>
#include <sys/shm.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static bool read_number(const char *path, uint64_t *value)
{
	unsigned long long number;
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	bool found = fscanf(file, "%llu", &number) == 1;
	fclose(file);
	if (found)
		*value = number;
	return found;
}

/* ---- Attached processes --------------------------------------------------- */

/* How attachments show in /proc/PID/maps: those of System V have a name that only the kernel
 * gives, those of POSIX the device of the shared memory file system. One attachment is one mapping
 * from offset 0; a program that splits it leaves pieces, which have other offsets. */
static bool read_piece(const char *line, dev_t device, struct system_attachment *found,
		unsigned long long *offset)
{
	unsigned device_major, device_minor;
	unsigned long inode;
	int name = 0;
	if (sscanf(line, "%*s %*s %llx %x:%x %lu %n", offset, &device_major, &device_minor, &inode,
			&name) != 4)
		return false;
	found->sysv = strncmp(line + name, "/SYSV", 5) == 0;
	if (inode == 0 && !found->sysv) /* the first segment of System V has the id 0 */
		return false;
	/* of System V the inode is the id; of POSIX the library makes it so */
	found->id = found->sysv ? (int)inode : (int)(inode & INT_MAX);
	return found->sysv || makedev(device_major, device_minor) == device;
}

static bool read_mapping(const char *line, dev_t device, struct system_attachment *found)
{
	unsigned long long offset;
	return read_piece(line, device, found, &offset) && offset == 0;
}

static dev_t shm_device(void)
{
	struct stat directory;
	return stat(system_shm_directory(), &directory) == 0 ? directory.st_dev : 0;
}

static FILE *open_of_process(const char *pid, const char *file)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%.20s/%s", pid, file);
	return fopen(path, "re");
}

void system_command(long pid, char *command, size_t room)
{
	char number[24];
	snprintf(number, sizeof number, "%ld", pid);
	FILE *comm = open_of_process(number, "comm");
	if (!comm || !fgets(command, (int)room, comm))
		snprintf(command, room, "?");
	if (comm)
		fclose(comm);
	command[strcspn(command, "\n")] = '\0';
	make_printable(command);
}

/* 1, 0, or -1: cannot tell. */
static int differs(const char *mine, const char *other)
{
	char a[64], b[64];
	ssize_t first = readlink(mine, a, sizeof a), second = readlink(other, b, sizeof b);
	if (first < 0 || second < 0)
		return -1;
	return first != second || memcmp(a, b, (size_t)first) != 0;
}

/* Ids of System V mean something in one namespace only. */
static bool other_ipc_namespace(const char *pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%.20s/ns/ipc", pid);
	return differs("/proc/self/ns/ipc", path) == 1;
}

struct look {
	int (*visit)(const struct system_attachment *, void *);
	void *arg;
	dev_t device;
	unsigned long unreadable;
};

static int look_into(const char *pid, struct look *look)
{
	struct system_attachment found = { .pid = strtol(pid, NULL, 10) };
	FILE *maps = open_of_process(pid, "maps");
	char *line = NULL;
	size_t room = 0;
	int rc = 0, other = -1; /* namespace: not asked yet */
	if (!maps) {
		look->unreadable += errno != ENOENT && errno != ESRCH;
		return 0;
	}
	while (rc == 0 && getline(&line, &room, maps) > 0) {
		if (!read_mapping(line, look->device, &found))
			continue;
		if (found.sysv && other < 0)
			other = other_ipc_namespace(pid);
		if (!found.sysv || other == 0)
			rc = look->visit(&found, look->arg);
	}
	look->unreadable += ferror(maps) && errno != ESRCH;
	free(line);
	fclose(maps);
	return rc;
}

int system_attachments(int (*visit)(const struct system_attachment *, void *), void *arg,
		unsigned long *unreadable)
{
	struct look look = { visit, arg, shm_device(), 0 };
	DIR *all = opendir("/proc");
	int rc = 0;
	*unreadable = 0;
	if (!all || access("/proc/self/maps", R_OK) != 0) {
		if (all)
			closedir(all);
		return -ENOTSUP;
	}
	for (struct dirent *entry; rc == 0 && (entry = readdir(all));)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			rc = look_into(entry->d_name, &look);
	closedir(all);
	*unreadable = look.unreadable;
	return rc;
}

/* ---- Huge pages ------------------------------------------------------------ */

/* One attachment, while its pieces are read. */
struct huge_look {
	int (*visit)(const struct system_attachment *, uint64_t, void *);
	void *arg;
	dev_t device;
	struct system_attachment now;
	bool within; /* the lines that come are of it */
	bool told;   /* some line was of huge pages */
	uint64_t bytes;
};

static int end_attachment(struct huge_look *look)
{
	if (!look->within)
		return 0;
	look->within = false;
	return look->told ? look->visit(&look->now, look->bytes, look->arg) : -ENOTSUP;
}

/* A piece that follows the one before and is not from offset 0 goes on with the attachment. */
static int take_heading(struct huge_look *look, const char *line)
{
	struct system_attachment next = look->now;
	unsigned long long offset = 0;
	bool is_one = read_piece(line, look->device, &next, &offset);
	if (is_one && offset != 0 && look->within && next.sysv == look->now.sysv
			&& next.id == look->now.id)
		return 0;
	int rc = end_attachment(look);
	look->now = next;
	look->within = is_one && offset == 0;
	look->told = false;
	look->bytes = 0;
	return rc;
}

/* Transparent huge pages (Linux 4.8), or those of hugetlbfs. */
static void take_amount(struct huge_look *look, const char *line)
{
	unsigned long long kib;
	if (sscanf(line, "ShmemPmdMapped: %llu", &kib) != 1
			&& sscanf(line, "Shared_Hugetlb: %llu", &kib) != 1
			&& sscanf(line, "Private_Hugetlb: %llu", &kib) != 1)
		return;
	look->bytes += kib * 1024;
	look->told = true;
}

/* In /proc/PID/smaps a line as in maps begins each mapping; names of amounts begin upper case. */
static int read_smaps(FILE *smaps, struct huge_look *look)
{
	char *line = NULL;
	size_t room = 0;
	int rc = 0;
	while (rc == 0 && getline(&line, &room, smaps) > 0) {
		if (*line < 'A' || *line > 'Z')
			rc = take_heading(look, line);
		else if (look->within)
			take_amount(look, line);
	}
	free(line);
	return rc ? rc : end_attachment(look);
}

int system_huge_pages(long pid, int (*visit)(const struct system_attachment *, uint64_t, void *),
		void *arg)
{
	struct huge_look look = { .visit = visit, .arg = arg, .device = shm_device(),
		.now.pid = pid };
	char number[24];
	snprintf(number, sizeof number, "%ld", pid);
	FILE *smaps = open_of_process(number, "smaps");
	if (!smaps) /* of a system without it, that of this process is missing, too */
		return access("/proc/self/smaps", R_OK) == 0 ? 0 : -ENOTSUP;
	int rc = read_smaps(smaps, &look);
	fclose(smaps);
	return rc;
}

/* ---- Objects and segments ------------------------------------------------- */

const char *system_shm_directory(void)
{
	return "/dev/shm";
}

/* ushm.XXXXXXXX, ushp.XXXXXXXX and usht.XXXXXXXX: keyed, private, and drafts. */
static bool is_ours(const char *name)
{
	return strncmp(name, "ush", 3) == 0 && name[3] && strchr("mpt", name[3]) && name[4] == '.'
			&& strspn(name + 5, "0123456789abcdef") == 8 && !name[13];
}

int system_objects(int (*visit)(const struct system_object *, void *), void *arg)
{
	DIR *all = opendir(system_shm_directory());
	int rc = 0;
	if (!all)
		return -errno;
	for (struct dirent *entry; rc == 0 && (entry = readdir(all));) {
		struct stat st;
		if (fstatat(dirfd(all), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0
				|| S_ISDIR(st.st_mode))
			continue;
		struct system_object object = { entry->d_name, &st, (int)(st.st_ino & INT_MAX),
			is_ours(entry->d_name), false };
		object.draft = object.ours && entry->d_name[3] == 't';
		rc = visit(&object, arg);
	}
	closedir(all);
	return rc;
}

bool system_may_read(const char *name)
{
	char path[300];
	snprintf(path, sizeof path, "%s/%s", system_shm_directory(), name);
	return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0 || errno == ENOENT;
}

bool system_may_read_segment(int id)
{
	struct shmid_ds ds;
	return shmctl(id, IPC_STAT, &ds) == 0 || errno != EACCES;
}

int system_segments(int (*visit)(const struct system_segment *, void *), void *arg)
{
	char line[512];
	FILE *list = fopen("/proc/sysvipc/shm", "re");
	int rc = 0;
	if (!list)
		return -ENOTSUP;
	while (rc == 0 && fgets(line, sizeof line, list)) {
		struct system_segment segment = { .id = 0 };
		unsigned long long size, rss = 0, swap = 0;
		int got = sscanf(line, "%*d %d %*o %llu %*d %*d %*u %*u %*u %*u %*u %*u %*u %*u "
				"%llu %llu",
				&segment.id, &size, &rss, &swap);
		if (got < 2)
			continue; /* the heading */
		segment.size = size;
		segment.rss = rss;
		segment.swap = swap;
		segment.memory_known = got == 4;
		rc = visit(&segment, arg);
	}
	fclose(list);
	return rc;
}

/* ---- Limits and settings -------------------------------------------------- */

static const char *const number_names[] = {
	[SYSTEM_SHMMAX] = "kernel.shmmax",
	[SYSTEM_SHMALL] = "kernel.shmall",
	[SYSTEM_SHMMNI] = "kernel.shmmni",
	[SYSTEM_SHM_RMID_FORCED] = "kernel.shm_rmid_forced",
	[SYSTEM_PROTECTED_REGULAR] = "fs.protected_regular",
};

const char *system_number_name(enum system_number which)
{
	return number_names[which];
}

bool system_number(enum system_number which, uint64_t *value)
{
	char path[80];
	snprintf(path, sizeof path, "/proc/sys/%s", number_names[which]);
	*strchr(path + 10, '.') = '/';
	return read_number(path, value);
}

bool system_is_noexec(const struct statvfs *fs)
{
	return fs->f_flag & ST_NOEXEC;
}

bool system_open_files(uint64_t *used, uint64_t *limit)
{
	unsigned long long in_use, most;
	FILE *file = fopen("/proc/sys/fs/file-nr", "re");
	if (!file)
		return false;
	bool found = fscanf(file, "%llu %*u %llu", &in_use, &most) == 2;
	fclose(file);
	*used = found ? in_use : 0;
	*limit = found ? most : 0;
	return found;
}

int system_foreign_namespace(const char *kind)
{
	char self[64], first[64];
	snprintf(self, sizeof self, "/proc/self/ns/%s", kind);
	snprintf(first, sizeof first, "/proc/1/ns/%s", kind);
	return differs(self, first);
}

#else /* systems without Linux's /proc */

int system_attachments(int (*visit)(const struct system_attachment *, void *), void *arg,
		unsigned long *unreadable)
{
	(void)visit, (void)arg;
	*unreadable = 0;
	return -ENOTSUP;
}

int system_huge_pages(long pid, int (*visit)(const struct system_attachment *, uint64_t, void *),
		void *arg)
{
	(void)pid, (void)visit, (void)arg;
	return -ENOTSUP;
}

void system_command(long pid, char *command, size_t room)
{
	(void)pid;
	snprintf(command, room, "?");
}

const char *system_shm_directory(void)
{
	return NULL;
}

int system_objects(int (*visit)(const struct system_object *, void *), void *arg)
{
	(void)visit, (void)arg;
	return -ENOTSUP;
}

bool system_may_read(const char *name)
{
	(void)name;
	return true;
}

bool system_may_read_segment(int id)
{
	(void)id;
	return true;
}

int system_segments(int (*visit)(const struct system_segment *, void *), void *arg)
{
	(void)visit, (void)arg;
	return -ENOTSUP;
}

const char *system_number_name(enum system_number which)
{
	(void)which;
	return "";
}

bool system_number(enum system_number which, uint64_t *value)
{
	(void)which, (void)value;
	return false;
}

bool system_is_noexec(const struct statvfs *fs)
{
	(void)fs;
	return false;
}

bool system_open_files(uint64_t *used, uint64_t *limit)
{
	(void)used, (void)limit;
	return false;
}

int system_foreign_namespace(const char *kind)
{
	(void)kind;
	return -1;
}

#endif
