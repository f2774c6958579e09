/* SPDX-License-Identifier: MIT */
/* Counts in shared memory how often it was run: countercxx [remove] */
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include <unishm.hpp>

struct shared {
	std::atomic<unsigned> runs;
};

int main(int argc, char **argv)
{
	try {
		unishm::segment seg(
				unishm::key_from_name("unishm.counter"), O_CREAT, sizeof(shared));
		const unishm::attachment mem = seg.attach_at_first_available();
		std::cout << "run " << ++mem.as<shared>()->runs << ", on " << seg.backend() << '\n';
		if (argc > 1 && std::strcmp(argv[1], "remove") == 0)
			seg.remove();
		return EXIT_SUCCESS; /* the segment lives on until it is removed */
	} catch (const unishm::error &e) {
		std::cerr << "countercxx: " << e.what() << '\n';
		return EXIT_FAILURE;
	}
}
