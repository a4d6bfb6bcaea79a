/* SPDX-License-Identifier: MIT */
/*
 * tests/scale/bench_space.c: what regions and faults cost, as tables. Run by `make bench`, not by
 * the check.
 *
 *   bench_space regions [MOST]   ns per map, unmap, find, place, protect at 10 .. MOST regions
 *   bench_space faults           ns per fault inside the library, beside Linux's own measured here
 *   bench_space                  both; MOST is 1 000 000
 *
 * Every figure is a best of ROUNDS. Linux's faults are counted by getrusage(2) and the row says so
 * if they are not as many as pages touched (huge pages, fault-around). Linux's time includes the
 * trap into the kernel and back, and the library's does not include the guest's TLB miss: they are
 * the two costs of handling a fault, not of taking one.
 */
#include "space/impl.h"

#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define PAGE 4096ull

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_space: %s failed\n", what);
	exit(1);
}

static struct pg_vm *make_vm(uint64_t bytes)
{
	struct pg_vm_config c = {
		.memory_bytes = bytes, .form = &pg_table_radix, .geometry = pg_geometry_x86_64};
	struct pg_vm *vm;

	must(pg_vm_create(&c, &vm) == 0, "making the machine");
	return vm;
}

static struct pg_space *make_space(struct pg_vm *vm)
{
	struct pg_space_config c = {
		.lo = {65536}, .hi = {0x7ffffffff000}, .mmap_top = {0x7ffff7fff000}};
	struct pg_space *s;

	must(pg_space_create(vm, &c, &s) == 0, "making the space");
	return s;
}

/* ---- regions */

#define OPS 2000
#define BASE 0x100000000000ull

struct row {
	double map, unmap, find, place, protect;
};

static void least(double *best, double t, unsigned n)
{
	t /= n;
	if (*best == 0 || t < *best)
		*best = t;
}

/* The hole above the k-th of n regions. */
static pg_va hole(uint64_t k)
{
	return (pg_va){BASE + k * 2 * PAGE + PAGE};
}

static void round_regions(struct pg_space *s, struct pg_random *rnd, uint64_t n, struct row *best)
{
	unsigned ops = n < OPS ? (unsigned)n : OPS;
	uint64_t *at = malloc(ops * sizeof *at);
	struct pg_region r;
	uint64_t out;
	double t;

	for (unsigned i = 0; i < ops; i++) /* distinct holes */
		at[i] = (n / ops) * i + pg_random_below(rnd, n / ops);
	for (unsigned i = ops - 1; i > 0; i--) {
		uint64_t j = pg_random_below(rnd, i + 1), x = at[i];

		at[i] = at[j];
		at[j] = x;
	}
	t = now_ns();
	for (unsigned i = 0; i < ops; i++) {
		pg_va a = hole(at[i]);

		must(pg_space_map(s, &a, PAGE, PG_READ, 7, PG_MAP_FIXED_FREE, NULL, 0, NULL) == 0,
			"map");
	}
	least(&best->map, now_ns() - t, ops);
	t = now_ns();
	for (unsigned i = 0; i < ops; i++)
		must(pg_space_find(s, hole(at[i]), false, &r), "find");
	least(&best->find, now_ns() - t, ops);
	t = now_ns();
	for (unsigned i = 0; i < ops; i++)
		must(pg_space_protect(s, hole(at[i]), PAGE, i & 1 ? PG_WRITE : PG_EXEC) == 0,
			"protect");
	least(&best->protect, now_ns() - t, ops);
	t = now_ns();
	for (unsigned i = 0; i < ops; i++)
		must(pg_space_unmap(s, hole(at[i]), PAGE) == 0, "unmap");
	least(&best->unmap, now_ns() - t, ops);
	t = now_ns();
	for (unsigned i = 0; i < ops; i++)
		must(pg_region_place(s, PAGE * (1 + (i & 1)), &out), "place");
	least(&best->place, now_ns() - t, ops);
	free(at);
}

static void measure_regions(uint64_t most)
{
	printf("%10s %9s %9s %9s %9s %9s   ns each; regions of one page with a page between\n",
		"regions", "map", "unmap", "find", "place", "protect");
	for (uint64_t n = 10; n <= most; n *= n < 1000 ? 100 : n < 100000 ? 100 : 10) {
		struct pg_vm *vm = make_vm(16 << 20);
		struct pg_space *s = make_space(vm);
		struct pg_random rnd;
		struct row best = {0};

		pg_random_seed(&rnd, n);
		for (uint64_t k = 0; k < n; k++) {
			pg_va a = {BASE + k * 2 * PAGE};

			must(pg_space_map(s, &a, PAGE, PG_READ | PG_WRITE, 7, PG_MAP_FIXED_FREE,
				     NULL, 0, NULL) == 0,
				"map");
		}
		for (int i = 0; i < ROUNDS; i++)
			round_regions(s, &rnd, n, &best);
		printf("%10llu %9.0f %9.0f %9.0f %9.0f %9.0f\n", (unsigned long long)n, best.map,
			best.unmap, best.find, best.place, best.protect);
		pg_space_destroy(s);
		pg_vm_destroy(vm);
	}
}

/* ---- faults */

#define PAGES 4096u

