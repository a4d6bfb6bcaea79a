/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_radix.c: the radix page table of every geometry beside a sorted array of page
 * numbers and what each maps to. Invariants X1 to X4; rows R6 and R7.
 */
#include "base/random.h"
#include "mmu/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 600
#define MIB ((uint64_t)1 << 20)

/* Nodes of 2 and 4 frames, pages of 64 KiB. */
static const struct pg_geometry wide = {
	.page_shift = 16, .levels = 2, .entry_bytes = 8, .bits = {10, 11}};
static const struct pg_geometry uneven = {
	.page_shift = 14, .levels = 3, .entry_bytes = 4, .bits = {3, 12, 5}};

static const struct pg_geometry *const geometries[] = {&pg_geometry_x86_64, &pg_geometry_x86_64_5,
	&pg_geometry_x86_32, &pg_geometry_full64, &wide, &uneven};
#define GEOMETRIES (sizeof(geometries) / sizeof(geometries[0]))

static unsigned total_bits(const struct pg_geometry *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->levels; i++)
		n += g->bits[i];
	return n;
}

/* The model: page numbers in ascending order; pte 0: not mapped. */
struct model {
	const struct pg_geometry *g;
	unsigned pages;
	uint64_t vpn[PAGES];
	pg_pte pte[PAGES];
};

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Page numbers in clusters, scattered, and at both ends of the space. */
static void model_init(struct model *m, const struct pg_geometry *g, struct pg_random *r)
{
	uint64_t top = (uint64_t)1 << total_bits(g);
	unsigned n = 0;

	memset(m, 0, sizeof(*m));
	m->g = g;
	m->vpn[n++] = 0;
	m->vpn[n++] = top - 1;
	while (n < PAGES) {
		uint64_t at = pg_random_below(r, top);
		unsigned run = pg_random_one_in(r, 2) ? 1 : 40;

		for (unsigned i = 0; i < run && n < PAGES && at + i < top; i++)
			m->vpn[n++] = at + i;
	}
	qsort(m->vpn, PAGES, sizeof(m->vpn[0]), ascending);
	for (unsigned i = 0; i < PAGES; i++)
		if (!m->pages || m->vpn[m->pages - 1] != m->vpn[i])
			m->vpn[m->pages++] = m->vpn[i];
}

/* How many nodes a walk to vpn reads: the root, and each below that some mapped page needs too. */
static unsigned model_refs(const struct model *m, uint64_t vpn)
{
	unsigned shift = total_bits(m->g), refs = 1;

	for (unsigned level = 0; level + 1 < m->g->levels; level++) {
		bool shared = false;

		shift -= m->g->bits[level];
		for (unsigned i = 0; i < m->pages; i++)
			shared |= m->pte[i] && m->vpn[i] >> shift == vpn >> shift;
		if (!shared)
			break;
		refs++;
	}
	return refs;
}

static bool model_next(
	const struct model *m, uint64_t from, uint64_t end, uint64_t *vpn, pg_pte *pte)
{
	for (unsigned i = 0; i < m->pages; i++) {
		if (m->vpn[i] >= end)
			return false;
		if (m->vpn[i] >= from && m->pte[i]) {
			*vpn = m->vpn[i];
			*pte = m->pte[i];
			return true;
		}
	}
	return false;
}

static pg_pte random_pte(const struct model *m, struct pg_random *r)
{
	pg_pte bits =
		PG_PTE_P | PG_PTE_US | (pg_random_next(r) & (PG_PTE_RW | PG_PTE_A | PG_PTE_D));

	if (m->g->entry_bytes == 8)
		bits |= pg_random_next(r) & PG_PTE_NX;
	return pg_pte_make((pg_pfn){(uint32_t)pg_random_below(r, 1u << 20)}, bits);
}

