/* SPDX-License-Identifier: MIT */
/*
 * Broken on purpose: what the tests in this directory must find. A mutant replaces members of
 * the POSIX backend's table, or of the table of system calls, or what files of the backend
 * call in each other (wrapped.c), and so does what a wrong library would do; the library
 * itself knows nothing of it. The programs are linked with --wrap, so that the registry finds
 * our copy of the backend.
 */
#include "mutants.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "handle.h"

extern const struct unishm_backend __real_unishm_posix_backend;
extern struct unishm_backend __wrap_unishm_posix_backend;
struct unishm_backend __wrap_unishm_posix_backend;

const char *mutant;
struct unishm_sys mutants_real;
#define real mutants_real
static bool inside; /* of the member that the mutant is about */

static const struct unishm_backend *good(void)
{
	return &__real_unishm_posix_backend;
}

#define bad __wrap_unishm_posix_backend

__attribute__((constructor)) static void copy_backend(void)
{
	bad = *good();
}

/* ---- The record ----------------------------------------------------------- */

static uint32_t change_time(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	uint32_t value = 0;
	ushp_record_read(p->object.fd, p->object.record_at, RECORD_HEAD_FIELD(change_time), &value,
			sizeof value);
	return value;
}

static void set_change_time(struct unishm *seg, uint32_t value)
{
	struct posix *p = posix_of(seg);
	ushp_record_write(&p->object, &p->hold.map, RECORD_HEAD_FIELD(change_time), &value,
			sizeof value);
}

/* Write down that a field of the handle's slot is @value. */
static void set_in_slot(struct unishm *seg, size_t offset, uint32_t value)
{
	struct posix *p = posix_of(seg);
	if (!p->hold.taken || p->object.fd < 0)
		return;
	memcpy((char *)&p->hold.entry + offset, &value, sizeof value);
	ushp_record_write(&p->object, &p->hold.map, record_slot_back(p->hold.index) - offset,
			&value, sizeof value);
}

static void note_detach(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct record_tail tail;
	if (ushp_record_read(p->object.fd, p->object.record_at, sizeof tail, &tail,
			sizeof tail) < 0)
		return;
	struct record_slot *others = tail_others(&tail);
	others->detach_op = ushp_record_next_op(&tail);
	others->detach_time = ushp_record_now();
	others->pid = (uint32_t)getpid();
	ushp_record_write(&p->object, &p->hold.map, RECORD_OTHERS_BACK, others, sizeof *others);
}

/* ---- Opening ------------------------------------------------------------- */

static int open_rounded(struct unishm *seg, const struct unishm_options *opt)
{
	int rc = good()->open(seg, opt);
	if (rc == 0)
		seg->size = (seg->size + 4095) / 4096 * 4096;
	return rc;
}

static int skip_fchmod(int fd, mode_t mode)
{
	return inside ? 0 : real.fchmod(fd, mode);
}

static int open_inside(struct unishm *seg, const struct unishm_options *opt)
{
	inside = true;
	int rc = good()->open(seg, opt);
	inside = false;
	return rc;
}

static int open_any_size(struct unishm *seg, const struct unishm_options *opt)
{
	struct unishm_options other = *opt;
	if (!(opt->oflag & O_CREAT))
		other.size = opt->key == UNISHM_PRIVATE ? opt->size : 0;
	return good()->open(seg, &other);
}

static int open_not_exclusively(struct unishm *seg, const struct unishm_options *opt)
{
	struct unishm_options other = *opt;
	other.oflag &= ~O_EXCL;
	return good()->open(seg, &other);
}

static int open_without_init(struct unishm *seg, const struct unishm_options *opt)
{
	struct unishm_options other = *opt;
	other.init = NULL;
	return good()->open(seg, &other);
}

static void close_without_descriptor(struct unishm *seg)
{
	posix_of(seg)->object.fd = -1;
	good()->close(seg);
}

/* ---- Attaching ----------------------------------------------------------- */

static int attach_removed(struct unishm *seg, void *where, int flags,
		struct unishm_attachment *new)
{
	int rc = good()->attach(seg, where, flags, new);
	if (rc != -EIDRM)
		return rc;
	void *got = mmap(NULL, seg->size, PROT_READ, MAP_SHARED, posix_of(seg)->object.fd, 0);
	if (got == MAP_FAILED)
		return rc;
	new->addr = got;
	return 0;
}

