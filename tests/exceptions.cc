// SPDX-License-Identifier: MIT
#include "exceptions.h"

#include <cstring>
#include <stdexcept>

static int throwing_init(void *addr, size_t size, void *)
{
	std::memset(addr, 'e', size / 2);
	throw std::runtime_error("left by an exception");
}

static int throwing_visit(const struct unishm_status *, void *)
{
	throw std::runtime_error("left by an exception");
}

bool open_with_exception(struct unishm **seg, struct unishm_options *opt)
{
	opt->init = throwing_init;
	try {
		unishm_open_with(seg, opt);
	} catch (const std::runtime_error &) {
		return true;
	}
	return false;
}

bool list_with_exception(const char *backend)
{
	try {
		unishm_list(backend, throwing_visit, nullptr);
	} catch (const std::runtime_error &) {
		return true;
	}
	return false;
}
