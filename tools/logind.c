/* SPDX-License-Identifier: MIT */
/* What the settings of systemd-logind say; without systemd there are none. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "system.h"

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
