/* SPDX-License-Identifier: MIT */
/* Counts in shared memory how often it was run: counter [remove] */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unishm.h>

struct shared {
	atomic_uint runs;
};

static int give_up(struct unishm *seg)
{
	fprintf(stderr, "counter: %s\n", unishm_errmsg());
	unishm_close(seg);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct unishm *seg = NULL;
	void *addr;
	const key_t key = unishm_key_from_name("unishm.counter");
	if (unishm_open(&seg, key, O_CREAT, sizeof(struct shared), 0600) < 0 ||
			unishm_attach(seg, 0, &addr) < 0)
		return give_up(seg);
	struct shared *shared = addr; /* all zero when it is new */
	printf("run %u, on %s\n", atomic_fetch_add(&shared->runs, 1) + 1, unishm_backend(seg));
	if (argc > 1 && strcmp(argv[1], "remove") == 0 && unishm_remove(seg) < 0)
		return give_up(seg);
	unishm_close(seg); /* the segment lives on until it is removed */
	return EXIT_SUCCESS;
}
