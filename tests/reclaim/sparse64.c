/* SPDX-License-Identifier: MIT */
/*
 * tests/reclaim/sparse64.c: all 2^64 bytes of addresses on 512 MiB of frames and a store, through the library.
 *
 *   sparse64 [PAGES]
 *
 * Six levels of page table. PAGES pages (more than there are frames), spread over the whole space by a bijection of 64
 * bits, are written and read back in another order. Guards R6 (large on small), R7 (six levels), R11.
 */
#include <pagoda/reclaim.h>

#include <stdio.h>
#include <stdlib.h>

#define MEMORY ((uint64_t)512 << 20)
#define PAGE_COUNT 30000u /* each in a node of its own at several levels: some five frames a page */
#define CLUSTER 64u       /* neighbouring pages in a group, so that nodes do not take all */

static void need(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "sparse64: %s\n", what);
		exit(1);
	}
}

/* The i-th page: groups of CLUSTER neighbours, scattered over 2^52 pages. Odd multiplication is a bijection. */
static pg_va address_of(uint64_t i)
{
	uint64_t group = i / CLUSTER * 0x9e3779b97f4a7c15u >> (12 + 6);

	return (pg_va){((group << 6) + i % CLUSTER) << PG_PAGE_SHIFT};
}

static uint64_t value_of(uint64_t i)
{
	return i * 0xc2b2ae3d27d4eb4fu + 1;
}

int main(int argc, char **argv)
{
	const uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : 6 * PAGE_COUNT;
	const struct pg_vm_config vc = {
		.memory_bytes = MEMORY, .form = &pg_table_radix, .geometry = pg_geometry_full64};
	/* The last page of 2^64 cannot be the end of a half-open range; all but it can be mapped. */
	const struct pg_space_config sc = {
		.lo = {0}, .hi = {-PG_PAGE_SIZE}, .mmap_top = {-PG_PAGE_SIZE}};
	struct pg_reclaim_config rc = {0};
	struct pg_reclaim_stats st;
	struct pg_space_stats ss;
	struct pg_store *store;
	struct pg_reclaim *r;
	struct pg_space *s;
	struct pg_vm *vm;
	pg_va a = {0};
	uint64_t v;

	need(pg_vm_create(&vc, &vm) == 0, "no machine");
	need(pg_store_create("zstd:1G", NULL, &store, NULL) == 0, "no store");
	rc.store = store;
	need(pg_reclaim_create(vm, &rc, &r) == 0, "no reclaim");
	need(pg_space_create(vm, &sc, &s) == 0, "no space");
	need(pg_space_map(s, &a, -PG_PAGE_SIZE, PG_READ | PG_WRITE, 7,
		     PG_MAP_FIXED | PG_MAP_NORESERVE, NULL, 0, NULL) == 0,
		"2^64 bytes cannot be mapped");
	for (uint64_t i = 0; i < n; i++) {
		v = value_of(i);
		need(pg_space_write(s, address_of(i), &v, sizeof v, 0) == sizeof v, "a write");
	}
	for (uint64_t k = 0; k < n; k++) {
		uint64_t i = k * 7919 % n;

		need(pg_space_read(s, &v, address_of(i), sizeof v, 0) == sizeof v, "a read");
		need(v == value_of(i), "other bytes than were written");
	}
	pg_reclaim_stats(r, &st);
	pg_space_stats(s, &ss);
	printf("%llu pages over 2^64 bytes on %llu frames: %llu out, %llu in, at most %llu frames "
	       "of "
	       "page table\n",
		(unsigned long long)n, (unsigned long long)(MEMORY >> PG_PAGE_SHIFT),
		(unsigned long long)st.swap_out, (unsigned long long)st.swap_in,
		(unsigned long long)ss.table.node_frames_peak);
	need(st.swap_out > 0 && st.swap_in > 0, "nothing was swapped: this tested nothing");
	need(ss.vsz_bytes == -PG_PAGE_SIZE, "VSZ");
	pg_space_destroy(s);
	pg_reclaim_destroy(r);
	pg_store_destroy(store);
	pg_vm_destroy(vm);
	return 0;
}
