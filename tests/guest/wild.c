/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/wild.c: reads, writes and jumps at addresses of every bit pattern; none may touch anything but the
 * guest, in particular not the memory of whatever runs it. R5, R12.
 */
#include "guest.h"

static sigjmp_buf back;
static volatile int sig_seen, code_seen;
static volatile uint64_t addr_seen;

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	(void)ctx;
	sig_seen = sig;
	code_seen = si->si_code;
	addr_seen = (uint64_t)si->si_addr;
	siglongjmp(back, 1);
}

static uint64_t digest;

/* 0 read, 1 write, 2 jump, 3 read-modify-write of 16 bytes, 4 string */
static void try(uint64_t a, int how)
{
	if (sigsetjmp(back, 1) == 0) {
		switch (how) {
		case 0:
			(void)*(volatile uint8_t *)a;
			break;
		case 1:
			*(volatile uint64_t *)a = 0x6666666666666666;
			break;
		case 2:
			((void (*)(void))a)();
			break;
		case 3:
			__asm__ volatile("lock cmpxchg16b (%%rsi)"
					 :
					 : "S"(a & ~15ul), "a"(0l), "d"(0l), "b"(0l), "c"(0l)
					 : "memory", "cc");
			break;
		default: {
			uint64_t to = a, n = 100;
			__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(1) : "memory");
		}
		}
		printf("%d at %016lx went through\n", how, a);
	} else {
		digest = digest * 31 + (uint64_t)sig_seen * 1000 + (uint64_t)code_seen;
		uint64_t want = how == 3 ? a & ~15ul : a;
		if (code_seen != SI_KERNEL && addr_seen != want)
			printf("%d at %016lx: si_addr %016lx\n", how, a, addr_seen);
	}
}

static int is_ours(uint64_t a)
{
	/* where a native run may have something: the program itself, the vsyscall page */
	return (a >= 0x400000 && a < 0x40000000) || (a >> 20) == 0xffffffffff6;
}

int main(void)
{
	static const int sigs[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
	for (unsigned i = 0; i < 5; i++)
		handle(sigs[i], on_signal, SA_NODEFER);
	for (int how = 0; how < 5; how++) {
		digest = 0;
		unsigned tried = 0;
		for (unsigned b = 3; b < 64; b++)
			for (unsigned c = 0; c < 4; c++) {
				uint64_t one = (uint64_t)1 << b;
				uint64_t a = c == 0   ? one
					     : c == 1 ? ~one
					     : c == 2 ? one - 8
						      : (uint64_t)0 - one;
				if (is_ours(a) || is_ours(a + 8))
					continue;
				try(a, how);
				tried++;
			}
		/* high bits of every kind over low addresses that exist in any mapping of ours */
		for (unsigned hi = 1; hi < 256; hi++) {
			try((uint64_t)hi << 56 | 0x401000, how);
			if (hi < 128)
				try((uint64_t)hi << 40 | (uint64_t)hi << 13, how);
			tried += 2;
		}
		printf("kind %d: %u tried, digest %016lx\n", how, tried, digest);
	}
	return 0;
}
