/* SPDX-License-Identifier: MIT */
/*
 * cpu/access.c: emitting data accesses: the address, the inline check, the redirected operation.
 *
 * Called by translate.c for each instruction that touches memory by an operand of its own.
 *
 * Exact mode. The check of struct pg_tlb_fast (mmu/tlb.h) decides, and nothing more: the access itself goes by the guest's own
 * operand, modulo 2^32, to the CPU's view of its memory at GS (view.c), which has the page's frame there if the check passes. So
 * nothing waits for the check but what the host's processor foresaw of it:
 *
 *     lea  SA, [operand]
 *     rorx SB, SA, 7; and SB, (sets - 1) << 5          the set's mirror
 *     add  SA, gs:[SB + neg]                           offset in the page, if it is that page
 *     cmp  SA, 4096 - size; ja cold                    another page, or beyond the end of this one
 *     op   gs:[operand], with an address-size prefix
 *
 * An address that the instruction names needs no sum: its set is known, and that it does not cross the page; the rest of the page's
 * number is half of the tag:
 *
 *     cmp  dword gs:[tag of the set + 2], imm32; jne cold
 *     op   gs:[operand], with an address-size prefix
 *
 * An operand that is not made of registers in their own places (stolen ones, fs and gs) is computed into SA, and stays there:
 *
 *     mov SB, gs:[SB + neg]; add SB, SA; cmp SB, 4096 - size; ja cold
 *     op  gs:[SA], with an address-size prefix
 *
 * Each checked operation is in the cold code once more, as `op gs:[SA]` with a 64-bit address: for the bytes of a frame that the view
 * does not show, and for those of the bounce buffer when an access crosses pages (run.c, slow.c).
 *
 * Fast mode. The guest's address space is mapped at GS; see fast.c:
 *
 *     lea   SA, [operand]
 *     shrx  SC, SA, SB; movzx SC, byte gs:[SC + probe] a wild address traps here (SB holds the shift)
 *     op    gs:[SA]
 *
 * in the window at host address 0 without GS.
 */
#include "cpu/fast.h"
#include "cpu/rewrite.h"
#include "cpu/translate.h"

static bool is_gpr(ZydisRegister r)
{
	ZydisRegisterClass c = ZydisRegisterGetClass(r);
	return c == ZYDIS_REGCLASS_GPR8 || c == ZYDIS_REGCLASS_GPR16 || c == ZYDIS_REGCLASS_GPR32 ||
	       c == ZYDIS_REGCLASS_GPR64;
}

void pg_operand_set(struct pg_translator *tr, unsigned base, unsigned index, unsigned scale,
	int64_t disp, bool keep)
{
	tr->op_base = base;
	tr->op_index = index;
	tr->op_scale = scale;
	tr->disp = (int32_t)disp;
	tr->keep = keep;
	bool own = base != SA && base != H_NONE;
	tr->op_good = own && (tr->probed >> base & 1);
	tr->op_probe = base;
	tr->op_probe_disp = own ? (int32_t)disp : 0;
	tr->op_marks = (uint16_t)(own ? 1u << base : 0);
}

/* ah, ch, dh, bh: 0 .. 3 for the register they are part of; -1 for all others. */
static int high_byte_of(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH ? (int)(r - ZYDIS_REGISTER_AH) : -1;
}

/*
 * Fast mode: an operand made of registers, as it is if they are in their own places, and how it is probed. False: it is made otherwise.
 */
