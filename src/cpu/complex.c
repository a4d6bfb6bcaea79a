/* SPDX-License-Identifier: MIT */
/*
 * cpu/complex.c: which instruction is executed in C, and by whom; operands and registers.
 *
 * Called by the translator (complex.h) and by the handlers in complex_*.c (complex_internal.h). The
 * table below is the one place that names the instructions. Built with general registers only.
 */
#include "cpu/complex_internal.h"

/* Strings, by opcode: Zydis gives movsd and cmpsd of SSE the same names. */
static bool is_string(const ZydisDecodedInstruction *insn)
{
	if (insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
		insn->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return false;
	return (insn->opcode >= 0xa4 && insn->opcode <= 0xa7) ||
	       (insn->opcode >= 0xaa && insn->opcode <= 0xaf);
}

static bool is_segment_register(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->reg.value >= ZYDIS_REGISTER_ES &&
	       o->reg.value <= ZYDIS_REGISTER_GS;
}

/* Instructions that are ours only with some operands. */
static complex_handler classify_by_operands(
	const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
				       ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER
			       ? complex_bit_string
			       : NULL;
	case ZYDIS_MNEMONIC_MOV:
		if (is_segment_register(&ops[0]) || is_segment_register(&ops[1]))
			return complex_segment_move;
		for (unsigned i = 0; i < 2; i++) {
			if (ops[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
				continue;
			ZydisRegister r = ops[i].reg.value;
			if ((r >= ZYDIS_REGISTER_CR0 && r <= ZYDIS_REGISTER_CR15) ||
				(r >= ZYDIS_REGISTER_DR0 && r <= ZYDIS_REGISTER_DR15))
				return complex_privileged;
			if (r >= ZYDIS_REGISTER_TR0 && r <= ZYDIS_REGISTER_TR7)
				return complex_illegal;
		}
		return NULL;
	case ZYDIS_MNEMONIC_PUSH:
		return is_segment_register(&ops[0]) ? complex_segment_push : NULL;
	case ZYDIS_MNEMONIC_POP:
		return is_segment_register(&ops[0]) ? complex_segment_pop : NULL;
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_JMP:
		return insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? complex_far_branch : NULL;
	case ZYDIS_MNEMONIC_RET:
		return insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? complex_far_return : NULL;
	default:
		return NULL;
	}
}

/* VEX-encoded gathers and masked moves; their EVEX forms are AVX-512, which is masked in CPUID. */
static complex_handler classify_vex(const ZydisDecodedInstruction *insn)
{
	if (insn->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return NULL;
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VGATHERQPD:
	case ZYDIS_MNEMONIC_VPGATHERDD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
	case ZYDIS_MNEMONIC_VPGATHERQD:
	case ZYDIS_MNEMONIC_VPGATHERQQ:
		return complex_gather;
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return complex_masked_move;
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		return complex_maskmovdqu;
	default:
		return NULL;
	}
}

static complex_handler classify_state(const ZydisDecodedInstruction *insn)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_MASKMOVDQU:
		return complex_maskmovdqu;
	case ZYDIS_MNEMONIC_MASKMOVQ:
		return complex_maskmovq;
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
		return complex_state_save;
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		return complex_state_restore;
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FNSTENV:
		return complex_x87_save;
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FLDENV:
		return complex_x87_restore;
	case ZYDIS_MNEMONIC_XGETBV:
		return complex_xgetbv;
	default:
		return NULL;
	}
}

