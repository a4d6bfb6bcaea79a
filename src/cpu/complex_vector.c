/* SPDX-License-Identifier: MIT */
/*
 * cpu/complex_vector.c: gathers and masked moves: accesses of some elements only.
 *
 * Called by complex.c. Works on regs->x, the guest's vector state as an XSAVE image. Only the
 * elements that the mask enables are accessed; a fault is raised for these alone. A gather is
 * element by element and restartable: what was gathered leaves the mask. The others are one access
 * from the first enabled element to the last.
 *
 * Source: Intel SDM vol. 2, VGATHERDPS/VGATHERDPD, VMASKMOV, VPMASKMOV, MASKMOVDQU; vol. 1, 13.4
 * for the image.
 */
#include <string.h>

#include "cpu/complex_image.h"
#include "cpu/complex_internal.h"

static unsigned vector_number(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_YMM0 && r <= ZYDIS_REGISTER_YMM31)
		return (unsigned)(r - ZYDIS_REGISTER_YMM0);
	PG_ASSERT(r >= ZYDIS_REGISTER_XMM0 && r <= ZYDIS_REGISTER_XMM31);
	return (unsigned)(r - ZYDIS_REGISTER_XMM0);
}

/* The shapes of the eight gathers: bytes of an index and of an element. */
static void gather_shape(ZydisMnemonic m, unsigned *index_size, unsigned *size)
{
	switch (m) {
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VPGATHERDD:
		*index_size = 4;
		*size = 4;
		break;
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
		*index_size = 4;
		*size = 8;
		break;
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VPGATHERQD:
		*index_size = 8;
		*size = 4;
		break;
	default:
		*index_size = 8;
		*size = 8;
		break;
	}
}

/* The address of one element of a VSIB operand. */
static pg_va element_address(const struct complex_op *op, const ZydisDecodedOperand *mem,
	const uint8_t *index, unsigned index_size)
{
	uint64_t base = complex_segment_base(op->regs, mem->mem.segment);
	uint64_t ea = complex_address(op, mem).v - base;
	int64_t i = 0;
	if (index_size == 4) {
		int32_t narrow;
		memcpy(&narrow, index, 4);
		i = narrow;
	} else {
		memcpy(&i, index, 8);
	}
	ea += (uint64_t)i * mem->mem.scale;
	if (op->insn->address_width == 32)
		ea = (uint32_t)ea;
	return (pg_va){ea + base};
}

enum pg_complex_result complex_gather(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = &op->ops[1];
	unsigned to = vector_number(op->ops[0].reg.value),
		 mask_reg = vector_number(op->ops[2].reg.value);
	unsigned index_reg = vector_number(mem->mem.index);
	unsigned index_size, size;
	if (to == mask_reg || to == index_reg || mask_reg == index_reg)
		return PG_COMPLEX_ILLEGAL;
	gather_shape(op->insn->mnemonic, &index_size, &size);
	unsigned vector = op->insn->raw.vex.L ? 32 : 16;
	unsigned elements = vector / (index_size > size ? index_size : size);
	unsigned covered = elements * size; /* bytes of the destination; above it becomes 0 */

	uint8_t result[32], index[32], mask[32];
	image_normalise(op->regs->x);
	image_get_ymm(op->regs->x, to, result);
	image_get_ymm(op->regs->x, index_reg, index);
	image_get_ymm(op->regs->x, mask_reg, mask);

	for (unsigned i = 0; i < vector / size;
		i++) /* each mask element is its sign, unused ones too */
		memset(mask + i * size, mask[(i + 1) * size - 1] & 0x80 ? 0xff : 0, size);

	enum pg_complex_result r = PG_COMPLEX_DONE;
	bool progress = false;
	for (unsigned i = 0; i < elements && r == PG_COMPLEX_DONE; i++) {
		if (!mask[i * size])
			continue;
		pg_va a = element_address(op, mem, index + i * index_size, index_size);
		r = complex_as_operand(complex_load(op, a, result + i * size, size), mem);
		if (r == PG_COMPLEX_DONE) {
			memset(mask + i * size, 0, size);
			progress = true;
		}
	}
	/* a fault finds above the elements what the processor leaves there: zeros only above the
	 * vector length */
	unsigned end = r == PG_COMPLEX_DONE ? covered : progress ? vector : sizeof(result);
	memset(result + end, 0, sizeof(result) - end);
	memset(mask + vector, 0, sizeof(mask) - vector);
	if (r == PG_COMPLEX_DONE)
		memset(mask, 0, sizeof(mask));
	image_set_ymm(op->regs->x, to, result);
	image_set_ymm(op->regs->x, mask_reg, mask);
	return r;
}

/* The enabled bytes of an access: from the first to the last, [*low, *high); false if there are
 * none. */
static bool enabled_span(const uint8_t *enabled, unsigned n, unsigned *low, unsigned *high)
{
	unsigned i = 0;
	while (i < n && !enabled[i])
		i++;
	if (i == n)
		return false;
	*low = i;
	while (!enabled[n - 1])
		n--;
	*high = n;
	return true;
}

