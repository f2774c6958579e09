/* SPDX-License-Identifier: MIT */
/*
 * Counting, so that the answer is the true number at one instant.
 *
 * Slots. Their words change at attach, detach and fork, never at death; a nonce makes each word
 * different from all before. So: read all words; see which have a lock; read all words again. If
 * they are the same, nothing came, and nothing went but by death, one hold after the other: the
 * number fell from what was attached at the first reading to what is at the second, and passed
 * what was found. If they are not, processes are busy. Then the words are first read until two
 * readings agree, which takes no time between: that is the instant. Who has the lock afterwards,
 * with the same word, was attached then; who has taken the number out of its word meanwhile, with
 * the same nonce, was, too; of who died without that being known from an earlier round, it cannot
 * be said: try again.
 *
 * Reader holds have no words. The whole range is asked for any lock, and then what is left of it on
 * both sides, from low places to high. Places rise with time, so whoever comes meanwhile is found
 * to the right of all that was asked: when the last part is found empty, at that instant all reader
 * holds are among those found. Those are asked for once more, if they are more than one; if all
 * are there, their number is exact.
 *
 * Both. The two numbers have to be of one instant. Readers are counted between the first reading
 * of the words and the look at the locks. When the words did not change, and no holder is found to
 * have died since, the slots were the same at the instant of the readers. Otherwise readers are
 * counted once more at the end: when they are the same ones, the readers were the same at the
 * instant of the slots. Places are never used twice.
 *
 * A lock that is wider than any of ours may hide others behind it, and many locks make the kernel
 * walk a long list for each question: in both cases its own list of locks is read.
 */
#include "census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handle.h"
#include "object_sys.h"
#include "reader.h"
#include "slot.h"
#include "sys.h"

enum { ROUNDS = 200 };

struct words {
	uint32_t used;
	uint32_t list[RECORD_SLOTS];
};

struct counting {
	struct unishm *seg;
	struct posix *p;
	struct lock_file file;
	uint64_t pin; /* place of locks in RAM that hold */
	unsigned long readers;
	uint64_t places; /* the sum of their places, which identifies them */
	unsigned others; /* locks found below those of readers */
	bool locked, hidden;
	bool use_list; /* there are locks that F_GETLK cannot tell apart, or too many */
	unsigned dead; /* slots whose word counts and which have no lock */
	struct words first, again, known_dead; /* of the last: 0 in those that are not */
	bool lives[RECORD_SLOTS];
};

static uint32_t count_in(uint32_t word)
{
	return word & SLOT_COUNT;
}

static bool is_own_slot(const struct counting *c, uint32_t index)
{
	return c->p->hold.taken && c->p->hold.index == index;
}

/* ---- Reader holds and locks in RAM ------------------------------------------------- */

struct ranges {
	size_t count, room;
	struct range *list, few[64];
};

static bool push(struct ranges *ranges, uint64_t first, uint64_t last)
{
	if (ranges->count == ranges->room) {
		bool on_heap = ranges->list != ranges->few;
		struct range *more = unishm_sys.realloc(on_heap ? ranges->list : NULL,
				2 * ranges->room * sizeof *more);
		if (!more)
			return false;
		if (!on_heap)
			memcpy(more, ranges->few, sizeof ranges->few);
		ranges->list = more;
		ranges->room *= 2;
	}
	ranges->list[ranges->count++] = (struct range){ first, last };
	return true;
}

static void begin(struct ranges *ranges)
{
	ranges->list = ranges->few;
	ranges->room = sizeof ranges->few / sizeof *ranges->few;
	ranges->count = 0;
}

static void end(struct ranges *ranges)
{
	if (ranges->list != ranges->few)
		free(ranges->list);
}

/* Note a lock. False: it is not one of this library's, or there are too many. */
static bool note_lock(struct counting *c, struct ranges *found, struct range lock)
{
	enum { MANY = 4096, MANY_OTHERS = 64 }; /* ours in RAM all have one place */
	if (lock.first <= c->pin && c->pin <= lock.last)
		c->locked = true;
	if (lock.last < PLACE_READERS)
		return ++c->others < MANY_OTHERS;
	if (lock.last - lock.first >= READERS_AT_ONCE)
		c->hidden = true;
	else
		c->readers += (unsigned long)(lock.last - lock.first + 1);
	c->places += lock.first;
	return push(found, lock.first, lock.last) && !c->hidden && found->count < MANY;
}

