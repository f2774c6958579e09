/* SPDX-License-Identifier: MIT */
/*
 * The POSIX backend: shm_open, mmap, mlock, and what the kernel does not keep
 * for such memory.
 *
 *   posix_record  what is written down, behind the user's bytes
 *   posix_seat    who is attached: locks that the kernel drops with the process
 *   posix_os      where systems differ
 *
 * Creation publishes whole segments only, in one of two ways. Under its name (the
 * cheaper one): the object is made by O_EXCL, empty, is given mode and memory, and
 * then its record by one write, which also gives it its length. Who finds it empty
 * waits; if nobody has it open, its maker is dead, and it is swept away. Without a
 * name: the object is made, reserved and described, and then gets its name in one
 * step. So it is done for what would be a loss if it had to wait for a sweeper. In
 * both, one who loses the race for the name tries again as an opener.
 *
 * With an init callback the object is named before it is filled, so that only one
 * process runs it, but says in its record that it is in the making, and the creator
 * holds a lock (PLACE_CLAIM) that goes with it: whoever finds such an object waits for
 * the lock, or, if nobody holds it, sweeps the object away.
 *
 * Removal takes the name away under a lock (PLACE_REMOVE) that every remover of
 * this object must hold, so the name still leads to this object and no successor
 * is hit; then it says so in the record. Attach counts itself in first and reads
 * that word after; the last to leave counts after the word was set. So either an
 * attacher sees the removal and steps back, or it is seen and its memory stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "posix.h"
#include "os.h"
#include "posix_seat.h"
#include "sys.h"

/* ---- Descriptors --------------------------------------------------------- */

static bool is_ours(const struct posix *p, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_dev == p->dev && st->st_ino == p->ino;
}

static void keep_fd(struct posix *p, int fd, bool writable)
{
	p->fd = fd;
	p->writable = writable;
	p->lent = posix_was_parked(fd);
	os_own(fd, p);
}

/* Touching a record that someone has cut off would raise SIGBUS. */
int posix_check_length(const struct posix *p, const struct stat *st)
{
	if (st->st_size >= p->record_at + RECORD_SIZE)
		return 0;
	return unishm_because(-EBADMSG, "something cut its object short; remove it");
}

/* Open the object by its name, if that still leads to it. */
static int reopen_by_name(const struct posix *p, int access)
{
	struct stat st = { 0 };
	int fd = posix_open_fd(p->name, access);
	if (fd == -EACCES && os_object_stat(p->name, &st) == 0 && !is_ours(p, &st))
		return -ENOENT; /* it is a successor that refuses us */
	if (fd < 0)
		return fd;
	if (unishm_sys.fstat(fd, &st) == 0 && is_ours(p, &st))
		return fd;
	posix_close_fd(fd, st.st_dev, st.st_ino);
	return -ENOENT; /* a successor has the name */
}

int posix_reopen(struct unishm *seg, int access)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	int rc = reopen_by_name(p, access);
	if (rc != -ENOENT && rc != -EBADMSG)
		return rc;
	/* removed: by the descriptor that we have, or by what is mapped */
	rc = -EBADF;
	if (os_owns(p->fd, p) && unishm_sys.fstat(p->fd, &st) == 0 && is_ours(p, &st))
		rc = os_reopen_fd(p->fd, access);
	if (rc == -EBADF && p->seat.record)
		rc = os_reopen_mapped(p->seat.record, RECORD_SIZE, access);
	for (unsigned i = 0; rc == -EBADF && !OS_BESIDE && i < seg->attached; i++)
		rc = os_reopen_mapped(seg->attachments[i].addr, seg->size, access);
	return rc == -ENOENT || rc == -EPERM ? -EBADF : rc;
}

static void say_uncounted(struct posix *p)
{
	const uint32_t yes = 1;
	if (posix_put_record(p, offsetof(struct record, tail.head.uncounted), &yes, sizeof yes))
		p->uncounted = false;
}

int posix_usable(struct unishm *seg, struct stat *st)
{
	struct posix *p = posix_of(seg);
	bool writable = true;
	int rc = unishm_sys.fstat(p->fd, st) < 0 ? -errno : 0;
	if (rc == 0 && is_ours(p, st) && os_owns(p->fd, p)) {
		rc = posix_check_length(p, st);
		if (rc == 0 && p->uncounted && p->writable)
			say_uncounted(p);
		return rc;
	}
	if (rc != 0 && rc != -EBADF)
		return rc;
	/* Closed or replaced by the program: what is there now is not ours. */
	p->fd = -1;
	seat_rescue_light(seg); /* first: there may be just one descriptor left */
	int fd = posix_reopen(seg, O_RDWR);
	if (fd == -EACCES) {
		fd = posix_reopen(seg, O_RDONLY);
		writable = false;
	}
	if (fd < 0)
		return fd;
	if (unishm_sys.fstat(fd, st) < 0) {
		rc = -errno;
		posix_close_fd(fd, p->dev, p->ino);
		return rc;
	}
	keep_fd(p, fd, writable);
	return posix_check_length(p, st);
}

/* The name leads to our data as long as the file beside has its own: that one is
 * taken away last. */
int posix_open_data(struct unishm *seg, int access)
{
	struct stat st;
	int fd = os_data_open(posix_of(seg)->name, access);
	if (fd < 0)
		return fd == -ENOENT ? -EIDRM : fd;
	int rc = posix_usable(seg, &st);
	if (rc == 0 && st.st_nlink == 0)
		rc = -EIDRM;
	if (rc < 0)
		unishm_sys.close(fd);
	return rc < 0 ? rc : fd;
}

/* Let go of the handle's descriptor, if it is still its own. */
static void drop_fd(struct posix *p)
{
	struct stat st;
	if (os_owns(p->fd, p) && (unishm_sys.fstat(p->fd, &st) == 0 ? is_ours(p, &st) : errno != EBADF))
		posix_close_fd(p->fd, p->dev, p->ino);
	p->fd = -1;
}

void posix_renew_fd(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	bool writable = p->writable;
	int fd = posix_reopen(seg, writable ? O_RDWR : O_RDONLY);
	drop_fd(p);
	if (fd >= 0)
		keep_fd(p, fd, writable);
}

/* Have a descriptor that can write, now that the mode allows it. */
static int need_writable(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	if (p->writable)
		return 0;
	int fd = posix_reopen(seg, O_RDWR);
	if (fd < 0)
		return fd;
	drop_fd(p);
	keep_fd(p, fd, true);
	return 0;
}

/* ---- Permission ---------------------------------------------------------- */

static bool in_group(gid_t group)
{
	gid_t groups[256];
	if (unishm_sys.getegid() == group)
		return true;
	int count = unishm_sys.getgroups(sizeof groups / sizeof *groups, groups);
	for (int i = 0; i < count; i++)
		if (groups[i] == group)
			return true;
	return false;
}

static int because_denied(int rc, const struct stat *st)
{
	char mode[10], owner[64];
	return unishm_because(rc, "its mode is %s and its owner %s; act as that user, or have it changed",
			unishm_mode_text(st->st_mode & 0777, mode),
			unishm_user_text(st->st_uid, owner, sizeof owner));
}

