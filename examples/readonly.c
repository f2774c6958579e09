/* SPDX-License-Identifier: MIT */
/*
 * A segment attached with UNISHM_RDONLY can be read and not written: the write
 * raises SIGSEGV. That happens in a child, so that this program can tell of it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unishm.h"

static int give_up(void)
{
	fprintf(stderr, "readonly: %s\n", unishm_errmsg());
	return EXIT_FAILURE;
}

static int try_to_write(struct unishm *seg)
{
	void *addr;
	int status;
	if (unishm_attach(seg, UNISHM_RDONLY, &addr) < 0)
		return give_up();
	const char *text = addr;
	printf("attached read-only at %p; the first byte reads %d\n", addr, text[0]);
	printf("a child now writes to it\n");
	pid_t child = fork();
	if (child == 0) {
		*(volatile char *)addr = 'x';
		_exit(EXIT_SUCCESS); /* not reached */
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return EXIT_FAILURE;
	if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGBUS)) {
		fprintf(stderr, "readonly: the write went through\n");
		return EXIT_FAILURE;
	}
	printf("the child got signal %d and the byte still reads %d\n", WTERMSIG(status), text[0]);
	return EXIT_SUCCESS;
}

int main(void)
{
	struct unishm *seg;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (unishm_open(&seg, 10, O_CREAT | O_EXCL, 1024, 0600) < 0)
		return give_up();
	int status = try_to_write(seg);
	unishm_remove(seg);
	unishm_close(seg); /* detaches, which frees the removed segment */
	return status;
}
