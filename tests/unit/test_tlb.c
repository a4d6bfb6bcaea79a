/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_tlb.c: the MMU beside a slow, obvious one (tlb_world.c), random operations on both. Every access first tries the
 * mirror, as translated code does, and only then pg_mmu_lookup(); the model sees every access. So the test shows that the inline
 * check loses no miss. Counters, entries, mirrors, A and D bits and invariants M1 to M7 must agree. Rows R4, R5.
 */
#include "tlb_world.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tlb_random_operations_agree_with_model),
		cmocka_unit_test(tlb_second_mirrors_agree_with_model),
		cmocka_unit_test(tlb_full64_aliasing_tags_agree_with_model),
	};

	return cmocka_run_group_tests_name("tlb", tests, NULL, NULL);
}