static bool emit_own_operand(struct pg_translator *tr, const struct pg_insn *in,
	const ZydisDecodedOperand *op, int32_t rsp_adjust)
{
	const ZydisDecodedOperandMem *mem = &op->mem;
	int64_t disp = mem->disp.has_displacement ? mem->disp.value : 0;
	unsigned base = mem->base != ZYDIS_REGISTER_NONE ? pg_gpr_of(mem->base) : H_NONE;
	unsigned index = mem->index != ZYDIS_REGISTER_NONE ? pg_gpr_of(mem->index) : H_NONE;
	unsigned scale = mem->scale ? mem->scale : 1;
	if (in->zi.address_width != 64 || mem->segment == ZYDIS_REGISTER_GS ||
		(base == H_NONE && mem->base != ZYDIS_REGISTER_NONE))
		return false;
	if (mem->segment == ZYDIS_REGISTER_FS) {
		/* as long as fs_base is wild instructions are executed one by one: run.c */
		if (base != H_NONE || index != H_NONE || tr->temporary || disp < -PG_FAST_DISP ||
			disp > INT32_MAX)
			return false;
		e_gs_load(pg_tr_out(tr), SA, ST(regs.fs_base));
		pg_operand_set(tr, SA, H_NONE, 1, disp, true);
		tr->op_good = true;
		return true;
	}
	if (base == H_RSP)
		disp += rsp_adjust;
	bool good = pg_fast_reaches(tr, base, index, disp);
	if (index == H_NONE && base != H_NONE && disp >= -PG_FAST_DISP && disp <= PG_FAST_DISP) {
		unsigned at = pg_is_stolen(base) ? SA : base;
		if (pg_is_stolen(base))
			pg_emit_guest(tr, SA, base);
		pg_operand_set(tr, at, H_NONE, 1, disp, at == SA);
		tr->op_good = good;
		tr->op_probe_disp = (int32_t)disp;
		tr->op_marks = (uint16_t)(1u << base);
		return true;
	}
	if ((base == H_NONE && index == H_NONE) || pg_is_stolen(base) || pg_is_stolen(index))
		return false;
	if (!good)
		e_lea(pg_tr_out(tr), SA, base, index, scale, (int32_t)disp);
	pg_operand_set(tr, base, index, scale, disp, false);
	tr->op_good = good;
	tr->op_probe = SA;
	tr->op_probe_disp = 0;
	tr->op_marks = 0;
	return true;
}

bool pg_emit_address(
	struct pg_translator *tr, const struct pg_insn *in, int32_t rsp_adjust, uint64_t *constant)
{
	const ZydisDecodedOperand *op = &in->ops[in->mem];
	struct pg_emit *m = pg_tr_out(tr);
	const ZydisDecodedOperandMem *mem = &op->mem;
	bool narrow = in->zi.address_width == 32;
	unsigned second = pg_tr_fast(tr) ? SC : SB; /* SB holds a constant in fast mode */
	bool segment = mem->segment == ZYDIS_REGISTER_FS || mem->segment == ZYDIS_REGISTER_GS;
	int32_t seg_disp = mem->segment == ZYDIS_REGISTER_FS ? ST(regs.fs_base) : ST(regs.gs_base);
	int64_t disp = mem->disp.has_displacement ? mem->disp.value : 0;
	/* May the operation have the guest's operand, two prefixes and a SIB byte longer, perhaps a byte of VEX? */
	bool direct = !pg_tr_fast(tr) && !narrow && !segment && in->length <= 11;

	pg_operand_default(tr);
	if (pg_tr_fast(tr) && emit_own_operand(tr, in, op, rsp_adjust))
		return false;
	if (mem->base == ZYDIS_REGISTER_RIP || mem->base == ZYDIS_REGISTER_EIP ||
		(mem->base == ZYDIS_REGISTER_NONE && mem->index == ZYDIS_REGISTER_NONE)) {
		uint64_t a = (uint64_t)disp;
		if (mem->base != ZYDIS_REGISTER_NONE)
			a += in->rip + in->length;
		if (narrow)
			a = (uint32_t)a;
		if (!segment) {
			*constant = a;
			/* Both do without SA: pg_emit_check as long as `keep` is not set. */
			if (pg_tr_fast(tr) ? a <= INT32_MAX : in->length <= 11)
				pg_operand_set(tr, H_NONE, H_NONE, 1, (int32_t)(uint32_t)a, false);
			else
				e_mov_imm(m, SA, a);
			return true;
		}
		if ((int64_t)a == (int32_t)a) {
			e_gs_load(m, SA, seg_disp);
			if (a)
				e_lea(m, SA, SA, H_NONE, 1, (int32_t)a);
		} else {
			e_mov_imm(m, SA, a);
			e_gs_load(m, second, seg_disp);
			e_lea(m, SA, SA, second, 1, 0);
		}
		return false;
	}

