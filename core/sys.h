/* SPDX-License-Identifier: MIT */
/*
 * The system calls of the library, in one table. Fault-injection tests replace
 * its members; nothing else does. Each is the libc function of its name.
 */
#ifndef UNISHM_CORE_SYS_H
#define UNISHM_CORE_SYS_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "config.h"

#if UNISHM_HAVE_SYSV
#include <sys/shm.h> /* for struct shmid_ds, which macOS renames */
#endif

struct unishm_sys {
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *old, size_t size);

	void *(*mmap)(void *where, size_t length, int prot, int flags, int fd, off_t offset);
	int (*munmap)(void *addr, size_t length);
	int (*madvise)(void *addr, size_t length, int advice);
	uid_t (*geteuid)(void);
	gid_t (*getegid)(void);
	int (*getgroups)(int room, gid_t *groups);

#if UNISHM_HAVE_POSIX
	int (*shm_open)(const char *name, int oflag, mode_t mode);
	int (*shm_unlink)(const char *name);
	int (*open)(const char *path, int oflag, mode_t mode);
	int (*unlink)(const char *path);
	int (*pipe)(int ends[2]); /* close-on-exec, and no standard streams */
	int (*close)(int fd);
	int (*fstat)(int fd, struct stat *st);
	int (*stat)(const char *path, struct stat *st);
	int (*openat)(int dirfd, const char *path, int oflag);
	int (*unlinkat)(int dirfd, const char *path, int flags);
	int (*fstatat)(int dirfd, const char *path, struct stat *st, int flags);
	int (*rename_new)(const char *from, const char *to); /* EEXIST if @to is there */
	int (*access)(int fd, int want); /* R_OK ... for the effective user, by descriptor */
	/* Another mapping of what is mapped at @addr, by the same description, @length bytes from
	 * there on. ENOSYS. */
	void *(*map_again)(void *addr, size_t length);
	int (*try_noatime)(int fd);      /* EPERM: neither owner nor CAP_FOWNER */
	bool (*overrides_modes)(void);   /* has CAP_DAC_OVERRIDE, effective */
	int (*drop_access_list)(int fd); /* beyond the mode */
	int (*linkat)(int fd, const char *from, int dirfd, const char *to, int flags);
	int (*fchmod)(int fd, mode_t mode);
	int (*chmod)(const char *path, mode_t mode);
	int (*fchown)(int fd, uid_t user, gid_t group);
	int (*ftruncate)(int fd, off_t length);
	int (*reserve)(int fd, off_t offset, off_t length); /* memory for a range; an errno */
	ssize_t (*pread)(int fd, void *to, size_t count, off_t offset);
	ssize_t (*pwrite)(int fd, const void *from, size_t count, off_t offset);
	int (*fcntl_lock)(int fd, int cmd, struct flock *lock);
	int (*fcntl_dup)(int fd, int least); /* F_DUPFD_CLOEXEC */
	int (*mlock)(const void *addr, size_t length);
	int (*getrlimit_fsize)(struct rlimit *limit); /* RLIMIT_FSIZE */
	DIR *(*opendir)(const char *path);
	struct dirent *(*readdir)(DIR *dir);
	int (*closedir)(DIR *dir);
#endif

#if UNISHM_HAVE_SYSV
	int (*shmget)(key_t key, size_t size, int flags);
	void *(*shmat)(int id, const void *where, int flags);
	int (*shmdt)(const void *addr);
	int (*shmctl)(int id, int cmd, struct shmid_ds *buf);
#endif
};

extern struct unishm_sys unishm_sys;

#endif
