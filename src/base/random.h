/* SPDX-License-Identifier: MIT */
/*
 * base/random.h: deterministic random numbers, for tests and for whatever must repeat exactly.
 *
 * splitmix64 seeds xoshiro256**. Source of both: Blackman and Vigna, "Scrambled linear
 * pseudorandom number generators", ACM TOMS 47 (2021). Not for secrets.
 */
#ifndef PG_BASE_RANDOM_H
#define PG_BASE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct pg_random {
	uint64_t s[4]; /* not all zero */
};

static inline uint64_t pg_splitmix64(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* The same seed gives the same sequence, on every host. */
static inline void pg_random_seed(struct pg_random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = pg_splitmix64(&seed);
}

static inline uint64_t pg_random_next(struct pg_random *r)
{
	uint64_t x = r->s[1] * 5, t = r->s[1] << 17;
	uint64_t result = ((x << 7) | (x >> 57)) * 9;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = (r->s[3] << 45) | (r->s[3] >> 19);
	return result;
}

/* Uniform in [0, n), n > 0; off by less than n / 2^64. */
static inline uint64_t pg_random_below(struct pg_random *r, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)pg_random_next(r) * n) >> 64);
}

/* True once in n on average. */
static inline bool pg_random_one_in(struct pg_random *r, uint64_t n)
{
	return pg_random_below(r, n) == 0;
}

#endif
