/* SPDX-License-Identifier: MIT */
/*
 * cpu/complex_state.c: the xsave and fxsave families, and the x87 environment (fnsave, fnstenv,
 * frstor, fldenv).
 *
 * Called by complex.c. The host's own instruction does the work, on a copy: the host's state is set
 * aside, the guest's loaded from regs->x, the guest's instruction executed on a buffer that holds
 * the bytes of the guest's memory, and all put back, within one assembly block, so that no C code
 * runs on the guest's state. What the processor leaves unwritten, how it tracks components in use,
 * and each format are therefore the processor's. What it would refuse is checked before in C, since
 * the host must not take the guest's #GP.
 *
 * The x87 instruction and data pointers hold host addresses while copied code runs; the guest sees
 * zeros, whatever it loaded before.
 *
 * Accesses: a save or a restore of n bytes is one access; xsave and xsaveopt read the header too
 * and count as read-modify-write.
 *
 * Source: Intel SDM vol. 1, 13.7 - 13.10 and 8.1.10; vol. 2, the instructions' pages.
 */
#include <string.h>

#include "cpu/complex_image.h"
#include "cpu/complex_internal.h"

#define FXSAVE_BYTES 512u
#define XSAVE_HEADER_END 576u
#define XCOMP_COMPACT ((uint64_t)1 << 63)
#define MXCSR_MASK_DEFAULT 0xffbfu

/* A buffer for any of the formats. */
struct state_buffer {
	_Alignas(64) uint8_t bytes[IMAGE_END];
};

/*
 * Executes `instruction` on buf with the guest's state loaded, eax = rfbm & all. The state it
 * leaves goes to x if `keep`, by XSAVE: XSTATE_BV is then what the processor says is in use.
 */
#define WITH_GUEST_STATE(instruction, keep)                                                        \
	__asm__ volatile("xsave64 (%[host])\n\t"                                                   \
			 "xrstor64 (%[guest])\n\t"                                                 \
			 "movl %[rfbm], %%eax\n\t" instruction " (%[buf])\n\t"                     \
			 "movl %[all], %%eax\n\t" keep "xrstor64 (%[host])"                        \
			 : "+&a"(eax)                                                              \
			 : [host] "r"(host.bytes), [guest] "r"(x->bytes), [buf] "r"(buf->bytes),   \
			 [rfbm] "r"(rfbm), [all] "r"(all), "d"(0)                                  \
			 : "memory", "cc")
#define KEEP "xsave64 (%[guest])\n\t"
#define LEAVE ""

/* Executes the instruction of that name on buf; word: its 16-bit form (x87). x is normalised before
 * and after. */
static void host_execute(ZydisMnemonic mnemonic, bool word, struct pg_xsave *x,
	struct state_buffer *buf, uint32_t rfbm)
{
	uint32_t all = (uint32_t)pg_cpu_guest_xcr0(), eax = all;
	struct state_buffer host;
	memset(host.bytes + IMAGE_XSTATE_BV, 0, XSAVE_HEADER_END - IMAGE_XSTATE_BV);
	rfbm &= all;
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_XSAVE:
		WITH_GUEST_STATE("xsave", LEAVE);
		break;
	case ZYDIS_MNEMONIC_XSAVE64:
		WITH_GUEST_STATE("xsave64", LEAVE);
		break;
	case ZYDIS_MNEMONIC_XSAVEC:
		WITH_GUEST_STATE("xsavec", LEAVE);
		break;
	case ZYDIS_MNEMONIC_XSAVEC64:
		WITH_GUEST_STATE("xsavec64", LEAVE);
		break;
	case ZYDIS_MNEMONIC_XSAVEOPT:
		WITH_GUEST_STATE("xsaveopt", LEAVE);
		break;
	case ZYDIS_MNEMONIC_XSAVEOPT64:
		WITH_GUEST_STATE("xsaveopt64", LEAVE);
		break;
	case ZYDIS_MNEMONIC_FXSAVE:
		WITH_GUEST_STATE("fxsave", LEAVE);
		break;
	case ZYDIS_MNEMONIC_FXSAVE64:
		WITH_GUEST_STATE("fxsave64", LEAVE);
		break;
	case ZYDIS_MNEMONIC_XRSTOR:
		WITH_GUEST_STATE("xrstor", KEEP);
		break;
	case ZYDIS_MNEMONIC_XRSTOR64:
		WITH_GUEST_STATE("xrstor64", KEEP);
		break;
	case ZYDIS_MNEMONIC_FXRSTOR:
		WITH_GUEST_STATE("fxrstor", KEEP);
		break;
	case ZYDIS_MNEMONIC_FXRSTOR64:
		WITH_GUEST_STATE("fxrstor64", KEEP);
		break;
	case ZYDIS_MNEMONIC_FNSAVE:
		if (word)
			WITH_GUEST_STATE(".byte 0x66\n\tfnsave", KEEP);
		else
			WITH_GUEST_STATE("fnsave", KEEP);
		break;
	case ZYDIS_MNEMONIC_FNSTENV:
		if (word)
			WITH_GUEST_STATE(".byte 0x66\n\tfnstenv", KEEP);
		else
			WITH_GUEST_STATE("fnstenv", KEEP);
		break;
	case ZYDIS_MNEMONIC_FRSTOR:
		if (word)
			WITH_GUEST_STATE(".byte 0x66\n\tfrstor", KEEP);
		else
			WITH_GUEST_STATE("frstor", KEEP);
		break;
	default:
		PG_ASSERT(mnemonic == ZYDIS_MNEMONIC_FLDENV);
		if (word)
			WITH_GUEST_STATE(".byte 0x66\n\tfldenv", KEEP);
		else
			WITH_GUEST_STATE("fldenv", KEEP);
		break;
	}
	image_normalise(x);
}

