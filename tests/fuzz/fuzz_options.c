/* SPDX-License-Identifier: MIT */
/*
 * struct unishm_options of every struct_size, in memory of just that size; and the arguments of the
 * other calls: flags, addresses, modes, ids, names, and a status to be printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../isolate.h"
#include "fuzz.h"

enum { LARGE = 1 << 20 };

static FILE *nowhere;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_begin(true);
	nowhere = fopen("/dev/null", "we");
	return 0;
}

static int init_well(void *addr, size_t size, void *arg)
{
	(void)arg;
	memset(addr, 1, size < 4096 ? size : 4096);
	return 0;
}

static int init_badly(void *addr, size_t size, void *arg)
{
	(void)addr, (void)size, (void)arg;
	return -EDOM;
}

static int init_wrongly(void *addr, size_t size, void *arg)
{
	(void)addr, (void)size, (void)arg;
	return 7; /* no errno */
}

static int visit(const struct unishm_status *st, void *arg)
{
	unsigned *left = arg;
	CHECK(unishm_print(nowhere, st) == 0, "cannot print what was listed");
	return (*left)-- == 0 ? 5 : 0;
}

static const char *take_backend(struct input *in)
{
	static const char *const names[] = {
		NULL, "sysv", "posix", "", "x", "posix ", "sysvposix",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	};
	return names[take_up_to(in, 7)];
}

/* Mostly small, since memory is set aside. */
static size_t take_size(struct input *in)
{
	uint64_t size = take_number(in);
	return size > 256 * (uint64_t)LARGE && size < UINT64_C(1) << 40 ? LARGE : (size_t)size;
}

static void fill_options(struct input *in, struct unishm_options *opt)
{
	static const unishm_init_fn inits[] = { NULL, init_well, init_badly, init_wrongly };
	memset(opt, 0, sizeof *opt);
	opt->struct_size = sizeof *opt;
	opt->backend = take_backend(in);
	opt->key = (key_t)take_up_to(in, 3);
	opt->oflag = (int[]){ 0, O_CREAT, O_CREAT | O_EXCL, O_RDWR, O_CREAT | O_RDWR, O_EXCL,
			O_TRUNC, -1 }[take_up_to(in, 7)];
	opt->size = take_size(in);
	opt->mode = (mode_t)(take_byte(in) < 200 ? 0600 : take_word(in));
	opt->flags = take_byte(in) < 128 ? 0 : (unsigned)take_number(in);
	opt->init = inits[take_up_to(in, 3)];
	opt->id = (int)take_number(in);
	opt->wait_ms = take_up_to(in, 3);
	/* Huge pages that are not set aside may be missing: SIGBUS at the first touch. */
	if (opt->init == init_well && opt->flags & UNISHM_HUGETLB && opt->flags & UNISHM_NORESERVE)
		opt->init = NULL;
}

static void try_attach(struct input *in, struct unishm *seg)
{
	void *const untouched = &nowhere;
	void *addr = untouched, *where = (void *)(uintptr_t)take_number(in);
	int flags = (int)take_number(in);
	bool at = take_byte(in) & 1;
	if (flags & UNISHM_REMAP)
		flags &= ~UNISHM_REMAP; /* it would replace the program */
	if (unishm_size(seg) > LARGE)
		flags &= ~UNISHM_POPULATE;
	int rc = at ? unishm_attach_at(seg, where, flags, &addr) : unishm_attach(seg, flags, &addr);
	check_answer("attach", rc);
	CHECK(rc == 0 || addr == untouched, "a failed attach has an address");
	CHECK(unishm_detach(seg, (char *)addr + 1 + take_byte(in)) == -EINVAL,
			"detached something else");
	if (rc == 0)
		CHECK(unishm_detach(seg, take_byte(in) & 1 ? addr : NULL) == 0, "cannot detach");
	CHECK(unishm_detach(seg, NULL) == -EINVAL, "detached what is not attached");
}

