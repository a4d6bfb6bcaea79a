/* SPDX-License-Identifier: MIT */
/*
 * cpu/complex_scalar.c: instructions on general registers and memory: bit strings, cmpxchg8b and
 * cmpxchg16b, enter, xlat, cpuid and its kin, segment bases, cache lines.
 *
 * Called by complex.c. Built with general registers only. Source: Intel SDM vol. 2, each
 * instruction's page.
 */
#include "cpu/complex_internal.h"

/* The result of an access through mem, with the fault of a non-canonical address as that operand
 * raises it. */
static enum pg_complex_result as_stack(enum pg_complex_result r)
{
	return r == PG_COMPLEX_GP ? PG_COMPLEX_SS : r;
}

static bool is_locked(const struct complex_op *op)
{
	return op->insn->attributes & ZYDIS_ATTRIB_HAS_LOCK;
}

/* The byte of an access at offset n. */
static uint8_t *byte_of(const struct complex_access *acc, unsigned n)
{
	return n < acc->frag[0].n ? acc->frag[0].host + n
				  : acc->frag[1].host + (n - acc->frag[0].n);
}

/*
 * bt, bts, btr, btc on memory with a register offset: the offset is signed and reaches outside the
 * operand. The whole word is resolved as the processor's access is; the change is one bit of one
 * byte, so an atomic operation on that byte is the locked operation, wherever the word lies. Flags
 * other than CF stay (undefined in the manual; so it is on hardware).
 */
enum pg_complex_result complex_bit_string(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = &op->ops[0];
	unsigned size = op->insn->operand_width / 8u;
	unsigned bits = size * 8;
	uint64_t raw = pg_gpr_get(op->regs, op->ops[1].reg.value);
	int64_t offset = size == 8 ? (int64_t)raw : size == 4 ? (int32_t)raw : (int16_t)raw;
	unsigned shift = size == 8 ? 6 : size == 4 ? 5 : 4;
	unsigned bit = (unsigned)offset & (bits - 1);
	uint64_t base = complex_segment_base(op->regs, mem->mem.segment);
	uint64_t ea = complex_address(op, mem).v - base + (uint64_t)(offset >> shift) * size;
	if (op->insn->address_width == 32)
		ea = (uint32_t)ea;
	bool writes = op->insn->mnemonic != ZYDIS_MNEMONIC_BT;

	struct complex_access acc;
	enum pg_complex_result r;
	do
		r = complex_resolve(op, (pg_va){ea + base}, size, true, writes, &acc);
	while (r == PG_COMPLEX_AGAIN);
	if (r != PG_COMPLEX_DONE)
		return complex_as_operand(r, mem);

	uint8_t *byte = byte_of(&acc, bit / 8);
	uint8_t mask = (uint8_t)(1u << (bit % 8)), old;
	switch (op->insn->mnemonic) {
	case ZYDIS_MNEMONIC_BT:
		old = *byte;
		break;
	case ZYDIS_MNEMONIC_BTS:
		old = __atomic_fetch_or(byte, mask, __ATOMIC_SEQ_CST);
		break;
	case ZYDIS_MNEMONIC_BTR:
		old = __atomic_fetch_and(byte, (uint8_t)~mask, __ATOMIC_SEQ_CST);
		break;
	default:
		old = __atomic_fetch_xor(byte, mask, __ATOMIC_SEQ_CST);
		break;
	}
	op->regs->rflags = (op->regs->rflags & ~FLAG_CF) | (old & mask ? FLAG_CF : 0);
	op->port->count(op->port->ctx, 1, writes, 0);
	return PG_COMPLEX_DONE;
}

static void set_zf(struct pg_cpu_regs *regs, bool zf)
{
	regs->rflags = (regs->rflags & ~FLAG_ZF) | (zf ? FLAG_ZF : 0);
}

static uint64_t low32(uint64_t v)
{
	return v & UINT32_MAX;
}

/*
 * Always a read-modify-write, also when the comparison fails (the old value is written back). In a
 * page without LOCK it may lie at any address, so the host's own instruction is used.
 */
