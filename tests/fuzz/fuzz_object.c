/* SPDX-License-Identifier: MIT */
/*
 * A hostile object under a name of ours (Linux).
 *
 * The input is a list of steps. Some are calls of the library; the others change the object, at
 * once or just before the n-th system call that the library makes from then on: its record
 * rewritten, the file cut, grown, renamed, replaced, locked, its mode changed. Each call may return
 * anything, but it must return; what must hold is in check_rest() and next to each call.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../isolate.h"
#include "fuzz.h"
#include "posix/range_lock.h"
#include "posix/record.h"
#include "sys.h"

#define OBJECT "/dev/shm/ushm.00000001"
#define AWAY "/dev/shm/elsewhere"
#define STRANGER "/dev/shm/stranger"

enum {
	KEY = 1,
	NEIGHBOUR = 2,
	HANDLES = 4,
	ATTACHMENTS = 8,
	MUTATIONS = 8,
	MOST_CALLS = 400000, /* of the system, in one call of the library */
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- Changing the object -------------------------------------------------------- */

static struct input *script;     /* where mutations take their bytes from */
static int evil = -1;            /* a descriptor of the object that the fuzzer keeps */
static int locker = -1;          /* another description, for locks */
static bool resized, name_moved; /* since the beginning */
static bool others_write;        /* the mode always lets others write */
static bool within_call;         /* of the library */
static unsigned changes;

static off_t size_of_object(void)
{
	struct stat st;
	return evil >= 0 && fstat(evil, &st) == 0 ? st.st_size : 0;
}

static void put(off_t back, const void *from, size_t size)
{
	off_t at = size_of_object() - back;
	if (evil < 0 || at < 0)
		return;
	if (pwrite(evil, from, size, at) < 0)
		return;
}

/* A field of the head or of a slot gets a value that means something, or any. */
static void rewrite_field(struct input *in)
{
	static const size_t fields[] = { 0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56,
		60, 64, 72 };
	unsigned slots = take_up_to(in, 3);
	uint64_t value = take_number(in);
	size_t back;
	if (slots == 0) {
		back = sizeof(struct record_head) -
				fields[take_up_to(in, sizeof fields / sizeof *fields - 1)];
	} else {
		uint32_t index = slots == 1 ? take_up_to(in, RECORD_INLINE - 1)
				: (uint32_t)take_number(in) % RECORD_SLOTS;
		back = record_slot_back(index) - 4 * take_up_to(in, 9);
	}
	put((off_t)back, &value, take_byte(in) & 1 ? sizeof value : sizeof value / 2);
}

static void rewrite_bytes(struct input *in)
{
	unsigned char bytes[64];
	size_t count = take_up_to(in, sizeof bytes - 1) + 1u;
	off_t back = (off_t)(take_number(in) % RECORD_SIZE);
	for (size_t i = 0; i < count; i++)
		bytes[i] = take_byte(in);
	put(back, bytes, (size_t)back < count ? (size_t)back : count);
}

/* All slots say that they are taken. */
static void fill_slots(struct input *in)
{
	static struct record_slot slots[RECORD_SLOTS];
	uint32_t used = RECORD_SLOTS, word = (uint32_t)take_number(in);
	for (uint32_t i = 0; i < RECORD_SLOTS; i++)
		slots[i] = (struct record_slot){ .word = word, .pid = take_byte(in) };
	put((off_t)record_slot_back(RECORD_SLOTS - 1), slots, sizeof slots);
	put((off_t)RECORD_HEAD_FIELD(slots_used), &used, sizeof used);
}

static bool is_mapped(void);

/* A file that only its owner may write is cut between calls alone: there the library trusts its
 * owner not to do so in the middle of one (map_of() in backends/posix/hold.c). */
static bool may_cut(void)
{
	return !within_call || others_write || !is_mapped() || getenv("UNISHM_FUZZ_CUT");
}

static mode_t mode_for(unsigned wanted)
{
	return (mode_t)wanted | (others_write ? 022 : 0);
}

