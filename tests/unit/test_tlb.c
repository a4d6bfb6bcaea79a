/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_tlb.c: the MMU beside a slow, obvious one: arrays of entries with the time of
 * their last use. Every access first tries the mirror, as translated code does, and only then
 * pg_mmu_lookup(); the model sees every access. So the test shows that the inline check loses no
 * miss. Counters, entries, mirrors, A and D bits and invariants M1 to M7 must agree. Rows R4, R5.
 */
#include "base/random.h"
#include "mmu/hit.h"
#include "mmu/tlb.h"

#include <errno.h>
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

/* ---- the model ------------------------------------------------------------------------- */

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

static struct entry *set_of(const struct level *l, uint64_t vpn)
{
	return &l->e[vpn % l->sets * l->ways];
}

static struct entry *find(const struct level *l, uint64_t vpn, uint16_t asid)
{
	for (unsigned w = 0; w < l->ways; w++) {
		struct entry *e = &set_of(l, vpn)[w];

		if (e->stamp && e->vpn == vpn && e->asid == asid)
			return e;
	}
	return NULL;
}

/* The most recently used of a set, or NULL. */
static struct entry *newest(const struct level *l, uint64_t set)
{
	struct entry *best = NULL;

	for (unsigned w = 0; w < l->ways; w++) {
		struct entry *e = &l->e[set * l->ways + w];

		if (e->stamp && (!best || e->stamp > best->stamp))
			best = e;
	}
	return best;
}

static void drop(const struct level *l, uint64_t vpn, uint16_t asid)
{
	struct entry *e = l->ways ? find(l, vpn, asid) : NULL;

	if (e)
		e->stamp = 0;
}

static struct entry *fill(struct model *m, const struct level *l, const struct entry *from)
{
	struct entry *e = set_of(l, from->vpn);

	for (unsigned w = 1; w < l->ways; w++)
		if (set_of(l, from->vpn)[w].stamp < e->stamp)
			e = &set_of(l, from->vpn)[w];
	*e = *from;
	e->stamp = ++m->now;
	e->code_id = 0;
	return e;
}

/* ---- the world: tables, frames, an MMU and its model ------------------------------------------
 */

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

static uint16_t asid_of(unsigned space)
{
	/* Two that differ in the high byte only, and the one whose tags end in ones. */
	static const uint16_t asids[SPACES] = {1, 0x101, 0xffff};

	return asids[space];
}

static uint8_t prot_of(const struct page *p)
{
	if (!p->user)
		return 0;
	return (uint8_t)(PG_READ | (p->write ? PG_WRITE : 0) | (p->exec ? PG_EXEC : 0));
}

static bool frame_has_code(const struct world *w, uint32_t pfn)
{
	return pg_frames_row(w->fs, (pg_pfn){pfn})->flags & PG_FRAME_CODE;
}

/* The walk of the model; an anchor in each cluster keeps all its nodes, so it reads every level. */
static enum pg_mmu_result model_walk(
	struct world *w, unsigned page, enum pg_access access, struct entry *out)
{
	struct page *p = &w->m.page[w->space][page];

	w->m.st.walk_refs += w->m.levels;
	w->m.st.walk_lengths[w->m.levels]++;
	if (!p->present)
		return PG_MMU_NOT_PRESENT;
	if (!(prot_of(p) & access))
		return PG_MMU_PROTECTION;
	p->accessed = true;
	p->dirty |= access == PG_WRITE;
	*out = (struct entry){.vpn = w->vpn[page],
		.pfn = p->pfn,
		.asid = asid_of(w->space),
		.prot = prot_of(p),
		.dirty = p->dirty,
		.code = frame_has_code(w, p->pfn)};
	return PG_MMU_OK;
}

static enum pg_mmu_result model_dirty(struct world *w, unsigned page, struct entry *e)
{
	struct entry found;
	enum pg_mmu_result r;

	w->m.st.dirty_walks++;
	r = model_walk(w, page, PG_WRITE, &found);
	if (r == PG_MMU_OK)
		e->dirty = true;
	return r;
}

static enum pg_mmu_result model_fault(struct world *w, enum pg_mmu_result r)
{
	w->m.st.faulting_lookups++;
	return r;
}

/* One access; on PG_MMU_OK *out is the first-level entry. */
static enum pg_mmu_result model_access(
	struct world *w, unsigned page, enum pg_access access, struct entry **out)
{
	struct model *m = &w->m;
	bool split = m->i.ways && access == PG_EXEC;
	struct level *l1 = split ? &m->i : &m->d;
	uint64_t vpn = w->vpn[page];
	uint16_t asid = asid_of(w->space);
	struct entry *e = find(l1, vpn, asid), *e2 = NULL, found;
	enum pg_mmu_result r;

	if (!e) {
		m->st.misses[split ? PG_TLB_L1I : PG_TLB_L1D]++;
		m->st.fetch_misses += access == PG_EXEC;
		if (m->l2.ways) {
			m->st.l2_lookups++;
			e2 = find(&m->l2, vpn, asid);
			m->st.misses[PG_TLB_L2] += !e2;
		}
	}
	if (e || e2) {
		struct entry *hit = e ? e : e2;

		hit->stamp = ++m->now;
		if (hit->prot & access) {
			if (access == PG_WRITE && !hit->dirty) {
				r = model_dirty(w, page, hit);
				if (r != PG_MMU_OK) {
					drop(l1, vpn, asid);
					drop(&m->l2, vpn, asid);
					return model_fault(w, r);
				}
				if (m->l2.ways && find(&m->l2, vpn, asid))
					find(&m->l2, vpn, asid)->dirty = true;
			}
			*out = e ? e : fill(m, l1, e2);
			return PG_MMU_OK;
		}
		drop(l1, vpn, asid);
		drop(&m->l2, vpn, asid);
	}
	m->st.walks++;
	r = model_walk(w, page, access, &found);
	if (r != PG_MMU_OK)
		return model_fault(w, r);
	if (m->l2.ways)
		fill(m, &m->l2, &found);
	*out = fill(m, l1, &found);
	return PG_MMU_OK;
}

