/* SPDX-License-Identifier: MIT */
/*
 * One process writes the alphabet into shared memory; another, which knows
 * nothing but the key, reads it and removes the segment.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unishm.h"

static const key_t key = 10;

static int give_up(void)
{
	fprintf(stderr, "alphabet: %s\n", unishm_errmsg());
	return EXIT_FAILURE;
}

/* The other process: it opens by key alone. */
static int reader(void)
{
	struct unishm *seg;
	void *addr;
	if (unishm_open(&seg, key, 0, 0, 0) < 0)
		return give_up();
	if (unishm_attach(seg, UNISHM_RDONLY, &addr) < 0)
		return give_up();
	printf("child: reads \"%s\"\n", (const char *)addr);
	if (unishm_detach(seg, addr) < 0 || unishm_remove(seg) < 0)
		return give_up();
	unishm_close(seg);
	printf("child: removed the segment\n");
	return EXIT_SUCCESS;
}

static int writer(void)
{
	struct unishm *seg;
	void *addr;
	/* O_EXCL: if another program's segment has this key, leave it alone. */
	if (unishm_open(&seg, key, O_CREAT | O_EXCL, 1024, 0600) < 0)
		return give_up();
	if (unishm_attach(seg, 0, &addr) < 0) {
		int status = give_up();
		unishm_remove(seg);
		return status;
	}
	printf("parent: attached %zu bytes at %p (%s)\n", unishm_size(seg), addr,
			unishm_backend(seg));
	char *text = addr;
	for (int i = 0; i < 26; i++)
		text[i] = (char)('a' + i);
	text[26] = '\0';
	unishm_detach(seg, addr);
	unishm_close(seg); /* the segment lives on */
	return EXIT_SUCCESS;
}

int main(void)
{
	int status;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (writer() != EXIT_SUCCESS)
		return EXIT_FAILURE;
	pid_t child = fork();
	if (child == 0)
		return reader();
	if (child < 0 || waitpid(child, &status, 0) != child)
		return EXIT_FAILURE;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
