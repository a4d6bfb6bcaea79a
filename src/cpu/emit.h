/* SPDX-License-Identifier: MIT */
/*
 * cpu/emit.h: writing host x86-64 instructions, byte by byte.
 *
 * Called by translate.c, access.c, control.c, fast.c and stubs.c. Only the few instructions that the translation scheme itself needs
 * (moves, lea, add, cmp, jumps); guest instructions are copied, see rewrite.c. Encodings: Intel SDM vol. 2, ch. 2.
 *
 * Invariant 1. An emitter never writes past `end`: it sets `full` and drops the byte; who emits looks at
 *    `full` once at the end of a block.
 */
#ifndef PG_CPU_EMIT_H
#define PG_CPU_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct pg_emit {
	uint8_t *p;   /* next byte */
	uint8_t *end; /* one past the last usable byte */
	bool full;    /* something did not fit */
};

/* Host register numbers, in encoding order. */
enum {
	H_RAX,
	H_RCX,
	H_RDX,
	H_RBX,
	H_RSP,
	H_RBP,
	H_RSI,
	H_RDI,
	H_R8,
	H_R9,
	H_R10,
	H_R11,
	H_R12,
	H_R13,
	H_R14,
	H_R15,
	H_NONE = 255
};

static inline void e8(struct pg_emit *e, unsigned b)
{
	if (e->p < e->end)
		*e->p++ = (uint8_t)b;
	else
		e->full = true;
}

static inline void e32(struct pg_emit *e, uint32_t v)
{
	if (e->end - e->p >= 4) {
		memcpy(e->p, &v, 4);
		e->p += 4;
	} else {
		e->full = true;
	}
}

static inline void e64(struct pg_emit *e, uint64_t v)
{
	e32(e, (uint32_t)v);
	e32(e, (uint32_t)(v >> 32));
}

static inline void ebytes(struct pg_emit *e, const uint8_t *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		e8(e, b[i]);
}

/* ModRM, SIB and displacement for [base + index * scale + disp]; base or index may be H_NONE. */
static inline void e_mem(struct pg_emit *e, unsigned reg, unsigned base, unsigned index,
	unsigned scale, int32_t disp)
{
	unsigned ss = scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
	unsigned r = (reg & 7) << 3;
	if (base == H_NONE) {
		e8(e, r | 4);
		e8(e, ss << 6 | (index == H_NONE ? 4 : index & 7) << 3 | 5);
		e32(e, (uint32_t)disp);
		return;
	}
	bool d0 = disp == 0 && (base & 7) != 5;
	bool d8 = disp >= -128 && disp <= 127;
	unsigned mod = d0 ? 0 : d8 ? 0x40 : 0x80;
	if (index == H_NONE && (base & 7) != 4) {
		e8(e, mod | r | (base & 7));
	} else {
		e8(e, mod | r | 4);
		e8(e, ss << 6 | (index == H_NONE ? 4 : index & 7) << 3 | (base & 7));
	}
	if (mod == 0x40)
		e8(e, (uint8_t)disp);
	else if (mod == 0x80)
		e32(e, (uint32_t)disp);
}

static inline unsigned e_rex(bool w, unsigned reg, unsigned index, unsigned base)
{
	return 0x40 | (w ? 8 : 0) | (reg != H_NONE && reg > 7 ? 4 : 0) |
	       (index != H_NONE && index > 7 ? 2 : 0) | (base != H_NONE && base > 7 ? 1 : 0);
}

/* op reg64, [base + index * scale + disp] (or the store form: opcode decides). */
static inline void e_op_mem(struct pg_emit *e, unsigned opcode, unsigned reg, unsigned base,
	unsigned index, unsigned scale, int32_t disp)
{
	e8(e, e_rex(true, reg, index, base));
	e8(e, opcode);
	e_mem(e, reg, base, index, scale, disp);
}

/* The same with a 32-bit operand. */
static inline void e_op_mem32(struct pg_emit *e, unsigned opcode, unsigned reg, unsigned base,
	unsigned index, unsigned scale, int32_t disp)
{
	unsigned rex = e_rex(false, reg, index, base);
	if (rex != 0x40)
		e8(e, rex);
	e8(e, opcode);
	e_mem(e, reg, base, index, scale, disp);
}

