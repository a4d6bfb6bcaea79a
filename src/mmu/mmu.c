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

/* One lookup on its way. */
struct lookup {
	uint64_t vpn, tag, set;
	uint8_t *block; /* of the first level */
	enum pg_access access;
};

/* Shows entry e as the mirror of its set. */
PG_INLINE void show(struct pg_mmu *m, const struct pg_level1 *l, const struct pg_l1_entry *e,
	uint64_t set, bool fetch)
{
	struct pg_tlb_fast *f = &l->fast[set];

	f->neg_read = e->image.neg_read;
	f->neg_write = e->image.neg_write;
	f->host = e->image.host;
	if (fetch)
		m->poked = 0;
	f->code_id = e->image.code_id;
	if (!fetch && UNLIKELY(m->poked))
		f->code_id = 0;
}

static uint8_t prot_of(pg_pte e)
{
	if (!(e & PG_PTE_US))
		return 0;
	return (uint8_t)(PG_READ | (e & PG_PTE_RW ? PG_WRITE : 0) | (e & PG_PTE_NX ? 0 : PG_EXEC));
}

/* What a walk found, or the second level had. */
typedef struct pg_l2_entry found;

/* Walks for an access; sets A, and D for a store. On PG_MMU_OK *out is the entry. */
static enum pg_mmu_result walk(struct pg_mmu *m, const struct lookup *k, found *out)
{
	pg_pte set = PG_PTE_A | (k->access == PG_WRITE ? PG_PTE_D : 0), e;
	unsigned refs = 0;

	if (!m->table)
		return PG_MMU_NOT_PRESENT;
	e = m->table->form->walk(m->table, (pg_vpn){k->vpn}, &refs);
	m->stats.walk_refs += refs;
	if (!e)
		return PG_MMU_NOT_PRESENT;
	out->prot = prot_of(e);
	if (!(out->prot & k->access))
		return PG_MMU_PROTECTION;
	if ((e & set) != set)
		m->table->form->update(m->table, (pg_vpn){k->vpn}, set, 0);
	out->vpn = k->vpn;
	out->pfn = pg_pte_pfn(e).v;
	out->dirty = ((e | set) & PG_PTE_D) != 0;
	out->code = (m->rows[out->pfn].flags & PG_FRAME_CODE) != 0;
	out->unused = 0;
	return PG_MMU_OK;
}

/* Replaces the least recently used way of the lookup's set in the first level. */
static struct pg_tlb_way *fill_l1(
	struct pg_mmu *m, const struct pg_level1 *l, const struct lookup *k, const found *f)
{
	unsigned ways = l->sets.ways;
	unsigned slot = pg_set_to_front(k->block, ways, ways - 1, k->tag);
	struct pg_l1_entry *e = pg_l1_slot(&l->sets, k->block, slot);

	e->way.vpn = f->vpn;
	e->way.host = (uint64_t)(uintptr_t)m->bytes + ((uint64_t)f->pfn << PG_PAGE_SHIFT);
	e->way.pfn = f->pfn;
	e->way.code_id = 0;
	e->way.asid = m->asid;
	e->way.prot = f->prot;
	e->way.dirty = f->dirty;
	e->way.code = f->code;
	pg_l1_make_image(l, e, k->set);
	show(m, l, e, k->set, k->access == PG_EXEC);
	return &e->way;
}

static void fill_l2(struct pg_mmu *m, const struct lookup *k, const found *f)
{
	uint8_t *block = pg_sets_block(&m->l2, k->vpn);
	unsigned slot = pg_set_to_front(block, m->l2.ways, m->l2.ways - 1, k->tag);

	*pg_l2_slot(&m->l2, block, slot) = *f;
}

COLD enum pg_mmu_result fault(struct pg_mmu *m, enum pg_mmu_result r)
{
	m->stats.faulting_lookups++;
	return r;
}

/* The end of a lookup that no level answers: walks and fills both. */
static enum pg_mmu_result walk_and_fill(struct pg_mmu *m, const struct pg_level1 *l,
	const struct lookup *k, struct pg_tlb_way **way)
{
	enum pg_mmu_result r;
	found f;

	m->stats.walks++;
	r = walk(m, k, &f);
	if (r != PG_MMU_OK)
		return fault(m, r);
	if (m->l2.ways)
		fill_l2(m, k, &f);
	*way = fill_l1(m, l, k, &f);
	return PG_MMU_OK;
}

/* A hit in either level without the right: the entry goes, the table decides. */
COLD enum pg_mmu_result walk_again(struct pg_mmu *m, const struct pg_level1 *l,
	const struct lookup *k, struct pg_tlb_way **way)
{
	pg_l1_drop(m, l, k->vpn, m->asid);
	if (m->l2.ways)
		pg_l2_drop(m, k->vpn, m->asid);
	return walk_and_fill(m, l, k, way);
}

/* A store by an entry not known to be dirty: the extra walk that sets D. */
static enum pg_mmu_result walk_for_dirty(struct pg_mmu *m, const struct lookup *k)
{
	found f;

	m->stats.dirty_walks++;
	return walk(m, k, &f);
}

/*
 * Sets D for an entry of the first level, at the front of its set, and in the second level's copy.
 * If the table no longer has the right, the entry goes and the lookup ends in a fault.
 */
