/* SPDX-License-Identifier: MIT */
/*
 * mmu/mmu_check.c: checks the invariants M1 to M8 of tlb.c. Called by tests and debug builds.
 */
#include "mmu/mmu_private.h"

/* M1 to M3 for one set; asid_at: where an entry keeps its ASID. */
static const char *check_set(const struct pg_sets *s, uint64_t set, size_t asid_at)
{
	uint8_t *block = pg_set_block(s, s->ways, s->slot_bytes, set);
	const uint8_t *ages = pg_set_ages(block, s->ways);
	bool seen[PG_MAX_WAYS] = {false};
	unsigned used = 0;

	for (unsigned i = 0; i < s->ways; i++) {
		const uint8_t *e = pg_set_slot(block, s->ways, s->slot_bytes, i);
		uint64_t vpn = *(const uint64_t *)(const void *)e;
		uint16_t asid = *(const uint16_t *)(const void *)(e + asid_at);

		if (ages[i] >= s->ways || seen[ages[i]])
			return "M1: the ages of a set are no permutation";
		seen[ages[i]] = true;
		if (vpn == UINT64_MAX)
			continue;
		used++;
		if (pg_set_marks(block)[i] != pg_mark(vpn, pg_mark_salt(asid)) ||
			(vpn & s->mask) != set)
			return "M2: an entry under the wrong mark or in the wrong set";
		for (unsigned j = 0; j < i; j++) {
			const uint8_t *o = pg_set_slot(block, s->ways, s->slot_bytes, j);

			if (*(const uint64_t *)(const void *)o == vpn &&
				*(const uint16_t *)(const void *)(o + asid_at) == asid)
				return "M3: a page is twice in a set";
		}
	}
	for (unsigned i = 0; i < s->ways; i++) {
		const uint8_t *e = pg_set_slot(block, s->ways, s->slot_bytes, i);

		if ((*(const uint64_t *)(const void *)e == UINT64_MAX) != (ages[i] >= used))
			return "M1: a free way is younger than one in use";
	}
	return NULL;
}

/* M5 and M6 for one entry of any level. */
static const char *check_entry(const struct pg_mmu *m, const struct pg_l2_entry *e)
{
	unsigned refs;
	pg_pte p;

	if (e->pfn >= m->frames)
		return "M5: an entry names no frame";
	if ((m->rows[e->pfn].flags & PG_FRAME_CODE) && !(e->bits & PG_L2_CODE))
		return "M6: an entry of a frame with translations lets stores go inline";
	if (e->asid != m->asid)
		return NULL;
	p = m->table ? m->table->form->walk(m->table, (pg_vpn){e->vpn}, &refs) : 0;
	if (!p)
		return "M5: an entry that the table does not have";
	if (pg_pte_pfn(p).v != e->pfn)
		return "M5: an entry names another frame than the table";
	if (!(p & PG_PTE_US) || (!(p & PG_PTE_RW) && (e->prot & PG_WRITE)) ||
		((p & PG_PTE_NX) && (e->prot & PG_EXEC)))
		return "M5: an entry allows more than the table";
	if (!(p & PG_PTE_A))
		return "M5: an entry whose page is not marked accessed";
	if ((e->bits & PG_L2_DIRTY) && !(p & PG_PTE_D))
		return "M5: a dirty entry whose page is not marked dirty";
	return NULL;
}

/* M4 for mirror f of the way of an age in a set. */
static const char *check_mirror(const struct pg_mmu *m, const struct pg_level1 *l, uint64_t set,
	const struct pg_tlb_fast *f, uint8_t age)
{
	uint8_t *block = pg_l1_block(&l->sets, l->sets.ways, set);
	struct pg_l1_entry e =
		*pg_l1_slot(block, l->sets.ways, pg_set_aged(block, l->sets.ways, age));

	if (f->way != e.image.way)
		return "M7: a mirror names another way";
	if (e.way.vpn == UINT64_MAX || e.way.asid != m->asid)
		return f->neg_read == pg_l1_never(l, set) && f->neg_write == f->neg_read &&
				       f->host == PG_TLB_NOWHERE && !f->code_id
			       ? NULL
			       : "M4: a mirror of nothing is usable";
	pg_l1_make_image(l, &e, set);
	if (f->neg_read != e.image.neg_read || f->neg_write != e.image.neg_write ||
		f->host != e.image.host)
		return "M4: a mirror is not its most recently used way";
	if (f->code_id && f->code_id != e.image.code_id)
		return "M4: the code_id of a mirror";
	return NULL;
}