/* Every page of the model and every `next` agree. */
static void expect_same(const struct pg_table *t, const struct model *m)
{
	struct pg_table_stats st;
	uint64_t entries = 0, from = 0;
	unsigned refs;

	for (unsigned i = 0; i < m->pages; i++) {
		assert_int_equal(t->form->walk(t, (pg_vpn){m->vpn[i]}, &refs), m->pte[i]);
		entries += m->pte[i] != 0;
	}
	t->form->stats(t, &st);
	assert_int_equal(st.entries, entries);
	for (;;) {
		pg_vpn got = {0};
		uint64_t want = 0;
		pg_pte pte = 0, want_pte = 0;
		bool more = t->form->next(t, (pg_vpn){from}, (pg_vpn){UINT64_MAX}, &got, &pte);

		assert_int_equal(more, model_next(m, from, UINT64_MAX, &want, &want_pte));
		if (!more)
			return;
		assert_int_equal(got.v, want);
		assert_int_equal(pte, want_pte);
		from = got.v + 1;
	}
}

/* A radix table without anything around it. */
static int radix_on(struct pg_frames *fs, const struct pg_geometry *g, struct pg_table **out)
{
	return pg_table_radix.create(
		&(struct pg_table_config){.frames = fs, .geometry = g, .owner = 1}, out);
}

static struct pg_table *make(struct pg_frames *fs, const struct pg_geometry *g)
{
	struct pg_table *t = NULL;

	assert_int_equal(radix_on(fs, g, &t), 0);
	assert_ptr_equal(t->form, &pg_table_radix);
	assert_null(t->form->check(t));
	return t;
}

static void random_step(struct pg_table *t, struct model *m, struct pg_random *r, bool shrink)
{
	unsigned i = (unsigned)pg_random_below(r, m->pages), refs = 99;
	pg_vpn p = {m->vpn[i]};
	pg_pte e;

	switch (pg_random_below(r, 4)) {
	case 0:
		if (shrink && !pg_random_one_in(r, 6))
			break;
		e = random_pte(m, r);
		assert_int_equal(t->form->enter(t, p, e), 0);
		m->pte[i] = e;
		return;
	case 1: {
		pg_pte set = pg_random_next(r) & (PG_PTE_A | PG_PTE_D);
		pg_pte clear = pg_random_next(r) & (PG_PTE_RW | PG_PTE_A | PG_PTE_D);

		assert_int_equal(t->form->update(t, p, set, clear), m->pte[i]);
		if (m->pte[i])
			m->pte[i] = (m->pte[i] & ~clear) | set;
		return;
	}
	case 2: {
		uint64_t from = m->vpn[i],
			 end = from + pg_random_below(r, 1u << pg_random_below(r, 30));
		pg_vpn got = {0};
		uint64_t want = 0;
		pg_pte want_pte = 0;
		bool more = t->form->next(t, (pg_vpn){from}, (pg_vpn){end}, &got, &e);

		assert_int_equal(more, model_next(m, from, end, &want, &want_pte));
		if (more) {
			assert_int_equal(got.v, want);
			assert_int_equal(e, want_pte);
		}
		return;
	}
	default:
		/* A walk to a page near by, mapped or not, costs what the model says. */
		p.v = (p.v ^ pg_random_below(r, 3)) & (((uint64_t)1 << total_bits(m->g)) - 1);
		t->form->walk(t, p, &refs);
		assert_int_equal(refs, model_refs(m, p.v));
		if (!shrink && !pg_random_one_in(r, 4))
			return;
		break;
	}
	assert_int_equal(t->form->remove(t, (pg_vpn){m->vpn[i]}), m->pte[i]);
	m->pte[i] = 0;
}

