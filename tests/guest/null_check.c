/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/null_check.c: null pointers dereferenced on purpose, the way managed runtimes do: the
 * handler sees si_addr and the faulting instruction, and goes on behind it. R12.
 */
#include "guest.h"

static sigjmp_buf back;
static volatile int code;
static void *volatile addr;
static volatile int was_write;

static void on_segv(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *u = ctx;
	(void)sig;
	code = si->si_code;
	addr = si->si_addr;
	was_write = (int)(u->uc_mcontext.gregs[REG_ERR] >> 1 & 1);
	siglongjmp(back, 1);
}

int main(void)
{
	handle(SIGSEGV, on_segv, 0);
	for (unsigned long offset = 0; offset < 4096; offset += 1365) {
		volatile int *p = (volatile int *)offset;
		if (sigsetjmp(back, 1) == 0) {
			(void)*p;
			printf("read of %lx went through\n", offset);
		} else {
			printf("read  %4lx: code %d at %p write %d\n", offset, code, addr,
				was_write);
		}
		if (sigsetjmp(back, 1) == 0) {
			*p = 1;
			printf("write to %lx went through\n", offset);
		} else {
			printf("write %4lx: code %d at %p write %d\n", offset, code, addr,
				was_write);
		}
	}
	if (sigsetjmp(back, 1) == 0) {
		((void (*)(void))8)();
		printf("call went through\n");
	} else {
		printf("call: code %d at %p\n", code, addr);
	}
	return 0;
}
