/* SPDX-License-Identifier: MIT */
#include "actor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emulator.h"
#include "isolate.h"
#include "mutants.h"

const char *const backend_names[BACKENDS] = { "sysv", "posix" };

static struct {
	unsigned number;
	struct unishm *handle[BACKENDS][HANDLES];
	struct slot {
		bool used, rdonly;
		int handle;
		size_t size;
		void *addr[BACKENDS];
	} slot[SLOTS];
	void *last[BACKENDS]; /* what was detached last */
	int replaced[64];     /* descriptors that are the program's own now */
	int replaced_count;
} me;

static const struct command *command;
static struct reply reply;

uid_t user_id(unsigned number)
{
	return number ? FIRST_USER + number : getuid();
}

gid_t group_id(unsigned number)
{
	return number ? FIRST_GROUP + number : getgid();
}

size_t reply_length(const struct reply *r)
{
	/* The two lists are packed one behind the other. */
	return offsetof(struct reply, list) +
			(size_t)(r->listed[SYSV] + r->listed[POSIX]) * sizeof r->list[0][0];
}

/* ---- Small things -------------------------------------------------------- */

static size_t whole_pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (size + page - 1) / page * page;
}

/* A page of the arena: what System V's addresses are multiples of, which is more
 * than the system's page on some processors. */
static size_t step_size(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), boundary = (size_t)SHMLBA;
	return boundary > page ? boundary : page;
}

/* Where actors attach by address: far from where the system puts mappings, at
 * the same offsets for both backends. */
static char *arena(int backend)
{
	uintptr_t base = sizeof base > 4 ? (uintptr_t)(UINT64_C(1) << 45) : 0x20000000;
	return (char *)(base + (uintptr_t)backend * 0x10000000);
}

static char *page_at(int backend, int32_t page)
{
	return arena(backend) + (size_t)page * step_size();
}

