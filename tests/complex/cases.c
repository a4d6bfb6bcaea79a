/* SPDX-License-Identifier: MIT */
/* tests/complex/cases.c: see cases.h. */
#include "cases.h"

#include <cpuid.h>
#include <string.h>
#include <sys/auxv.h>

#include "cpu/complex_image.h"

#define STATUS_FLAGS ((uint64_t)0x8d5)
#define DIRECTION ((uint64_t)0x400)

/* Writing code. */

static void put(struct test_case *c, unsigned byte)
{
	c->bytes[c->n++] = (uint8_t)byte;
}

static void put32(struct test_case *c, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		put(c, (v >> (8 * i)) & 0xff);
}

/* A memory operand being built: [base + index * scale + disp32], prefixes already chosen. */
struct operand {
	unsigned base, index; /* general registers; index 16: none */
	unsigned scale_bits;
	int32_t disp;
	bool narrow;      /* 67h */
	unsigned segment; /* 0, 0x64, 0x65 */
};

static struct operand random_operand(struct world *w)
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

static void put_prefixes(struct test_case *c, const struct operand *o)
{
	if (o->narrow)
		put(c, 0x67);
	if (o->segment)
		put(c, o->segment);
}

static void put_modrm(struct test_case *c, unsigned reg, const struct operand *o)
{
	put(c, 0x80 | (reg & 7) << 3 | (o->base & 7));
	if ((o->base & 7) == 4)
		put(c, 0x24); /* r12 needs a SIB byte */
	put32(c, (uint32_t)o->disp);
}

static unsigned rex(unsigned w, unsigned reg, const struct operand *o)
{
	return 0x40 | (w ? 8u : 0u) | (reg >> 3) << 2 | (o->base >> 3);
}

/* Sets the operand's base register so that the operand is at va. */
static void aim(struct world *w, struct test_case *c, const struct operand *o, uint64_t va)
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

static uint64_t page_va(unsigned page)
{
	return WORLD_BASE + page * PG_PAGE_SIZE;
}

/* Somewhere for an access of n bytes: in the middle, at the end, across the boundary of a page; any
 * page. */
static uint64_t place(struct world *w, unsigned n)
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
static uint64_t place_aligned(struct world *w, unsigned n, unsigned align)
{
	return place(w, n) & ~(uint64_t)(align - 1);
}

/* One in 40: an address that is not canonical, or the kernel's. */
static uint64_t place_odd(struct world *w, unsigned n)
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

static void fill(struct world *w)
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

static void scribble(struct world *w, uint64_t va, unsigned n)
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

static void begin(struct world *w, struct test_case *c)
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

/* Classes. */

static void make_string(struct world *w, struct test_case *c)
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

static void make_bit_string(struct world *w, struct test_case *c)
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

static void make_cmpxchg(struct world *w, struct test_case *c)
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

static void make_enter(struct world *w, struct test_case *c)
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

static void make_xlat(struct world *w, struct test_case *c)
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

static void make_movdir64b(struct world *w, struct test_case *c)
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

static void make_cache_line(struct world *w, struct test_case *c)
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

/* rdfsbase, rdgsbase, wrfsbase, wrgsbase */
static void make_base(struct world *w, struct test_case *c)
{
	unsigned which = (unsigned)world_pick(w, 4), reg = (unsigned)world_pick(w, 16);
	begin(w, c);
	put(c, 0xf3);
	put(c, 0x40 | (unsigned)world_pick(w, 2) << 3 | reg >> 3);
	put(c, 0x0f);
	put(c, 0xae);
	put(c, 0xc0 | which << 3 | (reg & 7));
	if (world_pick(w, 4))
		c->regs.gpr[reg] &= ((uint64_t)1 << 47) - 1;
}

static void put_register_form(
	struct world *w, struct test_case *c, unsigned reg_field, unsigned *rm)
{
	*rm = (unsigned)world_pick(w, 16);
	(void)reg_field;
}

/* lar, lsl, verr, verw */
static void make_descriptor_query(struct world *w, struct test_case *c)
{
	unsigned rm, reg = (unsigned)world_pick(w, 16), which = (unsigned)world_pick(w, 4);
	begin(w, c);
	put_register_form(w, c, reg, &rm);
	unsigned width = (unsigned)world_pick(w, 3);
	if (width == 0)
		put(c, 0x66);
	put(c, 0x40 | (width == 2) << 3 | (which < 2 ? reg >> 3 : 0) << 2 | rm >> 3);
	put(c, 0x0f);
	if (which < 2) {
		put(c, 0x02 + which);
		put(c, 0xc0 | (reg & 7) << 3 | (rm & 7));
	} else {
		put(c, 0x00);
		put(c, 0xc0 | (which + 2) << 3 | (rm & 7));
	}
	uint64_t selector = world_pick(w, 3) ? world_pick(w, 32) * 8 + 3 : world_pick(w, 65536);
	if (selector >> 3 == 0x7b >> 3)
		selector = 0x33; /* the processor's number: not the host's here */
	c->regs.gpr[rm] = (c->regs.gpr[rm] & ~(uint64_t)0xffff) | selector;
}