/* ---- making and unmaking -------------------------------------------------------------------- */

static struct level level_make(const struct pg_tlb_geometry *g)
{
	struct level l = {.sets = g->entries ? g->entries / g->ways : 1, .ways = g->ways};

	l.e = calloc(g->entries + 1, sizeof(*l.e));
	assert_non_null(l.e);
	return l;
}

static void world_make(struct world *w, const char *config, const struct pg_geometry *g,
	uint64_t seed, bool seconds)
{
	const char *why = NULL;
	pg_pfn f;

	memset(w, 0, sizeof(*w));
	pg_random_seed(&w->r, seed);
	assert_int_equal(pg_mmu_config_parse(config, &w->c, &why), 0);
	assert_int_equal(pg_frames_create(8 * MIB, &w->fs), 0);
	for (unsigned i = 0; i < FRAMES; i++) {
		assert_int_equal(pg_frames_alloc(w->fs, 0, PG_FRAME_ANON, NULL, &f), 0);
		w->first_pfn = i ? w->first_pfn : f.v;
	}
	for (unsigned c = 0; c < CLUSTERS; c++)
		for (unsigned i = 0; i < CLUSTER_PAGES; i++)
			w->vpn[c * CLUSTER_PAGES + i] = (uint64_t)c * 0x12345200 + 16 * (c & 1) + i;
	/* The last cluster differs from the first in the top bits of the page number only. */
	if (g == &pg_geometry_full64)
		for (unsigned i = 0; i < CLUSTER_PAGES; i++)
			w->vpn[PAGES - 1 - i] = w->vpn[i] | (uint64_t)0x9 << 48;
	for (unsigned s = 0; s < SPACES; s++) {
		assert_int_equal(pg_table_radix.create(
					 &(struct pg_table_config){.frames = w->fs, .geometry = g},
					 &w->table[s]),
			0);
		for (unsigned p = 0; p < PAGES; p++) /* the anchors */
			assert_int_equal(w->table[s]->form->enter(w->table[s],
						 (pg_vpn){w->vpn[p] | 0x1ff}, PG_PTE_P),
				0);
	}
	w->m.levels = g->levels;
	w->m.d = level_make(&w->c.l1d);
	w->m.i = level_make(&w->c.l1i);
	w->m.l2 = level_make(&w->c.l2);
	w->fast_d = calloc(w->m.d.sets, sizeof(*w->fast_d));
	w->fast_i = w->m.i.ways ? calloc(w->m.i.sets, sizeof(*w->fast_i)) : w->fast_d;
	w->second_d = calloc(w->m.d.sets, sizeof(*w->second_d));
	w->second_i = w->m.i.ways ? calloc(w->m.i.sets, sizeof(*w->second_i)) : w->second_d;
	assert_int_equal(
		pg_mmu_create(&w->c, w->fs, w->fast_d, w->m.i.ways ? w->fast_i : NULL, &w->mmu), 0);
	pg_mmu_switch(w->mmu, w->table[0], asid_of(0));
	w->mmu_has_second = seconds;
	if (seconds)
		pg_mmu_set_second(w->mmu, w->second_d, w->second_i, w->exchanged);
	assert_null(pg_mmu_check(w->mmu));
}

static void world_free(struct world *w)
{
	pg_mmu_destroy(w->mmu);
	for (unsigned s = 0; s < SPACES; s++)
		w->table[s]->form->destroy(w->table[s]);
	if (w->fast_i != w->fast_d)
		free(w->fast_i);
	free(w->fast_d);
	if (w->second_i != w->second_d)
		free(w->second_i);
	free(w->second_d);
	free(w->m.d.e);
	free(w->m.i.e);
	free(w->m.l2.e);
	pg_frames_destroy(w->fs);
}

/* ---- one access, inline or slow ----------------------------------------------------------------
 */

static uint32_t code_id_of(unsigned space, unsigned page)
{
	return 1 + space * PAGES + page;
}

static uint64_t host_of(const struct world *w, uint32_t pfn)
{
	return (uint64_t)(uintptr_t)pg_frames_bytes(w->fs, (pg_pfn){pfn});
}

/* True and the host address if mirror f allows the access. */
static bool try_mirror(const struct world *w, const struct pg_tlb_fast *f, unsigned page,
	enum pg_access access, uint64_t a, uint64_t *host)
{
	if (access == PG_EXEC)
		return f->code_id == code_id_of(w->space, page);
	*host = a + (access == PG_READ ? f->neg_read : f->neg_write);
	if (*host > PG_PAGE_SIZE - 8)
		return false;
	*host += f->host;
	return true;
}

/* The set of an access in the first level that answers it. */
static uint64_t set_for(const struct world *w, enum pg_access access, uint64_t a)
{
	bool instruction = access == PG_EXEC && w->m.i.ways;

	return (a >> PG_PAGE_SHIFT) % (instruction ? w->m.i.sets : w->m.d.sets);
}

/* What translated code does: true and the host address if the mirror allows it. */
static bool try_inline(
	const struct world *w, unsigned page, enum pg_access access, uint64_t a, uint64_t *host)
{
	const struct pg_tlb_fast *fast = access == PG_EXEC ? w->fast_i : w->fast_d;

	return try_mirror(w, &fast[set_for(w, access, a)], page, access, a, host);
}

/* The same with the second mirror, which becomes the first. */
static bool try_second(
	struct world *w, unsigned page, enum pg_access access, uint64_t a, uint64_t *host)
{
	uint64_t set = set_for(w, access, a);
	struct pg_tlb_fast *f = access == PG_EXEC ? w->fast_i : w->fast_d;
	struct pg_tlb_fast *s = access == PG_EXEC ? w->second_i : w->second_d, was;
	const struct level *l = access == PG_EXEC && w->m.i.ways ? &w->m.i : &w->m.d;