static void resize(struct input *in)
{
	off_t now = size_of_object(), most = 16 << 20;
	off_t to = (off_t[]){ 0, 1, 4096, now - 1, now + 1, now - RECORD_SIZE, now + RECORD_SIZE,
		now - RECORD_SIZE / 2, RECORD_SIZE, now / 2, 2 * now,
		(off_t)(take_number(in) % (uint64_t)most) }[take_up_to(in, 11)];
	if (evil < 0 || to < 0 || to > most || (to < now && !may_cut()) || ftruncate(evil, to) < 0)
		return;
	resized = true;
}

static void write_file(const char *path, const void *from, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd >= 0 && write(fd, from, size) < 0)
		CHECK(false, "cannot write %s", path);
	if (fd >= 0)
		close(fd);
}

static void move_name(struct input *in)
{
	name_moved = true;
	switch (take_up_to(in, 8)) {
	case 0:
		rename(OBJECT, AWAY);
		break;
	case 1:
		rename(AWAY, OBJECT);
		break;
	case 2:
		unlink(OBJECT);
		break;
	case 3:
		if (symlink(STRANGER, OBJECT) == 0)
			break;
		break;
	case 4:
		mkdir(OBJECT, 0700);
		break;
	case 5:
		mkfifo(OBJECT, 0600);
		break;
	case 6: /* another file of the same look */
		unlink(AWAY);
		if (link(OBJECT, AWAY) == 0)
			break;
		break;
	case 7:
		rename(OBJECT, "/dev/shm/usht.00000003");
		break;
	default:
		rename(OBJECT, "/dev/shm/ushp.00000004");
	}
}

static void lock_something(struct input *in)
{
	struct flock lock = { .l_whence = SEEK_SET };
	unsigned kind = take_up_to(in, 2);
	uint64_t start = (uint64_t[]){ PLACE_CLAIM, PLACE_REMOVE, PLACE_GROW, PLACE_SLOTS,
		PLACE_PINS, PLACE_READERS, 0, PLACE_BASE - 1000 }[take_up_to(in, 7)] +
			take_number(in) % 100000;
	uint64_t length = (uint64_t[]){ 1, 2, 1023, 1024, 1025, 1 << 16, 0 }[take_up_to(in, 6)];
	lock.l_type = (short)(kind == 0 ? F_RDLCK : kind == 1 ? F_WRLCK : F_UNLCK);
	lock.l_start = (off_t)(start <= PLACE_END ? start : PLACE_END);
	lock.l_len = lock.l_start + (off_t)length < 0 ? 0 : (off_t)length;
	if (locker >= 0)
		fcntl(locker, F_OFD_SETLK, &lock);
}

/* Many locks apart from each other: a long list for the kernel to walk. */
static void lock_many(struct input *in)
{
	struct flock lock = { .l_whence = SEEK_SET, .l_type = F_RDLCK, .l_len = 1 };
	unsigned count = take_byte(in) * 4u;
	for (unsigned i = 0; i < count && locker >= 0; i++) {
		lock.l_start = (off_t)(PLACE_READERS + 2 * i);
		fcntl(locker, F_OFD_SETLK, &lock);
	}
}

