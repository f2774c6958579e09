/* SPDX-License-Identifier: MIT */
#include "compare.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

void differ(struct difference *out, const char *format, ...)
{
	va_list args;
	if (out->found)
		return;
	out->found = true;
	va_start(args, format);
	vsnprintf(out->text, sizeof out->text, format, args);
	va_end(args);
}

/* ---- Results ------------------------------------------------------------- */

static const char *result_name(int rc, char *room, size_t size)
{
	static const struct {
		int code;
		const char *name;
	} names[] = {
		{ EINVAL, "-EINVAL" }, { ENOENT, "-ENOENT" }, { EEXIST, "-EEXIST" },
		{ EACCES, "-EACCES" }, { EPERM, "-EPERM" }, { EIDRM, "-EIDRM" },
		{ ENOMEM, "-ENOMEM" }, { ENOSPC, "-ENOSPC" }, { EBADF, "-EBADF" },
		{ EBADMSG, "-EBADMSG" }, { ENOTSUP, "-ENOTSUP" }, { EFBIG, "-EFBIG" },
		{ EFAULT, "-EFAULT" }, { ECANCELED, "-ECANCELED" }, { EMFILE, "-EMFILE" },
		{ EAGAIN, "-EAGAIN" }, { EIO, "-EIO" },
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (rc == -names[i].code)
			return names[i].name;
	snprintf(room, size, "%d", rc);
	return room;
}

static void compare_rc(const struct reply *r, struct difference *out)
{
	char room[BACKENDS][16];
	if (r->rc[SYSV] != r->rc[POSIX])
		differ(out, "result: %s on sysv (%s), %s on posix (%s)",
				result_name(r->rc[SYSV], room[SYSV], 16), r->message[SYSV],
				result_name(r->rc[POSIX], room[POSIX], 16), r->message[POSIX]);
	for (int b = 0; b < BACKENDS; b++) {
		if (r->touched[b])
			differ(out, "%s: an output is not what it should be", backend_names[b]);
		if (r->wordless[b])
			differ(out, "%s: failed with %s without a message", backend_names[b],
					result_name(r->rc[b], room[b], 16));
		if (r->still_mapped[b])
			differ(out, "%s: %d detached pages are still mapped", backend_names[b],
					r->still_mapped[b]);
	}
}

static void compare_opened(const struct world *world, const struct step *step,
		const struct reply *r, struct difference *out)
{
	int known[BACKENDS];
	for (int b = 0; b < BACKENDS; b++) {
		known[b] = world_segment_by_id(world, b, r->id[b]);
		if ((known[b] < 0) != r->created[b])
			differ(out, "%s: says created: %d, of an id (%d) that is %s",
					backend_names[b], r->created[b], r->id[b],
					known[b] < 0 ? "new" : "known");
	}
	if (known[SYSV] != known[POSIX])
		differ(out, "the handle is of segment %d on sysv, and %d on posix", known[SYSV],
				known[POSIX]);
	if (r->key[SYSV] != r->key[POSIX])
		differ(out, "key: %lx on sysv, %lx on posix", (long)r->key[SYSV],
				(long)r->key[POSIX]);
	if (r->size[SYSV] != r->size[POSIX])
		differ(out, "size: %zu on sysv, %zu on posix", r->size[SYSV], r->size[POSIX]);
	if (step->op == OP_OPEN && r->created[SYSV] && r->size[SYSV] != (size_t)step->arg[3])
		differ(out, "size: asked for %ld, got %zu", (long)step->arg[3], r->size[SYSV]);
}

static void compare_inits(const struct reply *r, struct difference *out)
{
	if (r->inits[SYSV] != r->inits[POSIX])
		differ(out, "init callbacks: %d on sysv, %d on posix", r->inits[SYSV],
				r->inits[POSIX]);
	for (int b = 0; b < BACKENDS; b++)
		if (r->dirty[b])
			differ(out, "%s: the init callback met %d bytes that were not zero",
					backend_names[b], r->dirty[b]);
}

void compare_result(const struct world *world, const struct step *step, const struct reply *r,
		struct difference *out)
{
	compare_rc(r, out);
	if (step->op != OP_OPEN && step->op != OP_OPEN_ID)
		return;
	compare_inits(r, out);
	if (r->rc[SYSV] == 0)
		compare_opened(world, step, r, out);
}

/* ---- Status -------------------------------------------------------------- */

static void number(const char *who, const char *name, long long sysv, long long posix,
		struct difference *out)
{
	if (sysv != posix)
		differ(out, "%s: %s: %lld on sysv, %lld on posix", who, name, sysv, posix);
}

static long long moments_apart = 1;

void compare_within(long long seconds)
{
	moments_apart = seconds;
}

static void moment(const char *who, const char *name, time_t sysv, time_t posix,
		struct difference *out)
{
	if ((sysv == 0) != (posix == 0) || llabs((long long)sysv - posix) > moments_apart)
		differ(out, "%s: %s: %lld on sysv, %lld on posix", who, name, (long long)sysv,
				(long long)posix);
}

/* What never is left open. */
static void compare_exact(const char *who, const struct unishm_status *a,
		const struct unishm_status *b, struct difference *out)
{
	number(who, "number_attached", (long long)a->number_attached, (long long)b->number_attached,
			out);
	number(who, "removed", a->removed, b->removed, out);
	number(who, "size", (long long)a->size, (long long)b->size, out);
	number(who, "mode", a->mode, b->mode, out);
	number(who, "key", a->key, b->key, out);
	number(who, "creator_process", a->creator_process, b->creator_process, out);
	number(who, "creator_user", a->creator_user, b->creator_user, out);
	number(who, "creator_group", a->creator_group, b->creator_group, out);
	number(who, "owner_user", a->owner_user, b->owner_user, out);
	number(who, "owner_group", a->owner_group, b->owner_group, out);
	moment(who, "last_change_time", a->last_change_time, b->last_change_time, out);
}

enum { INEXACT = UNISHM_EMULATED_LAST_DETACH_TIME | UNISHM_EMULATED_LAST_OP_PROCESS };

static void compare_status(const char *who, const struct world *world, int segment, bool reader,
		const struct unishm_status *a, const struct unishm_status *b,
		struct difference *out)
{
	struct expected_fields expected = expected_status(world, segment, reader);
	bool inexact = expected.may_be_inexact && b->inexact;
	compare_exact(who, a, b, out);
	number(who, "id", a->id == world->segment[segment].id[SYSV],
			b->id == world->segment[segment].id[POSIX], out);
	unsigned allowed = (expected.may_be_inexact ? INEXACT : 0u) |
			(expected.number_may_be_inexact ? UNISHM_EMULATED_NUMBER_ATTACHED : 0u);
	if (a->inexact || a->emulated || b->inexact & ~allowed)
		differ(out, "%s: inexact: 0x%x on sysv, 0x%x on posix", who, a->inexact,
				b->inexact);
	if (!expected.last_op && !inexact)
		number(who, "last_op_process", a->last_op_process, b->last_op_process, out);
	if (!expected.detach_time && !inexact)
		moment(who, "last_detach_time", a->last_detach_time, b->last_detach_time, out);
	if (!expected.attach_time)
		moment(who, "last_attach_time", a->last_attach_time, b->last_attach_time, out);
	number(who, "locked on sysv (as it should be, as it is)", expected.locked[SYSV], a->locked,
			out);
	number(who, "locked on posix (as it should be, as it is)", expected.locked[POSIX],
			b->locked, out);
}

void compare_handle(struct world *world, unsigned actor, int handle, const struct reply *r,
		struct difference *out)
{
	const struct seen_handle *seen = &r->handle[handle];
	const struct known_handle *known = &world->actor[actor].handle[handle];
	char who[48], room[BACKENDS][16];
	snprintf(who, sizeof who, "status by actor %u, handle %d", actor, handle);
	if (seen->open != (known->segment >= 0))
		differ(out, "%s: the handle is %sopen", who, seen->open ? "" : "not ");
	if (!seen->open || out->found || expected_rights(world, actor, known->segment))
		return;
	if (seen->backend_wrong)
		differ(out, "%s: wrong name of the backend", who);
	if (seen->rc[SYSV] != seen->rc[POSIX])
		differ(out, "%s: %s on sysv, %s on posix", who,
				result_name(seen->rc[SYSV], room[SYSV], 16),
				result_name(seen->rc[POSIX], room[POSIX], 16));
	if (out->found || seen->rc[SYSV] != 0)
		return;
	compare_status(who, world, known->segment, known->reader, &seen->st[SYSV], &seen->st[POSIX],
			out);
	if (!known->reader)
		world_looked(world, known->segment);
}

static void compare_slot(unsigned actor, int index, bool used, const struct seen_slot *seen,
		struct difference *out)
{
	if (seen->used != used)
		differ(out, "actor %u, slot %d: %s", actor, index, used ? "lost" : "not known");
	for (int b = 0; b < BACKENDS; b++)
		if (seen->gone[b])
			differ(out, "%s: actor %u, slot %d: not mapped any more", backend_names[b],
					actor, index);
	if (seen->differs)
		differ(out, "actor %u, slot %d, byte %zu: 0x%02x on sysv, 0x%02x on posix", actor,
				index, seen->at, seen->byte[SYSV], seen->byte[POSIX]);
}

void compare_all(struct world *world, unsigned actor, const struct reply *r, struct difference *out)
{
	for (int i = 0; i < HANDLES; i++)
		compare_handle(world, actor, i, r, out);
	for (int i = 0; i < SLOTS; i++)
		compare_slot(actor, i, world->actor[actor].slot[i].handle >= 0, &r->slot[i], out);
}

/* ---- Lists --------------------------------------------------------------- */

static const struct unishm_status *find(const struct unishm_status *list, int count, int id)
{
	for (int i = 0; i < count; i++)
		if (list[i].id == id)
			return &list[i];
	return NULL;
}

/* How many of a list are to be found in the other: all of ours but those that
 * POSIX does not show, being without a name, and those of other programs. */
static bool counts(const struct world *world, unsigned actor, int backend,
		const struct unishm_status *st, struct difference *out)
{
	int segment = world_segment_by_id(world, backend, st->id);
	if (segment < 0 && world->isolated)
		differ(out, "list by actor %u: %s shows an unknown id %d", actor,
				backend_names[backend], st->id);
	return segment >= 0 && !st->removed && !expected_rights(world, actor, segment);
}

void compare_list(const struct world *world, unsigned actor, const struct reply *r,
		struct difference *out)
{
	const struct unishm_status *sysv = r->list[0], *posix = r->list[0] + r->listed[SYSV];
	int count[BACKENDS] = { 0 };
	char who[48];
	snprintf(who, sizeof who, "list by actor %u", actor);
	for (int i = 0; i < r->listed[POSIX]; i++)
		count[POSIX] += counts(world, actor, POSIX, &posix[i], out);
	for (int i = 0; i < r->listed[SYSV]; i++) {
		if (!counts(world, actor, SYSV, &sysv[i], out))
			continue;
		count[SYSV]++;
		int segment = world_segment_by_id(world, SYSV, sysv[i].id);
		const struct unishm_status *other = find(posix, r->listed[POSIX],
				world->segment[segment].id[POSIX]);
		if (!other)
			differ(out, "%s: sysv shows segment %d, posix does not", who, segment);
		else
			compare_status(who, world, segment,
					!may(&world->segment[segment], world->actor[actor].user, 2),
					&sysv[i], other, out);
	}
	number(who, "segments", count[SYSV], count[POSIX], out);
}
