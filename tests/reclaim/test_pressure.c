/* SPDX-License-Identifier: MIT */
/*
 * tests/reclaim/test_pressure.c: pressure-stall figures on a clock of the test's own.
 *
 * Expectations: Documentation/accounting/psi.rst (what some and full are), and exponential averages worked out with exp():
 * the kernel's fixed-point numbers stay within one per cent of them.
 */
#include "reclaim/impl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint64_t clock_ns;

static uint64_t fake_now(void)
{
	return clock_ns;
}

/* The file under test, on that clock and beside the library's copy. */
#define pg_reclaim_now_ns fake_now
#define pg_reclaim_stall_begin stall_begin
#define pg_reclaim_stall_end stall_end
#define pg_reclaim_pressure(r, out) pressure(r, out)
static struct pg_stall stall_begin(struct pg_reclaim *r);
static void stall_end(struct pg_reclaim *r, struct pg_stall stall);
static void pressure(struct pg_reclaim *r, struct pg_reclaim_pressure out[2]);
#include "../../src/reclaim/pressure.c"

#define MS 1000000u

/* What the threads that did not wait have run, as the upper floors would say. */
static uint64_t ran_ns;

static uint64_t ran(void *ctx, int more)
{
	return ran_ns;
}

static void begin(struct pg_reclaim *r, bool others)
{
	*r = (struct pg_reclaim){.hooks = {.stalling = others ? ran : NULL}};
	clock_ns = 1000 * (uint64_t)MS;
	ran_ns = 77;
	(void)change(r, 0);
}

/* Overlapping waits count once; full is what is left when others' running is taken off. */
static void overlapping_stalls_count_once(void **state)
{
	struct pg_reclaim_pressure p[2];
	struct pg_stall a, b;
	struct pg_reclaim r;

	begin(&r, true);
	a = stall_begin(&r);
	clock_ns += 10 * MS; /* a reclaims: nobody runs */
	b = stall_begin(&r);
	clock_ns += 20 * MS; /* both wait; a third thread runs for 5 ms of it */
	ran_ns += 5 * MS;
	stall_end(&r, a);
	clock_ns += 30 * MS; /* b waits, a runs */
	ran_ns += 30 * MS;
	stall_end(&r, b);
	clock_ns += 40 * MS; /* nobody waits */
	ran_ns += 40 * MS;
	pressure(&r, p);
	assert_int_equal(p[0].total_ns, 60 * MS);
	assert_int_equal(p[1].total_ns, 25 * MS);
}

/* Without a hook nobody else runs: every stall is full. */
static void lone_stall_is_full(void **state)
{
	struct pg_reclaim_pressure p[2];
	struct pg_stall a;
	struct pg_reclaim r;

	begin(&r, false);
	a = stall_begin(&r);
	clock_ns += 3 * MS;
	pressure(&r, p); /* in the middle of it */
	assert_int_equal(p[0].total_ns, 3 * MS);
	clock_ns += 4 * MS;
	stall_end(&r, a);
	pressure(&r, p);
	assert_int_equal(p[0].total_ns, 7 * MS);
	assert_int_equal(p[1].total_ns, 7 * MS);
}

/* Half of each of 15 periods, then 20 s of nothing: 50 (1 - e^(-30/T)), then that times e^(-20/T). */
static void averages_rise_and_decay(void **state)
{
	static const double spans[3] = {10, 60, 300};
	struct pg_reclaim_pressure p[2];
	struct pg_reclaim r;

	begin(&r, false);
	for (unsigned i = 0; i < 15; i++) {
		struct pg_stall s = stall_begin(&r);

		clock_ns += 1000 * (uint64_t)MS;
		stall_end(&r, s);
		clock_ns += 1000 * (uint64_t)MS;
		pressure(&r, p);
	}
	for (unsigned k = 0; k < 3; k++)
		assert_true(fabs(p[0].avg[k] / 100.0 - 50 * (1 - exp(-30 / spans[k]))) < 1);
	assert_memory_equal(p[0].avg, p[1].avg, sizeof p[0].avg);
	clock_ns += 20000 * (uint64_t)MS;
	pressure(&r, p);
	for (unsigned k = 0; k < 3; k++)
		assert_true(fabs(p[0].avg[k] / 100.0 -
				    50 * (1 - exp(-30 / spans[k])) * exp(-20 / spans[k])) < 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overlapping_stalls_count_once),
		cmocka_unit_test(lone_stall_is_full),
		cmocka_unit_test(averages_rise_and_decay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