enum pg_complex_result complex_cmpxchg8b(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = &op->ops[0];
	uint64_t *gpr = op->regs->gpr;
	struct complex_access acc;
	enum pg_complex_result r;
	do
		r = complex_resolve(op, complex_address(op, mem), 8, true, true, &acc);
	while (r == PG_COMPLEX_AGAIN);
	if (r != PG_COMPLEX_DONE)
		return complex_as_operand(r, mem);

	uint64_t expected = low32(gpr[PG_RAX]) | gpr[PG_RDX] << 32;
	uint64_t wanted = low32(gpr[PG_RBX]) | gpr[PG_RCX] << 32;
	uint64_t old = expected;
	if (acc.frags == 2) {
		complex_copy_out(&acc, &old);
		if (old == expected)
			complex_copy_in(&acc, &wanted);
	} else if (is_locked(op)) {
		__asm__ volatile("lock cmpxchgq %[wanted], (%[host])"
				 : "+a"(old)
				 : [wanted] "r"(wanted), [host] "r"(acc.frag[0].host)
				 : "memory", "cc");
	} else {
		__asm__ volatile("cmpxchgq %[wanted], (%[host])"
				 : "+a"(old)
				 : [wanted] "r"(wanted), [host] "r"(acc.frag[0].host)
				 : "memory", "cc");
	}
	if (old != expected) {
		gpr[PG_RAX] = low32(old);
		gpr[PG_RDX] = old >> 32;
	}
	set_zf(op->regs, old == expected);
	op->port->count(op->port->ctx, 1, 1, 0);
	return PG_COMPLEX_DONE;
}

enum pg_complex_result complex_cmpxchg16b(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = &op->ops[0];
	uint64_t *gpr = op->regs->gpr;
	pg_va a = complex_address(op, mem);
	struct complex_access acc;
	enum pg_complex_result r;
	if (!pg_va_is_canonical(a, 16))
		return pg_operand_fault(mem);
	if (a.v & 15)
		return PG_COMPLEX_GP;
	do
		r = complex_resolve(op, a, 16, true, true, &acc);
	while (r == PG_COMPLEX_AGAIN);
	if (r != PG_COMPLEX_DONE)
		return complex_as_operand(r, mem);

	uint64_t low = gpr[PG_RAX], high = gpr[PG_RDX];
	bool equal;
	__asm__ volatile("lock cmpxchg16b (%[host])"
			 : "+a"(low), "+d"(high), "=@ccz"(equal)
			 : "b"(gpr[PG_RBX]), "c"(gpr[PG_RCX]), [host] "r"(acc.frag[0].host)
			 : "memory");
	gpr[PG_RAX] = low;
	gpr[PG_RDX] = high;
	set_zf(op->regs, equal);
	op->port->count(op->port->ctx, 1, 1, 0);
	return PG_COMPLEX_DONE;
}

/*
 * enter: pushes rbp, copies level - 1 frame pointers of the enclosing frames, pushes its own, opens
 * the frame, and makes sure that the new top of stack may be written. A fault leaves the registers;
 * what was pushed stays pushed.
 */
enum pg_complex_result complex_enter(struct complex_op *op)
{
	unsigned size = op->insn->operand_width / 8u;
	uint64_t alloc = op->ops[0].imm.value.u & 0xffff;
	unsigned level = op->ops[1].imm.value.u & 31;
	uint64_t rsp = op->regs->gpr[PG_RSP] - size, rbp = op->regs->gpr[PG_RBP];
	uint64_t frame = rsp;
	enum pg_complex_result r = complex_store(op, (pg_va){rsp}, &rbp, size);

	for (unsigned i = 1; i < level && r == PG_COMPLEX_DONE; i++) {
		uint64_t outer;
		rbp -= size;
		r = complex_load(op, (pg_va){rbp}, &outer, size);
		if (r != PG_COMPLEX_DONE)
			break;
		rsp -= size;
		r = complex_store(op, (pg_va){rsp}, &outer, size);
	}
	if (level > 0 && r == PG_COMPLEX_DONE) {
		rsp -= size;
		r = complex_store(op, (pg_va){rsp}, &frame, size);
	}
	if (r != PG_COMPLEX_DONE)
		return as_stack(r);
	rsp -= alloc;

	struct complex_access acc;
	do
		r = complex_resolve(op, (pg_va){rsp}, size, false, true, &acc);
	while (r == PG_COMPLEX_AGAIN);
	if (r != PG_COMPLEX_DONE)
		return as_stack(r);
	if (size == 8)
		op->regs->gpr[PG_RBP] = frame;
	else
		pg_gpr_set(op->regs, ZYDIS_REGISTER_BP, frame);
	op->regs->gpr[PG_RSP] = rsp;
	return PG_COMPLEX_DONE;
}

enum pg_complex_result complex_xlat(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = complex_memory_operand(op);
	uint64_t ea = op->regs->gpr[PG_RBX] + (op->regs->gpr[PG_RAX] & 0xff);
	uint8_t v;
	if (op->insn->address_width == 32)
		ea = (uint32_t)ea;
	enum pg_complex_result r = complex_load(
		op, (pg_va){ea + complex_segment_base(op->regs, mem->mem.segment)}, &v, 1);
	if (r == PG_COMPLEX_DONE)
		pg_gpr_set(op->regs, ZYDIS_REGISTER_AL, v);
	return r;
}

