/* SPDX-License-Identifier: MIT */
/*
 * mmu/mmu.c: one lookup: first level, second level, walk. The hottest C code of the machine.
 *
 * Called by cpu/ for each access that the inline check did not answer. Calls the page table's walk
 * and update. Owns nothing: struct pg_mmu is made, changed on request and checked in tlb.c and
 * mmu_check.c, where the invariants are.
 *
 * The way of one lookup, with what is counted on it:
 *
 *   first level --hit, right--> done
 *        |  `--hit, no right--> drop from both levels, walk (walks): fill both, or fault
 *        |  `--hit, store, not dirty--> walk to set D (dirty_walks), in both levels
 *      miss (misses[L1])
 *        v
 *   second level (l2_lookups) --hit: as above, then fill the first level
 *        |
 *      miss (misses[L2])
 *        v
 *      walk (walks, walk_refs): no entry or no right: fault; else set A (and D for a store), fill
 * both
 *
 * A walk that ends in a fault fills nothing and sets no bit. A fault counts in faulting_lookups.
 * The levels are filled independently: an entry may leave the second while it is in the first.
 *
 * Everything here keeps to the general registers and calls no libc function: a guest's vector
 * registers are live (see meson.build).
 */
#include "mmu/mmu_private.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COLD static __attribute__((noinline, cold))
#define NOINLINE static __attribute__((noinline))

static uint8_t prot_of(pg_pte e)
{
	if (!(e & PG_PTE_US))
		return 0;
	return (uint8_t)(PG_READ | (e & PG_PTE_RW ? PG_WRITE : 0) | (e & PG_PTE_NX ? 0 : PG_EXEC));
}

/* What a walk found, or the second level had. */
typedef struct pg_l2_entry found;

/* Walks for an access; sets A, and D for a store. On PG_MMU_OK *out is the entry. */
static enum pg_mmu_result walk(struct pg_mmu *m, uint64_t vpn, enum pg_access access, found *out)
{
	pg_pte set = PG_PTE_A | (access == PG_WRITE ? PG_PTE_D : 0), e;
	unsigned refs = 0;

	if (!m->table)
		return PG_MMU_NOT_PRESENT;
	if (UNLIKELY(m->walk_cache != NULL))
		e = m->table->form->walk_cached(m->table, (pg_vpn){vpn}, m->walk_cache, &refs);
	else
		e = m->table->form->walk(m->table, (pg_vpn){vpn}, &refs);
	m->stats.walk_refs += refs;
	m->stats.walk_lengths[refs < PG_WALK_LENGTHS - 1 ? refs : PG_WALK_LENGTHS - 1]++;
	if (!e)
		return PG_MMU_NOT_PRESENT;
	out->prot = prot_of(e);
	if (!(out->prot & access))
		return PG_MMU_PROTECTION;
	if ((e & set) != set)
		m->table->form->update(m->table, (pg_vpn){vpn}, set, 0);
	out->vpn = vpn;
	out->pfn = pg_pte_pfn(e).v;
	out->asid = m->asid;
	out->bits = ((e | set) & PG_PTE_D ? PG_L2_DIRTY : 0) |
		    (m->rows[out->pfn].flags & PG_FRAME_CODE ? PG_L2_CODE : 0);
	return PG_MMU_OK;
}

/* Fills a first level of `ways` ways: *f takes the place of the least recently used of its set. */
PG_INLINE struct pg_tlb_way *fill_l1(struct pg_mmu *m, const struct pg_level1 *l,
	enum pg_access access, unsigned ways, const found *f)
{
	uint64_t set = f->vpn & l->sets.mask;
	uint8_t *block = pg_l1_block(&l->sets, ways, set);
	unsigned way = pg_set_replace(block, ways);
	struct pg_l1_entry *e = pg_l1_slot(block, ways, way);

	pg_set_marks(block)[way] = pg_mark(f->vpn, m->salt);
	e->way.vpn = f->vpn;
	e->way.host = (uint64_t)(uintptr_t)m->bytes + ((uint64_t)f->pfn << PG_PAGE_SHIFT);
	e->way.pfn = f->pfn;
	e->way.code_id = 0;
	e->way.asid = f->asid;
	e->way.prot = f->prot;
	e->way.dirty = (f->bits & PG_L2_DIRTY) != 0;
	e->way.code = (f->bits & PG_L2_CODE) != 0;
	e->way.shown = pg_l1_is_shown(m, f->vpn, f->pfn);
	e->way.asked = 0;
	pg_l1_settle(l, e, set);
	pg_l1_show(m, l, e, set, access);
	return &e->way;
}

