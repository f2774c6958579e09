/* SPDX-License-Identifier: MIT */
/* What each event changes in the status. */
#include "facts.h"

#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <pthread.h>
#include <unistd.h>

enum { SIZE = 20000 };

extern char **environ;

static void create(void)
{
	say_status(make_key(fresh_key(), SIZE, 0640));
}

static void create_ignores_umask(void)
{
	umask(0777);
	say_status(make_key(fresh_key(), SIZE, 0666));
}

static void open_changes_nothing(void)
{
	key_t key = fresh_key();
	int id = make_key(key, SIZE, 0600);
	say("%d ", shmget(key, SIZE, IPC_CREAT | 0666) == id);
	say_status(id);
}

static void attach_and_detach(void)
{
	int id = make_key(fresh_key(), SIZE, 0600);
	char *addr = attach(id);
	say_status(id);
	char *other = attach(id);
	say_status(id);
	addr[5] = 7;
	say("%d %d ", other != addr, other[5]);
	say("%s ", result(shmdt(addr)));
	say_status(id);
	say("%s ", result(shmdt(other)));
	say_status(id);
}

static void readonly_attach_counts(void)
{
	int id = make(SIZE, 0600);
	say("%s ", result_of_attach(shmat(id, NULL, SHM_RDONLY)));
	say_status(id);
}

static void failures_change_nothing(void)
{
	int id = make(SIZE, 0600);
	say("%s ", result_of_attach(shmat(id, (void *)(uintptr_t)4097, 0)));
	say("%s ", result(shmdt(&id)));
	say_status(id);
}

static void do_nothing(void *arg)
{
	(void)arg;
}

static void fork_counts(void)
{
	int id = make(SIZE, 0600);
	attach(id);
	attach(id);
	pid_t pid = staying_child(do_nothing, NULL);
	call_it(pid, "child");
	say_status(id);
	end_by_kill(pid);
	say_status(id);
}

static void raw_clone_counts(void)
{
	int id = make(SIZE, 0600);
	attach(id);
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		syscall(SYS_pause);
		syscall(SYS_exit_group, 0);
	}
	say("%lu ", count(id));
	end_by_kill(pid);
	say("%lu", count(id));
}

static void child_detaches(void)
{
	int id = make(SIZE, 0600);
	char *addr = attach(id);
	pid_t pid = fork();
	if (pid == 0) {
		say("%s ", result(shmdt(addr)));
		_exit(0);
	}
	call_it(pid, "child");
	ended(pid);
	say_status(id);
	addr[0] = 1;
}

static void exec_ends(void)
{
	int id = make(SIZE, 0600);
	attach(id);
	int hold[2];
	if (pipe(hold) < 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		char *const empty[] = { NULL };
		dup2(hold[0], 0);
		close(hold[1]);
		execle("/bin/cat", "cat", NULL, empty);
		_exit(1);
	}
	call_it(pid, "child");
	close(hold[0]);
	for (int i = 0; i < 5000 && count(id) != 1; i++)
		usleep(1000);
	say_status(id);
	close(hold[1]);
	ended(pid);
}

static void attach_it(void *arg)
{
	attach(*(int *)arg);
}

static void dies(const char *how, int signal_of)
{
	int id = make(SIZE, 0600);
	pid_t pid = staying_child(attach_it, &id);
	call_it(pid, "child");
	say("%s ", how);
	say_status(id);
	kill(pid, signal_of);
	ended(pid);
	say_status(id);
}

static void killed(void)
{
	dies("SIGKILL", SIGKILL);
}

static void terminated(void)
{
	dies("SIGTERM", SIGTERM);
}

static void aborted(void)
{
	dies("SIGUSR1", SIGUSR1);
}

static void attach_and_exit(void *arg)
{
	attach(*(int *)arg);
	exit(0);
}

static void exits(void)
{
	int id = make(SIZE, 0600);
	pid_t pid = child(attach_and_exit, &id);
	call_it(pid, "child");
	ended(pid);
	say_status(id);
}

static void zombie_counts_nothing(void)
{
	int id = make(SIZE, 0600);
	pid_t pid = staying_child(attach_it, &id);
	siginfo_t info;
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	say("%lu", count(id));
	ended(pid);
}

