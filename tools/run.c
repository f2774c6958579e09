/* SPDX-License-Identifier: MIT */
/*
 * unishm run - run a program of System V shared memory on POSIX shared memory: with libunishm-sysv
 * preloaded. What would not be preloaded is refused: the program would use the kernel's System V
 * shared memory unnoticed, or find none.
 */
#include <string.h>

#include "command.h"
#include "segments.h"

/* As of env(1): this command failed; the program cannot be run so; there is none. */
enum { RUN_FAILED = 125, CANNOT_RUN = 126, NOT_FOUND = 127 };

#ifdef UNISHM_SYSV_LIBRARY
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- The program ----------------------------------------------------------- */

static int cannot_run(const char *path)
{
	int status = errno == ENOENT || errno == ENOTDIR ? NOT_FOUND : CANNOT_RUN;
	fail("run: cannot run %s: %s", path, strerror(errno));
	return status;
}

static const char *after_colon(const char *list)
{
	const char *colon = strchr(list, ':');
	return colon ? colon + 1 : NULL;
}

/* Where execvp() would find @name, in @path. False: nowhere, with errno. */
static bool find_program(const char *name, char path[PATH_MAX])
{
	const char *at = getenv("PATH");
	int error = ENOENT;
	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return access(path, X_OK) == 0;
	}
	for (at = at ? at : "/bin:/usr/bin"; at; at = after_colon(at)) {
		int length = (int)strcspn(at, ":");
		struct stat st;
		snprintf(path, PATH_MAX, "%.*s/%s", length, length ? at : ".", name);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
			return true;
		if (errno == EACCES)
			error = EACCES;
	}
	snprintf(path, PATH_MAX, "%s", name);
	errno = error;
	return false;
}

static int refuse(const char *path, const char *why)
{
	fail("run: %s %s", path, why);
	return CANNOT_RUN;
}

/* Would the loader ignore what is to be preloaded? */
static bool changes_rights(const char *path, const struct stat *st)
{
	struct statvfs fs;
	char capabilities[64];
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
			(statvfs(path, &fs) == 0 && fs.f_flag & ST_NOSUID))
		return false;
	bool user = st->st_mode & S_ISUID && st->st_uid != geteuid();
	bool group = (st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
			st->st_gid != getegid();
	return user || group || (geteuid() != 0 && getxattr(path, "security.capability",
			capabilities, sizeof capabilities) > 0);
}

static bool read_at(int fd, void *to, size_t size, off_t at)
{
	return pread(fd, to, size, at) == (ssize_t)size;
}

/* Of this command, which is of the same kind as the library beside it. */
static bool is_of_our_kind(const ElfW(Ehdr) *header)
{
	ElfW(Ehdr) own;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool known = fd >= 0 && read_at(fd, &own, sizeof own, 0);
	if (fd >= 0)
		close(fd);
	return !known || (memcmp(own.e_ident, header->e_ident, EI_VERSION) == 0 &&
			own.e_machine == header->e_machine);
}

/* Does it ask for a loader? */
static bool is_dynamic(int fd, const ElfW(Ehdr) *header)
{
	for (unsigned i = 0; i < header->e_phnum; i++) {
		ElfW(Phdr) part;
		off_t at = (off_t)(header->e_phoff + (size_t)i * header->e_phentsize);
		if (read_at(fd, &part, sizeof part, at) && part.p_type == PT_INTERP)
			return true;
	}
	return false;
}

static int check_binary(const char *path, int fd, const ElfW(Ehdr) *header)
{
	struct stat st;
	if (!is_of_our_kind(header))
		return refuse(path, "is for another processor or word size than this unishm; use "
				"the unishm that was built for it");
	if (!is_dynamic(fd, header))
		return refuse(path, "is linked statically, so that nothing can be preloaded; link "
				"it dynamically, or with libunishm-sysv.a");
	if (fstat(fd, &st) == 0 && changes_rights(path, &st))
		return refuse(path, "is a set-id program or has capabilities, for which nothing is "
				"preloaded; run it as the user that it runs as");
	return DONE;
}

static int check_program(const char *path, int depth);

/* "#! /bin/sh -e": the interpreter is what is preloaded. It may be a script as well. */
/* NOLINTNEXTLINE(misc-no-recursion): @depth has a bound */
static int check_script(const char *path, char *line, int depth)
{
	char *name = line + 2 + strspn(line + 2, " \t");
	name[strcspn(name, " \t\r\n")] = '\0';
	enum { MOST = 4 }; /* as Linux has it */
	if (!*name || depth >= MOST)
		return DONE; /* the system will say so */
	if (access(name, X_OK) < 0) {
		fail("run: %s asks for the interpreter %s: %s", path, name, strerror(errno));
		return CANNOT_RUN;
	}
	return check_program(name, depth + 1);
}

