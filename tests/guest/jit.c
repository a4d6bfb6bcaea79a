/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/jit.c: a small compiler of arithmetic to machine code, with pages that are writable or executable
 * but never both, flipped by mprotect; forgetting the flip must fault. R20.
 */
#include "guest.h"

static sigjmp_buf back;
static volatile int code_seen;
static void *volatile addr_seen;

static void on_segv(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	code_seen = si->si_code;
	addr_seen = si->si_addr;
	siglongjmp(back, 1);
}

static uint8_t *text;
static size_t at;

static void byte(unsigned b)
{
	text[at++] = (uint8_t)b;
}

static void imm32(uint32_t v)
{
	memcpy(text + at, &v, 4);
	at += 4;
}

/* f(x) = ((x * a + b) ^ c) - x, as code; returns its address */
static uint64_t (*compile(uint32_t a, uint32_t b, uint32_t c))(uint64_t)
{
	size_t start = at;
	byte(0x48), byte(0x69), byte(0xc7), imm32(a & 0x7fffffff); /* imul rax, rdi, a */
	byte(0x48), byte(0x05), imm32(b & 0x7fffffff);             /* add rax, b */
	byte(0x48), byte(0x35), imm32(c & 0x7fffffff);             /* xor rax, c */
	byte(0x48), byte(0x29), byte(0xf8);                        /* sub rax, rdi */
	byte(0xc3);
	while (at % 16)
		byte(0xcc);
	return (uint64_t(*)(uint64_t))(uintptr_t)(text + start);
}

int main(void)
{
	uint64_t sum = 0;
	text = map_anon(16 * PAGE, PROT_READ | PROT_WRITE);
	handle(SIGSEGV, on_segv, 0);
	for (unsigned round = 0; round < 60; round++) {
		uint64_t (*f[20])(uint64_t);
		check(mprotect(text, 16 * PAGE, PROT_READ | PROT_WRITE) == 0, "to write");
		at = round * 37;
		for (unsigned i = 0; i < 20; i++)
			f[i] = compile(i * 77 + round, i ^ round, i * round);
		check(mprotect(text, 16 * PAGE, PROT_READ | PROT_EXEC) == 0, "to execute");
		for (unsigned i = 0; i < 20; i++) {
			uint64_t x = sum + i, got = f[i](x);
			uint64_t want = ((x * ((i * 77 + round) & 0x7fffffff) + (i ^ round)) ^
						(i * round)) -
					x;
			check(got == want, "compiled function");
			sum = sum * 31 + got;
		}
	}
	printf("sum %016lx\n", sum);
	if (sigsetjmp(back, 1) == 0) {
		text[100] = 1;
		printf("store into code went through\n");
	} else {
		printf("store into code: code %d, right address %d\n", code_seen,
			addr_seen == text + 100);
	}
	check(mprotect(text, 16 * PAGE, PROT_READ | PROT_WRITE) == 0, "to write");
	if (sigsetjmp(back, 1) == 0) {
		((void (*)(void))(uintptr_t)text)();
		printf("run of data went through\n");
	} else {
		printf("run of data: code %d, right address %d\n", code_seen, addr_seen == text);
	}
	return 0;
}
