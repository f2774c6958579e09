/* SPDX-License-Identifier: MIT */
/*
 * Broken on purpose: what the model test must find. Each mutant replaces a member
 * of the POSIX backend's table, or of the table of system calls, and so does what
 * a wrong library would do; the library itself knows nothing of it. This program
 * is linked with --wrap, so that the registry finds our copy of the backend.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "actor.h"
#include "posix.h"
#include "posix_seat.h"
#include "sys.h"

extern const struct unishm_backend __real_unishm_posix_backend;
extern struct unishm_backend __wrap_unishm_posix_backend;
struct unishm_backend __wrap_unishm_posix_backend;

static struct unishm_sys real;
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

static uint32_t field(struct unishm *seg, size_t at)
{
	struct record_head head;
	uint32_t value = 0;
	if (posix_read_head(seg, &head) == 0)
		memcpy(&value, (const char *)&head + at, sizeof value);
	return value;
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
	posix_of(seg)->fd = -1;
	good()->close(seg);
}

/* ---- Attaching ----------------------------------------------------------- */

static int attach_removed(struct unishm *seg, void *where, int flags,
		struct unishm_attachment *new)
{
	int rc = good()->attach(seg, where, flags, new);
	if (rc != -EIDRM)
		return rc;
	void *got = mmap(NULL, seg->size, PROT_READ, MAP_SHARED, posix_of(seg)->fd, 0);
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
		posix_write_head(seg, offsetof(struct record_head, last_pid), (uint32_t)getppid());
	return rc;
}

static int attach_twice(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	int rc = good()->attach(seg, where, flags, new);
	struct seat *seat = &posix_of(seg)->seat;
	if (rc == 0 && seat->record)
		record_slot(seat->record, seat->index)->word++;
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
	uint32_t before = field(seg, offsetof(struct record_head, attach_time));
	int rc = good()->attach(seg, where, flags, new);
	if (rc == 0)
		posix_write_head(seg, offsetof(struct record_head, attach_time), before);
	return rc;
}

