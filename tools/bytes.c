/* SPDX-License-Identifier: MIT */
/* unishm read and write */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "segments.h"
#include "transfer.h"

struct request {
	size_t offset, length;
	bool length_given, hex, force;
};

/* ---- The part of the segment that is meant -------------------------------- */

/* From @offset, up to @length bytes or the end. @left_out: what was asked beyond the end. */
static int find_part(struct unishm *seg, const char *text, const struct request *request,
		size_t *length, size_t *left_out)
{
	size_t size = unishm_size(seg);
	if (request->offset > size)
		return fail("%s %s: offset %zu lies behind the end of the segment, "
				"which has %zu byte%s; give a smaller one",
				this_command->name, text,
				request->offset, size, plural(size));
	*length = size - request->offset;
	*left_out = 0;
	if (request->length_given && request->length > *length)
		*left_out = request->length - *length;
	else if (request->length_given)
		*length = request->length;
	return DONE;
}

/* Why a copy to or from the mapping failed. The kernel answers EFAULT where an access of our own
 * would raise SIGBUS. */
static const char *why(int error)
{
	if (error == EFAULT)
		return "the system has no memory left for its pages";
	return strerror(error);
}

/* A closed stream is no file at all, for who looks from outside. */
static const char *why_stream(int error)
{
	return error == EBADF ? "it is closed; redirect it" : why(error);
}

/* ---- read ----------------------------------------------------------------- */

enum { FETCHED = 4096 }; /* what any pipe takes at once */

/* Copy from the mapping through a pipe: where its pages cannot be had (no memory is left, or
 * another program cut the object), the kernel says so, and no SIGBUS ends the command. */
static int fetch(unsigned char *to, const unsigned char *from, size_t count)
{
	static int ends[2] = { -1, -1 };
	if (ends[0] < 0 && pipe(ends) < 0)
		return -errno;
	ssize_t put = write(ends[1], from, count);
	if (put < 0)
		return -errno;
	if (read(ends[0], to, (size_t)put) != put)
		return -EIO;
	return (size_t)put == count ? 0 : -EFAULT; /* a part of a write ends where pages do */
}

static void dump_line(size_t offset, const unsigned char *bytes, size_t count)
{
	printf("%08zx ", offset);
	for (size_t i = 0; i < 16; i++) {
		if (i == 8)
			putchar(' ');
		if (i < count)
			printf(" %02x", bytes[i]);
		else
			fputs("   ", stdout);
	}
	fputs("  |", stdout);
	for (size_t i = 0; i < count; i++)
		putchar(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '.');
	puts("|");
}

struct dump {
	unsigned char before[16]; /* the line above */
	bool any, starred;
};

/* As hexdump -C: lines equal to the one before are left out, with one star for all. */
static void dump_lines(struct dump *dump, size_t offset, const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i += 16) {
		size_t count = length - i < 16 ? length - i : 16;
		bool same = dump->any && count == 16 && memcmp(bytes + i, dump->before, 16) == 0;
		if (!same)
			dump_line(offset + i, bytes + i, count);
		else if (!dump->starred)
			puts("*");
		dump->starred = same;
		dump->any = true;
		memcpy(dump->before, bytes + i, count);
	}
}

static int dump_part(const unsigned char *bytes, size_t length, const char *text, size_t offset)
{
	struct dump dump = { .any = false };
	for (size_t done = 0; done < length; done += FETCHED) {
		unsigned char some[FETCHED];
		size_t count = length - done < FETCHED ? length - done : FETCHED;
		int rc = transfer_interrupted() ? -EINTR : fetch(some, bytes + done, count);
		if (rc < 0)
			return fail("read %s: %s; %zu of %zu byte%s dumped", text,
					rc == -EINTR ? "interrupted" : why(-rc), done, length,
					were(length));
		dump_lines(&dump, offset + done, some, count);
		if (ferror(stdout))
			return FAILED; /* main() says why */
	}
	printf("%08zx\n", offset + length);
	return DONE;
}

/* Whether a terminal can take it. A character may straddle two pieces: look at them overlapping. */
static bool is_all_text(const unsigned char *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		unsigned char some[FETCHED];
		size_t count = length - done < FETCHED ? length - done : FETCHED;
		if (fetch(some, bytes + done, count) < 0)
			return true; /* copying will tell why */
		size_t whole = count;
		while (done + count < length && whole > count - 4 && (some[whole - 1] & 0x80))
			whole--;
		if (!is_text(some, whole))
			return false;
		done += whole;
	}
	return true;
}

static int copy_out(const char *bytes, size_t length, const char *text)
{
	size_t done = 0;
	int error = 0;
	fflush(stdout);
	transfer_progress("read", 0, length);
	while (done < length && !error && !transfer_interrupted()) {
		ssize_t put = write(STDOUT_FILENO, bytes + done, transfer_chunk(length - done));
		if (put < 0 && errno != EINTR)
			error = errno;
		done += put > 0 ? (size_t)put : 0;
		transfer_progress("read", done, length);
	}
	transfer_end_progress();
	if (error == EPIPE)
		return end_by_sigpipe(); /* without a line, as other programs */
	if (error)
		return fail("read %s: %s%s; %zu of %zu byte%s written", text,
				error == EFAULT ? "" : "standard output: ", why_stream(error), done,
				length, were(length));
	if (done < length)
		return fail("read %s: interrupted; %zu of %zu byte%s written", text, done,
				length, were(length));
	return DONE;
}

