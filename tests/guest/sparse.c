/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/sparse.c: a terabyte of address space, some hundred pages of it touched. R6, R11.
 */
#include "guest.h"

int main(void)
{
	size_t n = (size_t)1 << 40;
	uint8_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	check(p != MAP_FAILED, "mmap");
	uint64_t x = 1, sum = 0;
	for (unsigned i = 0; i < 300; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[(x >> 20) % n] = (uint8_t)(i + 1);
	}
	x = 1;
	for (unsigned i = 0; i < 300; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		sum = sum * 31 + p[(x >> 20) % n];
		sum += p[((x >> 20) ^ 0x100000) % n];
	}
	printf("%016lx\n", sum);
	check(munmap(p + (n >> 2), n >> 1) == 0, "munmap");
	check(munmap(p, n) == 0, "munmap");
	return 0;
}
