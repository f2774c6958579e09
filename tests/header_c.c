/* SPDX-License-Identifier: MIT */
/* The public header compiles alone, and twice, in any C and in C++. */
#include "unishm.h"
#include "unishm.h"

static struct unishm_options opt = UNISHM_OPTIONS_INIT;

int main(void)
{
	unishm_close(NULL);
	return opt.struct_size == sizeof opt && opt.key == UNISHM_PRIVATE ? 0 : 1;
}