enum pg_complex_result complex_cpuid(struct complex_op *op)
{
	uint64_t *gpr = op->regs->gpr;
	uint32_t out[4];
	pg_cpu_guest_cpuid((uint32_t)gpr[PG_RAX], (uint32_t)gpr[PG_RCX], out);
	gpr[PG_RAX] = out[0];
	gpr[PG_RBX] = out[1];
	gpr[PG_RCX] = out[2];
	gpr[PG_RDX] = out[3];
	return PG_COMPLEX_DONE;
}

/* ecx 0: XCR0. ecx 1, where CPUID offers it: the components of it that are in use. */
enum pg_complex_result complex_xgetbv(struct complex_op *op)
{
	uint64_t *gpr = op->regs->gpr;
	uint64_t v = pg_cpu_guest_xcr0();
	uint32_t ecx = (uint32_t)gpr[PG_RCX];
	if (ecx == 1) {
		uint32_t out[4];
		pg_cpu_guest_cpuid(0xd, 1, out);
		if (!(out[0] & 4))
			return PG_COMPLEX_GP;
		uint64_t in_use;
		__builtin_memcpy(&in_use, op->regs->x->bytes + 512, 8);
		v &= in_use;
	} else if (ecx != 0) {
		return PG_COMPLEX_GP;
	}
	gpr[PG_RAX] = (uint32_t)v;
	gpr[PG_RDX] = v >> 32;
	return PG_COMPLEX_DONE;
}

/* The guest's machine has one processor, number 0 of node 0: so say rdpid, rdtscp and the segment
 * limit that Linux keeps. */
enum pg_complex_result complex_rdpid(struct complex_op *op)
{
	pg_gpr_set(
		op->regs, op->ops[0].reg.value, 0); /* a 64-bit register, whatever the prefixes */
	return PG_COMPLEX_DONE;
}

enum pg_complex_result complex_rdtscp(struct complex_op *op)
{
	uint32_t low, high;
	__asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
	op->regs->gpr[PG_RAX] = low;
	op->regs->gpr[PG_RDX] = high;
	op->regs->gpr[PG_RCX] = 0;
	return PG_COMPLEX_DONE;
}

enum pg_complex_result complex_base(struct complex_op *op)
{
	ZydisRegister r = op->ops[0].reg.value;
	bool fs = op->insn->mnemonic == ZYDIS_MNEMONIC_RDFSBASE ||
		  op->insn->mnemonic == ZYDIS_MNEMONIC_WRFSBASE;
	bool writes = op->insn->mnemonic == ZYDIS_MNEMONIC_WRFSBASE ||
		      op->insn->mnemonic == ZYDIS_MNEMONIC_WRGSBASE;
	uint64_t *base = fs ? &op->regs->fs_base : &op->regs->gs_base;
	if (!writes) {
		pg_gpr_set(op->regs, r, *base);
		return PG_COMPLEX_DONE;
	}
	uint64_t v = pg_gpr_get(op->regs, r);
	if (!pg_va_is_canonical((pg_va){v}, 1))
		return PG_COMPLEX_GP;
	*base = v;
	return PG_COMPLEX_DONE;
}

/* 64 bytes from anywhere to an aligned line: a load and a store. */
enum pg_complex_result complex_movdir64b(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = &op->ops[1];
	pg_va to = {pg_gpr_get(op->regs, op->ops[0].reg.value)};
	struct complex_access src, dst;
	uint8_t line[64];
	enum pg_complex_result r;
	do {
		r = complex_as_operand(
			complex_resolve(op, complex_address(op, mem), 64, true, false, &src), mem);
		if (r == PG_COMPLEX_DONE)
			r = to.v & 63 ? PG_COMPLEX_GP
				      : complex_resolve(op, to, 64, false, true, &dst);
	} while (r == PG_COMPLEX_AGAIN);
	if (r != PG_COMPLEX_DONE)
		return r;
	complex_copy_out(&src, line);
	complex_copy_in(&dst, line);
	op->port->count(op->port->ctx, 1, 1, 0);
	return PG_COMPLEX_DONE;
}

/*
 * clflush, clflushopt and clwb are loads of a byte to the MMU (Intel SDM vol. 2, CLFLUSH); a
 * frame's line needs no flushing for the guest to see its own stores. cldemote is a hint that never
 * faults.
 */
enum pg_complex_result complex_cache_line(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = &op->ops[0];
	uint8_t byte;
	if (op->insn->mnemonic == ZYDIS_MNEMONIC_CLDEMOTE)
		return PG_COMPLEX_DONE;
	return complex_as_operand(complex_load(op, complex_address(op, mem), &byte, 1), mem);
}

/* The entry to C has serialised nothing; cpuid does, on every x86-64. */
enum pg_complex_result complex_serialize(struct complex_op *op)
{
	uint32_t eax = 0, ebx, ecx = 0, edx;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx) : : "memory");
	return PG_COMPLEX_DONE;
}
