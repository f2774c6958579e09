/* SPDX-License-Identifier: MIT */
/*
 * What all tests share.
 *
 * Every test is one behaviour, run once for each backend that is built; its first
 * statement is begin(_i). It leaves nothing behind, whatever becomes of it: where
 * the system allows, the whole run lives in namespaces of its own, with its own
 * System V segments and its own /dev/shm, which vanish with its last process.
 * Elsewhere keys are the runner's own and are swept before, between and after.
 *
 * Other processes are agents: forked from the test, they do one task at a time as
 * they are told, and answer. Nothing waits by sleeping. An agent never uses
 * Check's assertions, which belong to the test's process: expect() serves both.
 *
 * Without fork (CK_FORK=no, for valgrind) leave out what carries the tag "native":
 * CK_EXCLUDE_TAGS=native.
 */
#ifndef UNISHM_TESTS_HARNESS_H
#define UNISHM_TESTS_HARNESS_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "emulator.h"
#include "unishm.h"

/* ---- Running ------------------------------------------------------------- */

/* The body of main(): @fill adds groups. */
int harness_main(const char *name, void (*fill)(Suite *suite));

/* A group of tests. @tags: NULL, or "native": needs a process of its own, or what
 * valgrind cannot follow. @seconds: for each test. */
TCase *group(Suite *suite, const char *name, const char *tags, int seconds);

/* Add a test to a group, once for each backend; or once in all. */
#define EACH(tcase, test) tcase_add_loop_test(tcase, test, 0, backends())
#define ONCE(tcase, test) tcase_add_test(tcase, test)

/* How many backends are built; run the current test on number @which. */
int backends(void);
void begin(int which);

/* The name of the backend of the current test; whether it is @name. */
const char *backend(void);
bool on(const char *name);

/* Say that the current test is left out, and why. */
void skip(const char *test, const char *why);
#define SKIP_UNLESS(condition, why)                \
	do {                                       \
		if (!(condition)) {                \
			skip(__func__, (why));     \
			return;                    \
		}                                  \
	} while (0)

bool is_root(void);
bool is_isolated(void);     /* in namespaces of our own */

/* How often to do what is worth doing @many times: fewer where all is slow. */
int rounds(int many);

/* The same for a loop, of which a tenth will do once the test has taken ten seconds: what depends
 * on the scheduler takes very long beside busy neighbours, and proves no more there. */
bool more_rounds(long done, int many);

bool is_instrumented(void); /* valgrind or a sanitizer: no tight memory limits */

/* Fail the test, or, in an agent, end the agent, which then fails the test. */
#define expect(condition, ...)                                                      \
	do {                                                                        \
		if (!(condition))                                                   \
			harness_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);  \
	} while (0)
_Noreturn void harness_fail(const char *file, int line, const char *what, const char *format, ...)
		__attribute__((format(printf, 4, 5)));

/* expect() that a call gave @want; @got is evaluated once. */
#define expect_rc(got, want) harness_rc(__FILE__, __LINE__, #got, (got), (want))
void harness_rc(const char *file, int line, const char *what, long got, long want);
#define expect_ok(got) expect_rc(got, 0)

/* ---- Segments ------------------------------------------------------------ */

/* Key number @n (0 to 63) of this run. */
key_t key(int n);

enum { SMALL = 1024 };

/* Make segment @n, which must not exist; open it; -1 for a private one. */
struct unishm *make(int n, size_t size, mode_t mode);
struct unishm *take(int n);

/* Try to open segment @n; what unishm_open() answered. Closes it again. */
int try_open(int n);

void *attach(struct unishm *seg, int flags);
void detach(struct unishm *seg, void *addr);

/* Remove and close. */
void drop(struct unishm *seg);

struct unishm_status status_of(struct unishm *seg);
unsigned long number_attached(struct unishm *seg);

/* Whether @when is what a clock said since @start, give or take a second. */
bool since(time_t start, time_t when);

/* Bytes that all segments of the current backend take, as the system says; only
 * meaningful when isolated. */
size_t memory_used(void);

/* Wait for the clock's next second. */
void next_second(void);

size_t page_size(void);

/* What addresses for attachments on the current backend are multiples of. */
size_t granularity(void);

