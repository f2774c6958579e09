/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <string.h>

void world_clear(struct world *world)
{
	bool isolated = world->isolated;
	int32_t base_key = world->base_key;
	memset(world, 0, sizeof *world);
	world->isolated = isolated;
	world->base_key = base_key;
}

static void open_nothing(struct known_actor *actor)
{
	for (int i = 0; i < HANDLES; i++)
		actor->handle[i] = (struct known_handle){ .segment = -1 };
	for (int i = 0; i < SLOTS; i++)
		actor->slot[i] = (struct known_slot){ -1, false };
}

void world_begin(struct world *world, unsigned number, pid_t pid, int pidfd, unsigned user)
{
	struct known_actor *actor = &world->actor[number];
	actor->alive = true;
	actor->pid = pid;
	actor->pidfd = pidfd;
	actor->user = user;
	actor->away = actor->closed = false;
	open_nothing(actor);
}

/* ---- Segments ------------------------------------------------------------ */

int world_segment_by_id(const struct world *world, int backend, int id)
{
	for (int i = world->segments; i-- > 0;)
		if (world->segment[i].id[backend] == id)
			return i;
	return -1;
}

int world_segment_by_key(const struct world *world, int32_t number)
{
	key_t key = world->base_key + number;
	for (int i = world->segments; i-- > 0;)
		if (number && world->segment[i].key == key && !world->segment[i].removed)
			return i;
	return -1;
}

int world_segment_of(const struct world *world, unsigned actor, int handle)
{
	return world->actor[actor].handle[handle].segment;
}

bool in_group(unsigned user, gid_t group)
{
	return group == group_id(user) || (user > 1 && group == group_id(user - 1));
}

bool may(const struct known_segment *segment, unsigned user, unsigned want)
{
	unsigned granted = segment->mode & 7;
	if (user_id(user) == 0)
		return true;
	if (user_id(user) == segment->owner_user)
		granted = segment->mode >> 6 & 7;
	else if (in_group(user, segment->owner_group))
		granted = segment->mode >> 3 & 7;
	return !(want & ~granted);
}

/* ---- What is written down in the record, and what is not ------------------ */

enum { ATTACHED, DETACHED };

static void recorded(struct known_segment *segment, int what)
{
	segment->last_op_unsure = segment->end_unseen; /* who is found dead later is written
							  down later */
	if (what == ATTACHED)
		segment->attach_time_unsure = false;
	else
		segment->detach_time_unsure = segment->end_unseen;
}

static void unrecorded(struct known_segment *segment, int what)
{
	segment->last_op_unsure = true;
	if (what == ATTACHED)
		segment->attach_time_unsure = true;
	else
		segment->detach_time_unsure = true;
}

static void note(struct world *world, unsigned actor, int handle, int what)
{
	const struct known_handle *by = &world->actor[actor].handle[handle];
	struct known_segment *segment = &world->segment[by->segment];
	if (by->reader)
		unrecorded(segment, what);
	else
		recorded(segment, what);
}

void world_looked(struct world *world, int segment)
{
	world->segment[segment].end_unseen = false;
}

static int new_segment(struct world *world, const struct step *step, const struct reply *reply)
{
	unsigned user = world->actor[step->actor].user;
	struct known_segment *segment = &world->segment[world->segments];
	*segment = (struct known_segment){
		.id = { reply->id[SYSV], reply->id[POSIX] },
		.key = reply->key[SYSV],
		.mode = (mode_t)step->arg[4],
		.creator_user = user_id(user), .owner_user = user_id(user),
		.creator_group = group_id(user), .owner_group = group_id(user),
	};
	return world->segments++;
}

/* ---- Steps --------------------------------------------------------------- */

static void opened(struct world *world, const struct step *step, const struct reply *reply)
{
	struct known_actor *actor = &world->actor[step->actor];
	int segment = world_segment_by_id(world, SYSV, reply->id[SYSV]);
	if (segment < 0)
		segment = new_segment(world, step, reply);
	actor->handle[step->arg[0]] = (struct known_handle){
		.segment = segment,
		.reader = !reply->created[POSIX] && !may(&world->segment[segment], actor->user, 2),
	};
}

