/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "backend.h"
#include "os.h"
#include "sys.h"

int ushp_because_noexec(void)
{
	return unishm_because(-ENOTSUP,
			"shared memory is mounted noexec here; use the System V backend");
}

/* EPERM has no other cause here. */
bool ushp_is_noexec(int fd)
{
	void *page = unishm_sys.mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return errno == EPERM;
	unishm_sys.munmap(page, 1);
	return false;
}

/* mmap() says EAGAIN, and an older kernel ENOMEM, when mlockall(MCL_FUTURE) meets its limit. */
static int because_not_mapped(int code, int flags)
{
	if (code == EAGAIN)
		return unishm_because(-ENOMEM,
				"new memory is locked (mlockall) and RLIMIT_MEMLOCK is reached; "
				"raise it (ulimit -l)");
	if (code == EPERM && flags & UNISHM_EXEC)
		return ushp_because_noexec();
	return -code;
}

/* Here msync() only checks whether the range is mapped. */
static bool is_mapped(void *where, size_t length)
{
	size_t page = unishm_os_page_size();
	for (size_t at = 0; at < length; at += page)
		if (msync((char *)where + at, page, MS_ASYNC) == 0)
			return true;
	return false;
}

/* Linux 4.17 knows a flag for it; elsewhere an address is a hint, so compare. */
#ifdef MAP_FIXED_NOREPLACE
enum { EXACTLY = MAP_FIXED_NOREPLACE };
#else
enum { EXACTLY = 0 };
#endif

static int map_exactly(int fd, void *where, size_t length, int prot, void **addr)
{
	void *got = unishm_sys.mmap(where, length, prot, MAP_SHARED | EXACTLY, fd, 0);
	if (got == where) {
		*addr = got;
		return 0;
	}
	int code = errno;
	if (got != MAP_FAILED)
		unishm_sys.munmap(got, length);
	else if (code != EEXIST)
		return -code;
	if (!is_mapped(where, length))
		return -ENOMEM; /* beyond what programs get */
	return unishm_because(-EINVAL, "something is mapped there already; choose another address");
}

int ushp_map_data(int fd, void *where, size_t length, int flags, void **addr)
{
	int prot = PROT_READ | (flags & UNISHM_RDONLY ? 0 : PROT_WRITE) |
			(flags & UNISHM_EXEC ? PROT_EXEC : 0);
	int rc = 0;
	void *got;
	if (where && !(flags & UNISHM_REMAP)) {
		rc = map_exactly(fd, where, length, prot, &got);
	} else {
		got = unishm_sys.mmap(where, length, prot, MAP_SHARED | (where ? MAP_FIXED : 0), fd,
				0);
		rc = got == MAP_FAILED ? -errno : 0;
	}
	if (rc == 0 && flags & UNISHM_POPULATE) {
		rc = unishm_os_populate(got, length, prot & PROT_WRITE);
		if (rc < 0)
			unishm_sys.munmap(got, length);
	}
	if (rc < 0)
		return rc == -EINVAL ? rc : because_not_mapped(-rc, flags);
	*addr = got;
	return 0;
}

/* Systems put one mapping next to the other, from one end on. So ask for a place far away
 * from this library: a quarter of a tebibyte, or, where addresses are too short for that,
 * any. The places follow each other within a gibibyte; when one is taken, the system chooses.
 * (ThreadSanitizer wants all within 1.5 TiB of the top.) */
static void *place_for_own(size_t length)
{
	enum { PIECE = 65536, PIECES = 16384 };
	static uint32_t used;
	const uint64_t away = UINT64_C(1) << 38;
	uint64_t here = (uintptr_t)&used;
	if (here < 2 * away || length > (size_t)PIECE * PIECES / 4)
		return NULL;
	uint32_t pieces = (uint32_t)((length + PIECE - 1) / PIECE);
	uint64_t piece = __atomic_fetch_add(&used, pieces, __ATOMIC_RELAXED) % PIECES;
	return (void *)(uintptr_t)((here & ~(uint64_t)0x3fffffff) - away + piece * PIECE);
}

int ushp_map_own(int fd, off_t offset, size_t length, int prot, bool inherited, void **addr)
{
	void *got = unishm_sys.mmap(place_for_own(length), length, prot, MAP_SHARED, fd, offset);
	if (got == MAP_FAILED)
		return because_not_mapped(errno, 0);
	(void)inherited;
#ifdef MADV_DONTFORK
	if (!inherited && unishm_sys.madvise(got, length, MADV_DONTFORK) < 0) { /* Linux 2.6.16 */
		int rc = -errno;
		unishm_sys.munmap(got, length);
		return rc;
	}
#endif
	*addr = got;
	return 0;
}

int ushp_map_anchor(int fd, void **page)
{
	return ushp_map_own(fd, 0, 1, PROT_READ, false, page);
}

void ushp_unmap_anchor(void *page)
{
	if (page)
		unishm_sys.munmap(page, 1);
}

void *ushp_hold_range(void *where, size_t length)
{
	void *got = unishm_sys.mmap(where, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | EXACTLY,
			-1, 0);
	if (got == where)
		return got;
	if (got != MAP_FAILED)
		unishm_sys.munmap(got, length);
	return NULL;
}

/* Where memory cannot be reserved, writing a byte into each page has the same effect on a new file.
 * Objects of macOS can neither be reserved nor written to (ENXIO): there a full system is noticed
 * at first touch only. */
static int fill_with_zeros(int fd, off_t length)
{
	enum { STEP = 4096 }; /* no page is smaller */
	static const char zero;
	for (off_t at = 0; at < length; at += STEP)
		if (unishm_sys.pwrite(fd, &zero, 1, at) < 0)
			return errno == ENXIO ? 0 : -errno;
	return 0;
}

/* It cannot be done this way here: an old kernel, another file system, a filter. */
static bool is_refused(int code)
{
	return code == EOPNOTSUPP || code == ENODEV || code == EINVAL || code == ENOSYS ||
			code == EPERM || code == EACCES;
}

/* A call that a signal interrupts has reserved nothing. With a fast timer a large call would never
 * succeed. So halve the piece whenever that happens. */
int ushp_reserve(int fd, off_t length)
{
	off_t piece = length;
	int rc = 0;
	for (off_t at = 0; at < length && rc == 0;) {
		if (piece > length - at)
			piece = length - at;
		int code = unishm_sys.reserve(fd, at, piece);
		if (code == EINTR && piece > 1 << 20)
			piece /= 2;
		else if (is_refused(code))
			rc = fill_with_zeros(fd, length), at = length;
		else if (code != EINTR)
			rc = -code;
		if (code == 0)
			at += piece;
	}
	return rc == -EDQUOT ? -ENOSPC : rc;
}
