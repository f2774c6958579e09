/* SPDX-License-Identifier: MIT */
/*
 * Facts about System V shared memory, each as a small program that says what it saw. The same
 * program runs on the kernel's calls and on the shim's; facts.sh compares what they said.
 *
 * A fact runs in a process of its own. It calls the C library only, never unishm.
 */
#ifndef FACTS_H
#define FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/types.h>

struct fact {
	const char *name;
	void (*run)(void);
};

extern const struct fact event_facts[], get_facts[], attach_facts[], control_facts[],
	mapping_facts[], permission_facts[], robust_facts[]; /* each ends with a NULL name */

/* Add to what this fact says. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The name of an errno, or "ok" for a result that is none. */
const char *result(long rc);
const char *result_of_attach(const void *addr);

/* A key that nothing else of this run has. */
key_t fresh_key(void);

/* A new private segment of @size bytes; it is removed when the fact ends. */
int make(size_t size, int mode);
/* The same with a key. */
int make_key(key_t key, size_t size, int mode);
/* To be removed when the fact ends. */
int keep(int id);

char *attach(int id);
unsigned long count(int id);

/* Say the status of @id: the fields that change, times as set or not, processes by role. */
void say_status(int id);
/* The role of a process, for say_status(). */
void call_it(pid_t pid, const char *role);

/* Fork; the child runs @body and ends. Returns its process. */
pid_t child(void (*body)(void *arg), void *arg);
/* Wait for it: its exit status, or minus the signal. */
int ended(pid_t pid);
/* A child that runs @body to its end and stays, until it is killed. */
pid_t staying_child(void (*body)(void *arg), void *arg);
void end_by_kill(pid_t pid);

/* Does a write to @addr raise SIGSEGV? And a read? Tried in a child. */
bool can_write(void *addr);
bool can_read(const void *addr);

/* An address range of @size bytes that is free just now. */
char *free_range(size_t size);

void become(uid_t user, gid_t group);
bool is_root(void);

#endif
