/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/guests/code.c: instructions that are written, run, and written anew while the block that they lie in moves. Same output natively.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned char page[4096] __attribute__((aligned(4096)));

/* mov eax, value; ret */
static int written(int value)
{
	int (*f)(void);
	void *at = page;

	page[0] = 0xb8;
	memcpy(page + 1, &value, sizeof(value));
	page[5] = 0xc3;
	memcpy(&f, &at, sizeof(f));
	return f();
}

int main(void)
{
	if (mprotect(page, sizeof(page), PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
		return 3;
	for (int i = 0; i < 40; i++) {
		printf("%d%c", written(i * i), i == 39 ? '\n' : ' ');
		if (sbrk(100000) == (void *)-1)
			return 4;
	}
	return 0;
}
