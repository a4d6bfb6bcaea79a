/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/tlb_world.c: a slow, obvious MMU, and the inline check as translated code makes it. See tlb_world.h.
 */
#include "tlb_world.h"

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
struct entry *newest(const struct level *l, uint64_t set)
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

/* ---- the world */

uint16_t asid_of(unsigned space)
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
enum pg_mmu_result model_access(
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

void world_make(struct world *w, const char *config, const struct pg_geometry *g, uint64_t seed,
	bool seconds)
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

void world_free(struct world *w)
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

/* ---- what translated code does */

uint32_t code_id_of(unsigned space, unsigned page)
{
	return 1 + space * PAGES + page;
}

uint64_t host_of(const struct world *w, uint32_t pfn)
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
bool try_inline(
	const struct world *w, unsigned page, enum pg_access access, uint64_t a, uint64_t *host)
{
	const struct pg_tlb_fast *fast = access == PG_EXEC ? w->fast_i : w->fast_d;

	return try_mirror(w, &fast[set_for(w, access, a)], page, access, a, host);
}

/* The same with the second mirror, which becomes the first. */
bool try_second(struct world *w, unsigned page, enum pg_access access, uint64_t a, uint64_t *host)
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
