/* SPDX-License-Identifier: MIT */
/*
 * tests/scale/scan_cost.c: what a reclaimed frame costs, by size of memory. It should not depend on it.
 *
 *   scan_cost [LEAST_MIB MOST_MIB]      64 and 512 unless given; `make bench` asks for 64 and 16384
 *
 * A sequential write over a quarter more than there are frames, then as much again: every page that comes needs
 * one that goes. Printed: scans for each frame (exact, and checked), and nanoseconds for each (shown, never checked).
 * All pages are filled with one word, so that the store keeps none of their bytes.
 */
#include "reclaim/reclaim.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void need(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "scan_cost: %s\n", what);
		exit(1);
	}
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Scans for each frame that was reclaimed, under this policy. */
static double measure(uint64_t mib, const char *policy)
{
	const struct pg_vm_config vc = {
		.memory_bytes = mib << 20, .form = &pg_table_radix, .geometry = pg_geometry_x86_64};
	const struct pg_space_config sc = {
		.lo = {0x10000}, .hi = {(uint64_t)1 << 46}, .mmap_top = {(uint64_t)1 << 45}};
	struct pg_reclaim_config rc = {.policy = policy};
	uint64_t pages = (mib << 20 >> PG_PAGE_SHIFT) / 4 * 5;
	struct pg_reclaim_stats st;
	struct pg_reclaim *r;
	struct pg_space *s;
	struct pg_vm *vm;
	double began, scans;
	pg_va a = {0};

	need(pg_vm_create(&vc, &vm) == 0, "no machine");
	need(pg_store_create("lz4:64G", NULL, &rc.store, NULL) == 0, "no store");
	need(pg_reclaim_create(vm, &rc, &r) == 0, "no reclaim");
	need(pg_space_create(vm, &sc, &s) == 0, "no space");
	need(pg_space_map(s, &a, pages * PG_PAGE_SIZE, PG_READ | PG_WRITE, 7, PG_MAP_NORESERVE,
		     NULL, 0, NULL) == 0,
		"no region");
	began = now_ns();
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < pages; i++) {
			uint8_t one = 1;

			need(pg_space_write(s, (pg_va){a.v + i * PG_PAGE_SIZE}, &one, 1, 0) == 1,
				"a write");
		}
	}
	pg_reclaim_stats(r, &st);
	need(st.reclaimed > pages / 4, "too few frames were reclaimed");
	scans = (double)st.scanned / (double)st.reclaimed;
	printf("%8llu MiB  %-9s %6.2f scans a frame  %8.0f ns a frame, all included\n",
		(unsigned long long)mib, policy, scans, (now_ns() - began) / (double)st.reclaimed);
	pg_space_destroy(s);
	pg_reclaim_destroy(r);
	pg_store_destroy(rc.store);
	pg_vm_destroy(vm);
	return scans;
}

int main(int argc, char **argv)
{
	const uint64_t least = argc > 2 ? strtoull(argv[1], NULL, 0) : 64;
	const uint64_t most = argc > 2 ? strtoull(argv[2], NULL, 0) : 512;
	const char *const policies[] = {"clock", "two-list", "sieve"};

	for (unsigned p = 0; p < sizeof policies / sizeof policies[0]; p++) {
		double first = 0;

		for (uint64_t mib = least; mib <= most; mib *= 2) {
			double scans = measure(mib, policies[p]);

			first = mib == least ? scans : first;
			need(scans <= first * 1.5 + 0.5 && scans >= first / 1.5 - 0.5,
				"the scans for a frame depend on the size of memory");
		}
	}
	return 0;
}
