/* SPDX-License-Identifier: MIT */
/*
 * Sequences of calls, on both backends side by side, against a small model: three keys, six
 * handles, in one process and perhaps a child of it. Where the model knows the answer, both must
 * give it; else both must give the same. tests/model does so with many processes and users; this
 * one is guided by coverage, and has the sanitizers on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../isolate.h"
#include "fuzz.h"

enum { KEYS = 3, HANDLES = 6, ATTACHMENTS = 6, SEGMENTS = 64, BACKENDS = 2, INSIDE = 16384 };
static const char *const names[BACKENDS] = { "sysv", "posix" };

struct model_segment {
	size_t size;
	mode_t mode;
	unsigned attached;
	bool removed;
	unsigned char first; /* the byte that was written last */
	bool lock_ended; /* on POSIX perhaps, with the handle that locked: unishm_lock() says so */
};

static struct model_segment segments[SEGMENTS];
static unsigned made;
static int of_key[KEYS]; /* which segment; -1: none */
static struct {
	bool open;
	int segment;
	struct unishm *seg[BACKENDS];
	void *at[BACKENDS][ATTACHMENTS];
	bool read_only[ATTACHMENTS];
	unsigned attached;
	bool locked; /* by this handle */
} handles[HANDLES];
static bool forked;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_begin(true);
	return 0;
}

/* ---- Answers ----------------------------------------------------------------------- */

enum { UNKNOWN = 1 };

static int agree(const char *call, const int rc[BACKENDS], int expected)
{
	check_answer(call, rc[0]);
	check_answer(call, rc[1]);
	CHECK(rc[0] == rc[1], "%s: %d on sysv, %d on posix", call, rc[0], rc[1]);
	CHECK(expected == UNKNOWN || rc[0] == expected, "%s: %d, not %d", call, rc[0], expected);
	return rc[0];
}

static struct model_segment *segment_of(unsigned i)
{
	return &segments[handles[i].segment];
}

static bool is_gone(unsigned i)
{
	return segment_of(i)->removed && segment_of(i)->attached == 0;
}

/* ---- Calls -------------------------------------------------------------------------- */

static int init(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 'i', size < 100 ? size : 100);
	return 0;
}

static int expected_of_open(const struct unishm_options *opt, int there)
{
	if (there >= 0 && opt->oflag & O_EXCL)
		return -EEXIST;
	if (there >= 0)
		return opt->size > segments[there].size ? -EINVAL : 0;
	if (!(opt->oflag & O_CREAT))
		return -ENOENT;
	return opt->size == 0 ? -EINVAL : 0;
}

static void try_open(struct input *in, unsigned i)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	unsigned key = take_up_to(in, KEYS); /* 0: private */
	int rc[BACKENDS], there = key ? of_key[key - 1] : -1;
	if (handles[i].open || made == SEGMENTS)
		return;
	opt.key = (key_t)key;
	opt.oflag = (int[]){ 0, O_CREAT, O_CREAT | O_EXCL }[take_up_to(in, 2)];
	opt.size = (size_t[]){ 0, 1, 100, 4096, 70000 }[take_up_to(in, 4)];
	opt.mode = (mode_t[]){ 0600, 0666, 0400, 0 }[take_up_to(in, 3)];
	opt.init = take_byte(in) & 1 ? init : NULL;
	if (key == 0)
		opt.oflag |= O_CREAT;
	for (unsigned b = 0; b < BACKENDS; b++) {
		opt.backend = names[b];
		rc[b] = unishm_open_with(&handles[i].seg[b], &opt);
	}
	if (agree("open", rc, expected_of_open(&opt, there)) < 0)
		return;
	if (there < 0) {
		segments[made] = (struct model_segment){ opt.size, opt.mode, 0, false,
				opt.init ? 'i' : 0, false };
		there = (int)made++;
		if (key)
			of_key[key - 1] = there;
	}
	handles[i].open = true;
	handles[i].segment = there;
	handles[i].attached = 0;
	handles[i].locked = false;
}

static void try_open_by_id(unsigned i, unsigned from)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	int rc[BACKENDS];
	if (handles[i].open || !handles[from].open)
		return;
	opt.flags = UNISHM_BY_ID;
	for (unsigned b = 0; b < BACKENDS; b++) {
		opt.backend = names[b];
		opt.id = unishm_id(handles[from].seg[b]);
		rc[b] = unishm_open_with(&handles[i].seg[b], &opt);
	}
	if (agree("open by id", rc, segment_of(from)->removed ? -ENOENT : 0) < 0)
		return;
	handles[i].open = true;
	handles[i].segment = handles[from].segment;
	handles[i].attached = 0;
	handles[i].locked = false;
}

