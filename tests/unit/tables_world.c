/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/tables_world.c: page tables beside plain arrays. See tables_world.h.
 */
#include "tables_world.h"

struct ctx {
	struct world *w;
	unsigned table;
};

static struct ctx contexts[TABLES];

unsigned page_of(const struct world *w, uint64_t vpn)
{
	unsigned lo = 0, hi = w->pages;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (w->vpn[mid] < vpn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void on_displaced(void *ctx, pg_vpn vpn)
{
	struct ctx *c = ctx;

	assert_true(c->w->told_n < MOST_LOST);
	c->w->told[c->w->told_n++] = (struct place){c->table, page_of(c->w, vpn.v)};
}

static bool same_place(struct place a, struct place b)
{
	return a.table == b.table && a.page == b.page;
}

static int lost_at(const struct world *w, struct place p)
{
	for (unsigned i = 0; i < w->lost_n; i++)
		if (same_place(w->lost[i], p))
			return (int)i;
	return -1;
}

static void lost_remove(struct world *w, struct place p)
{
	int i = lost_at(w, p);

	if (i < 0)
		return;
	memmove(&w->lost[i], &w->lost[i + 1], (w->lost_n - (unsigned)i - 1) * sizeof w->lost[0]);
	w->lost_n--;
}

static bool is_main(const struct world *w, struct place p)
{
	uint32_t f = pg_pte_pfn(w->pte[p.table][p.page]).v;

	return w->main[f].table == (int)p.table && w->main[f].page == p.page;
}

/* p gets its frame's entry. */
void model_show(struct world *w, struct place p)
{
	uint32_t f = pg_pte_pfn(w->pte[p.table][p.page]).v;

	if (!w->inverted)
		return;
	lost_remove(w, p);
	if (w->main[f].table >= 0 && !is_main(w, p)) {
		w->lost[w->lost_n++] = (struct place){(unsigned)w->main[f].table, w->main[f].page};
		w->displaced[w->main[f].table]++;
		if (w->lost_n > ALIASES) {
			w->expected[w->expected_n++] = w->lost[0];
			lost_remove(w, w->lost[0]);
		}
	}
	w->main[f].table = (int)p.table;
	w->main[f].page = p.page;
}

static void model_remove(struct world *w, struct place p)
{
	if (w->inverted && w->pte[p.table][p.page]) {
		uint32_t f = pg_pte_pfn(w->pte[p.table][p.page]).v;

		if (is_main(w, p))
			w->main[f].table = -1;
		lost_remove(w, p);
	}
	w->pte[p.table][p.page] = 0;
}

void model_enter(struct world *w, struct place p, pg_pte pte)
{
	pg_pte old = w->pte[p.table][p.page];

	if (old && pg_pte_pfn(old).v != pg_pte_pfn(pte).v)
		model_remove(w, p);
	w->pte[p.table][p.page] = pte;
	model_show(w, p);
}

static pg_pte model_walk(const struct world *w, struct place p)
{
	pg_pte pte = w->pte[p.table][p.page];

	if (!pte || !w->inverted || is_main(w, p) || lost_at(w, p) >= 0)
		return pte;
	return 0;
}

/* ---- making and unmaking */

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Page numbers in clusters, scattered, and at both ends of the space. */
static void choose_pages(struct world *w, unsigned pages)
{
	uint64_t top = (uint64_t)1 << pg_geometry_vpn_bits(&w->g);
	unsigned n = 0;

	w->vpn[n++] = 0;
	w->vpn[n++] = top - 1;
	while (n < pages) {
		uint64_t at = pg_random_below(&w->r, top);
		unsigned run = pg_random_one_in(&w->r, 2) ? 1 : 40;

		for (unsigned i = 0; i < run && n < pages && at + i < top; i++)
			w->vpn[n++] = at + i;
	}
	qsort(w->vpn, n, sizeof(w->vpn[0]), ascending);
	w->pages = 0;
	for (unsigned i = 0; i < n; i++)
		if (!w->pages || w->vpn[w->pages - 1] != w->vpn[i])
			w->vpn[w->pages++] = w->vpn[i];
}

int table_make(struct world *w, unsigned t)
{
	struct pg_table_config c = {.frames = w->fs,
		.geometry = &w->g,
		.machine = w->machine,
		.owner = (uint16_t)(t * 13001 + 7),
		.displaced = on_displaced,
		.ctx = &contexts[t]};

	contexts[t] = (struct ctx){w, t};
	return w->form->create(&c, &w->table[t]);
}

struct world *world_make(const char *text, const struct pg_geometry *g, unsigned pages,
	unsigned frames, uint64_t seed)
{
	struct world *w = calloc(1, sizeof *w);
	const char *why;
	pg_pfn f;

	assert_non_null(w);
	w->text = text;
	pg_random_seed(&w->r, seed);
	assert_int_equal(pg_table_parse(text, &w->form, &w->g, &why), 0);
	if (g) { /* other addresses, the rest as in text */
		struct pg_geometry as_parsed = w->g;

		w->g = *g;
		w->g.cluster = as_parsed.cluster;
		w->g.grow_at_once = as_parsed.grow_at_once;
	}
	w->inverted = !strcmp(w->form->name, "inverted");
	choose_pages(w, pages);
	assert_int_equal(pg_frames_create(64 * MIB, &w->fs), 0);
	if (w->form->open)
		assert_int_equal(w->form->open(w->fs, &w->g, &w->machine), 0);
	for (w->frames = 0; w->frames < frames; w->frames++) {
		assert_int_equal(pg_frames_alloc(w->fs, 0, PG_FRAME_ANON, NULL, &f), 0);
		w->frame[w->frames] = f.v;
	}
	memset(w->main, 0xff, sizeof w->main); /* table -1 */
	for (unsigned t = 0; t < TABLES; t++)
		assert_int_equal(table_make(w, t), 0);
	return w;
}

void expect_told(struct world *w)
{
	assert_int_equal(w->told_n, w->expected_n);
	for (unsigned i = 0; i < w->told_n; i++)
		assert_true(same_place(w->told[i], w->expected[i]));
	w->told_n = w->expected_n = 0;
}

void expect_sound(struct world *w)
{
	for (unsigned t = 0; t < TABLES; t++) {
		const char *bad = w->form->check(w->table[t]);

		if (bad)
			fail_msg("%s: %s", w->text, bad);
	}
	assert_null(pg_frames_check(w->fs));
}

void table_end(struct world *w, unsigned t)
{
	for (unsigned i = 0; i < w->pages; i++)
		model_remove(w, (struct place){t, i});
	w->form->destroy(w->table[t]);
	w->displaced[t] = 0;
}

void world_free(struct world *w)
{
	struct pg_frames_stats st;

	for (unsigned t = 0; t < TABLES; t++)
		table_end(w, t);
	expect_told(w);
	if (w->form->close)
		w->form->close(w->machine);
	pg_frames_stats(w->fs, &st);
	assert_int_equal(st.by_state[PG_FRAME_TABLE], 0);
	assert_int_equal(st.by_state[PG_FRAME_ANON], w->frames);
	assert_null(pg_frames_check(w->fs));
	pg_frames_destroy(w->fs);
	free(w);
}

/* ---- comparing */

void expect_page(struct world *w, struct place p)
{
	pg_vpn vpn = {w->vpn[p.page]};
	unsigned refs = 999;

	assert_int_equal(pg_table_find(w->table[p.table], vpn), w->pte[p.table][p.page]);
	assert_int_equal(w->form->walk(w->table[p.table], vpn, &refs), model_walk(w, p));
	assert_in_range(refs, 1, 998);
}

/* The first mapped page at or behind `at`, below `end`. */
static bool model_next(const struct world *w, unsigned t, uint64_t at, uint64_t end, unsigned *page)
{
	for (*page = page_of(w, at); *page < w->pages && w->vpn[*page] < end; ++*page)
		if (w->pte[t][*page])
			return true;
	return false;
}

void expect_next(struct world *w, unsigned t, uint64_t from, uint64_t end)
{
	pg_vpn got = {0};
	pg_pte pte = 0;
	unsigned page = 0;
	bool more = w->form->next(w->table[t], (pg_vpn){from}, (pg_vpn){end}, &got, &pte);

	assert_int_equal(more, model_next(w, t, from, end, &page));
	if (more) {
		assert_int_equal(got.v, w->vpn[page]);
		assert_int_equal(pte, w->pte[t][page]);
	}
}

void expect_all(struct world *w)
{
	for (unsigned t = 0; t < TABLES; t++) {
		struct pg_table_stats st;
		uint64_t entries = 0, at = 0;
		pg_vpn got;
		pg_pte pte;

		for (unsigned i = 0; i < w->pages; i++) {
			expect_page(w, (struct place){t, i});
			entries += w->pte[t][i] != 0;
		}
		w->form->stats(w->table[t], &st);
		assert_int_equal(st.entries, entries);
		assert_true(st.node_frames <= st.node_frames_peak);
		assert_true(st.shared_frames <= st.shared_frames_peak);
		assert_int_equal(st.displaced, w->displaced[t]);
		while (w->form->next(w->table[t], (pg_vpn){at}, (pg_vpn){UINT64_MAX}, &got, &pte)) {
			assert_int_equal(w->pte[t][page_of(w, got.v)], pte);
			at = got.v + 1;
			entries--;
		}
		assert_int_equal(entries, 0);
	}
	expect_told(w);
	expect_sound(w);
}

/* ---- operations on both */

pg_pte random_pte(struct world *w)
{
	pg_pte some = PG_PTE_RW | PG_PTE_A | PG_PTE_D | PG_PTE_NX | PG_PTE_US;
	uint32_t f = w->frame[pg_random_below(&w->r, w->frames)];

	return pg_pte_make((pg_pfn){f}, PG_PTE_P | (pg_random_next(&w->r) & some));
}

void do_enter(struct world *w, struct place p, pg_pte e)
{
	assert_int_equal(w->form->enter(w->table[p.table], (pg_vpn){w->vpn[p.page]}, e), 0);
	model_enter(w, p, e);
	assert_int_equal(model_walk(w, p), e);
}

void do_remove(struct world *w, struct place p)
{
	assert_int_equal(w->form->remove(w->table[p.table], (pg_vpn){w->vpn[p.page]}),
		w->pte[p.table][p.page]);
	model_remove(w, p);
}
