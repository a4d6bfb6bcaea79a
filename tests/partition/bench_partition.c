/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/bench_partition.c: requests a second by fit and number of blocks.
 * Run by hand or by `make bench`; not part of the check. Prints a table to stdout.
 *
 * bench_partition [BLOCKS]: from 1,000 blocks by tens up to BLOCKS (default 1,000,000). As many blocks as said are
 * live; each request frees a random one and allocates another. Lists only as far as that takes seconds.
 */
#include "base/random.h"
#include "frame/partition.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REQUESTS 200000
#define LIST_BLOCKS 10000 /* more are not tried on lists */
#define LIST_REQUESTS 20000
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

/* Memory is a third larger than the blocks, so that holes are many and nothing fails but for worst-fit. */
static void measure(enum pg_partition_fit fit, bool linear, uint64_t blocks)
{
	struct pg_partition_block **b = calloc(blocks, sizeof *b);
	uint64_t requests = linear ? LIST_REQUESTS : REQUESTS, failed = 0;
	struct pg_partition_figures f, start;
	struct pg_partition *p;
	struct pg_random r;
	double t;

	need(b && pg_partition_create(blocks * MEAN / 3 * 4, fit, linear, &p) == 0, "create");
	pg_random_seed(&r, 1);
	for (uint64_t i = 0; i < blocks;
		i++) /* side by side: each fit does that in an empty memory */
		need(pg_partition_alloc(p, 1 + pg_random_below(&r, 2 * MEAN - 1), &b[i]) == 0,
			"fill");
	for (uint64_t i = 0; i < blocks; i += 3) { /* holes */
		pg_partition_free(p, b[i]);
		b[i] = NULL;
	}
	pg_partition_figures(p, &start);
	t = now_s();
	for (uint64_t i = 0; i < requests; i++) {
		uint64_t k = pg_random_below(&r, blocks);

		if (b[k])
			pg_partition_free(p, b[k]);
		b[k] = NULL;
		failed += pg_partition_alloc(p, 1 + pg_random_below(&r, 2 * MEAN - 1), &b[k]) != 0;
	}
	t = now_s() - t;
	pg_partition_figures(p, &f);
	printf("%-6s %-5s %10llu %10llu %12.0f %10.1f %8llu\n", pg_partition_fit_names[fit],
		linear ? "list" : "tree", (unsigned long long)blocks,
		(unsigned long long)start.holes, (double)requests / t,
		(double)(f.steps - start.steps) / (double)requests, (unsigned long long)failed);
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