	unsigned base = H_NONE, index = H_NONE, guest_base = H_NONE, guest_index = H_NONE;
	if (mem->base != ZYDIS_REGISTER_NONE) {
		base = guest_base = pg_gpr_of(mem->base);
		if (base == H_RSP)
			disp += rsp_adjust;
		if (pg_is_stolen(base)) {
			pg_emit_guest(tr, SA, base);
			base = SA;
			direct = false;
		}
	}
	if (mem->index != ZYDIS_REGISTER_NONE) {
		index = guest_index = pg_gpr_of(mem->index);
		if (pg_is_stolen(index)) {
			pg_emit_guest(tr, second, index);
			index = second;
			direct = false;
		}
	}
	if (direct)
		pg_operand_set(tr, base, index, mem->scale ? mem->scale : 1, disp, false);
	if (narrow) /* lea r9d: the sum wrapped at 32 bits */
		e_op_mem32(m, 0x8d, SA, base, index, mem->scale, (int32_t)disp);
	else if (index == H_NONE && disp == 0 && base != SA)
		e_mov_rr(m, SA, base);
	else if (!(index == H_NONE && disp == 0))
		e_lea(m, SA, base, index, mem->scale, (int32_t)disp);
	if (segment) {
		e_gs_load(m, second, seg_disp);
		e_lea(m, SA, SA, second, 1, 0);
	} else if (pg_tr_fast(tr) && !narrow) { /* of stolen registers, perhaps with others */
		tr->op_good = pg_fast_reaches(tr, guest_base, guest_index, disp);
	}
	return false;
}

bool pg_emit_stack_address(struct pg_translator *tr, const struct pg_insn *in, int32_t disp)
{
	if (pg_emit_group_address(tr, in)) {
		if (!tr->keep)
			pg_operand_set(tr, H_RSP, H_NONE, 1, disp, false);
		return true;
	}
	pg_operand_set(tr, H_RSP, H_NONE, 1, disp, false);
	if (pg_tr_fast(tr))
		return false;
	if (disp)
		e_lea(pg_tr_out(tr), SA, H_RSP, H_NONE, 1, disp);
	else
		e_mov_rr(pg_tr_out(tr), SA, H_RSP);
	return false;
}

bool pg_emit_group_address(struct pg_translator *tr, const struct pg_insn *in)
{
	if (in->group == GROUP_NONE || tr->ungrouped)
		return false;
	pg_operand_set(
		tr, SA, H_NONE, 1, in->group_off, pg_is_stolen(in->group_base) || pg_tr_fast(tr));
	if (in->group == GROUP_FIRST) {
		unsigned base = in->group_base;
		tr->op_marks = (uint16_t)(1u << base);
		tr->op_good = tr->probed >> base & 1;
		if (pg_is_stolen(base)) {
			e_gs_load(pg_tr_out(tr), SA, ST_GPR(base));
			base = SA;
		}
		if (base != SA || in->group_low)
			e_lea(pg_tr_out(tr), SA, base, H_NONE, 1, in->group_low);
	}
	return true;
}

struct pg_emit *pg_emit_pass(struct pg_translator *tr, unsigned n)
{
	return n == 0 ? pg_tr_out(tr) : n == 1 && tr->alt.p ? &tr->alt : NULL;
}

static void emit_flags_away(struct pg_translator *tr)
{
	struct pg_emit *m = pg_tr_out(tr);
	e_gs_store(m, H_RAX, ST(tmp_rax));
	ebytes(m, (const uint8_t[]){0x9f, 0x0f, 0x90, 0xc0}, 4); /* lahf; seto al */
}

static void emit_flags_back(struct pg_emit *m)
{
	ebytes(m, (const uint8_t[]){0x04, 0x7f, 0x9e}, 3); /* add al, 127; sahf */
	e_gs_load(m, H_RAX, ST(tmp_rax));
}