static void radix_random_operations_agree_with_model(void **state)
{
	for (unsigned n = 0; n < GEOMETRIES; n++) {
		struct pg_frames *fs = NULL;
		struct pg_random r;
		struct pg_table *t;
		struct pg_table_stats st;
		struct model m;

		pg_random_seed(&r, n);
		model_init(&m, geometries[n], &r);
		assert_int_equal(pg_frames_create(64 * MIB, &fs), 0);
		t = make(fs, geometries[n]);
		for (int step = 0; step < 12000; step++) {
			random_step(t, &m, &r, (step / 3000) % 2);
			if (step % 50 == 0) {
				assert_null(t->form->check(t));
				assert_null(pg_frames_check(fs));
			}
			if (step % 200 == 0)
				expect_same(t, &m);
		}
		expect_same(t, &m);
		for (unsigned i = 0; i < m.pages; i++)
			assert_int_equal(t->form->remove(t, (pg_vpn){m.vpn[i]}), m.pte[i]);
		/* X3: only the root is left. */
		t->form->stats(t, &st);
		assert_int_equal(st.entries, 0);
		assert_int_equal(pg_frames_total(fs) - pg_frames_free_count(fs), st.node_frames);
		assert_null(t->form->check(t));
		/* And what is mapped when a table is destroyed leaks nothing either. */
		for (unsigned i = 0; i < m.pages; i += 7)
			assert_int_equal(t->form->enter(t, (pg_vpn){m.vpn[i]}, PG_PTE_P), 0);
		t->form->destroy(t);
		assert_int_equal(pg_frames_free_count(fs), pg_frames_total(fs));
		assert_null(pg_frames_check(fs));
		pg_frames_destroy(fs);
	}
}

/* R7: a walk to a mapped page reads one entry of each level. */
static void walk_mapped_page_reads_each_level(void **state)
{
	for (unsigned n = 0; n < GEOMETRIES; n++) {
		struct pg_frames *fs = NULL;
		struct pg_table *t;
		unsigned refs;

		assert_int_equal(pg_frames_create(MIB, &fs), 0);
		t = make(fs, geometries[n]);
		assert_int_equal(t->form->walk(t, (pg_vpn){5}, &refs), 0);
		assert_int_equal(refs, 1);
		assert_int_equal(
			t->form->enter(t, (pg_vpn){5}, pg_pte_make((pg_pfn){7}, PG_PTE_P)), 0);
		assert_int_equal(pg_pte_pfn(t->form->walk(t, (pg_vpn){5}, &refs)).v, 7);
		assert_int_equal(refs, geometries[n]->levels);
		t->form->destroy(t);
		pg_frames_destroy(fs);
	}
}

/* The nodes are frames, and what is in them is what the processor's manual says. */
static void nodes_hold_entries_of_the_manual(void **state)
{
	struct pg_frames *fs = NULL;
	struct pg_table *t;
	struct pg_table_stats st;
	const uint64_t *node;
	const uint32_t *narrow;
	pg_pte e;

	assert_int_equal(pg_frames_create(MIB, &fs), 0);
	t = make(fs, &pg_geometry_x86_64);
	/* Address 0x7f1234567000: indices 0xfe, 0x48, 0x1a2, 0x167. */
	e = pg_pte_make((pg_pfn){0x55}, PG_PTE_P | PG_PTE_RW | PG_PTE_US | PG_PTE_NX);
	assert_int_equal(t->form->enter(t, (pg_vpn){0x7f1234567}, e), 0);
	node = pg_frames_bytes(fs, (pg_pfn){0});
	assert_int_equal(node[0xfe] & 7, 7); /* present, writable, user */
	node = pg_frames_bytes(fs, pg_pte_pfn(node[0xfe]));
	node = pg_frames_bytes(fs, pg_pte_pfn(node[0x48]));
	node = pg_frames_bytes(fs, pg_pte_pfn(node[0x1a2]));
	assert_int_equal(node[0x167], 0x8000000000055007);
	t->form->stats(t, &st);
	assert_int_equal(st.node_frames, 4);
	assert_int_equal(st.entries, 1);
	t->form->destroy(t);

	t = make(fs, &pg_geometry_x86_32);
	/* Address 0x8049000: indices 0x20 and 0x49. */
	assert_int_equal(t->form->enter(t, (pg_vpn){0x8049}, e), 0);
	narrow = pg_frames_bytes(fs, (pg_pfn){0});
	narrow = pg_frames_bytes(fs, pg_pte_pfn(narrow[0x20]));
	assert_int_equal(narrow[0x49], 0x00055007);
	t->form->destroy(t);
	pg_frames_destroy(fs);
}

