/* SPDX-License-Identifier: MIT */
/*
 * cpu/complex_system.c: segments, descriptor tables, far transfers, and what user mode may not do.
 *
 * Called by complex.c. The guest's segments are those that Linux gives a 64-bit program: cs 0x33,
 * ss 0x2b, and null in ds, es, fs and gs, whose bases are in struct pg_cpu_regs. They cannot be
 * changed to other selectors: what would be valid on Linux but is not modelled (ds = 0x2b, 32-bit
 * code) is PG_COMPLEX_UNSUPPORTED, what faults there faults here.
 *
 * The tables of the host's kernel are not shown: sgdt, sidt, sldt, str and smsw answer what Linux
 * answers where the processor has UMIP (arch/x86/kernel/umip.c of Linux 5.10 and later gives the
 * same constants).
 *
 * Built with general registers only. Source: Intel SDM vol. 2 and vol. 3, 3.4, 5.8.
 */
#include "cpu/complex_internal.h"

#define SELECTOR_CS 0x33u
#define SELECTOR_SS 0x2bu
#define SELECTOR_CS32 0x23u
#define SELECTOR_RPL 3u
/* The limit of this segment holds the processor's number: Linux's way of telling it to user mode
 * (vgetcpu). */
#define SELECTOR_CPU 0x7bu

/* What sgdt, sidt, smsw and str say; Linux, arch/x86/kernel/umip.c. */
#define DUMMY_GDT_BASE 0xfffffffffffe0000u
#define DUMMY_IDT_BASE 0xffffffffffff0000u
#define DUMMY_CR0 0x80050033u
#define DUMMY_TSS 0x40u

static uint16_t selector_of(ZydisRegister segment)
{
	if (segment == ZYDIS_REGISTER_CS)
		return SELECTOR_CS;
	return segment == ZYDIS_REGISTER_SS ? SELECTOR_SS : 0;
}

/* lar without its result: is the selector one that user mode may name? */
static bool selector_exists(uint16_t selector)
{
	uint64_t rights;
	bool zf;
	__asm__("lar %[sel], %[rights]"
		: [rights] "=r"(rights), "=@ccz"(zf)
		: [sel] "r"((uint64_t)selector));
	return zf;
}

/* A data segment register is loaded: null clears the base of fs and gs, and what it holds already
 * is no change. */
static enum pg_complex_result load_segment(
	struct complex_op *op, ZydisRegister segment, uint16_t selector)
{
	if (segment == ZYDIS_REGISTER_CS)
		return PG_COMPLEX_ILLEGAL;
	if (selector == selector_of(segment)) {
		if (segment == ZYDIS_REGISTER_FS)
			op->regs->fs_base = 0;
		else if (segment == ZYDIS_REGISTER_GS)
			op->regs->gs_base = 0;
		return PG_COMPLEX_DONE;
	}
	if (segment == ZYDIS_REGISTER_SS && selector <= SELECTOR_RPL)
		return PG_COMPLEX_GP;
	return selector <= SELECTOR_RPL || selector_exists(selector) ? PG_COMPLEX_UNSUPPORTED
								     : PG_COMPLEX_GP;
}

enum pg_complex_result complex_segment_move(struct complex_op *op)
{
	const ZydisDecodedOperand *to = &op->ops[0], *from = &op->ops[1];
	uint16_t selector;
	if (to->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		selector = selector_of(from->reg.value);
		return complex_as_operand(
			complex_store(op, complex_address(op, to), &selector, 2), to);
	}
	if (from->type == ZYDIS_OPERAND_TYPE_REGISTER && from->reg.value >= ZYDIS_REGISTER_ES &&
		from->reg.value <= ZYDIS_REGISTER_GS) {
		pg_gpr_set(op->regs, to->reg.value, selector_of(from->reg.value));
		return PG_COMPLEX_DONE;
	}
	if (to->reg.value == ZYDIS_REGISTER_CS)
		return PG_COMPLEX_ILLEGAL;
	if (from->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		enum pg_complex_result r =
			complex_load(op, complex_address(op, from), &selector, 2);
		if (r != PG_COMPLEX_DONE)
			return complex_as_operand(r, from);
	} else {
		selector = (uint16_t)pg_gpr_get(op->regs, from->reg.value);
	}
	return load_segment(op, to->reg.value, selector);
}

