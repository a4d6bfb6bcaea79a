/* SPDX-License-Identifier: MIT */
/*
 * tests/scale/bench_tables.c: what each form of page table costs, as a table. Run by `make bench`, not by the check.
 *
 *   bench_tables [MOST]   from 1,024 to MOST pages (default 65,536), lying together and scattered
 *
 * A row: bytes of table for a page; references of a walk to a page that is there, on average and the most that 99 %
 * need; ns of the simulator for a walk to a page at random, for entering and for removing a page; the longest
 * that entering one page took, for a growing table's sake. Each is the best of ROUNDS.
 */
#include "base/random.h"
#include "mmu/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 2
#define MIB ((uint64_t)1 << 20)
#define LONGEST 64 /* references counted one by one */

static const char *const shapes[] = {"radix", "hashed", "hashed:grow=once", "hashed:clustered=8",
	"hashed:clustered=16", "inverted", "inverted:anchors=4"};

struct row {
	double bytes, refs, walk, enter, slowest, remove;
	unsigned p99;
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_tables: %s failed\n", what);
	exit(1);
}

static void least(double *best, double v)
{
	if (*best == 0 || v < *best)
		*best = v;
}

static void enter_all(struct pg_table *t, const uint64_t *vpn, uint32_t n, struct row *r)
{
	double t0, slowest = 0, all;

	t0 = now_ns();
	for (uint32_t i = 0; i < n; i++)
		must(t->form->enter(t, (pg_vpn){vpn[i]},
			     pg_pte_make((pg_pfn){i}, PG_PTE_P | PG_PTE_US)) == 0,
			"enter");
	all = (now_ns() - t0) / n;
	least(&r->enter, all);
	/* Again with a clock around each; reading it is in the figure. */
	for (uint32_t i = 0; i < n; i++)
		t->form->remove(t, (pg_vpn){vpn[i]});
	for (uint32_t i = 0; i < n; i++) {
		t0 = now_ns();
		must(t->form->enter(t, (pg_vpn){vpn[i]},
			     pg_pte_make((pg_pfn){i}, PG_PTE_P | PG_PTE_US)) == 0,
			"enter");
		t0 = now_ns() - t0;
		slowest = t0 > slowest ? t0 : slowest;
	}
	least(&r->slowest, slowest);
}

static void walk_all(const struct pg_table *t, const uint64_t *vpn, uint32_t n, struct row *r)
{
	uint64_t lengths[LONGEST] = {0}, seen = 0, sum = 0, x = 1;
	unsigned refs = 0;
	double t0;

	for (uint32_t i = 0; i < n; i++) {
		must(t->form->walk(t, (pg_vpn){vpn[i]}, &refs) != 0, "walk");
		sum += refs;
		lengths[refs < LONGEST ? refs : LONGEST - 1]++;
	}
	r->refs = (double)sum / n;
	for (r->p99 = 0; seen + lengths[r->p99] < (n * 99 + 99) / 100; r->p99++)
		seen += lengths[r->p99];
	t0 = now_ns();
	for (uint32_t i = 0; i < n; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		sum += t->form->walk(t, (pg_vpn){vpn[(x >> 33) % n]}, &refs);
	}
	least(&r->walk, (now_ns() - t0) / n);
	must(sum != 0, "adding up");
}

static struct row measure(const char *shape, const uint64_t *vpn, uint32_t n)
{
	const struct pg_table_form *form;
	struct row r = {0};
	struct pg_geometry g;
	const char *why;

	must(pg_table_parse(shape, &form, &g, &why) == 0, shape);
	for (int round = 0; round < ROUNDS; round++) {
		struct pg_table_config c = {.geometry = &g, .owner = 1};
		struct pg_frames *fs = NULL;
		struct pg_table_stats st;
		struct pg_table *t;
		double t0;

		must(pg_frames_create(4096 * MIB, &fs) == 0, "4 GiB of frames");
		c.frames = fs;
		if (form->open)
			must(form->open(fs, &g, &c.machine) == 0, "open");
		must(form->create(&c, &t) == 0, "create");
		enter_all(t, vpn, n, &r);
		form->stats(t, &st);
		r.bytes = (double)((st.node_frames + st.shared_frames) * PG_PAGE_SIZE) / n;
		walk_all(t, vpn, n, &r);
		t0 = now_ns();
		for (uint32_t i = 0; i < n; i++)
			form->remove(t, (pg_vpn){vpn[i]});
		least(&r.remove, (now_ns() - t0) / n);
		form->destroy(t);
		if (form->close)
			form->close(c.machine);
		pg_frames_destroy(fs);
	}
	return r;
}

int main(int argc, char **argv)
{
	uint32_t most = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 65536;
	uint64_t *vpn = calloc(most + 1, sizeof *vpn);
	struct pg_random rnd;

	must(vpn != NULL, "memory");
	printf("%-20s %9s %-9s %9s %9s %5s %9s %9s %9s %11s\n", "table", "pages", "lying",
		"bytes/page", "refs/walk", "99 %", "walk ns", "enter ns", "remove ns",
		"slowest us");
	for (unsigned scattered = 0; scattered < 2; scattered++) {
		pg_random_seed(&rnd, 1);
		for (uint32_t i = 0; i < most; i++)
			vpn[i] = scattered ? pg_random_below(&rnd, (uint64_t)1 << 36)
					   : 0x7f0000000u + i;
		for (uint32_t n = 1024; n <= most; n *= 8) {
			for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
				struct row r = measure(shapes[i], vpn, n);

				printf("%-20s %9u %-9s %10.1f %9.2f %5u %9.1f %9.1f %9.1f %11.1f\n",
					shapes[i], n, scattered ? "scattered" : "together", r.bytes,
					r.refs, r.p99, r.walk, r.enter, r.remove, r.slowest / 1000);
				fflush(stdout);
			}
		}
	}
	free(vpn);
	return 0;
}
