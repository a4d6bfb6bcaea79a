/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/generate.c: from a template to a case: bytes with all their odd but legal variations,
 * registers that make the operands land where they hurt, and memory worth reading there.
 *
 * Called by main.c (insn_generate) and block.c (insn_make). Calls templates.c, draw.c, state.c, memory.c.
 *
 * How an operand is aimed: the bytes are drawn first (base, index, scale, displacement, segment,
 * address size all random); then for each memory operand, hidden ones of string and stack
 * instructions included, an address is chosen and the base register (or index, or displacement)
 * is solved for.
 */
#include "insn.h"

#include <string.h>

#define MAX_TRIES 8

/* ---- where the operands go ---- */

static int gpr_of(ZydisRegister reg)
{
	ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	return full >= ZYDIS_REGISTER_RAX && full <= ZYDIS_REGISTER_R15
		       ? (int)(full - ZYDIS_REGISTER_RAX)
		       : -1;
}

static bool is_wide_state(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_FXSAVE || m == ZYDIS_MNEMONIC_FXSAVE64 ||
	       m == ZYDIS_MNEMONIC_FXRSTOR || m == ZYDIS_MNEMONIC_FXRSTOR64 ||
	       m == ZYDIS_MNEMONIC_XSAVE || m == ZYDIS_MNEMONIC_XSAVE64 ||
	       m == ZYDIS_MNEMONIC_XRSTOR || m == ZYDIS_MNEMONIC_XRSTOR64;
}

static bool is_state_of_many_parts(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_FBSTP || m == ZYDIS_MNEMONIC_FBLD || is_wide_state(m) ||
	       m == ZYDIS_MNEMONIC_FNSAVE || m == ZYDIS_MNEMONIC_FRSTOR ||
	       m == ZYDIS_MNEMONIC_FNSTENV || m == ZYDIS_MNEMONIC_FLDENV;
}

/* Bytes at an operand that the instruction can do something with. */
static void poke_operand(struct insn_case *c, struct rng *r, const ZydisDecodedInstruction *i,
	uint64_t va, unsigned n, uint64_t pc)
{
	uint8_t buf[832];
	uint64_t v;
	if (n > 64 && !is_wide_state(i->mnemonic))
		n = 64;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_RET:
		v = insn_aim_code(r, pc);
		insn_poke_add(c, va, &v, 8);
		return;
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
		v = rng_next(r) &
		    ~(uint64_t)0x40100; /* not AC; TF seldom. NT and ID come in here. */
		if (rng_chance(r, 4))
			v |= 0x100;
		insn_poke_add(c, va, &v, 8);
		return;
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
		v = rng_chance(r, 85) ? rng_next(r) & 0xffff : rng_next(r);
		if (rng_chance(r, 80))
			v |= 0x1f80;
		insn_poke_add(c, va, &v, 4);
		return;
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64: {
		struct insn_case other;
		insn_state_random(&other, r);
		memcpy(buf, other.before.x, sizeof buf);
		buf[512] = (uint8_t)(rng_chance(r, 50) ? 7 : rng_below(r, 8));
		if (rng_chance(r, 5))
			buf[24 + rng_below(r, 4)] = 0xff;
		if (rng_chance(r, 5))
			buf[513 + rng_below(r, 30)] = 0x80;
		insn_poke_add(c, va, buf, n < sizeof buf ? n : (unsigned)sizeof buf);
		return;
	}
	case ZYDIS_MNEMONIC_CMPXCHG:
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		memcpy(buf, &c->before.gpr[0], 8);
		memcpy(buf + (n >= 16 ? 8 : 4), &c->before.gpr[2], 8);
		if (i->mnemonic == ZYDIS_MNEMONIC_CMPXCHG)
			memcpy(buf, &c->before.gpr[0], 8);
		if (rng_chance(r, 50))
			rng_fill(r, buf, n);
		insn_poke_add(c, va, buf, n <= 16 ? n : 16);
		return;
	default:
		if (n > sizeof buf)
			n = sizeof buf;
		rng_fill(r, buf, n ? n : 1);
		insn_poke_add(c, va, buf, n ? n : 1);
	}
}

