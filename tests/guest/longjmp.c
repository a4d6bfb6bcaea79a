/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/longjmp.c: non-local jumps, plain and out of signal handlers, thousands of them; frames and
 * callee-saved registers must come back.
 */
#include "guest.h"

static jmp_buf plain;
static sigjmp_buf sig;

static void down(int n)
{
	volatile char pad[128];
	pad[0] = (char)n;
	if (n == 0)
		longjmp(plain, 7);
	down(n - 1);
	pad[1] = pad[0];
}

static void on_fpe(int s)
{
	siglongjmp(sig, s);
}

int main(void)
{
	volatile unsigned long sum = 0;
	for (volatile int i = 0; i < 1000; i++) {
		int r = setjmp(plain);
		if (r == 0)
			down(i % 50);
		else
			sum += (unsigned long)(r * i);
	}
	printf("sum %lu\n", sum);
	signal(SIGFPE, on_fpe);
	volatile int zero = 0, caught = 0;
	for (volatile int i = 0; i < 200; i++) {
		int r = sigsetjmp(sig, 1);
		if (r == 0)
			sum += (unsigned long)(i / zero);
		else
			caught += r;
	}
	printf("caught %d\n", caught);
	return 0;
}