static void try_attach(struct input *in, unsigned i)
{
	int rc[BACKENDS], flags = take_byte(in) & 1 ? UNISHM_RDONLY : 0;
	unsigned k = handles[i].attached;
	if (k == ATTACHMENTS)
		return;
	flags |= take_byte(in) & 1 ? UNISHM_POPULATE : 0;
	for (unsigned b = 0; b < BACKENDS; b++)
		rc[b] = unishm_attach(handles[i].seg[b], flags, &handles[i].at[b][k]);
	if (agree("attach", rc, segment_of(i)->removed ? -EIDRM : 0) < 0)
		return;
	handles[i].read_only[k] = flags & UNISHM_RDONLY;
	handles[i].attached++;
	segment_of(i)->attached++;
	for (unsigned b = 0; b < BACKENDS; b++)
		CHECK(*(unsigned char *)handles[i].at[b][k] == segment_of(i)->first,
				"%s: not its bytes", names[b]);
}

static void try_write(struct input *in, unsigned i)
{
	if (handles[i].attached == 0)
		return;
	unsigned k = take_byte(in) % handles[i].attached;
	if (handles[i].read_only[k])
		return;
	segment_of(i)->first = take_byte(in);
	for (unsigned b = 0; b < BACKENDS; b++)
		*(unsigned char *)handles[i].at[b][k] = segment_of(i)->first;
}

/* What is detached is not mapped; nothing else took its place. */
static bool is_mapped(void *addr)
{
	unsigned char in_core;
	return mincore(addr, 1, &in_core) == 0;
}

static void forget_attachment(unsigned i, unsigned k)
{
	unsigned last = --handles[i].attached;
	for (unsigned b = 0; b < BACKENDS; b++)
		handles[i].at[b][k] = handles[i].at[b][last];
	handles[i].read_only[k] = handles[i].read_only[last];
	segment_of(i)->attached--;
}

static void try_detach(struct input *in, unsigned i)
{
	int rc[BACKENDS];
	unsigned k = handles[i].attached ? take_byte(in) % handles[i].attached : 0;
	bool by_null = take_byte(in) & 1;
	if (handles[i].attached == 0)
		by_null = true;
	for (unsigned b = 0; b < BACKENDS; b++) {
		rc[b] = unishm_detach(handles[i].seg[b], by_null ? NULL : handles[i].at[b][k]);
		CHECK(rc[b] < 0 || !is_mapped(handles[i].at[b][k]),
				"%s: what was detached is mapped", names[b]);
	}
	if (agree("detach", rc, by_null && handles[i].attached != 1 ? -EINVAL : 0) == 0)
		forget_attachment(i, k);
}

/* Every attachment has the bytes of its segment, whatever became of those beside it. */
static void check_bytes(void)
{
	for (unsigned i = 0; i < HANDLES; i++)
		for (unsigned k = 0; handles[i].open && k < handles[i].attached; k++)
			for (unsigned b = 0; b < BACKENDS; b++)
				CHECK(*(unsigned char *)handles[i].at[b][k] == segment_of(i)->first,
						"%s: not its bytes any more", names[b]);
}

static void check_status(unsigned i)
{
	struct unishm_status st[BACKENDS];
	int rc[BACKENDS];
	memset(st, 0, sizeof st);
	for (unsigned b = 0; b < BACKENDS; b++)
		rc[b] = unishm_status(handles[i].seg[b], &st[b]);
	if (agree("status", rc, is_gone(i) ? -EIDRM : 0) < 0)
		return;
	for (unsigned b = 0; b < BACKENDS; b++) {
		CHECK(st[b].number_attached == segment_of(i)->attached, "%s: %lu attached, not %u",
				names[b], st[b].number_attached, segment_of(i)->attached);
		CHECK(st[b].size == segment_of(i)->size && st[b].mode == segment_of(i)->mode &&
				st[b].removed == segment_of(i)->removed && !st[b].inexact,
				"%s: size %zu, mode %o, removed %d, inexact %x", names[b],
				st[b].size, (unsigned)st[b].mode, st[b].removed, st[b].inexact);
	}
	CHECK(st[0].key == st[1].key &&
			(segment_of(i)->lock_ended || st[0].locked == st[1].locked) &&
			st[0].last_op_process == st[1].last_op_process &&
			st[0].creator_process == st[1].creator_process &&
			(st[0].last_attach_time == 0) == (st[1].last_attach_time == 0) &&
			(st[0].last_detach_time == 0) == (st[1].last_detach_time == 0),
			"the status differs: key %ld and %ld, locked %d and %d, "
			"last process %ld and %ld",
			(long)st[0].key, (long)st[1].key, st[0].locked, st[1].locked,
			(long)st[0].last_op_process, (long)st[1].last_op_process);
}