/* What lies in the arena from the start and must not be harmed. */
static void prepare_arena(void)
{
	for (int b = 0; b < BACKENDS; b++) {
		char *at = page_at(b, ARENA_TAKEN);
		void *got = mmap(at, ARENA_TAKEN_PAGES * step_size(), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (got != at)
			abort();
		memset(at, 0x5a, ARENA_TAKEN_PAGES * step_size());
	}
}

static int pages_mapped(const void *addr, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char in_core;
	int mapped = 0;
	for (size_t at = 0; at < size; at += page)
		mapped += mincore((char *)(uintptr_t)addr + at, page, &in_core) == 0;
	return mapped;
}

static void note_result(int b, int rc)
{
	reply.rc[b] = rc;
	if (rc >= 0)
		return;
	const char *message = unishm_errmsg();
	reply.wordless[b] = !*message;
	snprintf(reply.message[b], sizeof reply.message[b], "%s", message);
}

static bool not_played(void)
{
	reply.rc[SYSV] = reply.rc[POSIX] = NOT_PLAYED;
	return false;
}

/* ---- Opening ------------------------------------------------------------- */

struct init_call {
	int backend;
	bool fail;
};

static int init_segment(void *addr, size_t size, void *arg)
{
	const struct init_call *call = arg;
	unsigned char *byte = addr;
	reply.inits[call->backend]++;
	for (size_t i = 0; i < size; i++) {
		reply.dirty[call->backend] += byte[i] != 0;
		byte[i] = (unsigned char)(i * 7 + 1);
	}
	return call->fail ? -ECANCELED : 0;
}

/* What a handle is before it is opened: no handle, and no NULL. */
static struct unishm *untouched_handle(void)
{
	static char byte;
	return (struct unishm *)(void *)&byte;
}

static void note_open(int b, int handle, int rc, struct unishm *seg)
{
	note_result(b, rc);
	if (rc < 0) {
		reply.touched[b] = seg != untouched_handle();
		return;
	}
	me.handle[b][handle] = seg;
	reply.id[b] = unishm_id(seg);
	reply.key[b] = unishm_key(seg);
	reply.size[b] = unishm_size(seg);
	reply.created[b] = unishm_created(seg);
	if (strcmp(unishm_backend(seg), backend_names[b]) != 0)
		reply.rc[b] = NOT_PLAYED + 1; /* looks like nothing else */
}

static int oflag_of(int how)
{
	return (how & HOW_CREATE ? O_CREAT : 0) | (how & HOW_EXCL ? O_EXCL : 0) |
			(how & HOW_BAD_OFLAG ? O_TRUNC : 0);
}

static void open_one(int b, const struct step *s)
{
	struct init_call call = { b, s->arg[2] & HOW_INIT_FAILS };
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg = untouched_handle();
	opt.backend = backend_names[b];
	opt.key = s->arg[1] ? command->base_key + s->arg[1] : UNISHM_PRIVATE;
	opt.oflag = oflag_of(s->arg[2]);
	opt.size = s->arg[3] < 0 ? SIZE_MAX : (size_t)s->arg[3];
	opt.mode = (mode_t)s->arg[4];
	opt.flags = s->arg[2] & HOW_NORESERVE ? UNISHM_NORESERVE : 0;
	opt.init = s->arg[2] & HOW_INIT ? init_segment : NULL;
	opt.arg = &call;
	int rc = unishm_open_with(&seg, &opt);
	note_open(b, s->arg[0], rc, seg);
}

static void do_open(const struct step *s)
{
	if (me.handle[SYSV][s->arg[0]] && not_played() == false)
		return;
	for (int b = 0; b < BACKENDS; b++)
		open_one(b, s);
}

static void do_open_id(const struct step *s)
{
	if (me.handle[SYSV][s->arg[0]] && not_played() == false)
		return;
	for (int b = 0; b < BACKENDS; b++) {
		struct unishm *seg = untouched_handle();
		setenv("UNISHM_BACKEND", backend_names[b], 1);
		int rc = unishm_open_id(&seg, command->id[b]);
		unsetenv("UNISHM_BACKEND");
		note_open(b, s->arg[0], rc, seg);
	}
}

static void do_close(const struct step *s)
{
	int handle = s->arg[0];
	for (int b = 0; b < BACKENDS; b++) {
		unishm_close(me.handle[b][handle]);
		me.handle[b][handle] = NULL;
	}
	for (int i = 0; i < SLOTS; i++) {
		struct slot *slot = &me.slot[i];
		if (!slot->used || slot->handle != handle)
			continue;
		for (int b = 0; b < BACKENDS; b++)
			reply.still_mapped[b] += pages_mapped(slot->addr[b], slot->size);
		slot->used = false;
	}
}

/* ---- Attaching ----------------------------------------------------------- */

static void take_slot(const struct step *s, void *const addr[BACKENDS])
{
	if (reply.rc[SYSV] != 0 || reply.rc[POSIX] != 0)
		return;
	struct slot *slot = &me.slot[s->arg[1]];
	*slot = (struct slot){
		.used = true, .rdonly = s->arg[2] & UNISHM_RDONLY, .handle = s->arg[0],
		.size = unishm_size(me.handle[SYSV][s->arg[0]]),
		.addr = { addr[SYSV], addr[POSIX] },
	};
}

static void do_attach(const struct step *s)
{
	void *addr[BACKENDS];
	if (me.slot[s->arg[1]].used && not_played() == false)
		return;
	for (int b = 0; b < BACKENDS; b++) {
		void *const before = &addr;
		addr[b] = before;
		int rc = unishm_attach(me.handle[b][s->arg[0]], s->arg[2], &addr[b]);
		note_result(b, rc);
		reply.touched[b] = rc < 0 && addr[b] != before;
	}
	take_slot(s, addr);
}

static void *where_of(const struct step *s, int b)
{
	switch (s->arg[3]) {
	case AT_NULL: return (void *)(uintptr_t)s->arg[4];
	case AT_TOP: return (void *)(UINTPTR_MAX - step_size() + 1);
	case AT_KERNEL: return (void *)(uintptr_t)UINT64_C(0xffff800000000000);
	default: return page_at(b, s->arg[3]) + s->arg[4];
	}
}

/* Which slots would a mapping at @from replace? -1: some only in part, which the
 * contract leaves to the kernel (section 6, 5). */
static int slots_replaced(int b, const char *from, size_t size)
{
	const char *to = from + whole_pages(size);
	int replaced = 0;
	for (int i = 0; i < SLOTS; i++) {
		const char *at = me.slot[i].addr[b];
		const char *end = at + whole_pages(me.slot[i].size);
		if (!me.slot[i].used || end <= from || at >= to)
			continue;
		if (at < from || end > to)
			return -1;
		replaced |= 1 << i;
	}
	return replaced;
}

static void do_attach_at(const struct step *s)
{
	void *addr[BACKENDS];
	int replaced = 0;
	if (me.slot[s->arg[1]].used && not_played() == false)
		return;
	/* Only what can succeed is worth the question. */
	bool aligned = s->arg[4] == 0 || s->arg[2] & UNISHM_RND;
	if (s->arg[2] & UNISHM_REMAP && s->arg[3] >= 0 && aligned && me.handle[SYSV][s->arg[0]])
		replaced = slots_replaced(SYSV, page_at(SYSV, s->arg[3]),
				unishm_size(me.handle[SYSV][s->arg[0]]));
	if (replaced < 0 && not_played() == false)
		return;
	for (int b = 0; b < BACKENDS; b++) {
		void *const before = &addr;
		addr[b] = before;
		int rc = unishm_attach_at(
				me.handle[b][s->arg[0]], where_of(s, b), s->arg[2], &addr[b]);
		note_result(b, rc);
		reply.touched[b] = rc < 0 && addr[b] != before;
	}
	if (reply.rc[SYSV] == 0 && reply.rc[POSIX] == 0) {
		if ((char *)addr[SYSV] - arena(SYSV) != (char *)addr[POSIX] - arena(POSIX) ||
				(char *)addr[SYSV] != page_at(SYSV, s->arg[3]))
			reply.touched[POSIX] = true; /* not where it was asked for */
		reply.displaced = (unsigned)replaced;
		for (int i = 0; i < SLOTS; i++)
			if (replaced & 1 << i)
				me.slot[i].used = false;
	}
	take_slot(s, addr);
}

static const void *address_to_detach(const struct step *s, int b)
{
	const struct slot *slot = &me.slot[s->arg[1]];
	const char *start = slot->used ? slot->addr[b] : page_at(b, 400);
	switch (s->arg[2]) {
	case DETACH_SLOT: return start;
	case DETACH_NULL: return NULL;
	case DETACH_INSIDE: return start + step_size();
	default: return me.last[b] ? me.last[b] : page_at(b, 400);
	}
}

/* Which slot did a detach empty? The one whose address was given, or the only one
 * of the handle. */
static struct slot *slot_detached(const struct step *s, const void *addr)
{
	for (int i = 0; i < SLOTS; i++) {
		struct slot *slot = &me.slot[i];
		if (slot->used && slot->handle == s->arg[0] && (!addr || slot->addr[SYSV] == addr))
			return slot;
	}
	return NULL;
}

/* Wrong addresses are at the system's choice, so one may be right by chance. */
static bool is_right_by_chance(const struct step *s)
{
	if (s->arg[2] != DETACH_INSIDE && s->arg[2] != DETACH_LAST)
		return false;
	for (int i = 0; i < SLOTS; i++)
		for (int b = 0; b < BACKENDS; b++)
			if (me.slot[i].used && me.slot[i].addr[b] == address_to_detach(s, b))
				return true;
	return false;
}

static void do_detach(const struct step *s)
{
	const void *addr[BACKENDS];
	if (is_right_by_chance(s) && not_played() == false)
		return;
	for (int b = 0; b < BACKENDS; b++) {
		addr[b] = address_to_detach(s, b);
		note_result(b, unishm_detach(me.handle[b][s->arg[0]], addr[b]));
	}
	if (reply.rc[SYSV] != 0 || reply.rc[POSIX] != 0)
		return;
	struct slot *slot = slot_detached(s, addr[SYSV]);
	if (!slot) {
		reply.rc[SYSV] = NOT_PLAYED + 2; /* it succeeded on nothing of ours */
		return;
	}
	slot->used = false;
	for (int b = 0; b < BACKENDS; b++) {
		me.last[b] = slot->addr[b];
		reply.still_mapped[b] += pages_mapped(slot->addr[b], slot->size);
	}
}

/* ---- Bytes --------------------------------------------------------------- */

static _Thread_local sigjmp_buf out_of_trouble;
static _Thread_local volatile sig_atomic_t expecting_trouble;

static void on_trouble(int signal_number)
{
	if (expecting_trouble)
		siglongjmp(out_of_trouble, signal_number);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* Some compilers warn of each variable near sigsetjmp(); no function here reads one
 * after the second return that it changed after the first. */
#if defined __GNUC__ && !defined __clang__
#pragma GCC diagnostic ignored "-Wclobbered"
#endif

static int write_bytes(unsigned char *to, size_t length, int value)
{
	int caught = sigsetjmp(out_of_trouble, 1);
	if (caught == 0) {
		expecting_trouble = 1;
		for (size_t i = 0; i < length; i++)
			((volatile unsigned char *)to)[i] = (unsigned char)(value + (int)i);
	}
	expecting_trouble = 0;
	return caught ? -EFAULT : 0;
}

static void do_write(const struct step *s)
{
	const struct slot *slot = &me.slot[s->arg[0]];
	if (!slot->used && not_played() == false)
		return;
	size_t offset = (size_t)s->arg[1] % slot->size;
	size_t length = (size_t)s->arg[2];
	if (length > slot->size - offset)
		length = slot->size - offset;
	for (int b = 0; b < BACKENDS; b++)
		reply.rc[b] = write_bytes(
				(unsigned char *)slot->addr[b] + offset, length, s->arg[3]);
}

/* Compare what the two mappings hold. */
static void compare_bytes(const struct slot *slot, struct seen_slot *seen)
{
	const volatile unsigned char *sysv = slot->addr[SYSV], *posix = slot->addr[POSIX];
	seen->used = true;
	for (int b = 0; b < BACKENDS; b++)
		seen->gone[b] = pages_mapped(slot->addr[b], 1) == 0;
	if (seen->gone[SYSV] || seen->gone[POSIX])
		return;
	if (sigsetjmp(out_of_trouble, 1)) {
		expecting_trouble = 0;
		seen->gone[POSIX] = true;
		return;
	}
	expecting_trouble = 1;
	if (memcmp(slot->addr[SYSV], slot->addr[POSIX], slot->size) != 0) {
		size_t at = 0;
		while (at < slot->size && sysv[at] == posix[at])
			at++;
		seen->differs = true;
		seen->at = at;
		seen->byte[SYSV] = sysv[at];
		seen->byte[POSIX] = posix[at];
	}
	expecting_trouble = 0;
}

/* ---- Changing ------------------------------------------------------------ */

static void do_chmod(const struct step *s)
{
	for (int b = 0; b < BACKENDS; b++)
		note_result(b, unishm_chmod(me.handle[b][s->arg[0]], (mode_t)s->arg[1]));
}

static void do_chown(const struct step *s)
{
	uid_t user = s->arg[1] < 0 ? (uid_t)-1 : user_id((unsigned)s->arg[1]);
	gid_t group = s->arg[2] < 0 ? (gid_t)-1 : group_id((unsigned)s->arg[2]);
	for (int b = 0; b < BACKENDS; b++)
		note_result(b, unishm_chown(me.handle[b][s->arg[0]], user, group));
}

static void on_both(int (*call)(struct unishm *), int handle)
{
	for (int b = 0; b < BACKENDS; b++)
		note_result(b, call(me.handle[b][handle]));
}

/* Change the effective ids; the real ones stay, so that we can come back. */
static int become(unsigned number)
{
	gid_t groups[] = { number > 1 ? group_id(number - 1) : group_id(number) };
	if (geteuid() == user_id(number))
		return 0;
	if (seteuid(0) < 0 || setgroups(number ? 1 : 0, groups) < 0 ||
			setegid(group_id(number)) < 0 || seteuid(user_id(number)) < 0)
		return -errno;
	return 0;
}

static void do_move(void)
{
	unsigned who = geteuid() == user_id(0) ? 0 : (unsigned)geteuid() - FIRST_USER;
	int rc = become(0);
	if (rc == 0)
		rc = isolate_move_away();
	if (rc == 0)
		rc = become(who);
	reply.rc[SYSV] = reply.rc[POSIX] = rc;
}

/* ---- Strangers' hands ----------------------------------------------------- */

/* Close a descriptor that is not ours, or put one of our own in its place. */
static void seize(int fd, bool replace)
{
	if (fd <= 2 || (fd >= SEATS_AT && fd < SEATS_AT + ACTORS))
		return;
	for (int i = 0; i < me.replaced_count; i++)
		if (me.replaced[i] == fd)
			return;
	close(fd);
	if (!replace || me.replaced_count == 64)
		return;
	int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (own >= 0 && own != fd) {
		dup3(own, fd, O_CLOEXEC);
		close(own);
	}
	me.replaced[me.replaced_count++] = fd;
}

static bool is_null_device(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
}

/* Those of our own must still be there. */
static void give_back(void)
{
	for (int i = 0; i < me.replaced_count; i++) {
		reply.stolen += !is_null_device(me.replaced[i]);
		close(me.replaced[i]);
	}
	me.replaced_count = 0;
}

static void look_at_handle(int handle);

static void seize_all(bool replace)
{
	int fds[128], count = 0;
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) && count < 128)
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
			fds[count++] = atoi(entry->d_name);
	if (dir)
		closedir(dir);
	for (int i = 0; i < count; i++)
		seize(fds[i], replace);
}

