/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/test_partition.c: frame/partition.h beside a map of units, searched naively by the definitions.
 *
 * Guards P1 to P6 and the requirements R1, R2 (growth in place) and R3. The model keeps an owner for each
 * unit and nothing else.
 */
#include "base/random.h"
#include "frame/partition.h"
#include "frame/partition_queue.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNITS 300
#define MOST 120
#define STEPS 20000

struct model {
	int owner[UNITS + 1]; /* 0: free; [UNITS] is never free */
	uint64_t rover;
};

struct hole {
	uint64_t start, units;
};

/* The hole at or behind `from`; units 0: none. */
static struct hole next_hole(const struct model *m, uint64_t from)
{
	uint64_t start = from, end;

	while (start < UNITS && m->owner[start])
		start++;
	for (end = start; end < UNITS && !m->owner[end];)
		end++;
	return (struct hole){start, end - start};
}

/* Whether a is to be taken rather than b; both are large enough. */
static bool better(const struct model *m, enum pg_partition_fit fit, struct hole a, struct hole b)
{
	bool a_behind = a.start + a.units > m->rover, b_behind = b.start + b.units > m->rover;

	if (fit == PG_PARTITION_BEST && a.units != b.units)
		return a.units < b.units;
	if (fit == PG_PARTITION_WORST && a.units != b.units)
		return a.units > b.units;
	if (fit == PG_PARTITION_NEXT && a_behind != b_behind)
		return a_behind;
	return a.start < b.start;
}

/* Where n units go by the definition; -1: nowhere. Every hole is looked at. */
static int64_t place_of(const struct model *m, enum pg_partition_fit fit, uint64_t n)
{
	struct hole found = {0, 0};

	for (struct hole h = next_hole(m, 0); h.units; h = next_hole(m, h.start + h.units))
		if (h.units >= n && (!found.units || better(m, fit, h, found)))
			found = h;
	return found.units ? (int64_t)found.start : -1;
}

static void paint(struct model *m, uint64_t start, uint64_t units, int owner)
{
	for (uint64_t i = start; i < start + units; i++) {
		assert_true(i < UNITS && (m->owner[i] == 0) != (owner == 0));
		m->owner[i] = owner;
	}
}

struct pass {
	const struct model *m;
	uint64_t place;
	bool hole;
};

/* Each span stands where the one before ended, is all free or all owned, and no hole follows a hole. */
static void compare_span(void *ctx, uint64_t start, uint64_t units, bool hole)
{
	struct pass *pass = ctx;

	assert_int_equal(start, pass->place);
	assert_false(hole && pass->hole);
	for (uint64_t i = start; i < start + units; i++) {
		assert_int_equal(pass->m->owner[i] == 0, hole);
		assert_int_equal(pass->m->owner[i], pass->m->owner[start]);
	}
	pass->place = start + units;
	pass->hole = hole;
}

static void compare(const struct model *m, const struct pg_partition *p, uint64_t n)
{
	struct pass pass = {m, 0, false};
	struct pg_partition_figures f;
	uint64_t holes = 0, largest = 0, all = 0, small = 0;
	const char *broken = pg_partition_check(p);

	if (broken)
		fail_msg("%s", broken);
	pg_partition_walk(p, compare_span, &pass);
	assert_int_equal(pass.place, UNITS);
	for (struct hole h = next_hole(m, 0); h.units; h = next_hole(m, h.start + h.units)) {
		holes++;
		all += h.units;
		small += h.units < n ? h.units : 0;
		largest = h.units > largest ? h.units : largest;
	}
	pg_partition_figures(p, &f);
	assert_int_equal(f.holes, holes);
	assert_int_equal(f.free, all);
	assert_int_equal(f.largest, largest);
	assert_int_equal(pg_partition_unusable(p, n), small);
}

static uint64_t end_of(const struct pg_partition_block *b)
{
	return pg_partition_start(b) + pg_partition_units(b);
}

struct driver {
	struct model m;
	struct pg_partition *p;
	enum pg_partition_fit fit;
	struct pg_partition_block *blocks[MOST];
	int n, name;
	uint64_t failed, scattered, exact;
};

static void step_alloc(struct driver *d, uint64_t n)
{
	int64_t place = place_of(&d->m, d->fit, n);
	struct pg_partition_block *b;
	uint64_t all = 0;
	int r;

	if (d->n == MOST)
		return;
	for (int i = 0; i < UNITS; i++)
		all += d->m.owner[i] == 0;
	r = pg_partition_alloc(d->p, n, &b);
	assert_int_equal(r, place < 0 ? -ENOSPC : 0);
	d->failed += place < 0;
	d->scattered += place < 0 && all >= n;
	if (place < 0)
		return;
	assert_int_equal(pg_partition_start(b), place);
	assert_int_equal(pg_partition_units(b), n);
	d->exact += next_hole(&d->m, (uint64_t)place).units == n;
	paint(&d->m, (uint64_t)place, n, ++d->name);
	d->m.rover = (uint64_t)place + n;
	d->blocks[d->n++] = b;
}

