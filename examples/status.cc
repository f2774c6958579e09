/* SPDX-License-Identifier: MIT */
/* Everything that can be known about a segment. */
#include <cstdlib>
#include <iostream>

#include "unishm.hpp"

int main()
{
	try {
		unishm::segment seg(10, O_CREAT | O_EXCL, 1024, 0600);
		const unishm::attachment mem = seg.attach_at_first_available();
		std::cout << seg.status();
		seg.remove();
		return EXIT_SUCCESS;
	} catch (const unishm::error &e) {
		std::cerr << "status: " << e.what() << '\n';
		return EXIT_FAILURE;
	}
}
