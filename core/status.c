/* SPDX-License-Identifier: MIT */
/* A status as text, for people. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <time.h>

#include "core.h"
#include "own.h"
#include "sys.h"

const char *unishm_mode_text(mode_t mode, char *out)
{
	static const char letters[] = "rwxrwxrwx";
	for (unsigned i = 0; i < 9; i++)
		out[i] = mode & (0400u >> i) ? letters[i] : '-';
	out[9] = '\0';
	return out;
}

const char *unishm_user_text(uid_t user, char *out, size_t room)
{
	struct passwd entry, *found = NULL;
	char buffer[1024];
	int state, ours;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	int rc = getpwuid_r(user, &entry, buffer, sizeof buffer, &found);
	pthread_setcancelstate(state, &ours);
	if (rc == 0 && found)
		snprintf(out, room, "%s (%lu)", found->pw_name, (unsigned long)user);
	else
		snprintf(out, room, "%lu", (unsigned long)user);
	return out;
}

const char *unishm_group_text(gid_t group, char *out, size_t room)
{
	struct group entry, *found = NULL;
	char buffer[4096];
	if (getgrgid_r(group, &entry, buffer, sizeof buffer, &found) == 0 && found)
		snprintf(out, room, "%s (%lu)", found->gr_name, (unsigned long)group);
	else
		snprintf(out, room, "%lu", (unsigned long)group);
	return out;
}

int unishm_because_denied(int rc, mode_t mode, uid_t owner)
{
	char letters[10], name[64];
	if (unishm_own.mute) /* names of users can take long */
		return rc;
	unishm_user_text(owner, name, sizeof name);
	unishm_mode_text(mode & 0777, letters);
	if (rc == -EPERM) /* the mode does not matter for what only owners may do */
		return unishm_because(rc, "its owner is %s; act as that user, or as root", name);
	if (owner != unishm_sys.geteuid())
		return unishm_because(rc,
				"its mode is %s and its owner %s; "
				"act as that user, or have it changed",
				letters, name);
	return unishm_because(rc, "its mode is %s, which refuses this to its owner, this user; %s",
			letters, mode & 0400 ? "change the mode" : "have root change the mode");
}

static const char *time_text(int64_t seconds, char *out, size_t room)
{
	struct tm parts;
	time_t when = (time_t)seconds;
	if (when == 0)
		return "never";
	if (!localtime_r(&when, &parts) || strftime(out, room, "%Y-%m-%d %H:%M:%S", &parts) == 0)
		snprintf(out, room, "%lld", (long long)when);
	return out;
}

static const char *key_text(key_t key, char *out, size_t room)
{
	if (key == UNISHM_PRIVATE)
		return "private";
	snprintf(out, room, "0x%08lx", (unsigned long)(uint32_t)key);
	return out;
}

/* The names of the fields whose bits are set, or "none". */
static const char *field_names(unsigned bits, char *out, size_t room)
{
	static const char *const names[] = { "number_attached", "creator_process",
		"last_op_process", "last_attach_time", "last_detach_time", "last_change_time",
		"creator_user", "creator_group", "key", "size", "id", "locked", "removed" };
	size_t used = 0;
	out[0] = '\0';
	for (size_t i = 0; i < sizeof names / sizeof *names && used < room; i++)
		if (bits & 1u << i)
			used += (size_t)snprintf(out + used, room - used, "%s%s", used ? " " : "",
					names[i]);
	return used ? out : "none";
}

static int print(FILE *out, const struct unishm_status *st)
{
	char a[64], b[64], c[64], emulated[240], inexact[240];
	if (!out || !st)
		return unishm_fail(unishm_because(-EINVAL, "an argument is NULL"),
				"print a status");
	errno = 0;
	int rc = fprintf(out,
			"size: %zu\nnumber_attached: %lu\ncreator_process: %ld\n"
			"last_op_process: %ld\n",
			st->size, st->number_attached, (long)st->creator_process,
			(long)st->last_op_process);
	if (rc >= 0)
		rc = fprintf(out,
				"last_attach_time: %s\nlast_detach_time: %s\n"
				"last_change_time: %s\n",
				time_text(st->last_attach_time, a, sizeof a),
				time_text(st->last_detach_time, b, sizeof b),
				time_text(st->last_change_time, c, sizeof c));
	if (rc >= 0)
		rc = fprintf(out, "creator_user: %s\ncreator_group: %s\n",
				unishm_user_text(st->creator_user, a, sizeof a),
				unishm_group_text(st->creator_group, b, sizeof b));
	if (rc >= 0)
		rc = fprintf(out, "owner_user: %s\nowner_group: %s\nmode: %s\nkey: %s\n",
				unishm_user_text(st->owner_user, a, sizeof a),
				unishm_group_text(st->owner_group, b, sizeof b),
				unishm_mode_text(st->mode, emulated),
				key_text(st->key, c, sizeof c));
	if (rc >= 0)
		rc = fprintf(out,
				"backend: %s\nid: %d\nlocked: %s\nremoved: %s\n"
				"emulated: %s\ninexact: %s\n",
				st->backend ? st->backend : "none", st->id,
				st->locked ? "yes" : "no", st->removed ? "yes" : "no",
				field_names(st->emulated, emulated, sizeof emulated),
				field_names(st->inexact, inexact, sizeof inexact));
	if (rc < 0)
		return unishm_fail(errno ? -errno : -EIO, "print a status");
	return 0;
}

int unishm_print(FILE *out, const struct unishm_status *st)
{
	unishm_begin();
	return unishm_end(print(out, st));
}