/* R6: all of 2^64 bytes on 512 MiB of physical memory. */
static void full64_both_ends_are_mapped(void **state)
{
	struct pg_frames *fs = NULL;
	struct pg_table *t;
	struct pg_table_stats st;
	uint64_t last = UINT64_MAX >> PG_PAGE_SHIFT;
	pg_vpn got;
	pg_pte e;

	assert_int_equal(pg_frames_create(512 * MIB, &fs), 0);
	t = make(fs, &pg_geometry_full64);
	assert_int_equal(t->form->enter(t, (pg_vpn){0}, PG_PTE_P), 0);
	assert_int_equal(t->form->enter(t, (pg_vpn){last}, PG_PTE_P | PG_PTE_RW), 0);
	t->form->stats(t, &st);
	assert_int_equal(st.node_frames, 11); /* the root and 5 below for each end */
	assert_true(t->form->next(t, (pg_vpn){1}, (pg_vpn){last + 1}, &got, &e));
	assert_int_equal(got.v, last);
	assert_false(t->form->next(t, (pg_vpn){1}, (pg_vpn){last}, &got, &e));
	t->form->destroy(t);
	pg_frames_destroy(fs);
}

/* Frames run out at every possible point of enter: the table is as before. */
static void enter_out_of_frames_changes_nothing(void **state)
{
	for (unsigned n = 0; n < GEOMETRIES; n++) {
		unsigned refused = 0;

		for (unsigned spare = 0; spare < 24; spare++) {
			struct pg_frames *fs = NULL;
			struct pg_random r;
			struct pg_table *t;
			struct pg_frames_stats st;
			struct model m;
			pg_pfn f;

			pg_random_seed(&r, n * 100 + spare);
			model_init(&m, geometries[n], &r);
			assert_int_equal(pg_frames_create(MIB, &fs), 0);
			t = make(fs, geometries[n]);
			while (pg_frames_free_count(fs) > spare)
				assert_int_equal(
					pg_frames_alloc(fs, 0, PG_FRAME_ANON, NULL, &f), 0);
			for (unsigned i = 0; i < 60; i++) {
				unsigned at = (unsigned)pg_random_below(&r, m.pages);
				uint64_t free_before = pg_frames_free_count(fs);
				pg_pte e = random_pte(&m, &r);
				int err = t->form->enter(t, (pg_vpn){m.vpn[at]}, e);

				if (err) {
					assert_int_equal(err, -ENOMEM);
					assert_int_equal(pg_frames_free_count(fs), free_before);
					refused++;
				} else {
					m.pte[at] = e;
				}
				assert_null(t->form->check(t));
			}
			expect_same(t, &m);
			assert_null(pg_frames_check(fs));
			t->form->destroy(t);
			pg_frames_stats(fs, &st);
			assert_int_equal(st.by_state[PG_FRAME_TABLE], 0);
			pg_frames_destroy(fs);
		}
		assert_true(refused > 100);
	}
}

static void create_bad_geometry_or_no_frame_is_refused(void **state)
{
	struct pg_geometry g = pg_geometry_x86_64;
	struct pg_frames *fs = NULL;
	struct pg_table *t;
	pg_pfn f;

	assert_int_equal(pg_frames_create(MIB, &fs), 0);
	g.levels = 1;
	assert_int_equal(radix_on(fs, &g, &t), -EINVAL);
	g.levels = 7;
	assert_int_equal(radix_on(fs, &g, &t), -EINVAL);
	g = pg_geometry_x86_64;
	g.entry_bytes = 6;
	assert_int_equal(radix_on(fs, &g, &t), -EINVAL);
	g = pg_geometry_x86_64;
	g.bits[2] = 0;
	assert_int_equal(radix_on(fs, &g, &t), -EINVAL);
	g = pg_geometry_full64;
	g.bits[0] = 8; /* 65 bits */
	assert_int_equal(radix_on(fs, &g, &t), -EINVAL);
	g = pg_geometry_x86_64;
	g.page_shift = 11;
	assert_int_equal(radix_on(fs, &g, &t), -EINVAL);
	assert_int_equal(pg_frames_free_count(fs), pg_frames_total(fs));
	while (pg_frames_free_count(fs))
		assert_int_equal(pg_frames_alloc(fs, 0, PG_FRAME_ANON, NULL, &f), 0);
	assert_int_equal(radix_on(fs, &pg_geometry_x86_64, &t), -ENOMEM);
	pg_frames_destroy(fs);
	/* More frames than a 4-byte entry can name. */
	assert_int_equal(pg_frames_create(8192 * MIB, &fs), 0);
	assert_int_equal(radix_on(fs, &pg_geometry_x86_32, &t), -EINVAL);
	pg_frames_destroy(fs);
}