static void copy_over(void)
{
	static char bytes[4 * RECORD_SIZE];
	int from = open(AWAY, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	ssize_t got = from >= 0 ? read(from, bytes, sizeof bytes) : 0;
	if (from >= 0)
		close(from);
	if (got > 0 && evil >= 0 && pwrite(evil, bytes, (size_t)got, 0) == got)
		resized = true;
}

static void mutate(struct input *in)
{
	changes++;
	switch (take_up_to(in, 9)) {
	case 0:
	case 1:
		rewrite_field(in);
		break;
	case 2:
		rewrite_bytes(in);
		break;
	case 3:
		resize(in);
		break;
	case 4:
		move_name(in);
		break;
	case 5:
		lock_something(in);
		break;
	case 6:
		lock_many(in);
		break;
	case 7:
		fill_slots(in);
		break;
	case 8:
		if (evil >= 0)
			fchmod(evil, mode_for(take_byte(in) | (take_byte(in) & 1u) << 8));
		break;
	default:
		copy_over();
	}
}

/* ---- Between the system calls of the library --------------------------------------- */

static struct unishm_sys real;
static unsigned long calls;
static unsigned long due[MUTATIONS]; /* before which call each is to happen; 0: none */

static void before_call(void)
{
	CHECK(++calls < MOST_CALLS, "a call does not end");
	within_call = true;
	for (unsigned i = 0; i < MUTATIONS; i++)
		if (due[i] && --due[i] == 0)
			mutate(script);
	within_call = false;
}

#define WATCHED(type, name, params, args)  \
	static type watched_##name params  \
	{                                  \
		before_call();             \
		return real.name args;     \
	}

WATCHED(void *, mmap, (void *a, size_t l, int p, int f, int d, off_t o), (a, l, p, f, d, o))
WATCHED(int, munmap, (void *a, size_t l), (a, l))
WATCHED(int, madvise, (void *a, size_t l, int v), (a, l, v))
WATCHED(int, shm_unlink, (const char *n), (n))
WATCHED(int, open, (const char *n, int o, mode_t m), (n, o, m))
WATCHED(int, unlink, (const char *n), (n))
WATCHED(int, close, (int fd), (fd))
WATCHED(int, fstat, (int fd, struct stat *st), (fd, st))
WATCHED(int, stat, (const char *n, struct stat *st), (n, st))
WATCHED(int, openat, (int d, const char *n, int o), (d, n, o))
WATCHED(int, unlinkat, (int d, const char *n, int f), (d, n, f))
WATCHED(int, fstatat, (int d, const char *n, struct stat *st, int f), (d, n, st, f))
WATCHED(int, rename_new, (const char *a, const char *b), (a, b))
WATCHED(int, access, (int fd, int w), (fd, w))
WATCHED(int, linkat, (int fd, const char *a, int d, const char *b, int f), (fd, a, d, b, f))
WATCHED(int, fchmod, (int fd, mode_t m), (fd, m))
WATCHED(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g))
WATCHED(int, ftruncate, (int fd, off_t l), (fd, l))
WATCHED(int, reserve, (int fd, off_t o, off_t l), (fd, o, l))
WATCHED(ssize_t, pread, (int fd, void *b, size_t c, off_t o), (fd, b, c, o))
WATCHED(ssize_t, pwrite, (int fd, const void *b, size_t c, off_t o), (fd, b, c, o))
WATCHED(int, fcntl_lock, (int fd, int cmd, struct flock *l), (fd, cmd, l))
WATCHED(int, mlock, (const void *a, size_t l), (a, l))
WATCHED(DIR *, opendir, (const char *n), (n))
WATCHED(struct dirent *, readdir, (DIR *d), (d))

static void watch(void)
{
	real = unishm_sys;
	unishm_sys.mmap = watched_mmap;
	unishm_sys.munmap = watched_munmap;
	unishm_sys.madvise = watched_madvise;
	unishm_sys.shm_unlink = watched_shm_unlink;
	unishm_sys.open = watched_open;
	unishm_sys.unlink = watched_unlink;
	unishm_sys.close = watched_close;
	unishm_sys.fstat = watched_fstat;
	unishm_sys.stat = watched_stat;
	unishm_sys.openat = watched_openat;
	unishm_sys.unlinkat = watched_unlinkat;
	unishm_sys.fstatat = watched_fstatat;
	unishm_sys.rename_new = watched_rename_new;
	unishm_sys.access = watched_access;
	unishm_sys.linkat = watched_linkat;
	unishm_sys.fchmod = watched_fchmod;
	unishm_sys.fchown = watched_fchown;
	unishm_sys.ftruncate = watched_ftruncate;
	unishm_sys.reserve = watched_reserve;
	unishm_sys.pread = watched_pread;
	unishm_sys.pwrite = watched_pwrite;
	unishm_sys.fcntl_lock = watched_fcntl_lock;
	unishm_sys.mlock = watched_mlock;
	unishm_sys.opendir = watched_opendir;
	unishm_sys.readdir = watched_readdir;
}

