/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_tables.c: every page-table form of the registry under the same random operations, beside plain arrays
 * (tables_world.c), with frames that run out, and with what is wrong refused or found. Rows R7, R8 and R9; invariants of
 * chains.c, pageset.c, records.c, hashed.c, inverted.c (their checks after each step or so).
 */
#include "tables_world.h"

#include <errno.h>

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

/* ---- operations */

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
	};

	return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
