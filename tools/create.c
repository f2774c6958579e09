/* SPDX-License-Identifier: MIT */
/* unishm create */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "segments.h"
#include "system.h"
#include "transfer.h"

enum { PATIENCE = 10 }; /* seconds for another process that creates the segment */

struct source {
	const char *name; /* NULL: none */
	int fd;
	size_t got;
	bool told; /* a line on stderr says what is wrong */
};

/* ---- Filling from a file -------------------------------------------------- */

static int too_long(struct source *source, size_t size)
{
	fail("create --from %s: the file is longer than %zu byte%s; give a larger size",
			source->name, size, plural(size));
	source->told = true;
	return -EFBIG;
}

static int unreadable(struct source *source, int error)
{
	fail("create --from %s: %s; nothing was created", source->name, strerror(error));
	source->told = true;
	return -error;
}

/* The library calls this before anyone else sees the segment; after an error nothing is left. */
static int fill(void *addr, size_t size, void *arg)
{
	struct source *source = arg;
	while (source->got < size) {
		ssize_t got = read(source->fd, (char *)addr + source->got,
				transfer_chunk(size - source->got));
		if (transfer_interrupted())
			return -EINTR;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return unreadable(source, errno);
		if (got == 0)
			return 0;
		source->got += (size_t)got;
	}
	char beyond;
	return read(source->fd, &beyond, 1) > 0 ? too_long(source, size) : 0;
}

static int open_source(struct source *source, size_t *size, bool size_given)
{
	struct stat st;
	bool standard_input = strcmp(source->name, "-") == 0;
	source->fd = standard_input ? STDIN_FILENO : open(source->name, O_RDONLY | O_CLOEXEC);
	if (source->fd < 0 || fstat(source->fd, &st) < 0)
		return fail("create --from %s: %s; give a file that can be read", source->name,
				strerror(errno));
	if (S_ISDIR(st.st_mode))
		return fail("create --from %s: it is a directory; give a file", source->name);
	if (size_given)
		return DONE;
	if (!S_ISREG(st.st_mode) || st.st_size < 1)
		return usage_error("--from %s does not say how large the segment should be; "
				"give a SIZE", source->name);
	*size = (size_t)st.st_size;
	return DONE;
}

/* ---- The command ---------------------------------------------------------- */

/* A segment that was there before: it is left as it is, and must be what was asked for. */
static int existed(struct unishm *seg, const struct unishm_options *opt, const char *text,
		bool mode_given)
{
	struct unishm_status st;
	if (unishm_status(seg, &st) < 0)
		return library_failed();
	if (mode_given && st.mode != opt->mode)
		return fail("create %s: it exists with mode %s, not %s; nothing changed; "
				"change it with unishm chmod, or leave out --mode", text,
				mode_letters(st.mode).text, mode_letters(opt->mode).text);
	tell("%s exists, mode %s, %s; nothing changed", text, mode_letters(st.mode).text,
			human_size(st.size).text);
	return DONE;
}

/* The handle tells enough: a status needs read permission, which the mode may deny. */
static int created(struct unishm *seg, const struct unishm_options *opt, const char *text,
		bool mode_given)
{
	struct unishm_status st = {
		.backend = unishm_backend(seg),
		.key = unishm_key(seg),
		.id = unishm_id(seg),
	};
	int status = unishm_created(seg) ? DONE : existed(seg, opt, text, mode_given);
	if (status == DONE)
		puts(segment_spelling(&st).text);
	unishm_close(seg);
	return status;
}

/* Why a segment that exists could not be opened with this size. */
static int too_small(const struct unishm_options *wanted, const char *text)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	opt.backend = wanted->backend;
	opt.key = wanted->key;
	if (wanted->key == UNISHM_PRIVATE || unishm_open_with(&seg, &opt) < 0)
		return DONE;
	size_t size = unishm_size(seg);
	unishm_close(seg);
	if (size >= wanted->size)
		return DONE;
	return fail("create %s: it exists and has %zu byte%s, fewer than %zu; nothing changed; "
			"remove it first, or ask for no more", text, size, plural(size),
			wanted->size);
}

