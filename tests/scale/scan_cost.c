/* SPDX-License-Identifier: MIT */
/*
 * tests/scale/scan_cost.c: what a reclaimed frame costs, by size of memory. It should not depend on it.
 *
 *   scan_cost [LEAST_MIB MOST_MIB]      64 and 512 unless given; `make swap-long` asks for 64 and 16384
 *
 * A sequential pass over a quarter more than there are frames, then another: every page that comes needs one that goes.
 * Printed: scans for each frame (exact, and checked), and nanoseconds of processor time for each (shown, never checked).
 *
 *   private   pages are written, up to 1 GiB of frames; all are filled with one word, so that the store keeps none of their bytes
 *   file      pages of a file whose pager leaves the frame as it is: no byte of it is touched, so 16 GiB of frames take no more
 *             of the host's memory than the tables that describe them
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

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int leave(void *ctx, uint64_t index, void *buf)
{
	return 0;
}

static uint64_t size(void *ctx)
{
	return (uint64_t)1 << 40;
}

static const struct pg_pager nothing = {.name = "nothing", .read = leave, .size = size};

/* An access to each page, which sets its bits as the hardware does. */
static void touch(struct pg_space *s, pg_va a, bool file)
{
	const uint8_t one = 1;

	if (!file) {
		need(pg_space_write(s, a, &one, 1, 0) == 1, "a write");
		return;
	}
	need(pg_space_fault(s, a, PG_READ, 0, false) == PG_FAULT_RESUME, "a read");
	pg_table_radix.update(pg_space_table(s), pg_vpn_of(a), PG_PTE_A, 0);
}

/* Scans for each frame that was reclaimed, under this policy. */
static double measure(uint64_t mib, const char *policy, bool file)
{
	const struct pg_vm_config vc = {
		.memory_bytes = mib << 20, .form = &pg_table_radix, .geometry = pg_geometry_x86_64};
	const struct pg_space_config sc = {
		.lo = {0x10000}, .hi = {(uint64_t)1 << 46}, .mmap_top = {(uint64_t)1 << 45}};
	struct pg_reclaim_config rc = {.policy = policy};
	uint64_t pages = (mib << 20 >> PG_PAGE_SHIFT) / 4 * 5;
	struct pg_reclaim_stats st;
	struct pg_object *o = NULL;
	struct pg_reclaim *r;
	struct pg_space *s;
	struct pg_vm *vm;
	double began, scans;
	bool existed;
	pg_va a = {0};

	need(pg_vm_create(&vc, &vm) == 0, "no machine");
	need(file || pg_store_create("lz4:64G", NULL, &rc.store, NULL) == 0, "no store");
	need(pg_reclaim_create(vm, &rc, &r) == 0, "no reclaim");
	need(pg_space_create(vm, &sc, &s) == 0, "no space");
	need(!file || pg_object_open(vm, (struct pg_object_key){1, 2}, "file", &nothing, NULL, 0,
			      &o, &existed) == 0,
		"no file");
	need(pg_space_map(s, &a, pages * PG_PAGE_SIZE, file ? PG_READ : PG_READ | PG_WRITE, 7,
		     PG_MAP_NORESERVE | (file ? PG_MAP_SHARED : 0), o, 0, NULL) == 0,
		"no region");
	began = now_ns();
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < pages; i++)
			touch(s, (pg_va){a.v + i * PG_PAGE_SIZE}, file);
	}
	pg_reclaim_stats(r, &st);
	need(st.reclaimed > pages / 4, "too few frames were reclaimed");
	scans = (double)st.scanned / (double)st.reclaimed;
	printf("%8llu MiB  %-9s %-8s %6.2f scans a frame  %8.0f ns a frame, faults included\n",
		(unsigned long long)mib, policy, file ? "file" : "private", scans,
		(now_ns() - began) / (double)st.reclaimed);
	pg_space_destroy(s);
	if (o)
		pg_object_unref(o);
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

	for (unsigned p = 0; p < 2 * sizeof policies / sizeof policies[0]; p++) {
		bool file = p % 2;
		double first = 0;

		for (uint64_t mib = least; mib <= most && (file || mib <= 1024); mib *= 2) {
			double scans = measure(mib, policies[p / 2], file);

			first = mib == least ? scans : first;
			need(scans <= first * 1.5 + 0.5 && scans >= first / 1.5 - 0.5,
				"the scans for a frame depend on the size of memory");
		}
	}
	return 0;
}
