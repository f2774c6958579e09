/* SPDX-License-Identifier: MIT */
/*
 * A segment is made in a draft: a file without a name, or with a name that no other process looks
 * for. Its mode, group, memory and record are complete before it gets the segment's name, by one
 * call that fails when the name is taken. A maker that is killed before that leaves nothing, or a
 * draft.
 *
 * With an init callback (and where data and record are two objects) the name is given first, so
 * that one process alone runs the callback. Then the record says RECORD_MAKING, and the maker holds
 * PLACE_CLAIM from before the name exists until the record says RECORD_READY. So a record in the
 * making without a claim is one whose maker is dead: see unfinished.c. The claim is held by a
 * mapping that children do not inherit, and which has no descriptor.
 */
#include "create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "by_id.h"
#include "data.h"
#include "descriptor.h"
#include "handle.h"
#include "memory.h"
#include "object_sys.h"
#include "sys.h"

/* ---- Checks ------------------------------------------------------------------------ */

static int check_size(const struct unishm_options *opt)
{
	struct rlimit limit;
	if (opt->size == 0)
		return unishm_because(-EINVAL, "a new segment needs a size of 1 or more");
	off_t record_at = ushp_sys_record_offset(opt->size);
	if (record_at < 0 || opt->size > PTRDIFF_MAX)
		return unishm_because(-EINVAL, "%zu bytes are more than can ever be attached",
				opt->size);
	/* Growing beyond this limit would raise SIGXFSZ. */
	if (unishm_sys.getrlimit_fsize(&limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
			(opt->size > (uint64_t)limit.rlim_cur ||
					(uint64_t)record_at + RECORD_SIZE >
							(uint64_t)limit.rlim_cur))
		return unishm_because(-EFBIG,
				"%s and the record are more than RLIMIT_FSIZE allows; "
				"raise it (ulimit -f)",
				unishm_bytes(opt->size).text);
	return 0;
}

static int because_no_room(int rc, const struct unishm_options *opt)
{
	if (rc == -EDQUOT)
		rc = -ENOSPC;
	if (rc == -ENOSPC)
		return unishm_because(rc,
				"the shared memory file system, or this user's quota there, "
				"has no room for %s; remove unused segments, "
				"or enlarge it (mount -o remount,size=...)",
				unishm_bytes(opt->size).text);
	return rc;
}

/* ---- The record ------------------------------------------------------------------------ */

/* The callback leaves the same traces as on System V, where the creator attaches to fill a
 * segment. */
static void note_filling(struct record_tail *tail)
{
	struct record_slot *others = tail_others(tail);
	others->pid = others->attach_pid = (uint32_t)unishm_pid();
	others->attach_time = others->detach_time = ushp_record_now();
	others->attach_op = 1;
	others->detach_op = 2;
}

static int put_tail(int fd, const struct unishm_options *opt, const struct record_tail *tail)
{
	off_t at = ushp_sys_record_offset(opt->size) + (off_t)(RECORD_SIZE - sizeof *tail);
	ssize_t put = unishm_sys.pwrite(fd, tail, sizeof *tail, at);
	return put < 0 ? -errno : put == sizeof *tail ? 0 : -ENOSPC;
}

static int begin_record(const struct draft *draft, const struct unishm_options *opt)
{
	bool claimed = ushp_sys_needs_claim(opt);
	struct record_tail tail = { 0 };
	ushp_record_make(&tail.head, opt->size, opt->key, claimed ? RECORD_MAKING : RECORD_READY,
			&draft->st);
	tail.head.by_id = (opt->flags & CREATE_BY_ID) != 0;
	return put_tail(draft->fd, opt, &tail);
}

/* With the fields that were changed in it meanwhile. */
static int finish_record(int fd, const struct unishm_options *opt)
{
	struct record_tail tail;
	int rc = ushp_record_read(fd, ushp_sys_record_offset(opt->size), sizeof tail, &tail,
			sizeof tail);
	if (rc < 0)
		return rc;
	tail.head.state = RECORD_READY;
	if (opt->init)
		note_filling(&tail);
	return put_tail(fd, opt, &tail);
}

/* ---- Drafts ---------------------------------------------------------------------------- */

/* The record first: every draft that is not empty can be recognized and swept. */
static int fill_draft(const struct draft *draft, const struct unishm_options *opt)
{
	int rc = begin_record(draft, opt);
	if (rc == 0)
		rc = ushp_sys_prepare_data(draft->fd, opt);
	return because_no_room(rc, opt);
}

/* A claim, held in one of two ways. */
struct claim {
	void *page;      /* keeps the description that holds it */
	bool by_process; /* or the process does, by @file */
	struct lock_file file;
};

static int lock_claim(struct claim *claim, int fd)
{
	int rc = ushp_map_anchor(fd, &claim->page);
	if (rc < 0)
		return rc;
	struct lock_file file = { fd, false, claim->file.dev, claim->file.ino };
	rc = ushp_lock_must_take(&file, LOCK_OF_DESCRIPTION, PLACE_CLAIM, 1, true);
	if (rc < 0)
		ushp_unmap_anchor(claim->page);
	return rc;
}

/* By a description of its own, if the draft can be opened once more. */
static int take_claim(struct claim *claim, const struct draft *draft)
{
	*claim = (struct claim){ .file = { draft->fd, false, draft->st.st_dev, draft->st.st_ino } };
	int fd = ushp_sys_lock_owner == LOCK_OF_PROCESS ? -EBADF
			: draft->name[0] ? ushp_sys_open(draft->name, AT_SYSTEM_PLACE, O_RDWR)
					 : ushp_sys_reopen_unnamed(draft->fd, O_RDWR);
	if (fd < 0) {
		claim->by_process = true;
		return ushp_lock_must_take(&claim->file, LOCK_OF_PROCESS, PLACE_CLAIM, 1, true);
	}
	int rc = lock_claim(claim, fd);
	unishm_sys.close(fd);
	return rc;
}

static void drop_claim(struct claim *claim)
{
	if (claim->by_process)
		ushp_lock_drop(&claim->file, LOCK_OF_PROCESS, PLACE_CLAIM, 1);
	else
		ushp_unmap_anchor(claim->page);
}

/* ---- Under the claim -------------------------------------------------------------------- */

/* State while the callback runs. It is also used if the callback never returns. */
struct work {
	struct unishm_making making; /* first: the core frees it by this */
	struct draft draft;
	struct claim claim;
	char name[OBJECT_NAME_MAX];
	void *addr; /* the data, mapped for the callback */
	size_t size;
};

static const char draft_owner; /* of the descriptor until the handle has it */

static struct work *work_of(struct unishm_making *making)
{
	return (struct work *)making;
}

static void close_draft(struct work *work)
{
	ushp_lock_close_own(work->draft.fd, &draft_owner, work->claim.file.dev,
			work->claim.file.ino);
}

/* Processes that use this library remove only segments without a claim. But another program may
 * have deleted the file or mounted something over it, and another segment may have the name. */
static void undo(struct work *work)
{
	struct stat st;
	if (ushp_sys_stat(work->name, AT_SYSTEM_PLACE, &st) == 0 &&
			st.st_dev == work->claim.file.dev && st.st_ino == work->claim.file.ino)
		ushp_sys_unlink(work->draft.fd, work->name, AT_SYSTEM_PLACE);
	drop_claim(&work->claim);
	close_draft(work);
}

static void abandon(struct unishm_making *making)
{
	struct work *work = work_of(making);
	if (work->addr)
		unishm_sys.munmap(work->addr, work->size);
	undo(work);
}

/* A child must not hold its parent's claim. */
static void leave(struct unishm_making *making)
{
	struct work *work = work_of(making);
	struct object object = { .dev = work->claim.file.dev, .ino = work->claim.file.ino };
	if (work->claim.by_process)
		ushp_lock_forget(object.dev, object.ino, PLACE_CLAIM);
	else if (ushp_data_is_inherited(&object, work->claim.page, 1))
		ushp_unmap_anchor(work->claim.page);
	close_draft(work);
}

static int run_init(struct work *work, const struct unishm_options *opt)
{
	int rc = unishm_call_init(&work->making, opt, work->addr);
	if (!work->making.abandoned)
		unishm_sys.munmap(work->addr, opt->size);
	work->addr = NULL;
	return rc;
}

static int make_data_and_fill(struct work *work, const struct unishm_options *opt)
{
	int fd = ushp_sys_make_data(work->name, opt, work->draft.fd);
	if (fd < 0)
		return fd;
	int rc = opt->init ? ushp_map_data(fd, NULL, opt->size, 0, &work->addr) : 0;
	if (fd != work->draft.fd) /* the callback may never return */
		unishm_sys.close(fd);
	if (rc == 0 && opt->init)
		rc = run_init(work, opt);
	if (rc == 0)
		rc = finish_record(work->draft.fd, opt);
	return rc;
}

/* From here on an error undoes the claim and the name as well. */
static int finish_claimed(struct work *work, const struct unishm_options *opt)
{
	int rc = because_no_room(make_data_and_fill(work, opt), opt);
	if (work->making.abandoned || work->making.in_child)
		return rc;
	if (rc < 0)
		undo(work);
	else
		drop_claim(&work->claim);
	return rc;
}

/* Publish and fill under @claim, which is dropped in any case. @published: an error has undone the
 * name as well, and the draft is closed. */
static int make_claimed(struct draft *draft, struct claim *claim, const char *name,
		const struct unishm_options *opt, bool *published)
{
	struct work *work = unishm_sys.calloc(1, sizeof *work);
	int rc = work ? ushp_sys_publish(draft, name) : -ENOMEM;
	if (rc < 0) {
		drop_claim(claim);
		free(work);
		return rc;
	}
	*published = true;
	work->making.key = opt->key;
	work->making.abandon = abandon;
	work->making.leave = leave;
	work->draft = *draft;
	work->claim = *claim;
	work->size = opt->size;
	snprintf(work->name, sizeof work->name, "%s", name);
	rc = finish_claimed(work, opt);
	free(work);
	return rc;
}

/* ---- Create -------------------------------------------------------------------------------- */

int ushp_bind(struct unishm *seg, int fd, bool writable, const struct stat *st, const char *name,
		size_t size, key_t key)
{
	struct posix *p = posix_of(seg);
	snprintf(p->object.name, sizeof p->object.name, "%s", name);
	p->object.record_at = ushp_sys_record_offset(size);
	p->st = *st;
	p->checked = UNCHECKED;
	p->heir = (struct heir){ .fd = -1, .pipe = { -1, -1 } };
	seg->size = size;
	seg->key = key;
	seg->id = ushp_id_of(st);
	return ushp_object_bind(&p->object, fd, writable, st);
}

static struct object object_of_draft(const struct draft *draft, const struct unishm_options *opt)
{
	struct object object = { .fd = draft->fd, .writable = true };
	object.dev = draft->st.st_dev;
	object.ino = draft->st.st_ino;
	object.record_at = ushp_sys_record_offset(opt->size);
	snprintf(object.name, sizeof object.name, "%s", draft->name[0] ? draft->name : "/");
	return object;
}

/* Before there is a name, check whether the file system does what the library needs. */
static int try_place(const struct draft *draft, const struct unishm_options *opt)
{
	struct object object = object_of_draft(draft, opt);
	int rc = ushp_fd_own(draft->fd, &object);
	if (rc == 0)
		rc = ushp_sys_try_place(&object);
	ushp_fd_own(draft->fd, &draft_owner);
	return rc;
}

/* The second name comes while no remover can be at work; a segment that gets none is one that has
 * no name by its id. */
static int publish(struct draft *draft, const char *name, const struct unishm_options *opt)
{
	if (!(opt->flags & CREATE_BY_ID) || opt->key == UNISHM_PRIVATE)
		return ushp_sys_publish(draft, name);
	struct object object = object_of_draft(draft, opt);
	int rc = ushp_object_begin_removal(&object);
	if (rc < 0)
		return rc;
	rc = ushp_sys_publish(draft, name);
	if (rc == 0)
		ushp_by_id_publish(&object, name);
	ushp_object_end_removal(&object);
	return rc;
}

/* A draft with a name has a claim as well, so that the draft of a dead maker can be recognized. */
static int fill_and_publish(struct draft *draft, char *name, const struct unishm_options *opt,
		bool *published)
{
	struct claim claim;
	bool claimed = ushp_sys_needs_claim(opt) || draft->name[0];
	int rc = claimed ? take_claim(&claim, draft) : 0;
	if (rc < 0)
		return rc;
	rc = fill_draft(draft, opt);
	if (rc == 0)
		rc = try_place(draft, opt);
	if (rc == 0 && name[0] == '\0')
		ushp_name_of_private(ushp_id_of(&draft->st), name);
	if (rc == 0 && ushp_sys_needs_claim(opt))
		return make_claimed(draft, &claim, name, opt, published);
	if (rc == 0) {
		rc = publish(draft, name, opt);
		*published = rc == 0;
	}
	if (claimed)
		drop_claim(&claim);
	return rc;
}

/* With a draft that has no name, or has one. -ENOENT from the first: it cannot be published. What
 * the handle needs to know comes first: what is published cannot fail any more. */
static int create_with(struct unishm *seg, struct draft *draft, char *name,
		const struct unishm_options *opt, bool *published)
{
	int rc = ushp_fd_own(draft->fd, &draft_owner);
	if (rc == 0)
		rc = fill_and_publish(draft, name, opt, published);
	if (rc < 0 && !*published)
		ushp_sys_discard(draft);
	if (rc < 0)
		return rc;
	posix_of(seg)->by_id = opt->flags & CREATE_BY_ID;
	return ushp_bind(seg, draft->fd, true, &draft->st, name, opt->size, opt->key);
}

static int create_any(struct unishm *seg, char *name, const struct unishm_options *opt)
{
	struct draft draft;
	bool published = false;
	int rc = ushp_sys_draft(&draft, opt->mode);
	if (rc < 0)
		return rc;
	bool unnamed = draft.name[0] == '\0';
	rc = create_with(seg, &draft, name, opt, &published);
	if (rc != -ENOENT || published || !unnamed)
		return rc;
	rc = ushp_sys_draft_named(&draft, opt->mode);
	return rc < 0 ? rc : create_with(seg, &draft, name, opt, &published);
}

int ushp_create(struct unishm *seg, const char *name, const struct unishm_options *opt)
{
	char own[OBJECT_NAME_MAX] = "";
	struct stat st;
	int rc = check_size(opt);
	if (rc < 0)
		/* A name that is taken is reported before other errors. */
		return name && ushp_sys_stat(name, AT_SYSTEM_PLACE, &st) == 0 ? -EEXIST : rc;
	if (name)
		snprintf(own, sizeof own, "%s", name);
	rc = create_any(seg, own, opt);
	/* Taken, and the next may get that id again. */
	while (!name && (rc == -EEXIST || rc == -EBADMSG)) {
		ushp_name_of_private((int)ushp_random(), own);
		rc = create_any(seg, own, opt);
	}
	if (rc == 0) {
		seg->created = true;
		posix_of(seg)->free = (1u << RECORD_INLINE) - 1;
		posix_of(seg)->st.st_nlink = 1; /* the draft had none */
		posix_of(seg)->st.st_mode = S_IFREG | opt->mode;
	}
	return rc;
}
