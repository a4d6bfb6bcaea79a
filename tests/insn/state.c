/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/state.c: random registers: general, flags, x87, SSE and AVX, with a liking for what
 * hurts.
 *
 * Called by generate.c and block.c, which then aim some of the registers at memory.
 */
#include "insn.h"

#include <string.h>

static void random_x87(struct rng *r, uint8_t *x)
{
	static const uint16_t cws[] = {0x37f, 0x37f, 0x27f, 0x07f, 0xf7f, 0xb7f, 0x77f, 0x37f};
	uint16_t cw = cws[rng_below(r, 8)];
	if (rng_chance(r, 4))
		cw &= (uint16_t) ~(1u << rng_below(r, 6)); /* one exception unmasked */
	uint16_t sw = (uint16_t)(rng_next(r) & 0x4700) | (uint16_t)(rng_below(r, 8) << 11);
	if (rng_chance(r, 20))
		sw |= (uint16_t)(rng_next(r) & 0x3f & cw); /* sticky flags of masked exceptions */
	if (rng_chance(r, 3))
		sw |= (uint16_t)(rng_next(r) & 0x3f); /* one pending, perhaps */
	if (sw & ~cw & 0x3f)
		sw |= 0x8080; /* then the summary bits say so */
	memcpy(x, &cw, 2);
	memcpy(x + 2, &sw, 2);
	x[4] = rng_chance(r, 60) ? 0xff : rng_chance(r, 50) ? 0 : (uint8_t)rng_next(r);
	for (unsigned i = 0; i < 8; i++) {
		uint8_t *st = x + 32 + 16 * i;
		uint64_t m = rng_next(r) | (uint64_t)1 << 63;
		uint16_t e =
			(uint16_t)(0x3ff0 + rng_below(r, 32)) | (rng_chance(r, 50) ? 0x8000 : 0);
		switch (rng_below(r, 10)) {
		case 0:
			m = 0, e &= 0x8000;
			break;
		case 1:
			m = (uint64_t)1 << 63, e |= 0x7fff;
			break;
		case 2:
			e |= 0x7fff;
			break;
		case 3:
			e &= 0x8000, m = rng_next(r) >> 1; /* denormal */
			break;
		case 4:
			m = rng_next(r),
			e = (uint16_t)rng_next(r); /* possibly not a number at all */
			break;
		default:
			break;
		}
		memcpy(st, &m, 8);
		memcpy(st + 8, &e, 2);
	}
}

void insn_state_random(struct insn_case *c, struct rng *r)
{
	struct insn_state *s = &c->before;
	uint64_t bv = 7;
	memset(s, 0, sizeof *s);
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = rng_chance(r, 25) ? insn_aim(r, 16, true) : rng_value(r);
	s->gpr[4] =
		rng_chance(r, 85) ? 0x30000000 + 8 * rng_below(r, 0x600) : insn_aim(r, 8, false);
	/* CF PF AF ZF SF OF random; DF now and then. ptrace sets neither ID nor NT: those come from popf only. */
	s->rflags = 0x202 | (rng_next(r) & 0x8d5);
	if (rng_chance(r, 12))
		s->rflags |= 0x400;
	s->fs_base = rng_chance(r, 50) ? insn_aim(r, 16, true) : rng_next(r) & 0x3ffffffff;
	s->gs_base = rng_chance(r, 50) ? insn_aim(r, 16, true) : rng_next(r) & 0x3ffffffff;
	random_x87(r, s->x);
	static const uint32_t csrs[] = {
		0x1f80, 0x1f80, 0x3f80, 0x5f80, 0x7f80, 0x9fc0, 0x9f80, 0x1fc0};
	uint32_t csr = csrs[rng_below(r, 8)] | (rng_chance(r, 30) ? (rng_next(r) & 0x3f) : 0);
	if (rng_chance(r, 4))
		csr &= ~(0x80u << rng_below(r, 6));
	memcpy(s->x + 24, &csr, 4);
	for (unsigned i = 0; i < 16; i++) {
		rng_fill(r, s->x + 160 + 16 * i, 16);
		rng_fill(r, s->x + 576 + 16 * i, 16);
	}
	memcpy(s->x + 512, &bv, 8);
}
