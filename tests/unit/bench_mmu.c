/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/bench_mmu.c: what a walk costs by levels, and a lookup by where it is answered.
 * Run by hand or by `make bench`; not part of the check. Prints a table to stdout.
 */
#include "base/random.h"
#include "mmu/hit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB ((uint64_t)1 << 20)
#define ROUNDS 9 /* the best counts */

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_mmu: %s failed\n", what);
	exit(1);
}

/* A radix table without anything around it. */
static int radix_on(struct pg_frames *fs, const struct pg_geometry *g, struct pg_table **out)
{
	return pg_table_radix.create(
		&(struct pg_table_config){.frames = fs, .geometry = g, .owner = 1}, out);
}

/* A table of `levels` levels of 9 bits with pages [0, pages) mapped. */
static struct pg_table *table_of(struct pg_frames *fs, unsigned levels, unsigned pages)
{
	struct pg_geometry g = {.page_shift = 12, .levels = (uint8_t)levels, .entry_bytes = 8};
	struct pg_table *t = NULL;

	for (unsigned i = 0; i < levels; i++)
		g.bits[i] = levels == 6 && i == 0 ? 7 : 9;
	need(radix_on(fs, &g, &t) == 0, "create");
	for (unsigned i = 0; i < pages; i++)
		need(t->form->enter(t, (pg_vpn){i},
			     pg_pte_make((pg_pfn){i}, PG_PTE_P | PG_PTE_RW | PG_PTE_US)) == 0,
			"enter");
	return t;
}

static void bench_walk(unsigned levels)
{
	enum { PAGES = 16384, N = 1000000 };
	struct pg_frames *fs = NULL;
	double best_seq = 1e9, best_random = 1e9;
	struct pg_table *t;
	uint64_t sum = 0;
	unsigned refs;

	need(pg_frames_create(256 * MIB, &fs) == 0, "frames");
	t = table_of(fs, levels, PAGES);
	for (int round = 0; round < ROUNDS; round++) {
		double t0 = now_ns();
		uint64_t x = 1;

		for (unsigned i = 0; i < N; i++)
			sum += t->form->walk(t, (pg_vpn){i % PAGES}, &refs);
		double t1 = now_ns();

		for (unsigned i = 0; i < N; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			sum += t->form->walk(t, (pg_vpn){x >> 50}, &refs);
		}
		double t2 = now_ns();

		best_seq = (t1 - t0) / N < best_seq ? (t1 - t0) / N : best_seq;
		best_random = (t2 - t1) / N < best_random ? (t2 - t1) / N : best_random;
	}
	printf("walk    %u levels                        %6.2f ns in order  %6.2f ns at random%s\n",
		levels, best_seq, best_random, sum ? "" : " ");
	t->form->destroy(t);
	pg_frames_destroy(fs);
}

/* As pg_mmu_lookup, the first level inline: what the engine's quick path does. */
PG_INLINE struct pg_tlb_way *look(struct pg_mmu *m, pg_va a, enum pg_access access, bool hit)
{
	struct pg_tlb_way *way = NULL;

	if (hit)
		way = access == PG_EXEC ? pg_mmu_hit_fetch(m, a) : pg_mmu_hit_data(m, a, access);
	if (!way)
		pg_mmu_lookup(m, a, access, &way);
	return way;
}

/*
 * Accesses to the pages of trace[0 .. n) over and over, each by pg_mmu_lookup(); says where they
 * were answered.
 */