/* The ranges that are still to be asked for are on a stack, the lowest on top. */
static int find_readers(struct counting *c, struct ranges *ask, struct ranges *found)
{
	if (!push(ask, PLACE_PINS, PLACE_END))
		return -ENOMEM;
	while (ask->count > 0) {
		struct range part = ask->list[--ask->count], lock;
		int rc = ushp_lock_find(&c->file, part, false, &lock);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		c->use_list = !note_lock(c, found, lock);
		if (c->use_list)
			return 0;
		if (lock.last < part.last && !push(ask, lock.last + 1, part.last))
			return -ENOMEM;
		if (lock.first > part.first && !push(ask, part.first, lock.first - 1))
			return -ENOMEM;
	}
	return 0;
}

/* The kernel reports any lock within a range: so each byte is asked for. */
static int is_held(struct counting *c, struct range range)
{
	int rc = 1;
	for (uint64_t at = range.first; rc > 0 && at <= range.last; at++) {
		struct range lock;
		rc = ushp_lock_find(&c->file, (struct range){ at, at }, false, &lock);
	}
	return rc;
}

/* Are all locks that were found still held? One alone was, when it was found. */
static int are_still_there(struct counting *c, const struct ranges *found)
{
	int rc = 1;
	for (size_t i = 0; found->count > 1 && rc > 0 && i < found->count; i++)
		rc = is_held(c, found->list[i]);
	return rc;
}

/* Reader holds of this handle that F_GETLK on its descriptor does not report. */
static unsigned count_unseen(const struct unishm *seg)
{
	unsigned count = 0;
	for (unsigned i = 0; i < seg->attached; i++)
		count += ushp_reader_by_descriptor(&seg->attachments[i]);
	return count;
}

static int ask_readers_once(struct counting *c)
{
	struct ranges ask, found;
	begin(&ask);
	begin(&found);
	c->readers = count_unseen(c->seg);
	c->locked = c->hidden = c->use_list = false;
	c->others = 0;
	c->places = 0;
	int rc = find_readers(c, &ask, &found);
	if (rc == 0 && !c->use_list)
		rc = are_still_there(c, &found);
	end(&ask);
	end(&found);
	return rc;
}

/* The kernel's list also has locks that F_GETLK on the handle's descriptor does not report. */
static int read_list(struct counting *c)
{
	struct range pin = { c->pin, c->pin }, found;
	unsigned long count;
	int rc = ushp_lock_find(&c->file, pin, false, &found);
	if (rc < 0)
		return rc;
	c->locked = rc > 0;
	rc = ushp_sys_count_locks(c->p->object.dev, c->p->object.ino,
			(struct range){ PLACE_READERS, PLACE_END }, READERS_AT_ONCE, &count,
			&c->places);
	if (rc == 0) {
		c->readers = count;
		c->hidden = false;
	} else {
		c->hidden = true;
	}
	return 1;
}

/* 1: c->readers is their number at one instant; 0: they come and go too fast. */
static int ask_readers(struct counting *c)
{
	enum { TRIES = 20 };
	int rc = 0;
	c->use_list = false;
	for (unsigned i = 0; i < TRIES && rc == 0 && !c->use_list; i++)
		rc = ask_readers_once(c);
	if (rc == 0 && c->use_list)
		rc = read_list(c);
	return rc;
}

/* ---- Slots ----------------------------------------------------------------------------- */

static uint32_t bounded(uint32_t used)
{
	return used < RECORD_INLINE ? RECORD_INLINE : used > RECORD_SLOTS ? RECORD_SLOTS : used;
}