/* As daemons do. The library finds out at once, with the rights of now. */
static void do_close_fds(const struct step *s)
{
	seize_all(s->arg[0]);
	for (int i = 0; i < HANDLES; i++)
		look_at_handle(i);
}

/* Handlers of the program around fork(), which run before and after those of the library. */
static int32_t handlers_close;

static void close_before_fork(void)
{
	if (handlers_close & CLOSE_BEFORE_FORK)
		seize_all(handlers_close & CLOSE_AND_REPLACE);
}

static void close_in_parent(void)
{
	if (handlers_close & CLOSE_IN_PARENT)
		seize_all(handlers_close & CLOSE_AND_REPLACE);
}

static void close_in_child(void)
{
	if (handlers_close & CLOSE_IN_CHILD)
		seize_all(handlers_close & CLOSE_AND_REPLACE);
}

/* So that what was closed is found out now, by either. */
static void touch_handles(void)
{
	struct unishm_status st;
	for (int i = 0; i < HANDLES; i++)
		for (int b = 0; b < BACKENDS; b++)
			if (me.handle[b][i])
				unishm_status(me.handle[b][i], &st);
}

/* ---- Processes ----------------------------------------------------------- */

/* The directory of the objects, which the library keeps open for calls after chroot(). */
static bool is_directory_of_objects(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && fcntl(fd, F_GETFL) & O_PATH;
}

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int count = 0, directories = 0;
	while (dir && (entry = readdir(dir))) {
		bool kept = is_directory_of_objects(atoi(entry->d_name)) && directories++ == 0;
		count += !kept;
	}
	if (dir)
		closedir(dir);
	return count;
}