static void stopped_counts(void)
{
	int id = make(SIZE, 0600), status;
	pid_t pid = staying_child(attach_it, &id);
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	say("%lu", count(id));
	end_by_kill(pid);
}

static void vfork_and_spawn(void)
{
	int id = make(SIZE, 0600);
	attach(id);
	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
	ended(pid);
	say_status(id);
	char *const words[] = { "true", NULL };
	if (posix_spawnp(&pid, "true", NULL, NULL, words, environ) == 0)
		ended(pid);
	say_status(id);
	if (system("true") != 0)
		say("?");
	say_status(id);
}

static void *attach_in_thread(void *arg)
{
	return attach(*(int *)arg);
}

static void thread_ends(void)
{
	int id = make(SIZE, 0600);
	pthread_t thread;
	void *addr;
	pthread_create(&thread, NULL, attach_in_thread, &id);
	pthread_join(thread, &addr);
	say_status(id);
	say("%s ", result(shmdt(addr)));
	say_status(id);
}

static void set_changes_mode(void)
{
	int id = make_key(fresh_key(), SIZE, 0600);
	struct shmid_ds ds;
	shmctl(id, IPC_STAT, &ds);
	ds.shm_perm.mode = 07644;
	ds.shm_segsz = 1;
	ds.shm_cpid = 1;
	ds.shm_nattch = 77;
	ds.shm_perm.__key = 1;
	say("%s ", result(shmctl(id, IPC_SET, &ds)));
	say_status(id);
}

static void remove_unattached(void)
{
	key_t key = fresh_key();
	int id = make_key(key, SIZE, 0600);
	struct shmid_ds ds;
	say("%s ", result(shmctl(id, IPC_RMID, NULL)));
	say("%s ", result(shmctl(id, IPC_STAT, &ds)));
	say("%s ", result(shmctl(id, IPC_RMID, NULL)));
	say("%s ", result_of_attach(shmat(id, NULL, 0)));
	say("%s ", result(shmget(key, 0, 0)));
	int next = make_key(key, SIZE, 0600);
	say("%d", next != id);
}

static void remove_attached(void)
{
	key_t key = fresh_key();
	int id = make_key(key, SIZE, 0600);
	char *addr = attach(id);
	say("%s ", result(shmctl(id, IPC_RMID, NULL)));
	say_status(id);
	say("%s ", result(shmget(key, 0, 0)));
	say("again %s ", result(shmctl(id, IPC_RMID, NULL)));
	int next = make_key(key, SIZE, 0600);
	say("%d ", next != id && next >= 0);
	addr[0] = 1;
	say("%s ", result(shmdt(addr)));
	say_status(id);
}

static void attach_removed(void *arg)
{
	char *addr = shmat(*(int *)arg, NULL, 0);
	say("%s ", result_of_attach(addr));
	if (addr != (void *)-1)
		say("%d ", addr[3]);
}

static void remove_then_attach(void)
{
	int id = make_key(fresh_key(), SIZE, 0600);
	char *addr = attach(id);
	addr[3] = 9;
	shmctl(id, IPC_RMID, NULL);
	char *other = attach(id);
	say("%d ", other[3]);
	say_status(id);
	pid_t pid = staying_child(attach_removed, &id);
	call_it(pid, "child");
	say_status(id);
	shmdt(addr);
	shmdt(other);
	end_by_kill(pid);
	say_status(id);
}

static void killed_last_holder_of_removed(void)
{
	int id = make_key(fresh_key(), SIZE, 0600);
	pid_t pid = staying_child(attach_it, &id);
	shmctl(id, IPC_RMID, NULL);
	say_status(id);
	end_by_kill(pid);
	say_status(id);
}

static void attach_after_the_last_was_killed(void)
{
	int id = make_key(fresh_key(), SIZE, 0600);
	pid_t pid = staying_child(attach_it, &id);
	shmctl(id, IPC_RMID, NULL);
	end_by_kill(pid);
	say("%s ", result_of_attach(shmat(id, NULL, 0)));
	say_status(id);
}