static int read_words(struct counting *c, struct words *words)
{
	enum { CHUNK = 64 };
	struct record_slot slots[CHUNK];
	uint32_t used;
	int rc = ushp_record_get(&c->p->object, RECORD_HEAD_FIELD(slots_used), &used, sizeof used);
	if (rc < 0)
		return rc;
	words->used = bounded(used);
	for (uint32_t at = 0; at < words->used; at += CHUNK) {
		uint32_t count = words->used - at < CHUNK ? words->used - at : CHUNK;
		rc = ushp_record_read_slots(&c->p->object, at, count, slots);
		if (rc < 0)
			return rc;
		for (uint32_t i = 0; i < count; i++)
			words->list[at + i] = slots[count - 1 - i].word;
	}
	return 0;
}

static int read_few_words(struct counting *c, struct words *words)
{
	struct record_tail tail;
	int rc = ushp_record_read_tail(&c->p->object, &tail);
	if (rc < 0)
		return rc;
	words->used = bounded(tail.head.slots_used);
	if (words->used > RECORD_INLINE)
		return read_words(c, words);
	for (uint32_t i = 0; i < RECORD_INLINE; i++)
		words->list[i] = tail_slot(&tail, i)->word;
	return 0;
}

static bool are_equal(const struct words *one, const struct words *other)
{
	return one->used == other->used &&
			memcmp(one->list, other->list, one->used * sizeof *one->list) == 0;
}

/* Read the words until two readings agree. */
static int read_stable(struct counting *c, struct words *words)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		int rc = read_few_words(c, words);
		if (rc == 0)
			rc = read_few_words(c, &c->again);
		if (rc < 0 || are_equal(words, &c->again))
			return rc;
	}
	return 0; /* then later readings will hardly agree either */
}

static int see_who_lives(struct counting *c)
{
	c->dead = 0;
	for (uint32_t i = 0; i < c->first.used; i++) {
		struct range found;
		if (count_in(c->first.list[i]) == 0 || is_own_slot(c, i))
			continue;
		uint64_t place = ushp_slot_place(i, c->first.list[i]);
		int rc = ushp_lock_find(&c->file, (struct range){ place, place }, true, &found);
		if (rc < 0)
			return rc;
		c->lives[i] = rc > 0;
		c->dead += rc == 0;
	}
	return 0;
}

/* The number attached when the words were read first. False: for some words this is not known. */
static bool add_up(struct counting *c, unsigned long *sum)
{
	bool certain = true;
	*sum = 0;
	for (uint32_t i = 0; i < c->first.used; i++) {
		uint32_t word = c->first.list[i], now = i < c->again.used ? c->again.list[i] : 0;
		if (count_in(word) == 0)
			continue;
		bool same_holder = (word ^ now) >> SLOT_NONCE_SHIFT == 0;
		if (is_own_slot(c, i))
			*sum += count_in(word);
		else if (same_holder && (c->lives[i] || count_in(word) != count_in(now)))
			*sum += count_in(word);
		else if (!same_holder || i >= c->known_dead.used || c->known_dead.list[i] != word)
			certain = false;
	}
	return certain;
}

/* Clear what is dead, or remember it. */
static void see_to_dead(struct counting *c, struct census *census)
{
	c->known_dead.used = c->dead > 0 ? c->first.used : 0;
	for (uint32_t i = 0; i < c->known_dead.used; i++) {
		uint32_t word = c->first.list[i];
		struct record_slot slot;
		c->known_dead.list[i] = 0;
		if (count_in(word) == 0 || is_own_slot(c, i) || c->lives[i])
			continue;
		c->known_dead.list[i] = word;
		if (c->p->object.writable && ushp_slot_clear(&c->p->object, i, word) > 0)
			continue; /* else a reader's lock may be in the way */
		if (ushp_record_read_slots(&c->p->object, i, 1, &slot) == 0 && slot.word == word &&
				slot.pid) {
			census->unrecorded = true;
			census->ended = (pid_t)slot.pid;
		}
	}
}

static void begin_counting(struct counting *c, struct unishm *seg, uint32_t epoch)
{
	c->seg = seg;
	c->p = posix_of(seg);
	c->file = ushp_object_locks(&c->p->object);
	c->pin = PLACE_PINS + epoch;
	c->dead = c->known_dead.used = 0;
}