/* The class of owner, group and others is chosen once: an owner whom the mode
 * refuses is refused, as the kernel does for files and for System V. */
int posix_permit(const struct stat *st, unsigned want)
{
	uid_t user = unishm_sys.geteuid();
	unsigned granted = st->st_mode & 7;
	if (user == 0)
		return 0;
	if (user == st->st_uid)
		granted = st->st_mode >> 6 & 7;
	else if (in_group(st->st_gid))
		granted = st->st_mode >> 3 & 7;
	return want & ~granted ? because_denied(-EACCES, st) : 0;
}

static int must_own(const struct stat *st)
{
	uid_t user = unishm_sys.geteuid();
	return user == 0 || user == st->st_uid ? 0 : because_denied(-EPERM, st);
}

/* ---- The record ---------------------------------------------------------- */

static const off_t TAIL_AT = (off_t)offsetof(struct record, tail);
static const off_t HEAD_AT = (off_t)offsetof(struct record, tail.head);

static int read_bytes(int fd, void *to, size_t size, off_t at)
{
	ssize_t got = unishm_sys.pread(fd, to, size, at);
	if (got < 0)
		return -errno;
	return got == (ssize_t)size ? 0 : -EBADMSG;
}

static int read_head_of(int fd, off_t record_at, struct record_head *head)
{
	return read_bytes(fd, head, sizeof *head, record_at + HEAD_AT);
}

int posix_read_head(struct unishm *seg, struct record_head *head)
{
	struct posix *p = posix_of(seg);
	if (!p->seat.record)
		return read_head_of(p->fd, p->record_at, head);
	const uint32_t *from = (const uint32_t *)(const void *)&p->seat.record->tail.head;
	uint32_t words[sizeof *head / sizeof(uint32_t)];
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		words[i] = __atomic_load_n(&from[i], __ATOMIC_SEQ_CST);
	memcpy(head, words, sizeof words);
	return 0;
}

int posix_read_tail(struct unishm *seg, struct record_tail *tail, const struct record_light **lights)
{
	struct posix *p = posix_of(seg);
	if (p->seat.record) {
		*lights = p->seat.record->tail.lights;
		return posix_read_head(seg, &tail->head);
	}
	*lights = tail->lights;
	return read_bytes(p->fd, tail, sizeof *tail, p->record_at + TAIL_AT);
}

/* pwrite() beyond RLIMIT_FSIZE would raise SIGXFSZ, though nothing grows. */
static bool may_pwrite(const struct posix *p)
{
	struct rlimit limit;
	return unishm_sys.getrlimit_fsize(&limit) == 0 && (limit.rlim_cur == RLIM_INFINITY ||
			(uint64_t)limit.rlim_cur >= (uint64_t)p->record_at + RECORD_SIZE);
}

bool posix_put_record(struct posix *p, size_t at, const void *from, size_t size)
{
	if (p->seat.record) {
		unsigned char *to = (unsigned char *)p->seat.record + at;
		if (size == sizeof(uint32_t)) /* what is read after it was read after all saw it */
			__atomic_store_n((uint32_t *)(void *)to, *(const uint32_t *)from, __ATOMIC_SEQ_CST);
		else
			record_copy(to, from, size);
		return true;
	}
	if (may_pwrite(p))
		return unishm_sys.pwrite(p->fd, from, size, p->record_at + (off_t)at) == (ssize_t)size;
	void *record = unishm_sys.mmap(os_place_for_own(), RECORD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd,
			p->record_at);
	if (record == MAP_FAILED)
		return false;
	record_copy((unsigned char *)record + at, from, size);
	unishm_sys.munmap(record, RECORD_SIZE);
	return true;
}

static void write_record_words(struct unishm *seg, size_t at, const void *from, size_t size)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	if (p->seat.record || (p->writable && posix_usable(seg, &st) == 0))
		posix_put_record(p, at, from, size);
}

/* One word of a page that exists: cannot fail but for lost rights. */
void posix_write_head(struct unishm *seg, size_t field, uint32_t value)
{
	write_record_words(seg, (size_t)HEAD_AT + field, &value, sizeof value);
}

#define WRITE_HEAD(seg, field, value) \
	posix_write_head(seg, offsetof(struct record_head, field), (uint32_t)(value))

void posix_note(struct unishm *seg, enum posix_op op)
{
	struct posix *p = posix_of(seg);
	bool attach = op == POSIX_ATTACH;
	struct record_head other, *head = p->seat.record ? &p->seat.record->tail.head : &other;
	uint32_t *when = attach ? &head->attach_time : &head->detach_time;
	uint64_t *op_at = attach ? &head->attach_op : &head->detach_op;
	uint64_t stamp = record_stamp();
	__atomic_store_n(when, record_now(), __ATOMIC_RELEASE);
	__atomic_store_n(&head->last_pid, (uint32_t)unishm_pid(), __ATOMIC_RELEASE);
	record_copy(op_at, &stamp, sizeof stamp);
	if (head != &other)
		return;
	write_record_words(seg, (size_t)HEAD_AT + (size_t)((char *)when - (char *)head), when, sizeof *when);
	WRITE_HEAD(seg, last_pid, other.last_pid);
	write_record_words(seg, (size_t)HEAD_AT + (size_t)((char *)op_at - (char *)head), op_at, sizeof *op_at);
}

/* ---- Gone ---------------------------------------------------------------- */

/* What is known of a segment that a call is about to use. */
struct view {
	struct stat st;
	struct record_tail tail;
	const struct record_light *lights; /* there, or in the record */
	struct tally tally;
	bool removed;
};

/* A segment that nobody can reach any more gives its memory back, although idle
 * handles still hold the object. What they read of its record is zero then. Where
 * OS_BESIDE they hold no more than the file beside. */
static void free_memory(struct unishm *seg, const struct record_head *head)
{
	struct posix *p = posix_of(seg);
	p->gone = true;
	seat_unpin(seg);
	if (!OS_BESIDE && p->writable && !head->uncounted)
		unishm_sys.punch(p->fd, 0, p->record_at + RECORD_SIZE);
}

/* A pin of ours that an unlock elsewhere has ended. */
static void drop_stale_pin(struct unishm *seg, uint32_t epoch)
{
	struct posix *p = posix_of(seg);
	if (p->pin && p->pin_epoch != epoch)
		seat_unpin(seg);
}

/* Somebody may have freed it all. To touch the record then would ask for memory again,
 * and raise SIGBUS if there is none; to read it does not. */
static bool was_freed(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct record_head head;
	if (!p->seat.record || read_head_of(p->fd, p->record_at, &head) < 0 || head.state != 0)
		return false;
	p->gone = true;
	seat_unpin(seg);
	seat_close(seg, false);
	return true;
}

