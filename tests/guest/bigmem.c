/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/bigmem.c: large memset, memcpy, memmove with overlap, string instructions of both directions by
 * hand, over many pages and every misalignment; the C library picks its widest ways.
 */
#include "guest.h"

static uint64_t sum(const uint8_t *p, size_t n)
{
	uint64_t s = n;
	for (size_t i = 0; i < n; i++)
		s = (s ^ p[i]) * 0x100000001b3u;
	return s;
}

int main(void)
{
	size_t n = 3u << 20;
	uint8_t *a = map_anon(n + PAGE, PROT_READ | PROT_WRITE);
	uint8_t *b = map_anon(n + PAGE, PROT_READ | PROT_WRITE);
	memset(a, 0xa5, n);
	for (size_t i = 0; i < n; i += 61)
		a[i] = (uint8_t)(i >> 4);
	memcpy(b + 13, a, n);
	printf("memcpy %016lx %d\n", sum(b, n + 13), memcmp(b + 13, a, n));
	memmove(a + 5, a, n - 5);
	printf("memmove up %016lx\n", sum(a, n));
	memmove(a, a + 4097, n - 4097);
	printf("memmove down %016lx\n", sum(a, n));
	for (unsigned off = 0; off < 64; off++)
		for (unsigned len = 0; len < 200; len += 7) {
			memcpy(b + PAGE - 100 + off, a + 2 * PAGE - off, len);
			memset(b + 9 * PAGE - off, (int)len, len);
		}
	printf("small %016lx\n", sum(b, 16 * PAGE));
	void *d = b + 77, *s = a + 4000;
	size_t c = 100000;
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(c) : : "memory");
	printf("movsb %ld %ld %ld\n", (long)((uint8_t *)d - b), (long)((uint8_t *)s - a), (long)c);
	c = 9999;
	__asm__ volatile("std\n rep movsq\n cld" : "+D"(d), "+S"(s), "+c"(c) : : "memory", "cc");
	printf("movsq back %ld %ld %016lx\n", (long)((uint8_t *)d - b), (long)((uint8_t *)s - a),
		sum(b, n));
	d = b + 3;
	c = 70001;
	__asm__ volatile("rep stosw" : "+D"(d), "+c"(c) : "a"(0x1234) : "memory");
	printf("stosw %ld %016lx\n", (long)((uint8_t *)d - b), sum(b, 40 * PAGE));
	b[50000] = 0;
	d = b + 3;
	c = n;
	__asm__ volatile("repne scasb" : "+D"(d), "+c"(c) : "a"(0) : "memory", "cc");
	printf("scasb %ld %ld\n", (long)((uint8_t *)d - b), (long)c);
	d = b + 200000, s = b + 200001;
	c = 100000;
	__asm__ volatile("repe cmpsb" : "+D"(d), "+S"(s), "+c"(c) : : "memory", "cc");
	printf("cmpsb %ld %ld\n", (long)((uint8_t *)d - b), (long)c);
	return 0;
}