/* The right that is missing may be one on the directory, not on a segment. */
static int no_place(const struct unishm_options *opt, const char *text)
{
	const char *directory = system_shm_directory();
	if (strcmp(opt->backend, "posix") != 0 || !directory || access(directory, W_OK | X_OK) == 0)
		return DONE;
	return fail("create %s: this user cannot create anything in %s: %s; see unishm doctor",
			text, directory, strerror(errno));
}

static int not_created(int rc, const struct unishm_options *opt, const char *text, bool told)
{
	const char *why = library_message(); /* before other calls fail */
	if (opt->init && transfer_interrupted())
		return fail("create %s: interrupted; nothing was created", text);
	if (rc == -ETIMEDOUT)
		return fail("create %s: another process has been creating it for %u seconds; "
				"wait for it, or end it", text, PATIENCE);
	if (told)
		return FAILED;
	if (rc == -EEXIST)
		return fail("create %s: it exists already; "
				"choose another key, or remove it first%s",
				text, opt->init ? "" : ", or leave out --exclusive");
	if (rc == -EINVAL && too_small(opt, text) != DONE)
		return FAILED;
	if ((rc == -EACCES || rc == -EROFS) && no_place(opt, text) != DONE)
		return FAILED;
	return fail("%s", why);
}

static int create(struct unishm_options *opt, struct source *source, const char *text,
		bool mode_given)
{
	struct unishm *seg;
	if (source->name) {
		opt->init = fill;
		opt->arg = source;
		if (opt->key != UNISHM_PRIVATE)
			opt->oflag |= O_EXCL; /* what exists would keep its bytes */
		transfer_catch_signals();
	}
	opt->wait_ms = PATIENCE * 1000;
	int rc = unishm_open_with(&seg, opt);
	if (rc < 0)
		return not_created(rc, opt, text, source->told);
	return created(seg, opt, text, mode_given);
}

static int take_option(int c, struct unishm_options *opt, struct source *source, bool *mode_given)
{
	switch (c) {
	case 'm':
		*mode_given = true;
		return parse_mode(optarg, opt->mode, &opt->mode);
	case 'x': opt->oflag |= O_EXCL; return DONE;
	case 'f': source->name = optarg; return DONE;
	case OPT_NORESERVE: opt->flags |= UNISHM_NORESERVE; return DONE;
	case OPT_HUGETLB: opt->flags |= UNISHM_HUGETLB; return DONE;
	default: return option_status;
	}
}

static int run_create(int argc, char **argv)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct source source = { NULL, -1, 0, false };
	struct segment_ref ref;
	bool mode_given = false;
	opt.mode = 0600;
	opt.oflag = O_CREAT;
	for (int c; (c = next_option(argc, argv)) != -1;) {
		int rc = take_option(c, &opt, &source, &mode_given);
		if (rc != DONE || c == '?')
			return rc;
	}
	int given = argc - optind;
	if (given > 2 || given < (source.name ? 1 : 2))
		return usage_error("give a key and a size");
	int rc = parse_new_segment(argv[optind], &ref);
	if (rc == DONE && given == 2)
		rc = parse_bytes(argv[optind + 1], "the size", 1, &opt.size);
	if (rc == DONE && source.name)
		rc = open_source(&source, &opt.size, given == 2);
	if (rc != DONE)
		return rc;
	opt.backend = ref.backend;
	opt.key = ref.key;
	return create(&opt, &source, argv[optind], mode_given);
}

const struct command create_command = {
	.bit = CREATE,
	.name = "create",
	.arguments = "[OPTION]... KEY SIZE",
	.summary = "Create a segment",
	.notes = "KEY is a SEGMENT other than id:NUMBER, or private. SIZE is in bytes, "
		"or with a unit: 64K, 4KiB, 1.5M. A segment that exists is left as it is.",
	.first = WORD_KEY,
	.rest = WORD_OTHER,
	.run = run_create,
};
