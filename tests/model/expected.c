/* SPDX-License-Identifier: MIT */
/*
 * The accepted differences. The numbers are those of "Where the backends may
 * differ" in the contract; nothing else may.
 *
 * 1. Ids, addresses, backend name, emulated. Never compared, but for this: two
 *    handles have the same id on one backend if and only if they do on the other.
 */
#include "expected.h"

/*
 * 4. System V lets the creator as well as the owner act, and the creator's group
 *    as well as the owner's. After a chown those differ, and whoever is creator,
 *    or in the creator's group, only, has rights on System V and none on POSIX.
 *    What such a user does is not played, nor is what they see compared.
 */
bool expected_rights(const struct world *world, unsigned actor, int segment)
{
	const struct known_segment *s = &world->segment[segment];
	unsigned user = world->actor[actor].user;
	if (user_id(user) == 0 || user_id(user) == s->owner_user)
		return false;
	return user_id(user) == s->creator_user ||
			(in_group(user, s->creator_group) && !in_group(user, s->owner_group));
}

/*
 * 4. Giving a segment away needs privilege on POSIX. What POSIX lets an owner do
 *    is played: to name themselves, or a group that they are in.
 */
static bool gives_away(const struct world *world, const struct step *step, int segment)
{
	const struct known_segment *s = &world->segment[segment];
	unsigned user = world->actor[step->actor].user;
	if (user_id(user) == 0 || user_id(user) != s->owner_user)
		return false;
	return (step->arg[1] >= 0 && user_id((unsigned)step->arg[1]) != s->owner_user) ||
			(step->arg[2] >= 0 && group_id((unsigned)step->arg[2]) != s->owner_group &&
			!in_group(user, group_id((unsigned)step->arg[2])));
}

/*
 * Section 4, strangers' hands: a call that needs a descriptor that the program has
 * closed opens the segment anew or fails cleanly. Whoever could not open it is not
 * made to; nor is a process that counts by a lock of its own, see 7.
 */
static bool cannot_reopen(const struct world *world, const struct step *step)
{
	const struct known_actor *actor = &world->actor[step->actor];
	for (int i = 0; i < HANDLES; i++) {
		int segment = actor->handle[i].segment;
		if (segment < 0)
			continue;
		const struct known_segment *s = &world->segment[segment];
		if (s->removed || s->forked_without_rights || !may(s, actor->user, 4))
			return true;
	}
	return false;
}

static bool closes(const struct step *step)
{
	return step->op == OP_CLOSE_FDS || (step->op == OP_FORK && step->arg[1]);
}

/*
 * Section 4, remove: who sees another file system than the one where a segment is goes on with
 * the handles that they have. What looks for names finds others.
 */
static bool looks_for_names(const struct step *step)
{
	return step->op == OP_OPEN || step->op == OP_OPEN_ID || step->op == OP_LIST || closes(step);
}

static int segment_concerned(const struct world *world, const struct step *step)
{
	switch (step->op) {
	case OP_OPEN:
		return world_segment_by_key(world, step->arg[1]);
	case OP_OPEN_ID:
		return step->arg[1] >= 0 && world->segments ? step->arg[1] % world->segments : -1;
	case OP_CLOSE: case OP_ATTACH: case OP_ATTACH_AT: case OP_DETACH: case OP_CHMOD:
	case OP_CHOWN: case OP_LOCK: case OP_UNLOCK: case OP_REMOVE:
		return world_segment_of(world, step->actor, step->arg[0]);
	default:
		return -1;
	}
}

const char *expected_step(const struct world *world, const struct step *step)
{
	int segment = segment_concerned(world, step);
	if (world->actor[step->actor].away && looks_for_names(step))
		return "objects are elsewhere (section 4)";
	if (step->op == OP_MOVE && world->actor[step->actor].closed)
		return "the program closed what led to objects that are elsewhere (section 4)";
	if (closes(step) && cannot_reopen(world, step))
		return "what a stranger closed cannot be opened again (section 4)";
	if (segment < 0)
		return NULL;
	if (step->op == OP_UNLOCK && world->actor[step->actor].closed &&
			!may(&world->segment[segment], world->actor[step->actor].user, 2))
		return "an owner whom the mode does not let write ends its own lock only "
				"(section 6, 3)";
	if (step->op == OP_CHOWN && gives_away(world, step, segment))
		return "giving a segment away needs privilege on POSIX (section 6, 4)";
	if (step->op != OP_DETACH && step->op != OP_CLOSE &&
			expected_rights(world, step->actor, segment))
		return "the creator has no rights as such on POSIX (section 6, 4)";
	return NULL;
}

/*
 * What qemu-user (10.0) gets wrong, and no test can put right:
 *
 * vfork, and posix_spawn by it, is a fork there: the child has attachments of its own
 * until it ends, and System V notes the end.
 *
 * A process that a threaded one forked can be blocked for ever when it makes a thread,
 * within the emulator. So steps that a thread was to do are done by the first.
 *
 * shmat says that an address is taken (EINVAL) to those who may not attach at all
 * (EACCES), since the emulator looks at the address before it asks the kernel.
 */
bool expected_of_emulator(const struct world *world, const struct step *step)
{
	if (step->op == OP_VFORK || step->op == OP_POSIX_SPAWN)
		return true;
	if (step->op != OP_ATTACH_AT)
		return false;
	int segment = world_segment_of(world, step->actor, step->arg[0]);
	unsigned want = 4u | (step->arg[2] & UNISHM_RDONLY ? 0 : 2u) |
			(step->arg[2] & UNISHM_EXEC ? 1u : 0);
	return segment >= 0 && !may(&world->segment[segment], world->actor[step->actor].user, want);
}

void expected_tell_of_emulator(FILE *out, const char *emulator)
{
	fprintf(out, "left out: vfork and posix_spawn: %s makes forks of them\n", emulator);
	fprintf(out, "left out: threads: under %s their children can be blocked for ever\n",
			emulator);
	fprintf(out, "left out: attach at an address without permission: "
			"%s looks at the address first\n",
			emulator);
}

/*
 * What a status may leave open:
 *
 * 2. On POSIX, last_detach_time and last_op_process of a process that ended
 *    without detaching are known at the next look: who attached or
 *    detached between has not the last word then. And a process with only read
 *    permission cannot record its attach and detach, nor can a child that was
 *    forked when its parent could not write any more; one that looks says that
 *    these fields may be inexact.
 *
 * 3. On POSIX a lock ends with the handle that took it, or its process; on System
 *    V only by unlock.
 */
struct expected_fields expected_status(const struct world *world, int segment, bool reader)
{
	const struct known_segment *s = &world->segment[segment];
	return (struct expected_fields){
		.last_op = s->last_op_unsure,
		.attach_time = s->attach_time_unsure,
		.detach_time = s->detach_time_unsure,
		.may_be_inexact = reader && s->end_unseen,
		.number_may_be_inexact = s->forked_without_rights,
		.locked = { s->locked, s->lockers != 0 },
	};
}

/*
 * 7. is about children that nothing counts. A process that may not open the
 *    segment any more (its user or the mode changed) has children that only a lock
 *    of the process counts, which a stranger's close() can drop: status then says
 *    that the number may be inexact, and memory is not freed early. The number
 *    itself is compared all the same.
 *
 * 5. is kept by the actors: they do not replace an attachment in part.
 * 6. sizes are far from any limit.
 */