static int attach_for_parent(struct unishm *seg, void *where, int flags,
		struct unishm_attachment *new)
{
	int rc = good()->attach(seg, where, flags, new);
	if (rc == 0)
		set_in_slot(seg, offsetof(struct record_slot, attach_pid), (uint32_t)getppid());
	return rc;
}

static int attach_twice(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	int rc = good()->attach(seg, where, flags, new);
	if (rc == 0)
		set_in_slot(seg, offsetof(struct record_slot, word),
				posix_of(seg)->hold.entry.word + 1);
	return rc;
}

static int attach_writable(struct unishm *seg, void *where, int flags,
		struct unishm_attachment *new)
{
	return good()->attach(seg, where, flags & ~UNISHM_RDONLY, new);
}

static int attach_over(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	return good()->attach(seg, where, flags | (where ? UNISHM_REMAP : 0), new);
}

static int attach_silently(struct unishm *seg, void *where, int flags,
		struct unishm_attachment *new)
{
	uint32_t before = posix_of(seg)->hold.entry.attach_time;
	int rc = good()->attach(seg, where, flags, new);
	if (rc == 0)
		set_in_slot(seg, offsetof(struct record_slot, attach_time), before);
	return rc;
}

static int detach_silently(struct unishm *seg, struct unishm_attachment *old)
{
	uint32_t before = posix_of(seg)->hold.entry.detach_time;
	int rc = good()->detach(seg, old);
	if (rc == 0)
		set_in_slot(seg, offsetof(struct record_slot, detach_time), before);
	return rc;
}

static int skip_munmap(void *addr, size_t length)
{
	return inside ? 0 : real.munmap(addr, length);
}

static int detach_inside(struct unishm *seg, struct unishm_attachment *old)
{
	inside = true;
	int rc = good()->detach(seg, old);
	inside = false;
	return rc;
}

/* ---- Locks of the kernel ------------------------------------------------- */

static bool takes(int cmd, const struct flock *lock)
{
	return (cmd == F_OFD_SETLK || cmd == F_SETLK) && lock->l_type != F_UNLCK;
}

static int skip_reader(int fd, int cmd, struct flock *lock)
{
	if (takes(cmd, lock) && (uint64_t)lock->l_start >= PLACE_READERS)
		return 0;
	return real.fcntl_lock(fd, cmd, lock);
}

static bool is_slot(const struct flock *lock)
{
	return (uint64_t)lock->l_start >= PLACE_SLOTS && (uint64_t)lock->l_start < PLACE_PINS;
}

static int skip_slot(int fd, int cmd, struct flock *lock)
{
	return takes(cmd, lock) && is_slot(lock) ? 0 : real.fcntl_lock(fd, cmd, lock);
}

/* Byte A is as it should be; B, to which locks move before a fork, is never locked. */
static int skip_moved(int fd, int cmd, struct flock *lock)
{
	bool is_b = is_slot(lock) && lock->l_start % 2 == 1;
	return takes(cmd, lock) && is_b ? 0 : real.fcntl_lock(fd, cmd, lock);
}

/* Of the process where it should be of the description: any close drops it. */
static int lock_by_process(int fd, int cmd, struct flock *lock)
{
	return real.fcntl_lock(fd, cmd == F_OFD_SETLK ? F_SETLK : cmd, lock);
}

/* ---- The rest ------------------------------------------------------------ */

static int nothing(struct unishm *seg)
{
	(void)seg;
	return 0;
}

static int chmod_nothing(struct unishm *seg, mode_t mode)
{
	(void)seg, (void)mode;
	return 0;
}

static int chmod_silently(struct unishm *seg, mode_t mode)
{
	uint32_t before = change_time(seg);
	int rc = good()->chmod(seg, mode);
	if (rc == 0)
		set_change_time(seg, before);
	return rc;
}

static int chown_nothing(struct unishm *seg, uid_t user, gid_t group)
{
	(void)seg, (void)user, (void)group;
	return 0;
}

