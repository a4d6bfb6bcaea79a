/* SPDX-License-Identifier: MIT */
/* tests/complex/cases_system.c: cases of segments, descriptor tables, far transfers, and what is refused. See build.h. */
#include "build.h"

/* rdfsbase, rdgsbase, wrfsbase, wrgsbase */
void make_base(struct world *w, struct test_case *c)
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

/* lar, lsl, verr, verw */
void make_descriptor_query(struct world *w, struct test_case *c)
{
	unsigned rm, reg = (unsigned)world_pick(w, 16), which = (unsigned)world_pick(w, 4);
	begin(w, c);
	rm = (unsigned)world_pick(w, 16);
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
void make_table_store(struct world *w, struct test_case *c)
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
void make_segment(struct world *w, struct test_case *c)
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
void make_far(struct world *w, struct test_case *c)
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
void make_refused(struct world *w, struct test_case *c)
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
