/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/touch4g.c: maps MIB (4096) MiB, writes a number to each page, reads all back in another order. Prints the sum.
 * Run on a machine with less memory: `make swap-long`. R6, R11.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	const unsigned long pages = (argc > 1 ? strtoul(argv[1], NULL, 0) : 4096) << 8;
	unsigned long sum = 0, wrong = 0;
	unsigned long *p = mmap(NULL, pages << 12, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (unsigned long i = 0; i < pages; i++)
		p[i << 9] = i * 2654435761u + 1;
	for (unsigned long k = 0; k < 64; k++) { /* every 64th page, 64 times */
		for (unsigned long i = k; i < pages; i += 64) {
			wrong += p[i << 9] != i * 2654435761u + 1;
			sum += p[i << 9];
		}
	}
	printf("%lu pages, sum %lu, %lu wrong\n", pages, sum, wrong);
	return wrong != 0;
}
