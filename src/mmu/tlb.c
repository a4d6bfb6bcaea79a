/* SPDX-License-Identifier: MIT */
/*
 * mmu/tlb.c: the TLBs of an MMU: made, switched, invalidated and marked on request. What happens
 * on an access is in mmu.c, the check in mmu_check.c, the command-line form in mmu_config.c.
 *
 * Called by cpu/ and, through struct pg_shootdown, by space/. Owns the sets of each level; the
 * mirrors belong to the caller, the page table to space/.
 *
 * Invariants (pg_mmu_check):
 *   M1 the order bytes of a set are a permutation of its slots; positions in use come
 *      before free ones.
 *   M2 a mark is that of its entry, and the entry is in the set of its page number.
 *   M3 no (ASID, page number) is twice in a set.
 *   M4 the mirror of a set is the image of its most recently used way if that belongs to
 *      the current ASID, else unusable; only its code_id may be 0 instead, after
 *      pg_mmu_poke(). The second mirror, where there is one, likewise.
 *   M5 an entry of the current ASID names the frame that the current table names, allows no
 *      more, and is dirty only if D is set there; A is set there.
 *   M6 an entry of a frame with PG_FRAME_CODE has `code` set.
 *   M7 where there are second mirrors, the ways that the mirrors of a set name are the two
 *      youngest, in this order; the ages may still have them the other way round.
 *   M8 an entry of a page-walk cache names the node that a walk comes to.
 *   M9 an entry of the first level for data is shown if and only if the view, where there is one, maps its
 *      frame at its page; one that is not shown allows nothing in a mirror but fetches.
 *
 * Compiled with general registers only, as mmu.c, which calls some of it.
 */
#include "mmu/mmu_private.h"

#include <errno.h>
#include <stdlib.h>

/* Makes *f say what e allows. */
static void mirror(const struct pg_mmu *m, const struct pg_level1 *l, struct pg_tlb_fast *f,
	const struct pg_l1_entry *e, uint64_t set)
{
	if (e->way.vpn != UINT64_MAX && e->way.asid == m->asid) {
		f->neg_read = e->image.neg_read;
		f->neg_write = e->image.neg_write;
		f->host = e->image.host;
		f->code_id = e->image.code_id;
		if (m->poked)
			f->code_id = 0;
	} else {
		f->neg_read = f->neg_write = pg_l1_never(l, set);
		f->host = PG_TLB_NOWHERE;
		f->code_id = 0;
	}
	f->way = e->image.way;
}

/* Makes the mirrors of a set say what its most recently used ways, for the current ASID, allow. */
static void mirror_set(const struct pg_mmu *m, const struct pg_level1 *l, uint64_t set)
{
	unsigned ways = l->sets.ways;
	uint8_t *block = pg_l1_block(&l->sets, ways, set);

	pg_l1_order(l, block, ways, set);
	mirror(m, l, &l->fast[set], pg_l1_slot(block, ways, pg_set_aged(block, ways, 0)), set);
	if (l->second)
		mirror(m, l, &l->second[set], pg_l1_slot(block, ways, pg_set_aged(block, ways, 1)),
			set);
}

/* Frees a way. */
static void drop_way(const struct pg_sets *s, uint8_t *block, unsigned way)
{
	*(uint64_t *)(void *)pg_set_slot(block, s->ways, s->slot_bytes, way) = UINT64_MAX;
	pg_set_retire(block, s->ways, way);
}

/* The same in set `set` of a first level; its mirrors are then to be made again. */
static void drop_way_l1(const struct pg_level1 *l, uint8_t *block, uint64_t set, unsigned way)
{
	pg_l1_order(l, block, l->sets.ways, set);
	drop_way(&l->sets, block, way);
	if (l->second) {
		l->fast[set].way = (uint32_t)pg_set_aged(block, l->sets.ways, 0);
		l->second[set].way = (uint32_t)pg_set_aged(block, l->sets.ways, 1);
	}
}

void pg_l1_drop(const struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn, uint16_t asid)
{
	uint8_t *block = pg_l1_block(&l->sets, l->sets.ways, vpn);
	uint64_t set = vpn & l->sets.mask;
	unsigned way;

	if (pg_l1_find(block, l->sets.ways, vpn, pg_mark(vpn, pg_mark_salt(asid)), &way)) {
		drop_way_l1(l, block, set, way);
		mirror_set(m, l, set);
	}
}

void pg_l2_drop(struct pg_mmu *m, uint64_t vpn, uint16_t asid)
{
	uint8_t *block = pg_l2_block(&m->l2, m->l2.ways, vpn);
	unsigned way;

	if (pg_l2_find(block, m->l2.ways, vpn, pg_mark(vpn, pg_mark_salt(asid)), &way))
		drop_way(&m->l2, block, way);
}