static const char *check_l1(const struct pg_mmu *m, const struct pg_level1 *l)
{
	for (uint64_t s = 0; s <= l->sets.mask; s++) {
		uint8_t *block = pg_l1_block(&l->sets, l->sets.ways, s);
		const char *bad;

		pg_l1_order(l, block, l->sets.ways, s);
		bad = check_set(&l->sets, s, offsetof(struct pg_l1_entry, way.asid));

		for (unsigned i = 0; !bad && i < l->sets.ways; i++) {
			const struct pg_l1_entry *e = pg_l1_slot(block, l->sets.ways, i);
			struct pg_l2_entry as_l2 = {.vpn = e->way.vpn,
				.pfn = e->way.pfn,
				.asid = e->way.asid,
				.prot = e->way.prot,
				.bits = (uint8_t)((e->way.dirty ? PG_L2_DIRTY : 0) |
						  (e->way.code ? PG_L2_CODE : 0))};

			if (e->way.vpn == UINT64_MAX)
				continue;
			if (e->way.host != (uint64_t)(uintptr_t)m->bytes +
						   ((uint64_t)e->way.pfn << PG_PAGE_SHIFT))
				return "M5: an entry has another host address than its frame";
			if (e->way.ready != (e->way.dirty ? e->way.prot : e->way.prot & ~PG_WRITE))
				return "M2: an entry is ready for more or less than it says";
			if (l->data && e->way.shown != pg_l1_is_shown(m, e->way.vpn, e->way.pfn))
				return "M9: an entry is shown, or not, against what the view maps";
			bad = check_entry(m, &as_l2);
		}
		if (!bad)
			bad = check_mirror(m, l, s, &l->fast[s], 0);
		if (!bad && l->second)
			bad = check_mirror(m, l, s, &l->second[s], 1);
		if (bad)
			return bad;
	}
	return NULL;
}

/* M8: a walk that begins at the entry finds what one from the root does, and that passes by it. */
static const char *check_walk_cache(const struct pg_mmu *m)
{
	struct pg_walk_cache copy;

	for (unsigned l = 1; m->walk_cache && l < PG_MAX_LEVELS; l++) {
		for (unsigned i = 0; m->walk_cache->shift[l] && i < m->walk_cache->entries; i++) {
			const struct pg_walk_cache_entry *e = &m->walk_cache->e[l][i];
			pg_vpn vpn = {e->prefix << m->walk_cache->shift[l]};
			const struct pg_table_form *form = m->table->form;
			unsigned refs, from_here;
			pg_pte p;

			if (e->prefix == UINT64_MAX)
				continue;
			p = form->walk(m->table, vpn, &refs);
			copy.entries = m->walk_cache->entries;
			pg_walk_cache_clear(&copy);
			pg_walk_cache_fill(&copy, l, e->prefix, m->walk_cache->shift[l], e->node);
			if (refs <= l || form->walk_cached(m->table, vpn, &copy, &from_here) != p ||
				refs != from_here + l)
				return "M8: an entry of a page-walk cache";
		}
	}
	return NULL;
}

const char *pg_mmu_check(const struct pg_mmu *m)
{
	const char *bad = check_walk_cache(m);

	if (!bad)
		bad = check_l1(m, &m->l1[0]);

	if (!bad && !m->unified)
		bad = check_l1(m, &m->l1[1]);
	if (bad || !m->l2.ways)
		return bad;
	for (uint64_t s = 0; s <= m->l2.mask; s++) {
		uint8_t *block = pg_l2_block(&m->l2, m->l2.ways, s);

		bad = check_set(&m->l2, s, offsetof(struct pg_l2_entry, asid));
		for (unsigned i = 0; !bad && i < m->l2.ways; i++) {
			const struct pg_l2_entry *e = pg_l2_slot(block, m->l2.ways, i);

			if (e->vpn != UINT64_MAX)
				bad = check_entry(m, e);
		}
		if (bad)
			return bad;
	}
	return NULL;
}
