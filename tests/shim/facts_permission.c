/* SPDX-License-Identifier: MIT */
/* Who may do what, by mode and class of user. */
#include "facts.h"

#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OWNER = 1801, GROUP = 1802, OTHER = 1803 };

static const int modes[] = { 0, 0600, 0660, 0666, 0640, 0644, 0604, 0066, 0400, 0200, 0440,
	0622, 0777 };

static key_t key;
static int id;

static void become_with(uid_t user, gid_t group, gid_t more)
{
	if (setgroups(more ? 1 : 0, &more) < 0 || setresgid(group, group, group) < 0
			|| setresuid(user, user, user) < 0)
		say("(cannot become %u)", (unsigned)user);
}

static void ask(void)
{
	struct shmid_ds ds;
	say("%s ", result_of_attach(shmat(id, NULL, 0)));
	say("%s ", result_of_attach(shmat(id, NULL, SHM_RDONLY)));
	say("%s ", result(shmctl(id, IPC_STAT, &ds)));
	say("%s ", result(shmget(key, 0, 0)));
	say("%s ", result(shmget(key, 0, 0400)));
	say("%s ", result(shmget(key, 0, 0200)));
	say("%s ", result(shmget(key, 0, 0666)));
}

static void as(const char *who, uid_t user, gid_t group, gid_t more)
{
	pid_t pid = fork();
	if (pid == 0) {
		if (user)
			become_with(user, group, more);
		say("%s: ", who);
		ask();
		_exit(0);
	}
	ended(pid);
}

static void make_it(void *mode)
{
	become_with(OWNER, GROUP, 0);
	shmget(key, 5000, IPC_CREAT | IPC_EXCL | *(int *)mode);
}

static void by_mode(int mode)
{
	if (!is_root())
		return;
	key = fresh_key();
	ended(child(make_it, &mode));
	id = shmget(key, 0, 0);
	as("owner", OWNER, GROUP, 0);
	as("group", OTHER, GROUP, 0);
	as("supplementary", OTHER, OTHER, GROUP);
	as("other", OTHER, OTHER, 0);
	as("root", 0, 0, 0);
	as("owner in no group", OWNER, OTHER, 0);
	say("root removes %s", result(shmctl(id, IPC_RMID, NULL)));
}

#define BY_MODE(index)                     \
	static void by_mode_##index(void)  \
	{                                  \
		by_mode(modes[index]);     \
	}
BY_MODE(0)
BY_MODE(1)
BY_MODE(2)
BY_MODE(3)
BY_MODE(4)
BY_MODE(5)
BY_MODE(6)
BY_MODE(7)
BY_MODE(8)
BY_MODE(9)
BY_MODE(10)
BY_MODE(11)
BY_MODE(12)

static void change_it(void *arg)
{
	struct shmid_ds ds;
	memset(&ds, 0, sizeof ds);
	become_with(*(uid_t *)arg, OTHER, 0);
	ds.shm_perm.uid = OWNER;
	ds.shm_perm.gid = GROUP;
	ds.shm_perm.mode = 0666;
	say("%s ", result(shmctl(id, IPC_SET, &ds)));
	say("%s ", result(shmctl(id, SHM_LOCK, NULL)));
	say("%s ", result(shmctl(id, SHM_UNLOCK, NULL)));
	say("%s ", result(shmctl(id, IPC_RMID, NULL)));
}

static void who_may_change(void)
{
	int mode = 0666;
	if (!is_root())
		return;
	uid_t users[] = { OTHER, OWNER };
	key = fresh_key();
	ended(child(make_it, &mode));
	id = shmget(key, 0, 0);
	for (int i = 0; i < 2; i++)
		ended(child(change_it, &users[i]));
}

static void effective_user(void)
{
	if (!is_root())
		return;
	id = make(5000, 0600);
	if (seteuid(OTHER) < 0)
		return;
	struct shmid_ds ds;
	say("%s ", result_of_attach(shmat(id, NULL, 0)));
	say("%s ", result(shmctl(id, IPC_RMID, NULL)));
	int own = shmget(IPC_PRIVATE, 100, 0600);
	shmctl(own, IPC_STAT, &ds);
	say("%u ", ds.shm_perm.uid);
	shmctl(own, IPC_RMID, NULL);
	if (seteuid(0) < 0)
		return;
	say("%s", result_of_attach(shmat(id, NULL, 0)));
}

static void hold_as_other(void *arg)
{
	(void)arg;
	become_with(OTHER, OTHER, 0);
	shmat(id, NULL, SHM_RDONLY);
}

static void count_of_others(void)
{
	if (!is_root())
		return;
	id = make(5000, 0644);
	pid_t pid = staying_child(hold_as_other, NULL);
	call_it(pid, "child");
	attach(id);
	say("%lu ", count(id));
	pid_t looker = fork();
	if (looker == 0) {
		become_with(OTHER, OTHER, 0);
		say("%lu ", count(id));
		_exit(0);
	}
	ended(looker);
	end_by_kill(pid);
	say("%lu", count(id));
}

const struct fact permission_facts[] = {
	{ "mode 0", by_mode_0 }, { "mode 0600", by_mode_1 }, { "mode 0660", by_mode_2 },
	{ "mode 0666", by_mode_3 }, { "mode 0640", by_mode_4 }, { "mode 0644", by_mode_5 },
	{ "mode 0604", by_mode_6 }, { "mode 0066", by_mode_7 }, { "mode 0400", by_mode_8 },
	{ "mode 0200", by_mode_9 }, { "mode 0440", by_mode_10 }, { "mode 0622", by_mode_11 },
	{ "mode 0777", by_mode_12 },
	{ "who may change it", who_may_change },
	{ "the effective user counts", effective_user },
	{ "the count of other users", count_of_others },
	{ NULL, NULL },
};