/* How many first levels there are: l1[0 .. n). */
static unsigned l1_count(const struct pg_mmu *m)
{
	return m->unified ? 1 : 2;
}

static void mirror_all(const struct pg_mmu *m)
{
	for (unsigned i = 0; i < l1_count(m); i++)
		for (uint64_t s = 0; s <= m->l1[i].sets.mask; s++)
			mirror_set(m, &m->l1[i], s);
}

/* Empties all sets of a level. */
static void sets_clear(struct pg_sets *s)
{
	for (uint64_t i = 0; i <= s->mask; i++) {
		uint8_t *block = pg_set_block(s, s->ways, s->slot_bytes, i);

		for (unsigned w = 0; w < s->ways; w++) {
			pg_set_marks(block)[w] = 0;
			pg_set_ages(block, s->ways)[w] = (uint8_t)w;
			*(uint64_t *)(void *)pg_set_slot(block, s->ways, s->slot_bytes, w) =
				UINT64_MAX;
		}
		for (unsigned w = s->ways; w % 8; w++)
			pg_set_ages(block, s->ways)[w] = pg_age_padding(s->ways);
	}
}

static bool geometry_ok(const struct pg_tlb_geometry *g)
{
	uint32_t sets;

	if (!g->entries || g->entries > PG_TLB_MAX_ENTRIES || !g->ways || g->ways > PG_MAX_WAYS ||
		g->entries % g->ways)
		return false;
	sets = g->entries / g->ways;
	return !(sets & (sets - 1));
}

/* The mirrors name the ways as after sets_clear(). */
static void mirrors_clear(const struct pg_level1 *l)
{
	for (uint64_t s = 0; s <= l->sets.mask; s++) {
		l->fast[s].way = 0;
		if (l->second)
			l->second[s].way = 1;
	}
}

static int sets_make(struct pg_sets *s, const struct pg_tlb_geometry *g, uint32_t slot_bytes)
{
	uint64_t bytes;
	void *p;

	s->ways = g->ways;
	s->mask = g->entries / g->ways - 1;
	s->slot_bytes = slot_bytes;
	s->block_bytes = (uint32_t)pg_set_bytes(g->ways, slot_bytes);
	bytes = (s->mask + 1) * s->block_bytes;
	if (posix_memalign(&p, 64, bytes))
		return -ENOMEM;
	s->blocks = p;
	/* Padding is read as part of words: let it have a value. */
	for (uint64_t i = 0; i < bytes / 8; i++)
		((uint64_t *)p)[i] = 0;
	sets_clear(s);
	return 0;
}

/* What each entry of a level just made says of itself for good: its way. */
static void l1_begin(const struct pg_level1 *l)
{
	for (uint64_t s = 0; s <= l->sets.mask; s++)
		for (unsigned w = 0; w < l->sets.ways; w++)
			pg_l1_slot(pg_l1_block(&l->sets, l->sets.ways, s), l->sets.ways, w)
				->image.way = w;
	mirrors_clear(l);
}

static void shootdown(struct pg_shootdown *self, pg_vpn start, pg_vpn end)
{
	struct pg_mmu *m =
		(struct pg_mmu *)(void *)((char *)self - offsetof(struct pg_mmu, shootdown));

	pg_mmu_invalidate(m, m->asid, start, end);
}

int pg_mmu_create(const struct pg_mmu_config *c, struct pg_frames *fs, struct pg_tlb_fast *fast_d,
	struct pg_tlb_fast *fast_i, struct pg_mmu **out)
{
	struct pg_mmu *m;
	bool split = c->l1i.entries != 0;
	void *p;
	int err;

	if (!geometry_ok(&c->l1d) || (split && (!geometry_ok(&c->l1i) || !fast_i)) || !fast_d ||
		(c->l2.entries && !geometry_ok(&c->l2)) || c->walk_cache > PG_MAX_WALK_CACHE)
		return -EINVAL;
	if (posix_memalign(&p, _Alignof(struct pg_mmu), sizeof(*m)))
		return -ENOMEM;
	m = p;
	*m = (struct pg_mmu){0};
	m->unified = !split;
	m->bytes = pg_frames_bytes(fs, (pg_pfn){0});
	m->rows = pg_frames_row(fs, (pg_pfn){0});
	m->frames = (uint32_t)pg_frames_total(fs);
	m->shootdown.invalidate = shootdown;

