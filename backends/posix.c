/* SPDX-License-Identifier: MIT */
/*
 * The POSIX backend: shm_open, mmap, mlock, and what the kernel does not keep for such memory.
 * This is its table; the code is in backends/posix/. Calls go downwards only:
 *
 *   find, list, attach, change, status, fork     the members, by subject
 *   refresh                                      the steps before and after each member
 *   create, unfinished, look, by_id, pin         what several of them do
 *   census, move, hold, slot, reader             who is attached: read hold.h first
 *   data, object, directory                      the file of a segment, its data and its name
 *   record                                       what the library keeps about a segment
 *   range_lock, descriptor, memory               the system's locks, descriptors, address space
 *   names                                        names of segments, ids
 *
 * data_*, object_* and lock_* exist for Linux (_linux) and for other systems (_sidecar).
 */
#include "os.h"
#include "posix/entries.h"
#include "posix/fork.h"
#include "posix/handle.h"

const struct unishm_backend unishm_posix_backend = {
	.name = POSIX_NAME,
	.priv_size = sizeof(struct posix),
	.open = ushp_open,
	.open_id = ushp_open_id,
	.close = ushp_close,
	.ready = ushp_ready,
	.settle = ushp_settle,
	.granularity = unishm_os_page_size,
	.attach = ushp_attach,
	.detach = ushp_detach,
	.displaced = ushp_displaced,
	.occupies = ushp_keeps_in_range,
	.remove = ushp_remove,
	.lock = ushp_lock,
	.unlock = ushp_unlock,
	.chmod = ushp_chmod,
	.chown = ushp_chown,
	.status = ushp_status,
	.list = ushp_list,
	.sweep = ushp_sweep,
	.fork_prepare = ushp_fork_prepare,
	.fork_parent = ushp_fork_parent,
	.fork_shed = ushp_fork_shed,
	.fork_child = ushp_fork_child,
	.fork_missed = ushp_fork_missed,
};
