/* SPDX-License-Identifier: MIT */
/* cpu/rewrite.h: copying an instruction with its memory operand and registers replaced. See rewrite.c. */
#ifndef PG_CPU_REWRITE_H
#define PG_CPU_REWRITE_H

#include "cpu/emit.h"

#include <Zydis/Zydis.h>

#define REG_KEEP 255u

/* What the copy differs in. */
struct pg_rewrite {
	unsigned reg;  /* ModRM.reg of the copy (0 .. 15), or REG_KEEP */
	unsigned vvvv; /* VEX.vvvv of the copy (0 .. 15), or REG_KEEP */
	unsigned
		base; /* the memory operand: [base + index * scale + disp]; base and index may be H_NONE */
	unsigned index, scale;
	int32_t disp;
	bool narrow; /* its address is taken modulo 2^32 */
	bool plain;  /* it is not relative to GS */
};

/*
 * Emits the instruction `bytes` (decoded as zi, with a ModRM memory operand) with the memory operand of `w`, relative to GS unless it is plain.
 * Segment and address-size prefixes are dropped. False: this encoding cannot be rewritten (nothing
 * sensible was emitted; the caller drops what it emitted).
 */
bool pg_rewrite_emit(struct pg_emit *m, const ZydisDecodedInstruction *zi, const uint8_t *bytes,
	const struct pg_rewrite *w);

#endif
