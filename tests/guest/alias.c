/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/alias.c: one page at many addresses, also twice within one instruction. R9, R10, R20.
 *
 * 200 neighbouring pages of this program's memory are the same page of a file in memory, so an access across two of
 * them begins and ends in the same frame. Under an inverted page table only one of these mappings has the
 * frame's entry.
 */
#include "guest.h"

#define ALIASES 200

static uint8_t *ring;

static uint8_t *at(unsigned alias, unsigned offset)
{
	return ring + alias * PAGE + offset;
}

/* Every alias sees what was written through another. */
static void see_all(void)
{
	uint64_t sum = 0;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ALIASES; i++)
			*(volatile uint64_t *)at(i, 8 * i) = i * 1000003u + round;
		for (unsigned i = 0; i < ALIASES; i++)
			sum += *(volatile uint64_t *)at(ALIASES - 1 - i, 8 * i) ^ i;
	}
	printf("seen: %llu\n", (unsigned long long)sum);
}

/* Operands across two pages that are one. */
static void cross(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i + 1 < ALIASES; i += 7) {
		*(volatile uint64_t *)at(i, PAGE - 3) = 0x0102030405060708u * (i + 1);
		check(*at(i + 1, 0) == *at(0, 0),
			"the end of a crossing store is at the page's start");
		__asm__ volatile("lock xaddq %0, %1"
				 : "+r"(sum), "+m"(*(uint64_t *)(void *)at(i, PAGE - 5)));
	}
	printf("across: %llu\n", (unsigned long long)sum);
}

/* Two operands, two mappings, one frame; then all four pages of two crossing operands. */
static void move(int fd)
{
	unsigned sum = 0;

	for (unsigned k = 0; k < 64; k++) {
		unsigned a = k * 3 % (ALIASES - 1), b = (k * 5 + 90) % (ALIASES - 1);
		unsigned o = k % 2 ? 512 + k : PAGE - 4;
		void *from = at(a, o), *to = at(b, o + (k % 2 ? 9 : 1));
		uint8_t less;

		__asm__ volatile("movsq" : "+S"(from), "+D"(to)::"memory");
		from = at(b, o);
		to = at(a, o + 1);
		__asm__ volatile("cmpsq; setb %2"
				 : "+S"(from), "+D"(to), "=q"(less)::"memory", "cc");
		sum = sum * 2 + less;
		sum += *at(k, o);
	}
	/* A run over several aliases, onto aliases of another page. (Onto the same page a processor may differ.) */
	uint64_t n = 3 * PAGE + 100;
	uint8_t *others = map_anon(4 * PAGE, PROT_NONE);
	for (unsigned i = 0; i < 4; i++)
		check(mmap(others + i * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			      fd, PAGE) == others + i * PAGE,
			"mmap");
	void *from = at(3, 10), *to = others + 14;
	__asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(n)::"memory");
	for (unsigned i = 0; i < PAGE; i++)
		sum = sum * 31 + others[i];
	printf("moved: %u\n", sum);
}

/* Push and pop with a stack in one alias and the operand in another; the stack's top at a page's edge. */
static void stack(void)
{
	uint64_t got, *operand = (uint64_t *)(void *)at(20, 2048);

	*operand = 0x1122334455667788u;
	__asm__ volatile("movq %%rsp, %%rbx\n\t"
			 "movq %1, %%rsp\n\t"
			 "pushq (%2)\n\t"
			 "popq 8(%2)\n\t"
			 "movq %%rbx, %%rsp\n\t"
			 "movq 8(%2), %0"
			 : "=&r"(got)
			 : "r"(at(120, 4)), "r"(operand)
			 : "rbx", "memory");
	printf("pushed: %llx\n", (unsigned long long)got);
}

__attribute__((target("avx2"))) static void gather(void)
{
	uint32_t out[8];
	uint32_t index[8];

	if (!__builtin_cpu_supports("avx2"))
		return;
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < 8; i++) { /* eight elements, each across two pages */
			index[i] = (uint32_t)((i * 23 + round) * PAGE + PAGE - 2);
			*(volatile uint16_t *)at(i * 23 + round, PAGE - 2) =
				(uint16_t)(round * 257);
		}
		__asm__ volatile("vmovdqu %1, %%ymm1\n\t"
				 "vpcmpeqd %%ymm2, %%ymm2, %%ymm2\n\t"
				 "vpgatherdd %%ymm2, (%2,%%ymm1,1), %%ymm3\n\t"
				 "vmovdqu %%ymm3, %0"
				 : "=m"(out)
				 : "m"(index), "r"(ring)
				 : "xmm1", "xmm2", "xmm3", "memory");
		for (unsigned i = 0; i < 8; i++)
			check((out[i] & 0xffff) == round * 257 && out[i] == out[0],
				"a gathered element");
	}
}

/* Code in one mapping that is written through another, and that writes to its own page through it. */
static void code(int fd)
{
	static const uint8_t text[] = {0xff, 0x07, /* inc dword [rdi] */
		0xb8, 0, 0, 0, 0,                  /* mov eax, n */
		0xc3};
	uint8_t *x = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, PAGE);
	uint8_t *w = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
	unsigned sum = 0;

	check(x != MAP_FAILED && w != MAP_FAILED, "mapping code twice");
	memcpy(w + 100, text, sizeof text);
	for (uint32_t i = 0; i < 40; i++) {
		memcpy(w + 103, &i, 4);
		sum += ((unsigned (*)(void *))(uintptr_t)(x + 100))(w + 2000);
	}
	printf("code: %u, %u\n", sum, *(volatile unsigned *)(x + 2000));
}

/* The zero page is one frame under many pages; reads across them. */
static void zeros(void)
{
	uint8_t *z = map_anon(ALIASES * PAGE, PROT_READ | PROT_WRITE);
	uint64_t sum = 0;

	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i + 1 < ALIASES; i++)
			sum += *(volatile uint64_t *)(z + i * PAGE + PAGE - 4);
	z[77 * PAGE] = 1; /* one leaves */
	for (unsigned i = 0; i < ALIASES; i++)
		sum += z[i * PAGE];
	printf("zeros: %llu\n", (unsigned long long)sum);
}

int main(void)
{
	int fd = memfd_create("alias", 0), pipes[2];
	uint8_t text[64] = "through a pipe, from one alias to another";

	check(fd >= 0 && ftruncate(fd, 2 * PAGE) == 0 && pipe(pipes) == 0, "memfd_create");
	ring = map_anon(ALIASES * PAGE, PROT_NONE);
	for (unsigned i = 0; i < ALIASES; i++)
		check(mmap(at(i, 0), PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
				at(i, 0),
			"mmap");
	see_all();
	cross();
	move(fd);
	stack();
	gather();
	code(fd);
	zeros();
	memcpy(at(5, 100), text, sizeof text);
	check(write(pipes[1], at(60, 100), sizeof text) == sizeof text, "write");
	check(read(pipes[0], at(110, PAGE - 20), sizeof text) == sizeof text, "read");
	printf("%s, %s\n", at(1, PAGE - 20), at(190, 100));
	return 0;
}
