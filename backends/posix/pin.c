/* SPDX-License-Identifier: MIT */
#include "pin.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "handle.h"
#include "memory.h"
#include "object_sys.h"
#include "sys.h"

/* The lock of a description of its own, kept by the mapping; or, without one, of the process. */
static int hold_place(struct posix *p, uint64_t place, int fd, struct pin *pin)
{
	struct lock_file own = ushp_object_locks(&p->object),
			 other = { fd, false, own.dev, own.ino };
	bool by_process = ushp_sys_lock_owner == LOCK_OF_PROCESS || fd < 0 ||
			ushp_lock_by_process(own.dev, own.ino);
	pin->by_process = by_process;
	return ushp_lock_must_take(by_process ? &own : &other,
			by_process ? LOCK_OF_PROCESS : LOCK_OF_DESCRIPTION, place, 1, false);
}

static int map_and_hold(struct unishm *seg, int data_fd, int lock_fd, struct pin *pin)
{
	struct posix *p = posix_of(seg);
	int rc = ushp_map_own(data_fd, 0, seg->size, PROT_READ, false, &pin->addr);
	if (rc < 0)
		return rc;
	rc = hold_place(p, PLACE_PINS + pin->epoch, lock_fd, pin);
	if (rc < 0)
		unishm_sys.munmap(pin->addr, seg->size);
	return rc;
}

static int because_not_locked(int code)
{
	int rc = code == EAGAIN ? -ENOMEM : -code;
	if (rc == -EPERM)
		return unishm_because(rc,
				"RLIMIT_MEMLOCK is 0 and there is no privilege; "
				"raise it (ulimit -l)");
	if (rc == -ENOMEM)
		return unishm_because(rc,
				"it is larger than RLIMIT_MEMLOCK allows, or memory is short; "
				"raise the limit (ulimit -l)");
	return rc;
}

/* One description for data and lock, where that can be. An owner may be refused by the mode: then
 * the descriptor that is there has to do. */
static int map_for_pin(struct unishm *seg, struct pin *pin)
{
	struct posix *p = posix_of(seg);
	int fd = ushp_object_reopen(&p->object, O_RDONLY);
	bool both = ushp_sys_lock_owner == LOCK_OF_DESCRIPTION && fd >= 0;
	if (both) {
		int rc = map_and_hold(seg, fd, fd, pin);
		ushp_lock_close(fd);
		return rc;
	}
	int data = ushp_sys_open_data(&p->object, seg->size, O_RDONLY);
	int rc = data < 0 ? data : map_and_hold(seg, data, fd, pin);
	if (data >= 0 && data != p->object.fd)
		ushp_lock_close(data);
	if (fd >= 0)
		ushp_lock_close(fd);
	return rc;
}

int ushp_pin(struct unishm *seg, uint32_t epoch)
{
	struct posix *p = posix_of(seg);
	struct pin pin = { .epoch = epoch };
	int rc = map_for_pin(seg, &pin);
	if (rc < 0)
		return rc;
	p->pin = pin;
	if (unishm_sys.mlock(pin.addr, seg->size) < 0) {
		rc = because_not_locked(errno);
		ushp_unpin(seg);
	}
	return rc;
}

void ushp_unpin(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct lock_file file = ushp_object_locks(&p->object);
	struct stat st;
	if (!p->pin.addr)
		return;
	unishm_sys.munmap(p->pin.addr, seg->size);
	if (p->pin.by_process) {
		if (ushp_object_check(&p->object, &st) < 0)
			file.fd = -1;
		ushp_lock_drop(&file, LOCK_OF_PROCESS, PLACE_PINS + p->pin.epoch, 1);
	}
	p->pin = (struct pin){ 0 };
}
