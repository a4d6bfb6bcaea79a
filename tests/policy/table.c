/* SPDX-License-Identifier: MIT */
/*
 * tests/policy/table.c: misses by policy and memory on reference strings of four kinds, as tables for docs/policies.md. By hand
 * or by `ninja benchmark`. The same figures on every run.
 *
 * Beside the policies: Belady's optimum, and LRU with every reference seen, by stack distances (R. L. Mattson and others, 1970).
 */
#include "base/random.h"
#include "reclaim/simulate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 4096u
#define REFS 200000u

static struct pg_reference refs[REFS];
static uint32_t n;
static struct pg_random r;

static void refer(uint64_t page)
{
	if (n < REFS)
		refs[n++] = (struct pg_reference){{0, 1 + page}, pg_random_one_in(&r, 4)};
}

/* A page of [0, PAGES) by Zipf's law with exponent 1; neighbours in rank are no neighbours in memory. */
static uint64_t zipf(void)
{
	static double sum[PAGES];
	double x;
	uint32_t low = 0, high = PAGES - 1;

	if (sum[0] == 0)
		for (uint32_t i = 0; i < PAGES; i++)
			sum[i] = (i ? sum[i - 1] : 0) + 1.0 / (i + 1);
	x = (double)(pg_random_next(&r) >> 11) / (double)((uint64_t)1 << 53) * sum[PAGES - 1];
	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (sum[mid] < x)
			low = mid + 1;
		else
			high = mid;
	}
	return (uint64_t)low * 1597 % PAGES;
}

static void make_scan(void)
{
	while (n < REFS)
		for (uint64_t i = 0; i < PAGES; i++)
			refer(i);
}

/* Loops of different lengths, each with its own pages, one inside the other. */
static void make_loop(void)
{
	while (n < REFS)
		for (uint64_t i = 0; i < PAGES * 3 / 4; i++) {
			refer(i);
			if (i % 64 == 0)
				for (uint64_t k = 0; k < PAGES / 16; k++)
					refer(PAGES - 1 - k);
		}
}

static void make_zipf(void)
{
	while (n < REFS)
		refer(zipf());
}

/* Zipf, broken by scans of pages that are used once or seldom, and a working set that moves. */
static void make_mixed(void)
{
	uint64_t scan = 0, phase = 0;

	while (n < REFS) {
		for (int i = 0; i < 4000; i++)
			refer((zipf() + phase * 131) % PAGES);
		for (int i = 0; i < 800; i++)
			refer(PAGES + scan++ % 16384);
		phase++;
	}
}

/* LRU misses for every memory size: a reference at stack distance d misses in d pages of memory and fewer. */
static void lru_of(uint64_t *misses, uint32_t sizes)
{
	uint32_t *tree = calloc(REFS + 1, sizeof *tree),
		 *last = calloc(PAGES + 16384 + 2, sizeof *last);
	uint64_t *at = calloc((size_t)sizes + 1, sizeof *at), cold = 0, sum = 0;

	for (uint32_t i = 1; i <= n; i++) {
		uint32_t page = (uint32_t)refs[i - 1].page.index, d = 0;

		if (last[page]) {
			for (uint32_t k = i - 1; k; k -= k & -k)
				d += tree[k];
			for (uint32_t k = last[page]; k; k -= k & -k)
				d -= tree[k];
			at[d < sizes ? d : sizes]++; /* d others since: a hit in d + 1 pages */
			for (uint32_t k = last[page]; k <= n; k += k & -k)
				tree[k]--;
		} else {
			cold++;
		}
		last[page] = i;
		for (uint32_t k = i; k <= n; k += k & -k)
			tree[k]++;
	}
	sum = cold + at[sizes];
	for (uint32_t m = sizes; m > 0; m--) {
		misses[m] = sum;
		sum += at[m - 1];
	}
	free(tree);
	free(last);
	free(at);
}

static void row(const char *name, const uint64_t *misses, const double *looks)
{
	printf("| %s |", name);
	for (int i = 0; i < 5; i++)
		printf(" %.1f |", 100.0 * (double)misses[i] / n);
	if (looks)
		printf(" %.1f |\n", *looks);
	else
		printf(" |\n");
}

int main(void)
{
	static const struct {
		const char *name;
		void (*make)(void);
	} kinds[] = {{"scan", make_scan}, {"loop", make_loop}, {"zipf", make_zipf},
		{"mixed", make_mixed}};
	static const uint32_t frames[5] = {
		PAGES / 16, PAGES / 8, PAGES / 4, PAGES / 2, PAGES * 3 / 4};
	uint64_t *lru = calloc(PAGES + 1, sizeof *lru);

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct pg_simulation out = {0};
		uint64_t misses[5];

		n = 0;
		pg_random_seed(&r, 1);
		kinds[k].make();
		printf("%s%s: misses in %% of %u references, by frames\n\n| |", k ? "\n" : "",
			kinds[k].name, n);
		for (int i = 0; i < 5; i++)
			printf(" %u |", frames[i]);
		printf(" looks |\n|---|---|---|---|---|---|---|\n");
		for (int i = 0; i < 5; i++) {
			if (pg_policy_optimum(frames[i], refs, n, NULL, &out) < 0)
				return 1;
			misses[i] = out.misses;
		}
		row("*optimum*", misses, NULL);
		lru_of(lru, PAGES);
		for (int i = 0; i < 5; i++)
			misses[i] = lru[frames[i]];
		row("*LRU, all seen*", misses, NULL);
		for (int p = 0; pg_policies[p]; p++) {
			uint64_t all = 0, looks = 0;
			double each;

			if (!strcmp(pg_policies[p]->name, "example"))
				continue;
			for (int i = 0; i < 5; i++) {
				if (pg_policy_simulate(pg_policies[p], "", 1, frames[i], refs, n,
					    NULL, &out) < 0)
					return 1;
				misses[i] = out.misses;
				all += out.misses;
				looks += out.looks;
			}
			each = (double)looks / (double)all;
			row(pg_policies[p]->name, misses, &each);
		}
	}
	free(lru);
	return 0;
}
