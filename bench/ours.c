/* SPDX-License-Identifier: MIT */
/* unishm; the program's argument names the backend. */
#include "contender.h"

#include <fcntl.h>

#include "unishm.h"

static const char *backend;
static unsigned base;
static struct unishm *handles[SLOTS];
static void *addresses[SLOTS];

static void start(const char *variant, unsigned from)
{
	backend = variant;
	base = from;
}

static void need(int rc)
{
	if (rc < 0)
		die(unishm_errmsg());
}

static struct unishm_options options_of(unsigned segment)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = backend;
	opt.key = (key_t)(base + segment);
	return opt;
}

static void create(int handle, unsigned segment, size_t size, int reserve)
{
	struct unishm_options opt = options_of(segment);
	opt.oflag = O_CREAT | O_EXCL;
	opt.size = size;
	opt.mode = 0600;
	opt.flags = reserve ? 0 : UNISHM_NORESERVE;
	need(unishm_open_with(&handles[handle], &opt));
}

static void open_existing(int handle, unsigned segment)
{
	struct unishm_options opt = options_of(segment);
	need(unishm_open_with(&handles[handle], &opt));
}

static void open_attached(int handle, unsigned segment)
{
	struct unishm_options opt = options_of(segment);
	opt.attach = &addresses[handle];
	need(unishm_open_with(&handles[handle], &opt));
}

static void attach(int handle)
{
	need(unishm_attach(handles[handle], 0, &addresses[handle]));
}

static void detach(int handle)
{
	need(unishm_detach(handles[handle], addresses[handle]));
}

static void close_handle(int handle)
{
	unishm_close(handles[handle]);
}

static void remove_segment(int handle)
{
	need(unishm_remove(handles[handle]));
}

static void *address(int handle)
{
	return addresses[handle];
}

static size_t status(int handle)
{
	struct unishm_status st;
	need(unishm_status(handles[handle], &st));
	return st.number_attached;
}

static size_t size_of(int handle)
{
	return unishm_size(handles[handle]);
}

static void lock(int handle)
{
	need(unishm_lock(handles[handle]));
}

static void unlock(int handle)
{
	need(unishm_unlock(handles[handle]));
}

static int count_one(const struct unishm_status *st, void *arg)
{
	(void)st;
	++*(unsigned *)arg;
	return 0;
}

static unsigned list(void)
{
	unsigned count = 0;
	need(unishm_list(backend, count_one, &count));
	return count;
}

const struct contender contender = {
	.start = start,
	.create = create,
	.open = open_existing,
	.open_attached = open_attached,
	.attach = attach,
	.detach = detach,
	.close = close_handle,
	.remove = remove_segment,
	.address = address,
	.status = status,
	.size = size_of,
	.lock = lock,
	.unlock = unlock,
	.list = list,
	.reserves = 1,
};
