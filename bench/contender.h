/* SPDX-License-Identifier: MIT */
/* What the benchmark can ask of a library, raw calls included. One program per
 * contender: bench/worker.c and one file that defines `contender`. */
#ifndef CONTENDER_H
#define CONTENDER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SLOTS = 1100, SIZE_DEFAULT = 65536 };

/* Handles are numbered 0 to SLOTS - 1; two may be open on one segment. A segment
 * is named by a number too, unique to @base. All calls end the program with a
 * message when they fail. */
struct contender {
	/* Once, first. @variant is the program's argument. */
	void (*start)(const char *variant, unsigned base);

	/* Where attach is NULL, create and open attach as well, close detaches.
	 * open is NULL where there is no such thing. */
	void (*create)(int handle, unsigned segment, size_t size, int reserve);
	void (*open)(int handle, unsigned segment);
	void (*attach)(int handle);
	void (*detach)(int handle);
	void (*close)(int handle);
	void (*remove)(int handle); /* by the creator's handle, before close */
	void *(*address)(int handle);

	/* Each may be NULL: there is no such thing. */
	size_t (*status)(int handle); /* as much as it tells, with a number attached */
	size_t (*size)(int handle);   /* the size alone */
	void (*lock)(int handle);
	void (*unlock)(int handle);
	unsigned (*list)(void); /* how many there are */
	int reserves;           /* it can reserve memory, or not, as asked */
	int create_attaches;    /* although attach is not NULL */

	/* Last, for those who fill this in by position. NULL: open, then attach. */
	void (*open_attached)(int handle, unsigned segment);
};

extern const struct contender contender;

/* End the program: "@what: " and errno's text. */
void die(const char *what) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

#endif