/* The bits of MXCSR that this processor has. */
static uint32_t mxcsr_mask(void)
{
	struct state_buffer buf;
	uint32_t mask;
	memset(buf.bytes, 0, FXSAVE_BYTES);
	__asm__ volatile("fxsave64 (%0)" : : "r"(buf.bytes) : "memory");
	memcpy(&mask, buf.bytes + IMAGE_MXCSR + 4, 4);
	return mask ? mask : MXCSR_MASK_DEFAULT;
}

static bool mxcsr_is_valid(const struct state_buffer *buf)
{
	uint32_t v;
	memcpy(&v, buf->bytes + IMAGE_MXCSR, 4);
	return (v & ~mxcsr_mask()) == 0;
}

static bool is_fx(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_FXSAVE || m == ZYDIS_MNEMONIC_FXSAVE64 ||
	       m == ZYDIS_MNEMONIC_FXRSTOR || m == ZYDIS_MNEMONIC_FXRSTOR64;
}

static bool is_xsavec(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_XSAVEC || m == ZYDIS_MNEMONIC_XSAVEC64;
}

static uint64_t requested(const struct complex_op *op)
{
	uint64_t edx_eax = (uint32_t)op->regs->gpr[PG_RAX] | op->regs->gpr[PG_RDX] << 32;
	return edx_eax & pg_cpu_guest_xcr0();
}

/*
 * An area of n bytes that runs over 4 GiB under an address-size prefix goes on at offset 0 of the segment, as the processor
 * reaches it piece by piece. There is nothing mapped there but with a base in fs or gs, which is not done: DONE when it does not
 * wrap, else how it ends.
 */
static enum pg_complex_result check_wrap(
	struct complex_op *op, const ZydisDecodedOperand *mem, unsigned n, bool write)
{
	uint64_t base = complex_segment_base(op->regs, mem->mem.segment);
	uint64_t ea = complex_address(op, mem).v - base;
	if (op->insn->address_width != 32 || ea + n <= (uint64_t)1 << 32)
		return PG_COMPLEX_DONE;
	unsigned first = (unsigned)(((uint64_t)1 << 32) - ea);
	struct complex_access acc;
	enum pg_complex_result r;
	do {
		r = complex_resolve(op, (pg_va){base + ea}, first, !write, write, &acc);
		if (r == PG_COMPLEX_DONE)
			r = complex_resolve(op, (pg_va){base}, n - first, !write, write, &acc);
	} while (r == PG_COMPLEX_AGAIN);
	return r == PG_COMPLEX_DONE ? PG_COMPLEX_UNSUPPORTED : complex_as_operand(r, mem);
}