static void step_free(struct driver *d, int i)
{
	struct pg_partition_block *b = d->blocks[i];

	paint(&d->m, pg_partition_start(b), pg_partition_units(b), 0);
	pg_partition_free(d->p, b);
	d->blocks[i] = d->blocks[--d->n];
}

static void step_grow(struct driver *d, int i, uint64_t more)
{
	struct pg_partition_block *b = d->blocks[i];
	uint64_t end = end_of(b);
	struct hole h = next_hole(&d->m, end);
	bool room = h.start == end && h.units >= more;

	assert_int_equal(pg_partition_grow(d->p, b, more), room ? 0 : -ENOSPC);
	if (room)
		paint(&d->m, end, more, d->m.owner[end - 1]);
	assert_int_equal(end_of(b), room ? end + more : end);
}

/* Compaction: the block comes to where the hole before it began. */
static void step_slide(struct driver *d, int i)
{
	struct pg_partition_block *b = d->blocks[i];
	uint64_t start = pg_partition_start(b), units = pg_partition_units(b), to = start;
	struct hole after = next_hole(&d->m, start + units);
	int owner = d->m.owner[start];

	while (to > 0 && !d->m.owner[to - 1])
		to--;
	assert_int_equal(pg_partition_around(b),
		units + (start - to) + (after.start == start + units ? after.units : 0));
	assert_int_equal(pg_partition_slide(d->p, b), start - to);
	assert_int_equal(pg_partition_start(b), to);
	assert_int_equal(pg_partition_units(b), units);
	paint(&d->m, start, units, 0);
	paint(&d->m, to, units, owner);
}

static void each_fit_picks_what_its_definition_says(void **state)
{
	struct pg_random r;
	uint64_t fails = 0;

	(void)state;
	pg_random_seed(&r, 1);
	for (int variant = 0; variant < 2 * PG_PARTITION_FITS; variant++) {
		struct driver d = {.fit = variant / 2, .m.owner[UNITS] = -1};
		struct pg_partition_figures f;

		assert_int_equal(pg_partition_create(UNITS, d.fit, variant % 2, &d.p), 0);
		for (int i = 0; i < STEPS; i++) {
			uint64_t what = pg_random_below(&r, 100);
			uint64_t n = 1 + pg_random_below(&r, pg_random_one_in(&r, 8) ? 60 : 8);
			bool fills = i / 500 % 2; /* phases: fuller, then emptier */

			if (what < (fills ? 60 : 40))
				step_alloc(&d, n);
			else if (what < 90 && d.n)
				step_free(&d, (int)pg_random_below(&r, (uint64_t)d.n));
			else if (what < 94 && d.n)
				step_slide(&d, (int)pg_random_below(&r, (uint64_t)d.n));
			else if (d.n)
				step_grow(&d, (int)pg_random_below(&r, (uint64_t)d.n), n);
			compare(&d.m, d.p, n);
		}
		pg_partition_figures(d.p, &f);
		assert_int_equal(f.failed, d.failed);
		assert_int_equal(f.scattered, d.scattered);
		assert_int_equal(f.exact, d.exact);
		assert_true(d.scattered > 100); /* the streams reach what they are to test */
		assert_true(d.exact > 100);
		fails += d.failed;
		pg_partition_destroy(d.p);
	}
	assert_true(fails > 1000);
}

/* Holes = p/2 * blocks, p the share of allocations that leave a rest. Knuth, vol. 1, 2.5, "fifty-percent rule". */
static void fifty_percent_rule_holds_in_equilibrium(void **state)
{
	enum { live = 2000, warm = 60000, steps = 300000 };
	struct pg_partition_block **blocks = calloc(live, sizeof *blocks);
	struct pg_random r;

	(void)state;
	assert_non_null(blocks);
	pg_random_seed(&r, 2);
	for (int fit = 0; fit < PG_PARTITION_FITS; fit++) {
		struct pg_partition *p;
		struct pg_partition_figures f, start = {0};
		double holes = 0, share, rule;

		/* The mean size is 2048: memory is loaded by a half, and no request fails. */
		assert_int_equal(pg_partition_create(live * 4096, fit, false, &p), 0);
		for (int i = 0; i < live + warm + steps; i++) {
			uint64_t k = i < live ? (uint64_t)i : pg_random_below(&r, live);

			if (i >= live)
				pg_partition_free(p, blocks[k]);
			assert_int_equal(
				pg_partition_alloc(p, 1 + pg_random_below(&r, 4095), &blocks[k]),
				0);
			if (i < live + warm)
				continue;
			pg_partition_figures(p, &f);
			if (i == live + warm)
				start = f;
			holes += (double)f.holes / live;
		}
		pg_partition_figures(p, &f);
		share = 1 - (double)(f.exact - start.exact) / (double)(f.searches - start.searches);
		rule = share / 2;
		holes /= steps;
		print_message("%s-fit: %.4f holes a block, the rule says %.4f\n",
			pg_partition_fit_names[fit], holes, rule);
		assert_true(holes > 0.97 * rule && holes < 1.03 * rule);
		assert_null(pg_partition_check(p));
		pg_partition_destroy(p);
	}
	free(blocks);
}

