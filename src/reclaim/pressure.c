/* SPDX-License-Identifier: MIT */
/*
 * reclaim/pressure.c: time lost to want of memory, as Linux's pressure-stall figures define it.
 *
 * Called by reclaim.c and pagein.c around whatever waits for memory: direct reclaim, reading from a store, reading a page of a file
 * that had been evicted. Calls the hook `stalling` of the upper floors, which knows what the other threads did meanwhile.
 *
 *   some   at least one thread waited; stretches that overlap count once
 *   full   some, less the time in which a thread that did not wait ran. A thread that reclaims keeps the processor from all
 *          others, so that is full.
 *
 * Averages over 10, 60 and 300 seconds are exponentially weighted, and brought up to date every two seconds in which
 * something happens; periods without a stall are filled in.
 *
 * Source: Linux Documentation/accounting/psi.rst, kernel/sched/psi.c (calc_avgs, update_averages), sched/loadavg.c.
 */
#include "reclaim/impl.h"

#define PERIOD_NS 2000000000u
#define FIXED_1 2048u /* 11 bits behind the point */

/* 2048 / e^(2/10), e^(2/60), e^(2/300) */
static const uint64_t decay[3] = {1677, 1981, 2034};

/* kernel/sched/loadavg.c, fixed_power_int(): x^n, rounded. */
static uint64_t power(uint64_t x, uint64_t n)
{
	uint64_t result = FIXED_1;

	for (; n; n >>= 1) {
		if (n & 1)
			result = (result * x + FIXED_1 / 2) / FIXED_1;
		x = (x * x + FIXED_1 / 2) / FIXED_1;
	}
	return result;
}

static uint64_t weigh(uint64_t load, uint64_t exp, uint64_t active)
{
	uint64_t sum = load * exp + active * (FIXED_1 - exp);

	return (active >= load ? sum + FIXED_1 - 1 : sum) / FIXED_1;
}

/* One of the two figures took `sample` of the `period` ns up to now, after `missed` whole periods of which nothing is known. */
static void average(uint64_t avg[3], uint64_t missed, uint64_t sample, uint64_t period)
{
	uint64_t share = sample * 100 / period * FIXED_1;

	for (unsigned i = 0; i < 3; i++) {
		if (missed)
			avg[i] = weigh(avg[i], power(decay[i], missed), 0);
		avg[i] = weigh(avg[i], decay[i], share);
	}
}

static void bring_up_to_date(struct pg_reclaim *r, uint64_t now)
{
	const uint64_t total[2] = {r->st.some_ns, r->st.full_ns};
	struct pg_pressure *p = &r->pressure;
	uint64_t missed, period;

	if (!p->next) { /* the first time */
		p->last = now;
		p->next = now + PERIOD_NS;
		return;
	}
	if (now < p->next)
		return;
	missed = (now - p->next) / PERIOD_NS;
	p->next += (1 + missed) * PERIOD_NS;
	period = now - (p->last + missed * PERIOD_NS);
	p->last = now;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t sample = total[i] - p->seen[i];

		if (sample > period)
			sample = period; /* the rest is for the next one */
		p->seen[i] += sample;
		average(p->avg[i], missed, sample, period);
	}
}

/* What has passed since the last change goes to the totals; from now on `more` threads more wait. */
static uint64_t change(struct pg_reclaim *r, int more)
{
	struct pg_pressure *p = &r->pressure;
	uint64_t ran = r->hooks.stalling ? r->hooks.stalling(r->hooks.ctx, more) : 0;
	uint64_t now = pg_reclaim_now_ns(), past = now - p->at, busy = ran - p->ran;

	if (p->waiting) {
		r->st.some_ns += past;
		r->st.full_ns += busy < past ? past - busy : 0;
	}
	bring_up_to_date(r, now);
	p->at = now;
	p->ran = ran;
	p->waiting += (unsigned)more;
	return now;
}

struct pg_stall pg_reclaim_stall_begin(struct pg_reclaim *r)
{
	return (struct pg_stall){r->faulting, change(r, 1)};
}

void pg_reclaim_stall_end(struct pg_reclaim *r, struct pg_stall stall)
{
	uint64_t now = change(r, -1);

	if (stall.fault)
		stall.fault->cost.stall_ns += now - stall.began;
}

void pg_reclaim_pressure(struct pg_reclaim *r, struct pg_reclaim_pressure out[2])
{
	const struct pg_pressure *p = &r->pressure;

	(void)change(r, 0);
	for (unsigned i = 0; i < 2; i++) {
		out[i].total_ns = i ? r->st.full_ns : r->st.some_ns;
		for (unsigned k = 0; k < 3; k++)
			out[i].avg[k] = (unsigned)(p->avg[i][k] * 100 / FIXED_1);
	}
}
