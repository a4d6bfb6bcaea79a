/* SPDX-License-Identifier: MIT */
/*
 * ui/size/curve.c: see curve.h.
 */
#include "ui/size/curve.h"

#define STEP ((uint64_t)65536) /* memory comes in such steps */

static uint64_t allowed(const struct pg_size_point *points)
{
	uint64_t few = points[0].major / 10 + 16;
	uint64_t cheap = points[0].instructions / PG_SIZE_INSTRUCTIONS;

	return points[0].major + (few > cheap ? few : cheap);
}

static bool is_enough(const struct pg_size_point *points, size_t i)
{
	return points[i].works && points[i].major <= allowed(points);
}

/* How many points from the first on are enough, without a gap. */
static size_t enough(const struct pg_size_point *points, size_t n)
{
	size_t i = 0;

	while (i < n && is_enough(points, i))
		i++;
	return i;
}

/* How many points work, from the first to the last that does. */
static size_t working(const struct pg_size_point *points, size_t n)
{
	while (n > 1 && !points[n - 1].works)
		n--;
	return n;
}

static uint64_t knee(const struct pg_size_point *points, size_t n)
{
	uint64_t most = 0, least = UINT64_MAX, found = 0;
	double best = 0;
	size_t count = 0;

	n = working(points, n);
	for (size_t i = 0; i < n; i++) {
		if (!points[i].works)
			continue;
		count++;
		most = points[i].major > most ? points[i].major : most;
		least = points[i].major < least ? points[i].major : least;
	}
	if (count < 3 || most <= allowed(points))
		return 0;
	for (size_t i = 0; i < n; i++) {
		double span = (double)(points[0].memory_bytes - points[n - 1].memory_bytes);
		double x = (double)(points[i].memory_bytes - points[n - 1].memory_bytes) / span;
		double y = (double)(points[i].major - least) / (double)(most - least);

		if (points[i].works && 1 - x - y > best) {
			best = 1 - x - y;
			found = points[i].memory_bytes;
		}
	}
	return found;
}

void pg_size_advise(const struct pg_size_point *points, size_t n, struct pg_size_advice *out)
{
	size_t good = enough(points, n), works = working(points, n);
	uint64_t best = points[good ? good - 1 : 0].memory_bytes;

	*out = (struct pg_size_advice){.full_bytes = points[0].memory_bytes,
		.floor_bytes = points[works - 1].memory_bytes,
		.knee_bytes = knee(points, n),
		.enough_bytes = best,
		.short_bytes = good < n ? points[good].memory_bytes : 0,
		.major_allowed = allowed(points),
		.by_time = allowed(points) > points[0].major + points[0].major / 10 + 16};
	out->recommended_bytes = pg_align_up(best + best / PG_SIZE_MARGIN, STEP);
	if (out->recommended_bytes > out->full_bytes)
		out->recommended_bytes = out->full_bytes;
}

/* Halfway between two sizes, or 0 if they are near enough. */
static uint64_t between(uint64_t high, uint64_t low, uint64_t least)
{
	uint64_t half = pg_align_down((high + low) / 2, STEP);

	if (high - low <= high / 32 || half >= high || half <= low || half < least)
		return 0;
	return half;
}

uint64_t pg_size_refine(const struct pg_size_point *points, size_t n, uint64_t least)
{
	size_t good = enough(points, n), works = working(points, n);
	uint64_t next = 0;

	if (good > 0 && good < n)
		next = between(points[good - 1].memory_bytes, points[good].memory_bytes, least);
	if (!next && works < n)
		next = between(points[works - 1].memory_bytes, points[works].memory_bytes, least);
	return next;
}