/* Can what is preloaded work there? */
/* NOLINTNEXTLINE(misc-no-recursion): @depth has a bound */
static int check_program(const char *path, int depth)
{
	union {
		ElfW(Ehdr) header;
		char text[PATH_MAX];
	} begin;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return DONE; /* it may be run without being read */
	ssize_t size = pread(fd, &begin, sizeof begin - 1, 0);
	begin.text[size > 0 ? size : 0] = '\0';
	int status = DONE;
	if (size >= (ssize_t)sizeof begin.header && memcmp(begin.text, ELFMAG, SELFMAG) == 0)
		status = check_binary(path, fd, &begin.header);
	else if (strncmp(begin.text, "#!", 2) == 0)
		status = check_script(path, begin.text, depth);
	close(fd);
	return status;
}

/* ---- The library --------------------------------------------------------------- */

/* $UNISHM_SYSV names another one, for tests. */
static int find_library(const char **library)
{
	const char *named = getenv("UNISHM_SYSV");
	*library = named && *named ? named : UNISHM_SYSV_LIBRARY;
	if (access(*library, R_OK) < 0) {
		fail("run: there is no %s: %s; install libunishm-sysv", *library, strerror(errno));
		return RUN_FAILED;
	}
	if (strpbrk(*library, " :")) {
		fail("run: the loader cannot preload %s, since its name has a blank or a colon",
				*library);
		return RUN_FAILED;
	}
	return DONE;
}

static int preload(const char *library)
{
	const char *others = getenv("LD_PRELOAD");
	size_t length = strlen(library);
	if (others && strncmp(others, library, length) == 0 &&
			(others[length] == '\0' || strchr(": ", others[length])))
		return DONE; /* it is the first of them already */
	if (!others)
		others = "";
	char *list;
	if (asprintf(&list, "%s%s%s", library, *others ? ":" : "", others) < 0)
		return out_of_memory();
	int status = setenv("LD_PRELOAD", list, 1) == 0 ? DONE : out_of_memory();
	free(list);
	return status;
}

/* ---- run ----------------------------------------------------------------------- */

static int execute(const char *path, char **argv)
{
	restore_sigpipe();
	execv(path, argv);
	if (errno != ENOEXEC)
		return cannot_run(path);
	size_t count = 0; /* a script without a first line, as execvp() runs it */
	while (argv[count])
		count++;
	char **words = calloc(count + 2, sizeof *words);
	if (!words)
		return out_of_memory();
	words[0] = "sh";
	words[1] = (char *)path;
	for (size_t i = 1; i < count; i++)
		words[i + 1] = argv[i];
	execv("/bin/sh", words);
	free(words);
	return cannot_run("/bin/sh");
}

static int run_program(char **argv)
{
	char path[PATH_MAX];
	const char *library;
	if (!find_program(argv[0], path))
		return cannot_run(path);
	int status = check_program(path, 0);
	if (status == DONE)
		status = find_library(&library);
	/* What fails here would fail in the program, which cannot say why. */
	if (status == DONE && try_backend("posix") < 0) {
		library_failed();
		status = RUN_FAILED;
	}
	if (status == DONE)
		status = preload(library);
	return status == DONE ? execute(path, argv) : status;
}

#else

static int run_program(char **argv)
{
	fail("run: cannot run %s so: this unishm was built without libunishm-sysv", argv[0]);
	return RUN_FAILED;
}

#endif

static int run_run(int argc, char **argv)
{
	if (next_option(argc, argv) != -1)
		return option_status;
	if (chosen_backend && strcmp(chosen_backend, "posix") != 0)
		return usage_error("run uses POSIX shared memory; --backend cannot be %s",
				chosen_backend);
	if (optind == argc)
		return usage_error("run needs a program");
	return run_program(argv + optind);
}

const struct command run_command = {
	.bit = RUN,
	.name = "run",
	.arguments = "[--] PROGRAM [ARGUMENT]...",
	.summary = "Run a System V program on POSIX shared memory",
	.notes = "The program, and those that it runs, get POSIX shared memory from shmget() and "
		"the like. unishm-run(1) tells what they cannot see, and what cannot be run so.",
	.first = WORD_FILE,
	.rest = WORD_FILE,
	.ends_options = true,
	.run = run_run,
};
