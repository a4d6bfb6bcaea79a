/* SPDX-License-Identifier: MIT */
/*
 * cpu/decode.c: reading a run of guest instructions: classes, operands, liveness of flags.
 *
 * Called by translate.c. Zydis decodes what forms.c does not know yet; nothing is emitted here.
 *
 * Liveness has two strengths. `hard`: an instruction of this block reads the flag before it is overwritten. `soft`: only
 * what follows the block might. A check that would destroy hard flags preserves them around itself; soft ones are saved
 * once to memory instead (enum pg_flags_at). An instruction that overwrites only some of the live flags
 * makes the others hard: they must be in EFLAGS where it executes.
 *
 * Where Zydis calls a flag undefined it counts as changed but not as overwritten (the hardware may keep it), except where
 * the hardware is known to give a value that depends on the operands only.
 */
#include "cpu/forms.h"
#include "cpu/translate.h"

static uint32_t arithmetic(ZydisAccessedFlagsMask m)
{
	return (uint32_t)m & FL_ALL;
}

/* Bit r set for the stolen guest registers, whatever their width. */
static uint16_t stolen_bit(ZydisRegister r)
{
	unsigned n = pg_gpr_of(r);
	return pg_is_stolen(n) ? (uint16_t)(1u << n) : 0;
}

/* Do all widths of a register that this instruction writes get replaced whole, whatever its inputs? */
static bool writes_whole(const struct pg_insn *in, const ZydisDecodedOperand *op)
{
	if (op->actions & (ZYDIS_OPERAND_ACTION_MASK_READ | ZYDIS_OPERAND_ACTION_CONDWRITE) ||
		op->size < 32)
		return false;
	switch (in->zi.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_MOVD:
	case ZYDIS_MNEMONIC_MOVQ:
		return true;
	default:
		return false;
	}
}

