/* SPDX-License-Identifier: MIT */
/*
 * tests/ui/test_size.c: ui/size/curve.h on curves whose answer is known. Row R13.
 */
#include "ui/size/curve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)

static struct pg_size_point point(uint64_t mib, uint64_t major)
{
	return (struct pg_size_point){
		.memory_bytes = mib * MIB, .works = true, .same = true, .major = major};
}

static void advise_flat_curve_has_no_knee_and_the_least_is_enough(void **state)
{
	struct pg_size_point p[] = {point(64, 100), point(32, 100), point(16, 101), point(8, 120)};
	struct pg_size_advice a;

	pg_size_advise(p, 4, &a);
	assert_int_equal(a.full_bytes, 64 * MIB);
	assert_int_equal(a.major_allowed, 126); /* 100, a tenth, 16 */
	assert_int_equal(a.enough_bytes, 8 * MIB);
	assert_int_equal(a.short_bytes, 0);
	assert_int_equal(a.knee_bytes, 0);
	assert_int_equal(a.floor_bytes, 8 * MIB);
	assert_int_equal(a.recommended_bytes, 9 * MIB);
}

/* A loop: all or nothing. */
static void advise_cliff_is_found_on_both_sides(void **state)
{
	struct pg_size_point p[] = {point(64, 1000), point(48, 1000), point(40, 1050),
		point(32, 90000), point(16, 100000), point(8, 101000)};
	struct pg_size_advice a;

	pg_size_advise(p, 6, &a);
	assert_int_equal(a.enough_bytes, 40 * MIB);
	assert_int_equal(a.short_bytes, 32 * MIB);
	assert_int_equal(a.recommended_bytes, 45 * MIB);
	assert_int_equal(a.floor_bytes, 8 * MIB);
}

/* y = 1 / x is farthest from its chord where both scaled coordinates are equal, at the geometric mean of the ends. */
static void advise_hyperbola_bends_at_the_geometric_mean(void **state)
{
	struct pg_size_point p[64];
	struct pg_size_advice a;
	size_t n = 0;

	for (uint64_t m = 64; m >= 1; m--)
		p[n++] = point(m, 6400000 / m);
	pg_size_advise(p, n, &a);
	assert_int_equal(a.knee_bytes, 8 * MIB);
}

static void advise_point_that_failed_is_not_on_the_curve(void **state)
{
	struct pg_size_point p[] = {point(64, 100), point(32, 200), point(16, 1000), point(8, 1)};
	struct pg_size_advice a;

	p[3].works = false;
	p[3].oom = true;
	pg_size_advise(p, 4, &a);
	assert_int_equal(a.floor_bytes, 16 * MIB);
	assert_int_equal(a.enough_bytes, 64 * MIB);
	assert_int_equal(a.short_bytes, 32 * MIB);
	assert_int_equal(a.recommended_bytes, 64 * MIB); /* never more than all */
	assert_int_equal(a.knee_bytes, 32 * MIB);
}

/* A lucky small size does not count if a larger one was worse. */
static void advise_enough_has_no_gap(void **state)
{
	struct pg_size_point p[] = {point(64, 100), point(32, 500), point(16, 100)};
	struct pg_size_advice a;

	pg_size_advise(p, 3, &a);
	assert_int_equal(a.enough_bytes, 64 * MIB);
	assert_int_equal(a.short_bytes, 32 * MIB);
}

static void advise_single_point_is_all(void **state)
{
	struct pg_size_point p[] = {point(5, 7)};
	struct pg_size_advice a;

	pg_size_advise(p, 1, &a);
	assert_int_equal(a.full_bytes, 5 * MIB);
	assert_int_equal(a.enough_bytes, 5 * MIB);
	assert_int_equal(a.recommended_bytes, 5 * MIB);
	assert_int_equal(a.knee_bytes, 0);
	assert_int_equal(pg_size_refine(p, 1, MIB), 0);
}

/* A long program may have more faults: one for each two million instructions costs it a tenth of its time at 100 us a fault. */
static void advise_long_program_may_wait_a_tenth_of_its_time(void **state)
{
	struct pg_size_point p[] = {point(64, 100), point(32, 5100), point(16, 5101)};
	struct pg_size_advice a;

	pg_size_advise(p, 3, &a);
	assert_int_equal(a.enough_bytes, 64 * MIB);
	assert_int_equal(a.major_allowed, 126);
	assert_false(a.by_time);
	p[0].instructions = 10000000000u; /* 5 s; 0.5 s is 5000 faults */
	pg_size_advise(p, 3, &a);
	assert_int_equal(a.enough_bytes, 32 * MIB);
	assert_int_equal(a.major_allowed, 5100);
	assert_true(a.by_time);
	p[0].instructions = 50000000; /* the rule for short ones holds */
	pg_size_advise(p, 3, &a);
	assert_int_equal(a.major_allowed, 126);
	assert_false(a.by_time);
}

/* Halving finds a limit that only the machine knows to within 1/32, and ends. */
static void refine_finds_enough_and_floor(void **state)
{
	struct pg_size_point p[PG_SIZE_POINTS] = {point(64, 100), point(32, 9000), point(8, 0)};
	const uint64_t enough = 45 * MIB + 123456, works = 13 * MIB + 99999;
	struct pg_size_advice a;
	size_t n = 3;
	uint64_t next;

	p[2].works = false;
	while ((next = pg_size_refine(p, n, MIB)) != 0) {
		size_t at = n;

		assert_int_equal(next % 65536, 0);
		assert_true(n < 20);
		for (; at > 0 && p[at - 1].memory_bytes < next; at--)
			p[at] = p[at - 1];
		p[at] = (struct pg_size_point){.memory_bytes = next,
			.works = next >= works,
			.major = next >= enough ? 100 : 9000};
		n++;
	}
	pg_size_advise(p, n, &a);
	assert_in_range(a.enough_bytes, enough, enough + enough / 32 + 65536);
	assert_in_range(a.short_bytes, enough - enough / 32 - 65536, enough);
	assert_in_range(a.floor_bytes, works, works + works / 32 + 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(advise_flat_curve_has_no_knee_and_the_least_is_enough),
		cmocka_unit_test(advise_cliff_is_found_on_both_sides),
		cmocka_unit_test(advise_hyperbola_bends_at_the_geometric_mean),
		cmocka_unit_test(advise_point_that_failed_is_not_on_the_curve),
		cmocka_unit_test(advise_enough_has_no_gap),
		cmocka_unit_test(advise_single_point_is_all),
		cmocka_unit_test(advise_long_program_may_wait_a_tenth_of_its_time),
		cmocka_unit_test(refine_finds_enough_and_floor),
	};

	return cmocka_run_group_tests_name("size", tests, NULL, NULL);
}