static void arm(struct input *in)
{
	for (unsigned i = 0; i < MUTATIONS; i++) {
		if (due[i] == 0) {
			due[i] = 1ul + take_byte(in) % 64;
			return;
		}
	}
}

/* ---- The library's part ------------------------------------------------------------- */

static struct {
	struct unishm *seg;
	void *at[ATTACHMENTS];
	unsigned attached;
	bool busy; /* it was attached, or is just being so */
} handles[HANDLES];
static bool forked;

static bool is_mapped(void)
{
	for (unsigned i = 0; i < HANDLES; i++)
		if (handles[i].seg && handles[i].busy)
			return true;
	return false;
}

static int visit(const struct unishm_status *st, void *arg)
{
	unsigned *seen = arg;
	CHECK(st->size > 0 && strcmp(st->backend, "posix") == 0, "a strange segment of %zu bytes",
			st->size);
	++*seen;
	return 0;
}

static void try_open(struct input *in)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	unsigned i = take_up_to(in, HANDLES - 1), how = take_up_to(in, 4);
	struct unishm *seg = NULL;
	if (handles[i].seg)
		return;
	opt.backend = "posix";
	opt.key = KEY;
	opt.oflag = (int[]){ 0, O_CREAT, O_CREAT | O_EXCL, 0, 0 }[how];
	opt.size = opt.oflag ? 1u + take_byte(in) : 0;
	opt.mode = 0600;
	opt.wait_ms = 1;
	if (how == 3) {
		struct stat st;
		opt.flags = UNISHM_BY_ID;
		opt.key = UNISHM_PRIVATE;
		opt.id = evil >= 0 && fstat(evil, &st) == 0 ? (int)(st.st_ino & INT32_MAX) : 1;
	}
	int rc = unishm_open_with(&seg, &opt);
	check_answer("open", rc);
	CHECK((rc == 0) == (seg != NULL), "open answers %d, the handle is %p", rc, (void *)seg);
	handles[i].seg = seg;
	handles[i].attached = 0;
	handles[i].busy = false;
}

static void try_attach(struct input *in, unsigned i)
{
	int flags = (int[]){ 0, UNISHM_RDONLY, UNISHM_EXEC, UNISHM_RDONLY | UNISHM_POPULATE,
			UNISHM_POPULATE }[take_up_to(in, 4)];
	void *addr = NULL;
	if (handles[i].attached == ATTACHMENTS || unishm_size(handles[i].seg) > 64 << 20)
		return;
	handles[i].busy = true;
	int rc = unishm_attach(handles[i].seg, flags, &addr);
	check_answer("attach", rc);
	CHECK((rc == 0) == (addr != NULL), "attach answers %d, the address is %p", rc, addr);
	if (rc == 0)
		handles[i].at[handles[i].attached++] = addr;
}

static void try_detach(struct input *in, unsigned i)
{
	if (handles[i].attached == 0)
		return;
	unsigned which = take_byte(in) % handles[i].attached;
	int rc = unishm_detach(handles[i].seg, handles[i].at[which]);
	CHECK(rc == 0, "detach answers %d", rc);
	handles[i].at[which] = handles[i].at[--handles[i].attached];
}

static void try_status(unsigned i)
{
	struct unishm_status st;
	memset(&st, 0, sizeof st);
	int rc = unishm_status(handles[i].seg, &st);
	check_answer("status", rc);
	if (rc < 0)
		return;
	CHECK(st.size == unishm_size(handles[i].seg), "the size is %zu now", st.size);
	CHECK(st.number_attached >= handles[i].attached, "%lu attached, and %u of them here",
			st.number_attached, handles[i].attached);
}

static void try_remove(unsigned i)
{
	struct stat before, after;
	bool was = stat(OBJECT, &before) == 0;
	unsigned changes_before = changes;
	int rc = unishm_remove(handles[i].seg);
	check_answer("remove", rc);
	if (rc == 0 && was && changes == changes_before && stat(OBJECT, &after) == 0)
		CHECK(after.st_ino != (ino_t)-1 && (before.st_ino != after.st_ino ||
				(int)(after.st_ino & INT32_MAX) != unishm_id(handles[i].seg)),
				"removed, and the name is still there");
}