static void page_outside_geometry_is_refused(void **state)
{
	struct pg_frames *fs = NULL;
	struct pg_table *t;
	unsigned refs = 99;
	pg_vpn out = {(uint64_t)1 << 36}, got;
	pg_pte e;

	assert_int_equal(pg_frames_create(MIB, &fs), 0);
	t = make(fs, &pg_geometry_x86_64);
	assert_int_equal(t->form->enter(t, out, PG_PTE_P), -EINVAL);
	assert_int_equal(t->form->walk(t, out, &refs), 0);
	assert_int_equal(refs, 0);
	assert_int_equal(t->form->update(t, out, PG_PTE_A, 0), 0);
	assert_int_equal(t->form->remove(t, out), 0);
	assert_false(t->form->next(t, out, (pg_vpn){UINT64_MAX}, &got, &e));
	t->form->destroy(t);
	pg_frames_destroy(fs);
}

static void check_broken_is_found(void **state)
{
	struct pg_frames *fs = NULL;
	struct pg_table *t;
	uint64_t *root;
	pg_pfn f;

	assert_int_equal(pg_frames_create(MIB, &fs), 0);
	t = make(fs, &pg_geometry_x86_64);
	assert_int_equal(t->form->enter(t, (pg_vpn){0}, PG_PTE_P), 0);
	root = pg_frames_bytes(fs, (pg_pfn){0});
	root[1] = root[0];
	assert_string_equal(t->form->check(t), "X1: a node is reached twice");
	root[1] = 0;
	pg_frames_row(fs, (pg_pfn){1})->index++;
	assert_string_equal(t->form->check(t), "X2: the count of a node's entries");
	pg_frames_row(fs, (pg_pfn){1})->index--;
	assert_int_equal(pg_frames_alloc(fs, 0, PG_FRAME_ANON, NULL, &f), 0);
	root[1] = pg_pte_make(f, PG_PTE_P);
	assert_string_equal(t->form->check(t), "X1: an inner entry names no node of this table");
	root[1] = 0;
	*(uint64_t *)pg_frames_bytes(fs, (pg_pfn){3}) = 0;
	assert_non_null(t->form->check(t));
	*(uint64_t *)pg_frames_bytes(fs, (pg_pfn){3}) = PG_PTE_P;
	assert_null(t->form->check(t));
	t->form->destroy(t);
	pg_frames_destroy(fs);
}

static void registry_has_radix(void **state)
{
	assert_ptr_equal(pg_table_forms[0], &pg_table_radix);
	for (unsigned i = 0; pg_table_forms[i]; i++) {
		assert_non_null(pg_table_forms[i]->name);
		assert_non_null(pg_table_forms[i]->summary);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(radix_random_operations_agree_with_model),
		cmocka_unit_test(walk_mapped_page_reads_each_level),
		cmocka_unit_test(nodes_hold_entries_of_the_manual),
		cmocka_unit_test(full64_both_ends_are_mapped),
		cmocka_unit_test(enter_out_of_frames_changes_nothing),
		cmocka_unit_test(create_bad_geometry_or_no_frame_is_refused),
		cmocka_unit_test(page_outside_geometry_is_refused),
		cmocka_unit_test(check_broken_is_found),
		cmocka_unit_test(registry_has_radix),
	};

	return cmocka_run_group_tests_name("radix", tests, NULL, NULL);
}
