/* SPDX-License-Identifier: MIT */
/* The members of the backend's table, by file. See core/backend.h for what each does. */
#ifndef UNISHM_POSIX_ENTRIES_H
#define UNISHM_POSIX_ENTRIES_H

#include "backend.h"

/* What users type and tools print. */
#define POSIX_NAME "posix"

typedef int ushp_visit_fn(const struct unishm_status *st, void *arg);

/* find.c */
int ushp_open(struct unishm *seg, const struct unishm_options *opt);
int ushp_open_id(struct unishm *seg, int id);
void ushp_close(struct unishm *seg);

/* list.c */
int ushp_list(ushp_visit_fn *visit, void *arg);
int ushp_sweep(int flags, ushp_visit_fn *visit, void *arg);

/* refresh.c */
int ushp_ready(struct unishm *seg);
void ushp_settle(struct unishm *seg);

/* attach.c */
int ushp_attach(struct unishm *seg, void *where, int flags, struct unishm_attachment *new);
int ushp_detach(struct unishm *seg, struct unishm_attachment *old);
void ushp_displaced(struct unishm *seg, struct unishm_attachment *old);
bool ushp_keeps_in_range(const struct unishm *seg, const void *where, size_t length);

/* change.c */
int ushp_remove(struct unishm *seg);
int ushp_lock(struct unishm *seg);
int ushp_unlock(struct unishm *seg);
int ushp_chmod(struct unishm *seg, mode_t mode);
int ushp_chown(struct unishm *seg, uid_t user, gid_t group);

/* status.c */
int ushp_status(struct unishm *seg, struct unishm_status *st);
int ushp_status_any(struct unishm *seg, struct unishm_status *st); /* whoever asks */
struct view;
int ushp_status_on(struct unishm *seg, struct view *view, struct unishm_status *st);

#endif
