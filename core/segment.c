/* SPDX-License-Identifier: MIT */
/* The public calls on segments: check the arguments, dispatch. attachment.c has those on
 * attachments. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "enter.h"
#include "sys.h"

/* ---- Open and close ------------------------------------------------------ */

/* The struct may be of a program built against another version. Members that both versions know are
 * copied. A longer struct is accepted if the unknown members are 0. */
static int read_options(struct unishm_options *known, const struct unishm_options *given)
{
	size_t size = given->struct_size;
	const size_t most = 4096; /* more than any version has */
	if (size < offsetof(struct unishm_options, arg) + sizeof given->arg || size > most)
		return unishm_because(-EINVAL,
				"struct_size is %zu, which no version has; "
				"start from UNISHM_OPTIONS_INIT",
				size);
	for (size_t i = sizeof *known; i < size; i++)
		if (((const unsigned char *)given)[i])
			return unishm_because(-EINVAL,
					"the options hold a choice that this version of the "
					"library does not know; use a newer one");
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

static int check_attach_request(const struct unishm_options *opt)
{
	if (!opt->attach && (opt->attach_at || opt->attach_flags))
		return unishm_because(-EINVAL, "attach is NULL, so the others of attach must be 0");
	return opt->attach ? unishm_check_attach_flags(opt->attach_flags, opt->attach_at) : 0;
}

static int check_options(const struct unishm_options *opt)
{
	if (opt->oflag != 0 && opt->oflag != O_CREAT && opt->oflag != (O_CREAT | O_EXCL))
		return unishm_because(-EINVAL,
				"oflag has the bits 0x%x; only O_CREAT, "
				"O_CREAT | O_EXCL and O_RDWR mean something here",
				(unsigned)opt->oflag);
	int rc = check_mode(opt->mode);
	if (rc < 0)
		return rc;
	if (opt->flags & ~(unsigned)(UNISHM_NORESERVE | UNISHM_HUGETLB | UNISHM_BY_ID))
		return unishm_because(-EINVAL, "unknown bits in flags 0x%x", opt->flags);
	rc = check_attach_request(opt);
	if (rc < 0 || !(opt->flags & UNISHM_BY_ID))
		return rc;
	if (opt->key != UNISHM_PRIVATE || opt->oflag != 0)
		return unishm_because(-EINVAL,
				"with UNISHM_BY_ID the key must be UNISHM_PRIVATE and oflag 0");
	return opt->id < 0 ? unishm_because(-EINVAL, "ids are not negative") : 0;
}

static struct unishm *new_handle(const struct unishm_backend *backend)
{
	size_t size = offsetof(struct unishm, priv) + backend->priv_size;
	struct unishm *seg = unishm_sys.realloc(NULL, size); /* faster than calloc() of glibc */
	if (!seg)
		return NULL;
	memset(seg, 0, size);
	seg->backend = backend;
	seg->attachments = seg->inline_room;
	seg->room = UNISHM_INLINE_ATTACHMENTS;
	unishm_mutex_init(&seg->lock);
	return seg;
}

/* When the library is loaded, with the first number that programs may have: so our fork handlers
 * are registered before the program's, and run the last before a fork and the first after it. Here,
 * since a program that is linked statically needs this file in any case. */
__attribute__((constructor(101))) static void set_up_early(void)
{
	unishm_set_up();
}

/* The system chooses ids, so the advice to create the segment would not help. */
static int because_no_id(int rc)
{
	if (rc != -ENOENT || unishm_has_reason(rc))
		return rc;
	return unishm_because(rc, "there is none; check id and backend, or open it by its key");
}

struct opening {
	struct unishm *seg;
	void *addr;
	bool opened; /* what failed comes after that */
};

static int change(struct unishm *seg, int (*member)(struct unishm *seg))
{
	int rc = unishm_ready(seg);
	return rc < 0 ? rc : member(seg);
}

/* The handle is known already: a signal handler may fork. */
static int attach_opened(const struct unishm_own *own, struct unishm *seg,
		const struct unishm_options *opt, void **addr)
{
	unishm_lock_handle(own, seg);
	int rc = unishm_attach_opened(seg, opt->attach_flags, addr);
	unishm_unlock_handle(seg);
	return rc;
}

/* Open by @opt; and when that is @by_id, by @opt->id. */
static int dispatch_open(struct unishm_own *own, struct unishm *seg,
		const struct unishm_options *opt, struct opening *state)
{
	bool by_id = opt->flags & UNISHM_BY_ID;
	int rc = unishm_hold(own);
	if (rc < 0)
		return rc;
	if (!by_id)
		unishm_abandon_key(seg->backend, opt->key);
	own->opening = seg; /* whoever leaves an init callback for good leaves it, too */
	rc = by_id ? seg->backend->open_id(seg, opt->id) : seg->backend->open(seg, opt);
	own->opening = NULL;
	state->opened = rc == 0;
	if (rc == 0)
		unishm_register(seg);
	if (rc == 0 && opt->attach && !opt->attach_at)
		rc = attach_opened(own, seg, opt, &state->addr);
	unishm_release(own);
	if (state->opened)
		return rc;
	rc = unishm_answer_of_open(rc);
	return by_id ? because_no_id(rc) : rc;
}

static void close_handle(const struct unishm_own *own, struct unishm *seg);

/* No process can open a private segment that was just made but by guessing its id. One that has a
 * key may be open elsewhere by now, and stays, as after two calls. */
static void undo_open(const struct unishm_own *own, struct unishm *seg)
{
	if (seg->created && seg->key == UNISHM_PRIVATE && unishm_enter(own, seg) == 0) {
		change(seg, seg->backend->remove);
		unishm_settle(seg);
		unishm_leave(own, seg);
	}
	close_handle(own, seg);
}

/* When it fails and leaves a handle in @state, that is to be undone. */
static int open_handle(struct unishm_own *own, const struct unishm_backend *backend,
		const struct unishm_options *opt, struct opening *state)
{
	state->seg = new_handle(backend);
	if (!state->seg)
		return -ENOMEM;
	int rc = dispatch_open(own, state->seg, opt, state);
	if (rc < 0 && !state->opened) {
		unishm_free_handle(state->seg);
		state->seg = NULL;
	}
	if (rc == 0 && opt->attach_at)
		rc = unishm_attach_placed(state->seg, opt->attach_at, opt->attach_flags,
				&state->addr);
	return rc;
}

static const char *step_of(const struct unishm_options *opt, const struct opening *state)
{
	bool existing = opt->flags & UNISHM_BY_ID || (!opt->oflag && opt->key != UNISHM_PRIVATE);
	return state->opened ? "attach" : existing ? "open" : "create";
}

static int open_known(struct unishm **seg, const struct unishm_options *opt,
		const struct unishm_backend *backend)
{
	struct unishm_own *own = &unishm_own;
	struct opening state = { NULL, NULL, false };
	int rc = open_handle(own, backend, opt, &state);
	if (rc < 0 && opt->flags & UNISHM_BY_ID)
		unishm_fail(rc, "%s the %s segment with id %d", step_of(opt, &state), backend->name,
				opt->id);
	else if (rc < 0)
		unishm_fail(rc, "%s %s", step_of(opt, &state),
				unishm_label_key(backend, opt->key).text);
	if (rc < 0 && state.seg) /* after the sentence, whose reason it might replace */
		undo_open(own, state.seg);
	if (rc < 0)
		return rc;
	*seg = state.seg;
	if (opt->attach)
		*opt->attach = state.addr;
	return 0;
}

static int open_with(struct unishm **seg, const struct unishm_options *opt)
{
	struct unishm_options known;
	const struct unishm_backend *backend;
	if (!seg || !opt)
		return unishm_fail(unishm_because(-EINVAL, "an argument is NULL"),
				"open a segment");
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
	struct unishm_options opt = { .flags = UNISHM_BY_ID, .id = id };
	const struct unishm_backend *backend;
	struct opening state = { NULL, NULL, false };
	if (!seg)
		return unishm_fail(unishm_because(-EINVAL, "an argument is NULL"),
				"open a segment");
	int rc = unishm_find_backend(NULL, &backend);
	if (rc == 0 && id < 0)
		rc = unishm_because(-EINVAL, "ids are not negative");
	if (rc == 0)
		rc = open_handle(&unishm_own, backend, &opt, &state);
	if (rc < 0)
		return unishm_fail(rc, "open the segment with id %d", id);
	*seg = state.seg;
	return 0;
}

int unishm_open_id(struct unishm **seg, int id)
{
	unishm_begin();
	return unishm_end(open_id(seg, id));
}

/* Forks are held until the handle is in no list any more. */
static void close_handle(const struct unishm_own *own, struct unishm *seg)
{
	if (unishm_enter(own, seg) < 0)
		return;
	if (seg->attached)
		unishm_ready(seg);
	while (seg->attached) {
		seg->backend->detach(seg, &seg->attachments[seg->attached - 1]);
		seg->attached--;
	}
	seg->backend->close(seg);
	unishm_unlock_handle(seg);
	unishm_unregister(seg);
	unishm_release(own);
	unishm_free_handle(seg);
}

int unishm_open_beneath(struct unishm **out, const struct unishm_backend *backend,
		int (*open)(struct unishm *seg, void *arg), void *arg)
{
	struct unishm *seg = new_handle(backend);
	if (!seg)
		return -ENOMEM;
	seg->beneath = true;
	int rc = open(seg, arg);
	if (rc < 0) {
		unishm_free_handle(seg);
		return rc;
	}
	unishm_register(seg);
	*out = seg;
	return 0;
}

void unishm_close_beneath(struct unishm *seg)
{
	close_handle(&unishm_own, seg);
}

void unishm_close(struct unishm *seg)
{
	if (!seg)
		return;
	struct unishm_call call = unishm_begin_call(seg);
	close_handle(call.own, seg);
	unishm_end_call(&call, 0);
}

/* ---- Changing, removing, asking ------------------------------------------ */

static int remove_or_be_refused(struct unishm *seg)
{
	UNISHM_LOCKED(seg, "remove", change(seg, seg->backend->remove));
}

/* A backend waits a tenth of a second for another remover, which on a busy machine may not run for
 * longer. In between forks and other calls can go on. */
int unishm_remove(struct unishm *seg)
{
	enum { TRIES = 20 };
	int rc = -EBUSY;
	for (unsigned i = 0; i < TRIES && rc == -EBUSY; i++)
		rc = remove_or_be_refused(seg);
	return rc;
}

int unishm_lock(struct unishm *seg)
{
	UNISHM_LOCKED(seg, "lock", change(seg, seg->backend->lock));
}

int unishm_unlock(struct unishm *seg)
{
	UNISHM_LOCKED(seg, "unlock", change(seg, seg->backend->unlock));
}

static int checked_chmod(struct unishm *seg, mode_t mode)
{
	int rc = check_mode(mode);
	if (rc == 0)
		rc = unishm_ready(seg);
	return rc < 0 ? rc : seg->backend->chmod(seg, mode);
}

int unishm_chmod(struct unishm *seg, mode_t mode)
{
	UNISHM_LOCKED(seg, "change the mode of", checked_chmod(seg, mode));
}

static int checked_chown(struct unishm *seg, uid_t user, gid_t group)
{
	int rc = unishm_ready(seg);
	return rc < 0 ? rc : seg->backend->chown(seg, user, group);
}

int unishm_chown(struct unishm *seg, uid_t user, gid_t group)
{
	UNISHM_LOCKED(seg, "change the owner of", checked_chown(seg, user, group));
}

static int checked_status(struct unishm *seg, struct unishm_status *st)
{
	static const struct unishm_status blank;
	struct unishm_status fresh = blank; /* a copy is faster than to zero it */
	if (!st)
		return unishm_because(-EINVAL, "the place for it is NULL");
	fresh.backend = seg->backend->name;
	fresh.id = seg->id;
	fresh.size = seg->size;
	int rc = unishm_ready(seg);
	if (rc == 0)
		rc = seg->backend->status(seg, &fresh);
	if (rc == 0)
		*st = fresh;
	return rc;
}

int unishm_status(struct unishm *seg, struct unishm_status *st)
{
	UNISHM_LOCKED(seg, "tell the status of", checked_status(seg, st));
}

/* The callback may return any number, also a negative one. It is wrapped, to tell it from an error
 * of the backend. */
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
		return unishm_fail(unishm_because(-EINVAL, "the callback is NULL"),
				"list segments");
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

static int sweep(const char *name, int flags, int (*visit)(const struct unishm_status *, void *),
		void *arg)
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

int unishm_sweep(const char *name, int flags, int (*visit)(const struct unishm_status *, void *),
		void *arg)
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
