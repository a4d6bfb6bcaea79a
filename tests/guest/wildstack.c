/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/wildstack.c: rsp walks in small steps, by loops that access nothing, to where no memory of the guest can be: below 0, above
 * the largest address, past the middle; then it is used, or brought back. Nothing but the guest may be touched, each
 * fault comes at the right instruction with the right state, and what accesses nothing does not fault. R5, R12.
 */
#include "guest.h"

#include <ucontext.h>

static sigjmp_buf back;
static volatile uint64_t seen[4];

static void on_signal(int sig, siginfo_t *si, void *context)
{
	const ucontext_t *uc = context;
	seen[0] = (uint64_t)sig;
	seen[1] = (uint64_t)si->si_code;
	seen[2] = (uint64_t)si->si_addr;
	seen[3] = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
	siglongjmp(back, 1);
}

/* rsp from `start` on, `rounds` times by 4096 up or down, in blocks without an access; then what `use` says. */
#define WALK(name, step, use)                                                                      \
	__attribute__((noinline)) static uint64_t name(uint64_t start, uint64_t rounds)            \
	{                                                                                          \
		uint64_t end;                                                                      \
		__asm__ volatile("mov %%rsp, %%r12\n\t"                                            \
				 "mov %1, %%rsp\n\t"                                               \
				 "1:\n\t" step " $4096, %%rsp\n\t"                                 \
				 "jmp 2f\n\t"                                                      \
				 "2: dec %2\n\t"                                                   \
				 "jnz 1b\n\t" use "\n\t"                                           \
				 "mov %%rsp, %0\n\t"                                               \
				 "mov %%r12, %%rsp\n\t"                                            \
				 : "=&a"(end), "+r"(start), "+r"(rounds)                           \
				 :                                                                 \
				 : "r12", "rcx", "rdx", "memory", "cc");                           \
		return end;                                                                        \
	}

WALK(up, "add", "nop")
WALK(down, "sub", "nop")
WALK(up_push, "add", "push %%rcx")
WALK(down_push, "sub", "push %%rcx")
WALK(up_pop, "add", "pop %%rcx")
WALK(down_pop, "sub", "pop %%rcx")
WALK(up_store, "add", "movq $0x66, 0x20(%%rsp)")
WALK(down_store, "sub", "movq $0x66, -0x20(%%rsp)")
WALK(down_call, "sub", "call 3f\n3:")
WALK(down_ret, "sub", "ret")
WALK(down_leave, "sub", "xchg %%rsp, %%rbp; xchg %%rsp, %%rbp; lea 8(%%rsp), %%rsp; push %%rdx")

/* Flags live through the end of a block at which rsp turns out to be wild: 1, carry, is added. */
__attribute__((noinline)) static uint64_t flags(uint64_t start)
{
	uint64_t out;
	__asm__ volatile("mov %%rsp, %%r12\n\t"
			 "xor %%eax, %%eax\n\t"
			 "stc\n\t"
			 "mov %1, %%rsp\n\t"
			 "jc 1f\n\t"
			 "mov $100, %%eax\n\t"
			 "1: lea 16(%%rsp), %%rsp\n\t"
			 "jmp 2f\n\t"
			 "2: adc $40, %%rax\n\t"
			 "mov %%r12, %%rsp\n\t"
			 : "=&a"(out)
			 : "r"(start)
			 : "r12", "cc");
	return out;
}

struct way {
	const char *name;
	uint64_t (*walk)(uint64_t, uint64_t);
};

static void try(const struct way *way, uint64_t start, uint64_t rounds)
{
	if (sigsetjmp(back, 1) == 0)
		printf("%lx\n", way->walk(start, rounds));
	else
		printf("signal %lu code %lu at %lx, rsp %lx\n", seen[0], seen[1], seen[2], seen[3]);
}

int main(void)
{
	static const struct way ways[] = {{"up", up}, {"down", down}, {"up, push", up_push},
		{"down, push", down_push}, {"up, pop", up_pop}, {"down, pop", down_pop},
		{"up, store", up_store}, {"down, store", down_store}, {"down, call", down_call},
		{"down, ret", down_ret}, {"down, others", down_leave}};
	/* 2^42 is where the window of fast mode ends; nothing is where these lead on any machine. */
	static const uint64_t starts[] = {0x1000, 0x800, (uint64_t)1 << 40,
		((uint64_t)1 << 42) + 601 * 4096, ((uint64_t)1 << 47) + 601 * 4096,
		0x1234567812345678, 0xffff800000000000, 0xfffffffffffff000};
	static const uint64_t rounds[] = {1, 2, 40, 200, 300, 600};
	static uint8_t other[1 << 16];
	stack_t ss = {.ss_sp = other, .ss_size = sizeof(other)};
	sigaltstack(&ss, NULL);
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	for (unsigned w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
		for (unsigned s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
			for (unsigned r = 0; r < sizeof(rounds) / sizeof(rounds[0]); r++) {
				printf("%s from %lx, %lu: ", ways[w].name, starts[s], rounds[r]);
				try(&ways[w], starts[s], rounds[r]);
			}
		}
	}
	for (unsigned s = 0; s < sizeof(starts) / sizeof(starts[0]); s++)
		printf("flags %lu\n", flags(starts[s]));
	return 0;
}
