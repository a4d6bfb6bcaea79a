/* SPDX-License-Identifier: MIT */
/* Leaves holes in its heap and lets malloc say what it looks like. */
#include <malloc.h>
#include <stdlib.h>

int main(void)
{
	static void *block[1000];

	for (int i = 0; i < 1000; i++)
		block[i] = malloc(100 + i % 10 * 50);
	for (int i = 0; i < 1000; i += 2)
		free(block[i]);
	malloc_stats();
	return 0;
}
