/* SPDX-License-Identifier: MIT */
/*
 * A backend that can do nothing, and says so. Tests use it to see the core pass
 * errors through; a porter copies it: rename, fill in the members one by one
 * after what core/backend.h asks of each, and add a line to meson.build.
 */
#include <errno.h>

#include "backend.h"

static int null_open(struct unishm *seg, const struct unishm_options *opt)
{
	(void)seg, (void)opt;
	return -ENOTSUP;
}

static int null_open_id(struct unishm *seg, int id)
{
	(void)seg, (void)id;
	return -ENOTSUP;
}

static void null_close(struct unishm *seg)
{
	(void)seg;
}

static size_t null_granularity(void)
{
	return 1;
}

static int null_attach(struct unishm *seg, void *where, int flags, struct unishm_attachment *new)
{
	(void)seg, (void)where, (void)flags, (void)new;
	return -ENOTSUP;
}

static int null_detach(struct unishm *seg, struct unishm_attachment *old)
{
	(void)seg, (void)old;
	return -ENOTSUP;
}

/* remove, lock, unlock */
static int null_change(struct unishm *seg)
{
	(void)seg;
	return -ENOTSUP;
}

static int null_chmod(struct unishm *seg, mode_t mode)
{
	(void)seg, (void)mode;
	return -ENOTSUP;
}

static int null_chown(struct unishm *seg, uid_t user, gid_t group)
{
	(void)seg, (void)user, (void)group;
	return -ENOTSUP;
}

static int null_status(struct unishm *seg, struct unishm_status *st)
{
	(void)seg, (void)st;
	return -ENOTSUP;
}

static int null_list(int (*visit)(const struct unishm_status *, void *), void *arg)
{
	(void)visit, (void)arg;
	return -ENOTSUP;
}

const struct unishm_backend unishm_null_backend = {
	.name = "null",
	.priv_size = 0,
	.open = null_open,
	.open_id = null_open_id,
	.close = null_close,
	.granularity = null_granularity,
	.attach = null_attach,
	.detach = null_detach,
	.remove = null_change,
	.lock = null_change,
	.unlock = null_change,
	.chmod = null_chmod,
	.chown = null_chown,
	.status = null_status,
	.list = null_list,
};
