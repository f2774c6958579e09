/* SPDX-License-Identifier: MIT */
/* What the files of the POSIX backend share: a segment as one handle sees it. */
#ifndef UNISHM_POSIX_H
#define UNISHM_POSIX_H

#include <sys/stat.h>

#include "backend.h"
#include "posix_os.h"
#include "posix_record.h"

/* A place in the record where a handle's attachments are counted; see
 * posix_seat.h. */
struct seat {
	struct record *record; /* mapped for this seat; NULL: no seat */
	uint32_t index;
	uint32_t nonce;
	bool by_process;
};

/* One attachment that is counted with neither; see there. */
struct light {
	bool held;
	bool spent; /* the handle is used more than once: from now on it takes a seat */
	uint32_t index;
	struct record_light account; /* as we wrote it */
};

struct posix {
	int fd;        /* to check with posix_usable() before every use */
	bool writable; /* @fd is open for writing */
	bool gone;     /* seen to be removed and not attached: that is for good */
	bool lent;     /* children share the description of @fd */
	bool uncounted; /* the record is to say so, as soon as it can be written */
	dev_t dev;     /* which object this is, whatever becomes of @fd */
	ino_t ino;
	off_t record_at;
	char name[OS_NAME_MAX];

	struct light light;
	unsigned looks; /* how often status was asked for */
	struct seat seat;
	struct seat heir; /* only around fork: the child's */
	int heir_fd;
	int heir_pipe[2]; /* closed by the child when it has taken over; -1: none */

	void *pin; /* all of it, locked into RAM; NULL: not by us */
	uint32_t pin_epoch;
	bool pin_by_process;
};

static inline struct posix *posix_of(struct unishm *seg)
{
	return (struct posix *)(void *)seg->priv;
}

/* Make sure that the handle's descriptor still leads to its object: programs
 * close and replace descriptors that are not theirs. Opens it anew if need be.
 * @st receives its status. -EBADF if that cannot be done. */
int posix_usable(struct unishm *seg, struct stat *st);

/* Another open file description of the object; the caller closes it. @access is
 * O_RDONLY or O_RDWR. */
int posix_reopen(struct unishm *seg, int access);

/* The same for the owner, although the mode may forbid even him to open it. */
int posix_reopen_as_owner(struct unishm *seg, int access, const struct stat *st);

/* Is all of the record there? -EBADMSG. */
int posix_check_length(const struct posix *p, const struct stat *st);

/* Have another description than our parent for the handle's descriptor: its locks are
 * not ours, and not seen through it. */
void posix_renew_fd(struct unishm *seg);

/* Where OS_BESIDE: the object with the data, to be mapped and closed. */
int posix_open_data(struct unishm *seg, int access);

/* May the effective user do this (4 read, 2 write, 1 execute) with an object
 * of that mode and owner? 0 or -EACCES, with the reason. */
int posix_permit(const struct stat *st, unsigned want);

/* Read the record: by the seat's mapping if there is one, whose @lights are not copied. */
int posix_read_head(struct unishm *seg, struct record_head *head);
int posix_read_tail(struct unishm *seg, struct record_tail *tail, const struct record_light **lights);

/* Write whole words of it, by a descriptor that is ours and writable, if not by the
 * mapping. False: it cannot be done. */
bool posix_put_record(struct posix *p, size_t at, const void *from, size_t size);

/* One word of the head, if we may. */
void posix_write_head(struct unishm *seg, size_t field, uint32_t value);

/* Write down an attach or a detach, by this process, now. */
enum posix_op { POSIX_ATTACH, POSIX_DETACH };
void posix_note(struct unishm *seg, enum posix_op op);

#endif