/* Many attachments of one handle, of which some are detached, in an order of their own. */
static void try_several(struct input *in, unsigned i)
{
	unsigned more = take_up_to(in, ATTACHMENTS), fewer = take_up_to(in, ATTACHMENTS);
	while (more-- > 0)
		try_attach(in, i);
	check_status(i);
	while (fewer-- > 0) {
		try_detach(in, i);
		check_status(i);
		check_bytes();
	}
}

/* In the midst of an attachment, none begins: nothing can be detached there, or replaced. */
static void try_inside(unsigned i, unsigned k)
{
	int rc[BACKENDS];
	void *at;
	if (segment_of(i)->size <= INSIDE)
		return;
	for (unsigned b = 0; b < BACKENDS; b++)
		rc[b] = unishm_detach(handles[i].seg[b], (char *)handles[i].at[b][k] + INSIDE);
	agree("detach inside", rc, -EINVAL);
	for (unsigned b = 0; b < BACKENDS; b++)
		rc[b] = unishm_attach_at(handles[i].seg[b], (char *)handles[i].at[b][k] + INSIDE,
				UNISHM_REMAP, &at);
	agree("attach over a part", rc, segment_of(i)->removed ? UNKNOWN : -EINVAL);
}

/* One attachment in the place of another: as many as before. */
static void try_replace(unsigned i, unsigned k, int flags)
{
	int rc[BACKENDS];
	void *at[BACKENDS] = { NULL, NULL };
	for (unsigned b = 0; b < BACKENDS; b++)
		rc[b] = unishm_attach_at(handles[i].seg[b], handles[i].at[b][k],
				flags | UNISHM_REMAP, &at[b]);
	if (agree("replace", rc, segment_of(i)->removed ? -EIDRM : 0) < 0)
		return;
	handles[i].read_only[k] = flags & UNISHM_RDONLY;
	for (unsigned b = 0; b < BACKENDS; b++)
		CHECK(at[b] == handles[i].at[b][k], "%s: attached elsewhere", names[b]);
}

static void try_more(struct input *in, unsigned i)
{
	unsigned what = take_up_to(in, 3);
	if (what < 2)
		try_several(in, i);
	else if (handles[i].attached > 0 && what == 2)
		try_inside(i, take_byte(in) % handles[i].attached);
	else if (handles[i].attached > 0)
		try_replace(i, take_byte(in) % handles[i].attached,
				take_byte(in) & 1 ? UNISHM_RDONLY : 0);
}

static void try_remove(unsigned i)
{
	int rc[BACKENDS];
	for (unsigned b = 0; b < BACKENDS; b++)
		rc[b] = unishm_remove(handles[i].seg[b]);
	agree("remove", rc, is_gone(i) ? -EIDRM : 0);
	segment_of(i)->removed = true;
	for (unsigned k = 0; k < KEYS; k++)
		if (of_key[k] == handles[i].segment)
			of_key[k] = -1;
}

static void try_change(struct input *in, unsigned i)
{
	int rc[BACKENDS];
	unsigned what = take_up_to(in, 3);
	mode_t mode = (mode_t[]){ 0600, 0666, 0, 0444, 01000 }[take_up_to(in, 4)];
	for (unsigned b = 0; b < BACKENDS; b++) {
		struct unishm *seg = handles[i].seg[b];
		rc[b] = what == 0 ? unishm_chmod(seg, mode) :
				what == 1 ? unishm_chown(seg, (uid_t)-1, (gid_t)-1) :
				what == 2 ? unishm_lock(seg) : unishm_unlock(seg);
	}
	static const char *const calls[] = { "chmod", "chown", "lock", "unlock" };
	int done = agree(calls[what], rc, is_gone(i) && mode <= 0777 ? -EIDRM : UNKNOWN);
	if (done == 0 && what == 0)
		segment_of(i)->mode = mode;
	if (done == 0 && what == 2)
		handles[i].locked = true;
	if (done == 0 && what == 3)
		segment_of(i)->lock_ended = false;
}

static void close_handle(unsigned i)
{
	for (unsigned b = 0; b < BACKENDS; b++)
		unishm_close(handles[i].seg[b]);
	segment_of(i)->attached -= handles[i].attached;
	segment_of(i)->lock_ended |= handles[i].locked;
	handles[i].open = false;
}

static int count_one(const struct unishm_status *st, void *arg)
{
	(void)st;
	++*(unsigned *)arg;
	return 0;
}