/* Must the operand be aligned to its size? Intel SDM vol. 2, 2.4, and the unaligned moves by name. */
static bool wants_alignment(const struct pg_insn *in)
{
	switch (in->zi.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE1:
	case ZYDIS_EXCEPTION_CLASS_AVX1:
		return true;
	default:
		break;
	}
	if (in->zi.mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B ||
		in->zi.mnemonic == ZYDIS_MNEMONIC_CVTPD2PI ||
		in->zi.mnemonic == ZYDIS_MNEMONIC_CVTTPD2PI)
		return true;
	switch (in->zi.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE4:
		break;
	default:
		return false;
	}
	if (in->size != 16 || in->zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	switch (in->zi.mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return false;
	default:
		return true;
	}
}

/* Does a pending x87 exception come before the access? Intel SDM vol. 3, 23.3: with x87 and MMX instructions. */
static bool waits_for_x87(const struct pg_insn *in)
{
	for (unsigned i = 0; i < in->zi.operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &in->ops[i];
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
			ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_MMX)
			return true;
	}
	return in->zi.meta.category == ZYDIS_CATEGORY_X87_ALU &&
	       in->zi.mnemonic != ZYDIS_MNEMONIC_FNSTCW && in->zi.mnemonic != ZYDIS_MNEMONIC_FNSTSW;
}

/* The place of the mirror of an address's set. */
static int32_t set_offset(const struct pg_engine *e, uint64_t a)
{
	return (int32_t)((a >> PG_PAGE_SHIFT) & (e->sets_d - 1)) *
	       (int32_t)sizeof(struct pg_tlb_fast);
}

/*
 * May bits 16..47 of the mirror's tag alone be compared? The set says what bits 12..15 are then, no tag has others but those that
 * allow nothing (struct pg_tlb_fast), whose bits 16..47 are all 0 or all 1, and all bytes lie in the page.
 */
static bool is_known_page(const struct pg_engine *e, uint64_t a, unsigned size)
{
	return e->sets_d >= 16 && a >> 47 == 0 && a >= 0x20000 &&
	       (a & PG_PAGE_MASK) + size <= PG_PAGE_SIZE;
}

/* cmp dword gs:[tag + 2], imm32; jne: the check of site `index` for an address of is_known_page(). */
static void emit_known_page(struct pg_translator *tr, uint32_t index, uint64_t a)
{
	struct pg_engine *e = tr->e;
	struct pg_emit *m = pg_tr_out(tr);
	int32_t tag = pg_tag_at(e, pg_site_at(e, index)->access == PG_WRITE) + set_offset(e, a);
	e8(m, 0x65);
	e8(m, 0x81);
	e_mem(m, 7, H_NONE, H_NONE, 1, tag + 2);
	e32(m, (uint32_t)(-(a & ~(uint64_t)PG_PAGE_MASK) >> 16));
	pg_cold_access(tr, e_jcc(m, CC_NE, NULL), index, COLD_KNOWN, tag);
	tr->cold[tr->n_cold - 1].address = a;
}

/* The check of site `index`, its address in SA; constant: known besides. */
static void emit_compare(struct pg_translator *tr, uint32_t index, const uint64_t *constant)
{
	struct pg_engine *e = tr->e;
	struct pg_emit *m = pg_tr_out(tr);
	const struct pg_site *s = pg_site_at(e, index);
	int32_t tag = pg_tag_at(e, s->access == PG_WRITE);
	bool indexed = false, keep = tr->keep;
	if (constant && *constant >> 47 == 0) {
		tag += set_offset(e, *constant);
	} else if (e->sets_d > 1) {
		indexed = true;
		pg_emit_set(e, m, SB, SA);
	} else {
		/* No entry of a single set is unusable for all addresses: see struct pg_tlb_fast. */
		keep = true;
		e_mov_rr(m, SB, SA);
		ebytes(m, (const uint8_t[]){0x49, 0xc1, 0xea, 47}, 4); /* shr r10, 47 */
		pg_cold_access(tr, e_jcc(m, CC_NE, NULL), index, COLD_KEPT, tag);
	}
	unsigned sum = keep ? SB : SA;
	if (keep && indexed)
		e_op_gs_index(m, 0x8b, SB, SB, tag);
	else if (keep)
		e_gs_load(m, SB, tag);
	if (keep)
		ebytes(m, (const uint8_t[]){0x4d, 0x01, 0xca}, 3); /* add r10, r9 */
	else if (indexed)
		e_op_gs_index(m, 0x03, SA, SB, tag);
	else
		e_gs_op(m, 0x03, SA, tag);
	e_cmp_imm(m, sum, (uint32_t)PG_PAGE_SIZE - s->size);
	uint8_t *at = e_jcc(m, CC_A, NULL);
	pg_cold_access(tr, at, index,
		keep      ? indexed ? COLD_KEPT_INDEXED : COLD_KEPT
		: indexed ? COLD_ADDED_INDEXED
			  : COLD_ADDED,
		tag);
}

