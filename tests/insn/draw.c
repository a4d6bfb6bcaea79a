/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/draw.c: from a template to bytes, with all their odd but legal variations: prefixes in
 * any order and number, REX bits, every form of address.
 *
 * Called by generate.c, which asks the decoder whether the bytes are that instruction at all.
 */
#include "insn.h"

#include <string.h>

static unsigned pick_form(struct rng *r, uint64_t forms)
{
	unsigned n = rng_below(r, (uint32_t)__builtin_popcountll(forms));
	while (n--)
		forms &= forms - 1;
	return (unsigned)__builtin_ctzll(forms);
}

/* ModRM with SIB and displacement for a memory operand. A plan fixes base and index. */
static unsigned draw_memory(struct rng *r, uint8_t *b, unsigned reg, const struct insn_plan *plan,
	bool vsib, unsigned *rex)
{
	unsigned n = 0, mod = rng_below(r, 3), rm = rng_below(r, 8);
	if (vsib || rng_chance(r, 20))
		rm = 4;
	if (plan->count) {
		unsigned base = plan->base[rng_below(r, plan->count)];
		bool sib = vsib || (base & 7) == 4 || (plan->index < 16 && rng_chance(r, 35));
		if (rng_chance(r, 8) && !vsib) { /* RIP-relative or absolute */
			b[n++] = (uint8_t)(reg << 3 | (rng_chance(r, 70) ? 5 : 4));
			if ((b[0] & 7) == 4)
				b[n++] = 0x25;
			*rex &= 4;
			memset(b + n, 0, 4);
			return n + 4;
		}
		mod = 1 + rng_below(r, 2);
		*rex = (*rex & 4) | (base >> 3);
		if (sib) {
			unsigned index = vsib               ? rng_below(r, 16)
					 : plan->index < 16 ? plan->index
							    : 4;
			*rex |= index >> 3 << 1;
			b[n++] = (uint8_t)(mod << 6 | reg << 3 | 4);
			b[n++] = (uint8_t)(rng_below(r, 4) << 6 | (index & 7) << 3 | (base & 7));
		} else {
			b[n++] = (uint8_t)(mod << 6 | reg << 3 | (base & 7));
		}
		/* small displacements only, the pointer stays in its page pair */
		int32_t d = (int32_t)rng_below(r, 96) - 32;
		memcpy(b + n, &d, 4);
		return n + (mod == 1 ? 1 : 4);
	}
	b[n++] = (uint8_t)(mod << 6 | reg << 3 | rm);
	if (rm == 4)
		b[n++] = (uint8_t)rng_next(r);
	bool disp32 = mod == 2 || (mod == 0 && (rm == 5 || (rm == 4 && (b[1] & 7) == 5)));
	if (mod == 1) {
		b[n++] = (uint8_t)rng_next(r);
	} else if (disp32) {
		uint32_t d =
			rng_chance(r, 50) ? (uint32_t)rng_next(r) : (uint32_t)rng_below(r, 512);
		memcpy(b + n, &d, 4);
		n += 4;
	}
	return n;
}

static unsigned draw_prefixes(
	struct rng *r, const struct insn_template *t, const struct insn_plan *plan, uint8_t *b)
{
	static const uint8_t segments[] = {
		0x64, 0x65, 0x64, 0x65, 0x64, 0x65, 0x26, 0x2e, 0x36, 0x3e};
	unsigned n = 0;
	bool free_choice = plan->count == 0;
	if (rng_chance(r, free_choice ? 12 : 2))
		b[n++] = segments[rng_below(r, sizeof segments)];
	if (rng_chance(r, free_choice ? 8 : 2))
		b[n++] = 0x67;
	if (t->encoding == 1)
		return n;
	if (t->memory && !t->prefix && rng_chance(r, 8))
		b[n++] = 0xf0; /* refused by the decoder where it is not allowed */
	if (t->prefix)
		b[n++] = t->prefix;
	if ((t->prefix == 0xf2 || t->prefix == 0xf3) && rng_chance(r, 5))
		b[n++] = 0x66;
	if (rng_chance(r, 2))
		b[n++] = segments[6 + rng_below(r, 4)]; /* a second, meaningless one */
	/* any order: the processor does not mind */
	if (n > 1 && rng_chance(r, 50)) {
		uint8_t x = b[0];
		b[0] = b[n - 1];
		b[n - 1] = x;
	}
	return n;
}

unsigned insn_draw(
	struct rng *r, const struct insn_template *t, const struct insn_plan *plan, uint8_t *b)
{
	unsigned n = draw_prefixes(r, t, plan, b);
	unsigned form = t->modrm ? pick_form(r, t->forms) : 0;
	unsigned rex = (unsigned)rng_next(r) & 7; /* R X B */
	uint8_t m[8];
	unsigned mn = 0;
	bool vsib = t->encoding == 1 && t->map == 2 && t->opcode >= 0x90 && t->opcode <= 0x93;
	if (t->modrm && t->memory)
		mn = draw_memory(r, m, form, plan, vsib, &rex);
	else if (t->modrm)
		m[mn++] = (uint8_t)(0xc0 | form);
	if (t->encoding == 1) {
		unsigned pp = t->prefix == 0x66   ? 1
			      : t->prefix == 0xf3 ? 2
			      : t->prefix == 0xf2 ? 3
						  : 0;
		unsigned v = rng_chance(r, 40) ? 15 : rng_below(r, 16);
		if (t->map == 1 && !t->w && !(rex & 3) && rng_chance(r, 60)) {
			b[n++] = 0xc5;
			b[n++] = (uint8_t)((~rex & 4) << 5 | v << 3 | t->l << 2 | pp);
		} else {
			b[n++] = 0xc4;
			b[n++] = (uint8_t)((~rex & 7) << 5 | t->map);
			b[n++] = (uint8_t)(t->w << 7 | v << 3 | t->l << 2 | pp);
		}
	} else {
		bool planned = plan->count && t->modrm && t->memory;
		if (t->w)
			b[n++] = (uint8_t)(0x48 | rex);
		else if (planned ? rex & 3 : rng_chance(r, 50))
			b[n++] = (uint8_t)(0x40 | rex);
		if (t->map > 0)
			b[n++] = 0x0f;
		if (t->map > 1)
			b[n++] = t->map == 2 ? 0x38 : 0x3a;
	}
	b[n++] = t->opcode;
	memcpy(b + n, m, mn);
	n += mn;
	/* immediates, whatever their size: the decoder says how many bytes belong to it */
	for (unsigned i = 0; i < 8; i++)
		b[n + i] = (uint8_t)rng_next(r);
	if (rng_chance(r, 30))
		memset(b + n, 0, 8), b[n] = (uint8_t)rng_below(r, 70);
	return n;
}