enum pg_complex_result complex_segment_push(struct complex_op *op)
{
	unsigned size = op->insn->operand_width / 8u;
	uint64_t v = selector_of(op->ops[0].reg.value);
	uint64_t rsp = op->regs->gpr[PG_RSP] - size;
	enum pg_complex_result r = complex_store(op, (pg_va){rsp}, &v, size);
	if (r != PG_COMPLEX_DONE)
		return r == PG_COMPLEX_GP ? PG_COMPLEX_SS : r;
	op->regs->gpr[PG_RSP] = rsp;
	return PG_COMPLEX_DONE;
}

enum pg_complex_result complex_segment_pop(struct complex_op *op)
{
	unsigned size = op->insn->operand_width / 8u;
	uint64_t v = 0;
	/* of the word on the stack only the selector is read */
	enum pg_complex_result r = complex_load(op, (pg_va){op->regs->gpr[PG_RSP]}, &v, 2);
	if (r != PG_COMPLEX_DONE)
		return r == PG_COMPLEX_GP ? PG_COMPLEX_SS : r;
	r = load_segment(op, op->ops[0].reg.value, (uint16_t)v);
	if (r == PG_COMPLEX_DONE)
		op->regs->gpr[PG_RSP] += size;
	return r;
}

/* A far pointer in memory: the offset, then the selector, two loads as on hardware. */
static enum pg_complex_result load_far_pointer(
	struct complex_op *op, const ZydisDecodedOperand *mem, uint64_t *offset, uint16_t *selector)
{
	unsigned size = op->insn->operand_width / 8u;
	uint64_t base = complex_segment_base(op->regs, mem->mem.segment);
	uint64_t ea = complex_address(op, mem).v - base;
	*offset = 0;
	*selector = 0;
	enum pg_complex_result r = complex_load(op, (pg_va){base + ea}, offset, size);
	ea += size;
	if (op->insn->address_width == 32)
		ea = (uint32_t)ea;
	if (r == PG_COMPLEX_DONE)
		r = complex_load(op, (pg_va){base + ea}, selector, 2);
	return complex_as_operand(r, mem);
}

/* lss, lfs, lgs: a pointer and its selector from memory. */
enum pg_complex_result complex_segment_load_far(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = complex_memory_operand(op);
	uint64_t offset;
	uint16_t selector;
	ZydisRegister segment = op->insn->mnemonic == ZYDIS_MNEMONIC_LSS   ? ZYDIS_REGISTER_SS
				: op->insn->mnemonic == ZYDIS_MNEMONIC_LFS ? ZYDIS_REGISTER_FS
									   : ZYDIS_REGISTER_GS;
	enum pg_complex_result r = load_far_pointer(op, mem, &offset, &selector);
	if (r != PG_COMPLEX_DONE)
		return r;
	r = load_segment(op, segment, selector);
	if (r == PG_COMPLEX_DONE)
		pg_gpr_set(op->regs, op->ops[0].reg.value, offset);
	return r;
}

/*
 * lar, lsl, verr, verw: asked of the host's descriptors, which are Linux's as the guest expects
 * them; but the number of the processor is 0.
 */
enum pg_complex_result complex_descriptor_query(struct complex_op *op)
{
	bool one_operand = op->insn->mnemonic == ZYDIS_MNEMONIC_VERR ||
			   op->insn->mnemonic == ZYDIS_MNEMONIC_VERW;
	const ZydisDecodedOperand *from = &op->ops[one_operand ? 0 : 1];
	uint16_t word;
	if (from->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		enum pg_complex_result r = complex_load(op, complex_address(op, from), &word, 2);
		if (r != PG_COMPLEX_DONE)
			return complex_as_operand(r, from);
	} else {
		word = (uint16_t)pg_gpr_get(op->regs, from->reg.value);
	}