	if (!w->mmu_has_second || l->ways < 2 || l->sets < 2 ||
		!try_mirror(w, &s[set], page, access, a, host))
		return false;
	was = f[set];
	f[set] = s[set];
	s[set] = was;
	w->exchanged[access == PG_EXEC]++;
	return true;
}

static enum pg_mmu_result do_access(struct world *w, unsigned page, enum pg_access access)
{
	uint64_t at = pg_random_below(&w->r, PG_PAGE_SIZE - 7), host = 0;
	pg_va a = {(w->vpn[page] << PG_PAGE_SHIFT) + at};
	struct pg_tlb_way *way = NULL;
	struct entry *e = NULL;
	bool fast = try_inline(w, page, access, a.v, &host);
	/* One in eight takes the slow path though it need not, as a page-crossing access does. */
	bool slow =
		pg_random_one_in(&w->r, 8) || (!fast && !try_second(w, page, access, a.v, &host));
	enum pg_mmu_result want = model_access(w, page, access, &e), got;

	if (!slow) {
		w->inline_hits++;
		assert_int_equal(want, PG_MMU_OK);
		if (access != PG_EXEC)
			assert_int_equal(host, host_of(w, e->pfn) + at);
		if (access == PG_WRITE)
			assert_true(e->dirty && !e->code);
		return want;
	}
	w->slow[access == PG_EXEC]++;
	/* Half of them as the engine's quick path does. */
	if (pg_random_one_in(&w->r, 2))
		way = access == PG_EXEC ? pg_mmu_hit_fetch(w->mmu, a)
					: pg_mmu_hit_data(w->mmu, a, access);
	got = way ? PG_MMU_OK : pg_mmu_lookup(w->mmu, a, access, &way);
	assert_int_equal(got, want);
	if (got != PG_MMU_OK)
		return got;
	assert_int_equal(way->vpn, e->vpn);
	assert_int_equal(way->asid, e->asid);
	assert_int_equal(way->pfn, e->pfn);
	assert_int_equal(way->host, host_of(w, e->pfn));
	assert_int_equal(way->prot, e->prot);
	assert_int_equal(way->dirty, e->dirty);
	assert_int_equal(way->code, e->code);
	assert_int_equal(way->code_id, e->code_id);
	if (access == PG_EXEC) {
		/* The mirror has the mark again, also after a poke. */
		uint64_t sets = w->m.i.ways ? w->m.i.sets : w->m.d.sets;

		assert_int_equal(w->fast_i[w->vpn[page] % sets].code_id, e->code_id);
		if (!e->code_id && pg_random_one_in(&w->r, 2)) {
			e->code_id = code_id_of(w->space, page);
			pg_mmu_set_code_id(w->mmu, a, e->code_id);
			assert_int_equal(w->fast_i[w->vpn[page] % sets].code_id, e->code_id);
		}
	}
	return got;
}

/* ---- what must agree ------------------------------------------------------------------------- */

static void expect_stats(struct world *w)
{
	struct pg_mmu_stats st;

	pg_mmu_stats(w->mmu, &st);
	w->m.st.slow_lookups[0] = w->slow[0] + w->exchanged[0];
	w->m.st.slow_lookups[1] = w->slow[1] + w->exchanged[1];
	assert_memory_equal(&st, &w->m.st, sizeof(st));
}

/* No address of set s matches neg, unless there is no other set, and then the host address traps. */
static void expect_never(
	const struct pg_tlb_fast *f, uint64_t neg, const struct level *l, uint64_t s)
{
	uint64_t page = -neg >> PG_PAGE_SHIFT;

	assert_true(page % l->sets != s || (l->sets == 1 && f->host == PG_TLB_NOWHERE));
	assert_true(
		(int64_t)(page << (PG_PAGE_SHIFT + 16)) >> 16 != (int64_t)(page << PG_PAGE_SHIFT));
}

static void expect_mirrors(const struct world *w, const struct level *l,
	const struct pg_tlb_fast *fast, bool data, bool fetch)
{
	for (uint64_t s = 0; s < l->sets; s++) {
		const struct entry *e = newest(l, s);
		const struct pg_tlb_fast *f = &fast[s];
		bool mine = e && e->asid == asid_of(w->space);
		bool writes = mine && data && (e->prot & PG_WRITE) && e->dirty && !e->code;
		/* With a single set there is no harmless neg_write beside a usable neg_read. */
		bool reads = mine && data && (e->prot & PG_READ) && (writes || l->sets > 1);

		if (reads)
			assert_int_equal(f->neg_read, -(e->vpn << PG_PAGE_SHIFT));
		else
			expect_never(f, f->neg_read, l, s);
		assert_int_equal(f->host, reads ? host_of(w, e->pfn) : PG_TLB_NOWHERE);
		if (writes)
			assert_int_equal(f->neg_write, f->neg_read);
		else
			expect_never(f, f->neg_write, l, s);
		if (f->code_id)
			assert_true(mine && fetch && f->code_id == e->code_id);
	}
}

static void expect_agreement(struct world *w)
{
	expect_stats(w);
	expect_mirrors(w, &w->m.d, w->fast_d, true, !w->m.i.ways);
	if (w->m.i.ways)
		expect_mirrors(w, &w->m.i, w->fast_i, false, true);
	assert_null(pg_mmu_check(w->mmu));
}

static void expect_table_bits(const struct world *w)
{
	for (unsigned s = 0; s < SPACES; s++)
		for (unsigned i = 0; i < PAGES; i++) {
			const struct page *p = &w->m.page[s][i];
			unsigned refs;
			pg_pte e = w->table[s]->form->walk(w->table[s], (pg_vpn){w->vpn[i]}, &refs);

			assert_int_equal(!!e, p->present);
			if (!e)
				continue;
			assert_int_equal(!!(e & PG_PTE_A), p->accessed);
			assert_int_equal(!!(e & PG_PTE_D), p->dirty);
		}
}

/* ---- random operations --------------------------------------------------------------------- */