/* sgdt, sidt, sldt, str, smsw: what Linux shows instead of its tables. */
static void make_table_store(struct world *w, struct test_case *c)
{
	struct operand o = random_operand(w);
	unsigned which = (unsigned)world_pick(w, 5);
	static const uint8_t opcode[] = {0x01, 0x01, 0x00, 0x00, 0x01}, field[] = {0, 1, 0, 1, 4};
	bool memory = which < 2 || world_pick(w, 2);
	unsigned rm = (unsigned)world_pick(w, 16), width = (unsigned)world_pick(w, 3);
	begin(w, c);
	o.narrow = false;
	o.segment = 0;
	if (width == 0 && !memory)
		put(c, 0x66);
	put(c, memory ? rex(0, 0, &o) : 0x40u | (width == 2) << 3 | rm >> 3);
	put(c, 0x0f);
	put(c, opcode[which]);
	if (memory) {
		put_modrm(c, field[which], &o);
		/* Linux emulates by copy_to_user: to mapped memory here, its faults are not the
		 * processor's */
		aim(w, c, &o, page_va(1) + world_pick(w, 2 * PG_PAGE_SIZE));
	} else {
		put(c, 0xc0u | (unsigned)field[which] << 3 | (rm & 7));
	}
}

/* mov to and from segment registers, push and pop of fs and gs */
static void make_segment(struct world *w, struct test_case *c)
{
	static const uint8_t loadable[] = {0, 3, 4, 5};
	unsigned rm = (unsigned)world_pick(w, 16);
	struct operand o = random_operand(w);
	uint16_t zero = 0;
	begin(w, c);
	switch (world_pick(w, 7)) {
	case 6: /* lfs, lgs with a null selector */
	{
		unsigned width = (unsigned)world_pick(w, 3), n = width == 0   ? 2
								 : width == 1 ? 4
									      : 8;
		uint64_t at = o.narrow ? place(w, n + 2) : place_odd(w, n + 2);
		put_prefixes(c, &o);
		if (width == 0)
			put(c, 0x66);
		put(c, rex(width == 2, rm, &o));
		put(c, 0x0f);
		put(c, world_pick(w, 2) ? 0xb4 : 0xb5);
		put_modrm(c, rm, &o);
		aim(w, c, &o, at);
		scribble(w, at, n);
		world_write(w, at + n, &zero, 2);
		break;
	}
	case 0: /* mov r, sreg */
	{
		unsigned width = (unsigned)world_pick(w, 3);
		if (width == 0)
			put(c, 0x66);
		put(c, 0x40 | (width == 2) << 3 | rm >> 3);
		put(c, 0x8c);
		put(c, 0xc0 | (unsigned)world_pick(w, 6) << 3 | (rm & 7));
		break;
	}
	case 1: /* mov m16, sreg */
		put_prefixes(c, &o);
		put(c, rex(0, 0, &o));
		put(c, 0x8c);
		put_modrm(c, (unsigned)world_pick(w, 6), &o);
		aim(w, c, &o, place_odd(w, 2));
		break;
	case 2: /* mov sreg, r: null */
		put(c, 0x40 | rm >> 3);
		put(c, 0x8e);
		put(c, 0xc0u | (unsigned)loadable[world_pick(w, 4)] << 3 | (rm & 7));
		c->regs.gpr[rm] &= ~(uint64_t)0xffff;
		break;
	case 3: /* mov sreg, m16 */
	{
		uint64_t at = place_odd(w, 2);
		put_prefixes(c, &o);
		put(c, rex(0, 0, &o));
		put(c, 0x8e);
		put_modrm(c, loadable[world_pick(w, 2)], &o);
		aim(w, c, &o, at);
		world_write(w, at, &zero, 1);
		world_write(w, at + 1, &zero, 1);
		break;
	}
	case 4: /* push fs, gs */
		if (world_pick(w, 3) == 0)
			put(c, 0x66);
		put(c, 0x0f);
		put(c, world_pick(w, 2) ? 0xa0 : 0xa8);
		c->regs.gpr[PG_RSP] = place_odd(w, 8);
		scribble(w, c->regs.gpr[PG_RSP] - 8, 8);
		break;
	default: /* pop fs, gs: null */
	{
		uint64_t zeros = 0;
		if (world_pick(w, 3) == 0)
			put(c, 0x66);
		put(c, 0x0f);
		put(c, world_pick(w, 2) ? 0xa1 : 0xa9);
		c->regs.gpr[PG_RSP] = place_odd(w, 8);
		world_write(w, c->regs.gpr[PG_RSP], &zeros, 8);
		break;
	}
	}
}