static void answer(void)
{
	if (send(SEATS_AT + (int)me.number, &reply, reply_length(&reply), MSG_NOSIGNAL) < 0)
		_exit(0);
}

static void hello(void)
{
	memset(&reply, 0, offsetof(struct reply, list));
	reply.op = OP_SPAWN;
	reply.pid = getpid();
	reply.descriptors = count_descriptors();
	answer();
}

static void serve(void);

static void do_fork(const struct step *s)
{
	handlers_close = s->arg[1];
	pid_t pid = fork();
	if (handlers_close)
		touch_handles();
	handlers_close = 0;
	if (pid == 0) {
		me.number = (unsigned)s->arg[0];
		hello();
		serve();
	}
	reply.rc[SYSV] = reply.rc[POSIX] = pid < 0 ? -errno : 0;
	reply.pid = pid;
}

/* Execute this program anew; under an emulator, the emulator with it, since the
 * kernel cannot run it. */
static void exec_self(const char *number, const char *user)
{
	char path[512];
	ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
	if (length < 0)
		return;
	path[length] = '\0';
	if (emulator())
		execlp(emulator(), emulator(), path, "--reborn", number, user, mutant,
				(char *)NULL);
	else
		execl(path, "actor", "--reborn", number, user, mutant, (char *)NULL);
}