/* The rest, by name alone; none needs regs->x. */
static complex_handler classify_scalar(const ZydisDecodedInstruction *insn)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_CMPXCHG8B:
		return complex_cmpxchg8b;
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		return complex_cmpxchg16b;
	case ZYDIS_MNEMONIC_ENTER:
		return complex_enter;
	case ZYDIS_MNEMONIC_XLAT:
		return complex_xlat;
	case ZYDIS_MNEMONIC_CPUID:
		return complex_cpuid;
	case ZYDIS_MNEMONIC_RDPID:
		return complex_rdpid;
	case ZYDIS_MNEMONIC_RDTSCP:
		return complex_rdtscp;
	case ZYDIS_MNEMONIC_RDFSBASE:
	case ZYDIS_MNEMONIC_RDGSBASE:
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
		return complex_base;
	case ZYDIS_MNEMONIC_MOVDIR64B:
		return complex_movdir64b;
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
	case ZYDIS_MNEMONIC_CLDEMOTE:
		return complex_cache_line;
	case ZYDIS_MNEMONIC_SERIALIZE:
		return complex_serialize;

	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
		return complex_descriptor_query;
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
		return complex_table_store;
	case ZYDIS_MNEMONIC_LSS:
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
		return complex_segment_load_far;
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
		return complex_iret;

	case ZYDIS_MNEMONIC_IN:
	case ZYDIS_MNEMONIC_INSB:
	case ZYDIS_MNEMONIC_INSW:
	case ZYDIS_MNEMONIC_INSD:
	case ZYDIS_MNEMONIC_OUT:
	case ZYDIS_MNEMONIC_OUTSB:
	case ZYDIS_MNEMONIC_OUTSW:
	case ZYDIS_MNEMONIC_OUTSD:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_CLTS:
	case ZYDIS_MNEMONIC_INVD:
	case ZYDIS_MNEMONIC_WBINVD:
	case ZYDIS_MNEMONIC_INVLPG:
	case ZYDIS_MNEMONIC_INVPCID:
	case ZYDIS_MNEMONIC_LGDT:
	case ZYDIS_MNEMONIC_LIDT:
	case ZYDIS_MNEMONIC_LLDT:
	case ZYDIS_MNEMONIC_LTR:
	case ZYDIS_MNEMONIC_LMSW:
	case ZYDIS_MNEMONIC_RDMSR:
	case ZYDIS_MNEMONIC_WRMSR:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_SWAPGS:
	case ZYDIS_MNEMONIC_SYSEXIT:
	case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_XSETBV:
	case ZYDIS_MNEMONIC_INT:
		return complex_privileged;

	case ZYDIS_MNEMONIC_INT1:
		return complex_unsupported;

	/* Not offered by our CPUID, or #UD in user mode. */
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_XEND:
	case ZYDIS_MNEMONIC_XABORT:
	case ZYDIS_MNEMONIC_XTEST:
	case ZYDIS_MNEMONIC_XSUSLDTRK:
	case ZYDIS_MNEMONIC_XRESLDTRK:
	case ZYDIS_MNEMONIC_XSAVES:
	case ZYDIS_MNEMONIC_XSAVES64:
	case ZYDIS_MNEMONIC_XRSTORS:
	case ZYDIS_MNEMONIC_XRSTORS64:
	case ZYDIS_MNEMONIC_RDPKRU:
	case ZYDIS_MNEMONIC_WRPKRU:
	case ZYDIS_MNEMONIC_INCSSPD:
	case ZYDIS_MNEMONIC_INCSSPQ:
	case ZYDIS_MNEMONIC_SAVEPREVSSP:
	case ZYDIS_MNEMONIC_RSTORSSP:
	case ZYDIS_MNEMONIC_WRSSD:
	case ZYDIS_MNEMONIC_WRSSQ:
	case ZYDIS_MNEMONIC_WRUSSD:
	case ZYDIS_MNEMONIC_WRUSSQ:
	case ZYDIS_MNEMONIC_SETSSBSY:
	case ZYDIS_MNEMONIC_CLRSSBSY:
	case ZYDIS_MNEMONIC_CLUI:
	case ZYDIS_MNEMONIC_STUI:
	case ZYDIS_MNEMONIC_TESTUI:
	case ZYDIS_MNEMONIC_UIRET:
	case ZYDIS_MNEMONIC_SENDUIPI:
	case ZYDIS_MNEMONIC_ENQCMD:
	case ZYDIS_MNEMONIC_ENQCMDS:
	case ZYDIS_MNEMONIC_UMONITOR:
	case ZYDIS_MNEMONIC_UMWAIT:
	case ZYDIS_MNEMONIC_TPAUSE:
	case ZYDIS_MNEMONIC_MONITOR:
	case ZYDIS_MNEMONIC_MWAIT:
	case ZYDIS_MNEMONIC_MONITORX:
	case ZYDIS_MNEMONIC_MWAITX:
	case ZYDIS_MNEMONIC_CLZERO:
	case ZYDIS_MNEMONIC_RDPRU:
	case ZYDIS_MNEMONIC_MCOMMIT:
	case ZYDIS_MNEMONIC_PTWRITE:
	case ZYDIS_MNEMONIC_PCONFIG:
	case ZYDIS_MNEMONIC_HRESET:
	case ZYDIS_MNEMONIC_CLAC:
	case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_RSM:
	case ZYDIS_MNEMONIC_GETSEC:
	case ZYDIS_MNEMONIC_ENCLS:
	case ZYDIS_MNEMONIC_ENCLU:
	case ZYDIS_MNEMONIC_ENCLV:
	case ZYDIS_MNEMONIC_VMCALL:
	case ZYDIS_MNEMONIC_VMCLEAR:
	case ZYDIS_MNEMONIC_VMFUNC:
	case ZYDIS_MNEMONIC_VMLAUNCH:
	case ZYDIS_MNEMONIC_VMRESUME:
	case ZYDIS_MNEMONIC_VMPTRLD:
	case ZYDIS_MNEMONIC_VMPTRST:
	case ZYDIS_MNEMONIC_VMREAD:
	case ZYDIS_MNEMONIC_VMWRITE:
	case ZYDIS_MNEMONIC_VMXON:
	case ZYDIS_MNEMONIC_VMXOFF:
	case ZYDIS_MNEMONIC_INVEPT:
	case ZYDIS_MNEMONIC_INVVPID:
	case ZYDIS_MNEMONIC_SEAMCALL:
	case ZYDIS_MNEMONIC_SEAMOPS:
	case ZYDIS_MNEMONIC_SEAMRET:
	case ZYDIS_MNEMONIC_TDCALL:
	case ZYDIS_MNEMONIC_VMRUN:
	case ZYDIS_MNEMONIC_VMLOAD:
	case ZYDIS_MNEMONIC_VMSAVE:
	case ZYDIS_MNEMONIC_VMMCALL:
	case ZYDIS_MNEMONIC_STGI:
	case ZYDIS_MNEMONIC_CLGI:
	case ZYDIS_MNEMONIC_SKINIT:
	case ZYDIS_MNEMONIC_INVLPGA:
	case ZYDIS_MNEMONIC_INVLPGB:
	case ZYDIS_MNEMONIC_TLBSYNC:
	case ZYDIS_MNEMONIC_PVALIDATE:
	case ZYDIS_MNEMONIC_RMPADJUST:
	case ZYDIS_MNEMONIC_RMPUPDATE:
	case ZYDIS_MNEMONIC_LLWPCB:
	case ZYDIS_MNEMONIC_SLWPCB:
	case ZYDIS_MNEMONIC_LWPINS:
	case ZYDIS_MNEMONIC_LWPVAL:
	case ZYDIS_MNEMONIC_LOADIWKEY:
	case ZYDIS_MNEMONIC_ENCODEKEY128:
	case ZYDIS_MNEMONIC_ENCODEKEY256:
	case ZYDIS_MNEMONIC_AESENC128KL:
	case ZYDIS_MNEMONIC_AESENC256KL:
	case ZYDIS_MNEMONIC_AESDEC128KL:
	case ZYDIS_MNEMONIC_AESDEC256KL:
	case ZYDIS_MNEMONIC_AESENCWIDE128KL:
	case ZYDIS_MNEMONIC_AESENCWIDE256KL:
	case ZYDIS_MNEMONIC_AESDECWIDE128KL:
	case ZYDIS_MNEMONIC_AESDECWIDE256KL:
	case ZYDIS_MNEMONIC_LDTILECFG:
	case ZYDIS_MNEMONIC_STTILECFG:
	case ZYDIS_MNEMONIC_TILELOADD:
	case ZYDIS_MNEMONIC_TILELOADDT1:
	case ZYDIS_MNEMONIC_TILESTORED:
	case ZYDIS_MNEMONIC_TILEZERO:
	case ZYDIS_MNEMONIC_TILERELEASE:
	case ZYDIS_MNEMONIC_TDPBF16PS:
	case ZYDIS_MNEMONIC_TDPBSSD:
	case ZYDIS_MNEMONIC_TDPBSUD:
	case ZYDIS_MNEMONIC_TDPBUSD:
	case ZYDIS_MNEMONIC_TDPBUUD:
	case ZYDIS_MNEMONIC_XSTORE:
	case ZYDIS_MNEMONIC_XCRYPT_ECB:
	case ZYDIS_MNEMONIC_XCRYPT_CBC:
	case ZYDIS_MNEMONIC_XCRYPT_CTR:
	case ZYDIS_MNEMONIC_XCRYPT_CFB:
	case ZYDIS_MNEMONIC_XCRYPT_OFB:
	case ZYDIS_MNEMONIC_XSHA1:
	case ZYDIS_MNEMONIC_XSHA256:
	case ZYDIS_MNEMONIC_MONTMUL:
		return complex_illegal;
	default:
		return insn->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ? complex_privileged : NULL;
	}
}