/* iretq, far ret, far jmp, far call, to the int3 behind the instruction */
static void make_far(struct world *w, struct test_case *c)
{
	struct operand o = random_operand(w);
	uint64_t sp = place(w, 40), cs = world_pick(w, 16) ? 0x33 : world_pick(w, 8);
	begin(w, c);
	switch (world_pick(w, 4)) {
	case 0: {
		put(c, 0x48);
		put(c, 0xcf);
		uint64_t flags =
			world_random(w) &
			~(uint64_t)0x244300; /* not AC, NT, TF, ID; IF and IOPL cannot change */
		uint64_t frame[5] = {c->regs.rip + 2, cs, flags, place(w, 8), 0x2b};
		world_write(w, sp, frame, 40);
		break;
	}
	case 1: {
		put(c, 0x48);
		put(c, 0xca);
		put(c, (unsigned)world_pick(w, 256));
		put(c, (unsigned)world_pick(w, 256));
		uint64_t frame[2] = {c->regs.rip + 4, cs};
		world_write(w, sp, frame, 16);
		break;
	}
	default: {
		bool call = world_pick(w, 2);
		while (o.base == PG_RSP)
			o.base = (unsigned)world_pick(w, 16);
		put_prefixes(c, &o);
		put(c, rex(1, 0, &o));
		put(c, 0xff);
		put_modrm(c, call ? 3 : 5, &o);
		uint64_t at = place_odd(w, 10), rip = c->regs.rip + c->n;
		uint16_t selector = (uint16_t)cs;
		world_write(w, at, &rip, 8);
		world_write(w, at + 8, &selector, 2);
		aim(w, c, &o, at);
		break;
	}
	}
	c->regs.gpr[PG_RSP] = sp;
}

/* What user mode may not do, and what our CPUID and this host both lack. */
static void make_refused(struct world *w, struct test_case *c)
{
	static const struct {
		uint8_t n, bytes[6];
	} code[] = {{1, {0xf4}}, {1, {0xfa}}, {1, {0xfb}}, {1, {0x6c}}, {2, {0xf3, 0x6d}},
		{1, {0x6e}}, {2, {0xe4, 1}}, {1, {0xef}}, {2, {0x0f, 0x30}}, {2, {0x0f, 0x32}},
		{2, {0x0f, 0x06}}, {2, {0x0f, 0x08}}, {2, {0x0f, 0x09}}, {3, {0x0f, 0x20, 0xc0}},
		{3, {0x0f, 0x22, 0xd8}}, {3, {0x0f, 0x21, 0xc0}}, {3, {0x0f, 0x01, 0xf8}},
		{3, {0x0f, 0x01, 0xd1}}, {2, {0x0f, 0x33}}, {3, {0x0f, 0x01, 0x10}},
		{3, {0x0f, 0x01, 0x18}}, {3, {0x0f, 0x00, 0xd0}}, {3, {0x0f, 0x00, 0xd8}},
		{3, {0x0f, 0x01, 0xf0}}, {2, {0xcd, 0x21}}, {2, {0xcd, 0xff}},
		{3, {0x0f, 0x01, 0xcb}}, {3, {0x0f, 0x01, 0xca}}, {2, {0x0f, 0x07}},
		{3, {0x48, 0x0f, 0x35}}, {2, {0x0f, 0xaa}}};
	unsigned i = (unsigned)world_pick(w, sizeof(code) / sizeof(code[0]));
	begin(w, c);
	for (unsigned j = 0; j < code[i].n; j++)
		put(c, code[i].bytes[j]);
}

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

static void make_gather(struct world *w, struct test_case *c)
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

static void make_masked_move(struct world *w, struct test_case *c)
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
static void make_byte_mask(struct world *w, struct test_case *c)
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

static void make_state(struct world *w, struct test_case *c)
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

static void make_x87(struct world *w, struct test_case *c)
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

/* Linux shows constants only where the processor has UMIP; elsewhere user mode reads the real tables. */
static bool host_has_umip(void)
{
	uint32_t a, b, c, d;
	__cpuid_count(7, 0, a, b, c, d);
	return c & 4;
}

/* Linux lets user mode have it. */
static bool host_has_fsgsbase(void)
{
	return getauxval(AT_HWCAP2) & 2;
}

const struct case_class case_classes[] = {
	{"string", make_string, 6000},
	{"bit string", make_bit_string, 4000},
	{"cmpxchg8b and cmpxchg16b", make_cmpxchg, 4000},
	{"enter", make_enter, 1500},
	{"xlat", make_xlat, 1000},
	{"movdir64b", make_movdir64b, 1000},
	{"cache line", make_cache_line, 1000},
	{"segment base", make_base, 1000, .comparable = host_has_fsgsbase},
	{"descriptor query", make_descriptor_query, 3000},
	{"table store", make_table_store, 1000, .comparable = host_has_umip},
	{"segment register", make_segment, 3000},
	{"far transfer", make_far, 2000},
	{"refused", make_refused, 1000},
	{"gather", make_gather, 4000},
	{"masked move", make_masked_move, 4000, .fault_page = true},
	{"byte mask", make_byte_mask, 4000, .fault_page = true},
	{"xsave and fxsave", make_state, 6000, .fault_page = true, .unsteady = true},
	{"x87 environment", make_x87, 4000, .fault_page = true},
};
const unsigned case_class_count = sizeof(case_classes) / sizeof(case_classes[0]);
