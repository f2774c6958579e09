/* SPDX-License-Identifier: MIT */
#include "directory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend.h"
#include "descriptor.h"
#include "object_sys.h"
#include "sys.h"

struct path ushp_path(const char *prefix, const char *name)
{
	struct path path;
	snprintf(path.text, sizeof path.text, "%s%s", prefix, name + 1);
	return path;
}

int ushp_make_draft(struct draft *draft, const char *prefix, mode_t mode,
		int (*begin)(struct draft *draft, mode_t mode))
{
	for (;;) {
		ushp_name_of_draft(draft->name);
		struct path path = ushp_path(prefix, draft->name);
		int fd = unishm_sys.open(path.text, O_RDWR | O_CREAT | O_EXCL | OPEN_FLAGS,
				mode & 0700);
		if (fd < 0 && errno == EEXIST)
			continue;
		draft->fd = ushp_fd_keep(fd);
		int rc = draft->fd < 0 ? draft->fd : begin(draft, mode);
		if (rc < 0 && fd >= 0)
			unishm_sys.unlink(path.text);
		if (rc < 0 && draft->fd >= 0)
			unishm_sys.close(draft->fd);
		return rc;
	}
}

int ushp_list_directory(const char *directory, const char *prefix,
		int (*found)(const char *name, ino_t inode, void *arg), void *arg)
{
	const size_t skip = strlen(prefix);
	DIR *dir = unishm_sys.opendir(directory);
	int rc = dir ? 0 : -errno;
	while (dir && rc == 0) {
		errno = 0;
		const struct dirent *entry = unishm_sys.readdir(dir);
		if (!entry) {
			rc = -errno;
			break;
		}
		if (strncmp(entry->d_name, prefix, skip) == 0)
			rc = found(entry->d_name + skip, entry->d_ino, arg);
	}
	if (dir)
		unishm_sys.closedir(dir);
	return rc;
}

int ushp_because_no_file(void)
{
	return unishm_because(-EBADMSG,
			"something that is no shared memory has its name; "
			"move it away, or choose another key");
}

int ushp_because_closed(int rc, const char *directory)
{
	struct stat st;
	char letters[10], name[64];
	if (unishm_sys.stat(directory, &st) < 0 || (st.st_mode & 07777) == 01777)
		return rc;
	return unishm_because(rc,
			"this user may not do that in the directory %s, whose mode is %s "
			"and owner %s; have its mode changed to 1777, or use the System V backend",
			directory, unishm_mode_text(st.st_mode & 0777, letters),
			unishm_user_text(st.st_uid, name, sizeof name));
}
