/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_tables.c: every page-table form of the registry under the same random operations,
 * beside plain arrays.
 *
 * Several tables of one machine share a few hundred frames. What a table has (find, next, remove,
 * update) must be the array's; what the hardware sees (walk) must be that too, but under an
 * inverted table, of which the model says: an entry for each frame, that of the mapping that came
 * or came back last, and the last PG_ALIASES mappings that lost theirs. Rows R7, R8 and R9;
 * invariants of chains.c, pageset.c, records.c, hashed.c, inverted.c (their checks after each step or
 * so).
 */
#include "base/random.h"
#include "mmu/tlb.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)
#define TABLES 4
#define MOST_PAGES 24000
#define FRAMES 300
#define MOST_LOST (TABLES * 1024)
#define ALIASES 32 /* what docs/paging.md says */

/* ---- frames that run out on request */

static uint64_t fail_at; /* the fail_at-th allocation from now on fails; 0: none */
static bool failed;

int __real_pg_frames_alloc(
	struct pg_frames *fs, unsigned order, enum pg_frame_state state, void *owner, pg_pfn *out);
int __wrap_pg_frames_alloc(
	struct pg_frames *fs, unsigned order, enum pg_frame_state state, void *owner, pg_pfn *out);

int __wrap_pg_frames_alloc(
	struct pg_frames *fs, unsigned order, enum pg_frame_state state, void *owner, pg_pfn *out)
{
	if (fail_at && --fail_at == 0) {
		failed = true;
		return -ENOMEM;
	}
	return __real_pg_frames_alloc(fs, order, state, owner, out);
}

/* ---- the model */

/* A page of a table, by place in a sorted array of page numbers that all tables have in common. */
struct place {
	unsigned table, page;
};

struct world {
	const char *text; /* as on the command line */
	const struct pg_table_form *form;
	struct pg_geometry g;
	struct pg_frames *fs;
	void *machine;
	struct pg_table *table[TABLES];
	struct pg_random r;
	uint32_t frame[FRAMES];
	unsigned frames;
	unsigned pages;
	uint64_t vpn[MOST_PAGES];
	pg_pte pte[TABLES][MOST_PAGES]; /* 0: not mapped */
	bool inverted;
	/* Inverted: who has a frame's entry (table -1: nobody); who lost one, oldest first. */
	struct {
		int table;
		unsigned page;
	} main[1 << 16];
	struct place lost[ALIASES + 1];
	unsigned lost_n;
	/* Calls of displaced, and those that the model expects, in order. */
	struct place told[MOST_LOST], expected[MOST_LOST];
	unsigned told_n, expected_n;
	uint64_t displaced[TABLES];
};

struct ctx {
	struct world *w;
	unsigned table;
};

static struct ctx contexts[TABLES];

static unsigned page_of(const struct world *w, uint64_t vpn)
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
static void model_show(struct world *w, struct place p)
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

static void model_enter(struct world *w, struct place p, pg_pte pte)
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

static int table_make(struct world *w, unsigned t)
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

