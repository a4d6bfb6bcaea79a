/* SPDX-License-Identifier: MIT */
/* tests/complex/build.c: what a case is built of. See build.h. */
#include "build.h"

#include <string.h>

#include "cpu/complex_image.h"

/* Writing code. */

void put(struct test_case *c, unsigned byte)
{
	c->bytes[c->n++] = (uint8_t)byte;
}

void put32(struct test_case *c, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		put(c, (v >> (8 * i)) & 0xff);
}

struct operand random_operand(struct world *w)
{
	struct operand o = {.index = 16};
	do
		o.base = (unsigned)world_pick(w, 16);
	while (o.base == PG_RSP);
	o.disp = (int32_t)world_pick(w, 4096) - 2048;
	o.narrow = world_pick(w, 4) == 0;
	o.segment = world_pick(w, 4) ? 0 : (unsigned)(0x64 + world_pick(w, 2));
	return o;
}

void put_prefixes(struct test_case *c, const struct operand *o)
{
	if (o->narrow)
		put(c, 0x67);
	if (o->segment)
		put(c, o->segment);
}

void put_modrm(struct test_case *c, unsigned reg, const struct operand *o)
{
	put(c, 0x80 | (reg & 7) << 3 | (o->base & 7));
	if ((o->base & 7) == 4)
		put(c, 0x24); /* r12 needs a SIB byte */
	put32(c, (uint32_t)o->disp);
}

unsigned rex(unsigned w, unsigned reg, const struct operand *o)
{
	return 0x40 | (w ? 8u : 0u) | (reg >> 3) << 2 | (o->base >> 3);
}

/* Sets the operand's base register so that the operand is at va. */
void aim(struct world *w, struct test_case *c, const struct operand *o, uint64_t va)
{
	uint64_t base = o->segment == 0x64   ? c->regs.fs_base
			: o->segment == 0x65 ? c->regs.gs_base
					     : 0;
	uint64_t v = va - base - (uint64_t)(int64_t)o->disp;
	if (o->narrow)
		v = (uint32_t)v | world_random(w) << 32;
	c->regs.gpr[o->base] = v;
}

/* Addresses. */

uint64_t page_va(unsigned page)
{
	return WORLD_BASE + page * PG_PAGE_SIZE;
}

/* Somewhere for an access of n bytes: in the middle, at the end, across the boundary of a page; any
 * page. */
uint64_t place(struct world *w, unsigned n)
{
	uint64_t page = page_va((unsigned)world_pick(w, WORLD_PAGES));
	switch (world_pick(w, 8)) {
	case 0:
		return page;
	case 1:
		return page + PG_PAGE_SIZE - n;
	case 2:
	case 3:
		return page + PG_PAGE_SIZE - world_pick(w, n + 1);
	case 4:
		return page - n + world_pick(w, n + 1);
	default:
		return page + world_pick(w, PG_PAGE_SIZE);
	}
}

/* The same, aligned. */
uint64_t place_aligned(struct world *w, unsigned n, unsigned align)
{
	return place(w, n) & ~(uint64_t)(align - 1);
}

/* One in 40: an address that is not canonical, or the kernel's. */
uint64_t place_odd(struct world *w, unsigned n)
{
	switch (world_pick(w, 80)) {
	case 0:
		return (uint64_t)1 << 63 | world_pick(w, 1 << 20);
	case 1:
		return ((uint64_t)1 << 47) - (n <= 8 ? world_pick(w, 2 * n) : 0);
	default:
		return place(w, n);
	}
}

void fill(struct world *w)
{
	uint8_t page[PG_PAGE_SIZE];
	unsigned kind = (unsigned)world_pick(w, 3);
	uint8_t same = (uint8_t)world_pick(w, 3);
	for (unsigned p = 0; p < WORLD_PAGES; p++) {
		for (unsigned i = 0; i < PG_PAGE_SIZE; i += 8) {
			uint64_t v = kind == 0 ? world_random(w) : same * 0x0101010101010101u;
			memcpy(page + i, &v, 8);
		}
		if (kind == 2)
			page[world_pick(w, PG_PAGE_SIZE)] ^= (uint8_t)world_pick(w, 256);
		world_write(w, page_va(p), page, PG_PAGE_SIZE);
	}
}

void scribble(struct world *w, uint64_t va, unsigned n)
{
	uint8_t b[1024];
	for (unsigned i = 0; i < n; i++)
		b[i] = (uint8_t)world_random(w);
	world_write(w, va, b, n);
}

/* Registers. */

void case_random_image(struct world *w, struct pg_xsave *x)
{
	uint64_t bv = world_random(w) & pg_cpu_guest_xcr0();
	memset(x->bytes, 0, sizeof(x->bytes));
	for (unsigned i = IMAGE_ST; i < IMAGE_XMM; i++)
		x->bytes[i] = (i & 15) < 10 ? (uint8_t)world_random(w) : 0;
	for (unsigned i = IMAGE_XMM; i < IMAGE_LEGACY_END; i++)
		x->bytes[i] = (uint8_t)world_random(w);
	for (unsigned i = IMAGE_AVX; i < IMAGE_END; i++)
		x->bytes[i] = (uint8_t)world_random(w);
	uint16_t fcw = 0x37f, fsw = (uint16_t)(world_random(w) & 0x7f3f);
	if (world_pick(w, 4) == 0)
		fcw = (uint16_t)(0x040 | (world_random(w) & 0xf3f));
	if ((fsw & ~fcw & 0x3f) != 0)
		fsw |= 0x8080; /* ES and B follow from the others */
	memcpy(x->bytes + IMAGE_FCW, &fcw, 2);
	memcpy(x->bytes + IMAGE_FSW, &fsw, 2);
	x->bytes[IMAGE_FTW] = (uint8_t)world_random(w);
	uint32_t mxcsr = world_pick(w, 2) ? 0x1f80 : (uint32_t)(world_random(w) & 0xffff);
	memcpy(x->bytes + IMAGE_MXCSR, &mxcsr, 4);
	if (mxcsr != 0x1f80)
		bv |= IMAGE_SSE; /* else Linux hands the child the initial MXCSR */
	if (!(bv & IMAGE_X87)) {
		fcw = 0x37f;
		memset(x->bytes, 0, IMAGE_MXCSR);
		memcpy(x->bytes + IMAGE_FCW, &fcw, 2);
		memset(x->bytes + IMAGE_ST, 0, IMAGE_XMM - IMAGE_ST);
	}
	if (!(bv & IMAGE_SSE))
		memset(x->bytes + IMAGE_XMM, 0, IMAGE_LEGACY_END - IMAGE_XMM);
	if (!(bv & IMAGE_YMM))
		memset(x->bytes + IMAGE_AVX, 0, IMAGE_END - IMAGE_AVX);
	image_set_in_use(x, bv);
}

void begin(struct world *w, struct test_case *c)
{
	for (unsigned i = 0; i < PG_GPRS; i++)
		c->regs.gpr[i] = world_random(w);
	c->regs.gpr[PG_RSP] = place(w, 8) & ~(uint64_t)7;
	c->regs.rip = WORLD_CODE + world_pick(w, 64);
	c->regs.rflags = 0x202 | (world_random(w) & STATUS_FLAGS);
	c->regs.fs_base = world_pick(w, 2) ? 0 : world_pick(w, 1 << 16);
	c->regs.gs_base = world_pick(w, 2) ? world_pick(w, 1 << 16) : 0;
	c->n = 0;
}
