/* SPDX-License-Identifier: MIT */
/*
 * A program without any library, so that each of its calls is known: fib(n) by definition makes 2 fib(n + 1) - 1 calls of itself.
 * With an argument count of 2 it goes down() instead, 1000 calls deep.
 */
#define NOINLINE __attribute__((noinline, noclone))

NOINLINE int fib(int n)
{
	int r = n < 2 ? n : fib(n - 1) + fib(n - 2);

	__asm__ volatile("" : "+r"(r));
	return r;
}

NOINLINE int down(int n)
{
	volatile char room[100];

	room[0] = (char)n;
	if (n == 0)
		return room[0];
	int r = down(n - 1);
	return r + room[0];
}

static inline __attribute__((always_inline)) void leave(int status)
{
	__asm__ volatile("syscall" : : "a"(231L), "D"((long)status) : "rcx", "r11", "memory");
}

__attribute__((used)) void begin(long *words)
{
	if (words[0] == 1)
		leave(fib(12) & 127); /* 144: 16 */
	leave(down(999) & 1);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall "
	"begin\n\thlt\n");