struct pg_site *pg_emit_check(struct pg_translator *tr, struct pg_insn *in, unsigned nth,
	unsigned size, enum pg_access access, const uint64_t *constant)
{
	struct pg_engine *e = tr->e;
	struct pg_emit *m = pg_tr_out(tr);
	uint32_t index;
	if (in->group == GROUP_MEMBER && !tr->ungrouped)
		return NULL;
	if (pg_tr_fast(tr) && (constant ? *constant < PG_FAST_TOP : tr->op_good))
		return NULL;
	struct pg_site *s = pg_vec_add(&e->sites, sizeof(*s), &index);
	memset(s, 0, sizeof(*s));
	s->block = tr->block;
	s->row = (uint8_t)(tr->b->n_rows - 1);
	s->nth = (uint8_t)nth;
	s->size = (uint16_t)size;
	s->access = (uint8_t)access;
	s->fragment = PG_NIL;
	/* Is this the instruction's operand, or the stack access of push, pop, call, ret or leave? */
	bool operand = in->kind == K_MEM || in->kind == K_MOFFS || in->kind == K_JMP_IND ||
		       (access == PG_READ ? in->kind == K_CALL_IND || in->kind == K_PUSH
					  : in->kind == K_POP);
	s->x87 = waits_for_x87(in);
	s->aligned = in->kind == K_MEM && wants_alignment(in);
	s->stack = !operand || in->ops[in->mem].mem.segment == ZYDIS_REGISTER_SS;
	if (!tr->ungrouped) {
		s->until = in->until;
		s->open = in->n_open > 0;
	}
	if (in->group == GROUP_FIRST && !tr->ungrouped) {
		s->group_last = in->group_last;
		s->first_access = (uint8_t)access;
		s->first_off = (uint16_t)in->group_off;
		s->first_size = (uint16_t)size;
		s->align = in->group_align;
		s->size = in->group_span;
		size = in->group_span;
		access = in->group_store ? PG_WRITE : PG_READ;
		s->access = (uint8_t)access;
	}
	if (pg_tr_fast(tr)) {
		pg_fast_probe(tr, tr->op_probe);
		s->fast_base = (uint8_t)tr->op_probe;
		s->fast_disp = tr->op_probe_disp;
		tr->probed |= tr->op_marks;
		s->resume = m->p;
		return s;
	}

	bool known = constant && !tr->keep && is_known_page(e, *constant, size);
	if (constant && !tr->keep && !known)
		e_mov_imm(m, SA, *constant);
	if (in->hard)
		emit_flags_away(tr);
	else if (in->soft)
		pg_emit_save_flags(tr);
	s->flags = (uint8_t)(in->hard ? FLAGS_RAX : in->soft ? FLAGS_MEM : FLAGS_DEAD);

	if (known)
		emit_known_page(tr, index, *constant);
	else
		emit_compare(tr, index, constant);
	s->resume = m->p;
	s->alt = e->cold.p;
	tr->alt = (struct pg_emit){tr->alt_bytes, tr->alt_bytes + sizeof(tr->alt_bytes), false};
	if (in->hard) {
		emit_flags_back(m);
		emit_flags_back(&tr->alt);
	}
	return s;
}