static int remove_by_name(struct unishm *seg)
{
	int rc = good()->remove(seg);
	if (rc == 0)
		real.shm_unlink(posix_of(seg)->object.name);
	return rc;
}

static int remove_with_time(struct unishm *seg)
{
	int rc = good()->remove(seg);
	if (rc == 0)
		note_detach(seg);
	return rc;
}

static int status_of_parent(struct unishm *seg, struct unishm_status *st)
{
	int rc = good()->status(seg, st);
	if (st->removed)
		st->key = seg->key;
	return rc;
}

static int list_nothing(int (*visit)(const struct unishm_status *, void *), void *arg)
{
	(void)visit, (void)arg;
	return 0;
}

/* A library that clears what no process is attached to, as far as it can count. */
static int remove_and_clear(struct unishm *seg)
{
	struct unishm_status st = { 0 };
	int fd = dup(posix_of(seg)->object.fd);
	int rc = good()->status(seg, &st);
	if (rc == 0)
		rc = good()->remove(seg);
	if (rc == 0 && st.number_attached == 0 && fd >= 0)
		rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)seg->size);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int open_for_children(const char *path, int oflag, mode_t mode)
{
	return real.open(path, oflag & ~O_CLOEXEC, mode);
}

static int openat_for_children(int at, const char *path, int oflag)
{
	return real.openat(at, path, oflag & ~O_CLOEXEC);
}

static int inherit(void *addr, size_t length, int advice)
{
	return advice == MADV_DONTFORK ? 0 : real.madvise(addr, length, advice);
}

/* ---- All of them --------------------------------------------------------- */

static void forget_fork(void)
{
	bad.fork_prepare = bad.fork_child = NULL;
	bad.fork_shed = NULL;
	bad.fork_parent = NULL;
}

static void forget_fork_child(void)
{
	bad.fork_child = NULL;
}

#define MUTANT(name, change) static void mutate_##name(void) { change; }
MUTANT(umask, (bad.open = open_inside, unishm_sys.fchmod = skip_fchmod))
MUTANT(mapping, (bad.detach = detach_inside, unishm_sys.munmap = skip_munmap))
MUTANT(rounded, bad.open = open_rounded)
MUTANT(any_size, bad.open = open_any_size)
MUTANT(excl, bad.open = open_not_exclusively)
MUTANT(init, bad.open = open_without_init)
MUTANT(descriptor, bad.close = close_without_descriptor)
MUTANT(removed, bad.attach = attach_removed)
MUTANT(pid, bad.attach = attach_for_parent)
MUTANT(twice, bad.attach = attach_twice)
MUTANT(rdonly, bad.attach = attach_writable)
MUTANT(over, bad.attach = attach_over)
MUTANT(attach_time, bad.attach = attach_silently)
MUTANT(detach_time, bad.detach = detach_silently)
MUTANT(reader_lock, unishm_sys.fcntl_lock = skip_reader)
MUTANT(slot_lock, unishm_sys.fcntl_lock = skip_slot)
MUTANT(moved_lock, unishm_sys.fcntl_lock = skip_moved)
MUTANT(process_lock, unishm_sys.fcntl_lock = lock_by_process)
MUTANT(lock, bad.lock = nothing)
MUTANT(unlock, bad.unlock = nothing)
MUTANT(remove, bad.remove = nothing)
MUTANT(chmod, bad.chmod = chmod_nothing)
MUTANT(change_time, bad.chmod = chmod_silently)
MUTANT(chown, bad.chown = chown_nothing)
MUTANT(successor, bad.remove = remove_by_name)
MUTANT(remove_time, bad.remove = remove_with_time)
MUTANT(key, bad.status = status_of_parent)
MUTANT(list, bad.list = list_nothing)
MUTANT(idle, bad.settle = NULL)
MUTANT(cloexec, (unishm_sys.open = open_for_children, unishm_sys.openat = openat_for_children))
MUTANT(dontfork, (unishm_sys.madvise = inherit, bad.fork_shed = NULL))
MUTANT(punch, bad.remove = remove_and_clear)

