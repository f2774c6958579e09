/* SPDX-License-Identifier: MIT */
/*
 * A segment attached with UNISHM_RDONLY can be read and not written: as<T>() gives
 * only a const T, and a write around that raises SIGSEGV. That happens in a child, so
 * that this program can tell of it.
 */
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <sys/wait.h>
#include <unistd.h>

#include "unishm.hpp"

/* The wait status of a child that writes there. */
static int write_in_child(void *addr)
{
	int status = 0;
	const pid_t child = fork();
	if (child == 0) {
		*static_cast<volatile char *>(addr) = 'x';
		_exit(EXIT_SUCCESS); /* not reached */
	}
	return child > 0 && waitpid(child, &status, 0) == child ? status : 0;
}

static int try_to_write(unishm::segment &seg)
{
	const unishm::attachment mem = seg.attach_at_first_available(UNISHM_RDONLY);
	const char *text = mem.as<const char>();
	std::cout << "attached read-only; the first byte reads " << int(text[0]) << '\n';

	std::error_code code;
	mem.as<char>(code);
	std::cout << "as<char>() is refused: " << code.message() << '\n';

	std::cout << "a child now writes to it" << std::endl;
	const int status = write_in_child(mem.data());
	if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGBUS)) {
		std::cerr << "readonly: the write went through\n";
		return EXIT_FAILURE;
	}
	std::cout << "the child got signal " << WTERMSIG(status) << " and the byte still reads "
		  << int(text[0]) << '\n';
	return EXIT_SUCCESS;
}

int main()
{
	try {
		unishm::segment seg(10, O_CREAT | O_EXCL, 1024, 0600);
		const int status = try_to_write(seg);
		seg.remove(); /* its memory is freed when seg ends */
		return status;
	} catch (const unishm::error &e) {
		std::cerr << "readonly: " << e.what() << '\n';
		return EXIT_FAILURE;
	}
}