static void map(struct world *w, unsigned space, unsigned page)
{
	struct page *p = &w->m.page[space][page];
	pg_pte bits = PG_PTE_P;

	*p = (struct page){.present = true,
		.write = !pg_random_one_in(&w->r, 3),
		.exec = !pg_random_one_in(&w->r, 3),
		.user = !pg_random_one_in(&w->r, 20),
		.pfn = w->first_pfn + (uint32_t)pg_random_below(&w->r, FRAMES)};
	bits |= p->write ? PG_PTE_RW : 0;
	bits |= p->exec ? 0 : PG_PTE_NX;
	bits |= p->user ? PG_PTE_US : 0;
	assert_int_equal(w->table[space]->form->enter(w->table[space], (pg_vpn){w->vpn[page]},
				 pg_pte_make((pg_pfn){p->pfn}, bits)),
		0);
}

/* Forgets [start, end) of a space in the model and the MMU. */
static void invalidate(struct world *w, unsigned space, uint64_t start, uint64_t end)
{
	struct level *ls[] = {&w->m.d, &w->m.i, &w->m.l2};

	for (unsigned n = 0; n < 3; n++)
		for (uint64_t i = 0; i < ls[n]->sets * ls[n]->ways; i++) {
			struct entry *e = &ls[n]->e[i];

			if (e->asid == asid_of(space) && e->vpn >= start && e->vpn < end)
				e->stamp = 0;
		}
	w->m.st.shootdowns++;
	if (space == w->space && pg_random_one_in(&w->r, 2)) {
		struct pg_shootdown *sd = pg_mmu_shootdown(w->mmu);

		sd->invalidate(sd, (pg_vpn){start}, (pg_vpn){end});
	} else {
		pg_mmu_invalidate(w->mmu, asid_of(space), (pg_vpn){start}, (pg_vpn){end});
	}
}

/* The table gains rights that the TLB does not know of: no invalidation is needed. */
static void widen(struct world *w, unsigned space, unsigned page)
{
	struct page *p = &w->m.page[space][page];
	pg_pte set = PG_PTE_US | PG_PTE_RW, clear = PG_PTE_NX;

	if (!p->present)
		return;
	p->user = p->write = p->exec = true;
	w->table[space]->form->update(w->table[space], (pg_vpn){w->vpn[page]}, set, clear);
}

static void change(struct world *w)
{
	unsigned space = (unsigned)pg_random_below(&w->r, SPACES);
	unsigned page = (unsigned)pg_random_below(&w->r, PAGES);
	uint64_t vpn = w->vpn[page];

	switch (pg_random_below(&w->r, 7)) {
	case 0: /* unmap one */
		w->table[space]->form->remove(w->table[space], (pg_vpn){vpn});
		w->m.page[space][page].present = false;
		invalidate(w, space, vpn, vpn + 1);
		break;
	case 1: /* map anew, over what was there */
		map(w, space, page);
		invalidate(w, space, vpn, vpn + 1);
		break;
	case 2:
		widen(w, space, page);
		break;
	case 3: /* clear A and D, as reclaim does, over a range */
	{
		uint64_t end = vpn + (pg_random_one_in(&w->r, 2) ? 3 : (uint64_t)1 << 40);

		for (unsigned i = 0; i < PAGES; i++) {
			if (w->vpn[i] < vpn || w->vpn[i] >= end)
				continue;
			w->m.page[space][i].accessed = w->m.page[space][i].dirty = false;
			w->table[space]->form->update(
				w->table[space], (pg_vpn){w->vpn[i]}, 0, PG_PTE_A | PG_PTE_D);
		}
		invalidate(w, space, vpn, end);
		break;
	}
	case 4: /* translations of a frame come or go */
	{
		pg_pfn f = {w->first_pfn + (uint32_t)pg_random_below(&w->r, FRAMES)};
		bool code = pg_random_one_in(&w->r, 2);
		struct level *ls[] = {&w->m.d, &w->m.i, &w->m.l2};

		pg_frames_row(w->fs, f)->flags = code ? PG_FRAME_CODE : 0;
		pg_mmu_set_code(w->mmu, f, code);
		for (unsigned n = 0; n < 3; n++)
			for (uint64_t i = 0; i < ls[n]->sets * ls[n]->ways; i++)
				if (ls[n]->e[i].pfn == f.v)
					ls[n]->e[i].code = code;
		break;
	}
	case 5:
		w->space = space;
		pg_mmu_switch(w->mmu, w->table[space], asid_of(space));
		break;
	default:
		if (pg_random_one_in(&w->r, 8)) {
			pg_mmu_flush(w->mmu);
			memset(w->m.d.e, 0, w->m.d.sets * w->m.d.ways * sizeof(struct entry));
			memset(w->m.i.e, 0, w->m.i.sets * w->m.i.ways * sizeof(struct entry));
			memset(w->m.l2.e, 0, w->m.l2.sets * w->m.l2.ways * sizeof(struct entry));
		} else {
			uint64_t sets = w->m.i.ways ? w->m.i.sets : w->m.d.sets;

			pg_mmu_poke(w->mmu);
			for (uint64_t s = 0; s < sets; s++)
				assert_int_equal(w->fast_i[s].code_id, 0);
		}
	}
}

/* Pages by locality: mostly near the last one, so that hits of every depth occur. */
static unsigned next_page(struct world *w, unsigned page)
{
	switch (pg_random_below(&w->r, 8)) {
	case 0:
		return (unsigned)pg_random_below(&w->r, PAGES);
	case 1:
	case 2:
		return (page + 16) % PAGES;
	case 3:
	case 4:
		return (page + PAGES - 16) % PAGES;
	case 5:
		return (page + 1) % PAGES;
	default:
		return page;
	}
}

