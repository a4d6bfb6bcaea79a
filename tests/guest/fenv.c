/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/fenv.c: rounding modes, exception flags and precision of x87 and SSE are the program's own and survive
 * system calls and signals. Built with -frounding-math: the operands are volatile, so that nothing is folded.
 */
#include "guest.h"

#include <fenv.h>
#include <math.h>

static void on_usr1(int sig)
{
	(void)sig;
	volatile double x = 1.0, y = 3.0;
	fesetround(FE_UPWARD);
	x = x / y;
	feraiseexcept(FE_OVERFLOW);
}

static void show(const char *when)
{
	volatile double a = 1.0, b = 3.0;
	volatile float c = 1.0f, d = -3.0f;
	volatile long double e = 2.0l;
	long double root;
	__asm__ volatile("fsqrt" : "=t"(root) : "0"(e));
	uint64_t bits;
	double q = a / b;
	memcpy(&bits, &q, 8);
	uint8_t raw[16] = {0};
	memcpy(raw, &root, 10);
	printf("%-12s mode %x flags %x 1/3 %016lx -1/3 %.9g rint %g sqrt2 ", when, fegetround(),
		fetestexcept(FE_ALL_EXCEPT), bits, (double)(c / d), rint(2.5));
	for (int i = 9; i >= 0; i--)
		printf("%02x", raw[i]);
	printf("\n");
}

int main(void)
{
	static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
	static const char *const names[] = {"nearest", "up", "down", "zero"};
	signal(SIGUSR1, on_usr1);
	for (int i = 0; i < 4; i++) {
		feclearexcept(FE_ALL_EXCEPT);
		fesetround(modes[i]);
		show(names[i]);
		if (getppid() < 0)
			return 1;
		raise(SIGUSR1);
		show("  after");
	}
	fesetround(FE_TONEAREST);
	feclearexcept(FE_ALL_EXCEPT);
	volatile double big = 1e308, tiny = 1e-308, zero = 0;
	volatile double r = big * 10;
	printf("overflow %x\n", fetestexcept(FE_ALL_EXCEPT));
	feclearexcept(FE_ALL_EXCEPT);
	r = tiny / 1e10;
	printf("underflow %x\n", fetestexcept(FE_ALL_EXCEPT));
	feclearexcept(FE_ALL_EXCEPT);
	r = big / zero;
	printf("divide %x\n", fetestexcept(FE_ALL_EXCEPT));
	feclearexcept(FE_ALL_EXCEPT);
	r = zero / zero;
	printf("invalid %x nan %d\n", fetestexcept(FE_ALL_EXCEPT), isnan(r));
	fenv_t env;
	fegetenv(&env);
	feholdexcept(&env);
	unsigned short cw = 0x27f; /* 53 bits */
	__asm__ volatile("fldcw %0" : : "m"(cw));
	show("double x87");
	fesetenv(&env);
	show("restored");
	return 0;
}
