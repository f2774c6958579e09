/* SPDX-License-Identifier: MIT */
/* libunishm-sysv: what programs call instead of the C library's functions of the same names. */
#include "../core/shim.h"

UNISHM_API int shmget(key_t key, size_t size, int flags)
{
	return unishm_shim_get(key, size, flags);
}

UNISHM_API void *shmat(int id, const void *where, int flags)
{
	return unishm_shim_at(id, where, flags);
}

UNISHM_API int shmdt(const void *addr)
{
	return unishm_shim_dt(addr);
}

UNISHM_API int shmctl(int id, int command, struct shmid_ds *buffer)
{
	return unishm_shim_ctl(id, command, buffer);
}