static inline void e_lea(struct pg_emit *e, unsigned dst, unsigned base, unsigned index,
	unsigned scale, int32_t disp)
{
	e_op_mem(e, 0x8d, dst, base, index, scale, disp);
}

static inline void e_mov_rr(struct pg_emit *e, unsigned dst, unsigned src)
{
	e8(e, e_rex(true, src, H_NONE, dst));
	e8(e, 0x89);
	e8(e, 0xc0 | (src & 7) << 3 | (dst & 7));
}

/* cmp reg, imm32 (sign-extended), 64 bits. */
static inline void e_cmp_imm(struct pg_emit *e, unsigned reg, uint32_t imm)
{
	e8(e, e_rex(true, 0, H_NONE, reg));
	e8(e, 0x81);
	e8(e, 0xf8 | (reg & 7));
	e32(e, imm);
}

/* mov reg, imm in its shortest form; flags untouched. */
static inline void e_mov_imm(struct pg_emit *e, unsigned reg, uint64_t v)
{
	if (v <= UINT32_MAX) {
		if (reg > 7)
			e8(e, 0x41);
		e8(e, 0xb8 | (reg & 7));
		e32(e, (uint32_t)v);
	} else if ((int64_t)v == (int32_t)v) {
		e8(e, e_rex(true, H_NONE, H_NONE, reg));
		e8(e, 0xc7);
		e8(e, 0xc0 | (reg & 7));
		e32(e, (uint32_t)v);
	} else {
		e8(e, e_rex(true, H_NONE, H_NONE, reg));
		e8(e, 0xb8 | (reg & 7));
		e64(e, v);
	}
}

/* The CPU's state is at gs:[disp], disp negative; see cpu.h. */
static inline void e_gs_op(struct pg_emit *e, unsigned opcode, unsigned reg, int32_t disp)
{
	e8(e, 0x65);
	e_op_mem(e, opcode, reg, H_NONE, H_NONE, 1, disp);
}

static inline void e_gs_load(struct pg_emit *e, unsigned reg, int32_t disp)
{
	e_gs_op(e, 0x8b, reg, disp);
}

static inline void e_gs_store(struct pg_emit *e, unsigned reg, int32_t disp)
{
	e_gs_op(e, 0x89, reg, disp);
}

/* op reg64, gs:[index + disp] */
static inline void e_gs_index(struct pg_emit *e, unsigned opcode, unsigned reg, unsigned index,
	unsigned scale, int32_t disp)
{
	e8(e, 0x65);
	e_op_mem(e, opcode, reg, H_NONE, index, scale, disp);
}

/* op reg64, gs:[base + disp]: the short form when disp is small */
static inline void e_op_gs_index(
	struct pg_emit *e, unsigned opcode, unsigned reg, unsigned base, int32_t disp)
{
	e8(e, 0x65);
	e_op_mem(e, opcode, reg, base, H_NONE, 1, disp);
}

/* mov dword gs:[disp], imm32 */
static inline void e_gs_store_imm32(struct pg_emit *e, int32_t disp, uint32_t imm)
{
	e8(e, 0x65);
	e8(e, 0xc7);
	e_mem(e, 0, H_NONE, H_NONE, 1, disp);
	e32(e, imm);
}

/* jmp / jcc rel32; returns where the displacement is. cc: the low four bits of the opcode. */
static inline uint8_t *e_jmp(struct pg_emit *e, const uint8_t *target)
{
	e8(e, 0xe9);
	uint8_t *at = e->p;
	e32(e, target ? (uint32_t)(target - (at + 4)) : 0);
	return at;
}

static inline uint8_t *e_jcc(struct pg_emit *e, unsigned cc, const uint8_t *target)
{
	e8(e, 0x0f);
	e8(e, 0x80 | cc);
	uint8_t *at = e->p;
	e32(e, target ? (uint32_t)(target - (at + 4)) : 0);
	return at;
}

static inline void e_call(struct pg_emit *e, const uint8_t *target)
{
	e8(e, 0xe8);
	e32(e, (uint32_t)(target - (e->p + 4)));
}

/* Lets the rel32 at `at` point to target. */
static inline void e_patch(uint8_t *at, const uint8_t *target)
{
	int32_t rel = (int32_t)(target - (at + 4));
	memcpy(at, &rel, 4);
}

enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A };

#endif
