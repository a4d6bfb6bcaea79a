/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/counts_calls.c: compiled code without a C library, for the comparison of Pagoda's figures
 * with count_native: a sieve, a recursion, a sort through a function pointer, a little vector arithmetic. R23.
 */
typedef unsigned long u64;

static unsigned char sieve[3000];
static int numbers[100];
static float floats[200];

static u64 fib(u64 n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static int less(const int *a, const int *b)
{
	return *a < *b;
}

static void sort(int *v, int n, int (*before)(const int *, const int *))
{
	for (int i = 1; i < n; i++)
		for (int k = i; k > 0 && before(&v[k], &v[k - 1]); k--) {
			int t = v[k];
			v[k] = v[k - 1];
			v[k - 1] = t;
		}
}

static void leave(long status)
{
	__asm__ volatile("syscall" : : "a"(231), "D"(status) : "rcx", "r11", "memory");
	__builtin_unreachable();
}

void _start(void);
__attribute__((force_align_arg_pointer)) void _start(void)
{
	u64 sum = 0, x = 1;
	for (int i = 2; i < 3000; i++)
		if (!sieve[i]) {
			sum++;
			for (int k = 2 * i; k < 3000; k += i)
				sieve[k] = 1;
		}
	sum += fib(12);
	for (int i = 0; i < 100; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		numbers[i] = (int)(x >> 40);
	}
	sort(numbers, 100, less);
	for (int i = 0; i < 200; i++)
		floats[i] = (float)i * 0.5f;
	float f = 0;
	for (int r = 0; r < 5; r++)
		for (int i = 0; i < 200; i++)
			f += floats[i] * floats[199 - i];
	sum += (u64)f + (u64)numbers[50];
	leave((long)(sum & 63));
}