static struct world *world_make(const char *text, const struct pg_geometry *g, unsigned pages,
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

static void expect_told(struct world *w)
{
	assert_int_equal(w->told_n, w->expected_n);
	for (unsigned i = 0; i < w->told_n; i++)
		assert_true(same_place(w->told[i], w->expected[i]));
	w->told_n = w->expected_n = 0;
}

static void expect_sound(struct world *w)
{
	for (unsigned t = 0; t < TABLES; t++) {
		const char *bad = w->form->check(w->table[t]);

		if (bad)
			fail_msg("%s: %s", w->text, bad);
	}
	assert_null(pg_frames_check(w->fs));
}

static void table_end(struct world *w, unsigned t)
{
	for (unsigned i = 0; i < w->pages; i++)
		model_remove(w, (struct place){t, i});
	w->form->destroy(w->table[t]);
	w->displaced[t] = 0;
}

static void world_free(struct world *w)
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

static void expect_page(struct world *w, struct place p)
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

static void expect_next(struct world *w, unsigned t, uint64_t from, uint64_t end)
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

static void expect_all(struct world *w)
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

/* ---- operations */

static pg_pte random_pte(struct world *w)
{
	pg_pte some = PG_PTE_RW | PG_PTE_A | PG_PTE_D | PG_PTE_NX | PG_PTE_US;
	uint32_t f = w->frame[pg_random_below(&w->r, w->frames)];

	return pg_pte_make((pg_pfn){f}, PG_PTE_P | (pg_random_next(&w->r) & some));
}

static void do_enter(struct world *w, struct place p, pg_pte e)
{
	assert_int_equal(w->form->enter(w->table[p.table], (pg_vpn){w->vpn[p.page]}, e), 0);
	model_enter(w, p, e);
	assert_int_equal(model_walk(w, p), e);
}

static void do_remove(struct world *w, struct place p)
{
	assert_int_equal(w->form->remove(w->table[p.table], (pg_vpn){w->vpn[p.page]}),
		w->pte[p.table][p.page]);
	model_remove(w, p);
}

static void do_update(struct world *w, struct place p)
{
	pg_pte set = pg_random_next(&w->r) & (PG_PTE_A | PG_PTE_D | PG_PTE_RW);
	pg_pte clear = pg_random_next(&w->r) & (PG_PTE_RW | PG_PTE_A | PG_PTE_D | PG_PTE_US);
	pg_pte *m = &w->pte[p.table][p.page];

	assert_int_equal(
		w->form->update(w->table[p.table], (pg_vpn){w->vpn[p.page]}, set, clear), *m);
	if (*m)
		*m = (*m & ~clear) | set;
}

/* What a soft fault does. */
static void do_restore(struct world *w, struct place p)
{
	if (!w->form->restore || !w->pte[p.table][p.page])
		return;
	w->form->restore(w->table[p.table], (pg_vpn){w->vpn[p.page]});
	model_show(w, p);
}

/* `to` becomes a copy of `from`, neither writable: what fork does. */
static void do_fork(struct world *w, unsigned from, unsigned to)
{
	if (from == to)
		return;
	for (unsigned i = 0; i < w->pages; i++)
		if (w->pte[to][i])
			do_remove(w, (struct place){to, i});
	for (unsigned i = 0; i < w->pages; i++) {
		pg_vpn vpn = {w->vpn[i]};

		if (!w->pte[from][i])
			continue;
		w->form->update(w->table[from], vpn, 0, PG_PTE_RW);
		w->pte[from][i] &= ~PG_PTE_RW;
		do_enter(w, (struct place){to, i}, w->pte[from][i] & ~PG_PTE_D);
		if (w->told_n > MOST_LOST / 2)
			expect_told(w);
	}
}

static void do_range(struct world *w, unsigned t, bool unmap)
{
	uint64_t from = w->vpn[pg_random_below(&w->r, w->pages)];
	uint64_t end = from + pg_random_below(&w->r, 1u << pg_random_below(&w->r, 30));
	pg_vpn vpn;
	pg_pte pte;

	expect_next(w, t, from, end);
	expect_next(w, t, 0, end);
	if (!unmap)
		return;
	end = from + 60;
	while (w->form->next(w->table[t], (pg_vpn){from}, (pg_vpn){end}, &vpn, &pte)) {
		do_remove(w, (struct place){t, page_of(w, vpn.v)});
		from = vpn.v + 1;
	}
}

static void random_step(struct world *w, bool shrink)
{
	struct place p = {(unsigned)pg_random_below(&w->r, TABLES),
		(unsigned)pg_random_below(&w->r, w->pages)};

	switch (pg_random_below(&w->r, 8)) {
	case 0:
	case 1:
		if (!shrink || pg_random_one_in(&w->r, 8))
			do_enter(w, p, random_pte(w));
		break;
	case 2: /* the neighbours too: clusters fill */
		for (unsigned i = p.page; !shrink && i < w->pages && i < p.page + 12; i++)
			do_enter(w, (struct place){p.table, i}, random_pte(w));
		break;
	case 3:
		do_update(w, p);
		break;
	case 4:
		do_restore(w, p);
		break;
	case 5:
		do_range(w, p.table, shrink);
		break;
	default:
		if (shrink || pg_random_one_in(&w->r, 4))
			do_remove(w, p);
		break;
	}
	expect_page(w, p);
}

static void conforms(const char *text, const struct pg_geometry *g, unsigned pages, unsigned steps)
{
	struct world *w = world_make(text, g, pages, FRAMES, pages);

	for (unsigned step = 0; step < steps; step++) {
		random_step(w, (step / (steps / 6)) % 2);
		if (pages < 100 || step % 64 == 0) {
			expect_told(w);
			expect_sound(w);
		}
		if (step % 500 == 0)
			expect_all(w);
		if (step % 700 == 699)
			do_fork(w, (unsigned)pg_random_below(&w->r, TABLES),
				(unsigned)pg_random_below(&w->r, TABLES));
		if (step % 1100 == 1099) {
			unsigned t = (unsigned)pg_random_below(&w->r, TABLES);

			table_end(w, t);
			assert_int_equal(table_make(w, t), 0);
		}
	}
	expect_all(w);
	world_free(w);
}

/* All shapes that are tested. */
static const char *const texts[] = {"radix", "radix:5", "hashed", "hashed:grow=once",
	"hashed:clustered=2", "hashed:clustered=4,grow=once", "hashed:clustered=8",
	"hashed:clustered", "inverted", "inverted:anchors=4"};
#define TEXTS (sizeof texts / sizeof texts[0])

static void random_operations_agree_with_model(void **state)
{
	for (unsigned i = 0; i < TEXTS; i++) {
		conforms(texts[i], NULL, 3, 600);
		conforms(texts[i], NULL, 40, 1500);
		conforms(texts[i], NULL, 600, 4000);
		conforms(texts[i], &pg_geometry_full64, 300, 2000);
	}
}

static void every_form_of_the_registry_is_tested(void **state)
{
	for (unsigned k = 0; pg_table_forms[k]; k++) {
		bool found = false;

		for (unsigned i = 0; i < TEXTS; i++)
			found |= !strncmp(
				texts[i], pg_table_forms[k]->name, strlen(pg_table_forms[k]->name));
		assert_true(found);
	}
}

/* Hashed tables grow and shrink: thousands of pages come, in order and not, and go. */
static void large_tables_grow_and_shrink(void **state)
{
	for (unsigned i = 0; i < TEXTS; i++) {
		struct world *w = world_make(texts[i], NULL, MOST_PAGES, FRAMES, 5);
		struct pg_table_stats empty, full, st;

		w->form->stats(w->table[0], &empty);
		for (unsigned k = 0; k < w->pages; k++) {
			unsigned at = k & 1 ? k : (unsigned)((uint64_t)k * 7919 % w->pages);

			do_enter(w, (struct place){k & 1, at}, random_pte(w));
			if (k % 3000 == 0)
				expect_sound(w);
			if (w->told_n > MOST_LOST / 2)
				expect_told(w);
		}
		expect_all(w);
		w->form->stats(w->table[0], &full);
		assert_true(full.node_frames + full.shared_frames >
			    empty.node_frames + empty.shared_frames);
		for (unsigned k = 0; k < w->pages; k++) {
			do_remove(w, (struct place){0, w->pages - 1 - k});
			do_remove(w, (struct place){1, k});
			if (k % 3000 == 0)
				expect_sound(w);
		}
		expect_all(w);
		/* What was taken has been given back. */
		w->form->stats(w->table[0], &st);
		assert_int_equal(st.node_frames, empty.node_frames);
		assert_int_equal(st.shared_frames, empty.shared_frames);
		world_free(w);
	}
}

/* The n-th allocation of an operation fails, for every n: it says so and has changed nothing. */
static void frames_that_run_out_change_nothing(void **state)
{
	for (unsigned i = 0; i < TEXTS; i++) {
		struct world *w = world_make(texts[i], NULL, 700, 60, 9);
		unsigned refused = 0, survived = 0;

		for (unsigned k = 0; k < 1400; k++) {
			struct place p = {k % TABLES, (unsigned)pg_random_below(&w->r, w->pages)};
			pg_pte e = random_pte(w);

			for (unsigned n = 1;; n++) {
				uint64_t was = pg_frames_free_count(w->fs);
				int err;

				fail_at = n;
				failed = false;
				err = w->form->enter(
					w->table[p.table], (pg_vpn){w->vpn[p.page]}, e);
				fail_at = 0;
				if (!err) {
					survived += failed; /* a growth that did not take place */
					break;
				}
				assert_int_equal(err, -ENOMEM);
				assert_true(failed);
				assert_int_equal(pg_frames_free_count(w->fs), was);
				expect_page(w, p);
				refused++;
				if (refused % 16 == 0)
					expect_all(w);
			}
			model_enter(w, p, e);
			if (k % 128 == 0)
				expect_all(w);
			if (pg_random_one_in(&w->r, 3)) {
				p.page = (unsigned)pg_random_below(&w->r, w->pages);
				fail_at = 1; /* removing needs nothing */
				do_remove(w, p);
				do_update(w, p);
				fail_at = 0;
			}
		}
		expect_all(w);
		assert_true(refused > 4);
		/* A new table that gets no frame. */
		table_end(w, 0);
		for (unsigned n = 1; n < 10; n++) {
			fail_at = n;
			failed = false;
			if (table_make(w, 0) == 0)
				break;
			assert_true(failed);
			expect_told(w);
		}
		fail_at = 0;
		expect_all(w);
		world_free(w);
	}
}

static void page_outside_the_geometry_is_refused(void **state)
{
	for (unsigned i = 0; i < TEXTS; i++) {
		struct world *w = world_make(texts[i], NULL, 10, 10, 1);
		pg_vpn out = {(uint64_t)1 << pg_geometry_vpn_bits(&w->g)}, got;
		struct pg_table *t = w->table[0];
		unsigned refs = 99;
		pg_pte e;

		assert_int_equal(w->form->enter(t, out, PG_PTE_P), -EINVAL);
		assert_int_equal(w->form->walk(t, out, &refs), 0);
		assert_int_equal(refs, 0);
		assert_int_equal(pg_table_find(t, out), 0);
		assert_int_equal(w->form->update(t, out, PG_PTE_A, 0), 0);
		assert_int_equal(w->form->remove(t, out), 0);
		assert_false(w->form->next(t, out, (pg_vpn){UINT64_MAX}, &got, &e));
		world_free(w);
	}
}

static void bad_shapes_are_refused(void **state)
{
	static const char *const bad[] = {"cubic", "radix:3", "radix:6", "radix:", "radix:4,",
		"radix:cache=0", "radix:cache=65", "radix:4,cache=x", "radix:cache=4,4",
		"hashed:", "hashed:clustered=3", "hashed:clustered=32", "hashed:grow=never",
		"hashed:clustered=2,", "hashed2", "", ":4", "inverted:", "inverted:anchors=0",
		"inverted:4"};
	const struct pg_table_form *form;
	struct pg_geometry g;
	const char *why;

	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		why = NULL;
		if (pg_table_parse(bad[i], &form, &g, &why) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_non_null(why);
	}
	assert_int_equal(pg_table_parse("radix:5,cache=16", &form, &g, &why), 0);
	assert_true(g.levels == 5 && g.walk_cache == 16);
	assert_int_equal(pg_table_parse("hashed:grow=once,clustered=4", &form, &g, &why), 0);
	assert_true(g.cluster == 4 && g.grow_at_once == 1);
	g.entry_bytes = 4;
	for (unsigned i = 0; pg_table_forms[i]; i++) {
		struct pg_table_config c = {.geometry = &g};
		struct pg_frames *fs = NULL;
		struct pg_table *t;
		void *machine = NULL;

		if (pg_table_forms[i] == &pg_table_radix)
			continue;
		assert_int_equal(pg_frames_create(MIB, &fs), 0);
		if (pg_table_forms[i]->open)
			assert_int_equal(
				pg_table_forms[i]->open(fs, &pg_geometry_x86_64, &machine), 0);
		c.frames = fs;
		c.machine = machine;
		assert_int_equal(pg_table_forms[i]->create(&c, &t), -EINVAL);
		if (pg_table_forms[i]->close)
			pg_table_forms[i]->close(machine);
		pg_frames_destroy(fs);
	}
}

/* The first 8-byte word of a table's frames that is `word`; NULL: none. */
static uint64_t *word_in_tables(struct world *w, uint64_t word)
{
	for (uint32_t f = 0; f < pg_frames_total(w->fs); f++) {
		uint64_t *at = pg_frames_bytes(w->fs, (pg_pfn){f});

		for (unsigned i = 0;
			pg_frames_row(w->fs, (pg_pfn){f})->state == PG_FRAME_TABLE && i < 512; i++)
			if (at[i] == word)
				return &at[i];
	}
	return NULL;
}

/* A check sees what is broken: a page number, an entry, and an entry's frame number gone. */
static void check_broken_is_found(void **state)
{
	static const struct {
		const char *text;
		unsigned
			shift; /* of the page number in the word that holds it, with low in the low bits */
		uint64_t low;
		const char *page, *entry;
	} cases[] = {{"hashed", 0, 0, "H1", "K2"}, {"hashed:clustered=4", 2, 0, "H1", "K2"},
		{"inverted", 0, PG_PTE_P, "I1", "I1"}};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct world *w = world_make(cases[i].text, NULL, 40, 40, 4);
		bool inverted = w->inverted;
		uint64_t vpn = 0x123456784, *at;
		pg_pte e = pg_pte_make((pg_pfn){w->frame[0]}, PG_PTE_P);
		struct pg_table *t = w->table[0];

		assert_int_equal(w->form->enter(t, (pg_vpn){vpn}, e), 0);
		assert_null(w->form->check(t));
		at = word_in_tables(
			w, inverted ? vpn << PG_PAGE_SHIFT | PG_PTE_P : vpn >> cases[i].shift);
		assert_non_null(at);
		*at ^= (uint64_t)1 << 33; /* another page number */
		assert_non_null(w->form->check(t));
		assert_memory_equal(w->form->check(t), cases[i].page, 2);
		*at ^= (uint64_t)1 << 33;
		assert_null(w->form->check(t));
		if (!inverted) {
			at = word_in_tables(w, e);
			assert_non_null(at);
		}
		*at ^= inverted ? PG_PTE_P : e; /* the entry */
		assert_non_null(w->form->check(t));
		assert_memory_equal(w->form->check(t), cases[i].entry, 2);
		*at ^= inverted ? PG_PTE_P : e;
		assert_null(w->form->check(t));
		assert_int_equal(w->form->remove(t, (pg_vpn){vpn}), e);
		world_free(w);
	}
}

