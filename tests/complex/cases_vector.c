/* SPDX-License-Identifier: MIT */
/* tests/complex/cases_vector.c: cases of vector registers, of their save areas and of the x87 environment. See build.h. */
#include "build.h"

#include <string.h>

#include "cpu/complex_image.h"

static uint8_t *xmm_of(struct pg_xsave *x, unsigned r)
{
	return x->bytes + IMAGE_XMM + 16 * r;
}

static uint8_t *ymm_high_of(struct pg_xsave *x, unsigned r)
{
	return x->bytes + IMAGE_AVX + 16 * r;
}

static void put_vex3(struct test_case *c, unsigned reg, unsigned index, unsigned base,
	unsigned vvvv, unsigned map, unsigned w, unsigned l, unsigned pp)
{
	put(c, 0xc4);
	put(c, (reg & 8 ? 0 : 0x80) | (index & 8 ? 0 : 0x40) | (base & 8 ? 0 : 0x20) | map);
	put(c, w << 7 | (~vvvv & 15) << 3 | l << 2 | pp);
}

void make_gather(struct world *w, struct test_case *c)
{
	unsigned reg, index, mask, l = (unsigned)world_pick(w, 2),
				   wide = (unsigned)world_pick(w, 2);
	unsigned opcode = 0x90 + (unsigned)world_pick(w, 4), scale = (unsigned)world_pick(w, 4);
	struct operand o = random_operand(w);
	begin(w, c);
	reg = (unsigned)world_pick(w, 16);
	do
		index = (unsigned)world_pick(w, 16);
	while (index == reg);
	do
		mask = (unsigned)world_pick(w, 16);
	while (mask == reg || mask == index);
	put_prefixes(c, &o);
	put_vex3(c, reg, index, o.base, mask, 2, wide, l, 1);
	put(c, opcode);
	put(c, 0x80 | (reg & 7) << 3 | 4);
	put(c, scale << 6 | (index & 7) << 3 | (o.base & 7));
	put32(c, (uint32_t)o.disp);

	unsigned size = wide ? 8 : 4;
	bool wild = (opcode & 1) && world_pick(w, 16) == 0;
	aim(w, c, &o, page_va(8));
	for (unsigned i = 0; i < 8; i++) {
		int64_t delta =
			(int64_t)((wild ? place_odd(w, size) : place(w, size)) - page_va(8)) >>
			scale;
		if (!wild && world_pick(w, 4))
			delta = (int64_t)world_pick(w, 8000) - 4000;
		if (opcode & 1) {
			if (i < 4)
				memcpy(i < 2 ? xmm_of(c->regs.x, index) + 8 * i
					     : ymm_high_of(c->regs.x, index) + 8 * (i - 2),
					&delta, 8);
		} else {
			int32_t narrow = (int32_t)delta;
			memcpy(i < 4 ? xmm_of(c->regs.x, index) + 4 * i
				     : ymm_high_of(c->regs.x, index) + 4 * (i - 4),
				&narrow, 4);
		}
	}
	for (unsigned i = 0; i < 16; i++) {
		uint8_t m = world_pick(w, 3) ? 0xff : (uint8_t)world_random(w);
		xmm_of(c->regs.x, mask)[i] = m;
		ymm_high_of(c->regs.x, mask)[i] = (uint8_t)world_random(w);
	}
	image_set_in_use(c->regs.x, image_in_use(c->regs.x) | IMAGE_SSE | IMAGE_YMM);
	fill(w);
}

void make_masked_move(struct world *w, struct test_case *c)
{
	struct operand o = random_operand(w);
	unsigned reg = (unsigned)world_pick(w, 16), mask = (unsigned)world_pick(w, 16),
		 l = (unsigned)world_pick(w, 2);
	bool integer = world_pick(w, 2);
	begin(w, c);
	put_prefixes(c, &o);
	unsigned which = (unsigned)world_pick(w, 4);
	put_vex3(c, reg, 0, o.base, mask, 2, integer ? which & 1 : 0, l, 1);
	put(c, integer ? (which & 2 ? 0x8e : 0x8c) : 0x2c + which);
	put_modrm(c, reg, &o);
	unsigned n = l ? 32 : 16;
	uint64_t at = place_odd(w, n);
	scribble(w, at, n);
	aim(w, c, &o, at);
	for (unsigned i = 0; i < 16; i++) {
		xmm_of(c->regs.x, mask)[i] =
			(uint8_t)world_random(w) & (world_pick(w, 3) ? 0xff : 0x7f);
		ymm_high_of(c->regs.x, mask)[i] =
			(uint8_t)world_random(w) & (world_pick(w, 3) ? 0xff : 0x7f);
	}
	if (world_pick(w, 4) == 0)
		memset(xmm_of(c->regs.x, mask), 0, 16);
	image_set_in_use(c->regs.x, image_in_use(c->regs.x) | IMAGE_SSE | IMAGE_YMM);
}

