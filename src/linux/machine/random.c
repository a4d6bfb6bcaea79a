/* SPDX-License-Identifier: MIT */
/*
 * linux/machine/random.c: the machine's random numbers: of a seed, the same on each run, or the host's.
 *
 * Called by linux/linux.c (the seed), exec/ (the layout, AT_RANDOM) and calls/misc.c (getrandom). Owns pg_linux.random_state.
 * Source: splitmix64 for the seed, xoshiro256** for the stream (Blackman, Vigna 2018).
 */
#include "linux/machine/machine.h"

#include <string.h>
#include <sys/random.h>

void pg_linux_seed(struct pg_linux *l, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15u);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		l->random_state[i] = z ^ (z >> 31);
	}
}

static uint64_t rotate(uint64_t v, unsigned n)
{
	return (v << n) | (v >> (64 - n));
}

static uint64_t next_random(struct pg_linux *l)
{
	uint64_t *s = l->random_state, r = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return r;
}

void pg_linux_random(struct pg_linux *l, void *buf, uint64_t n)
{
	uint8_t *p = buf;

	while (n > 0) {
		uint64_t part = n < 8 ? n : 8, r = 0;

		if (l->seeded) {
			r = next_random(l);
		} else {
			ssize_t got = getrandom(&r, sizeof(r), 0);

			if (got != (ssize_t)sizeof(r))
				r = next_random(l); /* seeded from the clock in create */
		}
		memcpy(p, &r, part);
		p += part;
		n -= part;
	}
}

uint64_t pg_linux_random_below(struct pg_linux *l, uint64_t bound)
{
	uint64_t r;

	pg_linux_random(l, &r, sizeof(r));
	return bound != 0 ? r % bound : 0;
}
