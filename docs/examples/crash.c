/* SPDX-License-Identifier: MIT */
/*
 * Goes wrong in the way that its argument names: null, readonly, stack, memory.
 */
#include <stdlib.h>
#include <string.h>

static volatile char sink;

__attribute__((noinline)) static void write_null(void)
{
	volatile int *nowhere = NULL;

	*nowhere = 1;
}

static void write_text(void)
{
	*(volatile char *)(size_t)&write_null = 1;
}

static int recurse(int depth)
{
	volatile char frame[1024];

	frame[0] = (char)depth;
	return recurse(depth + 1) + frame[0];
}

static void fill_memory(void)
{
	for (;;) {
		char *p = malloc(1 << 20);
		if (!p)
			return;
		memset(p, 1, 1 << 20);
		sink = p[0];
	}
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	if (strcmp(argv[1], "null") == 0)
		write_null();
	else if (strcmp(argv[1], "readonly") == 0)
		write_text();
	else if (strcmp(argv[1], "stack") == 0)
		return recurse(0);
	else if (strcmp(argv[1], "memory") == 0)
		fill_memory();
	return 1;
}
