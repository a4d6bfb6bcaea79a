/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/manymaps.c: more separate pages than the host allows one process mappings (vm.max_map_count, 65530 by
 * default): the host window of --fast must start again without losing a byte.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#define PAGES 70000L

int main(void)
{
	/* Every second page, so that no two mappings of the window merge. */
	char *p = mmap(NULL, PAGES * 8192, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t sum = 0;

	if (p == MAP_FAILED)
		return 1;
	for (long i = 0; i < PAGES; i++)
		*(long *)(void *)(p + i * 8192) = i * 3;
	for (long i = 0; i < PAGES; i++)
		sum += (uint64_t) * (long *)(void *)(p + i * 8192);
	printf("%llu\n", (unsigned long long)sum);
	return 0;
}