static uint64_t locker_bit(unsigned actor, int handle)
{
	return UINT64_C(1) << (actor * HANDLES + (unsigned)handle);
}

static void unlock_handle(struct world *world, unsigned actor, int handle)
{
	int segment = world_segment_of(world, actor, handle);
	if (segment >= 0)
		world->segment[segment].lockers &= ~locker_bit(actor, handle);
}

static void closed(struct world *world, unsigned number, int handle)
{
	struct known_actor *actor = &world->actor[number];
	if (actor->handle[handle].segment < 0)
		return;
	for (int i = 0; i < SLOTS; i++) {
		if (actor->slot[i].handle != handle)
			continue;
		note(world, number, handle, DETACHED);
		actor->slot[i].handle = -1;
	}
	unlock_handle(world, number, handle);
	actor->handle[handle] = (struct known_handle){ .segment = -1 };
}

/* Does the handle have a slot of the record, or could it still take one? */
static bool has_slot(const struct known_actor *actor, int handle)
{
	for (int i = 0; i < SLOTS; i++)
		if (actor->slot[i].handle == handle && !actor->slot[i].reader)
			return true;
	return false;
}

/* A description that is shared with other processes is left for one of its own, with the rights
 * of now. */
static void stop_sharing(const struct world *world, struct known_actor *actor, int handle)
{
	struct known_handle *known = &actor->handle[handle];
	if (!known->shared || has_slot(actor, handle))
		return;
	known->shared = false;
	known->reader |= !may(&world->segment[known->segment], actor->user, 2);
}

static void attached(struct world *world, const struct step *step, unsigned displaced)
{
	struct known_actor *actor = &world->actor[step->actor];
	int handle = step->arg[0];
	if (!(step->arg[2] & UNISHM_RDONLY))
		actor->handle[handle].reader = false; /* it has a writer's descriptor now */
	stop_sharing(world, actor, handle);
	note(world, step->actor, handle, ATTACHED);
	for (int i = 0; i < SLOTS; i++) {
		if (!(displaced & 1u << i) || actor->slot[i].handle < 0)
			continue;
		note(world, step->actor, actor->slot[i].handle, DETACHED);
		actor->slot[i].handle = -1;
	}
	actor->slot[step->arg[1]] = (struct known_slot){
		handle,
		actor->handle[handle].reader ||
				!may(&world->segment[actor->handle[handle].segment], actor->user,
						2),
	};
}

static void detached(struct world *world, const struct step *step)
{
	struct known_actor *actor = &world->actor[step->actor];
	int slot = step->arg[1];
	if (step->arg[2] == DETACH_NULL || actor->slot[slot].handle != step->arg[0])
		for (slot = 0; slot < SLOTS && actor->slot[slot].handle != step->arg[0]; slot++)
			continue;
	note(world, step->actor, step->arg[0], DETACHED);
	if (slot < SLOTS)
		actor->slot[slot].handle = -1;
}

/* A process that was not found dead by now is found so later than it died. */
void world_pause(struct world *world)
{
	for (int i = 0; i < world->segments; i++)
		if (world->segment[i].end_unseen)
			unrecorded(&world->segment[i], DETACHED);
}

/* A process ends or executes another program: what it had is gone, and written
 * down at the next look. */
static void ended(struct world *world, unsigned number)
{
	struct known_actor *actor = &world->actor[number];
	bool marked[SEGMENTS] = { false }, seated[SEGMENTS] = { false };
	for (int i = 0; i < SLOTS; i++) {
		if (actor->slot[i].handle < 0)
			continue;
		int segment = actor->handle[actor->slot[i].handle].segment;
		*(actor->slot[i].reader ? &marked[segment] : &seated[segment]) = true;
	}
	for (int i = 0; i < world->segments; i++) {
		struct known_segment *segment = &world->segment[i];
		if (marked[i])
			unrecorded(segment, DETACHED);
		else if (seated[i])
			recorded(segment, DETACHED);
		segment->end_unseen |= seated[i] || marked[i];
	}
	for (int i = 0; i < HANDLES; i++)
		unlock_handle(world, number, i);
	open_nothing(actor);
}