/* Look at the segment; -EIDRM if it was removed and nobody is attached. */
static int look(struct unishm *seg, struct view *view)
{
	const struct record_head *head = &view->tail.head;
	if (posix_of(seg)->gone)
		return -EIDRM;
	int rc = posix_usable(seg, &view->st);
	if (rc == 0 && view->st.st_nlink == 0 && was_freed(seg))
		return -EIDRM;
	if (rc == 0)
		rc = posix_read_tail(seg, &view->tail, &view->lights);
	if (rc < 0)
		return rc;
	view->removed = head->removed || view->st.st_nlink == 0;
	/* Between the two steps of a remover: an attacher must see it as well as we do,
	 * before we count. */
	if (view->removed && !head->removed)
		WRITE_HEAD(seg, removed, 1);
	rc = seat_count(seg, head, view->lights, view->removed, &view->tally);
	if (rc < 0)
		return rc;
	drop_stale_pin(seg, head->lock_epoch);
	if (view->removed && view->tally.attached == 0 && !view->tally.coming) {
		free_memory(seg, head);
		return -EIDRM;
	}
	return 0;
}

/* ---- Create -------------------------------------------------------------- */

static int check_new_size(const struct unishm_options *opt)
{
	struct rlimit limit;
	if (opt->size == 0)
		return unishm_because(-EINVAL, "a new segment needs a size of 1 or more");
	off_t record_at = record_offset(opt->size);
	if (record_at < 0 || opt->size > PTRDIFF_MAX)
		return unishm_because(-EINVAL, "%zu bytes are more than can ever be attached", opt->size);
	/* Growing beyond this limit would raise SIGXFSZ. */
	if (unishm_sys.getrlimit_fsize(&limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
			(opt->size > (uint64_t)limit.rlim_cur ||
			(uint64_t)record_at + RECORD_SIZE > (uint64_t)limit.rlim_cur))
		return unishm_because(-EFBIG, "%zu bytes are more than RLIMIT_FSIZE allows; raise it (ulimit -f)",
				opt->size);
	return 0;
}

static int because_no_room(int rc, size_t size)
{
	if (rc == -ENOSPC)
		return unishm_because(rc, "the shared memory file system has no room for %zu bytes; remove "
				"unused segments, or enlarge it (mount -o remount,size=...)", size);
	return rc;
}

/* Set memory aside for the user's bytes. */
static int reserve(int fd, const struct unishm_options *opt, bool write)
{
	int rc = opt->flags & UNISHM_NORESERVE ? 0 : os_reserve(fd, 0, (off_t)opt->size, write);
	return rc < 0 ? because_no_room(rc, opt->size) : 0;
}

/* The record, at first and, after an init callback, once more. That one leaves the
 * same traces as on System V, where the creator has to attach to fill a segment. */
static int write_record(int fd, const struct unishm_options *opt, uint32_t state, const struct stat *st)
{
	struct record_head head;
	record_make(&head, opt->size, opt->key, state, st);
	if (opt->init && state == RECORD_READY) {
		head.attach_time = head.detach_time = head.change_time;
		head.last_pid = (uint32_t)unishm_pid();
		head.attach_op = record_stamp();
		head.detach_op = head.attach_op + 1;
	}
	/* The write gives the head's page its memory; a file beside has all of its own. */
	head.reserved_bytes = OS_BESIDE ? RECORD_SIZE : RECORD_FIRST_BYTES;
	ssize_t put = unishm_sys.pwrite(fd, &head, sizeof head, record_offset(opt->size) + HEAD_AT);
	if (put < 0)
		return because_no_room(-errno, opt->size);
	return put == sizeof head ? 0 : -ENOSPC;
}

extern const struct unishm_backend unishm_posix_backend;

struct filling {
	struct unishm_making making;
	char name[OS_NAME_MAX];
	int fd;
	void *addr;
	size_t size;
};

static void leave_making(struct unishm_making *making)
{
	struct filling *filling = (struct filling *)making;
	if (!making->in_child)
		unishm_sys.munmap(filling->addr, filling->size);
	unishm_sys.close(filling->fd);
}

static void abandon(struct unishm_making *making)
{
	struct filling *filling = (struct filling *)making;
	if (*filling->name)
		os_object_unlink(filling->name);
	leave_making(making);
}

/* Run the init callback on what @fd is open on. */
static int fill(int fd, const struct unishm_options *opt, const char *name, bool *lost)
{
	void *addr = unishm_sys.mmap(NULL, opt->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (addr == MAP_FAILED)
		return -errno;
	struct filling *filling = calloc(1, sizeof *filling);
	int rc = -ENOMEM;
	if (filling) {
		filling->making = (struct unishm_making){ .backend = &unishm_posix_backend,
			.key = opt->key, .abandon = abandon, .leave = leave_making };
		if (name)
			snprintf(filling->name, sizeof filling->name, "%s", name);
		filling->fd = fd;
		filling->addr = addr;
		filling->size = opt->size;
		rc = unishm_call_init(&filling->making, opt, addr);
		*lost = filling->making.in_child || filling->making.abandoned;
	}
	free(filling);
	unishm_sys.munmap(addr, opt->size);
	return rc;
}

/* Make the facts of a handle from its object. */
static void settle_in(struct unishm *seg, int fd, bool writable, const struct stat *st,
		const char *name, size_t size, key_t key)
{
	struct posix *p = posix_of(seg);
	keep_fd(p, fd, writable);
	p->heir_fd = p->heir_pipe[0] = p->heir_pipe[1] = -1;
	p->dev = st->st_dev;
	p->ino = st->st_ino;
	p->record_at = record_offset(size);
	memcpy(p->name, name, sizeof p->name);
	seg->size = size;
	seg->key = key;
	/* Inode numbers of a tmpfs are handed out in sequence. */
	seg->id = (int)((uint64_t)st->st_ino & INT_MAX);
}

/* Mode, memory, and record of a new object: its last write gives it its length. */
static int furnish(int fd, const struct unishm_options *opt, bool named, struct stat *st)
{
	mode_t mode = opt->mode | (named ? os_mode_when_new : 0);
	if (unishm_sys.fstat(fd, st) < 0)
		return -errno;
	if ((st->st_mode & 07777) != mode && unishm_sys.fchmod(fd, mode) < 0)
		return -errno; /* undoes what the umask took */
	int rc = reserve(fd, opt, !named);
	return rc < 0 ? rc : write_record(fd, opt, opt->init ? RECORD_MAKING : RECORD_READY, st);
}

static int publish_and_fill(int fd, const char *name, const struct unishm_options *opt,
		const struct stat *st, bool *lost)
{
	struct os_lock claim = { fd, false };
	int rc = os_lock(claim, PLACE_CLAIM, 1, true);
	if (rc == 0)
		rc = os_object_publish(fd, name);
	if (rc < 0)
		return rc;
	rc = fill(fd, opt, name, lost);
	if (*lost)
		return rc;
	if (rc == 0)
		rc = write_record(fd, opt, RECORD_READY, st);
	if (rc < 0)
		os_object_unlink(name); /* still ours: sweepers respect the claim */
	os_unlock(claim, PLACE_CLAIM, 1);
	return rc;
}

/* An object that is made under its name is the cheapest. If its maker is killed, an
 * empty one stays until somebody who may opens the key or lists; so what was set aside
 * for it must be little, and its name one that is looked for. */
static bool make_under_its_name(const struct unishm_options *opt)
{
	enum { LITTLE = 256 * 1024 };
	return !opt->init && opt->key != UNISHM_PRIVATE && (opt->mode & 0600) == 0600 &&
			(opt->flags & UNISHM_NORESERVE || opt->size <= LITTLE);
}

static int create_named(struct unishm *seg, const char *name, const struct unishm_options *opt)
{
	struct stat st;
	int fd = os_object_make_named(name, opt->mode);
	if (fd < 0)
		return fd;
	int rc = furnish(fd, opt, true, &st);
	if (rc < 0) {
		os_object_unlink(name); /* still ours: sweepers see that we have it open */
		unishm_sys.close(fd);
		return rc;
	}
	/* It is new no more, whether that mark goes or not; and others may have it by now. */
	unishm_sys.fchmod(fd, opt->mode);
	settle_in(seg, fd, true, &st, name, opt->size, opt->key);
	return 0;
}

static int create_whole(struct unishm *seg, const char *name, const struct unishm_options *opt)
{
	bool lost = false;
	struct stat st;
	if (make_under_its_name(opt)) {
		int rc = create_named(seg, name, opt);
		if (rc != -EOPNOTSUPP) /* it cannot be reserved unseen */
			return rc;
	}
	int fd = os_object_make(opt->mode);
	if (fd < 0)
		return fd;
	int rc = furnish(fd, opt, false, &st);
	if (rc == 0)
		rc = opt->init ? publish_and_fill(fd, name, opt, &st, &lost) : os_object_publish(fd, name);
	if (rc < 0 && !lost)
		unishm_sys.close(fd);
	else if (rc == 0)
		settle_in(seg, fd, true, &st, name, opt->size, opt->key);
	return rc;
}

/* The object itself, once the file beside is claimed. */
static int make_data(const char *name, const struct unishm_options *opt)
{
	int fd = os_data_make(name, opt->mode);
	if (fd < 0)
		return fd;
	int rc = unishm_sys.ftruncate(fd, (off_t)opt->size) < 0 ? -errno : 0; /* macOS: once */
	if (rc == 0)
		rc = reserve(fd, opt, true);
	bool lost = false;
	if (rc == 0 && opt->init)
		rc = fill(fd, opt, NULL, &lost);
	unishm_sys.close(fd);
	return rc;
}

/* Names are given and taken under this lock by the threads of one process, since
 * locks of the process do not keep them apart. */
static struct unishm_mutex naming = UNISHM_MUTEX_INIT;

/* Claim a new file beside. -EAGAIN: somebody took it for a dead maker's, in the
 * moment between its creation and our lock, and swept it away. */
static int claim_beside(const struct posix *p, struct os_lock claim)
{
	struct stat st;
	unishm_mutex_lock(&naming);
	int rc = seat_lock_place(p, claim, PLACE_CLAIM, true);
	if (rc == 0 && (unishm_sys.fstat(claim.fd, &st) < 0 || st.st_nlink == 0)) {
		seat_unlock_place(p, claim, PLACE_CLAIM);
		rc = -EAGAIN;
	}
	unishm_mutex_unlock(&naming);
	return rc;
}

/* Where objects cannot be published whole: a file beside them is named first,
 * claimed, and says until the end that it is in the making. */
static int create_beside(struct unishm *seg, const char *name, const struct unishm_options *opt)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	int fd = os_beside_make(name);
	if (fd < 0)
		return fd;
	struct os_lock claim = { fd, OS_PROCESS_LOCKS };
	int rc = unishm_sys.fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0) {
		settle_in(seg, fd, true, &st, name, opt->size, opt->key);
		rc = claim_beside(p, claim);
	}
	if (rc < 0) {
		unishm_sys.close(fd);
		return rc;
	}
	if (unishm_sys.ftruncate(fd, RECORD_SIZE) < 0)
		rc = -errno;
	if (rc == 0)
		rc = because_no_room(os_reserve(fd, 0, RECORD_SIZE, true), opt->size);
	if (rc == 0)
		rc = write_record(fd, opt, RECORD_MAKING, &st);
	if (rc == 0)
		rc = make_data(name, opt);
	if (rc == 0 && unishm_sys.fchmod(fd, opt->mode) < 0)
		rc = -errno;
	if (rc == 0)
		rc = write_record(fd, opt, RECORD_READY, &st);
	if (rc < 0)
		os_object_unlink(name);
	seat_unlock_place(p, claim, PLACE_CLAIM);
	if (rc < 0)
		posix_close_fd(fd, p->dev, p->ino);
	return rc;
}

