/* SPDX-License-Identifier: MIT */
/*
 * Processes for tests that change their own surroundings: another file system at /dev/shm,
 * another root, filters, users. Each runs in a mount namespace of its own, which vanishes with
 * it, and ends by an alarm at the latest. Linux only.
 */
#ifndef UNISHM_TESTS_APART_H
#define UNISHM_TESTS_APART_H

#include "harness.h"

enum { USER = 1000, OTHER = 1001 };

/* Before refuse() is used. */
#define NEEDS_FILTERS SKIP_UNLESS(!emulator(), "qemu-user has no filters of system calls")

/* Can namespaces and places be made at all? Needs root. */
bool can_be_apart(void);

/* Run @what in a process of its own, with a mount namespace of its own; returns what it
 * returned. It must end well. */
long apart(task what, long arg);

/* From within: a child that does @what, and what it returned. The last message is in board->said.
 * DIED + the wait status: it ended by itself. Usable in children of children. */
enum { DIED = 1 << 20 };
long in_child(task what, long arg);
long in_child_as(uid_t user, task what, long arg);

/* A child that does @what and then waits to be killed, once it has. */
struct helper {
	pid_t pid;
	int from;
};
struct helper helper_start(task what, long arg);
struct helper helper_start_as(uid_t user, task what, long arg);
void helper_kill(struct helper *helper);

/* Mount over /dev/shm; 0 or -errno. */
int place(const char *type, const char *options);

/* An empty /tmp. */
void empty_tmp(void);

/* Refuse a system call from now on, for this process and its children: with @code, if argument
 * @which has all bits of @bits (0: always) set. -errno if there are no filters. */
int refuse(int number, int which, unsigned bits, int code);
int refuse_equal(int number, int which, unsigned value, int code);

/* The last message has this in it. */
bool says(const char *words);

/* Make key 0, with @size bytes and mode 0666. 0 or -errno. */
int make_shared(size_t size, struct unishm **seg);

/* How many objects of ours are in /dev/shm? */
int entries(void);

/* Fork: the child's attachments are counted, exactly, and so is its end. */
void use_with_child(struct unishm *seg);

/* Create key 0 with @size bytes and do with it what a program does, to the end. What is left. */
long use_fully(long size);

/* Are all of these bytes @byte? */
bool are_all(const volatile char *bytes, size_t size, char byte);

#endif