static void fork_of_removed(void)
{
	int id = make_key(fresh_key(), SIZE, 0600);
	char *addr = attach(id);
	shmctl(id, IPC_RMID, NULL);
	pid_t pid = staying_child(do_nothing, NULL);
	call_it(pid, "child");
	say_status(id);
	shmdt(addr);
	say_status(id);
	end_by_kill(pid);
	say_status(id);
}

static void set_of_removed(void)
{
	int id = make_key(fresh_key(), SIZE, 0600);
	struct shmid_ds ds;
	attach(id);
	shmctl(id, IPC_RMID, NULL);
	shmctl(id, IPC_STAT, &ds);
	ds.shm_perm.mode = 0640;
	say("%s ", result(shmctl(id, IPC_SET, &ds)));
	say_status(id);
}

static void lock_and_unlock(void)
{
	int id = make(SIZE, 0600);
	say("%s ", result(shmctl(id, SHM_LOCK, NULL)));
	say_status(id);
	say("%s ", result(shmctl(id, SHM_LOCK, NULL)));
	say("%s ", result(shmctl(id, SHM_UNLOCK, NULL)));
	say_status(id);
}

static void remove_private(void)
{
	int id = make(SIZE, 0600);
	char *addr = attach(id);
	shmctl(id, IPC_RMID, NULL);
	say_status(id);
	char *other = attach(id);
	shmdt(addr);
	say_status(id);
	shmdt(other);
	say_status(id);
}

static void remap_over_another(void)
{
	int one = make(SIZE, 0600), other = make(SIZE, 0600);
	char *addr = attach(one);
	say("%d ", (char *)shmat(other, addr, SHM_REMAP) == addr);
	say_status(one);
	say_status(other);
	say("%s ", result(shmdt(addr)));
	say_status(other);
}

static void outlives_its_processes(void)
{
	key_t key = fresh_key();
	int id = make_key(key, SIZE, 0600);
	pid_t pid = fork();
	if (pid == 0) {
		strcpy(attach(id), "kept");
		_exit(0);
	}
	call_it(pid, "child");
	ended(pid);
	say_status(id);
	say("%s", attach(shmget(key, 0, 0600)));
}

static void setuid_after_attach(void)
{
	int id = make(SIZE, 0600);
	char *addr = attach(id);
	if (!is_root())
		return;
	pid_t pid = fork();
	if (pid == 0) {
		become(65534, 65534);
		addr[0] = 1;
		say("%s ", result_of_attach(shmat(id, NULL, 0)));
		say_status(id);
		say("%s ", result(shmdt(addr)));
		_exit(0);
	}
	call_it(pid, "child");
	ended(pid);
	say_status(id);
}

const struct fact event_facts[] = {
	{ "create", create },
	{ "the umask is ignored", create_ignores_umask },
	{ "to open changes nothing", open_changes_nothing },
	{ "attach and detach", attach_and_detach },
	{ "a read-only attachment counts", readonly_attach_counts },
	{ "what fails changes nothing", failures_change_nothing },
	{ "fork", fork_counts },
	{ "raw clone", raw_clone_counts },
	{ "a child detaches what it inherited", child_detaches },
	{ "exec", exec_ends },
	{ "killed", killed },
	{ "terminated", terminated },
	{ "ended by another signal", aborted },
	{ "exit", exits },
	{ "a zombie", zombie_counts_nothing },
	{ "a stopped process", stopped_counts },
	{ "vfork, posix_spawn, system", vfork_and_spawn },
	{ "the end of a thread", thread_ends },
	{ "IPC_SET", set_changes_mode },
	{ "IPC_RMID, not attached", remove_unattached },
	{ "IPC_RMID, attached", remove_attached },
	{ "attach after IPC_RMID", remove_then_attach },
	{ "IPC_RMID of a private one", remove_private },
	{ "the last holder of a removed one is killed", killed_last_holder_of_removed },
	{ "attach after the last holder of a removed one was killed",
			attach_after_the_last_was_killed },
	{ "fork of a removed one", fork_of_removed },
	{ "IPC_SET of a removed one", set_of_removed },
	{ "SHM_LOCK, SHM_UNLOCK", lock_and_unlock },
	{ "SHM_REMAP over another attachment", remap_over_another },
	{ "a segment outlives its processes", outlives_its_processes },
	{ "setuid after attach", setuid_after_attach },
	{ NULL, NULL },
};
