/* SPDX-License-Identifier: MIT */
#include "shim.h"

#include <errno.h>
#include <stdlib.h>

#include "posix/by_id.h"
#include "posix/entries.h"
#include "posix/handle.h"
#include "sys.h"

extern const struct unishm_backend unishm_posix_backend;

enum {
	BUCKETS = 1024,
	MOST_IDLE = 8,
	LARGE = 16 << 20, /* an idle handle keeps a destroyed segment's memory: not that much */
};

/* An attachment of this process. */
struct attachment {
	struct attachment *next;
	void *addr;
	struct shim_segment *segment;
};

static struct unishm_mutex guard = UNISHM_MUTEX_INIT; /* of all that follows */
static struct shim_segment *segments[BUCKETS];
static struct attachment *attachments[BUCKETS];
static unsigned idle;
static uint64_t clock_of_uses;
static atomic_bool used; /* something was attached */

static struct shim_segment **bucket_of_id(int id)
{
	return &segments[(unsigned)id % BUCKETS];
}

static struct attachment **bucket_of_addr(const void *addr)
{
	return &attachments[(uintptr_t)addr / 4096 % BUCKETS];
}

/* ---- Handles ---------------------------------------------------------------------- */

/* A lock in RAM ends with the handle. */
static bool is_idle(const struct shim_segment *segment)
{
	return segment->uses == 0 && segment->attached == 0 && !posix_of(segment->seg)->pin.addr;
}

static struct shim_segment *find(int id)
{
	struct shim_segment *segment = *bucket_of_id(id);
	while (segment && segment->seg->id != id)
		segment = segment->next;
	return segment;
}

/* As it was at the end of its use, or when longest_idle() last saw it: a child has no lock in RAM,
 * and finds handles idle that nothing has counted. */
static void count_as_idle(struct shim_segment *segment, bool is)
{
	idle += is;
	idle -= segment->idle;
	segment->idle = is;
}

static void begin_use(struct shim_segment *segment)
{
	count_as_idle(segment, false);
	segment->uses++;
}

/* Take it off the table; it is idle. Closed after the lock is given up, with those that @next leads
 * to. */
static void take_out(struct shim_segment *segment)
{
	count_as_idle(segment, false);
	struct shim_segment **at = bucket_of_id(segment->seg->id);
	while (*at != segment)
		at = &(*at)->next;
	*at = segment->next;
	segment->next = NULL;
	ushs_forget(segment->seg);
}

static void close_segments(struct shim_segment *segment)
{
	while (segment) {
		struct shim_segment *next = segment->next;
		unishm_close_beneath(segment->seg);
		free(segment);
		segment = next;
	}
}

/* All are counted as they are now. NULL: none is idle. */
static struct shim_segment *longest_idle(void)
{
	struct shim_segment *found = NULL;
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct shim_segment *at = segments[i]; at; at = at->next) {
			count_as_idle(at, is_idle(at));
			if (at->idle && (!found || at->last_use < found->last_use))
				found = at;
		}
	return found;
}

/* More than one only in a child, which has those that its parent had locked. */
static struct shim_segment *take_out_excess(void)
{
	struct shim_segment *taken = NULL, *oldest;
	while (idle > MOST_IDLE && (oldest = longest_idle())) {
		take_out(oldest);
		oldest->next = taken;
		taken = oldest;
	}
	return taken;
}

/* The table is locked. Returns what is to be closed after that; NULL: nothing. */
static struct shim_segment *end_use(struct shim_segment *segment)
{
	segment->uses--;
	bool ends = is_idle(segment);
	if (ends && (posix_of(segment->seg)->gone || segment->seg->size > LARGE)) {
		take_out(segment);
		return segment;
	}
	ushs_remember(segment->seg); /* its descriptor may be another one than before */
	if (!ends)
		return NULL;
	segment->last_use = ++clock_of_uses;
	count_as_idle(segment, true);
	return take_out_excess();
}

void ushs_leave(struct shim_segment *segment)
{
	unishm_mutex_lock(&guard);
	struct shim_segment *closed = end_use(segment);
	unishm_mutex_unlock(&guard);
	close_segments(closed);
}