/* Credentials first: a program that is executed with different real and effective
 * users is a set-id one, and the library ignores the environment there. */
static void do_exec(void)
{
	char number[16], user[16];
	unsigned who = geteuid() == getuid() ? 0 : (unsigned)geteuid() - FIRST_USER;
	snprintf(number, sizeof number, "%u", me.number);
	snprintf(user, sizeof user, "%u", who);
	become(0);
	exec_self(number, user);
	_exit(99);
}

static void do_vfork(const struct step *s)
{
	bool exec = s->arg[0];
	pid_t pid = vfork();
	if (pid == 0) {
		if (exec)
			execl("/bin/true", "true", (char *)NULL);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	reply.rc[SYSV] = reply.rc[POSIX] = pid < 0 ? -errno : 0;
}

static void do_posix_spawn(void)
{
	char *const args[] = { (char *)(uintptr_t)"true", NULL };
	pid_t pid;
	int code = posix_spawn(&pid, "/bin/true", NULL, NULL, args, args + 1);
	if (code == 0)
		waitpid(pid, NULL, 0);
	reply.rc[SYSV] = reply.rc[POSIX] = -code;
}

/* ---- Looking ------------------------------------------------------------- */

static void look_at_handle(int handle)
{
	struct seen_handle *seen = &reply.handle[handle];
	seen->open = me.handle[SYSV][handle];
	if (!seen->open)
		return;
	for (int b = 0; b < BACKENDS; b++) {
		struct unishm_status *st = &seen->st[b];
		seen->rc[b] = unishm_status(me.handle[b][handle], st);
		if (seen->rc[b] == 0 &&
				(!st->backend || strcmp(st->backend, backend_names[b]) != 0))
			seen->backend_wrong = true;
	}
}

static void look_at_all(void)
{
	for (int i = 0; i < HANDLES; i++)
		look_at_handle(i);
	for (int i = 0; i < SLOTS; i++)
		if (me.slot[i].used)
			compare_bytes(&me.slot[i], &reply.slot[i]);
}

struct lister {
	struct unishm_status *list;
	int count;
};

static int list_one(const struct unishm_status *st, void *arg)
{
	struct lister *to = arg;
	if (to->count < LIST_MOST)
		to->list[to->count++] = *st;
	return 0;
}

static void do_list(void)
{
	for (int b = 0; b < BACKENDS; b++) {
		struct lister to = { b ? &reply.list[0][reply.listed[SYSV]] : reply.list[0], 0 };
		note_result(b, unishm_list(backend_names[b], list_one, &to));
		reply.listed[b] = to.count;
	}
}

static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;
	while (maps && fgets(line, sizeof line, maps))
		count += strstr(line, "/SYSV") || strstr(line, "/dev/shm/");
	if (maps)
		fclose(maps);
	return count;
}