PG_INLINE void bench_lookup_as(const char *what, const char *config, const uint32_t *trace,
	unsigned n, enum pg_access access, bool hit)
{
	enum { N = 1 << 20 };
	static struct pg_tlb_fast d[65536], f[65536];
	struct pg_frames *fs = NULL;
	struct pg_mmu_config c;
	struct pg_mmu_stats a, b;
	struct pg_table *t;
	struct pg_tlb_way *way;
	struct pg_mmu *m = NULL;
	const char *why = "";
	double best = 1e9, best_chained = 1e9;
	uint64_t sum = 0;

	need(pg_mmu_config_parse(config, &c, &why) == 0, why);
	need(pg_frames_create(256 * MIB, &fs) == 0, "frames");
	t = table_of(fs, 4, 16384);
	need(pg_mmu_create(&c, fs, d, f, &m) == 0, "mmu");
	pg_mmu_switch(m, t, 1);
	for (unsigned i = 0; i < n; i++)
		need(pg_mmu_lookup(m, pg_va_of((pg_vpn){trace[i]}), access, &way) == PG_MMU_OK,
			"lookup");
	for (int round = 0; round < ROUNDS; round++) {
		double t0, ns;

		pg_mmu_stats(m, &a);
		t0 = now_ns();
		for (unsigned done = 0; done < N; done += n)
			for (unsigned i = 0; i < n; i++) {
				way = look(m, pg_va_of((pg_vpn){trace[i]}), access, hit);
				sum += way->host;
			}
		ns = (now_ns() - t0) / (N / n * n);
		best = ns < best ? ns : best;
		/* The next address depends on the host address found: how long one takes. */
		t0 = now_ns();
		for (unsigned done = 0; done < N; done += n)
			for (unsigned i = 0; i < n; i++) {
				pg_va next = pg_va_of((pg_vpn){trace[i]});

				next.v += way->host >> 63;
				way = look(m, next, access, hit);
			}
		ns = (now_ns() - t0) / (N / n * n);
		best_chained = ns < best_chained ? ns : best_chained;
		pg_mmu_stats(m, &b);
	}
	{
		double all = (double)(b.slow_lookups[0] + b.slow_lookups[1] - a.slow_lookups[0] -
				      a.slow_lookups[1]);
		double l1 = (double)(b.misses[0] + b.misses[1] - a.misses[0] - a.misses[1]);
		double walks = (double)(b.walks - a.walks);

		printf("lookup  %-18s %-20s %6.2f ns  chained %6.2f ns  %6.1f M/s   L1 %5.1f%%  L2 "
		       "%5.1f%%  walk "
		       "%5.1f%%%s\n",
			what, config, best, best_chained, 1e3 / best, 100 * (all - l1) / all,
			100 * (l1 - walks) / all, 100 * walks / all, sum ? "" : " ");
	}
	pg_mmu_destroy(m);
	t->form->destroy(t);
	pg_frames_destroy(fs);
}

static void bench_lookup(const char *what, const char *config, const uint32_t *trace, unsigned n,
	enum pg_access access)
{
	bench_lookup_as(what, config, trace, n, access, false);
}

static void bench_hit(const char *what, const char *config, const uint32_t *trace, unsigned n,
	enum pg_access access)
{
	if (access == PG_EXEC)
		bench_lookup_as(what, config, trace, n, PG_EXEC, true);
	else
		bench_lookup_as(what, config, trace, n, PG_READ, true);
}

int main(void)
{
	enum { TRACE = 1 << 17 }; /* too long for a branch predictor to learn by heart */
	static uint32_t trace[TRACE];
	struct pg_random r;

	for (unsigned levels = 2; levels <= 6; levels++)
		bench_walk(levels);

	pg_random_seed(&r, 1);
	/* Two pages of one set, in turn: always the second way. */
	for (unsigned i = 0; i < TRACE; i++)
		trace[i] = i % 2 * 64;
	bench_lookup("second way", "64x4", trace, TRACE, PG_READ);
	bench_lookup("second way", "64x8", trace, TRACE, PG_EXEC);
	/* Four pages in a row of one set: always the last of 4 ways. */
	for (unsigned i = 0; i < TRACE; i++)
		trace[i] = i % 4 * 64;
	bench_lookup("last way", "64x4", trace, TRACE, PG_READ);
	/* 64 pages at random that all fit: depths mixed, as a program would. */
	for (unsigned i = 0; i < TRACE; i++)
		trace[i] = (uint32_t)pg_random_below(&r, 64);
	bench_lookup("L1, mixed", "64x4", trace, TRACE, PG_READ);
	bench_lookup("L1, mixed", "64x8", trace, TRACE, PG_EXEC);
	bench_hit("L1, mixed, inline", "64x4", trace, TRACE, PG_READ);
	bench_hit("L1, mixed, inline", "64x8", trace, TRACE, PG_EXEC);
	bench_lookup("L1, mixed", "64x64", trace, TRACE, PG_READ);
	/* 1024 pages at random: most in the second level. */
	for (unsigned i = 0; i < TRACE; i++)
		trace[i] = (uint32_t)pg_random_below(&r, 1024);
	bench_lookup("L2, mixed", "64x4,1536x12", trace, TRACE, PG_READ);
	bench_lookup("L2, mixed", "64x4,1024x4", trace, TRACE, PG_READ);
	/* 400 pages in order: all in the second level, at one depth. */
	for (unsigned i = 0; i < TRACE; i++)
		trace[i] = i % 400;
	bench_lookup("L2, in order", "64x4,1536x12", trace, TRACE, PG_READ);
	bench_hit("L2, in order, inl.", "64x4,1536x12", trace, TRACE, PG_READ);
	/* 16384 pages at random: mostly walks. */
	for (unsigned i = 0; i < TRACE; i++)
		trace[i] = (uint32_t)pg_random_below(&r, 16384);
	bench_lookup("walks", "64x4", trace, TRACE, PG_READ);
	bench_lookup("walks", "64x4,1536x12", trace, TRACE, PG_READ);
	return 0;
}