/* to = set * 32: bits 12.. of the address brought to bit 5. */
void pg_emit_set(struct pg_engine *e, struct pg_emit *m, unsigned to, unsigned address)
{
	PG_ASSERT(to >= 8 && address >= 8);
	if (e->bmi2) {
		ebytes(m, (const uint8_t[]){0xc4, 0x43, 0xfb, 0xf0}, 4); /* rorx to, address, 7 */
		e8(m, 0xc0 | (to & 7) << 3 | (address & 7));
		e8(m, 7);
	} else {
		if (to != address)
			e_mov_rr(m, to, address);
		ebytes(m, (const uint8_t[]){0x49, 0xc1, (uint8_t)(0xe8 | (to & 7)), 7},
			4); /* shr to, 7 */
	}
	pg_emit_mask_set(e, m, to);
}

void pg_emit_mask_set(struct pg_engine *e, struct pg_emit *m, unsigned set)
{
	ebytes(m, (const uint8_t[]){0x41, 0x81, (uint8_t)(0xe0 | (set & 7))},
		3); /* and set, imm32 */
	e32(m, (e->sets_d - 1) << 5);
}

void pg_emit_check_end(struct pg_translator *tr, struct pg_site *s)
{
	struct pg_emit *cold = &tr->e->cold;
	if (!tr->alt.p)
		return;
	PG_ASSERT(!tr->alt.full);
	s->alt_len = (uint16_t)(tr->alt.p - tr->alt_bytes);
	ebytes(cold, tr->alt_bytes, s->alt_len);
	e_jmp(cold, pg_tr_out(tr)->p);
	tr->alt.p = NULL;
}

static void emit_operand(struct pg_translator *tr, unsigned opcode, unsigned reg, bool wide,
	unsigned prefix, uint32_t imm, unsigned imm_bytes)
{
	struct pg_emit *m;
	for (unsigned n = 0; (m = pg_emit_pass(tr, n)) != NULL; n++) {
		unsigned base = n ? SA : tr->op_base, index = n ? H_NONE : tr->op_index;
		if (!tr->e->plain)
			e8(m, 0x65);
		if (n == 0 && !pg_tr_fast(tr))
			e8(m, 0x67);
		if (prefix)
			e8(m, prefix);
		e8(m, e_rex(wide, reg, index, base));
		e8(m, opcode);
		e_mem(m, reg, base, index, tr->op_scale, n ? 0 : tr->disp);
		for (unsigned i = 0; i < imm_bytes; i++)
			e8(m, imm >> 8 * i & 255);
	}
}

void pg_emit_operand(
	struct pg_translator *tr, unsigned opcode, unsigned reg, bool wide, unsigned prefix)
{
	emit_operand(tr, opcode, reg, wide, prefix, 0, 0);
}

void pg_emit_store_imm(struct pg_translator *tr, uint32_t imm, bool narrow)
{
	emit_operand(tr, 0xc7, 0, !narrow, narrow ? 0x66 : 0, imm, narrow ? 2 : 4);
}

/* Exchanges low and high byte of rax, rcx, rdx or rbx (0 .. 3): flags untouched. */
static void emit_swap_bytes(struct pg_emit *m, int r)
{
	e8(m, 0x86);
	e8(m, (unsigned)(0xc0 | r << 3 | (r + 4)));
}

/* How registers of the copy differ, because its registers are stolen or have no name beside REX. */
struct operand_plan {
	struct pg_rewrite w;
	unsigned from[2], to[2], n; /* stolen guest registers and where they are put */
	int high;                   /* the register to swap bytes of, or -1 */
};