/* The bit of CPUID that offers an instruction; leaf 0: part of every x86-64. */
struct offer {
	uint32_t leaf, sub;
	unsigned word, bit; /* of eax, ebx, ecx, edx */
};

static struct offer offer_of(ZydisMnemonic m)
{
	enum { EAX, EBX, ECX, EDX };
	switch (m) {
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		return (struct offer){1, 0, ECX, 13};
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		return (struct offer){1, 0, ECX, 28};
	case ZYDIS_MNEMONIC_RDFSBASE:
	case ZYDIS_MNEMONIC_RDGSBASE:
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
		return (struct offer){7, 0, EBX, 0};
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VGATHERQPD:
	case ZYDIS_MNEMONIC_VPGATHERDD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
	case ZYDIS_MNEMONIC_VPGATHERQD:
	case ZYDIS_MNEMONIC_VPGATHERQQ:
		return (struct offer){7, 0, EBX, 5};
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
		return (struct offer){7, 0, EBX, 23};
	case ZYDIS_MNEMONIC_CLWB:
		return (struct offer){7, 0, EBX, 24};
	case ZYDIS_MNEMONIC_RDPID:
		return (struct offer){7, 0, ECX, 22};
	case ZYDIS_MNEMONIC_MOVDIR64B:
		return (struct offer){7, 0, ECX, 28};
	case ZYDIS_MNEMONIC_SERIALIZE:
		return (struct offer){7, 0, EDX, 14};
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
		return (struct offer){0xd, 1, EAX, 0};
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
		return (struct offer){0xd, 1, EAX, 1};
	case ZYDIS_MNEMONIC_RDTSCP:
		return (struct offer){0x80000001, 0, EDX, 27};
	default:
		return (struct offer){0, 0, 0, 0};
	}
}

