/* SPDX-License-Identifier: MIT */
/* Keys from paths and names: a 32-bit hash of the bytes, the same everywhere. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

/* FNV-1a, then the finisher of MurmurHash3, which spreads short names. Both are
 * in the public domain; see Fowler, Noll, Vo and Appleby. */
static uint32_t hash(uint32_t h, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		h = (h ^ (unsigned char)bytes[i]) * 16777619u;
	return h;
}

static key_t finish(uint32_t h)
{
	h = (h ^ h >> 16) * 0x85ebca6bu;
	h = (h ^ h >> 13) * 0xc2b2ae35u;
	h ^= h >> 16;
	if (h == 0 || h == UINT32_MAX)
		h = 0x756e6973u; /* neither UNISHM_PRIVATE nor -1 */
	return (key_t)(int32_t)h;
}

static const uint32_t FNV_START = 0x811c9dc5u;

key_t unishm_key_from_name(const char *name)
{
	if (!name)
		name = "";
	return finish(hash(FNV_START, name, strlen(name)));
}

static int hash_path(const char *path, uint32_t *h)
{
	char *real = path ? realpath(path, NULL) : NULL;
	if (!real) {
		int rc = path ? -errno : -EINVAL;
		if (rc == -ENOENT)
			unishm_because(rc, "there is no such file; create it first");
		return unishm_fail(rc, "make a key from the path \"%.90s\"",
				path ? path : "(null)");
	}
	*h = hash(FNV_START, real, strlen(real) + 1); /* with its NUL */
	free(real);
	return 0;
}

key_t unishm_key_from_path(const char *path, int project)
{
	uint32_t h = 0;
	unishm_begin();
	if (unishm_end(hash_path(path, &h)) < 0)
		return (key_t)-1;
	for (int shift = 0; shift < 32; shift += 8) {
		char byte = (char)((uint32_t)project >> shift & 0xff);
		h = hash(h, &byte, 1);
	}
	return finish(h);
}