static int nothing_read(void *ctx, uint64_t index, void *buf)
{
	memset(buf, (int)index, PAGE);
	return 0;
}

static int nothing_write(void *ctx, uint64_t index, const void *buf)
{
	return 0;
}

static uint64_t nothing_size(void *ctx)
{
	return PAGES * PAGE;
}

static const struct pg_pager pager = {"bench", nothing_read, nothing_write, nothing_size, NULL};

/* ns per write fault over PAGES fresh pages of a mapping. */
static double touch_ours(struct pg_space *s, struct pg_object *o, unsigned flags)
{
	pg_va a = {0};
	double t;

	must(pg_space_map(s, &a, PAGES * PAGE, PG_READ | PG_WRITE, 7, flags, o, 0, NULL) == 0,
		"map");
	t = now_ns();
	for (unsigned i = 0; i < PAGES; i++)
		must(pg_space_fault(s, (pg_va){a.v + i * PAGE}, PG_WRITE, 0, false) ==
				PG_FAULT_RESUME,
			"fault");
	t = (now_ns() - t) / PAGES;
	must(pg_space_unmap(s, a, PAGES * PAGE) == 0, "unmap");
	return t;
}

static double pair_ours(struct pg_space *s)
{
	double t = now_ns();

	for (unsigned i = 0; i < PAGES; i++) {
		pg_va a = {0};

		must(pg_space_map(s, &a, PAGE, PG_READ | PG_WRITE, 7, 0, NULL, 0, NULL) == 0,
			"map");
		must(pg_space_unmap(s, a, PAGE) == 0, "unmap");
	}
	return (now_ns() - t) / PAGES;
}

static long minor_faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt;
}

/* ns per write fault over PAGES pages of a fresh host mapping; *faults as getrusage counted. */
static double touch_linux(int fd, long *faults)
{
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	long before;
	double t;

	must(p != MAP_FAILED, "the host's mmap");
	madvise(p, PAGES * PAGE, MADV_NOHUGEPAGE);
	before = minor_faults();
	t = now_ns();
	for (unsigned i = 0; i < PAGES; i++)
		*(volatile char *)(p + i * PAGE) = 1;
	t = (now_ns() - t) / PAGES;
	*faults = minor_faults() - before;
	munmap(p, PAGES * PAGE);
	return t;
}

static double pair_linux(void)
{
	double t = now_ns();

	for (unsigned i = 0; i < PAGES; i++) {
		void *p = mmap(
			NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		must(p != MAP_FAILED && munmap(p, PAGE) == 0, "the host's mmap");
	}
	return (now_ns() - t) / PAGES;
}

/* Clearing a frame alone, over as many frames as a fault round touches. */
static double clear_frames(struct pg_vm *vm)
{
	double t = now_ns();

	for (uint32_t i = 1; i <= PAGES; i++)
		memset(pg_frames_bytes(pg_vm_frames(vm), (pg_pfn){i}), 0, PAGE);
	return (now_ns() - t) / PAGES;
}

static void print_fault_row(const char *what, double ours, double host, long faults)
{
	printf("%-34s %9.0f %9.0f %7.2f", what, ours, host, ours / host);
	if (faults >= 0 && (faults < (long)PAGES || faults > (long)PAGES + 16))
		printf("   (the host took %ld faults for %u pages)", faults, PAGES);
	putchar('\n');
}

static void measure_faults(void)
{
	struct pg_vm *vm = make_vm(64 << 20);
	struct pg_space *s = make_space(vm);
	int fd = memfd_create("scale", 0);
	double best[7] = {0}, clear;
	struct pg_object *o;
	long anon = 0, file = 0;
	bool existed;

	must(fd >= 0 && ftruncate(fd, PAGES * PAGE) == 0, "the host's memfd");
	must(pg_object_open(
		     vm, (struct pg_object_key){1, 1}, "bench", &pager, NULL, 0, &o, &existed) == 0,
		"opening the object");
	for (int i = 0; i <= ROUNDS;
		i++) { /* the first warms up: memory of the host, page caches */
		double t[7] = {clear_frames(vm), touch_ours(s, NULL, 0), touch_linux(-1, &anon),
			touch_ours(s, o, PG_MAP_SHARED), touch_linux(fd, &file), pair_ours(s),
			pair_linux()};

		for (int k = 0; i > 0 && k < 7; k++)
			least(&best[k], t[k], 1);
	}
	clear = best[0];
	printf("%-34s %9s %9s %7s   ns each; %u pages of 4 KiB\n", "", "library", "Linux", "ratio",
		PAGES);
	print_fault_row("anonymous page, first write", best[1], best[2], anon);
	print_fault_row("shared file page from the cache", best[3], best[4], file);
	print_fault_row("mmap + munmap of one page", best[5], best[6], -1);
	printf("of the first, clearing the frame takes %.0f ns\n", clear);
	pg_object_unref(o);
	pg_space_destroy(s);
	pg_vm_destroy(vm);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t most = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000000;

	if (*what && strcmp(what, "regions") && strcmp(what, "faults")) {
		fprintf(stderr, "usage: bench_space [regions [MOST] | faults]\n");
		return 2;
	}
	if (strcmp(what, "faults"))
		measure_regions(most);
	if (strcmp(what, "regions"))
		measure_faults();
	return 0;
}
