/* SPDX-License-Identifier: MIT */
/*
 * The box of examples/sync_condition.c: while consumers wait in its condition, 200 processes
 * are killed with the mutex held. Each death is seen and mended, and then all work is done.
 */
#define main main_of_the_example
int main_of_the_example(void);
#include "../../examples/sync_condition.c"
#undef main
#include "shared.h"

enum { DEATHS = 200 };

static int outlives_its_owners(struct box *b)
{
	pid_t consumer[CONSUMERS];
	int right = 1;
	for (int i = 0; i < CONSUMERS; i++)
		consumer[i] = start(consume, b);
	for (int i = 0; i < DEATHS; i++)
		right &= result_of(start(die_as_owner, b)) == SIGKILL;
	right &= result_of(start(produce, b)) == 0;
	for (int i = 0; i < CONSUMERS; i++)
		right &= result_of(consumer[i]) == 0;
	printf("%u put, %u taken; owners that died: %u\n", b->put, b->taken, b->mended);
	return right && b->put == JOBS && b->taken == JOBS && b->mended == DEATHS;
}

int main(void)
{
	void *addr;
	struct unishm *seg = make_shared(sizeof(struct box), make_box, &addr);
	if (!seg)
		return EXIT_FAILURE;
	int status = outlives_its_owners(addr) ? EXIT_SUCCESS : EXIT_FAILURE;
	if (unishm_remove(seg) < 0)
		status = EXIT_FAILURE;
	unishm_close(seg);
	return status;
}
