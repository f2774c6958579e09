/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend.h"

uint64_t ushp_random(void)
{
	static uint32_t calls; /* a word: not every processor can add to two at once */
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t z = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) * UINT64_C(0x9e3779b97f4a7c15);
	z += (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30 ^ (uint64_t)unishm_pid() << 40;
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9); /* splitmix64 */
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void make_name(char name[OBJECT_NAME_MAX], char kind, uint32_t number)
{
	snprintf(name, OBJECT_NAME_MAX, "/ush%c.%08lx", kind, (unsigned long)number);
}

void ushp_name_of_key(key_t key, char name[OBJECT_NAME_MAX])
{
	make_name(name, 'm', (uint32_t)key);
}

void ushp_name_of_private(int id, char name[OBJECT_NAME_MAX])
{
	make_name(name, 'p', (uint32_t)id);
}

void ushp_name_of_removed(int id, char name[OBJECT_NAME_MAX])
{
	make_name(name, 'r', (uint32_t)id);
}

void ushp_name_of_draft(char name[OBJECT_NAME_MAX])
{
	make_name(name, 't', (uint32_t)ushp_random());
}

static bool is_name(const char *name, const char *kinds)
{
	return strncmp(name, "ush", 3) == 0 && name[3] != '\0' && strchr(kinds, name[3]) &&
			name[4] == '.' && strspn(name + 5, "0123456789abcdef") == 8 &&
			name[13] == '\0';
}

bool ushp_is_segment_name(const char *name)
{
	return is_name(name, "mpr");
}

bool ushp_is_name_by_id(const char *name)
{
	return is_name(name, "pr");
}

bool ushp_is_removed_name(const char *name)
{
	return is_name(name, "r");
}

bool ushp_is_draft_name(const char *name)
{
	return is_name(name, "t");
}

key_t ushp_key_in_name(const char *name)
{
	return name[3] == 'm' ? (key_t)(int32_t)strtoul(name + 5, NULL, 16) : UNISHM_PRIVATE;
}