	m->l1[0] = (struct pg_level1){.fast = fast_d, .data = true, .fetch = !split};
	err = sets_make(&m->l1[0].sets, &c->l1d, sizeof(struct pg_l1_entry));
	if (!err && split) {
		m->l1[1] = (struct pg_level1){.fast = fast_i, .fetch = true};
		err = sets_make(&m->l1[1].sets, &c->l1i, sizeof(struct pg_l1_entry));
	} else {
		m->l1[1] = m->l1[0];
	}
	if (!err && c->walk_cache) {
		m->own_cache = calloc(1, sizeof(*m->own_cache));
		err = m->own_cache ? 0 : -ENOMEM;
	}
	if (!err && c->walk_cache) {
		m->own_cache->entries = c->walk_cache;
		pg_walk_cache_clear(m->own_cache);
	}
	if (!err && c->l2.entries)
		err = sets_make(&m->l2, &c->l2, sizeof(struct pg_l2_entry));
	if (err) {
		pg_mmu_destroy(m);
		return err;
	}
	for (unsigned i = 0; i < l1_count(m); i++)
		l1_begin(&m->l1[i]);
	mirror_all(m);
	*out = m;
	return 0;
}

void pg_mmu_set_second(struct pg_mmu *m, struct pg_tlb_fast *second_d, struct pg_tlb_fast *second_i,
	const uint64_t *exchanged)
{
	for (unsigned i = 0; i < l1_count(m); i++) {
		struct pg_level1 *l = &m->l1[i];
		struct pg_tlb_fast *second = i ? second_i : second_d;

		if (l->sets.ways < 2 || !l->sets.mask)
			continue;
		for (uint64_t s = 0; s <= l->sets.mask; s++) {
			uint8_t *block = pg_l1_block(&l->sets, l->sets.ways, s);

			second[s].way = (uint32_t)pg_set_aged(block, l->sets.ways, 1);
		}
		l->second = second;
	}
	if (m->unified)
		m->l1[1].second = m->l1[0].second;
	m->exchanged = exchanged;
	mirror_all(m);
}

void pg_mmu_set_view(struct pg_mmu *m, const uint32_t *frames)
{
	m->view = frames;
	pg_mmu_view_changed_all(m);
}

/* Looks again which entries of set s of a level the view shows: those of page v mod PG_VIEW_PAGES, or all. */
static void show_again(
	const struct pg_mmu *m, const struct pg_level1 *l, uint64_t s, uint64_t v, bool all)
{
	uint8_t *block = pg_l1_block(&l->sets, l->sets.ways, s);
	bool any = false;

	for (unsigned i = 0; i < l->sets.ways; i++) {
		struct pg_l1_entry *e = pg_l1_slot(block, l->sets.ways, i);
		uint8_t shown;

		if (e->way.vpn == UINT64_MAX || (!all && (e->way.vpn ^ v) % PG_VIEW_PAGES))
			continue;
		shown = pg_l1_is_shown(m, e->way.vpn, e->way.pfn);
		if (shown == e->way.shown)
			continue;
		e->way.shown = shown;
		pg_l1_make_image(l, e, s);
		any = true;
	}
	if (any)
		mirror_set(m, l, s);
}

void pg_mmu_view_changed(struct pg_mmu *m, pg_vpn v)
{
	show_again(m, &m->l1[0], v.v & m->l1[0].sets.mask, v.v, false);
}

bool pg_mmu_view_in_use(const struct pg_mmu *m, pg_vpn v)
{
	const struct pg_sets *s = &m->l1[0].sets;
	uint8_t *block = pg_l1_block(s, s->ways, v.v);

	for (unsigned i = 0; i < s->ways; i++) {
		const struct pg_tlb_way *w = &pg_l1_slot(block, s->ways, i)->way;

		if (w->vpn != UINT64_MAX && w->asid == m->asid && w->shown && w->vpn != v.v &&
			(w->vpn ^ v.v) % PG_VIEW_PAGES == 0)
			return true;
	}
	return false;
}

void pg_mmu_view_changed_all(struct pg_mmu *m)
{
	for (uint64_t s = 0; s <= m->l1[0].sets.mask; s++)
		show_again(m, &m->l1[0], s, 0, true);
}

void pg_mmu_destroy(struct pg_mmu *m)
{
	if (!m)
		return;
	free(m->l1[0].sets.blocks);
	if (!m->unified)
		free(m->l1[1].sets.blocks);
	free(m->l2.blocks);
	free(m->own_cache);
	free(m);
}

void pg_mmu_switch(struct pg_mmu *m, struct pg_table *table, uint16_t asid)
{
	m->table = table;
	m->asid = asid;
	m->salt = pg_mark_salt(asid);
	m->walk_cache = table && table->form->walk_cached ? m->own_cache : NULL;
	if (m->own_cache)
		pg_walk_cache_clear(m->own_cache);
	mirror_all(m);
}

