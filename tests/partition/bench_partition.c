/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/bench_partition.c: requests a second by fit and number of blocks.
 * Run by hand or by `make bench`; not part of the check. Prints a table to stdout.
 *
 * bench_partition [BLOCKS]: from 1,000 live blocks by tens up to BLOCKS (default 1,000,000), and half as many holes. Each
 * request frees a random block and allocates another. Lists up to 100,000 blocks only.
 */
#include "base/random.h"
#include "frame/partition.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REQUESTS 200000
#define LIST_BLOCKS 100000 /* more are not tried on lists */
#define LONGEST_S 2.0      /* of a measurement: on long lists it makes fewer requests */
#define MEAN 2048

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_partition: %s failed\n", what);
	exit(1);
}

/*
 * `live` blocks and a hole behind every second: what the fifty-percent rule says. The holes are as large as the blocks, so memory is half
 * as large again as what is used and nothing fails but for worst-fit.
 */
static void measure(enum pg_partition_fit fit, bool linear, uint64_t live)
{
	uint64_t all = live / 2 * 3, used = 0, failed = 0, requests = REQUESTS;
	struct pg_partition_block **b = calloc(all, sizeof *b);
	struct pg_partition_figures f, start;
	struct pg_partition_block *rest;
	struct pg_partition *p;
	struct pg_random r;
	double t;

	need(b && pg_partition_create(all * 2 * MEAN, fit, linear, &p) == 0, "create");
	pg_random_seed(&r, 1);
	for (uint64_t i = 0; i < all; i++) /* side by side: each fit does that in an empty memory */
		need(pg_partition_alloc(p, 1 + pg_random_below(&r, 2 * MEAN - 1), &b[i]) == 0,
			"fill");
	pg_partition_figures(p, &f); /* what is left at the top is taken out of the game */
	need(pg_partition_alloc(p, f.largest, &rest) == 0, "the rest");
	for (uint64_t i = 0; i < all; i++) {
		if (i % 3 == 2)
			pg_partition_free(p, b[i]);
		else
			b[used++] = b[i];
	}
	pg_partition_figures(p, &start);
	t = now_s();
	for (uint64_t i = 0; i < requests; i++) {
		if (i % 256 == 0 && now_s() - t > LONGEST_S)
			requests = i;
		uint64_t k = pg_random_below(&r, used);

		if (b[k])
			pg_partition_free(p, b[k]);
		b[k] = NULL;
		failed += pg_partition_alloc(p, 1 + pg_random_below(&r, 2 * MEAN - 1), &b[k]) != 0;
	}
	t = now_s() - t;
	pg_partition_figures(p, &f);
	printf("%-6s %-5s %10llu %10llu %12.0f %10.1f %8llu\n", pg_partition_fit_names[fit],
		linear ? "list" : "tree", (unsigned long long)start.blocks,
		(unsigned long long)start.holes, (double)requests / t,
		(double)(f.steps - start.steps) / (double)requests, (unsigned long long)failed);
	fflush(stdout);
	pg_partition_destroy(p);
	free(b);
}

int main(int argc, char **argv)
{
	uint64_t most = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;

	printf("%-6s %-5s %10s %10s %12s %10s %8s\n", "fit", "holes", "blocks", "holes",
		"requests/s", "steps", "failed");
	for (int linear = 0; linear < 2; linear++)
		for (int fit = 0; fit < PG_PARTITION_FITS; fit++)
			for (uint64_t n = 1000; n <= most && !(linear && n > LIST_BLOCKS); n *= 10)
				measure(fit, linear, n);
	return 0;
}
