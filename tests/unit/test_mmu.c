/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_mmu.c: what an MMU counts and does, worked out by hand; its check, the words of --tlb, failures. Rows R4, R5.
 */
#include "tlb_world.h"

#include <errno.h>

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
	assert_true(pg_mmu_view_in_use(w.mmu, pg_vpn_of(b)));
	assert_false(pg_mmu_view_in_use(w.mmu, pg_vpn_of(a)));
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
	assert_int_equal(pg_mmu_config_parse("d2048x2,i2048x4,4096x8", &c, &why), 0);
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
		assert_int_equal(c.l1i.entries, 2048);
		assert_int_equal(pg_mmu_config_parse("d2048x2,i2048x4,4096x8", &c, &why), 0);
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

	return cmocka_run_group_tests_name("mmu", tests, NULL, NULL);
}