/* Has no process died since the readers were counted, other than those known to be dead? */
static bool all_dead_are_known(const struct counting *c)
{
	for (uint32_t i = 0; c->dead > 0 && i < c->first.used; i++) {
		uint32_t word = c->first.list[i];
		bool known = i < c->known_dead.used && c->known_dead.list[i] == word;
		if (count_in(word) > 0 && !is_own_slot(c, i) && !c->lives[i] && !known)
			return false;
	}
	return true;
}

/* 1: the same readers are there as when they were counted. */
static int are_readers_the_same(struct counting *c)
{
	unsigned long readers = c->readers;
	uint64_t places = c->places;
	bool locked = c->locked;
	int rc = ask_readers(c);
	c->locked |= locked;
	return rc <= 0 ? rc : c->readers == readers && c->places == places;
}

/* 1: it is known which of the words in c->first are held, and the words are read again. */
static int look_at_slots(struct counting *c)
{
	int rc = see_who_lives(c);
	if (rc == 0)
		rc = read_few_words(c, &c->again);
	return rc < 0 ? rc : 1;
}

/* The number at the instant when the readers were counted. 1: that is known; 0: it is not. */
static int count_with_readers(struct counting *c, unsigned long *sum)
{
	int rc = read_few_words(c, &c->first);
	int settled = rc == 0 ? ask_readers(c) : rc;
	rc = settled < 0 ? settled : look_at_slots(c);
	if (rc < 0)
		return rc;
	add_up(c, sum);
	return settled && are_equal(&c->first, &c->again) && all_dead_are_known(c);
}

/* The number at the instant when the words were read. It is known also while they change. */
static int count_with_words(struct counting *c, unsigned long *sum)
{
	int settled = ask_readers(c);
	int rc = settled < 0 ? settled : read_stable(c, &c->first);
	if (rc == 0)
		rc = look_at_slots(c);
	if (rc < 0)
		return rc;
	return add_up(c, sum) && settled ? are_readers_the_same(c) : 0;
}

static int count_all(struct unishm *seg, uint32_t epoch, struct census *census, unsigned *dead)
{
	struct counting *c =
			unishm_sys.realloc(NULL, sizeof *c); /* large, and mostly not touched */
	int rc = c ? 0 : -ENOMEM;
	if (c)
		begin_counting(c, seg, epoch);
	for (unsigned round = 0; rc == 0 && round < ROUNDS; round++) {
		unsigned long sum = 0;
		rc = round % 2 == 0 ? count_with_readers(c, &sum) : count_with_words(c, &sum);
		if (rc < 0)
			break; /* what was not asked for is not set */
		census->attached = sum + c->readers;
		census->locked = c->locked;
		census->hidden = c->hidden;
		see_to_dead(c, census);
		*dead += c->dead;
	}
	census->unsettled = rc == 0;
	free(c);
	return rc < 0 ? rc : 0;
}

/* The common case is that no process is attached: no word counts, and one F_GETLK finds no lock. */
static int count_alone(struct unishm *seg, struct record_tail *tail, struct census *census)
{
	struct posix *p = posix_of(seg);
	struct lock_file file = ushp_object_locks(&p->object);
	struct range found;
	if (bounded(tail->head.slots_used) > RECORD_INLINE)
		return 0;
	for (uint32_t i = 0; i < RECORD_INLINE; i++)
		if (count_in(tail_slot(tail, i)->word) > 0 &&
				!(p->hold.taken && p->hold.index == i))
			return 0;
	int rc = ushp_lock_find(&file, (struct range){ PLACE_SLOTS, PLACE_END }, false, &found);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	census->attached = seg->attached;
	return 1;
}

int ushp_census(struct unishm *seg, struct record_tail *tail, struct census *census)
{
	struct posix *p = posix_of(seg);
	unsigned dead = 0;
	*census = (struct census){ 0 };
	int rc = count_alone(seg, tail, census);
	if (rc == 0)
		rc = count_all(seg, tail->head.lock_epoch, census, &dead);
	if (rc < 0)
		return rc;
	if (census->attached < seg->attached)
		census->attached = seg->attached; /* ours count, even if their locks were lost */
	if (dead == 0)
		return 0;
	return ushp_record_read_tail(&p->object, tail);
}
