/* SPDX-License-Identifier: MIT */
/* Holds across fork(); see hold.h, and core/backend.h for when these are called. */
#ifndef UNISHM_POSIX_FORK_H
#define UNISHM_POSIX_FORK_H

#include <stdbool.h>

struct unishm;

void ushp_fork_prepare(struct unishm *seg);
void ushp_fork_parent(struct unishm *seg, bool failed);
void ushp_fork_shed(struct unishm *seg, bool is_under_way);
void ushp_fork_child(struct unishm *seg);
void ushp_fork_missed(struct unishm *seg, bool in_child);

#endif