static enum pg_complex_result resolve_store(
	struct complex_op *op, pg_va a, unsigned n, struct complex_access *acc)
{
	enum pg_complex_result r;
	do
		r = complex_resolve(op, a, n, false, true, acc);
	while (r == PG_COMPLEX_AGAIN);
	return r;
}

/* Stores the enabled bytes of data[n] at a, as one store; none if none is enabled. */
static enum pg_complex_result store_enabled(struct complex_op *op, pg_va a, const uint8_t *data,
	const uint8_t *enabled, unsigned n, bool whole)
{
	struct complex_access acc;
	unsigned low = 0, high = n;
	if (!whole && !enabled_span(enabled, n, &low, &high))
		return PG_COMPLEX_DONE;
	enum pg_complex_result r = resolve_store(op, (pg_va){a.v + low}, high - low, &acc);
	if (r != PG_COMPLEX_DONE)
		return r;
	for (unsigned f = 0, i = low; f < acc.frags; f++)
		for (unsigned j = 0; j < acc.frag[f].n; j++, i++)
			if (enabled[i])
				acc.frag[f].host[j] = data[i];
	op->port->count(op->port->ctx, 0, 1, 0);
	return PG_COMPLEX_DONE;
}

/* vmaskmovps, vmaskmovpd, vpmaskmovd, vpmaskmovq, both directions: the mask is the second operand.
 */
enum pg_complex_result complex_masked_move(struct complex_op *op)
{
	bool stores = op->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	const ZydisDecodedOperand *mem = &op->ops[stores ? 0 : 2];
	unsigned vector = op->insn->raw.vex.L ? 32 : 16;
	unsigned size = op->insn->mnemonic == ZYDIS_MNEMONIC_VMASKMOVPS ||
					op->insn->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVD
				? 4
				: 8;
	uint8_t mask[32], data[32] = {0}, enabled[32];
	image_normalise(op->regs->x);
	image_get_ymm(op->regs->x, vector_number(op->ops[1].reg.value), mask);
	for (unsigned i = 0; i < vector / size; i++)
		memset(enabled + i * size, mask[(i + 1) * size - 1] >> 7, size);

	pg_va a = complex_address(op, mem);
	if (stores) {
		image_get_ymm(op->regs->x, vector_number(op->ops[2].reg.value), data);
		return complex_as_operand(store_enabled(op, a, data, enabled, vector, false), mem);
	}
	unsigned low, high;
	if (enabled_span(enabled, vector, &low, &high)) {
		enum pg_complex_result r =
			complex_load(op, (pg_va){a.v + low}, data + low, high - low);
		if (r != PG_COMPLEX_DONE)
			return complex_as_operand(r, mem);
	}
	for (unsigned i = 0; i < vector; i++)
		if (!enabled[i])
			data[i] = 0;
	image_set_ymm(op->regs->x, vector_number(op->ops[0].reg.value), data);
	return PG_COMPLEX_DONE;
}

/* maskmovdqu, also in its VEX form, and maskmovq store at rdi the bytes of the first operand whose
 * mask byte is negative. */
enum pg_complex_result complex_maskmovdqu(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = complex_memory_operand(op);
	uint8_t data[32], mask[32];
	image_normalise(op->regs->x);
	image_get_ymm(op->regs->x, vector_number(op->ops[0].reg.value), data);
	image_get_ymm(op->regs->x, vector_number(op->ops[1].reg.value), mask);
	for (unsigned i = 0; i < 16; i++)
		mask[i] >>= 7;
	pg_va a = complex_address(op, mem);
	uint64_t base = complex_segment_base(op->regs, mem->mem.segment);
	if (op->insn->address_width == 32 && a.v - base + 8 > UINT32_MAX) {
		/* The processor stores two halves, and the second one's address has 32 bits too: so it is measured. */
		pg_va upper = {(uint32_t)(a.v - base + 8) + base};
		struct complex_access acc;
		enum pg_complex_result r = resolve_store(op, upper, 8, &acc);
		if (r == PG_COMPLEX_DONE)
			r = store_enabled(op, a, data, mask, 8, true);
		if (r == PG_COMPLEX_DONE)
			r = store_enabled(op, upper, data + 8, mask + 8, 8, true);
		return complex_as_operand(r, mem);
	}
	return complex_as_operand(store_enabled(op, a, data, mask, 16, true), mem);
}

enum pg_complex_result complex_maskmovq(struct complex_op *op)
{
	const ZydisDecodedOperand *mem = complex_memory_operand(op);
	uint8_t data[8], mask[8];
	image_normalise(op->regs->x);
	if (image_x87_pending(op->regs->x))
		return PG_COMPLEX_FP;
	image_get_mmx(op->regs->x, (unsigned)(op->ops[0].reg.value - ZYDIS_REGISTER_MM0), data);
	image_get_mmx(op->regs->x, (unsigned)(op->ops[1].reg.value - ZYDIS_REGISTER_MM0), mask);
	for (unsigned i = 0; i < 8; i++)
		mask[i] >>= 7;
	image_enter_mmx(op->regs->x); /* before a fault, too */
	return complex_as_operand(
		store_enabled(op, complex_address(op, mem), data, mask, 8, true), mem);
}