/* The same for a second level. */
PG_INLINE void fill_l2(struct pg_mmu *m, unsigned ways, const found *f)
{
	uint8_t *block = pg_l2_block(&m->l2, ways, f->vpn);
	unsigned way = pg_set_replace(block, ways);

	pg_set_marks(block)[way] = pg_mark(f->vpn, m->salt);
	*pg_l2_slot(block, ways, way) = *f;
}

COLD enum pg_mmu_result fault(struct pg_mmu *m, enum pg_mmu_result r)
{
	m->stats.faulting_lookups++;
	return r;
}

/* The end of a lookup that no level answers: walks and fills both. */
NOINLINE enum pg_mmu_result walk_and_fill(struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn,
	enum pg_access access, struct pg_tlb_way **way)
{
	enum pg_mmu_result r;
	found f;

	m->stats.walks++;
	r = walk(m, vpn, access, &f);
	if (UNLIKELY(r != PG_MMU_OK))
		return fault(m, r);
	if (m->l2.ways == 12)
		fill_l2(m, 12, &f);
	else if (m->l2.ways)
		fill_l2(m, m->l2.ways, &f);
	if (l->sets.ways == 4)
		*way = fill_l1(m, l, access, 4, &f);
	else
		*way = fill_l1(m, l, access, l->sets.ways, &f);
	return PG_MMU_OK;
}

static void drop_both(struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn)
{
	pg_l1_drop(m, l, vpn, m->asid);
	if (m->l2.ways)
		pg_l2_drop(m, vpn, m->asid);
}

/* A store by an entry not known to be dirty: the extra walk that sets D. */
NOINLINE enum pg_mmu_result walk_for_dirty(struct pg_mmu *m, uint64_t vpn)
{
	found f;

	m->stats.dirty_walks++;
	return walk(m, vpn, PG_WRITE, &f);
}

/*
 * A hit in the first level, e, at the front of its set, that does not do: without the right the
 * entry goes and the table decides; a first store sets D, in the second level's copy too.
 */
COLD enum pg_mmu_result hit_not_enough(struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn,
	enum pg_access access, struct pg_l1_entry *e, struct pg_tlb_way **way)
{
	uint64_t set = vpn & l->sets.mask;
	struct pg_l2_entry *copy;
	enum pg_mmu_result r;
	unsigned at;

	pg_l1_front(l, e, set);
	if (!(e->way.prot & access)) {
		drop_both(m, l, vpn);
		return walk_and_fill(m, l, vpn, access, way);
	}
	r = walk_for_dirty(m, vpn);
	if (r != PG_MMU_OK) {
		drop_both(m, l, vpn);
		return fault(m, r);
	}
	e->way.dirty = 1;
	pg_l1_settle(l, e, set);
	pg_l1_show(m, l, e, set, access);
	copy = m->l2.ways ? pg_l2_find(pg_l2_block(&m->l2, m->l2.ways, vpn), m->l2.ways, vpn,
				    pg_mark(vpn, m->salt), &at)
			  : NULL;
	if (copy)
		copy->bits |= PG_L2_DIRTY;
	*way = &e->way;
	return PG_MMU_OK;
}

/* The lookup in the second level, of `ways` ways: NULL if it misses. */
PG_INLINE found *find_l2(struct pg_mmu *m, uint64_t vpn, unsigned ways)
{
	uint8_t *block = pg_l2_block(&m->l2, ways, vpn);
	unsigned way;
	found *f = pg_l2_find(block, ways, vpn, pg_mark(vpn, m->salt), &way);

	if (LIKELY(f))
		pg_set_touch(block, ways, way);
	return f;
}

NOINLINE found *find_l2_n(struct pg_mmu *m, uint64_t vpn)
{
	return find_l2(m, vpn, m->l2.ways);
}

/* A miss in a first level of `ways` ways. */
PG_INLINE enum pg_mmu_result miss(struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn,
	enum pg_access access, unsigned ways, struct pg_tlb_way **way)
{
	enum pg_mmu_result r;
	found *f;

