/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/crossing.c: accesses that cross a page and of which the second half faults. Nothing may have
 * been stored before the handler has repaired it, and afterwards all of it. R12.
 */
#include "guest.h"

#include <immintrin.h>

static uint8_t *area; /* two pages; the second loses its rights again and again */
static volatile int seen_first_half, faults, far_half;

static void on_segv(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	faults++;
	far_half = si->si_addr == area + PAGE;
	for (unsigned i = 0; i < 64; i++)
		if (area[PAGE - 64 + i] != 0x11)
			seen_first_half = 1;
	if (mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE))
		_exit(8);
}

static void prepare(void)
{
	check(mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect");
	memset(area, 0x11, 2 * PAGE);
	faults = seen_first_half = far_half = 0;
}

static void verdict(const char *name, unsigned n, uint8_t want, uint8_t *at)
{
	unsigned right = 0;
	for (unsigned i = 0; i < n; i++)
		right += at[i] == want;
	printf("%-14s faults %d, at the second page %d, first half early %d, bytes right %u of "
	       "%u\n",
		name, faults, far_half, seen_first_half, right, n);
}

int main(void)
{
	area = map_anon(2 * PAGE, PROT_READ | PROT_WRITE);
	handle(SIGSEGV, on_segv, 0);
	for (int prot = 0; prot < 2; prot++) {
		int p = prot ? PROT_READ : PROT_NONE;
		uint8_t *at = area + PAGE - 3;

		prepare();
		mprotect(area + PAGE, PAGE, p);
		__asm__ volatile("movq %1, (%0)" : : "r"(at), "r"(0x2222222222222222) : "memory");
		verdict("mov 8", 8, 0x22, at);

		prepare();
		mprotect(area + PAGE, PAGE, p);
		__asm__ volatile("addq %1, %0"
				 : "+m"(*(uint64_t *)at)
				 : "r"(0x1111111111111111)
				 : "cc");
		verdict("add 8", 8, 0x22, at);

		prepare();
		mprotect(area + PAGE, PAGE, p);
		__m128i threes = _mm_set1_epi8(0x33);
		__asm__ volatile("movdqu %1, (%0)"
				 :
				 : "r"(area + PAGE - 7), "x"(threes)
				 : "memory");
		verdict("movdqu 16", 16, 0x33, area + PAGE - 7);

		prepare();
		mprotect(area + PAGE, PAGE, p);
		uint64_t old = 0x1111111111111111;
		__asm__ volatile("cmpxchgq %2, %0"
				 : "+m"(*(uint64_t *)(area + PAGE - 1)), "+a"(old)
				 : "r"(0x4444444444444444)
				 : "cc");
		verdict("cmpxchg 8", 8, 0x44, area + PAGE - 1);

		prepare();
		mprotect(area + PAGE, PAGE, p);
		__asm__ volatile("pushq %0\n popq (%1)"
				 :
				 : "i"(0x55555555), "r"(area + PAGE - 4)
				 : "memory");
		verdict("pop mem", 4, 0x55, area + PAGE - 4);
	}
	return 0;
}
