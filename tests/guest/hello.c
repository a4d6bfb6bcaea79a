/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/hello.c: the smallest C program, its arguments and environment.
 * Run natively and under Pagoda by tests/programs; the outputs must be equal.
 */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	const char *e = getenv("PAGODA_TEST");
	printf("hello, %d arguments\n", argc - 1);
	for (int i = 1; i < argc; i++)
		printf("[%s]\n", argv[i]);
	printf("PAGODA_TEST=%s\n", e ? e : "(unset)");
	fprintf(stderr, "and a line on stderr\n");
	return argc - 1;
}
