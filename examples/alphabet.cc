/* SPDX-License-Identifier: MIT */
/*
 * One process writes the alphabet into shared memory; another, which knows
 * nothing but the key, reads it and removes the segment.
 */
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sys/wait.h>
#include <unistd.h>

#include "unishm.hpp"

static const key_t key = 10;

/* The other process: it opens by key alone. */
static void reader()
{
	unishm::segment seg(key);
	unishm::attachment mem = seg.attach_at_first_available(UNISHM_RDONLY);
	std::cout << "child: reads \"" << mem.as<const char>(0, 27) << "\"\n";
	mem.detach();
	seg.remove();
	std::cout << "child: removed the segment\n";
}

static void fill(unishm::memory mem)
{
	char *text = mem.as<char>(0, 27);
	for (char letter = 'a'; letter <= 'z'; letter++)
		*text++ = letter;
	*text = '\0';
}

static void writer()
{
	/* O_EXCL: if another program's segment has this key, leave it alone. None can
	 * open it before it is filled. */
	const unishm::segment seg(key, O_CREAT | O_EXCL, 1024, 0600, fill);
	std::cout << "parent: filled " << seg.size() << " bytes (" << seg.backend() << ")\n";
} /* the segment lives on */

/* Call @what; an exception of it becomes the exit status. */
static int run(void (*what)())
{
	try {
		what();
		std::cout.flush();
		return EXIT_SUCCESS;
	} catch (const unishm::error &e) {
		std::cerr << "alphabet: " << e.what() << '\n';
		return EXIT_FAILURE;
	}
}

int main()
{
	int status;
	if (run(writer) != EXIT_SUCCESS)
		return EXIT_FAILURE;
	const pid_t child = fork();
	if (child == 0)
		return run(reader);
	if (child < 0 || waitpid(child, &status, 0) != child)
		return EXIT_FAILURE;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
