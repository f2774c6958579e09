/* SPDX-License-Identifier: MIT */
/* The public calls: check the arguments, dispatch, keep the attachments. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "mapping.h"
#include "os.h"
#include "sys.h"

/* ---- Words for messages -------------------------------------------------- */

struct label {
	char text[64];
};

static struct label label_key(const struct unishm_backend *backend, key_t key)
{
	struct label label;
	if (key == UNISHM_PRIVATE)
		snprintf(label.text, sizeof label.text, "a private %s segment", backend->name);
	else
		snprintf(label.text, sizeof label.text, "the %s segment with key 0x%08lx",
				backend->name, (unsigned long)(uint32_t)key);
	return label;
}

static struct label label_of(const struct unishm *seg)
{
	struct label label;
	if (seg->key != UNISHM_PRIVATE)
		return label_key(seg->backend, seg->key);
	snprintf(label.text, sizeof label.text, "the private %s segment with id %d",
			seg->backend->name, seg->id);
	return label;
}

/* ---- Open and close ------------------------------------------------------ */

/* The struct of a program built against another version: take what both know.
 * A longer one is fine as long as what we do not know is unused. */
static int read_options(struct unishm_options *known, const struct unishm_options *given)
{
	size_t size = given->struct_size;
	const size_t most = 4096; /* whatever it grows to: what is larger was never set */
	if (size < offsetof(struct unishm_options, arg) + sizeof given->arg || size > most)
		return unishm_because(-EINVAL, "struct_size is %zu, which no version has; "
				"start from UNISHM_OPTIONS_INIT", size);
	for (size_t i = sizeof *known; i < size; i++)
		if (((const unsigned char *)given)[i])
			return unishm_because(-EINVAL, "the options hold a choice that this "
					"version of the library does not know; use a newer one");
	*known = (struct unishm_options)UNISHM_OPTIONS_INIT;
	memcpy(known, given, size < sizeof *known ? size : sizeof *known);
	known->oflag &= ~O_RDWR; /* users of shm_open() type it; rights come from the mode */
	return 0;
}

static int check_mode(mode_t mode)
{
	if (mode & ~(mode_t)0777)
		return unishm_because(-EINVAL, "mode 0%lo has more than the permission bits 0777",
				(unsigned long)mode);
	return 0;
}

static int check_options(const struct unishm_options *opt)
{
	if (opt->oflag != 0 && opt->oflag != O_CREAT && opt->oflag != (O_CREAT | O_EXCL))
		return unishm_because(-EINVAL, "oflag has the bits 0x%x; only O_CREAT, "
				"O_CREAT | O_EXCL and O_RDWR mean something here", (unsigned)opt->oflag);
	int rc = check_mode(opt->mode);
	if (rc < 0)
		return rc;
	if (opt->flags & ~(unsigned)(UNISHM_NORESERVE | UNISHM_HUGETLB | UNISHM_BY_ID))
		return unishm_because(-EINVAL, "unknown bits in flags 0x%x", opt->flags);
	if (!(opt->flags & UNISHM_BY_ID))
		return 0;
	if (opt->key != UNISHM_PRIVATE || opt->oflag != 0)
		return unishm_because(-EINVAL, "with UNISHM_BY_ID the key must be UNISHM_PRIVATE and oflag 0");
	return opt->id < 0 ? unishm_because(-EINVAL, "ids are not negative") : 0;
}

static struct unishm *new_handle(const struct unishm_backend *backend)
{
	struct unishm *seg = unishm_sys.calloc(1, offsetof(struct unishm, priv) + backend->priv_size);
	if (!seg)
		return NULL;
	seg->backend = backend;
	seg->attachments = seg->inline_room;
	seg->room = UNISHM_INLINE_ATTACHMENTS;
	unishm_mutex_init(&seg->lock);
	return seg;
}

void unishm_free_handle(struct unishm *seg)
{
	if (seg->attachments != seg->inline_room)
		free(seg->attachments);
	free(seg);
}