/* @fresh becomes the one for its segment, unless there is one. */
static struct shim_segment *insert(struct shim_segment *fresh)
{
	struct shim_segment **bucket = bucket_of_id(fresh->seg->id);
	unishm_mutex_lock(&guard);
	struct shim_segment *segment = find(fresh->seg->id);
	if (segment && posix_of(segment->seg)->object.ino != posix_of(fresh->seg)->object.ino)
		segment = NULL; /* the other is destroyed, and inodes were counted once around */
	if (!segment) {
		segment = fresh;
		fresh->next = *bucket;
		*bucket = fresh;
		fresh->uses = 1;
	} else {
		begin_use(segment);
	}
	unishm_mutex_unlock(&guard);
	return segment;
}

int ushs_use_opened(struct unishm *seg, struct shim_segment **out)
{
	struct shim_segment *fresh = unishm_sys.calloc(1, sizeof *fresh);
	if (!fresh) {
		unishm_close_beneath(seg);
		return -ENOMEM;
	}
	fresh->seg = seg;
	*out = insert(fresh);
	if (*out != fresh)
		close_segments(fresh);
	return 0;
}

static bool close_idle(void)
{
	bool any = false;
	for (;;) {
		unishm_mutex_lock(&guard);
		struct shim_segment *segment = longest_idle();
		if (segment)
			take_out(segment);
		unishm_mutex_unlock(&guard);
		if (!segment)
			return any;
		close_segments(segment);
		any = true;
	}
}

int ushs_open(struct unishm **seg, int (*open)(struct unishm *seg, void *arg), void *arg)
{
	int rc = unishm_open_beneath(seg, &unishm_posix_backend, open, arg);
	if ((rc == -EMFILE || rc == -ENFILE) && close_idle())
		rc = unishm_open_beneath(seg, &unishm_posix_backend, open, arg);
	return rc;
}

static int open_by_id(struct unishm *seg, void *arg)
{
	return ushp_open_by_id(seg, *(int *)arg);
}

static int open_as_owner(struct unishm *seg, void *arg)
{
	char name[OBJECT_NAME_MAX];
	ushp_name_of_private(*(int *)arg, name);
	int rc = ushp_open_as_owner(seg, name);
	if (rc == -ENOENT) {
		ushp_name_of_removed(*(int *)arg, name);
		rc = ushp_open_as_owner(seg, name);
	}
	return rc;
}

static int use(int id, int (*open)(struct unishm *seg, void *arg), struct shim_segment **out)
{
	struct unishm *seg;
	unishm_mutex_lock(&guard);
	*out = find(id);
	if (*out)
		begin_use(*out);
	unishm_mutex_unlock(&guard);
	if (*out)
		return 0;
	int rc = ushs_open(&seg, open, &id);
	return rc < 0 ? rc : ushs_use_opened(seg, out);
}

int ushs_use(int id, struct shim_segment **out)
{
	return use(id, open_by_id, out);
}

int ushs_use_as_owner(int id, struct shim_segment **out)
{
	int rc = use(id, open_by_id, out);
	if (rc == -EACCES)
		rc = use(id, open_as_owner, out);
	return rc == -EACCES ? -EPERM : rc;
}

/* ---- Handles that nothing needs ----------------------------------------------------- */

static bool is_destroyed(struct unishm *seg)
{
	const struct object *object = &posix_of(seg)->object;
	struct stat st;
	return posix_of(seg)->gone || (ushp_object_check(object, &st) == 0 && st.st_nlink == 0);
}

static struct shim_segment *take_destroyed(void)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct shim_segment *at = segments[i]; at; at = at->next) {
			if (!is_idle(at) || !is_destroyed(at->seg))
				continue;
			take_out(at);
			return at;
		}
	return NULL;
}

void ushs_let_go_of_destroyed(void)
{
	struct shim_segment *segment;
	do {
		unishm_mutex_lock(&guard);
		segment = take_destroyed();
		unishm_mutex_unlock(&guard);
		close_segments(segment);
	} while (segment);
}

/* ---- Attachments ----------------------------------------------------------------------- */

