/* SPDX-License-Identifier: MIT */
/* Is linked statically, so that nothing can be preloaded. */
int main(void)
{
	return 0;
}