bool complex_is_offered(ZydisMnemonic m)
{
	struct offer o = offer_of(m);
	uint32_t out[4];
	if (o.leaf == 0)
		return true;
	pg_cpu_guest_cpuid(o.leaf, o.sub, out);
	return out[o.word] >> o.bit & 1;
}

static complex_handler classify(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops)
{
	if (is_string(insn))
		return complex_string;
	complex_handler run = classify_by_operands(insn, ops);
	if (!run)
		run = classify_vex(insn);
	if (!run)
		run = classify_state(insn);
	return run ? run : classify_scalar(insn);
}

bool pg_complex_is(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops)
{
	return classify(insn, ops) != NULL;
}

enum pg_complex_result pg_complex_run(struct pg_cpu_regs *regs, const struct pg_access_port *port,
	const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops)
{
	struct complex_op op = {regs, port, insn, ops, regs->rip + insn->length, false};
	complex_handler run = classify(insn, ops);
	PG_ASSERT(run);
	if (!complex_is_offered(insn->mnemonic))
		return PG_COMPLEX_ILLEGAL;
	enum pg_complex_result result = run(&op);
	if (result == PG_COMPLEX_DONE && !op.jumped)
		regs->rip = op.next_rip;
	return result;
}

/* Operands. */

uint64_t complex_segment_base(const struct pg_cpu_regs *regs, ZydisRegister segment)
{
	if (segment == ZYDIS_REGISTER_FS)
		return regs->fs_base;
	return segment == ZYDIS_REGISTER_GS ? regs->gs_base : 0;
}

/* See pg_operands_repair(). */
static bool is_misread_sib(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && insn->raw.sib.offset != 0 &&
	       insn->raw.modrm.mod == 0 && insn->raw.sib.base == 5;
}

void pg_operands_repair(const ZydisDecodedInstruction *insn, ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < insn->operand_count; i++) {
		if (!is_misread_sib(insn, &ops[i]))
			continue;
		ops[i].mem.base = ZYDIS_REGISTER_NONE;
		ops[i].mem.disp.has_displacement = true;
		ops[i].mem.disp.value = insn->raw.disp.value;
	}
}

pg_va pg_operand_address(const struct pg_cpu_regs *regs, const ZydisDecodedInstruction *insn,
	const ZydisDecodedOperand *op, uint64_t next_rip)
{
	uint64_t a = (uint64_t)op->mem.disp.value;
	if (is_misread_sib(insn, op))
		a = (uint64_t)insn->raw.disp.value;
	else if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP)
		a += next_rip;
	else if (op->mem.base != ZYDIS_REGISTER_NONE)
		a += pg_gpr_get(regs, op->mem.base);
	if (op->mem.index != ZYDIS_REGISTER_NONE && op->mem.type != ZYDIS_MEMOP_TYPE_VSIB)
		a += pg_gpr_get(regs, op->mem.index) * op->mem.scale;
	if (insn->address_width == 32)
		a = (uint32_t)a;
	return (pg_va){a + complex_segment_base(regs, op->mem.segment)};
}

enum pg_complex_result pg_operand_fault(const ZydisDecodedOperand *op)
{
	return op->mem.segment == ZYDIS_REGISTER_SS ? PG_COMPLEX_SS : PG_COMPLEX_GP;
}