/* Doubling the holes adds a constant to the tree's search, and doubles that of a list read to its end. */
static uint64_t steps_with_holes(enum pg_partition_fit fit, bool linear, uint64_t holes)
{
	struct pg_partition_block **blocks = calloc(2 * holes, sizeof *blocks);
	struct pg_partition_figures before, after;
	struct pg_partition_block *b;
	struct pg_partition *p;

	assert_non_null(blocks);
	assert_int_equal(pg_partition_create(4 * holes, fit, linear, &p), 0);
	for (uint64_t i = 0; i < 2 * holes; i++)
		assert_int_equal(pg_partition_alloc(p, 2, &blocks[i]), 0);
	for (uint64_t i = 0; i < 2 * holes; i += 2)
		pg_partition_free(p, blocks[i]);
	pg_partition_figures(p, &before);
	assert_int_equal(before.holes, holes);
	assert_int_equal(pg_partition_alloc(p, 3, &b), -ENOSPC);
	pg_partition_figures(p, &after);
	assert_int_equal(after.scattered, before.scattered + 1);
	assert_int_equal(pg_partition_alloc(p, 1, &b), 0);
	pg_partition_figures(p, &after);
	pg_partition_destroy(p);
	free(blocks);
	return after.steps - before.steps;
}

static void search_of_many_holes_is_logarithmic(void **state)
{
	(void)state;
	for (int fit = 0; fit < PG_PARTITION_FITS; fit++) {
		/* Two searches; a tree of 65536 is at most 1.44 * 16 + 1 high, and is gone down twice at most. */
		assert_true(steps_with_holes(fit, false, 65536) <= 2 * 2 * 24);
		assert_true(steps_with_holes(fit, true, 4096) >= 4096);
	}
}

/* The first in order of those that want no more than `most`, by asking everybody; -1: nobody. */
static int naive_fitting(const struct pg_wait *w, const bool *in, int n, bool urgent, uint64_t most)
{
	int found = -1;

	for (int i = 0; i < n; i++) {
		if (!in[i] || w[i].size > most)
			continue;
		if (found < 0 || (urgent && w[i].priority != w[found].priority
						 ? w[i].priority > w[found].priority
						 : w[i].age < w[found].age))
			found = i;
	}
	return found;
}

/* R1, "the wait queue": joining, leaving and coming back in random order. */
static void queue_finds_who_is_first_and_fits(void **state)
{
	enum { most = 60 };
	struct pg_random r;

	(void)state;
	pg_random_seed(&r, 3);
	for (int urgent = 0; urgent < 2; urgent++) {
		struct pg_wait w[most] = {0};
		bool in[most] = {false}, known[most] = {false};
		struct pg_wait_queue q;

		pg_wait_init(&q, urgent);
		for (int step = 0; step < 20000; step++) {
			int i = (int)pg_random_below(&r, most), want;
			uint64_t size = pg_random_below(&r, 40);
			struct pg_wait *got;

			if (in[i])
				pg_wait_leave(&q, &w[i]);
			else if (known[i] && pg_random_one_in(&r, 3))
				pg_wait_rejoin(&q, &w[i]);
			else
				pg_wait_join(&q, &w[i], 1 + pg_random_below(&r, 30),
					(unsigned)pg_random_below(&r, 4));
			in[i] = !in[i];
			known[i] = true;
			if (step % 16 == 0)
				assert_null(pg_wait_check(&q));
			want = naive_fitting(w, in, most, urgent, size);
			got = pg_wait_fitting(&q, size);
			assert_int_equal(got ? got - w : -1, want);
			want = naive_fitting(w, in, most, urgent, UINT64_MAX);
			got = pg_wait_head(&q);
			assert_int_equal(got ? got - w : -1, want);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fit_picks_what_its_definition_says),
		cmocka_unit_test(fifty_percent_rule_holds_in_equilibrium),
		cmocka_unit_test(search_of_many_holes_is_logarithmic),
		cmocka_unit_test(queue_finds_who_is_first_and_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