/* maskmovdqu, vmaskmovdqu, maskmovq */
void make_byte_mask(struct world *w, struct test_case *c)
{
	struct operand o = {.base = PG_RDI, .index = 16};
	unsigned kind = (unsigned)world_pick(w, 3), n = kind == 2 ? 8 : 16;
	unsigned data = (unsigned)world_pick(w, 8), mask = (unsigned)world_pick(w, 8);
	begin(w, c);
	o.narrow = world_pick(w, 4) == 0;
	o.segment = world_pick(w, 4) ? 0 : 0x65;
	put_prefixes(c, &o);
	if (kind == 1) {
		put_vex3(c, data, 0, mask, 0, 1, 0, 0, 1);
	} else {
		if (kind == 0)
			put(c, 0x66);
		put(c, 0x0f);
	}
	put(c, 0xf7);
	put(c, 0xc0 | data << 3 | mask);
	uint64_t at = o.narrow ? place(w, n) : place_odd(w, n);
	scribble(w, at, n);
	aim(w, c, &o, at);
	if (world_pick(w, 3) == 0)
		for (unsigned i = 0; i < 16; i++)
			xmm_of(c->regs.x, mask)[i] &= i < 8 ? 0x7f : 0xff;
}

/* A save area in memory that xrstor or fxrstor takes, mostly. */
static void write_image(struct world *w, uint64_t at, bool compact)
{
	static struct pg_xsave x; /* scratch, one thread */
	case_random_image(w, &x);
	if (compact) {
		uint64_t comp = (uint64_t)1 << 63 | image_in_use(&x) | (world_random(w) & 7);
		memcpy(x.bytes + IMAGE_XCOMP_BV, &comp, 8);
	}
	if (world_pick(w, 16) == 0) { /* a bit that must be 0, mostly; not those of components that
					 only the host has */
		uint64_t i = world_pick(w, 2) ? 512 + world_pick(w, 64) : 24 + world_pick(w, 4);
		x.bytes[i] ^= (uint8_t)(1 << (i == IMAGE_XSTATE_BV || i == IMAGE_XCOMP_BV
							? 3 + world_pick(w, 2)
							: world_pick(w, 8)));
	}
	world_write(w, at, x.bytes, IMAGE_END);
}

void make_state(struct world *w, struct test_case *c)
{
	struct operand o = random_operand(w);
	unsigned which = (unsigned)world_pick(w, 6);
	/* fxsave, fxrstor, xsave, xrstor, xsaveopt, xsavec */
	static const uint8_t opcode[] = {0xae, 0xae, 0xae, 0xae, 0xae, 0xc7},
			     field[] = {0, 1, 4, 5, 6, 4};
	begin(w, c);
	while (o.base == PG_RAX || o.base == PG_RDX)
		o.base = (unsigned)world_pick(w, 4) + 8;
	put_prefixes(c, &o);
	put(c, rex((unsigned)world_pick(w, 2), 0, &o));
	put(c, 0x0f);
	put(c, opcode[which]);
	put_modrm(c, field[which], &o);
	unsigned n = which < 2 ? 512 : 832, align = which < 2 ? 16 : 64;
	uint64_t at = world_pick(w, 12) ? place_aligned(w, n, align) : place_odd(w, n);
	/* the processor need not touch all of an area with components in their initial state: areas
	 * of one kind of page */
	if (which >= 2 && at - WORLD_BASE < WORLD_BYTES)
		at = world_pick(w, 8) ? page_va(10) + world_pick(w, 16000)
				      : page_va(world_pick(w, 2) ? 4 : 6) + world_pick(w, 3000);
	if (which >= 2 && world_pick(w, 32))
		at &= ~(uint64_t)63;
	scribble(w, at, n);
	if (which == 1 || which == 3)
		write_image(w, at, which == 3 && world_pick(w, 3) == 0);
	else if (which != 5) {
		uint64_t bv = world_random(w) & 7;
		world_write(w, at + IMAGE_XSTATE_BV, &bv, 8);
	}
	aim(w, c, &o, at);
	c->regs.gpr[PG_RAX] = world_random(w);
	if (world_pick(w, 3) == 0)
		c->regs.gpr[PG_RAX] = c->regs.gpr[PG_RDX] = UINT64_MAX;
	/* components that the guest's XCR0 lacks but the host's has */
	c->regs.gpr[PG_RAX] &= 7;
	c->regs.gpr[PG_RDX] &= ~(uint64_t)UINT32_MAX;
}

void make_x87(struct world *w, struct test_case *c)
{
	struct operand o = random_operand(w);
	unsigned which = (unsigned)world_pick(w, 4);
	/* fnstenv, fldenv, fnsave, frstor */
	static const uint8_t opcode[] = {0xd9, 0xd9, 0xdd, 0xdd}, field[] = {6, 4, 6, 4},
			     bytes[] = {28, 28, 108, 108};
	bool word = world_pick(w, 3) == 0;
	begin(w, c);
	put_prefixes(c, &o);
	if (word)
		put(c, 0x66);
	put(c, rex(0, 0, &o));
	put(c, opcode[which]);
	put_modrm(c, field[which], &o);
	unsigned n = bytes[which] - (word ? 14u : 0);
	uint64_t at =
		world_pick(w, 50) ? place_odd(w, n) : ((uint64_t)1 << 47) - world_pick(w, 2 * n);
	scribble(w, at, n);
	aim(w, c, &o, at);
}
