/* SPDX-License-Identifier: MIT */
/*
 * Reads PAGES pages in turn, ROUNDS times: how far a TLB reaches.
 *
 *   stride PAGES ROUNDS
 */
#include <stdio.h>
#include <stdlib.h>

enum { PAGE = 4096 };

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	long pages = atol(argv[1]), rounds = atol(argv[2]), sum = 0;
	volatile char *p = calloc((size_t)pages, PAGE);
	if (!p)
		return 1;
	for (long i = 0; i < pages; i++)
		p[i * PAGE] = 1;
	for (long round = 0; round < rounds; round++)
		for (long i = 0; i < pages; i++)
			sum += p[i * PAGE];
	printf("%ld\n", sum);
	return 0;
}