/* Open by @opt, or, when that is NULL, by @id. */
static int dispatch_open(struct unishm *seg, const struct unishm_options *opt, int id)
{
	int rc = unishm_hold_forks();
	if (rc < 0)
		return rc;
	if (opt)
		unishm_abandon_key(seg->backend, opt->key);
	unishm_set_opening(seg); /* whoever leaves an init callback for good leaves it, too */
	rc = opt ? seg->backend->open(seg, opt) : seg->backend->open_id(seg, id);
	unishm_set_opening(NULL);
	if (rc == 0)
		unishm_register(seg);
	unishm_release_forks();
	return unishm_answer_of_open(rc);
}

static int open_handle(struct unishm **out, const struct unishm_backend *backend,
		const struct unishm_options *opt, int id)
{
	struct unishm *seg = new_handle(backend);
	if (!seg)
		return -ENOMEM;
	int rc = dispatch_open(seg, opt, id);
	if (rc < 0)
		unishm_free_handle(seg);
	else
		*out = seg;
	return rc;
}

static int open_known(struct unishm **seg, const struct unishm_options *opt,
		const struct unishm_backend *backend)
{
	bool by_id = opt->flags & UNISHM_BY_ID;
	int rc = open_handle(seg, backend, by_id ? NULL : opt, opt->id);
	if (rc < 0 && by_id)
		unishm_fail(rc, "open the %s segment with id %d", backend->name, opt->id);
	else if (rc < 0)
		unishm_fail(rc, "%s %s", opt->oflag || opt->key == UNISHM_PRIVATE
				? "create" : "open", label_key(backend, opt->key).text);
	return rc;
}

static int open_with(struct unishm **seg, const struct unishm_options *opt)
{
	struct unishm_options known;
	const struct unishm_backend *backend;
	if (!seg || !opt)
		return unishm_fail(-EINVAL, "open a segment with a NULL argument");
	int rc = read_options(&known, opt);
	if (rc == 0)
		rc = check_options(&known);
	if (rc == 0)
		rc = unishm_find_backend(known.backend, &backend);
	return rc < 0 ? unishm_fail(rc, "open a segment") : open_known(seg, &known, backend);
}

int unishm_open_with(struct unishm **seg, const struct unishm_options *opt)
{
	unishm_begin();
	return unishm_end(open_with(seg, opt));
}

int unishm_open(struct unishm **seg, key_t key, int oflag, size_t size, mode_t mode)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.key = key;
	opt.oflag = oflag;
	opt.size = size;
	opt.mode = mode;
	return unishm_open_with(seg, &opt);
}

static int open_id(struct unishm **seg, int id)
{
	const struct unishm_backend *backend;
	if (!seg)
		return unishm_fail(-EINVAL, "open a segment with a NULL argument");
	int rc = unishm_find_backend(NULL, &backend);
	if (rc == 0 && id < 0)
		rc = unishm_because(-EINVAL, "ids are not negative");
	if (rc == 0)
		rc = open_handle(seg, backend, NULL, id);
	return rc < 0 ? unishm_fail(rc, "open the segment with id %d", id) : 0;
}

int unishm_open_id(struct unishm **seg, int id)
{
	unishm_begin();
	return unishm_end(open_id(seg, id));
}

/* Forks are held until the handle is in no list any more. */
static void close_handle(struct unishm *seg)
{
	if (unishm_hold_forks() < 0)
		return;
	if (unishm_enter(seg) == 0) {
		while (seg->attached) {
			seg->backend->detach(seg, &seg->attachments[seg->attached - 1]);
			seg->attached--;
		}
		seg->backend->close(seg);
		unishm_leave(seg);
	}
	unishm_unregister(seg);
	unishm_release_forks();
	unishm_free_handle(seg);
}

void unishm_close(struct unishm *seg)
{
	unishm_begin();
	if (seg)
		close_handle(seg);
	unishm_end(0);
}

/* ---- Attachments --------------------------------------------------------- */

