/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/signals.c: handlers with siginfo and context, on an alternate stack, nested, masked and pending; a
 * context that the handler changes takes effect. Registers of the interrupted code are seen and come back.
 */
#include "guest.h"

static volatile int depth, order[64], n_order, again = 2;
static char *alt;

static void on_usr1(int sig, siginfo_t *si, void *ctx)
{
	char here;
	(void)ctx;
	order[n_order++] = sig;
	printf("usr1: code %d from us %d, on alternate stack %d, depth %d\n", si->si_code,
		si->si_pid == getpid(), &here > alt && &here < alt + 65536, ++depth);
	if (depth == 1)
		raise(SIGUSR2);
	depth--;
}

static void on_usr2(int sig, siginfo_t *si, void *ctx)
{
	(void)si;
	(void)ctx;
	order[n_order++] = sig;
	printf("usr2: depth %d\n", ++depth);
	if (again-- > 0)
		raise(SIGUSR1); /* masked while its own handler runs below us: comes later */
	depth--;
}

/* Skips the faulting two-byte load and puts a value where it would have gone. */
static void on_segv(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *u = ctx;
	greg_t *g = u->uc_mcontext.gregs;
	(void)sig;
	(void)si;
	printf("segv: rbx %llx r12 %llx r13 %llx r14 %llx r15 %llx cr2 %llx\n", g[REG_RBX],
		g[REG_R12], g[REG_R13], g[REG_R14], g[REG_R15], g[REG_CR2]);
	printf("xmm7 %08x flags cf %lld zf %lld df %lld\n",
		u->uc_mcontext.fpregs->_xmm[7].element[0], g[REG_EFL] & 1, g[REG_EFL] >> 6 & 1,
		g[REG_EFL] >> 10 & 1);
	g[REG_RAX] = 0x1122334455667788;
	g[REG_RIP] += 3;
	g[REG_R14]++;
	u->uc_mcontext.fpregs->_xmm[7].element[0] = 0xabcdef01;
}

int main(void)
{
	alt = map_anon(65536, PROT_READ | PROT_WRITE);
	stack_t ss = {.ss_sp = alt, .ss_size = 65536};
	sigset_t set, old;
	check(sigaltstack(&ss, NULL) == 0, "sigaltstack");
	handle(SIGUSR1, on_usr1, SA_ONSTACK);
	handle(SIGUSR2, on_usr2, 0);
	handle(SIGSEGV, on_segv, 0);

	raise(SIGUSR1);
	printf("order:");
	for (int i = 0; i < n_order; i++)
		printf(" %d", order[i]);
	printf("\n");

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	check(sigprocmask(SIG_BLOCK, &set, &old) == 0, "block");
	n_order = 0;
	again = 0;
	raise(SIGUSR2);
	raise(SIGUSR2);
	printf("blocked: %d ran\n", n_order);
	check(sigpending(&set) == 0 && sigismember(&set, SIGUSR2), "pending");
	sigprocmask(SIG_SETMASK, &old, NULL);
	printf("unblocked: %d ran\n", n_order);

	uint64_t rax, r14;
	uint32_t x7;
	__asm__ volatile("push %%r15\n push %%r14\n push %%r13\n push %%r12\n push %%rbx\n"
			 "mov $0xb1, %%ebx\n mov $0xc2, %%r12d\n mov $0xd3, %%r13d\n"
			 "mov $0xe4, %%r14d\n mov $0xf5, %%r15d\n"
			 "mov $0x77, %%eax\n movd %%eax, %%xmm7\n"
			 "xor %%ecx, %%ecx\n mov $0x123000, %%ecx\n cmp %%ecx, %%ecx\n stc\n"
			 "mov (%%rcx), %%rax\n" /* 3 bytes */
			 "mov %%r14, %%rdx\n movd %%xmm7, %%ecx\n"
			 "pop %%rbx\n pop %%r12\n pop %%r13\n pop %%r14\n pop %%r15\n"
			 : "=a"(rax), "=d"(r14), "=c"(x7)
			 :
			 : "xmm7", "memory", "cc");
	printf("after: rax %lx r14 %lx xmm7 %x\n", rax, r14, x7);
	return 0;
}
