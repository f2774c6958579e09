/* SPDX-License-Identifier: MIT */
#include "os.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
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

int unishm_os_populate(void *addr, size_t size, int write)
{
#ifdef MADV_POPULATE_WRITE
	/* Linux 5.14; says no where a touch would raise SIGBUS */
	int advice = write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
	if (unishm_sys.madvise(addr, size, advice) == 0)
		return 0;
	if (errno != EINVAL)
		return -ENOMEM;
#endif
	(void)write;
	size_t page = unishm_os_page_size();
	for (size_t at = 0; at < size; at += page)
		(void)((const volatile char *)addr)[at];
	return 0;
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
