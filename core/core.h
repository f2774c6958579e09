/* SPDX-License-Identifier: MIT */
/* What the files of core/ share among themselves. */
#ifndef UNISHM_CORE_H
#define UNISHM_CORE_H

#include "backend.h"

/* ---- error.c ------------------------------------------------------------ */

/* Forget why an earlier call failed; every public call starts with it. */
void unishm_begin(void);

/* Compose unishm_errmsg() for a call that fails with @rc: "cannot @what". Takes
 * the reason that unishm_because() left for @rc, else one for the errno alone.
 * Returns @rc. */
int unishm_fail(int rc, const char *what, ...) __attribute__((format(printf, 2, 3)));

/* ---- registry.c --------------------------------------------------------- */

/* The backend called @name; NULL: the default, or what $UNISHM_BACKEND says.
 * -EINVAL if it is not built in. */
int unishm_find_backend(const char *name, const struct unishm_backend **backend);

/* ---- handles.c ---------------------------------------------------------- */

/* Register a handle, so that forks see to it. */
void unishm_register(struct unishm *seg);

/* Take it out again. */
void unishm_unregister(struct unishm *seg);

/* Lock a handle for a call. */
void unishm_enter(struct unishm *seg);
void unishm_leave(struct unishm *seg);

/* Lock all handles of the process, for a call that may touch any of them, and
 * walk them. */
struct unishm *unishm_enter_all(void);
void unishm_leave_all(void);

#endif