/* ---- page-walk caches */

/* What a walk cache of n entries a level should hold, most recently used first. */
struct cache_model {
	unsigned n;
	uint64_t prefix[PG_MAX_LEVELS][PG_MAX_WALK_CACHE];
	unsigned used[PG_MAX_LEVELS];
};

static void cache_model_use(struct cache_model *m, unsigned level, uint64_t prefix)
{
	uint64_t *p = m->prefix[level];
	unsigned i = 0;

	while (i < m->used[level] && p[i] != prefix)
		i++;
	if (i == m->used[level]) {
		if (m->used[level] < m->n)
			m->used[level]++;
		i = m->used[level] - 1;
	}
	memmove(p + 1, p, i * sizeof *p);
	p[0] = prefix;
}

static bool cache_model_has(const struct cache_model *m, unsigned level, uint64_t prefix)
{
	for (unsigned i = 0; i < m->used[level]; i++)
		if (m->prefix[level][i] == prefix)
			return true;
	return false;
}

static void cache_model_drop(struct cache_model *m, unsigned level, uint64_t prefix)
{
	for (unsigned i = 0; i < m->used[level]; i++) {
		if (m->prefix[level][i] != prefix)
			continue;
		memmove(&m->prefix[level][i], &m->prefix[level][i + 1],
			(m->used[level] - i - 1) * sizeof m->prefix[level][0]);
		m->used[level]--;
		return;
	}
}

