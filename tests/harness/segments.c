/* SPDX-License-Identifier: MIT */
/* Segments and their status. */
#include "internal.h"

#include "config.h"
#include "descriptors.h"
#include "isolate.h"

#include <dirent.h>
#include <limits.h>
#include <sys/mman.h>

/* ---- Segments ------------------------------------------------------------ */

/* 0x5, the harness_runner's pid (22 bits on Linux), the number (6 bits). */
key_t harness_key_of(pid_t owner, int n)
{
	return (key_t)(0x50000000u | ((uint32_t)owner & 0x3fffff) << 6 | ((uint32_t)n & 63));
}

key_t key(int n)
{
	return n < 0 ? UNISHM_PRIVATE : harness_key_of(harness_runner, n);
}

size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

size_t granularity(void)
{
#if UNISHM_HAVE_SYSV && defined SHMLBA
	if (on("sysv") && (size_t)SHMLBA > page_size())
		return (size_t)SHMLBA;
#endif
	return page_size();
}

char *map_area(size_t length)
{
	size_t step = granularity(), room = length + step - page_size();
	char *area = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(area != MAP_FAILED, "errno %d", errno);
	size_t before = (step - (uintptr_t)area % step) % step;
	if (before)
		munmap(area, before);
	if (room > before + length)
		munmap(area + before + length, room - before - length);
	return area + before;
}

struct unishm *make(int n, size_t size, mode_t mode)
{
	struct unishm *seg = NULL;
	expect_ok(unishm_open(&seg, key(n), O_CREAT | O_EXCL, size, mode));
	expect(seg, "no handle");
	return seg;
}

struct unishm *take(int n)
{
	struct unishm *seg = NULL;
	expect_ok(unishm_open(&seg, key(n), 0, 0, 0));
	return seg;
}

int try_open(int n)
{
	struct unishm *seg = NULL;
	int rc = unishm_open(&seg, key(n), 0, 0, 0);
	expect((rc == 0) == (seg != NULL), "the answer %d does not fit the handle %p", rc,
			(void *)seg);
	unishm_close(seg);
	return rc;
}

void *attach(struct unishm *seg, int flags)
{
	void *addr = NULL;
	expect_ok(unishm_attach(seg, flags, &addr));
	expect(addr, "no address");
	return addr;
}

void detach(struct unishm *seg, void *addr)
{
	expect_ok(unishm_detach(seg, addr));
}

void drop(struct unishm *seg)
{
	expect_ok(unishm_remove(seg));
	unishm_close(seg);
}

struct unishm_status status_of(struct unishm *seg)
{
	struct unishm_status st;
	memset(&st, 0, sizeof st);
	expect_ok(unishm_status(seg, &st));
	return st;
}

unsigned long number_attached(struct unishm *seg)
{
	return status_of(seg).number_attached;
}

bool since(time_t start, time_t when)
{
	return when >= start - 1 && when <= time(NULL) + 1;
}

void next_second(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct timespec rest = { 0, 1000000000L - now.tv_nsec };
	/* One more tick: the kernel's own clock may lag by one. */
	rest.tv_nsec = rest.tv_nsec > 979999999L ? 999999999L : rest.tv_nsec + 20000000L;
	nanosleep(&rest, NULL);
}

size_t memory_used(void)
{
	return on("sysv") ? isolate_sysv_memory() : isolate_posix_memory();
}

int count_descriptors(void)
{
	return open_descriptors_below(4096);
}

bool has_description_locks(void)
{
	return UNISHM_OS_LINUX;
}

static bool imitates(const char *system)
{
	return on("posix") && strcmp(UNISHM_OS_IMITATED, system) == 0;
}

bool can_reserve(void)
{
	return !imitates("macos");
}

bool can_change_rights(void)
{
	return !imitates("macos");
}

bool can_share(void)
{
	return !imitates("openbsd");
}

bool can_refuse_addresses(void)
{
	return !on("sysv") || strcmp(UNISHM_OS_IMITATED, "openbsd") != 0;
}

bool can_lock(void)
{
	return !on("sysv") || UNISHM_OS_LINUX || strcmp(UNISHM_OS_IMITATED, "netbsd") == 0;
}

size_t record_memory(void)
{
	return on("sysv") ? 0 : UNISHM_OS_LINUX ? page_size() : 65536;
}

const char *record_path(void)
{
	static char path[NAME_MAX + 16];
	const char *name = only_object();
	if (!name)
		return NULL;
	snprintf(path, sizeof path, "/dev/shm/%s%s", UNISHM_OS_LINUX ? "" : ".", name);
	return path;
}

const char *only_object(void)
{
	static char name[NAME_MAX + 1];
	int found = 0;
	DIR *dir = opendir("/dev/shm");
	if (!dir)
		return NULL;
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof name, "%s", entry->d_name);
		found++;
	}
	closedir(dir);
	return found == 1 ? name : NULL;
}