static bool plan_registers(struct pg_translator *tr, struct pg_insn *in, struct operand_plan *p)
{
	memset(p, 0, sizeof(*p));
	p->high = -1;
	p->w.reg = p->w.vvvv = REG_KEEP;
	uint16_t both = in->stolen_in | in->stolen_out;
	for (unsigned r = SA; r <= SC; r++) {
		if (!(both & 1u << r))
			continue;
		if (p->n == 2)
			return false;
		p->from[p->n] = r;
		p->to[p->n] = p->n == 0 ? SC : SB;
		p->n++;
	}
	for (unsigned i = 0; i < in->zi.operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &in->ops[i];
		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !is_gpr(op->reg.value))
			continue;
		unsigned r = pg_gpr_of(op->reg.value), to = REG_KEEP;
		for (unsigned k = 0; k < p->n; k++) {
			if (p->from[k] == r)
				to = p->to[k];
		}
		int high = high_byte_of(op->reg.value);
		if (high >= 0 && op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			p->high = high;
			to = (unsigned)high;
		}
		if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG && to != REG_KEEP)
			p->w.reg = to;
		else if (op->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD && to != REG_KEEP)
			p->w.vvvv = to;
	}
	/* cmpxchg uses al besides: swapping would take it away. */
	return !(p->high == 0 && in->zi.mnemonic == ZYDIS_MNEMONIC_CMPXCHG);
}

void pg_emit_memory(struct pg_translator *tr, struct pg_insn *in)
{
	struct pg_emit *m = pg_tr_out(tr);
	struct operand_plan p;
	if (!plan_registers(tr, in, &p)) {
		in->kind = K_STOP;
		pg_emit_stop(tr, in->rip, PG_EXIT_UNSUPPORTED, false);
		return;
	}
	const ZydisDecodedOperandMem *mem = &in->ops[in->mem].mem;
	bool fast = pg_tr_fast(tr), known = false;
	uint64_t constant = 0;
	if (!pg_emit_group_address(tr, in))
		known = pg_emit_address(tr, in, 0, &constant);
	else if (!tr->keep)
		pg_operand_set(tr, in->group_base, H_NONE, 1,
			mem->disp.has_displacement ? mem->disp.value : 0, false);
	uint16_t held = pg_held(tr);
	struct pg_site *s = pg_emit_check(
		tr, in, 0, in->size, in->writes ? PG_WRITE : PG_READ, known ? &constant : NULL);
	if (s) /* SC, by a probe */
		held &= (uint16_t) ~(1u << SC);
	struct pg_emit *to;
	for (unsigned n = 0; (to = pg_emit_pass(tr, n)) != NULL; n++) {
		struct pg_rewrite w = p.w;
		w.base = n ? SA : tr->op_base;
		w.index = n ? H_NONE : tr->op_index;
		w.scale = tr->op_scale;
		w.disp = n ? 0 : tr->disp;
		w.narrow = n == 0 && !fast;
		w.plain = tr->e->plain;
		/* The guest's own registers need no REX where ah .. bh are named: these keep their names. */
		bool swap = p.high >= 0 && w.base == SA;
		if (p.high >= 0 && !swap)
			w.reg = REG_KEEP;
		for (unsigned k = 0; k < p.n; k++) {
			if ((in->stolen_in & 1u << p.from[k]) &&
				!(p.to[k] == p.from[k] && (held >> p.to[k] & 1)))
				e_gs_load(to, p.to[k], ST_GPR(p.from[k]));
		}
		if (swap) {
			emit_swap_bytes(to, p.high);
			if (n == 0)
				pg_row_at(tr->e, tr->e->rows.n - 1)->swap = (uint8_t)(p.high + 1);
		}
		if (!pg_rewrite_emit(to, &in->zi, in->bytes, &w)) {
			tr->alt.p = NULL;
			in->kind = K_STOP;
			pg_emit_stop(tr, in->rip, PG_EXIT_UNSUPPORTED, false);
			return;
		}
		if (swap)
			emit_swap_bytes(to, p.high);
	}
	pg_emit_check_end(tr, s);
	for (unsigned k = 0; k < p.n; k++) {
		if (in->stolen_out & 1u << p.from[k])
			e_gs_store(m, p.to[k], ST_GPR(p.from[k]));
	}
	if (fast && p.n == 2)
		pg_fast_restore(tr);
	if (p.n == 2)
		held = 0;
	held &= (uint16_t) ~(in->stolen_out | (p.n ? 1u << SC : 0)); /* SC: as data */
	if (p.n == 1 && p.from[0] == SC)
		held |= 1u << SC;
	pg_hold(tr, held);
}

