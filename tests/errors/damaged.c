/* SPDX-License-Identifier: MIT */
/* Objects of the POSIX backend that were damaged on purpose. */
#include "errors.h"

#include <poll.h>
#include <sys/stat.h>

/* Copy the object of a segment, changed, to where it was. */
static char *save_object(size_t *size)
{
	struct unishm *seg = make(0, SMALL, 0600);
	struct stat st;
	ck_assert_int_eq(stat(object, &st), 0);
	char *bytes = malloc((size_t)st.st_size);
	int fd = open(object, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	drop(seg);
	*size = (size_t)st.st_size;
	return bytes;
}

/* Use whatever is there as a program would; it may fail, but not crash. */
static long use_all(long unused)
{
	(void)unused;
	struct unishm_status st;
	void *addr;
	int rc = unishm_open(&mine, key(0), 0, 0, 0);
	if (rc < 0)
		return rc;
	unishm_status(mine, &st);
	unishm_lock(mine);
	unishm_unlock(mine);
	if (unishm_attach(mine, 0, &addr) == 0) {
		unishm_status(mine, &st);
		unishm_detach(mine, addr);
	}
	do_list_count(0);
	unishm_chmod(mine, 0640);
	unishm_remove(mine);
	unishm_close(mine);
	return 0;
}

/* Nothing that a record says may keep a process busy for ever. */
static void use_within(struct agent *agent, size_t offset, unsigned value)
{
	struct pollfd answer = { agent->from, POLLIN, 0 };
	tell(agent, use_all, 0);
	ck_assert_msg(poll(&answer, 1, 2000) == 1, "byte %zu of the record, %#x: it hangs", offset,
			value);
	hear(agent);
}

START_TEST(a_cut_or_grown_object_is_refused)
{
	begin(_i);
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	size_t size;
	find_object();
	char *bytes = save_object(&size);
	const size_t sizes[] = { 1, SMALL, 4096, size / 2, size - 1, size - 4096 };
	for (int i = 0; i < 6; i++) {
		put_bytes(bytes, sizes[i]);
		ck_assert_int_eq(try_open(0), -EBADMSG);
		ck_assert_int_eq(do_list_count(0), 0);
		unlink(object);
	}
	put_bytes(bytes, size);
	ck_assert_int_eq(truncate(object, (off_t)size + 4096), 0);
	ck_assert_int_eq(try_open(0), -EBADMSG);
	unlink(object);
	free(bytes);
}
END_TEST

START_TEST(no_hostile_record_crashes_anyone)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"), "the record is beside the object here");
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	static const unsigned char values[] = { 0, 0xff, 0x80, 0x01 };
	size_t size, first;
	find_object();
	char *bytes = save_object(&size);
	struct agent agent = agent_start();
	first = size - 192; /* the head of the record, and the first slots before it */
	for (size_t offset = first; offset < size; offset++) {
		for (int i = 0; i < 4; i++) {
			char old = bytes[offset];
			bytes[offset] = (char)values[i];
			put_bytes(bytes, size);
			bytes[offset] = old;
			use_within(&agent, offset - first, values[i]);
			unlink(object);
		}
	}
	for (size_t width = 4; width <= 8; width += 4) { /* whole fields */
		for (size_t offset = first; offset < size; offset += width) {
			char old[8];
			memcpy(old, bytes + offset, width);
			memset(bytes + offset, 0xff, width);
			put_bytes(bytes, size);
			memcpy(bytes + offset, old, width);
			use_within(&agent, offset - first, 0xff);
			unlink(object);
		}
	}
	agent_end(&agent);
	free(bytes);
}
END_TEST

START_TEST(a_newer_record_version_is_enotsup)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"), "the record is beside the object here");
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	size_t size, first;
	find_object();
	char *bytes = save_object(&size);
	for (first = SMALL; first < size && !bytes[first]; first++)
		;
	bytes[first + 8] = 99; /* the version follows 8 bytes of magic */
	bytes[first + 11] = 99;
	put_bytes(bytes, size);
	ck_assert_int_eq(try_open(0), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(unishm_errmsg(), "version"));
	ck_assert_int_eq(do_list_count(0), 0);
	unlink(object);
	free(bytes);
}
END_TEST

/* The user's own bytes are lost then, but asking must stay safe. */
START_TEST(status_of_an_object_that_was_cut_is_an_error_and_no_signal)
{
	begin(_i);
	SKIP_UNLESS(has_description_locks() || on("sysv"), "the record is beside the object here");
	SKIP_UNLESS(is_isolated() && on("posix"), "is about POSIX objects");
	find_object();
	static const off_t sizes[] = { 0, 100, 65536, 70000 };
	for (int attached = 0; attached < 2; attached++) {
		for (int i = 0; i < 4; i++) {
			struct agent agent = agent_start();
			unishm_close(make(0, SMALL, 0600));
			expect_ok(ask(&agent, do_open, 0));
			if (attached)
				expect_ok(ask(&agent, do_attach, 0));
			for (int asked = 0; asked < 4; asked++) {
				if (asked == 1)
					ck_assert_int_eq(truncate(object, sizes[i]), 0);
				long number = ask(&agent, do_number, 0);
				ck_assert_msg((asked && number == -EBADMSG) || number == attached,
						"%d, cut to %ld: %ld", attached, (long)sizes[i],
						number);
			}
			agent_kill(&agent);
			unlink(object);
		}
	}
}
END_TEST

void damaged_group(Suite *suite)
{
	TCase *t = group(suite, "damaged", NULL, 30);
	EACH(t, a_cut_or_grown_object_is_refused);
	EACH(t, a_newer_record_version_is_enotsup);
	EACH(t, status_of_an_object_that_was_cut_is_an_error_and_no_signal);
	t = group(suite, "hostile", "native", 60);
	EACH(t, no_hostile_record_crashes_anyone);
}
