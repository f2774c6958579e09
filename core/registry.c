/* SPDX-License-Identifier: MIT */
/* Which backends there are, and which one a call means. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "core.h"
#include "os.h"

/* UNISHM_EACH_BACKEND(X) comes from meson.build: X(name) for each backend that is
 * built, the default first. */
#ifndef UNISHM_TEST_BACKEND
#define UNISHM_TEST_BACKEND(X) /* tests add one, by the compiler's command line */
#endif
#define DECLARE(name) extern const struct unishm_backend unishm_##name##_backend;
#define ADDRESS(name) &unishm_##name##_backend,
#define NAME(name) #name,

UNISHM_EACH_BACKEND(DECLARE)
UNISHM_TEST_BACKEND(DECLARE)

static const struct unishm_backend *const backends[] = {
	UNISHM_EACH_BACKEND(ADDRESS) UNISHM_TEST_BACKEND(ADDRESS) NULL,
};

const char *const *unishm_backends(void)
{
	static const char *const names[] = {
		UNISHM_EACH_BACKEND(NAME) UNISHM_TEST_BACKEND(NAME) NULL,
	};
	return names;
}

static int unknown_backend(const char *name, const char *origin)
{
	char built[64] = "";
	for (int i = 0; backends[i]; i++) {
		size_t used = strlen(built);
		snprintf(built + used, sizeof built - used, "%s%s", i ? ", " : "",
				backends[i]->name);
	}
	return unishm_because(-EINVAL, "%s \"%.40s\" is not built in; this library has: %s", origin,
			name, built);
}

int unishm_find_backend(const char *name, const struct unishm_backend **backend)
{
	const char *origin = "the backend";
	if (!name) {
		name = unishm_os_getenv("UNISHM_BACKEND");
		origin = "the backend that $UNISHM_BACKEND names,";
		if (!name || !*name) {
			*backend = backends[0];
			return 0;
		}
	}
	for (int i = 0; backends[i]; i++) {
		if (strcmp(name, backends[i]->name) == 0) {
			*backend = backends[i];
			return 0;
		}
	}
	return unknown_backend(name, origin);
}