static void load_stolen(struct pg_translator *tr, uint16_t set)
{
	for (unsigned r = SA; r <= SC; r++) {
		if (set & 1u << r)
			pg_emit_guest(tr, r, r);
	}
}

static void store_stolen(struct pg_translator *tr, uint16_t set, bool any_used)
{
	for (unsigned r = SA; r <= SC; r++) {
		if (set & 1u << r)
			e_gs_store(pg_tr_out(tr), r, ST_GPR(r));
	}
	if (any_used && pg_tr_fast(tr))
		pg_fast_restore(tr);
}

void pg_emit_copy(struct pg_translator *tr, struct pg_insn *in)
{
	/* No memory: stolen registers are brought to the host registers of their own names. */
	uint16_t used = in->stolen_in | in->stolen_out, held = pg_held(tr);
	load_stolen(tr, in->stolen_in);
	ebytes(pg_tr_out(tr), in->bytes, in->length);
	store_stolen(tr, in->stolen_out, used & 1u << SB);
	pg_hold(tr, (held | used) & ~(1u << SB));
}

void pg_emit_lea(struct pg_translator *tr, struct pg_insn *in)
{
	struct pg_emit *m = pg_tr_out(tr);
	const ZydisDecodedOperandMem *mem = &in->ops[1].mem;
	uint16_t used = in->stolen_in;
	unsigned dst = pg_gpr_of(in->ops[0].reg.value);
	if (mem->base == ZYDIS_REGISTER_RIP || mem->base == ZYDIS_REGISTER_EIP) {
		uint64_t a = in->rip + in->length + (uint64_t)mem->disp.value;
		if (in->zi.address_width == 32)
			a = (uint32_t)a;
		load_stolen(tr, used);
		if (in->zi.operand_width == 16) {
			e8(m, 0x66);
			if (dst > 7)
				e8(m, 0x41);
			e8(m, 0xb8 | (dst & 7));
			e8(m, a & 255);
			e8(m, a >> 8 & 255);
		} else {
			e_mov_imm(m, dst, in->zi.operand_width == 32 ? (uint32_t)a : a);
		}
		store_stolen(tr, in->stolen_out, in->stolen_out & 1u << SB);
		return;
	}
	if (mem->base != ZYDIS_REGISTER_NONE && pg_is_stolen(pg_gpr_of(mem->base)))
		used |= (uint16_t)(1u << pg_gpr_of(mem->base));
	if (mem->index != ZYDIS_REGISTER_NONE && pg_is_stolen(pg_gpr_of(mem->index)))
		used |= (uint16_t)(1u << pg_gpr_of(mem->index));
	uint16_t held = pg_held(tr);
	load_stolen(tr, used);
	ebytes(m, in->bytes, in->length);
	used |= in->stolen_out;
	store_stolen(tr, in->stolen_out, used & 1u << SB);
	pg_hold(tr, (held | used) & ~(1u << SB));
}

void pg_emit_moffs(struct pg_translator *tr, struct pg_insn *in)
{
	uint64_t constant = 0;
	bool known = pg_emit_address(tr, in, 0, &constant);
	struct pg_site *s = pg_emit_check(
		tr, in, 0, in->size, in->writes ? PG_WRITE : PG_READ, known ? &constant : NULL);
	unsigned opcode = in->writes ? 0x88 : 0x8a;
	if (in->size > 1)
		opcode++;
	pg_emit_operand(tr, opcode, H_RAX, in->size == 8, in->size == 2 ? 0x66 : 0);
	pg_emit_check_end(tr, s);
}

void pg_emit_register_to(struct pg_translator *tr, unsigned dst, ZydisRegister r)
{
	unsigned h = pg_gpr_of(r);
	if (pg_is_stolen(h))
		e_gs_load(pg_tr_out(tr), dst, ST_GPR(h));
	else
		e_mov_rr(pg_tr_out(tr), dst, h);
}