/* #GP for an operand that is not canonical or not aligned. */
static enum pg_complex_result check_operand(
	const ZydisDecodedOperand *mem, pg_va a, unsigned n, unsigned align)
{
	if (!pg_va_is_canonical(a, n))
		return pg_operand_fault(mem);
	return a.v & (align - 1) ? PG_COMPLEX_GP : PG_COMPLEX_DONE;
}

/*
 * What is accessed of an area, [start, end): all that the requested components may take, whether
 * they are in their initial state or not (the processor may leave out such parts); only the header
 * when none is requested.
 */
struct area {
	unsigned start, end;
};

static struct area area_of(ZydisMnemonic m, uint64_t rfbm)
{
	if (is_fx(m))
		return (struct area){0, FXSAVE_BYTES};
	return (struct area){
		rfbm ? 0 : IMAGE_XSTATE_BV, rfbm & IMAGE_YMM ? IMAGE_END : XSAVE_HEADER_END};
}

/*
 * The processor probes the end of an area that it will write before its beginning: where both pages refuse, the fault is
 * the second one's. Called when the first has refused; leaves the port with the fault to be told.
 */
static void probe_second_page(struct complex_op *op, pg_va a, unsigned n, bool reads)
{
	uint64_t second = pg_align_up(a.v + 1, PG_PAGE_SIZE);
	struct complex_access acc;
	if (second >= a.v + n)
		return;
	enum pg_complex_result r;
	do
		r = complex_resolve(
			op, (pg_va){second}, (unsigned)(a.v + n - second), reads, true, &acc);
	while (r == PG_COMPLEX_AGAIN);
	if (r == PG_COMPLEX_DONE) /* no: then it is the first one's, again */
		(void)complex_resolve(op, a, n, reads, true, &acc);
}

enum pg_complex_result complex_state_save(struct complex_op *op)
{
	ZydisMnemonic m = op->insn->mnemonic;
	const ZydisDecodedOperand *mem = &op->ops[0];
	pg_va a = complex_address(op, mem);
	uint64_t rfbm = is_fx(m) ? 0 : requested(op);
	struct area area = area_of(m, rfbm);
	bool reads = !is_fx(m) && !is_xsavec(m);
	struct complex_access acc;
	struct state_buffer buf;

	enum pg_complex_result r = check_operand(mem, a, area.end, is_fx(m) ? 16 : 64);
	if (r == PG_COMPLEX_DONE)
		r = check_wrap(op, mem, area.end, true);
	if (r != PG_COMPLEX_DONE)
		return r;
	do
		r = complex_resolve(
			op, (pg_va){a.v + area.start}, area.end - area.start, reads, true, &acc);
	while (r == PG_COMPLEX_AGAIN);
	if (r == PG_COMPLEX_FAULT)
		probe_second_page(op, (pg_va){a.v + area.start}, area.end - area.start, reads);
	if (r != PG_COMPLEX_DONE)
		return complex_as_operand(r, mem);
	complex_copy_out(&acc, buf.bytes + area.start);
	image_normalise(op->regs->x);
	host_execute(m, false, op->regs->x, &buf, (uint32_t)rfbm);
	complex_copy_in(&acc, buf.bytes + area.start);
	op->port->count(op->port->ctx, reads, 1, 0);
	return PG_COMPLEX_DONE;
}

/* What XRSTOR refuses. Intel SDM vol. 1, 13.8. */
static bool header_is_valid(const struct state_buffer *buf, uint64_t rfbm)
{
	uint64_t header[8], xcr0 = pg_cpu_guest_xcr0();
	memcpy(header, buf->bytes + IMAGE_XSTATE_BV, sizeof(header));
	uint64_t bv = header[0], comp = header[1];
	if (comp & XCOMP_COMPACT) {
		uint32_t out[4];
		pg_cpu_guest_cpuid(0xd, 1, out);
		if (!(out[0] & 2) || ((comp & ~XCOMP_COMPACT) & ~xcr0) || (bv & ~comp))
			return false;
		for (unsigned i = 2; i < 8; i++)
			if (header[i])
				return false;
		return !(rfbm & bv & IMAGE_SSE) || mxcsr_is_valid(buf);
	}
	if ((bv & ~xcr0) || comp || header[2])
		return false;
	return !(rfbm & (IMAGE_SSE | IMAGE_YMM)) || mxcsr_is_valid(buf);
}

