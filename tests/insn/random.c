/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/random.c: repeatable random numbers, and values that find bugs: edges, small
 * numbers, floating-point specials.
 *
 * Called by generate.c, block.c, memory.c. Source: the splitmix64 generator (Steele, Lea and
 * Flood, "Fast splittable pseudorandom number generators", 2014).
 */
#include "insn.h"

#include <string.h>

uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t rng_value(struct rng *r)
{
	uint64_t v = rng_next(r);
	switch (rng_below(r, 10)) {
	case 0:
		return 0;
	case 1:
		return v & 63;
	case 2:
		return ~(v & 15);
	case 3:
		return (uint64_t)1 << (v & 63);
	case 4:
		return ((uint64_t)1 << (v & 63)) - 1;
	case 5:
		return (uint64_t)(int64_t)(int32_t)v;
	case 6:
		return v & 0xffffffff;
	default:
		return v;
	}
}

static const uint64_t doubles[] = {0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000,
	0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001,
	0x0000000000000001, 0x000fffffffffffff, 0x7fefffffffffffff, 0x4340000000000000,
	0x41dfffffffc00000, 0x43e0000000000000, 0x3fe0000000000000, 0x400921fb54442d18};
static const uint32_t singles[] = {0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
	0x7fc00000, 0x7f800001, 0x00000001, 0x007fffff, 0x7f7fffff, 0x4b000000, 0x4f000000,
	0x3f000000, 0x40490fdb, 0x00800000};

void rng_fill(struct rng *r, uint8_t *out, unsigned n)
{
	unsigned kind = rng_below(r, 6);
	for (unsigned i = 0; i < n; i += 8) {
		uint64_t v = rng_next(r);
		switch (kind) {
		case 0:
			v = rng_value(r);
			break;
		case 1:
			v = doubles[v % 16];
			break;
		case 2:
			v = singles[v % 16] | (uint64_t)singles[(v >> 32) % 16] << 32;
			break;
		case 3: /* doubles near one another */
			v = (v & 0x800fffffffffffff) | (uint64_t)(0x3f0 + (v >> 52) % 32) << 52;
			break;
		case 4: /* bytes near zero and the signs */
			v = (v & 0x8181818181818181) ^ (rng_chance(r, 50) ? 0x7f7f7f7f7f7f7f7f : 0);
			break;
		default:
			break;
		}
		memcpy(out + i, &v, n - i < 8 ? n - i : 8);
	}
}
