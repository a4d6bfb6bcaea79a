/* SPDX-License-Identifier: MIT */
/* Frees a block twice. */
#include <stdlib.h>

int main(void)
{
	void (*volatile release)(void *) = free; /* the compiler would warn */
	char *p = malloc(40);

	release(p);
	release(p);
	return 0;
}
