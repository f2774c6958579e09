/* SPDX-License-Identifier: MIT */
/* What differs between systems, for the core. See docs/porting.md for the backends. */
#ifndef UNISHM_CORE_OS_H
#define UNISHM_CORE_OS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h> /* defines __GLIBC_PREREQ, or not */

#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 32)
#include <sys/single_threaded.h>
#define UNISHM_OS_TELLS_OF_THREADS 1
#endif
#endif

/* getenv(), but NULL in a set-id program, whose environment is the caller's. */
const char *unishm_os_getenv(const char *name);

size_t unishm_os_page_size(void);

/* Whether no other thread runs, nor will one before this thread makes it. glibc 2.32 knows;
 * elsewhere there may always be others. */
static inline bool unishm_os_has_one_thread(void)
{
#ifdef UNISHM_OS_TELLS_OF_THREADS
	return __builtin_expect(__libc_single_threaded, 1);
#else
	return false;
#endif
}

/* Bring the pages of a mapping in, writable if @write. -ENOMEM if the system, or the file
 * system, has no memory for them; no signal. */
int unishm_os_populate(void *addr, size_t size, int write);

/* The size of a transparent huge page; 0: the system has none. */
size_t unishm_os_huge_page(void);

/* Where @size bytes can be mapped that begin with a huge page, which is @huge large: free at this
 * moment. NULL: there is no such place, or @huge is 0. */
void *unishm_os_huge_place(size_t size, size_t huge);

/* Ask for huge pages in a mapping. 0, or -ENOTSUP if the kernel gives none to it. */
int unishm_os_want_huge(void *addr, size_t size);

/* A byte of 1 that the kernel makes 0 in every child with memory of its own, so
 * that one made without the C library's fork, and thus without its handlers, is
 * noticed. Where there is no such memory it stays 1: on those systems fork(2)
 * alone makes processes. NULL: no memory. */
volatile unsigned char *unishm_os_canary(void);

/* Sleep while *@word is @seen, until a wake, or for about @ms milliseconds; may return
 * early. No cancellation point. */
void unishm_os_wait(atomic_uint *word, unsigned seen, unsigned ms);

/* Wake all who wait for @word, which was changed before. */
void unishm_os_wake(atomic_uint *word);

#endif
