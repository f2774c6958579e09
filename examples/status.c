/* SPDX-License-Identifier: MIT */
/* Everything that can be known about a segment. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "unishm.h"

static int give_up(void)
{
	fprintf(stderr, "status: %s\n", unishm_errmsg());
	return EXIT_FAILURE;
}

int main(void)
{
	struct unishm *seg;
	struct unishm_status st;
	void *addr;
	int status = EXIT_SUCCESS;
	if (unishm_open(&seg, 10, O_CREAT | O_EXCL, 1024, 0600) < 0)
		return give_up();
	if (unishm_attach(seg, 0, &addr) < 0 || unishm_status(seg, &st) < 0 ||
			unishm_print(stdout, &st) < 0)
		status = give_up();
	if (unishm_remove(seg) < 0)
		status = give_up();
	unishm_close(seg);
	return status;
}