/* Close all, and say what is still there. */
static void do_end(void)
{
	for (int i = 0; i < HANDLES; i++)
		do_close(&(struct step){ .arg = { i } });
	give_back();
	reply.descriptors = count_descriptors();
	reply.mappings = count_mappings();
}

/* ---- Serving ------------------------------------------------------------- */

static void play(const struct step *s)
{
	switch (s->op) {
	case OP_OPEN: do_open(s); break;
	case OP_OPEN_ID: do_open_id(s); break;
	case OP_CLOSE: do_close(s); break;
	case OP_ATTACH: do_attach(s); break;
	case OP_ATTACH_AT: do_attach_at(s); break;
	case OP_DETACH: do_detach(s); break;
	case OP_WRITE: do_write(s); break;
	case OP_CHMOD: do_chmod(s); break;
	case OP_CHOWN: do_chown(s); break;
	case OP_BECOME: reply.rc[SYSV] = reply.rc[POSIX] = become((unsigned)s->arg[0]); break;
	case OP_UMASK: umask((mode_t)s->arg[0]); break;
	case OP_LOCK: on_both(unishm_lock, s->arg[0]); break;
	case OP_UNLOCK: on_both(unishm_unlock, s->arg[0]); break;
	case OP_REMOVE: on_both(unishm_remove, s->arg[0]); break;
	case OP_FORK: do_fork(s); break;
	case OP_EXEC: do_exec(); break;
	case OP_EXIT: if (s->arg[0]) exit(0); _exit(0);
	case OP_VFORK: do_vfork(s); break;
	case OP_POSIX_SPAWN: do_posix_spawn(); break;
	case OP_LIST: do_list(); break;
	case OP_CLOSE_FDS: do_close_fds(s); break;
	case OP_MOVE: do_move(); break;
	case OP_LOOK: look_at_all(); break;
	case OP_END: do_end(); break;
	}
}

