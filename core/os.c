/* SPDX-License-Identifier: MIT */
#include "os.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#else
#include <pthread.h>
#endif

#include "config.h"
#include "sys.h"

const char *unishm_os_getenv(const char *name)
{
#if UNISHM_HAVE_SECURE_GETENV
	/* glibc, musl; FreeBSD 14 */
	return secure_getenv(name);
#elif UNISHM_HAVE_ISSETUGID
	/* the BSDs, macOS, illumos */
	return issetugid() ? NULL : getenv(name);
#else
	return getuid() == geteuid() && getgid() == getegid() ? getenv(name) : NULL;
#endif
}

size_t unishm_os_page_size(void)
{
	long page = sysconf(_SC_PAGESIZE);
	return page > 0 ? (size_t)page : 4096;
}

#ifdef SYS_process_vm_readv
/* The kernel reads a byte of each page for us, and says EFAULT where a touch would raise SIGBUS.
 * -ENOSYS: it does not. */
static int read_each_page(char *addr, size_t size)
{
	enum { PIECE = 256 };
	struct iovec from[PIECE];
	char bytes[PIECE];
	size_t page = unishm_os_page_size();
	for (size_t at = 0; at < size;) {
		size_t count = 0;
		for (; count < PIECE && at < size; at += page)
			from[count++] = (struct iovec){ addr + at, 1 };
		struct iovec to = { bytes, count };
		long got = syscall(SYS_process_vm_readv, getpid(), &to, 1L, from, (long)count, 0L);
		if (got < 0 && errno != EFAULT && errno != ENOMEM)
			return -ENOSYS;
		if (got != (long)count)
			return -ENOMEM;
	}
	return 0;
}
#endif

/* As read_each_page(), where nothing better is to be had. */
static int touch_each_page(const volatile char *addr, size_t size)
{
	size_t page = unishm_os_page_size();
	for (size_t at = 0; at < size; at += page)
		(void)addr[at];
	return 0;
}

int unishm_os_populate(void *addr, size_t size, int write)
{
	int rc = -ENOSYS;
#ifdef MADV_POPULATE_WRITE
	/* Linux 5.14. EFAULT: a touch would raise SIGBUS, since the file system is full. */
	int advice = write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
	if (unishm_sys.madvise(addr, size, advice) == 0)
		return 0;
	if (errno != EINVAL)
		return errno == EFAULT ? -ENOMEM : -errno;
#endif
	(void)write;
#ifdef SYS_process_vm_readv
	rc = read_each_page(addr, size);
#endif
	return rc == -ENOSYS ? touch_each_page(addr, size) : rc;
}

#ifdef MADV_HUGEPAGE
/* The number behind @word in a file of the kernel, from the line that begins with @after on; -1. */
static long read_number(const char *path, const char *after, const char *word)
{
	char line[512];
	long found = -1;
	bool reached = !after;
	FILE *file = fopen(path, "re");
	while (file && found < 0 && fgets(line, sizeof line, file)) {
		reached = reached || strncmp(line, after, strlen(after)) == 0;
		if (reached && strncmp(line, word, strlen(word)) == 0)
			found = strtol(line + strlen(word), NULL, 10);
	}
	if (file)
		fclose(file);
	return found;
}

size_t unishm_os_huge_page(void)
{
	long size = read_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", NULL, "");
	return size > 0 ? (size_t)size : 0;
}

int unishm_os_want_huge(void *addr, size_t size)
{
	char start[32];
	if (unishm_sys.madvise(addr, size, MADV_HUGEPAGE) < 0)
		return errno == EINVAL ? -ENOTSUP : -errno;
	/* Linux 5.0 tells whether that can have an effect; what does not tell is believed */
	snprintf(start, sizeof start, "%08lx-", (unsigned long)(uintptr_t)addr);
	return read_number("/proc/thread-self/smaps", start, "THPeligible:") == 0 ? -ENOTSUP : 0;
}
#else
size_t unishm_os_huge_page(void)
{
	return 0;
}

int unishm_os_want_huge(void *addr, size_t size)
{
	(void)addr, (void)size;
	return -ENOTSUP;
}
#endif

void *unishm_os_huge_place(size_t size, size_t huge)
{
	size_t length = size + huge;
	if (huge == 0 || length < size)
		return NULL;
	char *range = unishm_sys.mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (range == MAP_FAILED)
		return NULL;
	unishm_sys.munmap(range, length);
	return range + (huge - (uintptr_t)range % huge) % huge;
}

volatile unsigned char *unishm_os_canary(void)
{
	static volatile unsigned char always = 1;
#ifdef MADV_WIPEONFORK
	/* Linux 4.14: the kernel zeroes the byte in any child with memory of its own. A vfork child
	 * shares our memory and still sees 1, as it should. */
	size_t page = unishm_os_page_size();
	unsigned char *byte = unishm_sys.mmap(NULL, page, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (byte == MAP_FAILED)
		return NULL;
	if (unishm_sys.madvise(byte, page, MADV_WIPEONFORK) == 0) {
		*byte = 1;
		return byte;
	}
	unishm_sys.munmap(byte, page); /* an older kernel, or an emulator */
#endif
	return &always;
}

#ifdef __linux__
/* 32-bit systems have one call for each size of time_t. */
#if defined SYS_futex_time64 && (!defined SYS_futex || defined __USE_TIME_BITS64)
enum { FUTEX_CALL = SYS_futex_time64 };
#else
enum { FUTEX_CALL = SYS_futex };
#endif

void unishm_os_wait(atomic_uint *word, unsigned seen, unsigned ms)
{
	struct timespec limit = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
	syscall(FUTEX_CALL, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen, &limit, NULL, 0);
}

void unishm_os_wake(atomic_uint *word)
{
	syscall(FUTEX_CALL, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
}
#else
/* Other systems have such calls too, each a different one. Waits are rare and short, so it is
 * enough to look again every 0.1 ms. */
void unishm_os_wait(atomic_uint *word, unsigned seen, unsigned ms)
{
	int state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	for (unsigned tries = 0; atomic_load(word) == seen && tries < 10 * ms; tries++)
		nanosleep(&(struct timespec){ 0, 100000 }, NULL);
	pthread_setcancelstate(state, &state);
}

void unishm_os_wake(atomic_uint *word)
{
	(void)word;
}
#endif