static void run_random(
	const char *config, const struct pg_geometry *g, int steps, uint64_t seed, bool seconds)
{
	static const enum pg_access accesses[] = {PG_READ, PG_READ, PG_READ, PG_WRITE, PG_EXEC};
	static struct world w;
	unsigned page = 0;

	world_make(&w, config, g, seed, seconds);
	for (unsigned s = 0; s < SPACES; s++)
		for (unsigned i = 0; i < PAGES; i++)
			if (!pg_random_one_in(&w.r, 10))
				map(&w, s, i);
	for (int step = 0; step < steps; step++) {
		if (pg_random_one_in(&w.r, 40)) {
			change(&w);
			expect_agreement(&w);
		}
		page = next_page(&w, page);
		do_access(&w, page, accesses[pg_random_below(&w.r, 5)]);
		if (step % 4 == 0)
			expect_stats(&w);
		if (step % 64 == 0)
			expect_agreement(&w);
	}
	expect_agreement(&w);
	expect_table_bits(&w);
	/* The run met what it is there for. */
	assert_true(w.m.st.walks && w.m.st.dirty_walks && w.m.st.faulting_lookups);
	assert_true(w.m.st.walks > w.m.st.misses[w.m.l2.ways ? PG_TLB_L2 : PG_TLB_L1D] ||
		    w.m.d.ways == 1);
	assert_true(w.inline_hits);
	assert_true(!seconds || w.exchanged[0] || w.m.d.ways < 2 || w.m.d.sets < 2);
	world_free(&w);
}

static const char *const configs[] = {"64x4", "64x4,1536x12", "d64x4,i64x8,1536x12", "1x1", "16x16",
	"8x1,32x2", "d4x1,i8x8", "d16x16,i1x1,48x3", "256x256", "d8x8,i16x2,96x12", "d2x2,i2x1,6x6",
	"40x5,36x9", "32x8", "12x12,128x4", "24x3,17x17"};

static void tlb_random_operations_agree_with_model(void **state)
{
	for (unsigned i = 0; i < sizeof(configs) / sizeof(configs[0]); i++)
		run_random(configs[i], &pg_geometry_x86_64, 40000, i, false);
}

static void tlb_second_mirrors_agree_with_model(void **state)
{
	for (unsigned i = 0; i < sizeof(configs) / sizeof(configs[0]); i++)
		run_random(configs[i], &pg_geometry_x86_64, 40000, i, true);
}

/* Page numbers of 52 bits, where tags alone do not tell pages apart. */
static void tlb_full64_aliasing_tags_agree_with_model(void **state)
{
	run_random("64x4,1536x12", &pg_geometry_full64, 40000, 100, false);
	run_random("d16x8,i12x12,36x9", &pg_geometry_full64, 40000, 101, true);
	run_random("d8x4,i4x4", &pg_geometry_full64, 40000, 102, true);
}

/* ---- counts worked out by hand ----------------------------------------------------------------
 */

static void world_simple(struct world *w, const char *config)
{
	world_make(w, config, &pg_geometry_x86_64, 7, false);
	for (unsigned i = 0; i < 128; i++)
		assert_int_equal(w->table[0]->form->enter(w->table[0], (pg_vpn){1024 + i},
					 pg_pte_make((pg_pfn){w->first_pfn + i % FRAMES},
						 PG_PTE_P | PG_PTE_RW | PG_PTE_US)),
			0);
}

/* Reads `pages` pages in order, `rounds` times, inline where the mirror allows. */
static struct pg_mmu_stats loop_over(const char *config, unsigned pages, unsigned rounds)
{
	static struct world w;
	struct pg_mmu_stats st;
	struct pg_tlb_way *way;
	uint64_t host;

	world_simple(&w, config);
	for (unsigned n = 0; n < rounds; n++)
		for (unsigned i = 0; i < pages; i++) {
			pg_va a = {(uint64_t)(1024 + i) << PG_PAGE_SHIFT};

			if (!try_inline(&w, 0, PG_READ, a.v, &host))
				assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_READ, &way), PG_MMU_OK);
		}
	pg_mmu_stats(w.mmu, &st);
	world_free(&w);
	return st;
}

static void loop_fitting_misses_once_a_page(void **state)
{
	struct pg_mmu_stats st = loop_over("64x4", 64, 10);

	assert_int_equal(st.misses[PG_TLB_L1D], 64);
	assert_int_equal(st.walks, 64);
	assert_int_equal(st.walk_refs, 64 * 4);
	/* 16 sets of 4 ways, 4 pages in each: never the most recent one. */
	assert_int_equal(st.slow_lookups[0], 640);
	assert_int_equal(st.l2_lookups, 0);
	/* 16 pages, one a set: from the second round on all is inline. */
	st = loop_over("64x4", 16, 10);
	assert_int_equal(st.misses[PG_TLB_L1D], 16);
	assert_int_equal(st.slow_lookups[0], 16);
}

static void loop_one_page_too_long_thrashes_one_set(void **state)
{
	/* Pages 0, 16, 32, 48, 64 share a set of 4 ways: all five miss in each round. */
	struct pg_mmu_stats st = loop_over("64x4", 65, 10);

	assert_int_equal(st.misses[PG_TLB_L1D], 65 + 9 * 5);
	assert_int_equal(st.walks, 110);
	assert_int_equal(st.walk_refs, 440);
	/* Fully associative: all 65 miss. */
	st = loop_over("64x64", 65, 10);
	assert_int_equal(st.misses[PG_TLB_L1D], 650);
	/* A second level answers them: 65 walks once. */
	st = loop_over("64x4,1536x12", 65, 10);
	assert_int_equal(st.misses[PG_TLB_L1D], 110);
	assert_int_equal(st.l2_lookups, 110);
	assert_int_equal(st.misses[PG_TLB_L2], 65);
	assert_int_equal(st.walk_refs, 65 * 4);
}