static void *play_in_thread(void *arg)
{
	play(arg);
	return NULL;
}

static void obey(const struct step *s)
{
	pthread_t thread;
	memset(&reply, 0, offsetof(struct reply, list));
	reply.op = s->op;
	if (s->thread && pthread_create(&thread, NULL, play_in_thread, (void *)(uintptr_t)s) == 0)
		pthread_join(thread, NULL);
	else
		play(s);
	if (s->look == LOOK_HANDLE && s->op >= OP_OPEN && s->op <= OP_REMOVE &&
			s->op != OP_BECOME && s->op != OP_UMASK && s->op != OP_WRITE)
		look_at_handle(s->arg[0]);
}

static void serve(void)
{
	for (;;) {
		struct command now;
		if (recv(SEATS_AT + (int)me.number, &now, sizeof now, 0) != sizeof now)
			_exit(0);
		command = &now;
		obey(&now.step);
		answer();
	}
}

static void settle_in(unsigned number)
{
	struct sigaction action = { .sa_handler = on_trouble };
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	signal(SIGCHLD, SIG_IGN);
	pthread_atfork(close_before_fork, close_in_parent, close_in_child);
	me.number = number;
	prepare_arena();
}

_Noreturn void actor_run(unsigned number)
{
	settle_in(number);
	hello();
	serve();
	abort();
}

bool actor_is_reborn(int argc, char **argv)
{
	if (argc < 4 || strcmp(argv[1], "--reborn") != 0)
		return false;
	if (argc > 4 && !mutate(argv[4]))
		_exit(98);
	settle_in((unsigned)strtoul(argv[2], NULL, 10));
	if (become((unsigned)strtoul(argv[3], NULL, 10)) < 0)
		_exit(97);
	hello();
	serve();
	return true;
}