/* What of this operand the two sides may store or report differently: see compare.c. */
static void note_ignored(
	struct insn_case *c, const ZydisDecodedInstruction *i, uint64_t va, unsigned n)
{
	/* An exception that is not masked, or the page fault: either may come first. */
	if (i->meta.isa_ext == ZYDIS_ISA_EXT_X87 && (c->before.x[0] & 0x3f) != 0x3f)
		c->fault_may_be = true;
	if (i->mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH &&
		(!(c->before.x[24] & 0x80) || (c->before.x[25] & 0x1f) != 0x1f))
		c->fault_may_be = true;
	if (i->meta.isa_ext == ZYDIS_ISA_EXT_MMX)
		c->fault_x87_top = true;
	if (n == 10 || is_state_of_many_parts(i->mnemonic))
		c->fault_any_byte = true;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		c->fault_any_byte = c->fault_may_be = true;
		c->fault_x87_top = i->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
		break;
	case ZYDIS_MNEMONIC_MOVNTQ:
		c->fault_x87_top = true;
		break;
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		c->fault_any_byte = true;
		break;
	case ZYDIS_MNEMONIC_FSTP:
	case ZYDIS_MNEMONIC_FBSTP:
		if (n == 10) /* stored as eight bytes and two */
			insn_ignore_add(c, va, n, true);
		break;
	case ZYDIS_MNEMONIC_VCVTPS2PH:
		c->fault_mxcsr = true;
		break;
	default:
		c->fault_upper |=
			i->meta.category == ZYDIS_CATEGORY_STRINGOP && i->address_width == 32;
		break;
	}
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
		if (i->operand_width == 16)
			insn_ignore_add(c, va + 6, 8, false);
		else
			insn_ignore_add(c, va + 12, 16, false);
		insn_ignore_add(c, va, n, true);
		break;
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
		insn_ignore_add(c, va + 512, 8, false); /* in-use bits are the CPU's own affair */
		insn_ignore_add(c, va + 6, 18, false);
		insn_ignore_add(c, va, n, true);
		break;
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
		insn_ignore_add(c, va + 6, 18, false);
		insn_ignore_add(c, va, n, true);
		break;
	default:
		break;
	}
}

/* Small offsets in the index register of a gather, so that its elements lie near the base. */
static void aim_vector_index(struct insn_case *c, struct rng *r, ZydisRegister index, unsigned elem)
{
	unsigned v = (unsigned)(ZydisRegisterGetId(index)) & 15;
	for (unsigned half = 0; half < 2; half++)
		for (unsigned o = 0; o < 16; o += elem) {
			int64_t d = (int64_t)rng_below(r, 64) - 16;
			memcpy(c->before.x + (half ? 576 : 160) + 16 * v + o, &d, elem);
		}
}