static void store_after_load_walks_once_more_for_dirty(void **state)
{
	static struct world w;
	struct pg_mmu_stats st;
	struct pg_tlb_way *way;
	pg_va a = {1024 << PG_PAGE_SHIFT}, b = {1025 << PG_PAGE_SHIFT};
	uint64_t host;
	unsigned refs;

	world_simple(&w, "64x4");
	assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_READ, &way), PG_MMU_OK);
	assert_false(try_inline(&w, 0, PG_WRITE, a.v, &host));
	assert_int_equal(
		w.table[0]->form->walk(w.table[0], pg_vpn_of(a), &refs) & (PG_PTE_A | PG_PTE_D),
		PG_PTE_A);
	assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_WRITE, &way), PG_MMU_OK);
	assert_true(try_inline(&w, 0, PG_WRITE, a.v, &host));
	pg_mmu_stats(w.mmu, &st);
	assert_int_equal(st.walks, 1);
	assert_int_equal(st.dirty_walks, 1);
	assert_int_equal(st.walk_refs, 8);
	/* A store that misses sets both bits in one walk. */
	assert_int_equal(pg_mmu_lookup(w.mmu, b, PG_WRITE, &way), PG_MMU_OK);
	pg_mmu_stats(w.mmu, &st);
	assert_int_equal(st.walks, 2);
	assert_int_equal(st.dirty_walks, 1);
	assert_int_equal(st.walk_refs, 12);
	assert_int_equal(
		w.table[0]->form->walk(w.table[0], pg_vpn_of(b), &refs) & (PG_PTE_A | PG_PTE_D),
		PG_PTE_A | PG_PTE_D);
	world_free(&w);
}

/* A wild store to the page named NOWHERE must not get through a mirror of its set. */
static void store_to_nowhere_never_matches(void **state)
{
	static const char *const some[] = {"64x4", "16x16", "2x1", "1x1"};

	for (unsigned i = 0; i < 4; i++) {
		static struct world w;
		struct pg_tlb_way *way;
		pg_va a = {1024 << PG_PAGE_SHIFT}; /* set 0 */
		uint64_t host = 0;

		world_simple(&w, some[i]);
		assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_READ, &way), PG_MMU_OK);
		if (try_inline(&w, 0, PG_WRITE, PG_TLB_NOWHERE + 8, &host))
			assert_true(host >= PG_TLB_NOWHERE && host < PG_TLB_NOWHERE + 2 * 4096);
		assert_int_equal(pg_mmu_lookup(w.mmu, (pg_va){PG_TLB_NOWHERE}, PG_WRITE, &way),
			PG_MMU_NOT_PRESENT);
		world_free(&w);
	}
}

static void no_table_nothing_is_present(void **state)
{
	static struct world w;
	struct pg_mmu_stats st;
	struct pg_tlb_way *way;

	world_simple(&w, "64x4");
	pg_mmu_switch(w.mmu, NULL, 9);
	assert_int_equal(
		pg_mmu_lookup(w.mmu, (pg_va){1024 << 12}, PG_READ, &way), PG_MMU_NOT_PRESENT);
	pg_mmu_stats(w.mmu, &st);
	assert_int_equal(st.walk_refs, 0);
	assert_int_equal(st.faulting_lookups, 1);
	world_free(&w);
}

/* After a poke no data access brings a mark back: the next fetch must come to the slow path. */
static void poke_data_lookups_leave_marks_away(void **state)
{
	static struct world w;
	struct pg_tlb_way *way;
	pg_va a = {1024 << 12}, b = {1040 << 12}; /* of one set */

	world_simple(&w, "64x4");
	assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_EXEC, &way), PG_MMU_OK);
	pg_mmu_set_code_id(w.mmu, a, 77);
	assert_int_equal(w.fast_i[0].code_id, 77);
	assert_int_equal(pg_mmu_lookup(w.mmu, b, PG_READ, &way), PG_MMU_OK);
	assert_int_equal(w.fast_i[0].code_id, 0);
	/* A data access that makes the page of the code the most recent again shows the mark ... */
	assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_READ, &way), PG_MMU_OK);
	assert_int_equal(w.fast_i[0].code_id, 77);
	/* ... but not after a poke, nor does a switch or an invalidation. */
	pg_mmu_poke(w.mmu);
	assert_int_equal(w.fast_i[0].code_id, 0);
	assert_int_equal(w.fast_i[0].neg_read, -a.v);
	assert_int_equal(pg_mmu_lookup(w.mmu, b, PG_READ, &way), PG_MMU_OK);
	assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_READ, &way), PG_MMU_OK);
	assert_int_equal(w.fast_i[0].code_id, 0);
	assert_int_equal(pg_mmu_lookup(w.mmu, b, PG_READ, &way), PG_MMU_OK);
	pg_mmu_invalidate(w.mmu, asid_of(0), pg_vpn_of(b), (pg_vpn){1041});
	assert_int_equal(w.fast_i[0].neg_read, -a.v);
	assert_int_equal(w.fast_i[0].code_id, 0);
	pg_mmu_switch(w.mmu, w.table[0], asid_of(0));
	assert_int_equal(w.fast_i[0].code_id, 0);
	/* A fetch does. */
	assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_EXEC, &way), PG_MMU_OK);
	assert_int_equal(way->code_id, 77);
	assert_int_equal(w.fast_i[0].code_id, 77);
	world_free(&w);
}

/* pg_mmu_pair_is_stable beside what really happens. */
static void pair_is_stable_tells_what_happens(void **state)
{
	static const char *const some[] = {"64x4", "8x1", "1x1", "2x2", "16x1,64x4"};

	for (unsigned i = 0; i < 5; i++)
		for (unsigned q = 0; q < 40; q++) {
			static struct world w;
			struct pg_mmu_stats one, two;
			struct pg_tlb_way *way;
			pg_va a = {1024 << 12}, b = {(uint64_t)(1024 + q) << 12};

			world_simple(&w, some[i]);
			for (unsigned n = 0; n < 8; n++) {
				if (n == 2)
					pg_mmu_stats(w.mmu, &one);
				assert_int_equal(pg_mmu_lookup(w.mmu, n & 1 ? b : a, PG_READ, &way),
					PG_MMU_OK);
			}
			pg_mmu_stats(w.mmu, &two);
			assert_int_equal(pg_mmu_pair_is_stable(w.mmu, a, b),
				one.misses[PG_TLB_L1D] == two.misses[PG_TLB_L1D]);
			world_free(&w);
		}
}

