/* SPDX-License-Identifier: MIT */
/* tests/complex/cases_scalar.c: cases of instructions on general registers and memory. See build.h. */
#include "build.h"

void make_string(struct world *w, struct test_case *c)
{
	static const uint8_t opcodes[] = {
		0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
	unsigned opcode = opcodes[world_pick(w, sizeof(opcodes))];
	unsigned size = 1, width = (unsigned)world_pick(w, 4);
	unsigned segment = 0;
	bool narrow = world_pick(w, 4) == 0, rep = world_pick(w, 4) != 0;
	begin(w, c);
	fill(w);
	if (opcode & 1)
		size = width == 0 ? 2 : width == 1 ? 8 : 4;
	if (width == 0)
		put(c, 0x66);
	if (rep)
		put(c, world_pick(w, 2) ? 0xf3 : 0xf2);
	if (narrow)
		put(c, 0x67);
	if (world_pick(w, 4) == 0) {
		static const uint8_t segments[] = {0x64, 0x65, 0x2e, 0x3e};
		segment = segments[world_pick(w, 4)];
		put(c, segment);
	}
	if (width == 1)
		put(c, 0x48);
	put(c, opcode);

	uint64_t *gpr = c->regs.gpr;
	uint64_t base = segment == 0x64 ? c->regs.fs_base : segment == 0x65 ? c->regs.gs_base : 0;
	uint64_t from = place_odd(w, size), to = place_odd(w, size);
	if (world_pick(w, 3) == 0) /* overlap */
		to = from + world_pick(w, 64) - 32;
	gpr[PG_RSI] = from - base;
	gpr[PG_RDI] = to;
	gpr[PG_RCX] = world_pick(w, 3) ? world_pick(w, 24) : world_pick(w, 12000);
	if (narrow) {
		gpr[PG_RCX] |= world_random(w) << 32;
		gpr[PG_RSI] = (uint32_t)gpr[PG_RSI] | world_random(w) << 32;
		gpr[PG_RDI] = (uint32_t)gpr[PG_RDI] | world_random(w) << 32;
	}
	if (world_pick(w, 2))
		gpr[PG_RAX] = world_pick(w, 3) * 0x0101010101010101u;
	if (world_pick(w, 3) == 0)
		c->regs.rflags |= DIRECTION;
}

void make_bit_string(struct world *w, struct test_case *c)
{
	static const uint8_t opcodes[] = {0xa3, 0xab, 0xb3, 0xbb};
	unsigned which = (unsigned)world_pick(w, 4), width = (unsigned)world_pick(w, 3), reg;
	struct operand o = random_operand(w);
	begin(w, c);
	do
		reg = (unsigned)world_pick(w, 16);
	while (reg == o.base);
	put_prefixes(c, &o);
	if (which && world_pick(w, 2))
		put(c, 0xf0);
	if (width == 0)
		put(c, 0x66);
	put(c, rex(width == 2, reg, &o));
	put(c, 0x0f);
	put(c, opcodes[which]);
	put_modrm(c, reg, &o);

	unsigned size = width == 0 ? 2 : width == 1 ? 4 : 8, shift = width + 4;
	int64_t offset = (int64_t)world_random(w);
	if (world_pick(w, 4))
		offset >>= 40 + world_pick(w, 20);
	c->regs.gpr[reg] = (uint64_t)offset;
	if (size == 2)
		offset = (int16_t)offset;
	else if (size == 4)
		offset = (int32_t)offset;
	uint64_t target = place_odd(w, size);
	scribble(w, target, size);
	aim(w, c, &o, target - (uint64_t)(offset >> shift) * size);
}

void make_cmpxchg(struct world *w, struct test_case *c)
{
	bool wide = world_pick(w, 2);
	unsigned n = wide ? 16 : 8;
	struct operand o = random_operand(w);
	begin(w, c);
	while (o.base == PG_RAX || o.base == PG_RDX)
		o.base = (unsigned)world_pick(w, 4) + 8;
	put_prefixes(c, &o);
	if (world_pick(w, 2))
		put(c, 0xf0);
	put(c, rex(wide, 0, &o));
	put(c, 0x0f);
	put(c, 0xc7);
	put_modrm(c, 1, &o);
	uint64_t at = wide && world_pick(w, 8) ? place_aligned(w, 16, 16) : place_odd(w, n);
	scribble(w, at, n);
	aim(w, c, &o, at);
	if (world_pick(w, 2)) { /* make it equal */
		uint64_t v[2] = {c->regs.gpr[PG_RAX], c->regs.gpr[PG_RDX]};
		if (!wide)
			v[0] = (uint32_t)v[0] | v[1] << 32;
		world_write(w, at, v, n);
	}
}

void make_enter(struct world *w, struct test_case *c)
{
	begin(w, c);
	fill(w);
	if (world_pick(w, 5) == 0)
		put(c, 0x66);
	unsigned alloc =
		world_pick(w, 2) ? (unsigned)world_pick(w, 64) * 8 : (unsigned)world_pick(w, 65536);
	put(c, 0xc8);
	put(c, alloc & 0xff);
	put(c, alloc >> 8);
	put(c, (unsigned)(world_pick(w, 2) ? 0 : world_pick(w, 256)));
	c->regs.gpr[PG_RSP] = place_odd(w, 8);
	c->regs.gpr[PG_RBP] = place_odd(w, 8);
}

void make_xlat(struct world *w, struct test_case *c)
{
	struct operand o = {.base = PG_RBX, .index = 16};
	begin(w, c);
	o.narrow = world_pick(w, 3) == 0;
	o.segment = world_pick(w, 2) ? 0 : 0x64;
	put_prefixes(c, &o);
	put(c, 0xd7);
	uint64_t at = place_odd(w, 1);
	scribble(w, at, 1);
	aim(w, c, &o, at - (c->regs.gpr[PG_RAX] & 0xff));
}

void make_movdir64b(struct world *w, struct test_case *c)
{
	struct operand o = random_operand(w);
	unsigned reg;
	begin(w, c);
	do
		reg = (unsigned)world_pick(w, 16);
	while (reg == o.base);
	o.segment = 0;
	put_prefixes(c, &o);
	put(c, 0x66);
	put(c, rex(0, reg, &o));
	put(c, 0x0f);
	put(c, 0x38);
	put(c, 0xf8);
	put_modrm(c, reg, &o);
	uint64_t from = place_odd(w, 64),
		 to = world_pick(w, 8) ? place_aligned(w, 64, 64) : place(w, 64);
	scribble(w, from, 64);
	aim(w, c, &o, from);
	c->regs.gpr[reg] = o.narrow ? to | world_random(w) << 32 : to;
}

void make_cache_line(struct world *w, struct test_case *c)
{
	struct operand o = random_operand(w);
	begin(w, c);
	put_prefixes(c, &o);
	unsigned which = (unsigned)world_pick(w, 3); /* clflush, clflushopt, clwb */
	if (which)
		put(c, 0x66);
	put(c, rex(0, 0, &o));
	put(c, 0x0f);
	put(c, 0xae);
	put_modrm(c, which == 2 ? 6 : 7, &o);
	aim(w, c, &o, place_odd(w, 1));
}
