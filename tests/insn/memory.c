/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/memory.c: the pages of a case and the art of aiming at them.
 *
 * Both sides map exactly these pages at these addresses with these rights, and nothing else.
 * Called by main.c (init), generate.c and block.c (aims), the sides and compare.c (the table).
 */
#include "insn.h"

#include <string.h>

#define R PG_READ
#define RW (PG_READ | PG_WRITE)
#define RX (PG_READ | PG_EXEC)
#define RWX (PG_READ | PG_WRITE | PG_EXEC)

/*
 * Holes are as important as pages: below and above each group, and two inside the data group.
 * Indices 24 and 25 are the high group, placed by insn_memory_init.
 */
struct insn_page insn_pages[INSN_PAGES] = {{CODE_VA, RX}, {CODE_VA + 0x1000, RX},
	{CODE_VA + 0x2000, RX}, {SMC_VA, RWX}, {SMC_VA + 0x1000, RWX}, {SMC_VA + 0x2000, RWX},
	{0x20000000, RW}, {0x20001000, RW}, {0x20002000, RW}, {0x20003000, R}, {0x20004000, 0},
	{0x20005000, RW}, /* hole at 0x20006000 */ {0x20007000, R}, {0x20008000, R},
	/* hole at 0x20009000 */ {0x2000a000, RW}, {0x2000b000, RW}, {0x7ffff000, RW},
	{0x80000000, RW},                    /* where 32-bit displacements change sign */
	{0xfffff000, RW}, {0x100000000, RW}, /* where 32-bit addresses wrap */
	{0x30000000, RW}, {0x30001000, RW}, {0x30002000, RW}, /* a stack */
	{0x40000000, RW}, {0, RW}, {0, RW}};

uint8_t insn_image[INSN_PAGES][4096];
static uint64_t top_va;

void insn_memory_init(uint64_t top)
{
	struct rng r = {0x1234};
	uint64_t high = 0x6ffffffff000;
	top_va = top;
	if (high + 0x3000 > top)
		high = (top & ~(uint64_t)0xfff) - 0x4000;
	insn_pages[24].va = high;
	insn_pages[25].va = high + 0x1000;
	for (unsigned i = 0; i < INSN_PAGES; i++) {
		if (insn_pages[i].prot & PG_EXEC)
			memset(insn_image[i], 0xcc, 4096);
		else
			for (unsigned o = 0; o < 4096; o += 64)
				rng_fill(&r, insn_image[i] + o, 64);
	}
}

int insn_page_of(uint64_t va)
{
	va &= ~(uint64_t)0xfff;
	for (int i = 0; i < INSN_PAGES; i++)
		if (insn_pages[i].va == va)
			return i;
	return -1;
}

static const uint8_t writable[] = {6, 7, 8, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25};
/* The first page of two that lie side by side and may both be written. */
static const uint8_t pairs[] = {6, 7, 14, 16, 18, 20, 21, 24};

/* Just before a boundary, so that n bytes end behind it. */
static uint64_t straddle(struct rng *r, uint64_t boundary, unsigned n)
{
	return boundary - 1 - (n > 1 ? rng_below(r, n - 1) : 0);
}

static uint64_t aim_hostile(struct rng *r, unsigned n)
{
	uint64_t in = rng_below(r, 4096);
	switch (rng_below(r, 20)) {
	case 0:
	case 1: /* second page read-only */
		return straddle(r, 0x20003000, n);
	case 2: /* second page without rights */
		return straddle(r, 0x20004000, n);
	case 3: /* first page without rights, second writable */
		return straddle(r, 0x20005000, n);
	case 4: /* second page unmapped */
		return straddle(r, 0x20006000, n);
	case 5: /* first page unmapped */
		return straddle(r, 0x20007000, n);
	case 6: /* read-only twice */
		return straddle(r, 0x20008000, n);
	case 7: /* read-only, then unmapped */
		return straddle(r, 0x20009000, n);
	case 8: /* unmapped, then writable */
		return straddle(r, 0x2000a000, n);
	case 9:
		return 0x20003000 + in;
	case 10:
		return 0x20007000 + in;
	case 11:
		return 0x20004000 + in;
	case 12:
		return 0x20006000 + in;
	case 13:
		return CODE_VA + 0x2000 + in;
	case 14:
		return in; /* null pointers */
	case 15:
		return straddle(r, 0x800000000000, n); /* the canonical hole */
	case 16:
		return 0x800000000000 + (rng_next(r) & 0x7fffffffffff);
	case 17: /* the kernel's half, away from the vsyscall page */
		return 0xffff800000000000 + (rng_next(r) & 0xffffffffff);
	case 18:
		return insn_pages[25].va + 0x1000 + in;
	default: /* anywhere below the canonical hole */
		return rng_next(r) & 0x7fffffffffff;
	}
}

