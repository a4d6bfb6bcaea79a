/* SPDX-License-Identifier: MIT */
/*
 * tests/cpu/test_watch.c: watched addresses: every arrival is told of, and the figures stay. Called by the check.
 */
#include "side.h"

#define ROUNDS 1000
#define BEFORE 300 /* rounds before anything is watched */

struct watched {
	struct world w;
	struct side side;
	uint64_t call, back; /* the function, and where it returns to */
	unsigned calls, backs;
	uint64_t sp;
	bool rewatch; /* the return address is watched when the function is reached, not before */
	bool good;
};

static void on_reached(void *ctx, const struct pg_cpu_regs *r)
{
	struct watched *x = ctx;
	uint64_t top = 0;

	if (r->rip == x->call) {
		x->good &= pg_space_peek(x->side.space, &top, (pg_va){r->gpr[PG_RSP]}, 8) == 8;
		x->good &= top == x->back && r->gpr[PG_RDI] == ROUNDS - x->calls;
		x->sp = r->gpr[PG_RSP];
		x->calls++;
		if (x->rewatch)
			assert_int_equal(x->w.ops->watch(x->w.engine, x->back), 0);
	} else if (r->rip == x->back) {
		x->backs++;
		x->good &= r->gpr[PG_RSP] == x->sp + 8 && x->backs == x->calls;
		x->good &= (r->gpr[PG_RCX] & 0xff) == 2;
	} else {
		x->good = false;
	}
}

/* BEFORE rounds, then ROUNDS; watched in the latter, or not. Figures of all. */
static struct pg_cpu_stats run_watched(struct watched *x, enum mode mode, bool watch, bool rewatch)
{
	static const uint8_t call[] = {0x41, 0xff, 0xd0}; /* call *%r8 */
	struct pg_engine_config ec = {.reached = on_reached, .reached_ctx = x};
	const uint8_t *at = memmem(guest_page0, PAGE, call, sizeof(call));

	memset(x, 0, sizeof(*x));
	world_begin_with(&x->w, mode, ec);
	side_make(&x->w, &x->side, true);
	x->call = x->w.code + PAGE + FUNCTION;
	x->back = x->w.code + (uint64_t)(at - guest_page0) + sizeof(call);
	x->rewatch = rewatch;
	x->good = true;
	side_run(&x->w, &x->side, BEFORE);
	if (watch) {
		assert_int_equal(x->w.ops->watch(x->w.engine, x->call), 0);
		if (!rewatch)
			assert_int_equal(x->w.ops->watch(x->w.engine, x->back), 0);
	}
	side_run(&x->w, &x->side, ROUNDS);
	struct pg_cpu_stats st = stats_of(&x->w, x->side.cpu);
	side_end(&x->w, &x->side);
	world_end(&x->w);
	return st;
}

/* cpu/watch.c, invariant 1: every arrival is told of, with the precise state, and nothing but translations is counted differently. */
static void watched_addresses_are_told_of_and_figures_stay(void **state)
{
	enum mode mode = (enum mode)(uintptr_t)*state;
	struct watched x;
	struct pg_cpu_stats plain = run_watched(&x, mode, false, false);
	assert_int_equal(x.calls + x.backs, 0);
	for (int rewatch = 0; rewatch < 2; rewatch++) {
		struct pg_cpu_stats st = run_watched(&x, mode, true, rewatch);
		assert_int_equal(x.calls, ROUNDS);
		assert_int_equal(x.backs, ROUNDS);
		assert_true(x.good);
		same_counts(&st, &plain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_ALL(watched_addresses_are_told_of_and_figures_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
