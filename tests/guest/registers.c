/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/registers.c: random straight code over few registers, r12 to r15 among them, which a translator may keep elsewhere: copies, loads,
 * stores, additions to memory, addresses with an index, pushes, pops and jumps to the next instruction, in every order.
 * What it computes must be what the processor computes. R5.
 */
#include "guest.h"

#include <sys/mman.h>

static uint64_t random_state = 1;

static unsigned draw(unsigned n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(random_state >> 33) % n;
}

static uint8_t *code;
static unsigned at;

static void put(unsigned n, const uint8_t *b)
{
	for (unsigned i = 0; i < n; i++)
		code[at++] = b[i];
}
#define PUT(...) put(sizeof((const uint8_t[]){__VA_ARGS__}), (const uint8_t[]){__VA_ARGS__})

static unsigned reg(void)
{
	static const unsigned some[] = {0, 1, 12, 13, 14, 15, 13, 14, 15};
	return some[draw(sizeof(some) / sizeof(some[0]))];
}

static uint8_t rex(unsigned r, unsigned x, unsigned b)
{
	return (uint8_t)(0x48 | (r > 7 ? 4 : 0) | (x > 7 ? 2 : 0) | (b > 7 ? 1 : 0));
}

static uint8_t modrm(unsigned mod, unsigned r, unsigned rm)
{
	return (uint8_t)(mod << 6 | (r & 7) << 3 | (rm & 7));
}

/* One random instruction. rbx is the address of memory of its own. */
static void instruction(void)
{
	static const uint8_t copies[] = {0x01, 0x29, 0x31, 0x89, 0x39, 0x21, 0x87, 0x11};
	static const uint8_t loads[] = {0x8b, 0x03, 0x33, 0x3b, 0x89, 0x01, 0x31, 0x87};
	unsigned r = reg(), b = reg(), x = reg();
	uint8_t disp = (uint8_t)(8 * draw(12));
	switch (draw(12)) {
	case 0:
	case 1:
		PUT(rex(r, 0, b), copies[draw(sizeof(copies))], modrm(3, r, b));
		break;
	case 2:
		PUT(rex(0, 0, r), 0x83, modrm(3, draw(8), r), (uint8_t)draw(256));
		break;
	case 3:
	case 4:
		PUT(rex(r, 0, 3), loads[draw(sizeof(loads))], modrm(1, r, 3), disp);
		break;
	case 5: /* 32 bits */
		PUT((uint8_t)(rex(r, 0, 3) & ~8), loads[draw(sizeof(loads))], modrm(1, r, 3), disp);
		break;
	case 6: /* and x, 15; op r, [rbx + x * 8 + disp] */
		PUT(rex(0, 0, x), 0x83, modrm(3, 4, x), 15);
		PUT(rex(r, x, 3), loads[draw(4)], modrm(1, r, 4),
			(uint8_t)(0xc0 | (x & 7) << 3 | 3), disp);
		break;
	case 7: /* and b, 15; lea b, [rbx + b]; op r, [b] */
		PUT(rex(0, 0, b), 0x83, modrm(3, 4, b), 15);
		PUT(rex(b, b, 3), 0x8d, modrm(0, b, 4), (uint8_t)((b & 7) << 3 | 3));
		PUT(rex(r, 0, b), 0x8b, modrm(1, r, b));
		if ((b & 7) == 4)
			PUT(0x24);
		PUT(disp);
		break;
	case 8:
		PUT(rex(r, x, b), 0x8d, modrm(1, r, 4), (uint8_t)(0x80 | (x & 7) << 3 | (b & 7)),
			disp);
		break;
	case 9: /* push r; pop b */
		PUT((uint8_t)(0x40 | (r > 7)), (uint8_t)(0x50 | (r & 7)));
		if (draw(2))
			PUT(rex(r, 0, x), 0x01, modrm(3, r, x));
		PUT((uint8_t)(0x40 | (b > 7)), (uint8_t)(0x58 | (b & 7)));
		break;
	case 10:
		PUT((uint8_t)(0x70 | draw(16)), 0); /* to what follows */
		break;
	default: /* movzx r, byte; cmovc r, x */
		PUT(rex(r, 0, 3), 0x0f, 0xb6, modrm(1, r, 3), disp);
		PUT(rex(r, 0, x), 0x0f, 0x42, modrm(3, r, x));
	}
}

int main(void)
{
	static uint64_t memory[64], out[6];
	uint64_t digest = 0;
	code = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	for (unsigned i = 0; i < 64; i++)
		memory[i] = i * 0x9e3779b97f4a7c15u;
	for (unsigned turn = 1; turn <= 2000; turn++) {
		unsigned start = at;
		for (unsigned i = 0; i < 24; i++)
			instruction();
		PUT(0xc3);
		__asm__ volatile("xor %%eax, %%eax\n\t"
				 "xor %%ecx, %%ecx\n\t"
				 "xor %%r12d, %%r12d\n\t"
				 "xor %%r13d, %%r13d\n\t"
				 "mov $7, %%r14d\n\t"
				 "mov $-3, %%r15\n\t"
				 "call *%[f]\n\t"
				 "mov %%rax, (%[o])\n\t"
				 "mov %%rcx, 8(%[o])\n\t"
				 "mov %%r12, 16(%[o])\n\t"
				 "mov %%r13, 24(%[o])\n\t"
				 "mov %%r14, 32(%[o])\n\t"
				 "mov %%r15, 40(%[o])\n\t"
				 :
				 : [f] "D"(code + start), [o] "S"(out), "b"(memory)
				 : "rax", "rcx", "r12", "r13", "r14", "r15", "memory", "cc");
		for (unsigned i = 0; i < 6; i++)
			digest = digest * 31 + out[i];
		for (unsigned i = 0; i < 64; i++)
			digest = digest * 31 + memory[i];
		if (turn % 50 == 0)
			printf("%u %016lx\n", turn, digest);
	}
	return 0;
}