static void try_handle(struct input *in, struct unishm *seg)
{
	struct unishm_status st;
	memset(&st, 0x55, sizeof st);
	int rc = unishm_status(seg, &st);
	check_answer("status", rc);
	if (rc == 0) {
		CHECK(st.size == unishm_size(seg) && st.id == unishm_id(seg),
				"the status is another's");
		CHECK(st.number_attached == 0, "%lu are attached", st.number_attached);
	}
	try_attach(in, seg);
	check_answer("chmod", unishm_chmod(seg, (mode_t)take_number(in)));
	check_answer("chown", unishm_chown(seg, (uid_t)take_number(in), (gid_t)take_number(in)));
	struct unishm *other = NULL;
	rc = unishm_open_id(&other, unishm_id(seg));
	check_answer("open by id", rc);
	unishm_close(other);
}

static void try_options(struct input *in)
{
	struct unishm_options opt;
	struct unishm *const untouched = (struct unishm *)(void *)&nowhere;
	struct unishm *seg = untouched;
	fill_options(in, &opt);
	size_t size = take_byte(in) < 128 ? sizeof opt : take_up_to(in, 2 * sizeof opt);
	size_t told = take_byte(in) < 224 ? size : (size_t)take_number(in);
	unsigned char *bytes = malloc(size + 1), *before = malloc(size + 1);
	opt.struct_size = told < size || told > 4096 ? told : size;
	memset(bytes, take_byte(in) & 1, size + 1); /* what a newer version might have there */
	memcpy(bytes, &opt, size < sizeof opt ? size : sizeof opt);
	memcpy(before, bytes, size);
	if (size < sizeof opt.struct_size)
		goto end;
	/* the byte behind is no part of it: take it away */
	unsigned char *exact = malloc(size ? size : 1);
	memcpy(exact, bytes, size);
	int rc = unishm_open_with(&seg, take_byte(in) == 255 ? NULL : (void *)exact);
	CHECK(rc <= 0 || rc == 7, "open answers %d", rc);
	CHECK(rc == 0 || *unishm_errmsg(), "open answers %d without a message", rc);
	CHECK(rc == 0 || seg == untouched, "a failed open has a handle");
	CHECK(memcmp(exact, before, size) == 0, "the options were changed");
	if (rc == 0) {
		CHECK(opt.struct_size <= size, "options of an unknown version are accepted");
		try_handle(in, seg);
		if (take_byte(in) & 1)
			check_answer("remove", unishm_remove(seg));
		unishm_close(seg);
	}
	free(exact);
end:
	free(bytes);
	free(before);
}

static void try_rest(struct input *in)
{
	struct unishm_status st;
	char name[40];
	unsigned left = take_up_to(in, 3);
	const char *backend = take_backend(in);
	size_t length = take_up_to(in, sizeof name - 1);
	for (size_t i = 0; i < length; i++)
		name[i] = (char)take_byte(in);
	name[length] = '\0';
	key_t key = unishm_key_from_name(name);
	CHECK(key != UNISHM_PRIVATE && key != (key_t)-1, "a key that must not be");
	unishm_key_from_path(name, (int)take_number(in));
	int rc = unishm_list(backend, visit, &left);
	CHECK(rc <= 0 || rc == 5, "list answers %d", rc);
	left = take_up_to(in, 3);
	rc = unishm_sweep(backend, (int)take_number(in), take_byte(in) & 1 ? visit : NULL, &left);
	CHECK(rc <= 0 || rc == 5, "sweep answers %d", rc);
	for (size_t i = 0; i < sizeof st; i++)
		((unsigned char *)&st)[i] = take_byte(in);
	st.backend = "posix";
	/* a bool holds no other bytes */
	memset(&st.locked, (int)(st.mode & 1), sizeof st.locked);
	memset(&st.removed, (int)(st.mode >> 1 & 1), sizeof st.removed);
	check_answer("print", unishm_print(nowhere, &st));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned descriptors = count_descriptors();
	do
		try_options(&in);
	while (in.left > 0 && take_byte(&in) & 1);
	try_rest(&in);
	CHECK(count_descriptors() == descriptors, "%u descriptors, %u before", count_descriptors(),
			descriptors);
	CHECK(count_mappings(NULL) == 0, "%u mappings are left", count_mappings(NULL));
	isolate_sweep();
	return 0;
}
