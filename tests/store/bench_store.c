/* SPDX-License-Identifier: MIT */
/*
 * tests/store/bench_store.c: what a page costs in and out of each store, by cluster size, beside plain pwrite and pread of
 * a file of the same kind. Run by hand or by `make bench`, never by the check.
 *
 * bench_store [FOLDER]   the folder of the files (default: /var/tmp)
 */
#include "pages.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PAGES 8192u /* 32 MiB */

static const char *folder = "/var/tmp";
static uint8_t *pages;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Pages as programs have them: a fifth zero, three fifths compressible, a fifth not. */
static void make_pages(void)
{
	pages = page_new(PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		page_fill(pages + i * PG_PAGE_SIZE,
			i / 5 * PAGE_KINDS + (i % 5 == 0          ? PAGE_ZERO
						     : i % 5 == 4 ? PAGE_RANDOM
						     : i % 5 == 3 ? PAGE_HALF
								  : PAGE_TEXT));
}

/* The order of clusters: ascending, or shuffled. */
static void order_of(uint32_t *order, unsigned n, bool shuffled)
{
	struct pg_random r;

	pg_random_seed(&r, 1);
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n; shuffled && i > 1; i--) {
		uint32_t k = (uint32_t)pg_random_below(&r, i), x = order[i - 1];

		order[i - 1] = order[k];
		order[k] = x;
	}
}

/* Plain calls on a file without a name: microseconds a page out, in. */
static int plain(unsigned cluster, int flags, double *out, double *in)
{
	static uint32_t order[PAGES];
	int fd = open(folder, O_TMPFILE | O_RDWR | flags, 0600);
	double t;

	if (fd < 0)
		return -errno;
	order_of(order, PAGES / cluster, true);
	t = now();
	for (unsigned i = 0; i < PAGES / cluster; i++)
		if (pwrite(fd, pages + (size_t)i * cluster * PG_PAGE_SIZE, cluster * PG_PAGE_SIZE,
			    (off_t)(i * cluster * PG_PAGE_SIZE)) !=
			(ssize_t)(cluster * PG_PAGE_SIZE))
			return -EIO;
	*out = (now() - t) * 1e6 / PAGES;
	t = now();
	for (unsigned i = 0; i < PAGES / cluster; i++)
		if (pread(fd, pages + (size_t)order[i] * cluster * PG_PAGE_SIZE,
			    cluster * PG_PAGE_SIZE, (off_t)(order[i] * cluster * PG_PAGE_SIZE)) !=
			(ssize_t)(cluster * PG_PAGE_SIZE))
			return -EIO;
	*in = (now() - t) * 1e6 / PAGES;
	close(fd);
	return 0;
}

/*
 * A store: clusters of neighbours, read back in a shuffled order, `at_once` clusters in a call. *rest: statistics after
 * everything was written.
 */
static int store(const char *spec, unsigned cluster, unsigned at_once, bool no_uring, double *out,
	double *in, struct pg_store_stats *rest)
{
	static uint32_t order[PAGES];
	static pg_slot slot[PAGES];
	static struct pg_store_io io[PAGES];
	struct pg_store_options options = {.tmp_dir = folder, .no_uring = no_uring};
	struct pg_store *s;
	int rc = pg_store_create(spec, &options, &s, NULL);
	double t;

	if (rc < 0)
		return rc;
	order_of(order, PAGES / cluster, true);
	t = now();
	for (unsigned i = 0; i < PAGES; i += cluster) {
		unsigned got = 0;

		while (got < cluster) {
			int run = pg_store_reserve(s, cluster - got, &slot[i + got]);

			if (run < 0)
				return run;
			for (int k = 0; k < run; k++, got++) {
				slot[i + got].v = slot[i + got - (unsigned)k].v + (unsigned)k;
				io[got] = (struct pg_store_io){.slot = slot[i + got],
					.page = pages + (i + got) * PG_PAGE_SIZE};
			}
		}
		rc = pg_store_write(s, io, cluster);
		if (rc < 0)
			return rc;
	}
	*out = (now() - t) * 1e6 / PAGES;
	pg_store_stats(s, rest);
	t = now();
	for (unsigned i = 0; i < PAGES / cluster; i += at_once) {
		unsigned n = 0;

		for (unsigned c = i; c < i + at_once && c < PAGES / cluster; c++)
			for (unsigned k = 0; k < cluster; k++, n++)
				io[n] = (struct pg_store_io){.slot = slot[order[c] * cluster + k],
					.page = pages +
						((size_t)order[c] * cluster + k) * PG_PAGE_SIZE};
		rc = pg_store_read(s, io, n);
		if (rc < 0)
			return rc;
	}
	*in = (now() - t) * 1e6 / PAGES;
	pg_store_destroy(s);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const specs[] = {
		"64M", "direct:64M", "lz4:64M", "zstd:64M", "lz4:64M,64M", "zstd:64M,64M"};
	static const unsigned clusters[] = {1, 4, 16, 64, 256};
	struct pg_store_stats st;
	double out, in;

	if (argc > 1)
		folder = argv[1];
	make_pages();
	printf("Microseconds a page, out in order and back in a shuffled one, by pages in a "
	       "cluster.\n\n");
	printf("%-22s", "store");
	for (int c = 0; c < 5; c++)
		printf("  %6u: out     in", clusters[c]);
	printf("\n");
	for (int flags = 0; flags < 2; flags++) {
		printf("%-22s", flags ? "plain calls, O_DIRECT" : "plain calls");
		for (int c = 0; c < 5; c++)
			if (plain(clusters[c], flags ? O_DIRECT : 0, &out, &in) == 0)
				printf("  %11.2f %6.2f", out, in);
			else
				printf("            -      -");
		printf("\n");
	}
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		printf("%-22s", specs[i]);
		for (int c = 0; c < 5; c++)
			if (store(specs[i], clusters[c], 1, false, &out, &in, &st) == 0)
				printf("  %11.2f %6.2f", out, in);
			else
				printf("            -      -");
		printf("\n");
	}
	printf("\nClusters in flight: microseconds a page in, shuffled clusters of 8, so many in a "
	       "call.\n\n%-22s",
		"");
	for (unsigned n = 1; n <= 32; n *= 2)
		printf(" %8u", n);
	printf("\n");
	for (int k = 0; k < 4; k++) {
		printf("%-10s %-11s", specs[k / 2], k % 2 ? "plain calls" : "io_uring");
		for (unsigned n = 1; n <= 32; n *= 2)
			if (store(specs[k / 2], 8, n, k % 2, &out, &in, &st) == 0)
				printf(" %8.2f", in);
		printf("\n");
	}
	printf("\nCompressed memory, the same pages.\n\n%-10s %10s %10s %10s %10s %10s\n", "",
		"held", "rounded", "pool", "all memory", "of pages");
	for (int k = 2; k < 4; k++)
		if (store(specs[k], 16, 1, false, &out, &in, &st) == 0)
			printf("%-10s %8.1f M %8.1f M %8.1f M %8.1f M %8.1f %%\n", specs[k],
				(double)st.held_bytes / 1048576, (double)st.held_rounded / 1048576,
				(double)st.pool_bytes / 1048576, (double)st.memory_bytes / 1048576,
				100.0 * (double)st.memory_bytes / (PAGES * (double)PG_PAGE_SIZE));
	return 0;
}