NOINLINE enum pg_mmu_result make_dirty(struct pg_mmu *m, const struct pg_level1 *l,
	const struct lookup *k, struct pg_l1_entry *e, struct pg_tlb_way **way)
{
	enum pg_mmu_result r = walk_for_dirty(m, k);
	unsigned at;

	if (UNLIKELY(r != PG_MMU_OK)) {
		pg_l1_drop(m, l, k->vpn, m->asid);
		if (m->l2.ways)
			pg_l2_drop(m, k->vpn, m->asid);
		return fault(m, r);
	}
	e->way.dirty = 1;
	pg_l1_make_image(l, e, k->set);
	show(m, l, e, k->set, false);
	if (m->l2.ways) {
		at = pg_l2_position(m, k->vpn, m->asid);
		if (at < m->l2.ways) {
			uint8_t *block = pg_sets_block(&m->l2, k->vpn);
			unsigned slot = pg_set_order(block, m->l2.ways)[at];

			pg_l2_slot(&m->l2, block, slot)->dirty = 1;
		}
	}
	*way = &e->way;
	return PG_MMU_OK;
}

/* The lookup in the second level, of `ways` ways: NULL if it misses. */
PG_INLINE found *find_l2(struct pg_mmu *m, const struct lookup *k, unsigned ways)
{
	uint8_t *block = pg_sets_block(&m->l2, k->vpn);
	unsigned at = pg_set_find(block, ways, k->tag);
	found *f;

	if (at == ways)
		return NULL;
	f = pg_l2_slot(&m->l2, block, pg_set_order(block, ways)[at]);
	if (UNLIKELY(f->vpn != k->vpn)) {
		at = pg_l2_position(m, k->vpn, m->asid);
		if (at == ways)
			return NULL;
		f = pg_l2_slot(&m->l2, block, pg_set_order(block, ways)[at]);
	}
	pg_set_to_front(block, ways, at, k->tag);
	return f;
}

/* A first-level miss. */
NOINLINE enum pg_mmu_result miss(struct pg_mmu *m, const struct pg_level1 *l,
	const struct lookup *k, struct pg_tlb_way **way)
{
	found *f;

	m->stats.misses[l->which]++;
	m->stats.fetch_misses += k->access == PG_EXEC;
	if (!m->l2.ways)
		return walk_and_fill(m, l, k, way);
	m->stats.l2_lookups++;
	f = m->l2.ways == 12 ? find_l2(m, k, 12) : find_l2(m, k, m->l2.ways);
	if (!f) {
		m->stats.misses[PG_TLB_L2]++;
		return walk_and_fill(m, l, k, way);
	}
	if (UNLIKELY(!(f->prot & k->access)))
		return walk_again(m, l, k, way);
	if (k->access == PG_WRITE && !f->dirty) {
		enum pg_mmu_result r = walk_for_dirty(m, k);

		if (UNLIKELY(r != PG_MMU_OK)) {
			pg_l2_drop(m, k->vpn, m->asid);
			return fault(m, r);
		}
		f->dirty = 1;
	}
	*way = fill_l1(m, l, k, f);
	return PG_MMU_OK;
}

/* pg_mmu_lookup for a first level of `ways` ways. */
PG_INLINE enum pg_mmu_result lookup(struct pg_mmu *m, const struct pg_level1 *l, struct lookup *k,
	unsigned ways, struct pg_tlb_way **way)
{
	unsigned at = pg_set_find(k->block, ways, k->tag);
	struct pg_l1_entry *e;

	if (at == ways)
		return miss(m, l, k, way);
	e = pg_l1_slot(&l->sets, k->block, pg_set_order(k->block, ways)[at]);
	if (UNLIKELY(e->way.vpn != k->vpn)) {
		at = pg_l1_position(l, k->vpn, m->asid);
		if (at == ways)
			return miss(m, l, k, way);
		e = pg_l1_slot(&l->sets, k->block, pg_set_order(k->block, ways)[at]);
	}
	pg_set_to_front(k->block, ways, at, k->tag);
	if (UNLIKELY(!(e->way.prot & k->access)))
		return walk_again(m, l, k, way);
	if (UNLIKELY(k->access == PG_WRITE && !e->way.dirty))
		return make_dirty(m, l, k, e, way);
	show(m, l, e, k->set, k->access == PG_EXEC);
	*way = &e->way;
	return PG_MMU_OK;
}

enum pg_mmu_result pg_mmu_lookup(
	struct pg_mmu *m, pg_va a, enum pg_access access, struct pg_tlb_way **way)
{
	unsigned fetch = access == PG_EXEC;
	const struct pg_level1 *l = &m->l1[fetch];
	struct lookup k;

	k.vpn = pg_vpn_of(a).v;
	k.tag = pg_tag(k.vpn, m->asid);
	k.set = k.vpn & l->sets.mask;
	k.block = l->sets.blocks + k.set * l->sets.block_bytes;
	k.access = access;
	m->stats.slow_lookups[fetch]++;
	switch (l->sets.ways) {
	case 4:
		return lookup(m, l, &k, 4, way);
	case 8:
		return lookup(m, l, &k, 8, way);
	default:
		return lookup(m, l, &k, l->sets.ways, way);
	}
}
