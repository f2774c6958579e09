/* SPDX-License-Identifier: MIT */
#include "os.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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
	/* Linux 4.14: the kernel gives zeros to any child with memory of its
	 * own; a vfork child shares ours and still sees 1, rightly. */
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
