/* SPDX-License-Identifier: MIT */
/*
 * cpu/rewrite.c: copying an instruction with its memory operand and registers replaced.
 *
 * Called by access.c. No knowledge of any opcode: prefixes, REX or VEX, ModRM and SIB are taken apart and
 * put together again; opcode and immediates are copied. Intel SDM vol. 2, 2.1 to 2.3.
 */
#include "cpu/rewrite.h"

static bool is_legacy_prefix(uint8_t b)
{
	switch (b) {
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x26:
	case 0x64:
	case 0x65:
		return true;
	default:
		return false;
	}
}

/* Segment overrides and address size: their meaning is in the address already. */
static bool is_dropped(uint8_t b)
{
	return b != 0x66 && b != 0xf0 && b != 0xf2 && b != 0xf3;
}

/* ModRM with mod != 3, SIB and displacement for the new operand. */
static void emit_operand(struct pg_emit *m, unsigned reg, const struct pg_rewrite *w)
{
	e_mem(m, reg, w->base, w->index, w->scale, w->disp);
}

bool pg_rewrite_emit(struct pg_emit *m, const ZydisDecodedInstruction *zi, const uint8_t *bytes,
	const struct pg_rewrite *w)
{
	unsigned i = 0, rex = 0, modrm = zi->raw.modrm.offset;
	uint8_t *start = m->p;
	if (!(zi->attributes & ZYDIS_ATTRIB_HAS_MODRM) || zi->raw.modrm.mod == 3)
		return false;
	if (!w->plain)
		e8(m, 0x65);
	if (w->narrow)
		e8(m, 0x67);
	while (i < zi->length && is_legacy_prefix(bytes[i])) {
		if (!is_dropped(bytes[i]))
			e8(m, bytes[i]);
		i++;
	}
	unsigned tail = modrm + 1u + (zi->raw.sib.offset ? 1u : 0u) + zi->raw.disp.size / 8u;
	unsigned b_hi = w->base != H_NONE && w->base > 7, x_hi = w->index != H_NONE && w->index > 7;

	if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
		if ((bytes[i] & 0xf0) == 0x40)
			rex = bytes[i++];
		unsigned reg = (zi->raw.modrm.reg & 7u) | (rex & 4 ? 8u : 0);
		if (w->reg != REG_KEEP)
			reg = w->reg;
		unsigned out = (rex & 0x48) | (reg > 7 ? 4 : 0) | (x_hi ? 2 : 0) | (b_hi ? 1 : 0);
		if (out)
			e8(m, 0x40 | out);
		ebytes(m, bytes + i, modrm - i);
		emit_operand(m, reg, w);
	} else if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
		unsigned r, map, wbit, vvvv, lpp;
		if (bytes[i] == 0xc5) {
			r = !(bytes[i + 1] & 0x80);
			map = 1;
			wbit = 0;
			vvvv = ~(bytes[i + 1] >> 3) & 15u;
			lpp = bytes[i + 1] & 7;
			i += 2;
		} else if (bytes[i] == 0xc4) {
			r = !(bytes[i + 1] & 0x80);
			map = bytes[i + 1] & 31;
			wbit = bytes[i + 2] >> 7;
			vvvv = ~(bytes[i + 2] >> 3) & 15u;
			lpp = bytes[i + 2] & 7;
			i += 3;
		} else {
			return false;
		}
		unsigned reg = (zi->raw.modrm.reg & 7u) | (r ? 8u : 0);
		if (w->reg != REG_KEEP)
			reg = w->reg;
		if (w->vvvv != REG_KEEP)
			vvvv = w->vvvv;
		e8(m, 0xc4);
		e8(m, (reg > 7 ? 0 : 0x80) | (x_hi ? 0 : 0x40) | (b_hi ? 0 : 0x20) | map);
		e8(m, wbit << 7 | (~vvvv & 15) << 3 | lpp);
		ebytes(m, bytes + i, modrm - i);
		emit_operand(m, reg, w);
	} else {
		return false;
	}
	ebytes(m, bytes + tail, zi->length - tail);
	return m->p - start <= 15;
}