static void find_registers(struct pg_insn *in)
{
	for (unsigned i = 0; i < in->zi.operand_count; i++) {
		const ZydisDecodedOperand *op = &in->ops[i];
		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		unsigned r = pg_gpr_of(op->reg.value);
		if (r != H_NONE && (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			in->written_gprs |= (uint16_t)(1u << r);
		uint16_t bit = stolen_bit(op->reg.value);
		if (!bit)
			continue;
		if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			in->stolen_out |= bit;
		if (!writes_whole(in, op))
			in->stolen_in |= bit;
	}
}

static bool shift_by_nothing_known(const struct pg_insn *in, bool *rotate)
{
	switch (in->zi.mnemonic) {
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_RCL:
	case ZYDIS_MNEMONIC_RCR:
		*rotate = true;
		return true;
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		*rotate = false;
		return true;
	default:
		return false;
	}
}

static void find_flags(struct pg_insn *in)
{
	const ZydisAccessedFlags *f = in->zi.cpu_flags;
	if (!f)
		return;
	uint32_t undefined = arithmetic(f->undefined);
	in->tested = arithmetic(f->tested);
	in->killed = arithmetic(f->modified) | arithmetic(f->set_0) | arithmetic(f->set_1);
	in->written = in->killed | undefined;
	in->killed &= ~undefined;
	/* What user mode may not do traps with the flags as they were. */
	if (in->zi.meta.category == ZYDIS_CATEGORY_SYSTEM ||
		in->zi.meta.category == ZYDIS_CATEGORY_SYSRET ||
		(in->zi.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)) {
		in->tested = FL_ALL;
		in->killed = 0;
		return;
	}
	bool rotate;
	if (shift_by_nothing_known(in, &rotate)) {
		/* The count is the last explicit operand: an immediate that is not zero, or anything. */
		const ZydisDecodedOperand *count = &in->ops[in->zi.operand_count_visible - 1];
		unsigned mask = in->zi.operand_width == 64 ? 63 : 31;
		bool certain = count->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
			       (count->imm.value.u & mask) != 0;
		if (in->zi.mnemonic == ZYDIS_MNEMONIC_RCL || in->zi.mnemonic == ZYDIS_MNEMONIC_RCR)
			in->tested |= FL_CF;
		if (!certain)
			in->killed = 0;
		else if (!rotate && in->zi.mnemonic != ZYDIS_MNEMONIC_SHLD &&
			 in->zi.mnemonic != ZYDIS_MNEMONIC_SHRD && in->zi.operand_width >= 32)
			in->killed = FL_ALL;
		return;
	}
	switch (in->zi.mnemonic) {
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_TEST:
		in->killed = FL_ALL;
		break;
	default:
		break;
	}
	/* A string instruction under rep may do nothing at all. */
	if (in->zi.attributes &
		(ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
		in->killed = 0;
}

static void stop(struct pg_insn *in, enum pg_exit why)
{
	in->kind = K_STOP;
	in->stop = (uint8_t)why;
	in->tested = FL_ALL;
}

static bool is_memory(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY;
}

/* The classes that the translator treats by name. True: classified. */
static bool classify_named(struct pg_insn *in)
{
	const ZydisDecodedInstruction *zi = &in->zi;
	bool far_branch = zi->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
	bool segment_operand =
		in->ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		ZydisRegisterGetClass(in->ops[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHW:
	case ZYDIS_MNEMONIC_PREFETCHWT1:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
		in->kind = K_NOTHING;
		return true;
	case ZYDIS_MNEMONIC_LEA:
		in->kind = K_LEA;
		return true;
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
		if (segment_operand)
			return false;
		in->kind = zi->mnemonic == ZYDIS_MNEMONIC_PUSH ? K_PUSH : K_POP;
		in->loads = zi->mnemonic == ZYDIS_MNEMONIC_POP || in->mem >= 0;
		in->stores = zi->mnemonic == ZYDIS_MNEMONIC_PUSH || in->mem >= 0;
		in->lookups = (uint8_t)(in->loads + in->stores);
		return true;
	case ZYDIS_MNEMONIC_LEAVE:
		in->kind = K_LEAVE;
		in->loads = in->lookups = 1;
		return true;
	case ZYDIS_MNEMONIC_CALL:
		if (far_branch)
			return false;
		in->kind = in->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? K_CALL : K_CALL_IND;
		in->loads = in->mem >= 0;
		in->stores = 1;
		in->lookups = (uint8_t)(1 + in->loads);
		return true;
	case ZYDIS_MNEMONIC_JMP:
		if (far_branch)
			return false;
		in->kind = in->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? K_JMP : K_JMP_IND;
		in->loads = in->lookups = in->mem >= 0;
		return true;
	case ZYDIS_MNEMONIC_RET:
		if (far_branch)
			return false;
		in->kind = K_RET;
		in->loads = in->lookups = 1;
		return true;
	case ZYDIS_MNEMONIC_JRCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
		in->kind = K_LOOP;
		return true;
	case ZYDIS_MNEMONIC_SYSCALL:
		in->kind = K_SYSCALL;
		in->tested = FL_ALL;
		return true;
	case ZYDIS_MNEMONIC_STD:
	case ZYDIS_MNEMONIC_CLD:
		in->kind = K_SET_DF;
		return true;
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFQ:
		in->kind = K_PUSHF;
		in->tested = FL_ALL;
		return true;
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFQ:
		in->kind = K_POPF;
		in->tested = in->written = FL_ALL;
		in->killed = 0;
		return true;
	case ZYDIS_MNEMONIC_INT3:
		stop(in, PG_EXIT_BREAKPOINT);
		return true;
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
		stop(in, PG_EXIT_ILLEGAL);
		return true;
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		in->kind = K_MEM;
		return true;
	default:
		break;
	}
	if (zi->meta.category == ZYDIS_CATEGORY_COND_BR && zi->mnemonic != ZYDIS_MNEMONIC_XBEGIN) {
		in->kind = K_JCC;
		return true;
	}
	return false;
}

static void classify(struct pg_insn *in)
{
	const ZydisDecodedInstruction *zi = &in->zi;
	in->mem = -1;
	pg_operands_repair(zi, in->ops);
	for (unsigned i = 0; i < zi->operand_count_visible; i++) {
		if (is_memory(&in->ops[i]))
			in->mem = (int8_t)i;
	}
	find_registers(in);
	find_flags(in);
	if (zi->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
		zi->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX) {
		stop(in, PG_EXIT_UNSUPPORTED);
		return;
	}
	if (!classify_named(in)) {
		if (pg_complex_is(zi, in->ops)) {
			in->kind = K_COMPLEX;
			if (in->written) { /* flags are exact there, whatever becomes of it */
				in->tested = FL_ALL;
				in->killed = 0;
			}
			return;
		}
		if (in->mem < 0) {
			/* Hidden memory operands belong to instructions that are executed in C. */
			for (unsigned i = zi->operand_count_visible; i < zi->operand_count; i++) {
				if (is_memory(&in->ops[i])) {
					stop(in, PG_EXIT_UNSUPPORTED);
					return;
				}
			}
			in->kind = K_COPY;
			return;
		}
		in->kind = K_MEM;
	}
	if (in->kind != K_MEM)
		return;
	const ZydisDecodedOperand *op = &in->ops[in->mem];
	in->size = op->size / 8;
	in->reads = op->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	in->writes = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	if (op->encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64) {
		in->kind = K_MOFFS;
	} else if (op->mem.type != ZYDIS_MEMOP_TYPE_MEM || in->size == 0 || in->size > 64 ||
		   op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM ||
		   zi->meta.category == ZYDIS_CATEGORY_AMX_TILE || (!in->reads && !in->writes)) {
		stop(in, PG_EXIT_UNSUPPORTED);
		return;
	}
	in->loads = in->reads;
	in->stores = in->writes;
	in->lookups = 1;
}

/* May control go on to the next instruction within a block? */
static bool ends_run(const struct pg_insn *in)
{
	switch (in->kind) {
	case K_JMP:
	case K_CALL:
	case K_JMP_IND:
	case K_CALL_IND:
	case K_RET:
	case K_SYSCALL:
	case K_STOP:
	case K_POPF:
		return true;
	default:
		return false;
	}
}

/*
 * Decodes the instruction at rip, of which `avail` bytes are at hand. False: more bytes are needed (avail < 15 and the
 * instruction goes on); an invalid one becomes a K_STOP.
 */
static bool decode_one(struct pg_translator *tr, uint64_t rip, const uint8_t *bytes, unsigned avail,
	struct pg_insn *in)
{
	unsigned n = avail < 15 ? avail : 15;
	bool rotate;
	in->rip = rip;
	if (pg_form_find(tr->forms, bytes, n, in)) {
		if (shift_by_nothing_known(in, &rotate))
			find_flags(in);
		return true;
	}
	memset(in, 0, offsetof(struct pg_insn, zi));
	in->rip = rip;
	memcpy(in->bytes, bytes, n);
	ZyanStatus s = ZydisDecoderDecodeFull(&tr->e->decoder, bytes, n, &in->zi, in->ops);
	if (ZYAN_SUCCESS(s)) {
		in->length = in->zi.length;
		classify(in);
		pg_form_keep(tr->forms, in);
		return true;
	}
	if (s == ZYDIS_STATUS_NO_MORE_DATA && n < 15)
		return false;
	in->mem = -1;
	in->length = (uint8_t)n;
	memset(&in->zi, 0, sizeof(in->zi));
	stop(in, s == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || s == ZYDIS_STATUS_NO_MORE_DATA
			 ? PG_EXIT_GP
			 : PG_EXIT_ILLEGAL);
	return true;
}

/* Translations of p depend on its bytes [from, to). A temporary block is gone before anyone could change them. */
static void mark_used(
	const struct pg_translator *tr, struct pg_code_page *p, uint32_t from, uint32_t to)
{
	if (tr->temporary)
		return;
	for (uint32_t i = from; i < to && i < PG_PAGE_SIZE; i++)
		p->used[i >> 6] |= (uint64_t)1 << (i & 63);
}

/*
 * Which flags the code at `target` may want, judged by its first instructions if it lies in the page being translated
 * (whose bytes then count as used); everything otherwise.
 */
static uint32_t wanted_at(struct pg_translator *tr, uint64_t target)
{
	if (target >> PG_PAGE_SHIFT != tr->page->vpn || tr->page2)
		return FL_ALL;
	static const unsigned look_ahead = 5;
	uint32_t want = FL_ALL;
	struct pg_insn in;
	for (unsigned i = 0; i < look_ahead && want; i++) {
		uint32_t off = target & PG_PAGE_MASK;
		if (!decode_one(
			    tr, target, tr->page->copy + off, (unsigned)PG_PAGE_SIZE - off, &in))
			return FL_ALL;
		mark_used(tr, tr->page, off, off + in.length);
		if (in.tested & want || (in.written && in.written & ~in.killed & want))
			return FL_ALL;
		want &= ~in.killed;
		if (want && (ends_run(&in) || in.kind == K_JCC || in.kind == K_COMPLEX))
			return FL_ALL;
		target += in.length;
		if (target >> PG_PAGE_SHIFT != tr->page->vpn)
			return want ? FL_ALL : 0;
	}
	return want ? FL_ALL : 0;
}

static void find_liveness(struct pg_translator *tr)
{
	struct pg_insn *last = &tr->insn[tr->n - 1];
	uint32_t hard = 0, soft = FL_ALL;
	if (last->kind == K_JMP || last->kind == K_CALL)
		soft = wanted_at(tr, pg_branch_target(last));
	else if (!ends_run(last))
		soft = wanted_at(tr, last->rip + last->length);
	for (unsigned i = tr->n; i-- > 0;) {
		struct pg_insn *in = &tr->insn[i];
		if (in->kind == K_JCC || in->kind == K_LOOP)
			soft |= wanted_at(tr, pg_branch_target(in)) & ~hard;
		if (tr->e->config.precise_flags)
			soft = FL_ALL & ~hard;
		uint32_t pass = (hard | soft) & ~in->killed;
		hard &= ~in->killed;
		soft &= ~in->killed;
		if (in->written)
			hard |= pass;
		hard |= in->tested;
		soft &= ~hard;
		in->hard = hard;
		in->soft = tr->e->config.precise_flags ? FL_ALL & ~hard : soft;
	}
}

unsigned pg_decode_run(struct pg_translator *tr, uint64_t rip, unsigned limit)
{
	struct pg_code_page *p = tr->page;
	uint32_t off = rip & PG_PAGE_MASK;
	tr->n = 0;
	if (tr->page2) {
		/* An instruction across two pages: a run of its own. */
		uint8_t both[15];
		unsigned head = (unsigned)PG_PAGE_SIZE - off;
		memcpy(both, p->copy + off, head);
		memcpy(both + head, tr->page2->copy, 15 - head);
		decode_one(tr, rip, both, 15, &tr->insn[0]);
		mark_used(tr, p, off, (uint32_t)PG_PAGE_SIZE);
		mark_used(tr, tr->page2, 0, tr->insn[0].length - head);
		tr->n = 1;
		find_liveness(tr);
		return 1;
	}
	if (limit > PG_BLOCK_INSNS)
		limit = PG_BLOCK_INSNS;
	while (tr->n < limit && off < PG_PAGE_SIZE) {
		struct pg_insn *in = &tr->insn[tr->n];
		if (!decode_one(tr, rip, p->copy + off, (unsigned)PG_PAGE_SIZE - off, in))
			break; /* lies across the page's end: not in this run */
		mark_used(tr, p, off, off + in->length);
		tr->n++;
		off += in->length;
		rip += in->length;
		if (ends_run(in))
			break;
	}
	if (tr->n)
		find_liveness(tr);
	return tr->n;
}