static int create(struct unishm *seg, const char *name, const struct unishm_options *opt)
{
	struct stat st;
	int rc = check_new_size(opt);
	if (rc < 0 && os_object_stat(name, &st) == 0)
		return -EEXIST; /* that is looked at before the size */
	if (rc == 0)
		rc = OS_BESIDE ? create_beside(seg, name, opt) : create_whole(seg, name, opt);
	if (rc == 0)
		seg->created = true;
	return rc;
}

static int create_private(struct unishm *seg, const struct unishm_options *opt)
{
	char name[OS_NAME_MAX];
	for (unsigned attempt = 0;; attempt++) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		uint32_t number = (uint32_t)now.tv_nsec * 2654435761u ^ (uint32_t)unishm_pid() << 8 ^ attempt;
		snprintf(name, sizeof name, "/ushp.%08lx", (unsigned long)number);
		int rc = create(seg, name, opt);
		if (rc != -EEXIST && rc != -EAGAIN)
			return rc;
	}
}

/* ---- Open ---------------------------------------------------------------- */

/* Others hold it for microseconds, unless they are stopped, or mean ill: anyone who
 * may read the object may lock it. */
static int lock_to_remove(struct os_lock how)
{
	const struct timespec moment = { 0, 1000000 };
	int rc = os_lock(how, PLACE_REMOVE, 1, true);
	for (int tries = 0; rc == -EAGAIN && tries < 1000; tries++) {
		nanosleep(&moment, NULL);
		rc = os_lock(how, PLACE_REMOVE, 1, true);
	}
	if (rc == -EAGAIN)
		return unishm_because(-EBUSY, "another process has held the lock for removing it for a "
				"second; find it (lslocks, fuser) and continue or end it");
	return rc;
}

/* Take the name of the object open on @fd away, unless somebody did already; its
 * name may lead to a successor by now. Call with @naming locked. */
static int unlink_if_same(int fd, dev_t dev, ino_t ino, const char *name)
{
	struct os_lock how = { fd, OS_PROCESS_LOCKS };
	struct stat named;
	int rc = lock_to_remove(how);
	if (rc < 0)
		return rc;
	rc = os_object_stat(name, &named);
	if (rc == 0 && named.st_dev == dev && named.st_ino == ino)
		rc = os_object_unlink(name);
	os_unlock(how, PLACE_REMOVE, 1);
	return rc == -ENOENT ? 0 : rc;
}

static int identify_once(int fd, key_t key, struct stat *st, struct record_head *head)
{
	int rc = 0;
	*head = (struct record_head){ 0 };
	if (unishm_sys.fstat(fd, st) < 0)
		return -errno;
	if (S_ISREG(st->st_mode) && st->st_size >= RECORD_SIZE)
		rc = read_head_of(fd, st->st_size - RECORD_SIZE, head);
	else if (!os_is_new(st) || st->st_size != 0)
		return unishm_because(-EBADMSG, "an object that this library did not make has its name; "
				"move it away, or choose another key");
	if (rc == 0 && head->state == 0 && os_is_new(st))
		head->state = RECORD_MAKING; /* not even that is written yet */
	else if (rc == 0)
		rc = record_check(head, st->st_size, key);
	return rc;
}