	uint64_t selector = word, result = 0;
	bool zf;
	switch (op->insn->mnemonic) {
	case ZYDIS_MNEMONIC_VERR:
		__asm__("verr %w[sel]" : "=@ccz"(zf) : [sel] "r"(selector));
		break;
	case ZYDIS_MNEMONIC_VERW:
		__asm__("verw %w[sel]" : "=@ccz"(zf) : [sel] "r"(selector));
		break;
	case ZYDIS_MNEMONIC_LAR:
		__asm__("larl %k[sel], %k[res]"
			: [res] "+r"(result), "=@ccz"(zf)
			: [sel] "r"(selector));
		break;
	default:
		__asm__("lsll %k[sel], %k[res]"
			: [res] "+r"(result), "=@ccz"(zf)
			: [sel] "r"(selector));
		if (zf && selector == SELECTOR_CPU)
			result = 0;
		break;
	}
	if (zf && !one_operand)
		pg_gpr_set(op->regs, op->ops[0].reg.value, result);
	op->regs->rflags = (op->regs->rflags & ~FLAG_ZF) | (zf ? FLAG_ZF : 0);
	return PG_COMPLEX_DONE;
}

/* A register operand gets as many bytes as its width and keeps the others; memory gets two, or a
 * limit and a base. */
enum pg_complex_result complex_table_store(struct complex_op *op)
{
	const ZydisDecodedOperand *to = &op->ops[0];
	uint8_t bytes[10] = {0};
	unsigned n = 2;
	uint64_t v = 0;
	switch (op->insn->mnemonic) {
	case ZYDIS_MNEMONIC_SGDT:
		v = DUMMY_GDT_BASE;
		n = 10;
		break;
	case ZYDIS_MNEMONIC_SIDT:
		v = DUMMY_IDT_BASE;
		n = 10;
		break;
	case ZYDIS_MNEMONIC_STR:
		v = DUMMY_TSS;
		break;
	case ZYDIS_MNEMONIC_SMSW:
		v = DUMMY_CR0;
		break;
	default: /* sldt: there is no local descriptor table */
		break;
	}
	if (to->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		complex_gpr_merge(op->regs, to->reg.value, v);
		return PG_COMPLEX_DONE;
	}
	if (n == 10) /* the limit, before the base, is 0 */
		__builtin_memcpy(bytes + 2, &v, 8);
	else
		__builtin_memcpy(bytes, &v, 2);
	return complex_as_operand(complex_store(op, complex_address(op, to), bytes, n), to);
}

/* Far transfers within 64-bit user code; a 32-bit code segment is not modelled. */
static enum pg_complex_result check_far_target(uint16_t cs, uint64_t rip)
{
	if (cs != SELECTOR_CS)
		return cs == SELECTOR_CS32 ? PG_COMPLEX_UNSUPPORTED : PG_COMPLEX_GP;
	return pg_va_is_canonical((pg_va){rip}, 1) ? PG_COMPLEX_DONE : PG_COMPLEX_GP;
}

/* Loads word number i of operand size from the stack; of a selector's word only the selector is
 * read. */
static enum pg_complex_result load_stack(
	struct complex_op *op, unsigned i, bool selector, uint64_t *out)
{
	unsigned size = op->insn->operand_width / 8u;
	*out = 0;
	enum pg_complex_result r = complex_load(
		op, (pg_va){op->regs->gpr[PG_RSP] + (uint64_t)i * size}, out, selector ? 2 : size);
	return r == PG_COMPLEX_GP ? PG_COMPLEX_SS : r;
}

/* The flags that iret changes for good at privilege 3: not IF, IOPL, VM, VIF, VIP; RF lasts for one
 * instruction only. */
#define IRET_FLAGS                                                                                 \
	(FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT | (uint64_t)1 << 18 | (uint64_t)1 << 21)

/* The frame is rip, cs, flags, rsp, ss; the processor reads its parts, and checks cs, in the order
 * below. */