static void try_fork(unsigned i)
{
	int ended = 0;
	if (forked)
		return;
	forked = true;
	pid_t pid = fork();
	if (pid == 0) {
		memset(due, 0, sizeof due);
		try_status(i);
		for (unsigned k = 0; k < handles[i].attached; k++)
			CHECK(unishm_detach(handles[i].seg, handles[i].at[k]) == 0,
					"a child cannot detach");
		try_status(i);
		_exit(0);
	}
	CHECK(pid > 0, "cannot fork");
	while (waitpid(pid, &ended, 0) < 0) /* libFuzzer's timer interrupts it */
		CHECK(errno == EINTR, "no child");
	CHECK(WIFEXITED(ended) && WEXITSTATUS(ended) == 0, "the child ends with %#x",
			(unsigned)ended);
}

static void try_handle(struct input *in)
{
	unsigned i = take_up_to(in, HANDLES - 1), what = take_up_to(in, 11);
	struct unishm *seg = handles[i].seg;
	if (!seg)
		return;
	switch (what) {
	case 0:
	case 1:
	case 2:
		try_attach(in, i);
		break;
	case 3:
		try_detach(in, i);
		break;
	case 4:
		try_status(i);
		break;
	case 5:
		try_remove(i);
		break;
	case 6:
		check_answer("lock", unishm_lock(seg));
		break;
	case 7:
		check_answer("unlock", unishm_unlock(seg));
		break;
	case 8:
		check_answer("chmod", unishm_chmod(seg, mode_for(take_byte(in))));
		break;
	case 9:
		check_answer("chown",
				unishm_chown(seg, take_byte(in) & 1 ? 0 : (uid_t)-1, (gid_t)-1));
		break;
	case 10:
		try_fork(i);
		break;
	default:
		unishm_close(seg);
		handles[i].seg = NULL;
	}
}

static void try_all(struct input *in)
{
	unsigned seen = 0;
	int rc = take_byte(in) & 1 ? unishm_list("posix", visit, &seen)
			: unishm_sweep("posix", (int)take_up_to(in, 1), visit, &seen);
	check_answer("list or sweep", rc);
}

static void play(struct input *in)
{
	while (in->left > 0) {
		calls = 0;
		switch (take_up_to(in, 7)) {
		case 0:
		case 1:
			arm(in);
			break;
		case 2:
			mutate(in);
			break;
		case 3:
			try_open(in);
			break;
		case 4:
			try_all(in);
			break;
		default:
			try_handle(in);
		}
	}
}

/* ---- Before and after ----------------------------------------------------------------- */

static struct unishm *neighbour;
static unsigned char *neighbours_bytes;

/* What the input is not about, and must not come to harm by it. */
static void make_neighbours(void)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = "posix";
	opt.key = NEIGHBOUR;
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = 1000;
	opt.mode = 0600;
	void *addr;
	CHECK(unishm_open_with(&neighbour, &opt) == 0, "no neighbour");
	unishm_close(neighbour); /* its maker's mappings have no name */
	opt.oflag = 0;
	CHECK(unishm_open_with(&neighbour, &opt) == 0, "no neighbour");
	CHECK(unishm_attach(neighbour, 0, &addr) == 0, "no neighbour");
	neighbours_bytes = addr;
	memset(neighbours_bytes, 'n', 1000);
	write_file(STRANGER, "stranger", 8);
}

/* Through a description of its own, which changes nothing for the library. */
static void open_evil(void)
{
	evil = open(OBJECT, O_RDWR | O_CLOEXEC);
	locker = open(OBJECT, O_RDWR | O_CLOEXEC);
	evil = evil < 0 ? evil : fcntl(evil, F_DUPFD_CLOEXEC, 110);
	locker = locker < 0 ? locker : fcntl(locker, F_DUPFD_CLOEXEC, 110);
	for (int fd = 3; fd < 100; fd++) {
		char path[32], to[64];
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t length = readlink(path, to, sizeof to - 1);
		if (length > 0 && (to[length] = '\0', strcmp(to, OBJECT) == 0))
			close(fd);
	}
}

