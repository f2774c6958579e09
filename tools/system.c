/* SPDX-License-Identifier: MIT */
/*
 * What only some systems tell: who is attached, what else lies in the shared memory file system,
 * limits and settings. All #if about systems in the command are here. Linux tells through /proc;
 * elsewhere each function says that it does not know, and the command says so in turn.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

#if defined(__linux__)

#include <fcntl.h>
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

/* How a segment shows in /proc/PID/maps: by inode, and by device or by a name that only the kernel
 * gives. */
struct trace {
	unsigned long inode;
	bool sysv;
	dev_t device; /* POSIX: of the shared memory file system */
};

/* One attachment is one mapping from offset 0; a program that splits it leaves pieces, which have
 * other offsets. */
static bool is_attachment(const char *line, const struct trace *trace)
{
	unsigned long long offset;
	unsigned device_major, device_minor;
	unsigned long inode;
	int name = 0;
	if (sscanf(line, "%*s %*s %llx %x:%x %lu %n", &offset, &device_major, &device_minor, &inode,
			&name) != 4 || offset != 0)
		return false;
	if (trace->sysv) /* the inode of a mapping is the id */
		return inode == trace->inode && strncmp(line + name, "/SYSV", 5) == 0;
	return (inode & 0x7fffffff) == trace->inode /* how the library makes the id */
			&& makedev(device_major, device_minor) == trace->device;
}

static FILE *open_of_process(const char *pid, const char *file)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%.20s/%s", pid, file);
	return fopen(path, "re");
}

/* -1: it cannot be looked into. */
static long count_attachments(const char *pid, const struct trace *trace)
{
	FILE *maps = open_of_process(pid, "maps");
	char *line = NULL;
	size_t room = 0;
	long count = 0;
	if (!maps)
		return errno == ENOENT || errno == ESRCH ? 0 : -1;
	while (getline(&line, &room, maps) > 0)
		count += is_attachment(line, trace);
	if (ferror(maps))
		count = errno == ESRCH ? 0 : -1;
	free(line);
	fclose(maps);
	return count;
}