static int detach_silently(struct unishm *seg, struct unishm_attachment *old)
{
	uint32_t before = field(seg, offsetof(struct record_head, detach_time));
	int rc = good()->detach(seg, old);
	if (rc == 0)
		posix_write_head(seg, offsetof(struct record_head, detach_time), before);
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

static int keep_seat(void *addr, size_t length)
{
	return length == RECORD_SIZE ? 0 : real.munmap(addr, length);
}

/* ---- Locks of the kernel ------------------------------------------------- */

static bool takes(int cmd, const struct flock *lock)
{
	return (cmd == F_OFD_SETLK || cmd == F_SETLK) && lock->l_type != F_UNLCK;
}

static int skip_mark(int fd, int cmd, struct flock *lock)
{
	if (takes(cmd, lock) && (uint64_t)lock->l_start >= PLACE_MARKS)
		return 0;
	return real.fcntl_lock(fd, cmd, lock);
}

static int skip_slot(int fd, int cmd, struct flock *lock)
{
	uint64_t at = (uint64_t)lock->l_start;
	if (takes(cmd, lock) && at >= PLACE_SLOTS && at < PLACE_LIGHTS)
		return 0;
	return real.fcntl_lock(fd, cmd, lock);
}

static bool is_light(const struct flock *lock)
{
	return (uint64_t)lock->l_start >= PLACE_LIGHTS && (uint64_t)lock->l_start < PLACE_PINS;
}

static int skip_light(int fd, int cmd, struct flock *lock)
{
	return takes(cmd, lock) && is_light(lock) ? 0 : real.fcntl_lock(fd, cmd, lock);
}

/* A child then has its share in what proves its parent's light alive. */
static int lend_light(int fd, int cmd, struct flock *lock)
{
	bool gives_up = lock->l_type == F_UNLCK && is_light(lock);
	return inside && gives_up ? 0 : real.fcntl_lock(fd, cmd, lock);
}

static void prepare_inside(struct unishm *seg)
{
	inside = true;
	good()->fork_prepare(seg);
	inside = false;
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
	uint32_t before = field(seg, offsetof(struct record_head, change_time));
	int rc = good()->chmod(seg, mode);
	if (rc == 0)
		posix_write_head(seg, offsetof(struct record_head, change_time), before);
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
		real.shm_unlink(posix_of(seg)->name);
	return rc;
}

static int remove_with_time(struct unishm *seg)
{
	int rc = good()->remove(seg);
	if (rc == 0)
		posix_write_head(seg, offsetof(struct record_head, detach_time), record_now());
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

static uid_t always_root(void)
{
	return 0;
}

static int keep_memory(int fd, off_t offset, off_t length)
{
	(void)fd, (void)offset, (void)length;
	return 0;
}

static int open_for_children(const char *path, int oflag, mode_t mode)
{
	return real.open(path, oflag & ~O_CLOEXEC, mode);
}

static int inherit(void *addr, size_t length, int advice)
{
	return advice == MADV_DONTFORK ? 0 : real.madvise(addr, length, advice);
}

/* ---- All of them --------------------------------------------------------- */

static void forget_fork(void)
{
	bad.fork_prepare = bad.fork_parent = bad.fork_shed = bad.fork_child = NULL;
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
MUTANT(seat, unishm_sys.munmap = keep_seat)
MUTANT(mark_lock, unishm_sys.fcntl_lock = skip_mark)
MUTANT(slot_lock, unishm_sys.fcntl_lock = skip_slot)
MUTANT(light_lock, unishm_sys.fcntl_lock = skip_light)
MUTANT(light_lent, (unishm_sys.fcntl_lock = lend_light, bad.fork_prepare = prepare_inside))
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
MUTANT(root, unishm_sys.geteuid = always_root)
MUTANT(memory, unishm_sys.punch = keep_memory)
MUTANT(cloexec, unishm_sys.open = open_for_children)
MUTANT(dontfork, (unishm_sys.madvise = inherit, bad.fork_shed = NULL))

static const struct {
	const char *name;
	void (*install)(void);
} mutants[] = {
	{ "no-fork-handlers", forget_fork },
	{ "no-fork-handler-in-child", forget_fork_child },
	{ "umask-applies", mutate_umask },
	{ "size-rounded", mutate_rounded },
	{ "opens-too-small", mutate_any_size },
	{ "ignores-excl", mutate_excl },
	{ "forgets-init", mutate_init },
	{ "close-leaks-descriptor", mutate_descriptor },
	{ "attaches-removed", mutate_removed },
	{ "wrong-last-op-process", mutate_pid },
	{ "counts-attach-twice", mutate_twice },
	{ "ignores-rdonly", mutate_rdonly },
	{ "maps-over-others", mutate_over },
	{ "no-attach-time", mutate_attach_time },
	{ "no-detach-time", mutate_detach_time },
	{ "detach-leaves-mapping", mutate_mapping },
	{ "never-releases-seat", mutate_seat },
	{ "reader-not-locked", mutate_mark_lock },
	{ "slot-not-locked", mutate_slot_lock },
	{ "light-not-locked", mutate_light_lock },
	{ "light-lent-to-children", mutate_light_lent },
	{ "lock-of-process", mutate_process_lock },
	{ "lock-does-nothing", mutate_lock },
	{ "unlock-does-nothing", mutate_unlock },
	{ "remove-does-nothing", mutate_remove },
	{ "chmod-does-nothing", mutate_chmod },
	{ "no-change-time", mutate_change_time },
	{ "chown-does-nothing", mutate_chown },
	{ "removes-successor", mutate_successor },
	{ "remove-is-a-detach", mutate_remove_time },
	{ "removed-keeps-key", mutate_key },
	{ "list-is-empty", mutate_list },
	{ "no-permission-check", mutate_root },
	{ "keeps-memory-of-removed", mutate_memory },
	{ "descriptors-survive-exec", mutate_cloexec },
	{ "child-inherits-seat", mutate_dontfork },
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
		puts(mutants[i].name);
}