/* M9: what the caller's view does not map is looked up and counted as ever, and allows nothing inline. */
static void view_shows_only_what_it_maps(void **state)
{
	static const char *const some[] = {"64x4", "d16x2,i8x8,64x4", "4x4"};
	static uint32_t view[PG_VIEW_PAGES];

	for (unsigned i = 0; i < 3; i++) {
		static struct world w;
		struct pg_tlb_way *way;
		pg_va a = {1024 << 12}, b = {1040 << 12};
		uint32_t f;

		memset(view, 0, sizeof(view));
		world_simple(&w, some[i]);
		pg_mmu_set_view(w.mmu, view);
		assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_WRITE, &way), PG_MMU_OK);
		assert_false(way->shown);
		assert_int_not_equal(w.fast_d[0].neg_read, -a.v);
		assert_int_not_equal(w.fast_d[0].neg_write, -a.v);
		assert_null(pg_mmu_check(w.mmu));
		/* Another frame there is none the better; the right one is, at once. */
		f = way->pfn;
		view[1024] = f + 2;
		pg_mmu_view_changed(w.mmu, (pg_vpn){1024});
		assert_int_not_equal(w.fast_d[0].neg_read, -a.v);
		view[1024] = f + 1;
		assert_string_equal(pg_mmu_check(w.mmu),
			"M9: an entry is shown, or not, against what the view maps");
		pg_mmu_view_changed(w.mmu, (pg_vpn){1024});
		assert_null(pg_mmu_check(w.mmu));
		assert_int_equal(w.fast_d[0].neg_read, -a.v);
		assert_int_equal(w.fast_d[0].neg_write, -a.v);
		/* It stays so while the entry goes and comes again, and fetches are not concerned. */
		assert_int_equal(pg_mmu_lookup(w.mmu, b, PG_READ, &way), PG_MMU_OK);
		assert_false(way->shown);
		pg_mmu_invalidate(w.mmu, asid_of(0), (pg_vpn){1024}, (pg_vpn){1025});
		assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_READ, &way), PG_MMU_OK);
		assert_true(way->shown);
		assert_int_equal(w.fast_d[0].neg_read, -a.v);
		assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_EXEC, &way), PG_MMU_OK);
		pg_mmu_set_code_id(w.mmu, a, 77);
		/* The view starts again. */
		view[1024] = 0;
		pg_mmu_view_changed_all(w.mmu);
		assert_null(pg_mmu_check(w.mmu));
		assert_int_not_equal(w.fast_d[0].neg_read, -a.v);
		assert_int_equal(w.fast_i[0].code_id, 77);
		world_free(&w);
	}
}

/* Two pages of one place in the view: at most one of them is shown. */
static void view_of_two_pages_at_one_place_shows_one(void **state)
{
	static uint32_t view[PG_VIEW_PAGES];
	static struct world w;
	struct pg_tlb_way *way, *other;
	pg_va a = {1024 << 12}, b = {a.v + (PG_VIEW_PAGES << 12)};
	uint32_t f;

	world_simple(&w, "64x4,64x4");
	pg_mmu_set_view(w.mmu, view);
	assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_READ, &way), PG_MMU_OK);
	f = way->pfn;
	assert_int_equal(w.table[0]->form->enter(w.table[0], pg_vpn_of(b),
				 pg_pte_make((pg_pfn){f + 1}, PG_PTE_P | PG_PTE_RW | PG_PTE_US)),
		0);
	assert_int_equal(pg_mmu_lookup(w.mmu, b, PG_READ, &other), PG_MMU_OK);
	view[1024] = f + 1;
	pg_mmu_view_changed(w.mmu, pg_vpn_of(b));
	assert_true(way->shown && !other->shown);
	assert_null(pg_mmu_check(w.mmu));
	view[1024] = f + 2;
	pg_mmu_view_changed(w.mmu, pg_vpn_of(b));
	assert_true(!way->shown && other->shown);
	assert_null(pg_mmu_check(w.mmu));
	assert_int_equal(w.fast_d[0].neg_read, -b.v);
	world_free(&w);
}

/* ---- the check, the command line, failures -----------------------------------------------------
 */

static void check_broken_is_found(void **state)
{
	static struct world w;
	struct pg_tlb_way *way;
	pg_va a = {1024 << 12};

	world_simple(&w, "64x4,64x4");
	assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_READ, &way), PG_MMU_OK);
	assert_null(pg_mmu_check(w.mmu));
	w.fast_d[0].neg_write = w.fast_d[0].neg_read;
	assert_string_equal(pg_mmu_check(w.mmu), "M4: a mirror is not its most recently used way");
	assert_int_equal(pg_mmu_lookup(w.mmu, a, PG_READ, &way), PG_MMU_OK);
	assert_null(pg_mmu_check(w.mmu));
	w.table[0]->form->update(w.table[0], pg_vpn_of(a), 0, PG_PTE_US);
	assert_string_equal(pg_mmu_check(w.mmu), "M5: an entry allows more than the table");
	w.table[0]->form->update(w.table[0], pg_vpn_of(a), PG_PTE_US, PG_PTE_A);
	assert_string_equal(pg_mmu_check(w.mmu), "M5: an entry whose page is not marked accessed");
	w.table[0]->form->remove(w.table[0], pg_vpn_of(a));
	assert_string_equal(pg_mmu_check(w.mmu), "M5: an entry that the table does not have");
	pg_mmu_invalidate(w.mmu, asid_of(0), (pg_vpn){1024}, (pg_vpn){1025});
	assert_null(pg_mmu_check(w.mmu));
	assert_int_equal(pg_mmu_lookup(w.mmu, (pg_va){a.v + 4096}, PG_WRITE, &way), PG_MMU_OK);
	pg_frames_row(w.fs, (pg_pfn){way->pfn})->flags = PG_FRAME_CODE;
	assert_string_equal(pg_mmu_check(w.mmu),
		"M6: an entry of a frame with translations lets stores go inline");
	pg_frames_row(w.fs, (pg_pfn){way->pfn})->flags = 0;
	way->pfn++;
	assert_non_null(pg_mmu_check(w.mmu));
	world_free(&w);
}

