/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/tlb_world.h: an MMU and, beside it, a slow, obvious one: arrays of entries with the time of their last use.
 *
 * Called by test_tlb.c, which does the same to both at random, and by test_mmu.c, whose figures are worked out by hand.
 */
#ifndef PG_TESTS_UNIT_TLB_WORLD_H
#define PG_TESTS_UNIT_TLB_WORLD_H

#include "base/random.h"
#include "mmu/hit.h"
#include "mmu/tlb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)
#define SPACES 3
#define CLUSTERS 6
#define CLUSTER_PAGES 40
#define PAGES (CLUSTERS * CLUSTER_PAGES)
#define FRAMES 64

struct entry {
	uint64_t vpn, stamp; /* stamp 0: free */
	uint32_t pfn, code_id;
	uint16_t asid;
	uint8_t prot;
	bool dirty, code;
};

struct level {
	uint64_t sets;
	unsigned ways;
	struct entry *e; /* sets * ways, in no order; owned */
};

/* What the page table should hold. */
struct page {
	bool present, write, exec, user, accessed, dirty;
	uint32_t pfn;
};

struct model {
	struct level d, i, l2; /* i.ways 0: unified; l2.ways 0: one level */
	uint64_t now;
	unsigned levels; /* of the page table */
	struct page page[SPACES][PAGES];
	struct pg_mmu_stats st;
};

/* Tables, frames, an MMU and its model. */
struct world {
	struct pg_mmu_config c;
	struct pg_frames *fs;
	struct pg_table *table[SPACES];
	struct pg_tlb_fast *fast_d, *fast_i; /* fast_i: where fetches look */
	struct pg_tlb_fast *second_d, *second_i;
	uint64_t exchanged[2];
	bool mmu_has_second;
	struct pg_mmu *mmu;
	struct pg_random r;
	uint64_t vpn[PAGES];
	unsigned space;     /* current */
	uint32_t first_pfn; /* the FRAMES that pages map to begin here */
	uint64_t inline_hits, slow[2];
	struct model m;
};

/* config as of --tlb; PAGES pages in CLUSTERS, none of them mapped. seconds: there are second mirrors too. */
void world_make(struct world *w, const char *config, const struct pg_geometry *g, uint64_t seed,
	bool seconds);
void world_free(struct world *w);

/* One access of page of the current space, by the model; on PG_MMU_OK *out is the first-level entry. */
enum pg_mmu_result model_access(
	struct world *w, unsigned page, enum pg_access access, struct entry **out);
/* The most recently used entry of a set, or NULL. */
struct entry *newest(const struct level *l, uint64_t set);

/* What translated code does: true and the host address if the mirror allows the access at a, which is in page. */
bool try_inline(
	const struct world *w, unsigned page, enum pg_access access, uint64_t a, uint64_t *host);
/* The same with the second mirror, which becomes the first. */
bool try_second(struct world *w, unsigned page, enum pg_access access, uint64_t a, uint64_t *host);

uint16_t asid_of(unsigned space);
uint32_t code_id_of(unsigned space, unsigned page);
uint64_t host_of(const struct world *w, uint32_t pfn);

#endif
