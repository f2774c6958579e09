/* SPDX-License-Identifier: MIT */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

unsigned long ushs_limit(const char *name, unsigned long otherwise)
{
	char path[64], text[32];
	snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
	int fd = unishm_sys.open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return otherwise;
	ssize_t got = unishm_sys.pread(fd, text, sizeof text - 1, 0);
	unishm_sys.close(fd);
	if (got <= 0)
		return otherwise;
	text[got] = '\0';
	return strtoul(text, NULL, 10);
}

/* The call that every filter allows, and which reads and writes a set of signals. With a
 * command that is none it changes nothing; without a set it only tells. */
enum { NO_COMMAND = 99, SET = SHIM_SET_SIZE };

static bool can_read_set(const unsigned char *from)
{
	return syscall(SYS_rt_sigprocmask, NO_COMMAND, from, NULL, SET) == 0 || errno != EFAULT;
}

static bool can_write_set(unsigned char *to)
{
	return syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, to, SET) == 0 || errno != EFAULT;
}

/* Structs of less than a page: both ends. */
bool ushs_can_read(const void *from, size_t size)
{
	return can_read_set(from) && can_read_set((const unsigned char *)from + size - SET);
}

bool ushs_can_write(void *to, size_t size)
{
	return can_write_set(to) && can_write_set((unsigned char *)to + size - SET);
}
