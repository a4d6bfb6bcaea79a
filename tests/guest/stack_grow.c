/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/stack_grow.c: the main stack grows on demand by recursion and by far jumps within the
 * limit, and shrinks; with an argument it overflows, with "guard" it catches that on another stack. R14, R15.
 */
#include "guest.h"

#include <sys/resource.h>

static sigjmp_buf back;

static void on_segv(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)si;
	(void)ctx;
	siglongjmp(back, 1);
}

static unsigned long recurse(unsigned depth)
{
	volatile unsigned char frame[1000];
	memset((void *)frame, (int)depth, sizeof frame);
	unsigned long below = depth ? recurse(depth - 1) : 0;
	return below + frame[depth % sizeof frame];
}

static unsigned long for_ever(unsigned long n)
{
	volatile unsigned char frame[4000];
	frame[n % sizeof frame] = (unsigned char)n;
	return for_ever(n + 1) + frame[n % sizeof frame];
}

int main(int argc, char **argv)
{
	struct rlimit l;
	getrlimit(RLIMIT_STACK, &l);
	if (argc > 1 && strcmp(argv[1], "guard") == 0) {
		stack_t ss = {.ss_sp = map_anon(65536, PROT_READ | PROT_WRITE), .ss_size = 65536};
		check(sigaltstack(&ss, NULL) == 0, "sigaltstack");
		handle(SIGSEGV, on_segv, SA_ONSTACK);
		for (int i = 0; i < 2; i++) {
			if (sigsetjmp(back, 1) == 0)
				printf("%lu\n", for_ever(0));
			else
				printf("overflow caught\n");
		}
		printf("and still %lu\n", recurse(100));
		return 0;
	}
	if (argc > 1) {
		printf("overflowing\n");
		fflush(stdout);
		return (int)for_ever(0);
	}
	printf("limit %lu\n", (unsigned long)l.rlim_cur);
	for (unsigned depth = 10; depth <= 5000; depth *= 5)
		printf("depth %u: %lu\n", depth, recurse(depth));
	/* one large frame: no touch in between, so the stack grows by megabytes at once */
	volatile char *low = __builtin_alloca(6u << 20);
	low[0] = 'a';
	low[(6u << 20) - 1] = 'z';
	printf("%c%c %d\n", low[0], low[(6u << 20) - 1], low[3u << 20]);
	return 0;
}