static struct attachment *take_from_bucket(const void *addr)
{
	struct attachment **at = bucket_of_addr(addr);
	while (*at && (*at)->addr != addr)
		at = &(*at)->next;
	struct attachment *found = *at;
	if (found)
		*at = found->next;
	return found;
}

/* Its segment, with a use in place of the attachment. */
static struct shim_segment *use_instead(struct attachment *attachment)
{
	struct shim_segment *segment = attachment->segment;
	segment->uses++;
	segment->attached--;
	free(attachment);
	return segment;
}

struct shim_segment *ushs_take_attachment(const void *addr)
{
	unishm_mutex_lock(&guard);
	struct attachment *found = take_from_bucket(addr);
	struct shim_segment *segment = found ? use_instead(found) : NULL;
	unishm_mutex_unlock(&guard);
	return segment;
}

/* The first attachment that begins in [@from, @to); the table is locked. */
static struct attachment *take_in_range(const char *from, const char *to)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct attachment *at = attachments[i]; at; at = at->next)
			if ((char *)at->addr >= from && (char *)at->addr < to)
				return take_from_bucket(at->addr);
	return NULL;
}

/* Forget what was attached there before. @at_large: anywhere in the range; else at its start. */
static bool forget_replaced(char *from, size_t size, bool at_large)
{
	bool any = false;
	for (;;) {
		struct shim_segment *closed = NULL;
		unishm_mutex_lock(&guard);
		struct attachment *old = at_large ? take_in_range(from, from + size)
				: take_from_bucket(from);
		if (old)
			closed = end_use(use_instead(old));
		unishm_mutex_unlock(&guard);
		close_segments(closed);
		if (!old)
			return any;
		any = true;
	}
}

int ushs_note_attachment(struct shim_segment *segment, void *addr, bool replaced)
{
	struct attachment *new = unishm_sys.calloc(1, sizeof *new);
	if (!new)
		return -ENOMEM;
	if (forget_replaced(addr, segment->seg->size, replaced) && !replaced)
		unishm_drop_displaced(segment->seg);
	new->addr = addr;
	new->segment = segment;
	unishm_mutex_lock(&guard);
	new->next = *bucket_of_addr(addr);
	*bucket_of_addr(addr) = new;
	segment->attached++;
	unishm_mutex_unlock(&guard);
	atomic_store(&used, true);
	return 0;
}

void ushs_move_attachment(struct shim_segment *segment, void *from, void *to)
{
	unishm_mutex_lock(&guard);
	struct attachment *found = take_from_bucket(from);
	if (found && to) {
		found->addr = to;
		found->next = *bucket_of_addr(to);
		*bucket_of_addr(to) = found;
	} else if (found) {
		segment->attached--;
		free(found);
	}
	unishm_mutex_unlock(&guard);
}

struct shim_segment *ushs_use_attached(int id)
{
	unishm_mutex_lock(&guard);
	struct shim_segment *segment = find(id);
	if (segment && segment->attached)
		begin_use(segment);
	else
		segment = NULL;
	unishm_mutex_unlock(&guard);
	return segment;
}

struct shim_segment *ushs_use_next_attached(int id)
{
	struct shim_segment *next = NULL;
	unishm_mutex_lock(&guard);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct shim_segment *at = segments[i]; at; at = at->next)
			if (at->attached && at->seg->id > id &&
					(!next || at->seg->id < next->seg->id))
				next = at;
	if (next)
		begin_use(next);
	unishm_mutex_unlock(&guard);
	return next;
}

/* ---- At exit ---------------------------------------------------------------------------- */

/* What others are at goes on; then the rest is for whoever looks next. */
static void leave(struct unishm *seg)
{
	if (!unishm_mutex_try(&seg->lock))
		return;
	if (!posix_of(seg)->gone)
		ushp_by_id_leave(seg);
	unishm_mutex_unlock(&seg->lock);
}

bool ushs_was_used(void)
{
	return atomic_load(&used);
}

void ushs_leave_all(void)
{
	if (!unishm_mutex_try(&guard))
		return;
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct shim_segment *at = segments[i]; at; at = at->next)
			if (at->attached)
				leave(at->seg);
	unishm_mutex_unlock(&guard);
}