uint64_t insn_aim(struct rng *r, unsigned n, bool tame)
{
	unsigned k = rng_below(r, 100);
	if (n == 0)
		n = 1;
	if (n > 2048)
		n = 2048;
	if (!tame && k >= 78)
		return aim_hostile(r, n);
	if (k >= 60 && n > 1)
		return straddle(r, insn_pages[pairs[rng_below(r, sizeof pairs)]].va + 0x1000, n);
	uint64_t page = insn_pages[writable[rng_below(r, sizeof writable)]].va;
	uint64_t at = rng_below(r, 4096 - n + 1);
	if (k < 40)
		at &= ~(uint64_t)63;
	else if (k < 50)
		at &= ~(uint64_t)15;
	return page + at;
}

uint64_t insn_aim_code(struct rng *r, uint64_t avoid)
{
	switch (rng_below(r, 24)) {
	case 0:
		return 0x20000000 + rng_below(r, 4096); /* not executable */
	case 1:
		return CODE_VA + 0x3000 + rng_below(r, 16);
	case 2:
		return 0x800000000000 + (rng_next(r) & 0xffffffffffff);
	case 3:
		return 0xffff900000000000 + (rng_next(r) & 0xffffffff);
	case 4:
		return 0x20004000 + rng_below(r, 4096);
	case 5:
		return SMC_VA + rng_below(r, 4096);
	default: {
		uint64_t va = CODE_VA + rng_below(r, 0x3000);
		/* not into the code of the case itself, which could then loop */
		return va + INSN_CODE > avoid && va < avoid + INSN_CODE
			       ? CODE_VA + ((avoid - CODE_VA + 2 * INSN_CODE) % 0x2f00)
			       : va;
	}
	}
}

bool insn_case_touches(const struct insn_case *c, unsigned index)
{
	uint64_t lo = insn_pages[index].va, hi = lo + 0x1000, pc = c->before.rip;
	if (pc < hi && pc + c->code_len > lo)
		return true;
	for (unsigned i = 0; i < c->pokes; i++)
		if (c->poke[i].va < hi && c->poke[i].va + c->poke[i].len > lo)
			return true;
	return false;
}

static void put(uint8_t *buf, uint64_t page_va, uint64_t va, const uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (((va + i) & ~(uint64_t)0xfff) == page_va)
			buf[(va + i) & 0xfff] = bytes[i];
}

void insn_case_apply(const struct insn_case *c, unsigned index, uint8_t *buf)
{
	for (unsigned i = 0; i < c->pokes; i++)
		put(buf, insn_pages[index].va, c->poke[i].va, c->poke[i].bytes, c->poke[i].len);
	put(buf, insn_pages[index].va, c->before.rip, c->code, c->code_len);
}

void insn_poke_add(struct insn_case *c, uint64_t va, const void *bytes, unsigned n)
{
	const uint8_t *from = bytes;
	while (n && c->pokes < INSN_POKES) {
		struct insn_poke *p = &c->poke[c->pokes++];
		p->va = va;
		p->len = n < sizeof p->bytes ? n : (unsigned)sizeof p->bytes;
		memcpy(p->bytes, from, p->len);
		va += p->len;
		from += p->len;
		n -= p->len;
	}
}

void insn_ignore_add(struct insn_case *c, uint64_t va, unsigned len, bool if_fault)
{
	if (c->ignores == sizeof c->ignore / sizeof *c->ignore)
		return;
	c->ignore[c->ignores].va = va;
	c->ignore[c->ignores].len = len;
	c->ignore[c->ignores++].if_fault = if_fault;
}