static void read_process_name(const char *pid, char *command, size_t room)
{
	FILE *comm = open_of_process(pid, "comm");
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

int system_attached(const struct unishm_status *st, void (*visit)(const struct process *, void *),
		void *arg, unsigned long *unreadable)
{
	struct trace trace = { (unsigned long)st->id, strcmp(st->backend, "sysv") == 0, 0 };
	struct stat directory;
	if (!trace.sysv && stat(system_shm_directory(), &directory) == 0)
		trace.device = directory.st_dev;
	DIR *all = opendir("/proc");
	*unreadable = 0;
	if (!all || access("/proc/self/maps", R_OK) != 0) {
		if (all)
			closedir(all);
		return -ENOTSUP;
	}
	for (struct dirent *entry; (entry = readdir(all));) {
		struct process process = { .pid = strtol(entry->d_name, NULL, 10) };
		long count = process.pid > 0 ? count_attachments(entry->d_name, &trace) : 0;
		if (count < 0)
			++*unreadable;
		if (count <= 0 || (trace.sysv && other_ipc_namespace(entry->d_name)))
			continue;
		process.attachments = (unsigned long)count;
		read_process_name(entry->d_name, process.command, sizeof process.command);
		visit(&process, arg);
	}
	closedir(all);
	return 0;
}

/* ---- Beside the library's objects ----------------------------------------- */

const char *system_shm_directory(void)
{
	return "/dev/shm";
}

/* ushm.XXXXXXXX and ushp.XXXXXXXX: keyed and private. */
static bool is_ours(const char *name)
{
	return (strncmp(name, "ushm.", 5) == 0 || strncmp(name, "ushp.", 5) == 0)
			&& strspn(name + 5, "0123456789abcdef") == 8 && !name[13];
}

int system_foreign(int (*visit)(const char *name, const struct stat *st, void *arg), void *arg)
{
	DIR *all = opendir(system_shm_directory());
	int rc = 0;
	if (!all)
		return -errno;
	for (struct dirent *entry; rc == 0 && (entry = readdir(all));) {
		struct stat st;
		if (is_ours(entry->d_name)
				|| fstatat(dirfd(all), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0
				|| !S_ISREG(st.st_mode))
			continue;
		rc = visit(entry->d_name, &st, arg);
	}
	closedir(all);
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

/* All segments of the namespace, also those that we may not read. */
bool system_sysv_usage(uint64_t *segments, uint64_t *pages)
{
	char line[512];
	unsigned long long size;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *list = fopen("/proc/sysvipc/shm", "re");
	*segments = *pages = 0;
	if (!list)
		return false;
	while (fgets(line, sizeof line, list)) {
		if (sscanf(line, "%*d %*d %*o %llu", &size) != 1)
			continue; /* the heading */
		++*segments;
		*pages += (size + page - 1) / page;
	}
	fclose(list);
	return true;
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

/* ---- systemd-logind ------------------------------------------------------- */

enum { LOGIND_MOST = 64 };

struct logind_file {
	char path[300];
	const char *name; /* its last part, within path */
};

/* The value of RemoveIPC in @path: 1, 0, or -1: it does not say. The last one counts. */
static int remove_ipc_in(const char *path)
{
	char line[512], value[16];
	int found = -1;
	FILE *file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof line, file))
		if (sscanf(line, " RemoveIPC = %15[a-zA-Z01]", value) == 1)
			found = strchr("yYtT1", value[0]) || strcasecmp(value, "on") == 0;
	fclose(file);
	return found;
}

/* Files of one name: the directory that comes first wins. */
static void add_drop_ins(const char *directory, struct logind_file *files, size_t *count)
{
	DIR *all = opendir(directory);
	for (struct dirent *entry; all && *count < LOGIND_MOST && (entry = readdir(all));) {
		size_t length = strlen(entry->d_name), i = 0;
		if (length < 6 || strcmp(entry->d_name + length - 5, ".conf") != 0)
			continue;
		while (i < *count && strcmp(files[i].name, entry->d_name) != 0)
			i++;
		if (i < *count)
			continue;
		struct logind_file *file = &files[(*count)++];
		snprintf(file->path, sizeof file->path, "%s/%.255s", directory, entry->d_name);
		file->name = strrchr(file->path, '/') + 1;
	}
	if (all)
		closedir(all);
}

/* Drop-ins are read after the main file, in the order of their names. */
static void read_drop_ins(const struct logind_file *files, size_t count, int *found, char *origin,
		size_t room)
{
	for (const char *last = "";;) {
		const struct logind_file *next = NULL;
		for (size_t i = 0; i < count; i++)
			if (strcmp(files[i].name, last) > 0
					&& (!next || strcmp(files[i].name, next->name) < 0))
				next = &files[i];
		if (!next)
			return;
		int value = remove_ipc_in(next->path);
		if (value >= 0) {
			*found = value;
			snprintf(origin, room, "%s", next->path);
		}
		last = next->name;
	}
}

int system_remove_ipc(char *origin, size_t room)
{
	static const char *const mains[] = {
		"/etc/systemd/logind.conf", "/run/systemd/logind.conf",
		"/usr/local/lib/systemd/logind.conf", "/usr/lib/systemd/logind.conf",
	};
	static const char *const directories[] = {
		"/etc/systemd/logind.conf.d", "/run/systemd/logind.conf.d",
		"/usr/local/lib/systemd/logind.conf.d", "/usr/lib/systemd/logind.conf.d",
	};
	struct logind_file *files = calloc(LOGIND_MOST, sizeof *files);
	size_t count = 0;
	int found = -1;
	snprintf(origin, room, "%s", "");
	if (!files || access("/run/systemd/system", F_OK) != 0) {
		free(files);
		return -1;
	}
	for (size_t i = 0; i < 4 && found < 0; i++) {
		if (access(mains[i], F_OK) != 0)
			continue;
		found = remove_ipc_in(mains[i]);
		if (found >= 0)
			snprintf(origin, room, "%s", mains[i]);
		break; /* the first main file that exists is the only one read */
	}
	for (size_t i = 0; i < 4; i++)
		add_drop_ins(directories[i], files, &count);
	read_drop_ins(files, count, &found, origin, room);
	free(files);
	return found < 0 ? 1 : found; /* systemd's own default is yes */
}

#else /* systems without Linux's /proc */

int system_attached(const struct unishm_status *st, void (*visit)(const struct process *, void *),
		void *arg, unsigned long *unreadable)
{
	(void)st, (void)visit, (void)arg;
	*unreadable = 0;
	return -ENOTSUP;
}

const char *system_shm_directory(void)
{
	return NULL;
}

int system_foreign(int (*visit)(const char *name, const struct stat *st, void *arg), void *arg)
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

bool system_sysv_usage(uint64_t *segments, uint64_t *pages)
{
	(void)segments, (void)pages;
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

int system_remove_ipc(char *origin, size_t room)
{
	(void)origin, (void)room;
	return -1;
}

#endif