enum pg_complex_result complex_iret(struct complex_op *op)
{
	uint64_t rip, cs, flags, rsp, ss;
	enum pg_complex_result r;
	if (op->regs->rflags & FLAG_NT) /* a task return, which 64-bit mode does not have */
		return PG_COMPLEX_GP;
	if ((r = load_stack(op, 2, false, &flags)) != PG_COMPLEX_DONE ||
		(r = load_stack(op, 1, true, &cs)) != PG_COMPLEX_DONE ||
		(r = load_stack(op, 0, false, &rip)) != PG_COMPLEX_DONE)
		return r;
	if ((r = check_far_target((uint16_t)cs, rip)) != PG_COMPLEX_DONE)
		return r;
	if ((r = load_stack(op, 4, true, &ss)) != PG_COMPLEX_DONE ||
		(r = load_stack(op, 3, false, &rsp)) != PG_COMPLEX_DONE)
		return r;
	if ((uint16_t)ss != SELECTOR_SS)
		return selector_exists((uint16_t)ss) ? PG_COMPLEX_UNSUPPORTED : PG_COMPLEX_GP;
	uint64_t changed = op->insn->operand_width == 16 ? IRET_FLAGS & 0xffff : IRET_FLAGS;
	op->regs->rflags = (op->regs->rflags & ~changed) | (flags & changed);
	op->regs->gpr[PG_RSP] = rsp;
	op->regs->rip = rip;
	op->jumped = true;
	return PG_COMPLEX_DONE;
}

/* The frame is rip, cs; cs is read first. */
enum pg_complex_result complex_far_return(struct complex_op *op)
{
	unsigned size = op->insn->operand_width / 8u;
	uint64_t rip, cs;
	uint64_t extra = op->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE
				 ? op->ops[0].imm.value.u & 0xffff
				 : 0;
	enum pg_complex_result r;
	if ((r = load_stack(op, 1, true, &cs)) != PG_COMPLEX_DONE ||
		(r = load_stack(op, 0, false, &rip)) != PG_COMPLEX_DONE)
		return r;
	if ((r = check_far_target((uint16_t)cs, rip)) != PG_COMPLEX_DONE)
		return r;
	op->regs->gpr[PG_RSP] += 2 * size + extra;
	op->regs->rip = rip;
	op->jumped = true;
	return PG_COMPLEX_DONE;
}

/* call and jmp through a far pointer in memory. */
enum pg_complex_result complex_far_branch(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = &op->ops[0];
	unsigned size = op->insn->operand_width / 8u;
	uint64_t rip;
	uint16_t cs;
	enum pg_complex_result r = load_far_pointer(op, mem, &rip, &cs);
	if (r != PG_COMPLEX_DONE)
		return r;
	r = check_far_target(cs, rip);
	if (r != PG_COMPLEX_DONE)
		return r;
	if (op->insn->mnemonic == ZYDIS_MNEMONIC_CALL) {
		uint64_t rsp = op->regs->gpr[PG_RSP], own_cs = SELECTOR_CS;
		r = complex_store(op, (pg_va){rsp - size}, &own_cs, size);
		if (r == PG_COMPLEX_DONE)
			r = complex_store(
				op, (pg_va){rsp - 2 * (uint64_t)size}, &op->next_rip, size);
		if (r != PG_COMPLEX_DONE)
			return r == PG_COMPLEX_GP ? PG_COMPLEX_SS : r;
		op->regs->gpr[PG_RSP] = rsp - 2 * (uint64_t)size;
	}
	op->regs->rip = rip;
	op->jumped = true;
	return PG_COMPLEX_DONE;
}

/*
 * Privileged instructions, and software interrupts: only vector 3 has a gate for user mode that
 * leads back here; vector 0x80 is the 32-bit system call, which this machine does not have.
 */
enum pg_complex_result complex_privileged(struct complex_op *op)
{
	if (op->insn->mnemonic == ZYDIS_MNEMONIC_INT) {
		uint64_t vector = op->ops[0].imm.value.u & 0xff;
		if (vector == 3) {
			op->regs->rip = op->next_rip;
			return PG_COMPLEX_BREAKPOINT;
		}
		if (vector == 0x80)
			return PG_COMPLEX_UNSUPPORTED;
	}
	return PG_COMPLEX_GP;
}

enum pg_complex_result complex_illegal(struct complex_op *op)
{
	(void)op;
	return PG_COMPLEX_ILLEGAL;
}

enum pg_complex_result complex_unsupported(struct complex_op *op)
{
	(void)op;
	return PG_COMPLEX_UNSUPPORTED;
}