bool pg_mmu_pair_is_stable(const struct pg_mmu *m, pg_va a, pg_va b)
{
	const struct pg_sets *s = &m->l1[0].sets;
	uint64_t p = pg_vpn_of(a).v, q = pg_vpn_of(b).v;

	return s->ways > 1 || p == q || ((p ^ q) & s->mask);
}

void pg_mmu_set_code_id(struct pg_mmu *m, pg_va a, uint32_t code_id)
{
	const struct pg_level1 *l = &m->l1[1];
	uint64_t vpn = pg_vpn_of(a).v;
	unsigned at;
	struct pg_l1_entry *e = pg_l1_find(pg_l1_block(&l->sets, l->sets.ways, vpn), l->sets.ways,
		vpn, pg_mark(vpn, m->salt), &at);

	if (!e)
		return;
	e->way.code_id = code_id;
	pg_l1_make_image(l, e, vpn & l->sets.mask);
	mirror_set(m, l, vpn & l->sets.mask);
}

void pg_mmu_forget_code_id(struct pg_mmu *m, pg_vpn v, uint32_t code_id)
{
	const struct pg_level1 *l = &m->l1[1];
	unsigned at;
	struct pg_l1_entry *e = pg_l1_find(pg_l1_block(&l->sets, l->sets.ways, v.v), l->sets.ways,
		v.v, pg_mark(v.v, m->salt), &at);

	if (!e || e->way.code_id != code_id)
		return;
	e->way.code_id = 0;
	pg_l1_make_image(l, e, v.v & l->sets.mask);
	mirror_set(m, l, v.v & l->sets.mask);
}

void pg_mmu_set_code(struct pg_mmu *m, pg_pfn f, bool code)
{
	for (unsigned n = 0; n < l1_count(m); n++) {
		const struct pg_level1 *l = &m->l1[n];

		for (uint64_t s = 0; s <= l->sets.mask; s++) {
			uint8_t *block = pg_l1_block(&l->sets, l->sets.ways, s);

			for (unsigned i = 0; i < l->sets.ways; i++) {
				struct pg_l1_entry *e = pg_l1_slot(block, l->sets.ways, i);

				if (e->way.vpn == UINT64_MAX || e->way.pfn != f.v)
					continue;
				e->way.code = code;
				pg_l1_make_image(l, e, s);
				mirror_set(m, l, s);
			}
		}
	}
	if (!m->l2.ways)
		return;
	for (uint64_t s = 0; s <= m->l2.mask; s++) {
		struct pg_l2_entry *e =
			pg_l2_slot(pg_l2_block(&m->l2, m->l2.ways, s), m->l2.ways, 0);

		for (unsigned i = 0; i < m->l2.ways; i++)
			if (e[i].pfn == f.v)
				e[i].bits = (uint8_t)((e[i].bits & ~PG_L2_CODE) |
						      (code ? PG_L2_CODE : 0));
	}
}

void pg_mmu_set_code_page(struct pg_mmu *m, pg_vpn v, pg_pfn f, bool code)
{
	const uint16_t mark = pg_mark(v.v, m->salt);
	struct pg_l2_entry *copy;
	unsigned at;

	for (unsigned n = 0; n < l1_count(m); n++) {
		const struct pg_level1 *l = &m->l1[n];
		struct pg_l1_entry *e = pg_l1_find(
			pg_l1_block(&l->sets, l->sets.ways, v.v), l->sets.ways, v.v, mark, &at);

		if (!e || e->way.pfn != f.v)
			continue;
		e->way.code = code;
		pg_l1_make_image(l, e, v.v & l->sets.mask);
		mirror_set(m, l, v.v & l->sets.mask);
	}
	if (!m->l2.ways)
		return;
	copy = pg_l2_find(pg_l2_block(&m->l2, m->l2.ways, v.v), m->l2.ways, v.v, mark, &at);
	if (copy && copy->pfn == f.v)
		copy->bits = (uint8_t)((copy->bits & ~PG_L2_CODE) | (code ? PG_L2_CODE : 0));
}

struct pg_shootdown *pg_mmu_shootdown(struct pg_mmu *m)
{
	return &m->shootdown;
}