/* The references of a walk to vpn that makes `full` from the root; it leaves the model behind it. */
static unsigned cache_model_walk(
	struct cache_model *m, const struct pg_geometry *g, uint64_t vpn, unsigned full)
{
	unsigned leaf = g->levels - 1, level = leaf, shift;

	for (; level > 0; level--) {
		shift = 9 * (g->levels - level);
		if (cache_model_has(m, level, vpn >> shift))
			break;
	}
	if (level)
		cache_model_use(m, level, vpn >> 9 * (g->levels - level));
	for (unsigned l = level + 1; l < full && l <= leaf; l++)
		cache_model_use(m, l, vpn >> 9 * (g->levels - l));
	return full - level;
}

/* R7: what is saved is what a least-recently-used cache of each level would save; M8 all the while. */
static void walk_caches_agree_with_model(void **state)
{
	static const char *const shapes[] = {"radix:cache=1", "radix:5,cache=3", "radix:cache=16"};

	for (unsigned k = 0; k < 3; k++) {
		struct world *w = world_make(shapes[k], NULL, 300, 50, 11 + k);
		struct pg_tlb_fast fast[1];
		struct pg_mmu_config c = {.l1d = {1, 1}, .walk_cache = w->g.walk_cache};
		struct cache_model m = {.n = w->g.walk_cache};
		struct pg_table *t = w->table[0];
		struct pg_mmu_stats st;
		uint64_t refs = 0, saved = 0, in_tlb = UINT64_MAX;
		struct pg_mmu *mmu;

		assert_int_equal(pg_mmu_create(&c, w->fs, fast, NULL, &mmu), 0);
		pg_mmu_switch(mmu, t, 1);
		for (unsigned step = 0; step < 6000; step++) {
			unsigned page = (unsigned)pg_random_below(&w->r, w->pages), full;
			pg_vpn vpn = {w->vpn[page]};
			struct pg_tlb_way *way;

			if (pg_random_one_in(&w->r, 3)) {
				/* as space/pages.c does: a changed entry is announced */
				do_enter(w, (struct place){0, page}, random_pte(w) | PG_PTE_US);
				pg_mmu_invalidate(mmu, 1, vpn, (pg_vpn){vpn.v + 1});
				for (unsigned l = 1; l < w->g.levels; l++)
					cache_model_drop(&m, l, vpn.v >> 9 * (w->g.levels - l));
				in_tlb = vpn.v == in_tlb ? UINT64_MAX : in_tlb;
			} else if (pg_random_one_in(&w->r, 4)) {
				do_remove(w, (struct place){0, page});
				pg_mmu_invalidate(mmu, 1, vpn, (pg_vpn){vpn.v + 1});
				in_tlb = vpn.v == in_tlb ? UINT64_MAX : in_tlb;
				for (unsigned l = 1; l < w->g.levels; l++)
					cache_model_drop(&m, l, vpn.v >> 9 * (w->g.levels - l));
			} else {
				unsigned made;

				if (pg_random_one_in(&w->r, 20)) {
					pg_mmu_flush(mmu); /* the TLB, and the walk caches */
					m = (struct cache_model){.n = w->g.walk_cache};
					in_tlb = UINT64_MAX;
				}
				for (unsigned i = 0; i < 40; i++) {
					unsigned at = (page + i * 7 % 30) % w->pages;

					vpn.v = w->vpn[at];
					if (vpn.v == in_tlb)
						continue; /* no walk */
					t->form->walk(t, vpn, &full);
					made = cache_model_walk(&m, &w->g, vpn.v, full);
					refs += made;
					saved += full - made;
					if (pg_mmu_lookup(mmu, pg_va_of(vpn), PG_READ, &way) ==
						PG_MMU_OK) {
						in_tlb = vpn.v;
						w->pte[0][at] |= PG_PTE_A;
					}
					pg_mmu_stats(mmu, &st);
					assert_int_equal(st.walk_refs, refs);
					assert_int_equal(st.walk_refs_saved, saved);
				}
			}
			assert_null(pg_mmu_check(mmu));
		}
		assert_true(saved > refs / 2);
		pg_mmu_destroy(mmu);
		world_free(w);
	}
}