/* Is what is open on @fd a segment with @key, or will it be one (RECORD_MAKING)?
 * -EAGAIN: its name is gone. What looks odd may have been freed while we looked. */
static int identify(int fd, key_t key, struct stat *st, struct record_head *head)
{
	int rc = identify_once(fd, key, st, head);
	if ((rc < 0 || head->removed || head->state != RECORD_READY) && unishm_sys.fstat(fd, st) < 0)
		return -errno;
	bool done = rc == 0 && head->version == 0 && !os_is_new(st); /* it was new just now */
	return st->st_nlink == 0 || done ? -EAGAIN : rc;
}

/* Where OS_BESIDE: is the object there? It goes before its file does. */
static bool has_data(const char *name)
{
	int fd = OS_BESIDE ? os_data_open(name, O_RDONLY) : -1;
	if (fd >= 0)
		unishm_sys.close(fd);
	return !OS_BESIDE || fd != -ENOENT;
}

/* Sweep away what a dead maker or remover left, with its claim in our hands. */
static int sweep(int fd, const char *name, key_t key)
{
	struct stat st;
	struct record_head head;
	int rc = identify(fd, key, &st, &head);
	if (rc < 0)
		return rc;
	if (head.state == RECORD_READY && has_data(name))
		return -EAGAIN; /* it was finished just now */
	return unlink_if_same(fd, st.st_dev, st.st_ino, name);
}

static int because_unfinished(const struct stat *st)
{
	if (os_is_young(st))
		return -EBUSY;
	return unishm_because(-EACCES, "user %lu was killed while creating or removing it; that "
			"user, or root, must open it first", (unsigned long)st->st_uid);
}

/* An object in the making, or half removed. -EBUSY while somebody is at work on it;
 * -EAGAIN when the name is worth another look. */
static int see_to_unfinished(int fd, bool writable, const char *name, key_t key, const struct stat *st)
{
	struct os_lock claim = { fd, OS_PROCESS_LOCKS };
	struct span found;
	unishm_mutex_lock(&naming);
	int rc = seat_find_lock(fd, st, PLACE_CLAIM, PLACE_CLAIM, &found);
	if (rc > 0)
		rc = -EAGAIN;
	else if (rc == 0)
		rc = writable ? os_lock(claim, PLACE_CLAIM, 1, true) : -EACCES;
	bool busy = rc == -EAGAIN;
	if (rc == 0) {
		rc = os_nobody_has(fd, st);
		busy = rc == -EAGAIN;
		if (rc == 0)
			rc = sweep(fd, name, key);
		os_unlock(claim, PLACE_CLAIM, 1);
	}
	unishm_mutex_unlock(&naming);
	if (rc == -EACCES || rc == -EPERM)
		return because_unfinished(st);
	if (busy && os_is_new(st) && !os_is_young(st))
		return unishm_because(-EACCES, "its maker was killed or stopped, and a process has the "
				"unfinished object open; find it (fuser) and end it");
	if (busy)
		return -EBUSY;
	return rc < 0 ? rc : -EAGAIN;
}

/* A new object that cannot be opened: the umask took the rights of its owner as well, until
 * its maker could give them. */
static int see_to_closed(const char *name, const struct stat *st)
{
	if (os_is_young(st) || st->st_uid != unishm_sys.geteuid())
		return because_unfinished(st);
	int rc = os_object_unlink(name);
	return rc < 0 ? rc : -EAGAIN;
}

static int open_object(const char *name, bool *writable)
{
	int fd = posix_open_fd(name, O_RDWR);
	*writable = fd >= 0;
	if (fd == -EACCES)
		fd = posix_open_fd(name, O_RDONLY);
	return fd;
}

/* Open what @name leads to. -EAGAIN: look again; -EBUSY: it is in the making. */
static int open_named(struct unishm *seg, const char *name, key_t key, size_t size)
{
	struct stat st = { 0 };
	struct record_head head;
	bool writable;
	int fd = open_object(name, &writable);
	if (fd == -EACCES && os_object_stat(name, &st) == 0 && !os_is_new(&st) && posix_permit(&st, 4) == 0)
		fd = open_object(name, &writable); /* its maker has just come to give us the right */
	if (fd == -EACCES && os_object_stat(name, &st) == 0)
		return os_is_new(&st) ? see_to_closed(name, &st) : because_denied(fd, &st);
	if (fd < 0)
		return fd == -EAGAIN ? -EBUSY : fd; /* a sweeper is at it */
	int rc = identify(fd, key, &st, &head);
	if (rc == 0 && (OS_BESIDE || posix_was_parked(fd)))
		rc = posix_permit(&st, 4);
	if (rc == 0 && (head.state == RECORD_MAKING || !has_data(name)))
		rc = see_to_unfinished(fd, writable, name, key, &st);
	else if (rc == 0 && head.removed) /* that is written after the name is gone */
		rc = unishm_because(-EBADMSG, "its record is damaged; remove the object by its name");
	else if (rc == 0 && size > head.size)
		rc = unishm_because(-EINVAL, "it has %llu bytes, fewer than the %zu asked for; size 0 opens any",
				(unsigned long long)head.size, size);
	if (rc < 0) {
		posix_close_fd(fd, st.st_dev, st.st_ino);
		return rc;
	}
	settle_in(seg, fd, writable, &st, name, (size_t)head.size, key);
	return 0;
}

/* O_EXCL met a taken name: by a segment, or by what is left of a dead maker? */
static int still_taken(const char *name, key_t key)
{
	struct stat st = { 0 };
	struct record_head head;
	bool writable;
	int fd = open_object(name, &writable);
	if (fd == -EACCES && os_object_stat(name, &st) == 0 && os_is_new(&st) &&
			st.st_uid == unishm_sys.geteuid())
		return see_to_closed(name, &st);
	if (fd < 0)
		return fd == -ENOENT ? -EAGAIN : fd == -EAGAIN ? -EBUSY : -EEXIST;
	int rc = identify(fd, key, &st, &head);
	if (rc == 0 && (head.state == RECORD_MAKING || !has_data(name)))
		rc = see_to_unfinished(fd, writable, name, key, &st);
	else if (rc != -EAGAIN)
		rc = -EEXIST;
	posix_close_fd(fd, st.st_dev, st.st_ino);
	return rc;
}

static int posix_open(struct unishm *seg, const struct unishm_options *opt)
{
	char name[OS_NAME_MAX];
	bool make = opt->oflag & O_CREAT;
	struct unishm_patience patience = { opt->wait_ms, 0 };
	if (opt->flags & UNISHM_HUGETLB)
		return unishm_because(-ENOTSUP, "POSIX shared memory has no huge pages of its own; "
				"use the System V backend");
	if (opt->key == UNISHM_PRIVATE)
		return create_private(seg, opt);
	snprintf(name, sizeof name, "/ushm.%08lx", (unsigned long)(uint32_t)opt->key);
	for (;;) {
		int rc = opt->oflag & O_EXCL ? -ENOENT : open_named(seg, name, opt->key, opt->size);
		if (rc == -ENOENT && make) {
			rc = create(seg, name, opt);
			if (rc == -EEXIST)
				rc = opt->oflag & O_EXCL ? still_taken(name, opt->key) : -EAGAIN;
		}
		if (rc == -EBUSY && !make)
			return -ENOENT; /* not there yet */
		if (rc == -EBUSY) {
			rc = unishm_pause(&patience);
			if (rc < 0)
				return rc;
		} else if (rc != -EAGAIN) {
			return rc;
		}
	}
}

