/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/traps.c: what the CPU itself refuses: division, ud2, int3, hlt, unmasked floating point, misaligned SSE. Each
 * signal with its code and the distance of si_addr and RIP from the instruction; then by default
 * action if named on the command line. R12.
 */
#include "guest.h"

#include <fenv.h>

static sigjmp_buf back;
extern const char at_div[], at_idiv[], at_ud2[], at_int3[], at_hlt[], at_sse[], at_movaps[],
	at_noncanon[];

static const char *expected;

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	const ucontext_t *u = ctx;
	long rip = u->uc_mcontext.gregs[REG_RIP] - (long)expected;
	long addr = si->si_addr ? (long)si->si_addr - (long)expected : -999;
	printf("signal %d code %d trap %lld error %lld rip+%ld addr%+ld\n", sig, si->si_code,
		u->uc_mcontext.gregs[REG_TRAPNO], u->uc_mcontext.gregs[REG_ERR], rip, addr);
	siglongjmp(back, 1);
}

static void divide(void)
{
	expected = at_div;
	__asm__ volatile(".globl at_div\nat_div: divl %%ecx" : : "a"(1), "d"(0), "c"(0) : "cc");
}

static void overflow(void)
{
	expected = at_idiv;
	__asm__ volatile(".globl at_idiv\nat_idiv: idivq %%rcx"
			 :
			 : "a"(0x8000000000000000), "d"(-1l), "c"(-1l)
			 : "cc");
}

static void undefined(void)
{
	expected = at_ud2;
	__asm__ volatile(".globl at_ud2\nat_ud2: ud2");
}

static void breakpoint(void)
{
	expected = at_int3;
	__asm__ volatile(".globl at_int3\nat_int3: int3");
}

static void halt(void)
{
	expected = at_hlt;
	__asm__ volatile(".globl at_hlt\nat_hlt: hlt");
}

static void unmasked(void)
{
	unsigned csr = 0x1f80 & ~0x200u;
	expected = at_sse;
	__asm__ volatile("ldmxcsr %0\n xorps %%xmm1, %%xmm1\n"
			 ".globl at_sse\nat_sse: divss %%xmm1, %%xmm0"
			 :
			 : "m"(csr)
			 : "xmm0", "xmm1");
}

static void misaligned(void)
{
	static _Alignas(16) char buf[32];
	expected = at_movaps;
	__asm__ volatile(".globl at_movaps\nat_movaps: movaps (%0), %%xmm0"
			 :
			 : "r"(buf + 1)
			 : "xmm0");
}

static void noncanonical(void)
{
	expected = at_noncanon;
	__asm__ volatile(".globl at_noncanon\nat_noncanon: movl (%0), %%eax"
			 :
			 : "r"(0x1234567890abcdef)
			 : "eax");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*f)(void);
	} traps[] = {{"divide", divide}, {"overflow", overflow}, {"undefined", undefined},
		{"breakpoint", breakpoint}, {"halt", halt}, {"unmasked", unmasked},
		{"misaligned", misaligned}, {"noncanonical", noncanonical}};
	static const int sigs[] = {SIGFPE, SIGILL, SIGTRAP, SIGSEGV, SIGBUS};
	for (unsigned i = 0; argc < 2 && i < 5; i++)
		handle(sigs[i], on_signal, 0);
	for (unsigned i = 0; i < sizeof traps / sizeof *traps; i++) {
		unsigned csr = 0x1f80;
		if (argc > 1 && strcmp(argv[1], traps[i].name) != 0)
			continue;
		printf("%s: ", traps[i].name);
		fflush(stdout);
		if (sigsetjmp(back, 1) == 0) {
			traps[i].f();
			printf("went through\n");
		}
		__asm__ volatile("ldmxcsr %0" : : "m"(csr));
	}
	return 0;
}