enum pg_complex_result complex_state_restore(struct complex_op *op)
{
	ZydisMnemonic m = op->insn->mnemonic;
	const ZydisDecodedOperand *mem = &op->ops[0];
	pg_va a = complex_address(op, mem);
	uint64_t rfbm = is_fx(m) ? 0 : requested(op);
	struct area area = area_of(m, rfbm);
	struct state_buffer buf;

	enum pg_complex_result r = check_operand(mem, a, area.end, is_fx(m) ? 16 : 64);
	if (r == PG_COMPLEX_DONE)
		r = check_wrap(op, mem, area.end, false);
	if (r != PG_COMPLEX_DONE)
		return r;
	r = complex_load(
		op, (pg_va){a.v + area.start}, buf.bytes + area.start, area.end - area.start);
	if (r != PG_COMPLEX_DONE)
		return complex_as_operand(r, mem);
	if (is_fx(m) ? !mxcsr_is_valid(&buf) : !header_is_valid(&buf, rfbm))
		return PG_COMPLEX_GP;
	image_normalise(op->regs->x);
	host_execute(m, false, op->regs->x, &buf, (uint32_t)rfbm);
	return PG_COMPLEX_DONE;
}

/* Bytes of the x87 formats: environment, and with the registers. Intel SDM vol. 1, 8.1.10. */
static unsigned x87_bytes(bool registers, bool word)
{
	return (word ? 14u : 28u) + (registers ? 80u : 0u);
}

/*
 * The x87 area at a. The processor reaches it piece by piece: one that runs over the end of the canonical addresses faults
 * at what is before the end, if that is not mapped, and only then for the address.
 */
static enum pg_complex_result resolve_x87(struct complex_op *op, const ZydisDecodedOperand *mem,
	unsigned n, bool write, struct complex_access *acc)
{
	pg_va a = complex_address(op, mem);
	bool cut = pg_va_is_canonical(a, op->insn->operand_width == 16 ? 2 : 4) &&
		   !pg_va_is_canonical(a, n);
	enum pg_complex_result r = check_wrap(op, mem, n, write);
	if (r != PG_COMPLEX_DONE)
		return r;
	if (cut)
		n = (unsigned)(((uint64_t)1 << 47) - a.v);
	do
		r = complex_resolve(op, a, n, !write, write, acc);
	while (r == PG_COMPLEX_AGAIN);
	return complex_as_operand(r == PG_COMPLEX_DONE && cut ? PG_COMPLEX_GP : r, mem);
}

enum pg_complex_result complex_x87_save(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = &op->ops[0];
	bool word = op->insn->operand_width == 16;
	unsigned n = x87_bytes(op->insn->mnemonic == ZYDIS_MNEMONIC_FNSAVE, word);
	struct complex_access acc;
	struct state_buffer buf;
	enum pg_complex_result r = resolve_x87(op, mem, n, true, &acc);
	if (r != PG_COMPLEX_DONE)
		return r;
	complex_copy_out(&acc, buf.bytes);
	image_normalise(op->regs->x);
	host_execute(op->insn->mnemonic, word, op->regs->x, &buf, 0);
	complex_copy_in(&acc, buf.bytes);
	op->port->count(op->port->ctx, 0, 1, 0);
	return PG_COMPLEX_DONE;
}

enum pg_complex_result complex_x87_restore(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = &op->ops[0];
	bool word = op->insn->operand_width == 16;
	unsigned n = x87_bytes(op->insn->mnemonic == ZYDIS_MNEMONIC_FRSTOR, word);
	struct complex_access acc;
	struct state_buffer buf;
	image_normalise(op->regs->x);
	if (image_x87_pending(op->regs->x))
		return PG_COMPLEX_FP;
	enum pg_complex_result r = resolve_x87(op, mem, n, false, &acc);
	if (r != PG_COMPLEX_DONE)
		return r;
	complex_copy_out(&acc, buf.bytes);
	op->port->count(op->port->ctx, 1, 0, 0);
	host_execute(op->insn->mnemonic, word, op->regs->x, &buf, 0);
	return PG_COMPLEX_DONE;
}
