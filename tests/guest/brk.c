/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/brk.c: the program break: no frame before the first touch, zeros on the first read,
 * zeros again after it shrank and grew. R17, R21.
 */
#include "guest.h"

int main(void)
{
	char *start = sbrk(0);
	check(sbrk(64 * PAGE) == start, "sbrk");
	unsigned long sum = 0;
	for (unsigned i = 0; i < 64; i += 2) /* read first: the zero page */
		sum += (unsigned long)start[i * PAGE + 17];
	for (unsigned i = 0; i < 64; i += 3)
		start[i * PAGE + i] = (char)(i + 1);
	for (unsigned i = 0; i < 64 * PAGE; i++)
		sum = sum * 3 + (unsigned char)start[i];
	printf("sum %lx\n", sum);
	check(sbrk(-(intptr_t)(32 * PAGE)) == start + 64 * PAGE, "shrink");
	check(sbrk(32 * PAGE) == start + 32 * PAGE, "grow");
	unsigned nonzero = 0;
	for (unsigned i = 32 * PAGE; i < 64 * PAGE; i++)
		nonzero += start[i] != 0;
	printf("after shrink and growth: %u bytes not zero, %d kept\n", nonzero,
		start[3 * PAGE + 3]);
	printf("unaligned: %d\n",
		sbrk(5) == start + 64 * PAGE && sbrk(-5) == start + 64 * PAGE + 5);
	check(brk(start) == 0 && sbrk(0) == start, "brk");
	printf("absurd: %d\n", brk((void *)0x7fffffff0000) == -1);
	return 0;
}
