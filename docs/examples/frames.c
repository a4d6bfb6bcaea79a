/* SPDX-License-Identifier: MIT */
/*
 * P calls Q, as in the figure of a general stack frame; then a factorial by recursion.
 */
#include <stdio.h>

static int Q(int first, int second)
{
	int sum = first + second;

	return sum;
}

static int P(int n)
{
	int locals[3] = {n, 2 * n, 3 * n};
	int result = Q(locals[1], locals[2]);

	return result + locals[0];
}

static unsigned long factorial(unsigned n)
{
	if (n <= 1)
		return 1;
	return n * factorial(n - 1);
}

int main(void)
{
	printf("%d\n", P(7));
	printf("%lu\n", factorial(20));
	return 0;
}