static int output_part(const char *addr, size_t length, const char *text,
		const struct request *request)
{
	const char *bytes = addr + request->offset;
	if (request->hex)
		return dump_part((const unsigned char *)bytes, length, text, request->offset);
	if (!request->force && isatty(STDOUT_FILENO) && !is_all_text((const unsigned char *)bytes,
			length))
		return fail("read %s: it has bytes that are not text and may change the state of "
				"this terminal; use --hex, redirect the output, or add --force",
				text);
	return copy_out(bytes, length, text);
}

static int read_segment(struct unishm *seg, const char *text, void *arg)
{
	const struct request *request = arg;
	size_t length, left_out;
	void *addr;
	int status = find_part(seg, text, request, &length, &left_out);
	if (status != DONE)
		return status;
	if (unishm_attach(seg, UNISHM_RDONLY, &addr) < 0)
		return library_failed();
	transfer_catch_signals();
	status = output_part(addr, length, text, request);
	if (status == DONE && left_out)
		return fail("read %s: %zu byte%s left out: the segment has %zu", text, left_out,
				were(left_out), unishm_size(seg));
	return status;
}

/* ---- write ---------------------------------------------------------------- */

/* What a regular file still holds; else 0. */
static size_t input_left(void)
{
	struct stat st;
	off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	if (at < 0 || fstat(STDIN_FILENO, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= at)
		return 0;
	return (size_t)(st.st_size - at);
}

static int left_out(const char *text, size_t room)
{
	size_t more = input_left();
	char byte;
	if (more)
		return fail("write %s: %zu byte%s left out: there is room for %zu; "
				"create a larger segment", text, more, were(more), room);
	ssize_t got;
	do
		got = read(STDIN_FILENO, &byte, 1);
	while (got < 0 && errno == EINTR && !transfer_interrupted());
	if (got <= 0)
		return DONE;
	return fail("write %s: the input goes on, and the rest was left out: "
			"there is room for %zu byte%s; create a larger segment",
			text, room, plural(room));
}

/* @end: the room ends with the segment, so that input beyond it is lost. */
static int copy_in(char *bytes, size_t room, const char *text, size_t offset, bool end)
{
	size_t done = 0, expected = input_left(); /* 0: not known */
	bool more = true;
	int error = 0;
	transfer_progress("written", 0, 0);
	while (more && done < room && !error && !transfer_interrupted()) {
		ssize_t got = read(STDIN_FILENO, bytes + done, transfer_chunk(room - done));
		if (got < 0 && errno != EINTR)
			error = errno;
		more = got != 0;
		done += got > 0 ? (size_t)got : 0;
		transfer_progress("written", done, expected < room ? expected : room);
	}
	transfer_end_progress();
	if (error)
		return fail("write %s: %s%s; %zu byte%s written from offset %zu on", text,
				error == EFAULT ? "" : "standard input: ", why_stream(error), done,
				were(done), offset);
	if (transfer_interrupted())
		return fail("write %s: interrupted; %zu byte%s written from offset %zu on; "
				"write again to have them all", text, done, were(done), offset);
	return more && end ? left_out(text, room) : DONE;
}

static int write_segment(struct unishm *seg, const char *text, void *arg)
{
	const struct request *request = arg;
	size_t length, ignored;
	void *addr;
	int status = find_part(seg, text, request, &length, &ignored);
	if (status != DONE)
		return status;
	if (unishm_attach(seg, 0, &addr) < 0)
		return library_failed();
	transfer_catch_signals();
	return copy_in((char *)addr + request->offset, length, text, request->offset,
			request->offset + length == unishm_size(seg));
}

/* ---- The commands --------------------------------------------------------- */

static int take_option(int c, struct request *request)
{
	switch (c) {
	case OPT_OFFSET:
		return parse_bytes(optarg, "--offset", 0, &request->offset);
	case OPT_LENGTH:
		request->length_given = true;
		return parse_bytes(optarg, "--length", 0, &request->length);
	case 'x': request->hex = true; return DONE;
	case OPT_FORCE: request->force = true; return DONE;
	default: return option_status;
	}
}

static int run(int argc, char **argv, int (*act)(struct unishm *, const char *, void *))
{
	struct request request = { .offset = 0 };
	for (int c; (c = next_option(argc, argv)) != -1;) {
		int rc = take_option(c, &request);
		if (rc != DONE || c == '?')
			return rc;
	}
	if (argc - optind != 1)
		return usage_error(optind < argc ? "%s takes one segment"
				: "%s: no segment is named", this_command->name);
	return for_each_segment(1, argv + optind, act, &request);
}

static int run_read(int argc, char **argv)
{
	return run(argc, argv, read_segment);
}

static int run_write(int argc, char **argv)
{
	return run(argc, argv, write_segment);
}

const struct command read_command = {
	.bit = READ,
	.name = "read",
	.arguments = "[OPTION]... SEGMENT",
	.summary = "Copy the bytes of a segment to standard output",
	.notes = "",
	.first = WORD_SEGMENT,
	.run = run_read,
};

const struct command write_command = {
	.bit = WRITE,
	.name = "write",
	.arguments = "[OPTION]... SEGMENT",
	.summary = "Copy standard input into a segment",
	.notes = "",
	.first = WORD_SEGMENT,
	.run = run_write,
};
