/* SPDX-License-Identifier: MIT */
/*
 * mmu/hit.h: a first-level hit, inline, for the one caller to whom a call costs too much: the quick path
 * of cpu/, which comes here for each access that its inline check did not answer.
 *
 * Calls nothing. Whoever includes it compiles with general registers only if a guest's others are
 * live (mmu/meson.build). What a lookup is and what it counts: mmu/tlb.h and mmu/mmu.c.
 */
#ifndef PG_MMU_HIT_H
#define PG_MMU_HIT_H

#include "mmu/mmu_private.h"

/* pg_mmu_hit for a first level of `ways` ways. */
PG_INLINE struct pg_tlb_way *pg_mmu_hit_ways(struct pg_mmu *m, const struct pg_level1 *l,
	uint64_t vpn, enum pg_access access, unsigned ways)
{
	uint8_t *block = pg_l1_block(&l->sets, ways, vpn);
	unsigned way;
	struct pg_l1_entry *e = pg_l1_find(block, ways, vpn, pg_mark(vpn, m->salt), &way);

	if (__builtin_expect(!e || !(e->way.ready & access), 0))
		return NULL;
	m->stats.slow_lookups[access == PG_EXEC]++;
	pg_l1_order(l, block, ways, vpn & l->sets.mask);
	pg_set_touch(block, ways, way);
	pg_l1_show(m, l, e, vpn & l->sets.mask, access);
	return &e->way;
}

/*
 * The lookup of pg_mmu_lookup() for a load or store that the first level answers without a walk: the entry. NULL,
 * and nothing changed or counted, for any other, and for numbers of ways that are not worth the code:
 * then call pg_mmu_lookup().
 */
PG_INLINE struct pg_tlb_way *pg_mmu_hit_data(struct pg_mmu *m, pg_va a, enum pg_access access)
{
	const struct pg_level1 *l = &m->l1[0];

	access &= PG_READ | PG_WRITE;
	if (l->sets.ways == 2)
		return pg_mmu_hit_ways(m, l, pg_vpn_of(a).v, access, 2);
	if (l->sets.ways == 4)
		return pg_mmu_hit_ways(m, l, pg_vpn_of(a).v, access, 4);
	return NULL;
}

/* The same for a fetch. */
PG_INLINE struct pg_tlb_way *pg_mmu_hit_fetch(struct pg_mmu *m, pg_va a)
{
	const struct pg_level1 *l = &m->l1[1];

	if (l->sets.ways == 4)
		return pg_mmu_hit_ways(m, l, pg_vpn_of(a).v, PG_EXEC, 4);
	if (l->sets.ways == 8)
		return pg_mmu_hit_ways(m, l, pg_vpn_of(a).v, PG_EXEC, 8);
	return NULL;
}

/* The code_id of the page's entry in the first level for fetches, 0 if it has none. Nothing is changed or counted. */
PG_INLINE uint32_t pg_mmu_peek_code_id(const struct pg_mmu *m, pg_va a)
{
	const struct pg_level1 *l = &m->l1[1];
	uint64_t vpn = pg_vpn_of(a).v;
	unsigned way;
	const struct pg_l1_entry *e = pg_l1_find(pg_l1_block(&l->sets, l->sets.ways, vpn),
		l->sets.ways, vpn, pg_mark(vpn, m->salt), &way);

	return e ? e->way.code_id : 0;
}

#endif