/* A segment that was made well (0, 1; 2: for all), or a file that has the input's bytes at the
 * end. */
static void make_object(struct input *in)
{
	unsigned how = take_up_to(in, 3);
	size_t size = take_up_to(in, 1) ? 100 : 70000;
	others_write = how >= 2;
	if (how == 3) {
		unsigned char bytes[200];
		size_t count = take_up_to(in, sizeof bytes - 1) + 1u;
		for (size_t i = 0; i < count; i++)
			bytes[i] = take_byte(in);
		write_file(OBJECT, bytes, count);
		open_evil();
		fchmod(evil, 0666);
		if (ftruncate(evil, (off_t)(take_number(in) % (4 * RECORD_SIZE))) < 0)
			return;
		resized = true;
		put((off_t)count, bytes, count);
		return;
	}
	struct unishm *seg = NULL;
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = "posix";
	opt.key = KEY;
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = size;
	opt.mode = mode_for(0600);
	CHECK(unishm_open_with(&seg, &opt) == 0, "cannot make the object");
	unishm_close(seg);
	open_evil();
}

static void close_all(void)
{
	for (unsigned i = 0; i < HANDLES; i++) {
		calls = 0;
		unishm_close(handles[i].seg);
		handles[i].seg = NULL;
		handles[i].attached = 0;
	}
	memset(due, 0, sizeof due);
}

static void check_rest(unsigned descriptors)
{
	char bytes[16] = "";
	struct unishm_status st = { 0 };
	calls = 0;
	close(evil);
	close(locker);
	evil = locker = -1;
	CHECK(unishm_status(neighbour, &st) == 0, "the neighbour has no status");
	CHECK(st.number_attached == 1 && st.mode == 0600 && st.size == 1000 && !st.removed &&
					!st.inexact,
			"the neighbour has changed: %lu attached, mode %o", st.number_attached,
			(unsigned)st.mode);
	for (unsigned i = 0; i < 1000; i++)
		CHECK(neighbours_bytes[i] == 'n', "byte %u of the neighbour has changed", i);
	int fd = open(STRANGER, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && read(fd, bytes, sizeof bytes) == 8 && memcmp(bytes, "stranger", 8) == 0,
			"a file of others has changed");
	close(fd);
	CHECK(count_mappings("ushm.00000002") == 0, "%u mappings are left",
			count_mappings("ushm.00000002"));
	CHECK(count_descriptors() == descriptors, "%u descriptors, %u before", count_descriptors(),
			descriptors);
}

/* None but the fuzzer writes to where the user's bytes are: they were zero. */
static void check_bytes(void)
{
	static unsigned char bytes[70000];
	struct stat st;
	if (resized || evil < 0 || fstat(evil, &st) < 0 || st.st_size < RECORD_SIZE)
		return;
	ssize_t got = pread(evil, bytes, (size_t)(st.st_size - RECORD_SIZE) < sizeof bytes ?
			(size_t)(st.st_size - RECORD_SIZE) : sizeof bytes, 0);
	for (ssize_t i = 0; i < got; i++)
		CHECK(bytes[i] == 0, "byte %zd of the data was written", i);
}

static void clear_away(void)
{
	rmdir(OBJECT);
	unlink(OBJECT);
	DIR *dir = opendir("/dev/shm");
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "ushm.00000002") == 0 ||
				strcmp(entry->d_name, "stranger") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_begin(false);
	make_neighbours();
	watch();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned descriptors = count_descriptors();
	script = &in;
	resized = name_moved = forked = false;
	calls = 0;
	memset(due, 0, sizeof due);
	make_object(&in);
	play(&in);
	close_all();
	check_bytes();
	check_rest(descriptors);
	clear_away();
	return 0;
}