static void percentile_of_walks_is_the_least_that_covers(void **state)
{
	struct pg_mmu_stats s = {0};

	assert_int_equal(pg_mmu_walk_percentile(&s, 99), 0);
	s.walk_lengths[2] = 98;
	s.walk_lengths[3] = 1;
	s.walk_lengths[9] = 1;
	assert_int_equal(pg_mmu_walk_percentile(&s, 98), 2);
	assert_int_equal(pg_mmu_walk_percentile(&s, 99), 3);
	assert_int_equal(pg_mmu_walk_percentile(&s, 100), 9);
	s.walk_lengths[PG_WALK_LENGTHS - 1] = 1000;
	assert_int_equal(pg_mmu_walk_percentile(&s, 99), PG_WALK_LENGTHS - 1);
}

/*
 * R8: chains as long as chaining says: with n elements on m chains a page that is there costs the head, its element
 * and (n - 1) / 2m others on average (Knuth vol. 3, 6.4), if the hash spreads as chance would. Pages in a row
 * spread better than that.
 */
static void hashed_walks_cost_what_chaining_costs(void **state)
{
	for (unsigned random = 0; random < 2; random++) {
		struct world *w = world_make("hashed:grow=once", NULL, 3, 10, 3);
		struct pg_table *t = w->table[0];
		double refs = 0, expected;
		unsigned n = 0, one;
		uint64_t *pages = calloc(16384, sizeof *pages);

		for (; n < 12000; n++) { /* on 16384 chains */
			pages[n] =
				random ? pg_random_below(&w->r, (uint64_t)1 << 36) : 0x7f0000 + n;
			assert_int_equal(t->form->enter(t, (pg_vpn){pages[n]}, PG_PTE_P), 0);
		}
		for (unsigned i = 0; i < n; i++) {
			assert_true(t->form->walk(t, (pg_vpn){pages[i]}, &one));
			refs += one;
		}
		expected = 2 + (n - 1) / (2 * 16384.0);
		refs /= n;
		if (random)
			assert_true(refs > 0.98 * expected && refs < 1.02 * expected);
		else
			assert_true(refs >= 2 && refs < expected);
		free(pages);
		world_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_model),
		cmocka_unit_test(every_form_of_the_registry_is_tested),
		cmocka_unit_test(large_tables_grow_and_shrink),
		cmocka_unit_test(frames_that_run_out_change_nothing),
		cmocka_unit_test(page_outside_the_geometry_is_refused),
		cmocka_unit_test(bad_shapes_are_refused),
		cmocka_unit_test(check_broken_is_found),
		cmocka_unit_test(walk_caches_agree_with_model),
		cmocka_unit_test(percentile_of_walks_is_the_least_that_covers),
		cmocka_unit_test(hashed_walks_cost_what_chaining_costs),
	};

	return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