static void check_list(void)
{
	for (unsigned b = 0; b < BACKENDS; b++) {
		unsigned found = 0, there = 0;
		CHECK(unishm_list(names[b], count_one, &found) == 0, "cannot list");
		for (unsigned s = 0; s < made; s++)
			there += !segments[s].removed || (b == 0 && segments[s].attached > 0);
		CHECK(found == there, "%s: %u segments, not %u", names[b], found, there);
	}
}

static _Noreturn void be_child(struct input *in, unsigned i, int go)
{
	char byte;
	if (read(go, &byte, 1) < 0)
		_exit(1);
	for (unsigned k = 0; k < HANDLES; k++)
		if (handles[k].open)
			segment_of(k)->attached += handles[k].attached;
	check_status(i);
	if (handles[i].attached > 0)
		try_detach(in, i);
	check_status(i);
	close_handle(i);
	_exit(0);
}

/* The child detaches one and closes the handle; the parent looks before and after. */
static void try_fork(struct input *in, unsigned i)
{
	int ended = 0, ready[2], go[2];
	if (forked || pipe(ready) < 0 || pipe(go) < 0)
		return;
	forked = true;
	pid_t pid = fork();
	if (pid == 0) {
		close(go[1]);
		be_child(in, i, go[0]);
	}
	close(go[0]);
	close(ready[0]);
	close(ready[1]);
	CHECK(pid > 0, "cannot fork");
	unsigned others[SEGMENTS] = { 0 };
	for (unsigned k = 0; k < HANDLES; k++)
		if (handles[k].open)
			others[handles[k].segment] += handles[k].attached;
	for (unsigned s = 0; s < made; s++)
		segments[s].attached += others[s];
	for (unsigned b = 0; b < BACKENDS; b++) {
		struct unishm_status st = { 0 };
		int rc = unishm_status(handles[i].seg[b], &st);
		CHECK(rc == (is_gone(i) ? -EIDRM : 0), "%s: status answers %d", names[b], rc);
		CHECK(rc < 0 || st.number_attached == segment_of(i)->attached,
				"%s: after a fork %lu, not %u", names[b], st.number_attached,
				segment_of(i)->attached);
	}
	close(go[1]);
	while (waitpid(pid, &ended, 0) < 0) /* libFuzzer's timer interrupts it */
		CHECK(errno == EINTR, "no child");
	CHECK(WIFEXITED(ended) && WEXITSTATUS(ended) == 0,
			"the child ends with %#x", (unsigned)ended);
	for (unsigned s = 0; s < made; s++)
		segments[s].attached -= others[s];
	/* the kernel has the exits of System V written down; POSIX looks now, as the last one */
	for (unsigned k = 0; k < HANDLES; k++) {
		struct unishm_status st;
		if (handles[k].open)
			unishm_status(handles[k].seg[1], &st);
	}
}

static void play(struct input *in)
{
	while (in->left > 0) {
		unsigned i = take_up_to(in, HANDLES - 1), what = take_up_to(in, 13);
		if (what < 3)
			try_open(in, i);
		else if (what == 3)
			try_open_by_id(i, take_up_to(in, HANDLES - 1));
		else if (what == 4)
			check_list();
		else if (!handles[i].open)
			continue;
		else if (what < 7)
			try_attach(in, i);
		else if (what == 7)
			try_detach(in, i);
		else if (what == 8)
			try_write(in, i);
		else if (what == 9)
			try_remove(i);
		else if (what == 10)
			try_change(in, i);
		else if (what == 11)
			close_handle(i);
		else if (what == 12 && take_byte(in) & 1)
			try_fork(in, i);
		else if (what == 13)
			try_more(in, i);
		check_bytes();
		if (handles[i].open)
			check_status(i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned descriptors = count_descriptors();
	made = 0;
	forked = false;
	of_key[0] = of_key[1] = of_key[2] = -1;
	play(&in);
	/* This process knows its own attachments; a child reads what is written down of them. */
	for (unsigned i = 0; i < HANDLES; i++)
		if (handles[i].open && handles[i].attached > 0)
			try_fork(&in, i);
	for (unsigned i = 0; i < HANDLES; i++)
		if (handles[i].open)
			close_handle(i);
	CHECK(count_descriptors() == descriptors, "%u descriptors, %u before", count_descriptors(),
			descriptors);
	CHECK(count_mappings(NULL) == 0, "%u mappings are left", count_mappings(NULL));
	isolate_sweep();
	CHECK(isolate_posix_memory() == 0 && isolate_sysv_memory() == 0,
			"memory is left: %zu and %zu bytes", isolate_posix_memory(),
			isolate_sysv_memory());
	return 0;
}
