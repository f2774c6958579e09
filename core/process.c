/* SPDX-License-Identifier: MIT */
/* Which process this is, and whether it is a new child that no fork handler has set right. */
#include <errno.h>
#include <unistd.h>

#include "core.h"
#include "fork.h"
#include "os.h"

_Thread_local struct unishm_own unishm_own;

static pid_t own_pid;
volatile unsigned char *unishm_canary;
static void (*set_right_in_child)(void);

int unishm_set_up_process(void (*set_right)(void))
{
	own_pid = getpid();
	set_right_in_child = set_right;
	unishm_canary = unishm_os_canary();
	return unishm_canary ? 0 : -ENOMEM;
}

void unishm_renew_process(void)
{
	*unishm_canary = 1;
	own_pid = getpid();
}

/* A raw clone(2) without CLONE_VM makes a process without any handler run. And handlers of the
 * program that were registered before ours run before ours in the child: where there is no
 * canary, the number of the process tells. */
void unishm_look_for_child(void)
{
	const struct unishm_own_fork *own = &unishm_own.fork;
	if (*unishm_canary && (!own->depth || own->in_child || getpid() == own_pid))
		return;
	int state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	set_right_in_child();
	pthread_setcancelstate(state, &state);
}

pid_t unishm_pid(void)
{
	return own_pid;
}
