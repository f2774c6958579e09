/* SPDX-License-Identifier: MIT */
/*
 * huge BACKEND KEY BYTES thp|plain - attach a segment, with UNISHM_THP or without, write to its
 * first bytes, print a line, and keep it until standard input ends. Ends with 77 when it gets no
 * such pages.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <unishm.h>

int main(int argc, char **argv)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	void *addr;
	char byte;
	if (argc != 5)
		return 2;
	opt.backend = argv[1];
	opt.key = (key_t)strtoul(argv[2], NULL, 0);
	int rc = unishm_open_with(&seg, &opt);
	if (rc == 0)
		rc = unishm_attach(seg, strcmp(argv[4], "thp") == 0 ? UNISHM_THP : 0, &addr);
	if (rc < 0) {
		fprintf(stderr, "%s\n", unishm_errmsg());
		return rc == -ENOTSUP ? 77 : 1;
	}
	memset(addr, 'h', strtoul(argv[3], NULL, 0));
	puts("attached");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	unishm_close(seg);
	return 0;
}