/* Drops the entries of set s that are pages [start, end) of an ASID. */
static void l1_invalidate_set(const struct pg_mmu *m, const struct pg_level1 *l, uint64_t s,
	uint16_t asid, uint64_t start, uint64_t end)
{
	uint8_t *block = pg_l1_block(&l->sets, l->sets.ways, s);
	bool any = false;

	for (unsigned i = 0; i < l->sets.ways; i++) {
		const struct pg_tlb_way *w = &pg_l1_slot(block, l->sets.ways, i)->way;

		if (w->vpn == UINT64_MAX || w->asid != asid || w->vpn < start || w->vpn >= end)
			continue;
		drop_way_l1(l, block, s, i);
		any = true;
	}
	if (any)
		mirror_set(m, l, s);
}

static void l2_invalidate_set(
	struct pg_mmu *m, uint64_t s, uint16_t asid, uint64_t start, uint64_t end)
{
	uint8_t *block = pg_l2_block(&m->l2, m->l2.ways, s);

	for (unsigned i = 0; i < m->l2.ways; i++) {
		const struct pg_l2_entry *e = pg_l2_slot(block, m->l2.ways, i);

		if (e->vpn != UINT64_MAX && e->asid == asid && e->vpn >= start && e->vpn < end)
			drop_way(&m->l2, block, i);
	}
}

void pg_mmu_invalidate(struct pg_mmu *m, uint16_t asid, pg_vpn start, pg_vpn end)
{
	uint64_t pages = end.v > start.v ? end.v - start.v : 0;

	m->stats.shootdowns++;
	if (m->own_cache && asid == m->asid)
		pg_walk_cache_drop(m->own_cache, start.v, end.v);
	for (unsigned n = 0; n < l1_count(m); n++) {
		const struct pg_level1 *l = &m->l1[n];

		if (pages <= l->sets.mask)
			for (uint64_t p = start.v; p < end.v; p++)
				pg_l1_drop(m, l, p, asid);
		else
			for (uint64_t s = 0; s <= l->sets.mask; s++)
				l1_invalidate_set(m, l, s, asid, start.v, end.v);
	}
	if (!m->l2.ways)
		return;
	if (pages <= m->l2.mask)
		for (uint64_t p = start.v; p < end.v; p++)
			pg_l2_drop(m, p, asid);
	else
		for (uint64_t s = 0; s <= m->l2.mask; s++)
			l2_invalidate_set(m, s, asid, start.v, end.v);
}

void pg_mmu_flush(struct pg_mmu *m)
{
	for (unsigned n = 0; n < l1_count(m); n++) {
		sets_clear(&m->l1[n].sets);
		mirrors_clear(&m->l1[n]);
	}
	if (m->l2.ways)
		sets_clear(&m->l2);
	if (m->own_cache)
		pg_walk_cache_clear(m->own_cache);
	mirror_all(m);
}

void pg_mmu_reset(struct pg_mmu *m)
{
	m->table = NULL;
	m->asid = m->salt = 0;
	m->poked = 0;
	m->l1_misses[0] = m->l1_misses[1] = 0;
	m->stats = (struct pg_mmu_stats){0};
	m->walk_cache = NULL;
	if (m->own_cache)
		m->own_cache->saved = 0;
	pg_mmu_flush(m);
}

void pg_mmu_poke(struct pg_mmu *m)
{
	const struct pg_level1 *l = &m->l1[1];

	m->poked = 1;
	for (uint64_t s = 0; s <= l->sets.mask; s++) {
		*(volatile uint32_t *)&l->fast[s].code_id = 0;
		if (l->second)
			*(volatile uint32_t *)&l->second[s].code_id = 0;
	}
}

void pg_mmu_stats(const struct pg_mmu *m, struct pg_mmu_stats *out)
{
	const uint64_t *l1 = m->l1_misses;

	*out = m->stats;
	for (unsigned i = 0; m->exchanged && i < 2; i++)
		out->slow_lookups[i] += m->exchanged[i];
	out->misses[PG_TLB_L1D] = l1[0] + (m->unified ? l1[1] : 0);
	out->misses[PG_TLB_L1I] = m->unified ? 0 : l1[1];
	out->fetch_misses = l1[1];
	out->l2_lookups = m->l2.ways ? l1[0] + l1[1] : 0;
	out->walk_refs_saved = m->own_cache ? m->own_cache->saved : 0;
}

unsigned pg_mmu_walk_percentile(const struct pg_mmu_stats *s, unsigned percent)
{
	uint64_t all = 0, n = 0, want;

	for (unsigned i = 0; i < PG_WALK_LENGTHS; i++)
		all += s->walk_lengths[i];
	want = (all * percent + 99) / 100;
	for (unsigned i = 0; i < PG_WALK_LENGTHS; i++) {
		n += s->walk_lengths[i];
		if (n >= want && n)
			return i;
	}
	return 0;
}