static void config_parse_good_forms_are_taken(void **state)
{
	struct pg_mmu_config c;
	const char *why = NULL;

	assert_int_equal(pg_mmu_config_parse("64x4", &c, &why), 0);
	assert_int_equal(c.l1d.entries, 64);
	assert_int_equal(c.l1d.ways, 4);
	assert_int_equal(c.l1i.entries, 0);
	assert_int_equal(c.l2.entries, 0);
	assert_int_equal(pg_mmu_config_parse("16x16,1536x12", &c, &why), 0);
	assert_int_equal(c.l2.entries, 1536);
	assert_int_equal(c.l2.ways, 12);
	assert_int_equal(pg_mmu_config_parse("d64x4,i64x8,1536x12", &c, &why), 0);
	assert_int_equal(c.l1i.entries, 64);
	assert_int_equal(pg_mmu_config_parse("d1024x4,i1024x8,4096x8", &c, &why), 0);
	assert_memory_equal(&c, &pg_mmu_config_default, sizeof(c));
	assert_int_equal(pg_mmu_config_parse("d64x4,i32x1", &c, &why), 0);
	assert_int_equal(c.l1i.entries, 32);
	assert_int_equal(c.l1i.ways, 1);
	assert_int_equal(pg_mmu_config_parse("65536x256", &c, &why), 0);
}

static void config_parse_bad_forms_are_refused_with_reason(void **state)
{
	static const struct {
		const char *text, *reason; /* a word of the reason */
	} bad[] = {{"", "ENTRIESxWAYS"}, {"64", "ENTRIESxWAYS"}, {"64x", "ENTRIESxWAYS"},
		{"x4", "ENTRIESxWAYS"}, {"64*4", "ENTRIESxWAYS"}, {"-64x4", "ENTRIESxWAYS"},
		{"99999999999x4", "ENTRIESxWAYS"}, {"64x4 ", "behind"}, {"64x4,", "ENTRIESxWAYS"},
		{"0x1", "entries"}, {"131072x4", "65536"}, {"64x0", "ways"}, {"512x512", "256"},
		{"64x5", "divide"}, {"96x4", "power of two"}, {"64x4,96x4", "power of two"},
		{"64x4,128x4,1536x12", "behind"}, {"d64x4", "instruction"},
		{"d64x4,64x4", "instruction"}, {"i64x4,d64x4", "ENTRIESxWAYS"},
		{"d64x4,i64x8,1536x12,4x4", "behind"}, {"64x4,i64x8", "ENTRIESxWAYS"}};
	struct pg_mmu_config c = pg_mmu_config_default;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;

		assert_int_equal(pg_mmu_config_parse(bad[i].text, &c, &why), -EINVAL);
		assert_non_null(why);
		if (!strstr(why, bad[i].reason))
			fail_msg("%s: %s", bad[i].text, why);
		assert_int_equal(c.l1i.entries, 1024);
		assert_int_equal(pg_mmu_config_parse("d1024x4,i1024x8,4096x8", &c, &why), 0);
		assert_memory_equal(&c, &pg_mmu_config_default, sizeof(c));
	}
}

static int fail_in = -1; /* -1: never; n: the n-th allocation from now fails */

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
int __real_posix_memalign(void **out, size_t align, size_t size);
int __wrap_posix_memalign(void **out, size_t align, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return fail_in >= 0 && fail_in-- == 0 ? NULL : __real_calloc(n, size);
}

int __wrap_posix_memalign(void **out, size_t align, size_t size)
{
	return fail_in >= 0 && fail_in-- == 0 ? ENOMEM : __real_posix_memalign(out, align, size);
}

static void create_failure_is_reported(void **state)
{
	struct pg_tlb_fast d[16], f[8];
	struct pg_mmu_config c = pg_mmu_config_default;
	struct pg_frames *fs = NULL;
	struct pg_mmu *m = NULL;

	assert_int_equal(pg_frames_create(MIB, &fs), 0);
	for (int i = 0; i < 4; i++) {
		fail_in = i;
		assert_int_equal(pg_mmu_create(&c, fs, d, f, &m), -ENOMEM);
		fail_in = -1;
	}
	assert_int_equal(pg_mmu_create(&c, fs, d, NULL, &m), -EINVAL);
	c.l2.ways = 5;
	assert_int_equal(pg_mmu_create(&c, fs, d, f, &m), -EINVAL);
	pg_frames_destroy(fs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tlb_random_operations_agree_with_model),
		cmocka_unit_test(tlb_second_mirrors_agree_with_model),
		cmocka_unit_test(tlb_full64_aliasing_tags_agree_with_model),
		cmocka_unit_test(loop_fitting_misses_once_a_page),
		cmocka_unit_test(loop_one_page_too_long_thrashes_one_set),
		cmocka_unit_test(store_after_load_walks_once_more_for_dirty),
		cmocka_unit_test(store_to_nowhere_never_matches),
		cmocka_unit_test(no_table_nothing_is_present),
		cmocka_unit_test(poke_data_lookups_leave_marks_away),
		cmocka_unit_test(pair_is_stable_tells_what_happens),
		cmocka_unit_test(view_shows_only_what_it_maps),
		cmocka_unit_test(view_of_two_pages_at_one_place_shows_one),
		cmocka_unit_test(check_broken_is_found),
		cmocka_unit_test(config_parse_good_forms_are_taken),
		cmocka_unit_test(config_parse_bad_forms_are_refused_with_reason),
		cmocka_unit_test(create_failure_is_reported),
	};

	return cmocka_run_group_tests_name("tlb", tests, NULL, NULL);
}
