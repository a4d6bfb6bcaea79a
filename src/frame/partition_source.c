/* SPDX-License-Identifier: MIT */
/*
 * frame/partition_source.c: where the requests of a stream come from: random numbers, or a record.
 *
 * Called by partition_stream.c and by who writes a stream down, through frame/partition_stream.h. Calls base/random.h. No function
 * of the mathematical library is used, so that a stream is the same on every host.
 */
#include <errno.h>

#include "frame/partition_stream.h"

const char *const pg_stream_size_names[PG_STREAM_SIZES] = {
	"uniform", "exponential", "bimodal", "pareto", "fixed"};
const char *const pg_stream_lifetime_names[PG_STREAM_LIFETIMES] = {
	"exponential", "uniform", "bimodal", "pareto", "fixed"};

/* ---- distributions with mean 1 */

/* Uniform over [0, 1). */
static double share(struct pg_random *r)
{
	return (double)(pg_random_next(r) >> 11) * 0x1p-53;
}

/*
 * Exponential, by comparisons alone: a falling run of uniform numbers is odd in length with probability e^-x, x its first.
 * Source: von Neumann 1951; Knuth, vol. 2, 3.4.1.
 */
static double exponential(struct pg_random *r)
{
	for (double whole = 0;; whole++) {
		uint64_t first = pg_random_next(r), last = first, next;
		bool odd = true;

		while ((next = pg_random_next(r)) < last) {
			last = next;
			odd = !odd;
		}
		if (odd)
			return whole + (double)(first >> 11) * 0x1p-53;
	}
}

/* Pareto's with exponent 2, 1/2 or more: the larger of two uniform numbers is distributed as the root of one. */
static double pareto(struct pg_random *r)
{
	double a = 1 - share(r), b = 1 - share(r);

	return 0.5 / (a > b ? a : b);
}

/* ---- sizes and lifetimes */

/* Uniform over 1 .. 2 * mean - 1, in units. */
static uint64_t uniform_units(struct pg_random *r, uint64_t mean_bytes)
{
	return 1 + pg_random_below(r, 2 * mean_bytes / PG_STREAM_UNIT_BYTES - 1);
}

/* x times the mean in units, cut at the most. */
static uint64_t units_of(double x)
{
	const uint64_t most = PG_STREAM_MOST_BYTES / PG_STREAM_UNIT_BYTES;

	x *= PG_STREAM_MEAN_BYTES / PG_STREAM_UNIT_BYTES;
	return x >= (double)most ? most : (uint64_t)x + 1;
}

static uint64_t draw_units(struct pg_random *r, enum pg_stream_sizes sizes)
{
	switch (sizes) {
	case PG_STREAM_EXPONENTIAL:
		return units_of(exponential(r));
	case PG_STREAM_BIMODAL:
		return uniform_units(r, pg_random_one_in(r, 10) ? 496 << 10 : 16 << 10);
	case PG_STREAM_PARETO:
		return units_of(pareto(r));
	case PG_STREAM_FIXED:
		return PG_STREAM_MEAN_BYTES / PG_STREAM_UNIT_BYTES;
	default:
		return uniform_units(r, PG_STREAM_MEAN_BYTES);
	}
}

static double draw_lifetime(struct pg_random *r, enum pg_stream_lifetimes lifetimes)
{
	switch (lifetimes) {
	case PG_LIFETIME_UNIFORM:
		return 2 * share(r);
	case PG_LIFETIME_BIMODAL:
		return (pg_random_one_in(r, 10) ? 5.5 : 0.5) * exponential(r);
	case PG_LIFETIME_PARETO:
		return pareto(r);
	case PG_LIFETIME_FIXED:
		return 1;
	default:
		return exponential(r);
	}
}

/* ---- the source */

static double mean_lifetime(const struct pg_stream *s)
{
	return s->load * (double)s->memory_bytes / PG_STREAM_MEAN_BYTES;
}

uint64_t pg_stream_warm(const struct pg_stream *s, bool *equilibrium)
{
	static const double lifetimes[PG_STREAM_LIFETIMES] = {[PG_LIFETIME_EXPONENTIAL] = 10,
		[PG_LIFETIME_UNIFORM] = 10,
		[PG_LIFETIME_BIMODAL] = 55,
		[PG_LIFETIME_PARETO] = 13,
		[PG_LIFETIME_FIXED] = 10};
	double wanted = s->recorded ? 0 : lifetimes[s->lifetimes] * mean_lifetime(s);

	if (s->warm != UINT64_MAX) {
		*equilibrium = (double)s->warm >= wanted;
		return s->warm;
	}
	*equilibrium = wanted <= (double)(s->requests / 2);
	return *equilibrium ? (uint64_t)wanted : s->requests / 2;
}

int pg_stream_begin(struct pg_stream_source *source, const struct pg_stream *s)
{
	bool random = !s->recorded;

	if (s->requests < 2 || (s->warm != UINT64_MAX && s->warm >= s->requests) ||
		s->page_bytes < PG_STREAM_UNIT_BYTES || (s->page_bytes & (s->page_bytes - 1)) ||
		s->memory_bytes == 0 || s->memory_bytes % s->page_bytes)
		return -EINVAL;
	if (random && (s->memory_bytes < PG_STREAM_MOST_BYTES || !(s->load > 0) ||
			      s->sizes >= PG_STREAM_SIZES || s->lifetimes >= PG_STREAM_LIFETIMES))
		return -EINVAL;
	*source = (struct pg_stream_source){.s = s, .lifetime = random ? mean_lifetime(s) : 0};
	pg_random_seed(&source->random, s->seed);
	/* Priorities have a sequence of their own: sizes and times are the same with and without them. */
	pg_random_seed(&source->lots, ~s->seed);
	return 0;
}

bool pg_stream_next(struct pg_stream_source *source, struct pg_stream_request *out)
{
	const struct pg_stream *s = source->s;

	if (source->next == s->requests)
		return false;
	if (s->recorded) {
		*out = s->recorded[source->next++];
		return true;
	}
	out->time = (double)source->next++;
	out->bytes = draw_units(&source->random, s->sizes) * PG_STREAM_UNIT_BYTES;
	out->lifetime = source->lifetime * draw_lifetime(&source->random, s->lifetimes);
	out->priority = (unsigned)pg_random_below(&source->lots, PG_STREAM_PRIORITIES);
	return true;
}
