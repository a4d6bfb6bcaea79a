/* SPDX-License-Identifier: MIT */
/*
 * docs/examples/sparse.c: writes one byte in each of COUNT places, a GiB apart.
 *
 *   sparse COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GIB ((size_t)1 << 30)

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
	char *p = mmap(NULL, count * GIB, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t sum = 0;

	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (size_t i = 0; i < count; i++)
		p[i * GIB] = 1;
	for (size_t i = 0; i < count; i++)
		sum += (size_t)p[i * GIB];
	printf("%zu\n", sum);
	return 0;
}