static int make_room(struct unishm *seg)
{
	if (seg->attached < seg->room)
		return 0;
	struct unishm_attachment *old = seg->attachments == seg->inline_room ? NULL : seg->attachments;
	struct unishm_attachment *grown = unishm_sys.realloc(old, 2 * seg->room * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	if (!old)
		memcpy(grown, seg->inline_room, sizeof seg->inline_room);
	seg->attachments = grown;
	seg->room *= 2;
	return 0;
}

static int do_attach(struct unishm *seg, void *where, int flags, void **addr)
{
	int rc = make_room(seg);
	if (rc < 0)
		return rc;
	struct unishm_attachment *new = &seg->attachments[seg->attached];
	*new = (struct unishm_attachment){ 0 };
	rc = seg->backend->attach(seg, where, flags, new);
	if (rc < 0)
		return rc;
	seg->attached++;
	*addr = new->addr;
	return 0;
}

static void forget(struct unishm *seg, unsigned index)
{
	seg->attachments[index] = seg->attachments[--seg->attached];
}

static size_t whole_pages(size_t size)
{
	size_t page = unishm_os_page_size();
	return (size + page - 1) / page * page;
}

/* What a new attachment at @from has wholly replaced is attached no more. */
static void drop_displaced(struct unishm *all, const struct unishm *by, char *from)
{
	const char *to = from + whole_pages(by->size);
	for (struct unishm *seg = all; seg; seg = seg->next) {
		unsigned old = seg == by ? seg->attached - 1 : seg->attached;
		for (unsigned i = old; i-- > 0;) {
			char *addr = seg->attachments[i].addr;
			if (addr < from || addr + whole_pages(seg->size) > to)
				continue;
			if (seg->backend->displaced)
				seg->backend->displaced(seg, &seg->attachments[i]);
			forget(seg, i);
		}
	}
}

/* Whether bytes from @from up to @to, in attachment @old, are still what was attached. Where the
 * system does not tell, they are. Else the file's bytes at the right offsets have to be mapped
 * there; memory of the program's own has no file. */
static bool still_attached(const struct unishm_attachment *old, const char *from, const char *to)
{
	struct unishm_mapping found;
	while (from < to) {
		int rc = unishm_mapping_at(from, &found);
		if (rc == -ENOENT || (rc == 0 && found.start >= (uintptr_t)to))
			return false;
		if (rc < 0)
			return true;
		uint64_t into = found.start - (uintptr_t)old->addr;
		if ((found.dev_major || found.dev_minor || found.inode) && found.offset == into)
			return true;
		from += found.end - (uintptr_t)from;
	}
	return false;
}

/* Whether a new attachment from @from up to @to would replace a part of @old only. */
static bool is_cut(const struct unishm *seg, const struct unishm_attachment *old, char *from,
		char *to)
{
	char *start = old->addr, *end = start + whole_pages(seg->size);
	if (end <= from || start >= to || (start >= from && end <= to))
		return false;
	return still_attached(old, start > from ? start : from, end < to ? end : to);
}

static int check_displaced(const struct unishm *all, const struct unishm *by, char *at)
{
	char *to = at + whole_pages(by->size);
	for (const struct unishm *seg = all; seg; seg = seg->next) {
		if (seg->backend->occupies && seg->backend->occupies(seg, at, whole_pages(by->size)))
			return unishm_because(-EINVAL, "the library keeps something in that range; choose "
					"another address");
		for (unsigned i = 0; i < seg->attached; i++)
			if (is_cut(seg, &seg->attachments[i], at, to))
				return unishm_because(-EINVAL, "it would replace a part of the "
						"attachment of %s at %p; detach that first, or "
						"replace the whole", label_of(seg).text,
						seg->attachments[i].addr);
	}
	return 0;
}

static int check_attach_flags(int flags, int allowed)
{
	if (flags & ~allowed)
		return unishm_because(-EINVAL, "unknown bits in flags 0x%x", (unsigned)flags);
	return 0;
}

enum { MAP_FLAGS = UNISHM_RDONLY | UNISHM_EXEC | UNISHM_POPULATE };

static int attach(struct unishm *seg, int flags, void **addr)
{
	if (!seg || !addr)
		return unishm_fail(-EINVAL, "attach: an argument is NULL");
	void *got;
	int rc = check_attach_flags(flags, MAP_FLAGS);
	if (rc == 0)
		rc = unishm_enter(seg);
	if (rc == 0) {
		rc = do_attach(seg, NULL, flags, &got);
		unishm_leave(seg);
	}
	if (rc < 0)
		return unishm_fail(rc, "attach %s", label_of(seg).text);
	*addr = got;
	return 0;
}

int unishm_attach(struct unishm *seg, int flags, void **addr)
{
	unishm_begin();
	return unishm_end(attach(seg, flags, addr));
}

/* @where, rounded if asked for; NULL, with a reason given, if it will not do. */
static char *check_address(const struct unishm *seg, void *where, int flags)
{
	size_t granule = seg->backend->granularity();
	uintptr_t address = (uintptr_t)where;
	if (flags & UNISHM_RND)
		address -= address % granule;
	if (address % granule != 0)
		unishm_because(-EINVAL, "the address %p is not a multiple of %zu; use UNISHM_RND",
				where, granule);
	else if (address == 0)
		unishm_because(-EINVAL, "the address is NULL or rounds down to it; "
				"unishm_attach() takes any that is free");
	else if (address + seg->size < address)
		unishm_because(-EINVAL, "%zu bytes from %p on are more than the address space",
				seg->size, where);
	else
		return (char *)where - ((uintptr_t)where - address);
	return NULL;
}

/* Nothing of another attachment may be replaced but the whole: the system would let a later
 * detach of the one take away the other. */
static int attach_over(struct unishm *seg, char *at, int flags, void **got)
{
	struct unishm *all;
	int rc = unishm_enter_all(&all);
	if (rc < 0)
		return rc;
	rc = check_displaced(all, seg, at);
	if (rc == 0)
		rc = do_attach(seg, at, flags, got);
	if (rc == 0)
		drop_displaced(all, seg, at);
	unishm_leave_all();
	return rc;
}

static int attach_beside(struct unishm *seg, char *at, int flags, void **got)
{
	int rc = unishm_enter(seg);
	if (rc < 0)
		return rc;
	rc = do_attach(seg, at, flags, got);
	unishm_leave(seg);
	return rc;
}

static int attach_at(struct unishm *seg, void *where, int flags, void **addr)
{
	if (!seg || !addr)
		return unishm_fail(-EINVAL, "attach: an argument is NULL");
	void *got;
	char *at = NULL;
	int rc = check_attach_flags(flags, MAP_FLAGS | UNISHM_RND | UNISHM_REMAP);
	if (rc == 0 && !(at = check_address(seg, where, flags)))
		rc = -EINVAL;
	if (rc == 0)
		rc = (flags & UNISHM_REMAP ? attach_over : attach_beside)(seg, at, flags, &got);
	if (rc < 0)
		return unishm_fail(rc, "attach %s at %p", label_of(seg).text, where);
	*addr = got;
	return 0;
}

int unishm_attach_at(struct unishm *seg, void *where, int flags, void **addr)
{
	unishm_begin();
	return unishm_end(attach_at(seg, where, flags, addr));
}

/* Which attachment @addr names; -EINVAL if none, or not just one. */
static int find_attachment(const struct unishm *seg, const void *addr)
{
	if (!addr && seg->attached == 1)
		return 0;
	if (!addr)
		return unishm_because(-EINVAL, "this handle has %u attachments; name the address",
				seg->attached);
	for (unsigned i = seg->attached; i-- > 0;)
		if (seg->attachments[i].addr == addr)
			return (int)i;
	return unishm_because(-EINVAL, "no attachment of this handle starts at %p", addr);
}

static int detach(struct unishm *seg, const void *addr)
{
	int rc = find_attachment(seg, addr);
	if (rc < 0)
		return rc;
	unsigned index = (unsigned)rc;
	rc = seg->backend->detach(seg, &seg->attachments[index]);
	if (rc == 0)
		forget(seg, index);
	return rc;
}

/* Run @call, which is about @seg, with the handle locked. */
#define LOCKED(seg, words, call)                                                  \
	do {                                                                      \
		unishm_begin();                                                   \
		int rc_ = (seg) ? unishm_enter(seg) : -EINVAL;                    \
		if (rc_ == 0) {                                                   \
			rc_ = (call);                                             \
			unishm_leave(seg);                                        \
		}                                                                 \
		if (!(seg))                                                       \
			unishm_fail(rc_, words ": the handle is NULL");           \
		else if (rc_ < 0)                                                 \
			unishm_fail(rc_, words " %s", label_of(seg).text);        \
		return unishm_end(rc_);                                           \
	} while (0)

int unishm_detach(struct unishm *seg, const void *addr)
{
	LOCKED(seg, "detach", detach(seg, addr));
}

/* ---- Changing, removing, asking ------------------------------------------ */

int unishm_remove(struct unishm *seg)
{
	LOCKED(seg, "remove", seg->backend->remove(seg));
}

int unishm_lock(struct unishm *seg)
{
	LOCKED(seg, "lock", seg->backend->lock(seg));
}

int unishm_unlock(struct unishm *seg)
{
	LOCKED(seg, "unlock", seg->backend->unlock(seg));
}

static int checked_chmod(struct unishm *seg, mode_t mode)
{
	int rc = check_mode(mode);
	return rc < 0 ? rc : seg->backend->chmod(seg, mode);
}

int unishm_chmod(struct unishm *seg, mode_t mode)
{
	LOCKED(seg, "change the mode of", checked_chmod(seg, mode));
}

int unishm_chown(struct unishm *seg, uid_t user, gid_t group)
{
	LOCKED(seg, "change the owner of", seg->backend->chown(seg, user, group));
}

static int checked_status(struct unishm *seg, struct unishm_status *st)
{
	struct unishm_status fresh = { .backend = seg->backend->name, .id = seg->id, .size = seg->size };
	if (!st)
		return unishm_because(-EINVAL, "the place for it is NULL");
	int rc = seg->backend->status(seg, &fresh);
	if (rc == 0)
		*st = fresh;
	return rc;
}

int unishm_status(struct unishm *seg, struct unishm_status *st)
{
	LOCKED(seg, "tell the status of", checked_status(seg, st));
}

/* What the callback returned is its own affair, also when negative: wrap it to tell it from a
 * failure of the listing. */
struct visitor {
	int (*visit)(const struct unishm_status *st, void *arg);
	void *arg;
	int result;
};

static int call_visitor(const struct unishm_status *st, void *arg)
{
	struct visitor *visitor = arg;
	if (visitor->visit)
		visitor->result = unishm_call_visit(visitor->visit, st, visitor->arg);
	return visitor->result;
}

static int list(const char *name, int (*visit)(const struct unishm_status *, void *), void *arg)
{
	const struct unishm_backend *backend;
	struct visitor visitor = { visit, arg, 0 };
	if (!visit)
		return unishm_fail(-EINVAL, "list segments: the callback is NULL");
	int rc = unishm_find_backend(name, &backend);
	if (rc < 0)
		return unishm_fail(rc, "list segments");
	rc = backend->list(call_visitor, &visitor);
	if (visitor.result)
		return visitor.result;
	return rc < 0 ? unishm_fail(rc, "list the %s segments", backend->name) : 0;
}

int unishm_list(const char *name, int (*visit)(const struct unishm_status *, void *), void *arg)
{
	unishm_begin();
	return unishm_end(list(name, visit, arg));
}

static int sweep(const char *name, int flags,
		int (*visit)(const struct unishm_status *, void *), void *arg)
{
	const struct unishm_backend *backend;
	struct visitor visitor = { visit, arg, 0 };
	int rc = unishm_find_backend(name, &backend);
	if (rc == 0 && flags & ~UNISHM_SWEEP_DRY)
		rc = unishm_because(-EINVAL, "unknown bits in flags 0x%x", (unsigned)flags);
	if (rc < 0)
		return unishm_fail(rc, "sweep unfinished segments");
	if (backend->sweep)
		rc = backend->sweep(flags, call_visitor, &visitor);
	if (visitor.result)
		return visitor.result;
	return rc < 0 ? unishm_fail(rc, "sweep unfinished %s segments", backend->name) : 0;
}

int unishm_sweep(const char *name, int flags,
		int (*visit)(const struct unishm_status *, void *), void *arg)
{
	unishm_begin();
	return unishm_end(sweep(name, flags, visit, arg));
}

size_t unishm_size(const struct unishm *seg)
{
	return seg ? seg->size : 0;
}

key_t unishm_key(const struct unishm *seg)
{
	return seg ? seg->key : UNISHM_PRIVATE;
}

int unishm_id(const struct unishm *seg)
{
	return seg ? seg->id : -1;
}

const char *unishm_backend(const struct unishm *seg)
{
	return seg ? seg->backend->name : NULL;
}

bool unishm_created(const struct unishm *seg)
{
	return seg && seg->created;
}

const char *unishm_version(void)
{
	return UNISHM_VERSION;
}
