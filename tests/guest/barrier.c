/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/barrier.c: a write barrier made of mprotect and SIGSEGV, as garbage collectors and
 * databases use it: the handler gives the right back, notes the page and returns; the store is made again and all
 * values must be right. R12: the guest resumes at the very instruction.
 */
#include "guest.h"

#define PAGES 64

static uint8_t *heap;
static unsigned dirty[PAGES], faults;

static void on_segv(int sig, siginfo_t *si, void *ctx)
{
	uintptr_t page = ((uintptr_t)si->si_addr - (uintptr_t)heap) / PAGE;
	(void)sig;
	(void)ctx;
	if (page >= PAGES || si->si_code != SEGV_ACCERR)
		_exit(9);
	dirty[page]++;
	faults++;
	if (mprotect(heap + page * PAGE, PAGE, PROT_READ | PROT_WRITE))
		_exit(8);
}

int main(void)
{
	heap = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	for (unsigned i = 0; i < PAGES * PAGE; i++)
		heap[i] = (uint8_t)(i * 7);
	handle(SIGSEGV, on_segv, 0);
	uint64_t sum = 0;
	for (unsigned round = 0; round < 5; round++) {
		check(mprotect(heap, PAGES * PAGE, PROT_READ) == 0, "mprotect");
		uint64_t x = 12345 + round;
		for (unsigned i = 0; i < 200; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			size_t at = (size_t)(x >> 33) % (PAGES * PAGE - 8);
			/* read-modify-write, plain store, unaligned store; some cross pages */
			*(volatile uint64_t *)(heap + at) += i;
			heap[(x >> 20) % (PAGES * PAGE)] = (uint8_t)i;
		}
	}
	for (unsigned i = 0; i < PAGES * PAGE; i++)
		sum = sum * 31 + heap[i];
	printf("%u faults, sum %016lx\n", faults, sum);
	for (unsigned i = 0; i < PAGES; i++)
		printf("%u%c", dirty[i], i % 16 == 15 ? '\n' : ' ');
	return 0;
}