/* A general register: its number in gpr[], the place and the width of its bits there. */
struct gpr_place {
	unsigned number, shift, bits;
};

/* Zydis numbers each width in encoding order, the bytes with ah .. bh between bl and spl. */
static struct gpr_place place_of(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return (struct gpr_place){(unsigned)(r - ZYDIS_REGISTER_RAX), 0, 64};
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return (struct gpr_place){(unsigned)(r - ZYDIS_REGISTER_EAX), 0, 32};
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return (struct gpr_place){(unsigned)(r - ZYDIS_REGISTER_AX), 0, 16};
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return (struct gpr_place){(unsigned)(r - ZYDIS_REGISTER_AL), 0, 8};
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return (struct gpr_place){(unsigned)(r - ZYDIS_REGISTER_AH), 8, 8};
	PG_ASSERT(r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B);
	return (struct gpr_place){(unsigned)(r - ZYDIS_REGISTER_SPL) + 4, 0, 8};
}

static uint64_t low_bits(unsigned bits)
{
	return bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

uint64_t pg_gpr_get(const struct pg_cpu_regs *regs, ZydisRegister r)
{
	struct gpr_place p = place_of(r);
	return (regs->gpr[p.number] >> p.shift) & low_bits(p.bits);
}

void complex_gpr_merge(struct pg_cpu_regs *regs, ZydisRegister r, uint64_t v)
{
	struct gpr_place p = place_of(r);
	uint64_t mask = low_bits(p.bits) << p.shift;
	regs->gpr[p.number] = (regs->gpr[p.number] & ~mask) | ((v << p.shift) & mask);
}

void pg_gpr_set(struct pg_cpu_regs *regs, ZydisRegister r, uint64_t v)
{
	struct gpr_place p = place_of(r);
	if (p.bits == 32)
		regs->gpr[p.number] = (uint32_t)v;
	else
		complex_gpr_merge(regs, r, v);
}

const ZydisDecodedOperand *complex_memory_operand(const struct complex_op *op)
{
	for (unsigned i = 0; i < op->insn->operand_count; i++)
		if (op->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &op->ops[i];
	return NULL;
}

pg_va complex_address(const struct complex_op *op, const ZydisDecodedOperand *mem)
{
	return pg_operand_address(op->regs, op->insn, mem, op->next_rip);
}

/* Access. */

enum pg_complex_result complex_resolve(struct complex_op *op, pg_va a, unsigned n, bool read,
	bool write, struct complex_access *out)
{
	if (!pg_va_is_canonical(a, n))
		return PG_COMPLEX_GP;
	if (a.v + n - 1 < a.v) /* from the kernel's half to page 0: its first byte is refused */
		n = (unsigned)-a.v;
	int r = op->port->resolve(op->port->ctx, a, n, read, write, out->frag, &out->frags);
	if (r != 0)
		return r > 0 ? PG_COMPLEX_AGAIN : PG_COMPLEX_FAULT;
	return PG_COMPLEX_DONE;
}

/* memcpy() of libc may use vector registers. */
static void copy(void *dst, const void *src, uint64_t n)
{
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}

void complex_copy_out(const struct complex_access *acc, void *dst)
{
	copy(dst, acc->frag[0].host, acc->frag[0].n);
	if (acc->frags == 2)
		copy((uint8_t *)dst + acc->frag[0].n, acc->frag[1].host, acc->frag[1].n);
}

void complex_copy_in(const struct complex_access *acc, const void *src)
{
	copy(acc->frag[0].host, src, acc->frag[0].n);
	if (acc->frags == 2)
		copy(acc->frag[1].host, (const uint8_t *)src + acc->frag[0].n, acc->frag[1].n);
}

enum pg_complex_result complex_load(struct complex_op *op, pg_va a, void *dst, unsigned n)
{
	struct complex_access acc;
	enum pg_complex_result r;
	do
		r = complex_resolve(op, a, n, true, false, &acc);
	while (r == PG_COMPLEX_AGAIN);
	if (r != PG_COMPLEX_DONE)
		return r;
	complex_copy_out(&acc, dst);
	op->port->count(op->port->ctx, 1, 0, 0);
	return PG_COMPLEX_DONE;
}

enum pg_complex_result complex_store(struct complex_op *op, pg_va a, const void *src, unsigned n)
{
	struct complex_access acc;
	enum pg_complex_result r;
	do
		r = complex_resolve(op, a, n, false, true, &acc);
	while (r == PG_COMPLEX_AGAIN);
	if (r != PG_COMPLEX_DONE)
		return r;
	complex_copy_in(&acc, src);
	op->port->count(op->port->ctx, 0, 1, 0);
	return PG_COMPLEX_DONE;
}