/* ---- List ---------------------------------------------------------------- */

struct names {
	size_t count, room;
	struct name {
		char text[OS_NAME_MAX];
		ino_t inode;
	} *list;
};

/* "ushm." or "ushp." and eight hexadecimal digits. */
static bool is_our_name(const char *name)
{
	return (strncmp(name, "ushm.", 5) == 0 || strncmp(name, "ushp.", 5) == 0) &&
			strspn(name + 5, "0123456789abcdef") == 8 && name[13] == '\0';
}

static int remember(const char *name, ino_t inode, void *arg)
{
	struct names *names = arg;
	if (!is_our_name(name))
		return 0;
	if (names->count == names->room) {
		size_t room = names->room ? 2 * names->room : 64;
		struct name *more = unishm_sys.realloc(names->list, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		names->list = more;
		names->room = room;
	}
	struct name *entry = &names->list[names->count++];
	entry->inode = inode;
	snprintf(entry->text, sizeof entry->text, "/%.13s", name);
	return 0;
}

static key_t key_in(const char *name)
{
	return name[4] == 'p' ? UNISHM_PRIVATE : (key_t)(int32_t)strtoul(name + 6, NULL, 16);
}

static int posix_open_id(struct unishm *seg, int id)
{
	struct names names = { 0 };
	int rc = os_object_list(remember, &names);
	if (rc == 0)
		rc = -ENOENT;
	for (size_t i = 0; rc == -ENOENT && i < names.count; i++) {
		const struct name *name = &names.list[i];
		if ((int)((uint64_t)name->inode & INT_MAX) != id)
			continue;
		do
			rc = open_named(seg, name->text, key_in(name->text), 0);
		while (rc == -EAGAIN);
		if (rc == -EBUSY)
			rc = -ENOENT;
		if (rc == 0 && seg->id != id) { /* a successor took the name */
			drop_fd(posix_of(seg));
			rc = -ENOENT;
		}
	}
	free(names.list);
	return rc;
}

static int posix_status(struct unishm *seg, struct unishm_status *st);

/* The status of what @name leads to, by a handle for the occasion. */
static int status_of_name(struct unishm *seg, const char *name, struct unishm_status *st)
{
	int rc;
	do
		rc = open_named(seg, name, key_in(name), 0);
	while (rc == -EAGAIN);
	if (rc < 0)
		return rc;
	*st = (struct unishm_status){ .backend = seg->backend->name, .id = seg->id, .size = seg->size };
	rc = posix_status(seg, st);
	drop_fd(posix_of(seg));
	return rc;
}

extern const struct unishm_backend unishm_posix_backend;

static int posix_list(int (*visit)(const struct unishm_status *, void *), void *arg)
{
	struct names names = { 0 };
	struct unishm *seg = unishm_sys.calloc(1, sizeof *seg + sizeof(struct posix));
	if (!seg)
		return -ENOMEM;
	int rc = unishm_hold_forks();
	if (rc == 0) {
		rc = os_object_list(remember, &names);
		unishm_release_forks();
	}
	for (size_t i = 0; rc == 0 && i < names.count; i++) {
		struct unishm_status st;
		memset(posix_of(seg), 0, sizeof(struct posix));
		seg->backend = &unishm_posix_backend;
		rc = unishm_hold_forks();
		if (rc < 0)
			break;
		rc = status_of_name(seg, names.list[i].text, &st);
		unishm_release_forks();
		if (rc == 0)
			rc = visit(&st, arg);
		else if (rc != -EMFILE && rc != -ENFILE && rc != -ENOMEM)
			rc = 0; /* gone meanwhile, not ours to read, or not one of ours */
	}
	free(names.list);
	free(seg);
	return rc;
}

static void posix_forget(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	struct view view;
	seat_unpin(seg);
	/* Was the last one killed? Then free the memory now, whoever else idles. */
	bool known = os_owns(p->fd, p) && unishm_sys.fstat(p->fd, &st) == 0 && is_ours(p, &st);
	if (known && st.st_nlink == 0)
		look(seg, &view);
	seat_close(seg, !known || posix_check_length(p, &st) == 0);
	if (known)
		posix_close_fd(p->fd, p->dev, p->ino);
}

/* ---- Attach -------------------------------------------------------------- */

static int map_data(struct unishm *seg, int fd, void *where, int flags, void **addr)
{
	int prot = PROT_READ | (flags & UNISHM_RDONLY ? 0 : PROT_WRITE) |
			(flags & UNISHM_EXEC ? PROT_EXEC : 0);
	int rc = 0;
	void *got;
	if (where && !(flags & UNISHM_REMAP)) {
		rc = os_map_at(where, seg->size, prot, fd, &got);
	} else {
		got = unishm_sys.mmap(where, seg->size, prot, MAP_SHARED | (where ? MAP_FIXED : 0), fd, 0);
		rc = got == MAP_FAILED ? -errno : 0;
	}
	if (rc == 0 && flags & UNISHM_POPULATE) {
		rc = unishm_os_populate(got, seg->size, prot & PROT_WRITE);
		if (rc < 0)
			unishm_sys.munmap(got, seg->size);
	}
	if (rc == 0)
		*addr = got;
	if (rc == -EPERM && flags & UNISHM_EXEC)
		return unishm_because(-ENOTSUP, "shared memory is mounted noexec here; use the System V backend");
	return rc == -EAGAIN ? -ENOMEM : rc;
}

/* What to map. A read-only attachment is made through a read-only description, if
 * there can be one: then mprotect() cannot make it writable later, as it cannot on
 * System V. */
static int fd_to_map(struct unishm *seg, int flags)
{
	struct posix *p = posix_of(seg);
	if (OS_BESIDE)
		return posix_open_data(seg, flags & UNISHM_RDONLY ? O_RDONLY : O_RDWR);
	int fd = p->writable && flags & UNISHM_RDONLY ? posix_reopen(seg, O_RDONLY) : p->fd;
	return fd < 0 ? p->fd : fd;
}

static int map_as_asked(struct unishm *seg, void *where, int flags, void **addr)
{
	struct posix *p = posix_of(seg);
	int fd = fd_to_map(seg, flags);
	if (fd < 0)
		return fd;
	int rc = map_data(seg, fd, where, flags, addr);
	if (OS_BESIDE)
		unishm_sys.close(fd);
	else if (fd != p->fd)
		posix_close_fd(fd, p->dev, p->ino);
	return rc;
}

/* Removed, or even freed since. */
static bool is_past(const struct record_head *head)
{
	return __atomic_load_n(&head->removed, __ATOMIC_SEQ_CST) ||
			__atomic_load_n(&head->state, __ATOMIC_SEQ_CST) == 0;
}

/* Without a mapping the name is asked for, which goes first. */
static bool was_removed(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	if (p->seat.record)
		return is_past(&p->seat.record->tail.head);
	return posix_usable(seg, &st) < 0 || st.st_nlink == 0;
}

/* An unlock elsewhere may have ended our pin. */
static void check_pin(struct unishm *seg)
{
	struct record_head head;
	if (posix_of(seg)->pin && posix_read_head(seg, &head) == 0)
		drop_stale_pin(seg, head.lock_epoch);
}

/* Count @old out, and if that was the last of a removed segment, free it. */
static void leave(struct unishm *seg, struct unishm_attachment *old)
{
	struct view view;
	seat_leave(seg, old);
	if (was_removed(seg))
		look(seg, &view);
}

static bool overlaps(const struct unishm *seg, const void *where, const void *own, size_t length)
{
	uintptr_t from = (uintptr_t)where, at = (uintptr_t)own;
	return own && at < from + seg->size && from < at + length;
}

/* Would UNISHM_REMAP replace what holds an attachment or a lock of this process? The
 * core has all handles locked then. */
static bool hits_our_own(struct unishm *seg, const void *where)
{
	struct unishm *at = seg;
	while (at->prev)
		at = at->prev;
	for (; at; at = at->next) {
		if (at->backend != seg->backend)
			continue;
		bool hit = overlaps(seg, where, posix_of(at)->seat.record, RECORD_SIZE) ||
				overlaps(seg, where, posix_of(at)->pin, at->size);
		for (unsigned i = 0; !hit && i < at->attached; i++)
			hit = overlaps(seg, where, at->attachments[i].mark, 1);
		if (hit)
			return true;
	}
	return false;
}

/* Count @new in and map it. The mapping comes first, or the seat's, which may be new,
 * could take the place that was asked for. But with UNISHM_REMAP it replaces
 * something, so that nothing must fail any more after it. */
static int count_and_map(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	struct view view;
	int rc;
	if (flags & UNISHM_REMAP) {
		void *held = os_hold_range(where, seg->size); /* or the seat takes it */
		rc = seat_take(seg, new, false);
		if (rc < 0)
			goto release;
		if (was_removed(seg))
			rc = -EIDRM;
		else if (hits_our_own(seg, where))
			rc = unishm_because(-EINVAL, "the library keeps accounts in that range; "
					"choose another address");
		else
			rc = map_as_asked(seg, where, flags, &new->addr);
		if (rc < 0)
			leave(seg, new);
release:
		if (rc < 0 && held)
			unishm_sys.munmap(held, seg->size);
		return rc;
	}
	rc = map_as_asked(seg, where, flags, &new->addr);
	if (rc < 0)
		return rc;
	rc = seat_take(seg, new, !OS_BESIDE && !(flags & UNISHM_RDONLY));
	if (rc == 0 && !seat_is_light(new) && was_removed(seg)) {
		leave(seg, new);
		rc = -EIDRM;
	} else if (rc == -EIDRM) {
		look(seg, &view); /* the remover may have left it to us */
	}
	if (rc < 0)
		unishm_sys.munmap(new->addr, seg->size);
	return rc;
}

static int posix_attach(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	struct stat st;
	struct view view;
	unsigned want = 4u | (flags & UNISHM_RDONLY ? 0 : 2u) | (flags & UNISHM_EXEC ? 1u : 0);
	int rc = posix_usable(seg, &st);
	if (rc == 0 && st.st_nlink == 0) {
		look(seg, &view); /* was the last one killed? then free the memory now */
		rc = -EIDRM;
	}
	if (rc == 0)
		rc = posix_permit(&st, want);
	if (rc == 0 && !(flags & UNISHM_RDONLY))
		rc = need_writable(seg);
	if (rc == 0)
		rc = count_and_map(seg, where, flags, new);
	if (rc < 0)
		return rc;
	check_pin(seg);
	if (!seat_is_light(new))
		posix_note(seg, POSIX_ATTACH);
	return 0;
}

static void posix_displaced(struct unishm *seg, struct unishm_attachment *old)
{
	if (!seat_is_light(old))
		posix_note(seg, POSIX_DETACH);
	check_pin(seg);
	leave(seg, old);
}

static int posix_detach(struct unishm *seg, struct unishm_attachment *old)
{
	if (unishm_sys.munmap(old->addr, seg->size) < 0)
		return -errno;
	posix_displaced(seg, old);
	return 0;
}

/* ---- Change and ask ------------------------------------------------------ */

static int look_as_owner(struct unishm *seg, struct view *view)
{
	int rc = look(seg, view);
	return rc == 0 ? must_own(&view->st) : rc;
}

/* Lend ourselves the right for the time of an open. */
int posix_reopen_as_owner(struct unishm *seg, int access, const struct stat *st)
{
	struct posix *p = posix_of(seg);
	int fd = posix_reopen(seg, access);
	if (fd != -EACCES)
		return fd;
	if (unishm_sys.fchmod(p->fd, (st->st_mode & 0777) | 0600) < 0)
		return -errno;
	fd = posix_reopen(seg, access);
	int rc = unishm_sys.fchmod(p->fd, st->st_mode & 0777) < 0 ? -errno : 0;
	if (fd >= 0 && rc < 0)
		posix_close_fd(fd, p->dev, p->ino);
	return rc < 0 ? rc : fd;
}

/* Be able to write the record. */
static int write_as_owner(struct unishm *seg, const struct stat *st)
{
	struct posix *p = posix_of(seg);
	if (p->writable)
		return 0;
	int fd = posix_reopen_as_owner(seg, O_RDWR, st);
	if (fd < 0)
		return fd;
	drop_fd(p);
	keep_fd(p, fd, true);
	return 0;
}

/* The name is gone: say so, and if nobody is attached, free it now. Mostly there is not
 * even a lock that would have to be looked at. */
static void free_if_unused(struct unishm *seg)
{
	const uint32_t yes = 1;
	struct record_head head;
	struct view view;
	posix_put_record(posix_of(seg), (size_t)HEAD_AT + offsetof(struct record_head, removed), &yes,
			sizeof yes);
	if (seg->attached == 0 && seat_anybody(seg) == 0 && posix_read_head(seg, &head) == 0)
		free_memory(seg, &head);
	else
		look(seg, &view);
}

/* A lock on what a child shares would be the child's, too; a lock of the process is
 * none of a child's. */
static int fd_to_remove(struct unishm *seg, const struct stat *st)
{
	struct posix *p = posix_of(seg);
	return p->lent && !OS_PROCESS_LOCKS ? posix_reopen_as_owner(seg, O_RDWR, st) : p->fd;
}

static int posix_remove(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct view view;
	int rc = p->gone ? -EIDRM : posix_usable(seg, &view.st);
	if (rc == 0 && view.st.st_nlink == 0)
		return look_as_owner(seg, &view); /* removed already, or even gone */
	if (rc == 0)
		rc = must_own(&view.st);
	if (rc == 0)
		rc = write_as_owner(seg, &view.st);
	int fd = rc == 0 ? fd_to_remove(seg, &view.st) : rc;
	if (fd < 0)
		return fd;
	seat_secure_light(seg); /* what has no name cannot be opened again */
	unishm_mutex_lock(&naming);
	rc = unlink_if_same(fd, p->dev, p->ino, p->name);
	unishm_mutex_unlock(&naming);
	if (fd != p->fd)
		posix_close_fd(fd, p->dev, p->ino);
	if (rc < 0)
		return rc;
	free_if_unused(seg);
	return 0;
}

static int posix_lock(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct view view;
	int rc = look_as_owner(seg, &view);
	if (rc < 0 || p->pin)
		return rc;
	rc = seat_pin(seg, &view.st, view.tail.head.lock_epoch);
	if (rc < 0)
		return rc;
	if (unishm_sys.mlock(p->pin, seg->size) < 0) {
		rc = errno == EAGAIN ? -ENOMEM : -errno;
		seat_unpin(seg);
		return unishm_because(rc, rc == -EPERM
				? "RLIMIT_MEMLOCK is 0 and there is no privilege; raise it (ulimit -l)"
				: "it is larger than RLIMIT_MEMLOCK allows; raise it (ulimit -l)");
	}
	return 0;
}

/* A new epoch counts out all locks. Our own ends at once; others' memory can page
 * again when their process next uses the segment, or ends. */
static int posix_unlock(struct unishm *seg)
{
	struct view view;
	int rc = look_as_owner(seg, &view);
	if (rc < 0 || !view.tally.locked)
		return rc;
	rc = write_as_owner(seg, &view.st);
	if (rc < 0)
		return rc;
	WRITE_HEAD(seg, lock_epoch, view.tail.head.lock_epoch + 1);
	drop_stale_pin(seg, view.tail.head.lock_epoch + 1);
	return 0;
}

/* The maker of an object that is whole still has to take its mark away, with the mode that
 * it made it with: let him. If he was killed just there, nobody will. */
static void await_maker(struct unishm *seg, struct stat *st)
{
	const struct timespec moment = { 0, 1000000 };
	for (int tries = 0; tries < 100; tries++) {
		if (!(st->st_mode & os_mode_when_new) || time(NULL) - st->st_ctime > 1)
			return;
		nanosleep(&moment, NULL);
		if (posix_usable(seg, st) < 0)
			return;
	}
}

static int posix_chmod(struct unishm *seg, mode_t mode)
{
	struct view view;
	int rc = look_as_owner(seg, &view);
	if (rc == 0)
		await_maker(seg, &view.st);
	if (rc == 0)
		rc = write_as_owner(seg, &view.st);
	if (rc == 0 && OS_BESIDE && !view.removed)
		rc = os_data_chmod(posix_of(seg)->name, mode);
	if (rc == 0 && unishm_sys.fchmod(posix_of(seg)->fd, mode) < 0)
		rc = -errno;
	if (rc == 0)
		WRITE_HEAD(seg, change_time, record_now());
	return rc;
}

static int posix_chown(struct unishm *seg, uid_t user, gid_t group)
{
	struct view view;
	int rc = look_as_owner(seg, &view);
	if (rc == 0)
		rc = write_as_owner(seg, &view.st);
	if (rc == 0 && OS_BESIDE && !view.removed)
		rc = os_data_chown(posix_of(seg)->name, user, group);
	if (rc == 0 && unishm_sys.fchown(posix_of(seg)->fd, user, group) < 0)
		rc = errno == EPERM ? unishm_because(-EPERM, "giving a POSIX segment to another user, or to a "
				"group that one is not in, needs privilege; run as root") : -errno;
	if (rc == 0)
		WRITE_HEAD(seg, change_time, record_now());
	return rc;
}

enum { ALL_EMULATED = 2 * UNISHM_EMULATED_REMOVED - 1 };

static uint64_t later(uint64_t one, uint64_t other)
{
	return one > other ? one : other;
}

/* The last of each kind, and the last of all, wherever they are noted. */
static void merge_lights(struct record_head *head, const struct record_light *lights)
{
	uint64_t last = later(head->attach_op, head->detach_op);
	for (unsigned i = 0; i < RECORD_LIGHTS; i++) {
		const struct record_light *light = &lights[i];
		uint64_t op = later(light->attach_op, light->detach_op);
		if (light->attach_op > head->attach_op) {
			head->attach_op = light->attach_op;
			head->attach_time = light->attach_time;
		}
		if (light->detach_op > head->detach_op) {
			head->detach_op = light->detach_op;
			head->detach_time = light->detach_time;
		}
		if (op > last) {
			last = op;
			head->last_pid = light->pid;
		}
	}
}

static int posix_status(struct unishm *seg, struct unishm_status *st)
{
	struct view view;
	const struct record_head *head = &view.tail.head;
	int rc = look(seg, &view);
	if (rc == 0 && !view.removed && posix_of(seg)->looks++ == 1)
		seat_keep_record(seg); /* for the next time */
	if (rc == 0)
		rc = posix_permit(&view.st, 4);
	if (rc == 0 && view.tally.buried)
		rc = posix_read_tail(seg, &view.tail, &view.lights);
	if (rc < 0)
		return rc;
	merge_lights(&view.tail.head, view.lights);
	st->removed = view.removed;
	st->key = view.removed ? UNISHM_PRIVATE : seg->key;
	st->mode = view.st.st_mode & 0777;
	st->owner_user = view.st.st_uid;
	st->owner_group = view.st.st_gid;
	st->number_attached = view.tally.attached;
	st->locked = view.tally.locked;
	st->creator_process = (pid_t)head->creator_pid;
	st->creator_user = (uid_t)head->creator_user;
	st->creator_group = (gid_t)head->creator_group;
	st->last_op_process = (pid_t)head->last_pid;
	st->last_attach_time = head->attach_time;
	st->last_detach_time = head->detach_time;
	st->last_change_time = head->change_time;
	st->emulated = ALL_EMULATED;
	if (head->uncounted)
		st->inexact |= UNISHM_EMULATED_NUMBER_ATTACHED;
	if (view.tally.unrecorded) {
		st->last_detach_time = time(NULL);
		st->last_op_process = view.tally.ended;
		st->inexact |= UNISHM_EMULATED_LAST_DETACH_TIME | UNISHM_EMULATED_LAST_OP_PROCESS;
	}
	return 0;
}

static void fork_missed(struct unishm *seg, bool in_child)
{
	if (in_child)
		seat_fork_child(seg);
}

const struct unishm_backend unishm_posix_backend = {
	.name = "posix",
	.priv_size = sizeof(struct posix),
	.open = posix_open,
	.open_id = posix_open_id,
	.close = posix_forget,
	.granularity = unishm_os_page_size,
	.attach = posix_attach,
	.detach = posix_detach,
	.displaced = posix_displaced,
	.remove = posix_remove,
	.lock = posix_lock,
	.unlock = posix_unlock,
	.chmod = posix_chmod,
	.chown = posix_chown,
	.status = posix_status,
	.list = posix_list,
	.fork_prepare = seat_fork_prepare,
	.fork_parent = seat_fork_parent,
	.fork_shed = seat_fork_shed,
	.fork_child = seat_fork_child,
	.fork_missed = fork_missed,
};