/* That much memory at such an address, to be unmapped in whole or in part. */
char *map_area(size_t length);

/* fork() behind the back of the C library; Linux only. */
long raw_fork(void);

/* How many pages are in memory; -1: this system does not say. */
int resident_pages(void *addr, size_t length);

/* Fork a child that ends at once, and wait for it. */
void fork_and_end(void);

/* pipe2(), which macOS lacks. */
void pipe_cloexec(int fds[2]);

/* Descriptors that are open in this process. */
int count_descriptors(void);

/* Where makers work in files with a name of their own, a killed one leaves such a file. */
void sweep_drafts(void);

/* The name of the only object in /dev/shm, in a static buffer; NULL if there is
 * not just one. */
const char *only_object(void);

/* The path of the file that holds its record: itself, or the one beside it. */
const char *record_path(void);

/* Whether attachments are held by locks of open file descriptions (Linux), which a
 * program that closes all descriptors does not touch, or of the process. */
bool has_description_locks(void);

/* What the system that is imitated cannot do, on the POSIX backend and, locking, on
 * System V. */
bool can_reserve(void);       /* macOS: set memory aside for an object */
bool can_change_rights(void); /* macOS: give an object more rights, or an owner */
bool can_share(void);         /* OpenBSD: use the objects of other users */
bool can_lock(void);          /* System V on all but Linux and NetBSD */
bool can_refuse_addresses(void); /* System V on OpenBSD attaches elsewhere, to be detached */

/* What unishm keeps of a segment in whose way an open handle may be. */
size_t record_memory(void);

/* ---- Agents -------------------------------------------------------------- */

/* Users other than root. */
enum { NOBODY = 65534, DAEMON = 1 };

struct agent {
	pid_t pid;    /* as this process sees it */
	pid_t waiter; /* the child of this process to wait for: usually the same */
	int to, from;
};

typedef long (*task)(long arg);

/* What tasks of an agent work on. The test may set it before it starts an agent,
 * which then has inherited it. */
extern struct unishm *mine;
extern void *at;

/* Memory that the test and all of its agents share. */
struct board {
	struct unishm_status st;
	void *where;
	atomic_int count;
	atomic_int flag;
	volatile long words[16];
	char said[600]; /* the last message in an agent */
};
extern struct board *board;

struct agent agent_start(void);
struct agent agent_start_as(uid_t user);       /* all three ids; no groups */
struct agent agent_start_in_pid_namespace(void);

/* Do @what in the agent and return what it returned; or the two halves of it. */
long ask(struct agent *agent, task what, long arg);
void tell(struct agent *agent, task what, long arg);
long hear(struct agent *agent);

/* Wait for a byte that a task sent by say(), in the midst of its work. */
void hear_word(struct agent *agent);
void say_word(void);

/* Let it exit, without a detach; it must end well. */
void agent_end(struct agent *agent);

/* Kill it, or wait for it to die by itself; returns the wait status. */
int agent_kill(struct agent *agent);
int agent_wait(struct agent *agent);

/* Whether descriptor @fd of an agent is its connection to the test, or standard
 * output or error. */
bool agent_needs(int fd);

/* For a process that has nothing left to do but to be counted and killed. It ends
 * by itself when the run does. */
_Noreturn void wait_to_be_killed(void);

/* Ready-made tasks, on mine and at. They return what the library returned. */
long do_open(long n);
long do_create(long n); /* SMALL bytes, mode 0600 */
long do_open_id(long id);
long do_attach(long flags);
long do_detach(long unused);
long do_close(long unused);
long do_remove(long unused);
long do_lock(long unused);
long do_unlock(long unused);
long do_chmod(long mode);
long do_chown(long user);
long do_status(long unused); /* into board->st */
long do_number(long unused); /* the number attached, or the error */
long do_read(long offset);
long do_write(long offset); /* 'x' */
long do_become(long user);  /* real, effective and saved; group likewise */
long do_close_descriptors(long from); /* all from that number on that the agent does not need */
long do_fork(long unused);  /* a child that waits to be killed; its pid */
long do_list_count(long unused);

/* End a child whose pid do_fork() returned, from the agent that made it. */
long do_reap(long pid);

#endif