void world_inherit(struct world *world, unsigned child, unsigned parent)
{
	struct known_actor *from = &world->actor[parent];
	struct known_actor *to = &world->actor[child];
	for (int i = 0; i < HANDLES; i++)
		from->handle[i].shared = true;
	for (int i = 0; i < SLOTS; i++) {
		if (from->slot[i].handle < 0)
			continue;
		struct known_segment *segment =
				&world->segment[from->handle[from->slot[i].handle].segment];
		segment->forked_without_rights |= !may(segment, from->user, 6);
	}
	to->away = from->away;
	to->closed = from->closed;
	memcpy(to->handle, from->handle, sizeof to->handle);
	memcpy(to->slot, from->slot, sizeof to->slot);
	for (int i = 0; i < SLOTS; i++) { /* who cannot write any more has children that cannot */
		if (from->slot[i].handle < 0)
			continue;
		const struct known_handle *handle = &from->handle[from->slot[i].handle];
		const struct known_segment *segment = &world->segment[handle->segment];
		bool reader = !may(segment, from->user, 2) &&
				(handle->reader || may(segment, from->user, 4));
		to->slot[i].reader |= reader;
		from->slot[i].reader |= reader; /* nor can it lock a slot for itself alone */
	}
	for (int reader = 1; reader >= 0; reader--) /* who can write has the last word */
		for (int i = 0; i < SLOTS; i++)
			if (from->slot[i].handle >= 0 &&
					from->handle[from->slot[i].handle].reader == reader)
				note(world, parent, from->slot[i].handle, ATTACHED);
}

static void chowned(struct known_segment *segment, const struct step *step)
{
	if (step->arg[1] >= 0)
		segment->owner_user = user_id((unsigned)step->arg[1]);
	if (step->arg[2] >= 0)
		segment->owner_group = group_id((unsigned)step->arg[2]);
}

/* Steps of a handle whose segment is known, and that succeeded. */
static void update_segment(const struct step *step, struct known_segment *segment)
{
	switch (step->op) {
	case OP_CHMOD: segment->mode = (mode_t)step->arg[1]; break;
	case OP_CHOWN: chowned(segment, step); break;
	case OP_REMOVE: segment->removed = true; break;
	case OP_LOCK:
		segment->locked = true;
		segment->lockers |= locker_bit(step->actor, step->arg[0]);
		break;
	case OP_UNLOCK:
		segment->locked = false;
		segment->lockers = 0;
		break;
	}
}

/* What was opened anew was so with the rights of now. */
void world_reopened(struct world *world, unsigned number)
{
	struct known_actor *actor = &world->actor[number];
	actor->closed = true;
	for (int i = 0; i < HANDLES; i++) {
		struct known_handle *handle = &actor->handle[i];
		if (handle->segment >= 0)
			handle->reader |= !may(&world->segment[handle->segment], actor->user, 2);
	}
	for (int i = 0; i < SLOTS; i++) /* what cannot be held by a slot any more */
		if (actor->slot[i].handle >= 0)
			actor->slot[i].reader |= actor->handle[actor->slot[i].handle].reader;
}

void world_update(struct world *world, const struct step *step, const struct reply *reply)
{
	if (step->op == OP_EXIT || step->op == OP_KILL || step->op == OP_EXEC) {
		ended(world, step->actor);
		world->actor[step->actor].alive = step->op == OP_EXEC;
	}
	if (!reply || reply->rc[SYSV] != 0)
		return;
	switch (step->op) {
	case OP_OPEN: case OP_OPEN_ID: opened(world, step, reply); break;
	case OP_CLOSE: closed(world, step->actor, step->arg[0]); break;
	case OP_ATTACH: case OP_ATTACH_AT: attached(world, step, reply->displaced); break;
	case OP_DETACH: detached(world, step); break;
	case OP_CLOSE_FDS: world_reopened(world, step->actor); break;
	case OP_MOVE: world->actor[step->actor].away = true; break;
	case OP_BECOME: world->actor[step->actor].user = (unsigned)step->arg[0]; break;
	case OP_CHMOD: case OP_CHOWN: case OP_REMOVE: case OP_LOCK: case OP_UNLOCK: {
		int segment = world_segment_of(world, step->actor, step->arg[0]);
		if (segment >= 0)
			update_segment(step, &world->segment[segment]);
		break;
	}
	}
}
