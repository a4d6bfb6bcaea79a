/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_walks.c: what walks cost: page-walk caches beside a slow one, percentiles, chains of a hashed table beside what is
 * known of chaining. Rows R7, R8; invariant M8.
 */
#include "tables_world.h"

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
		cmocka_unit_test(walk_caches_agree_with_model),
		cmocka_unit_test(percentile_of_walks_is_the_least_that_covers),
		cmocka_unit_test(hashed_walks_cost_what_chaining_costs),
	};

	return cmocka_run_group_tests_name("walks", tests, NULL, NULL);
}
