/* SPDX-License-Identifier: MIT */
/* From errno to a sentence: all messages of the library are made here. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "own.h"

static _Thread_local struct {
	char why[320]; /* for unishm_own.why_for */
	char sentence[560];
} last;

/* The reason for an errno if unishm_because() gave none. */
static const struct {
	int code;
	const char *why;
} reasons[] = {
	{ EPERM, "only its owner, its creator or the superuser may; run as one of them" },
	{ EACCES, "this user has no such right; act as its owner, or have the rights changed" },
	{ EEXIST, "it exists already; open it without O_EXCL, or choose another key" },
	{ ENOENT, "there is none; create it with O_CREAT, or check key and backend" },
	{ EIDRM, "it was removed; create or open another segment" },
	{ ENOMEM,
			"the system has not enough memory or address space; "
			"ask for less, or raise RLIMIT_AS" },
	{ ENOSPC,
			"the system has no room for it; "
			"remove unused segments, or raise the limits" },
	{ EMFILE,
			"this process has no file descriptors left; "
			"close some, or raise RLIMIT_NOFILE (ulimit -n)" },
	{ ENFILE,
			"the system has no file descriptors left; "
			"close files, or raise the system's limit" },
	{ ENOTSUP, "this system or backend cannot do that; try the other backend" },
	{ ENOSYS,
			"this system has no such shared memory (a jail or sandbox may hide it); "
			"use the other backend" },
	{ EBADF, "its descriptor was closed by the program, and it cannot be opened anew" },
	{ EAGAIN, "another process holds a lock in the way; find it (lslocks, fuser) and end it" },
	{ EBADMSG,
			"its record cannot be read; "
			"something else wrote to the object or cut it short" },
	{ EINTR, "a signal interrupted it; call again" },
	{ ETIMEDOUT, "the limit of the wait is over; wait longer" },
	{ ECANCELED,
			"this process is a child that was forked within the init callback; "
			"open the key instead" },
	{ EROFS,
			"the file system of shared memory is mounted read-only here; "
			"mount it for writing" },
	{ EINVAL, "an argument is out of range" },
};

int unishm_because(int rc, const char *format, ...)
{
	va_list args;
	if (unishm_own.mute)
		return rc;
	va_start(args, format);
	vsnprintf(last.why, sizeof last.why, format, args);
	va_end(args);
	unishm_own.why_for = rc;
	return rc;
}

bool unishm_has_reason(int rc)
{
	return unishm_own.why_for == rc;
}

static const char *reason(int rc, char *unknown, size_t room)
{
	if (unishm_own.why_for == rc)
		return last.why;
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].code == -rc)
			return reasons[i].why;
	snprintf(unknown, room, "the system answered with error %d", -rc);
	return unknown;
}

int unishm_fail(int rc, const char *what, ...)
{
	char action[160], unknown[64];
	va_list args;
	if (unishm_own.mute)
		return rc;
	va_start(args, what);
	vsnprintf(action, sizeof action, what, args);
	va_end(args);
	snprintf(last.sentence, sizeof last.sentence, "cannot %s: %s", action,
			reason(rc, unknown, sizeof unknown));
	unishm_own.why_for = 0;
	return rc;
}

const char *unishm_errmsg(void)
{
	return last.sentence;
}

/* ---- Words for messages -------------------------------------------------- */

struct unishm_words unishm_bytes(size_t count)
{
	struct unishm_words words;
	snprintf(words.text, sizeof words.text, "%zu byte%s", count, count == 1 ? "" : "s");
	return words;
}

struct unishm_label unishm_label_key(const struct unishm_backend *backend, key_t key)
{
	struct unishm_label label;
	if (key == UNISHM_PRIVATE)
		snprintf(label.text, sizeof label.text, "a private %s segment", backend->name);
	else
		snprintf(label.text, sizeof label.text, "the %s segment with key 0x%08lx",
				backend->name, (unsigned long)(uint32_t)key);
	return label;
}

struct unishm_label unishm_label_of(const struct unishm *seg)
{
	struct unishm_label label;
	if (seg->key != UNISHM_PRIVATE)
		return unishm_label_key(seg->backend, seg->key);
	snprintf(label.text, sizeof label.text, "the private %s segment with id %d",
			seg->backend->name, seg->id);
	return label;
}