static int64_t bit_offset_bytes(struct insn_case *c, const ZydisDecodedInstruction *i,
	const ZydisDecodedOperand *ops, struct rng *r, bool free_choice)
{
	if (i->mnemonic != ZYDIS_MNEMONIC_BT && i->mnemonic != ZYDIS_MNEMONIC_BTS &&
		i->mnemonic != ZYDIS_MNEMONIC_BTR && i->mnemonic != ZYDIS_MNEMONIC_BTC)
		return 0;
	if (ops[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return 0;
	int g = gpr_of(ops[1].reg.value);
	if (g < 0)
		return 0;
	if (free_choice && rng_chance(r, 80))
		c->before.gpr[g] = rng_chance(r, 50) ? rng_below(r, 4096) - 2048ull
						     : (uint64_t)((int64_t)rng_next(r) >> 36);
	int64_t bit = (int64_t)c->before.gpr[g];
	bit = i->operand_width == 16 ? (int16_t)bit : i->operand_width == 32 ? (int32_t)bit : bit;
	return (bit >> (i->operand_width == 16          ? 4
			       : i->operand_width == 32 ? 5
							: 6)) *
	       (i->operand_width / 8);
}

static void aim_operand(struct insn_case *c, struct rng *r, ZydisDecodedInstruction *i,
	const ZydisDecodedOperand *ops, unsigned k, uint64_t va, const struct insn_plan *plan,
	uint8_t *bytes)
{
	const ZydisDecodedOperand *o = &ops[k];
	unsigned n = o->size / 8;
	bool free_choice = plan->count == 0;
	uint64_t seg = o->mem.segment == ZYDIS_REGISTER_FS   ? c->before.fs_base
		       : o->mem.segment == ZYDIS_REGISTER_GS ? c->before.gs_base
							     : 0;
	int base = gpr_of(o->mem.base), index = gpr_of(o->mem.index);
	bool vsib = o->mem.type == ZYDIS_MEMOP_TYPE_VSIB;
	uint64_t scale = o->mem.scale ? o->mem.scale : 1, disp = (uint64_t)o->mem.disp.value;
	bool rip = o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP;
	uint64_t at = insn_aim(r, n, !free_choice && !rng_chance(r, 10));
	if (n >= 32 && rng_chance(r, 60))
		at &= ~(uint64_t)63;
	int64_t bits = bit_offset_bytes(c, i, ops, r, free_choice);

	if (vsib) {
		if (free_choice)
			aim_vector_index(c, r, o->mem.index, i->raw.vex.W ? 8 : 4);
		index = -1;
	}
	if (!free_choice && base >= 0) {
		/* the plan's pointers are set already */
		at = c->before.gpr[base] + disp + (index >= 0 ? c->before.gpr[index] * scale : 0) +
		     seg;
	} else if (rip || (base < 0 && index < 0)) {
		uint64_t d = at - seg - (uint64_t)bits;
		if (rip)
			d -= va + i->length;
		if (i->raw.disp.size == 64)
			memcpy(bytes + i->raw.disp.offset, &d, 8);
		else if (i->raw.disp.size == 32)
			memcpy(bytes + i->raw.disp.offset, &d, 4);
		if (rip && i->raw.disp.size == 32)
			at = seg + va + i->length + (uint64_t)(int64_t)(int32_t)d + (uint64_t)bits;
		else if (i->raw.disp.size == 32)
			at = seg + (uint64_t)(int64_t)(int32_t)d + (uint64_t)bits;
	} else if (base < 0) {
		c->before.gpr[index] = (at - seg - disp - (uint64_t)bits) / scale;
		at = seg + disp + c->before.gpr[index] * scale + (uint64_t)bits;
	} else {
		uint64_t rest = at - seg - disp - (uint64_t)bits;
		if (index == base) {
			c->before.gpr[base] = rest / (1 + scale);
			at = seg + disp + c->before.gpr[base] * (1 + scale) + (uint64_t)bits;
		} else {
			if (index >= 0 && rng_chance(r, 70))
				c->before.gpr[index] = rng_below(r, 64);
			uint64_t by = index < 0 ? 0
				      : i->mnemonic == ZYDIS_MNEMONIC_XLAT
					      ? c->before.gpr[index] & 0xff
					      : c->before.gpr[index];
			c->before.gpr[base] = rest - by * scale;
		}
		if (i->address_width == 32) /* what is above must not matter */
			c->before.gpr[base] = (c->before.gpr[base] & 0xffffffff) | rng_next(r)
											   << 32;
	}
	if (!(o->actions & ZYDIS_OPERAND_ACTION_MASK_READ) && rng_chance(r, 70) &&
		!is_wide_state(i->mnemonic)) {
		note_ignored(c, i, at, n);
		return;
	}
	poke_operand(c, r, i, at, n, va);
	note_ignored(c, i, at, n);
}

/* A branch displacement that leaves the instruction's own bytes and ends on int3 bytes, mostly. */
static void aim_relative(struct insn_case *c, struct rng *r, const ZydisDecodedInstruction *i,
	uint64_t va, uint8_t *bytes)
{
	unsigned size = i->raw.imm[0].size / 8, at = i->raw.imm[0].offset;
	int64_t d = 0;
	if (size == 1) {
		d = rng_chance(r, 30) ? 0 : (int64_t)rng_below(r, 100);
		if (rng_chance(r, 30))
			d = -(int64_t)rng_below(r, 100) - 16;
	} else {
		d = (int64_t)(insn_aim_code(r, va) - va - i->length);
		if (rng_chance(r, 10))
			d = (int32_t)rng_next(r);
	}
	memcpy(bytes + at, &d, size);
	(void)c;
}

static void aim_special(struct insn_case *c, struct rng *r, const ZydisDecodedInstruction *i,
	const ZydisDecodedOperand *ops, uint64_t va)
{
	uint64_t *g = c->before.gpr;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_DIV:
		if (rng_chance(r, 60))
			g[2] = rng_chance(r, 70) ? 0 : rng_below(r, 8);
		break;
	case ZYDIS_MNEMONIC_IDIV:
		if (rng_chance(r, 60))
			g[2] = (uint64_t)((int64_t)g[0] >> 63);
		break;
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
		g[0] = rng_below(r, 8);
		g[2] = 0;
		break;
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
		if (ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER && gpr_of(ops[0].reg.value) >= 0)
			g[gpr_of(ops[0].reg.value)] = insn_aim_code(r, va);
		break;
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
	case ZYDIS_MNEMONIC_JRCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
		g[1] = rng_chance(r, 70) ? rng_below(r, 3) : rng_next(r) << 32 | rng_below(r, 3);
		break;
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
		if (rng_chance(r, 80) && ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER)
			g[gpr_of(ops[0].reg.value)] = insn_aim(r, 8, true);
		break;
	case ZYDIS_MNEMONIC_XLAT:
		g[0] = (g[0] & ~(uint64_t)0xff) | rng_below(r, 256);
		break;
	default:
		break;
	}
	if (i->meta.category == ZYDIS_CATEGORY_STRINGOP) {
		if (i->attributes &
			(ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) {
			g[1] = rng_chance(r, 80) ? rng_below(r, 48) : rng_below(r, 6000);
			if (i->address_width == 32)
				g[1] |= rng_next(r) << 32;
		}
		if (rng_chance(r, 10)) /* overlapping */
			g[7] = g[6] + rng_below(r, 33) - 16;
	}
}

static bool writes_kept(
	const ZydisDecodedInstruction *i, const ZydisDecodedOperand *ops, uint16_t keep)
{
	for (unsigned k = 0; k < i->operand_count; k++)
		if (ops[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			(ops[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
			!(ops[k].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
				ops[k].reg.value == ZYDIS_REGISTER_RSP) &&
			gpr_of(ops[k].reg.value) >= 0 && keep >> gpr_of(ops[k].reg.value) & 1)
			return true;
	return false;
}

unsigned insn_make(struct insn_case *c, struct rng *r, const struct insn_template *t, uint64_t va,
	const struct insn_plan *plan, uint8_t out[15])
{
	for (unsigned tries = 0; tries < MAX_TRIES; tries++) {
		uint8_t b[40] = {0};
		ZydisDecodedInstruction i;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		insn_draw(r, t, plan, b);
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&insn_decoder, b, 15, &i, ops)) ||
			i.mnemonic != t->mnemonic)
			continue;
		if (plan->count && writes_kept(&i, ops, plan->keep))
			continue;
		unsigned first = i.operand_count ? rng_below(r, i.operand_count) : 0;
		if (plan->count == 0)
			aim_special(c, r, &i, ops, va);
		for (unsigned k = 0; k < i.operand_count; k++) {
			unsigned o = (k + first) % i.operand_count;
			if (ops[o].type == ZYDIS_OPERAND_TYPE_MEMORY)
				aim_operand(c, r, &i, ops, o, va, plan, b);
		}
		/* 32-bit addresses wrap inside such an operand, piece by piece, as the microcode likes */
		if (i.address_width == 32 &&
			(is_state_of_many_parts(i.mnemonic) || ops[0].size == 80))
			continue;
		/* of the address only; as a component bitmap it would ask for more than the guest has */
		if (plan->count == 0 && i.meta.category == ZYDIS_CATEGORY_XSAVE &&
			is_wide_state(i.mnemonic) &&
			(c->before.gpr[0] > 7 || c->before.gpr[2] != 0))
			continue;
		if (i.attributes & ZYDIS_ATTRIB_IS_RELATIVE && i.raw.imm[0].is_relative)
			aim_relative(c, r, &i, va, b);
		memcpy(out, b, 15);
		return i.length;
	}
	return 0;
}

/* ---- a case of one instruction ---- */

static uint64_t place_code(struct rng *r)
{
	switch (rng_below(r, 20)) {
	case 0:
	case 1: /* across a page boundary, or ending at it */
		return CODE_VA + 0x1000 - 1 - rng_below(r, 14);
	case 2: /* running off the last page */
		return CODE_VA + 0x3000 - 1 - rng_below(r, 14);
	case 3:
		return SMC_VA + 128 + rng_below(r, 0x1000);
	default:
		return CODE_VA + 128 + rng_below(r, 0x2d00);
	}
}

void insn_generate(struct insn_case *c, uint64_t seed, uint64_t index, enum insn_class k)
{
	static const struct insn_plan free_plan = {.index = 0xff};
	/* each of the three through the mixer: their streams must not be shifted copies of each other */
	struct rng r = {seed};
	r.s = rng_next(&r) ^ index;
	r.s = rng_next(&r) ^ (uint64_t)k;
	memset(c, 0, sizeof *c);
	c->seed = seed;
	c->index = index;
	rng_next(&r);
	if (k == CLASS_BLOCK || k == CLASS_LOOP || k == CLASS_SMC) {
		insn_generate_block(c, &r, k);
		return;
	}
	enum insn_class from = k;
	if (k == CLASS_TRAP)
		do
			from = (enum insn_class)rng_below(&r, CLASS_SINGLE_LAST);
		/* a gather may be stopped between two elements */
		while (!insn_template_count(from) || from == CLASS_MASKED);
	for (;;) {
		memset(c, 0, sizeof *c);
		c->seed = seed;
		c->index = index;
		insn_state_random(c, &r);
		c->before.rip = place_code(&r);
		c->count = 1;
		uint8_t bytes[15];
		unsigned n = insn_make(
			c, &r, insn_template_pick(from, &r), c->before.rip, &free_plan, bytes);
		if (!n)
			continue;
		memcpy(c->code, bytes, n);
		c->code_len = n;
		c->insn[0].at = 0;
		c->insn[0].len = (uint8_t)n;
		break;
	}
	c->run = rng_chance(&r, 25) ? RUN_BUDGET_1 : RUN_TO_BREAK;
	if (k == CLASS_TRAP) {
		c->run = RUN_TRAP_FLAG;
		c->before.rflags |= 0x100;
	}
}
