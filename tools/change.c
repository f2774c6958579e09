/* SPDX-License-Identifier: MIT */
/* unishm chmod, chown, lock and unlock */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "segments.h"

/* Commands without options of their own. */
static int take_common_options(int argc, char **argv)
{
	return next_option(argc, argv) == -1 ? DONE : FAILED;
}

/* ---- chmod ---------------------------------------------------------------- */

/* Symbolic modes start from what each segment has. */
static int change_mode(struct unishm *seg, const char *text, void *arg)
{
	struct unishm_status st;
	mode_t mode;
	(void)text;
	if (unishm_status(seg, &st) < 0)
		return library_failed();
	int rc = parse_mode(arg, st.mode, &mode);
	if (rc != DONE)
		return rc;
	return unishm_chmod(seg, mode) < 0 ? library_failed() : DONE;
}

static int run_chmod(int argc, char **argv)
{
	mode_t ignored;
	if (take_common_options(argc, argv) != DONE)
		return option_status;
	if (optind == argc)
		return usage_error("no mode and no segment are named");
	char *mode = argv[optind];
	int rc = parse_mode(mode, 0, &ignored);
	if (rc != DONE)
		return rc;
	return for_each_segment(argc - optind - 1, argv + optind + 1, change_mode, mode);
}

const struct command chmod_command = {
	.bit = CHMOD,
	.name = "chmod",
	.arguments = "MODE SEGMENT...",
	.summary = "Change the permission bits of segments",
	.notes = "MODE is octal, 0 to 0777, or symbolic: u=rw,g+r,o-w.",
	.first = WORD_MODE,
	.rest = WORD_SEGMENT,
	.run = run_chmod,
};

/* ---- chown ---------------------------------------------------------------- */

struct owner {
	uid_t user;
	gid_t group;
};

static bool plain_number(const char *text, unsigned long *number)
{
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoul(text, &end, 10);
	return !errno && !*end && *number < UINT32_MAX;
}

static int parse_user(const char *text, uid_t *user)
{
	unsigned long number;
	struct passwd *entry = getpwnam(text);
	if (!entry && !plain_number(text, &number))
		return usage_error("there is no user \"%s\"", text);
	*user = entry ? entry->pw_uid : (uid_t)number;
	return DONE;
}

static int parse_group(const char *text, gid_t *group)
{
	unsigned long number;
	struct group *entry = getgrnam(text);
	if (!entry && !plain_number(text, &number))
		return usage_error("there is no group \"%s\"", text);
	*group = entry ? entry->gr_gid : (gid_t)number;
	return DONE;
}

/* USER, USER:GROUP or :GROUP. Cuts @text in two. */
static int parse_owner(char *text, struct owner *owner)
{
	char *colon = strchr(text, ':');
	*owner = (struct owner){ (uid_t)-1, (gid_t)-1 };
	if (!*text || (colon && !colon[1]))
		return usage_error("owner \"%s\" is not USER, USER:GROUP or :GROUP", text);
	if (colon)
		*colon = '\0';
	int rc = *text ? parse_user(text, &owner->user) : DONE;
	if (rc == DONE && colon)
		rc = parse_group(colon + 1, &owner->group);
	return rc;
}

static int change_owner(struct unishm *seg, const char *text, void *arg)
{
	const struct owner *owner = arg;
	(void)text;
	return unishm_chown(seg, owner->user, owner->group) < 0 ? library_failed() : DONE;
}

static int run_chown(int argc, char **argv)
{
	struct owner owner;
	if (take_common_options(argc, argv) != DONE)
		return option_status;
	if (optind == argc)
		return usage_error("no owner and no segment are named");
	int rc = parse_owner(argv[optind], &owner);
	if (rc != DONE)
		return rc;
	return for_each_segment(argc - optind - 1, argv + optind + 1, change_owner, &owner);
}

const struct command chown_command = {
	.bit = CHOWN,
	.name = "chown",
	.arguments = "USER[:GROUP] SEGMENT...",
	.summary = "Change owner and group of segments",
	.notes = "USER and GROUP are names or numbers; :GROUP leaves the user as it is.",
	.first = WORD_OWNER,
	.rest = WORD_SEGMENT,
	.run = run_chown,
};

/* ---- lock, unlock --------------------------------------------------------- */

struct hold {
	bool asked;
	sigset_t ends; /* what ends the holding; blocked meanwhile */
};

static void wait_for_end(const struct hold *hold)
{
	int ignored;
	sigwait(&hold->ends, &ignored);
}

/* A POSIX lock belongs to the process that made it, so one that this command does not hold would
 * be gone at once. */
static int lock_one(struct unishm *seg, const char *text, void *arg)
{
	const struct hold *hold = arg;
	if (!hold->asked && strcmp(unishm_backend(seg), "posix") == 0)
		return fail("lock %s: a posix lock ends with the process that made it; use --hold, "
				"or lock it in the program that uses it", text);
	if (unishm_lock(seg) < 0)
		return library_failed();
	if (!hold->asked)
		return DONE;
	printf("%s is locked until this command is interrupted.\n", text);
	fflush(stdout);
	wait_for_end(hold);
	return unishm_unlock(seg) < 0 ? library_failed() : DONE;
}

static int run_lock(int argc, char **argv)
{
	struct hold hold = { .asked = false };
	for (int c; (c = next_option(argc, argv)) != -1;) {
		if (c == '?')
			return option_status;
		hold.asked = true;
	}
	if (hold.asked && argc - optind > 1)
		return usage_error("--hold takes one segment");
	sigemptyset(&hold.ends);
	sigaddset(&hold.ends, SIGINT);
	sigaddset(&hold.ends, SIGTERM);
	sigaddset(&hold.ends, SIGHUP);
	if (hold.asked)
		sigprocmask(SIG_BLOCK, &hold.ends, NULL);
	return for_each_segment(argc - optind, argv + optind, lock_one, &hold);
}

static int unlock_one(struct unishm *seg, const char *text, void *arg)
{
	(void)text, (void)arg;
	return unishm_unlock(seg) < 0 ? library_failed() : DONE;
}

static int run_unlock(int argc, char **argv)
{
	if (take_common_options(argc, argv) != DONE)
		return option_status;
	return for_each_segment(argc - optind, argv + optind, unlock_one, NULL);
}

const struct command lock_command = {
	.bit = LOCK,
	.name = "lock",
	.arguments = "[--hold] SEGMENT...",
	.summary = "Keep segments in RAM",
	.notes = "",
	.first = WORD_SEGMENT,
	.rest = WORD_SEGMENT,
	.run = run_lock,
};

const struct command unlock_command = {
	.bit = UNLOCK,
	.name = "unlock",
	.arguments = "SEGMENT...",
	.summary = "Let segments be paged out again",
	.notes = "",
	.first = WORD_SEGMENT,
	.rest = WORD_SEGMENT,
	.run = run_unlock,
};
