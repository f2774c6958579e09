/* SPDX-License-Identifier: MIT */
/* A private segment for the tests of the examples: children find it by fork(). */
#ifndef TEST_DOCS_SHARED_H
#define TEST_DOCS_SHARED_H

#include <fcntl.h>
#include <stdio.h>
#include <unishm.h>

/* Make it, filled by @init, and attach it at *@addr. NULL, with the message printed. */
static inline struct unishm *make_shared(size_t size, unishm_init_fn init, void **addr)
{
	struct unishm *seg = NULL;
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.oflag = O_CREAT;
	opt.size = size;
	opt.mode = 0600;
	opt.init = init;
	opt.attach = addr;
	if (unishm_open_with(&seg, &opt) < 0)
		fprintf(stderr, "%s\n", unishm_errmsg());
	return seg;
}

#endif
