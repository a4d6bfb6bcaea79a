/* SPDX-License-Identifier: MIT */
/*
 * cpu/complex_image.h: the guest's vector state as a standard XSAVE image: where things lie, and
 * access to them.
 *
 * Used by complex_vector.c and complex_state.c. Layout: Intel SDM vol. 1, 10.5.1 (legacy
 * region), 13.4.
 */
#ifndef PG_CPU_COMPLEX_IMAGE_H
#define PG_CPU_COMPLEX_IMAGE_H

#include <string.h>

#include "cpu/engine.h"

enum {
	IMAGE_FCW = 0, /* 2 bytes */
	IMAGE_FSW = 2, /* 2 bytes */
	IMAGE_FTW = 4, /* 1 byte: bit i set if physical register i is not empty */
	IMAGE_FOP = 6, /* 2 bytes, then 16 bytes: instruction and data pointer */
	IMAGE_POINTERS_END = 24,
	IMAGE_MXCSR = 24,       /* 4 bytes, then 4: MXCSR_MASK */
	IMAGE_ST = 32,          /* 8 registers, 16 bytes apart, ST(0) first */
	IMAGE_XMM = 160,        /* 16 registers */
	IMAGE_LEGACY_END = 416, /* what the processor defines of the first 512 bytes */
	IMAGE_XSTATE_BV = 512,
	IMAGE_XCOMP_BV = 520,
	IMAGE_AVX = 576, /* high halves of 16 YMM registers */
	IMAGE_END = 832,
};

#define IMAGE_X87 ((uint64_t)1 << 0)
#define IMAGE_SSE ((uint64_t)1 << 1)
#define IMAGE_YMM ((uint64_t)1 << 2)
#define IMAGE_ALL (IMAGE_X87 | IMAGE_SSE | IMAGE_YMM)

#define IMAGE_FCW_INITIAL 0x37fu
#define IMAGE_MXCSR_INITIAL 0x1f80u

static inline uint64_t image_in_use(const struct pg_xsave *x)
{
	uint64_t bv;
	memcpy(&bv, x->bytes + IMAGE_XSTATE_BV, 8);
	return bv;
}

static inline void image_set_in_use(struct pg_xsave *x, uint64_t bv)
{
	memcpy(x->bytes + IMAGE_XSTATE_BV, &bv, 8);
}

static inline uint16_t image_get16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, 2);
	return v;
}

/*
 * Puts the initial state where XSTATE_BV says that a component is in it (its bytes may be stale),
 * and clears the x87 instruction and data pointers. XSTATE_BV stays.
 */
static inline void image_normalise(struct pg_xsave *x)
{
	uint64_t in_use = image_in_use(x);
	if (!(in_use & IMAGE_X87)) {
		uint16_t fcw = IMAGE_FCW_INITIAL;
		memset(x->bytes, 0, IMAGE_POINTERS_END);
		memcpy(x->bytes + IMAGE_FCW, &fcw, 2);
		memset(x->bytes + IMAGE_ST, 0, IMAGE_XMM - IMAGE_ST);
	}
	memset(x->bytes + IMAGE_FOP, 0, IMAGE_POINTERS_END - IMAGE_FOP);
	if (!(in_use & IMAGE_SSE))
		memset(x->bytes + IMAGE_XMM, 0, IMAGE_LEGACY_END - IMAGE_XMM);
	if (!(in_use & IMAGE_YMM))
		memset(x->bytes + IMAGE_AVX, 0, IMAGE_END - IMAGE_AVX);
}

/* All of a normalised image: 32 bytes of YMM register r, 0 .. 15. */
static inline void image_get_ymm(const struct pg_xsave *x, unsigned r, uint8_t out[32])
{
	memcpy(out, x->bytes + IMAGE_XMM + 16 * r, 16);
	memcpy(out + 16, x->bytes + IMAGE_AVX + 16 * r, 16);
}

/* The AVX component stays in its initial state while only zeros are put there. */
static inline void image_set_ymm(struct pg_xsave *x, unsigned r, const uint8_t in[32])
{
	static const uint8_t zeros[16];
	uint64_t in_use = image_in_use(x) | IMAGE_SSE;
	memcpy(x->bytes + IMAGE_XMM + 16 * r, in, 16);
	memcpy(x->bytes + IMAGE_AVX + 16 * r, in + 16, 16);
	if (memcmp(in + 16, zeros, 16) != 0)
		in_use |= IMAGE_YMM;
	image_set_in_use(x, in_use);
}

static inline unsigned image_top(const struct pg_xsave *x)
{
	return (image_get16(x->bytes + IMAGE_FSW) >> 11) & 7;
}

/* Is there an x87 exception that the next waiting instruction raises? */
static inline bool image_x87_pending(const struct pg_xsave *x)
{
	return image_get16(x->bytes + IMAGE_FSW) & ~image_get16(x->bytes + IMAGE_FCW) & 0x3f;
}

/* MMX register i is the significand of physical x87 register i; the image has ST(0) = register TOP
 * first. */
static inline void image_get_mmx(const struct pg_xsave *x, unsigned i, uint8_t out[8])
{
	memcpy(out, x->bytes + IMAGE_ST + 16 * ((i - image_top(x)) & 7), 8);
}

/* What any MMX instruction but emms does to the x87 state: TOP becomes 0, every register is valid.
 */
static inline void image_enter_mmx(struct pg_xsave *x)
{
	uint8_t st[128];
	unsigned top = image_top(x);
	uint16_t fsw = image_get16(x->bytes + IMAGE_FSW) & (uint16_t) ~(7u << 11);
	memcpy(st, x->bytes + IMAGE_ST, sizeof(st));
	for (unsigned i = 0; i < 8; i++)
		memcpy(x->bytes + IMAGE_ST + 16 * i, st + 16 * ((i - top) & 7), 16);
	memcpy(x->bytes + IMAGE_FSW, &fsw, 2);
	x->bytes[IMAGE_FTW] = 0xff;
	image_set_in_use(x, image_in_use(x) | IMAGE_X87);
}

#endif