/* Those of wrapped.c are a flag each. */
#define FLAG(name) static void set_##name(void) { broken.name = true; }
FLAG(counts_once)
FLAG(stops_at_wide_locks)
FLAG(believes_number)
FLAG(believes_file)
FLAG(claims_nothing)
FLAG(looks_once)
FLAG(unlinks_by_name)
FLAG(moves_nothing)
FLAG(numbers_by_clock)
FLAG(believes_removed)
FLAG(reaps_unlocked)
FLAG(keeps_record)
FLAG(counts_nothing_out)
FLAG(permits_all)

static const char by_model[] = "model", by_race[] = "race", by_relay[] = "relay";

static const struct {
	const char *name;
	void (*install)(void);
	const char *found_by;
} mutants[] = {
	{ "no-fork-handlers", forget_fork, by_model },
	{ "no-fork-handler-in-child", forget_fork_child, by_model },
	{ "umask-applies", mutate_umask, by_model },
	{ "size-rounded", mutate_rounded, by_model },
	{ "opens-too-small", mutate_any_size, by_model },
	{ "ignores-excl", mutate_excl, by_model },
	{ "forgets-init", mutate_init, by_model },
	{ "close-leaks-descriptor", mutate_descriptor, by_model },
	{ "attaches-removed", mutate_removed, by_model },
	{ "wrong-last-op-process", mutate_pid, by_model },
	{ "counts-attach-twice", mutate_twice, by_model },
	{ "ignores-rdonly", mutate_rdonly, by_model },
	{ "maps-over-others", mutate_over, by_model },
	{ "no-attach-time", mutate_attach_time, by_model },
	{ "no-detach-time", mutate_detach_time, by_model },
	{ "detach-leaves-mapping", mutate_mapping, by_model },
	{ "detach-leaves-count", set_counts_nothing_out, by_model },
	{ "record-stays-mapped", set_keeps_record, by_model },
	{ "reader-hold-not-locked", mutate_reader_lock, by_model },
	{ "slot-not-locked", mutate_slot_lock, by_model },
	{ "moved-hold-not-locked", mutate_moved_lock, by_model },
	{ "lock-of-process", mutate_process_lock, by_model },
	{ "lock-does-nothing", mutate_lock, by_model },
	{ "unlock-does-nothing", mutate_unlock, by_model },
	{ "remove-does-nothing", mutate_remove, by_model },
	{ "chmod-does-nothing", mutate_chmod, by_model },
	{ "no-change-time", mutate_change_time, by_model },
	{ "chown-does-nothing", mutate_chown, by_model },
	{ "removes-successor", mutate_successor, by_model },
	{ "remove-is-a-detach", mutate_remove_time, by_model },
	{ "removed-keeps-key", mutate_key, by_model },
	{ "list-is-empty", mutate_list, by_model },
	{ "no-permission-check", set_permits_all, by_model },
	{ "idle-handle-keeps-removed", mutate_idle, by_model },
	{ "descriptors-survive-exec", mutate_cloexec, by_model },
	{ "child-inherits-mapping", mutate_dontfork, by_model },
	{ "fork-moves-no-lock", set_moves_nothing, by_model },
	{ "descriptor-believed-by-number", set_believes_number, by_model },
	{ "descriptor-believed-by-file", set_believes_file, by_model },
	{ "maker-without-claim", set_claims_nothing, by_race },
	{ "sweeper-looks-once", set_looks_once, by_race },
	{ "remover-goes-by-name", set_unlinks_by_name, by_race },
	{ "counts-once", set_counts_once, by_relay },
	{ "wide-lock-hides-others", set_stops_at_wide_locks, by_model },
	{ "operations-by-clock", set_numbers_by_clock, by_model },
	{ "removal-clears-memory", mutate_punch, by_model },
	{ "removed-is-believed", set_believes_removed, by_model },
	{ "reaper-without-lock", set_reaps_unlocked, by_relay },
};

bool mutate(const char *name)
{
	for (size_t i = 0; i < sizeof mutants / sizeof *mutants; i++) {
		if (strcmp(mutants[i].name, name) != 0)
			continue;
		real = unishm_sys;
		mutants[i].install();
		mutant = mutants[i].name;
		return true;
	}
	return false;
}

void mutants_list(void)
{
	for (size_t i = 0; i < sizeof mutants / sizeof *mutants; i++)
		printf("%s %s\n", mutants[i].name, mutants[i].found_by);
}