	m->l1_misses[access == PG_EXEC]++;
	if (!m->l2.ways)
		return walk_and_fill(m, l, vpn, access, way);
	f = LIKELY(m->l2.ways == 12) ? find_l2(m, vpn, 12) : find_l2_n(m, vpn);
	if (UNLIKELY(!f)) {
		m->stats.misses[PG_TLB_L2]++;
		return walk_and_fill(m, l, vpn, access, way);
	}
	if (UNLIKELY(!(f->prot & access))) {
		pg_l2_drop(m, vpn, m->asid);
		return walk_and_fill(m, l, vpn, access, way);
	}
	if (UNLIKELY(access == PG_WRITE && !(f->bits & PG_L2_DIRTY))) {
		r = walk_for_dirty(m, vpn);
		if (UNLIKELY(r != PG_MMU_OK)) {
			pg_l2_drop(m, vpn, m->asid);
			return fault(m, r);
		}
		f->bits |= PG_L2_DIRTY;
	}
	*way = fill_l1(m, l, access, ways, f);
	return PG_MMU_OK;
}

NOINLINE enum pg_mmu_result miss_4(struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn,
	enum pg_access access, struct pg_tlb_way **way)
{
	return miss(m, l, vpn, access, 4, way);
}

NOINLINE enum pg_mmu_result miss_8(struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn,
	enum pg_access access, struct pg_tlb_way **way)
{
	return miss(m, l, vpn, access, 8, way);
}

NOINLINE enum pg_mmu_result miss_n(struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn,
	enum pg_access access, struct pg_tlb_way **way)
{
	return miss(m, l, vpn, access, l->sets.ways, way);
}

/* pg_mmu_lookup for a first level of `ways` ways; miss_w is the function above for these. */
PG_INLINE enum pg_mmu_result lookup(struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn,
	enum pg_access access, unsigned ways, __typeof__(miss_n) miss_w, struct pg_tlb_way **way)
{
	uint64_t set = vpn & l->sets.mask;
	uint8_t *block = pg_l1_block(&l->sets, ways, set);
	unsigned at;
	struct pg_l1_entry *e = pg_l1_find(block, ways, vpn, pg_mark(vpn, m->salt), &at);

	pg_l1_order(l, block, ways, set);
	if (UNLIKELY(!e))
		return miss_w(m, l, vpn, access, way);
	pg_set_touch(block, ways, at);
	if (UNLIKELY(!(e->way.ready & access)))
		return hit_not_enough(m, l, vpn, access, e, way);
	pg_l1_show(m, l, e, set, access);
	*way = &e->way;
	return PG_MMU_OK;
}

NOINLINE enum pg_mmu_result lookup_n(struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn,
	enum pg_access access, struct pg_tlb_way **way)
{
	return lookup(m, l, vpn, access, l->sets.ways, miss_n, way);
}

NOINLINE enum pg_mmu_result data_8(
	struct pg_mmu *m, uint64_t vpn, enum pg_access access, struct pg_tlb_way **way)
{
	return lookup(m, &m->l1[0], vpn, access, 8, miss_8, way);
}

NOINLINE enum pg_mmu_result fetch_4(struct pg_mmu *m, uint64_t vpn, struct pg_tlb_way **way)
{
	return lookup(m, &m->l1[1], vpn, PG_EXEC, 4, miss_4, way);
}

enum pg_mmu_result pg_mmu_lookup_data(
	struct pg_mmu *m, pg_va a, enum pg_access access, struct pg_tlb_way **way)
{
	const struct pg_level1 *l = &m->l1[0];
	uint64_t vpn = pg_vpn_of(a).v;

	m->stats.slow_lookups[0]++;
	if (LIKELY(l->sets.ways == 4))
		return lookup(m, l, vpn, access & (PG_READ | PG_WRITE), 4, miss_4, way);
	if (l->sets.ways == 8)
		return data_8(m, vpn, access, way);
	return lookup_n(m, l, vpn, access, way);
}

enum pg_mmu_result pg_mmu_lookup_fetch(struct pg_mmu *m, pg_va a, struct pg_tlb_way **way)
{
	const struct pg_level1 *l = &m->l1[1];
	uint64_t vpn = pg_vpn_of(a).v;

	m->stats.slow_lookups[1]++;
	if (LIKELY(l->sets.ways == 8))
		return lookup(m, l, vpn, PG_EXEC, 8, miss_8, way);
	if (l->sets.ways == 4)
		return fetch_4(m, vpn, way);
	return lookup_n(m, l, vpn, PG_EXEC, way);
}
