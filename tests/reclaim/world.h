/* SPDX-License-Identifier: MIT */
/*
 * tests/reclaim/world.h: a machine of 1 MiB, a store, one or more spaces, and a processor that obeys the page table; and what others do while the
 * store is called without the machine lock.
 */
#ifndef TESTS_RECLAIM_WORLD_H
#define TESTS_RECLAIM_WORLD_H

#include "reclaim/impl.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BASE 0x100000u
#define PAGES 1000u

struct world {
	struct pg_vm *vm;
	struct pg_store *store;
	struct pg_reclaim *r;
	struct pg_space *s[3];
	unsigned spaces;
	/* What the thrashing hook was told. */
	unsigned told;
	struct pg_space *out;
	uint64_t out_pages;
	/* How often each was made to wait; UINT_MAX: it does. */
	unsigned pauses[3];
	/* What others do before the store is called without the lock, once, and after it. */
	void (*before)(struct world *w), (*after)(struct world *w);
};

static inline void *on_unlock(void *ctx)
{
	struct world *w = ctx;
	void (*f)(struct world *) = w->before;

	w->before = NULL;
	if (f)
		f(w);
	return f;
}

static inline void on_lock(void *ctx, void *token)
{
	struct world *w = ctx;

	if (token && w->after)
		w->after(w);
}

static inline unsigned on_pauses(void *ctx, struct pg_space *s)
{
	struct world *w = ctx;

	for (unsigned i = 0; i < w->spaces; i++) {
		if (w->s[i] == s)
			return w->pauses[i];
	}
	return UINT_MAX;
}

static inline void on_thrashing(void *ctx, bool on, struct pg_space *out, uint64_t pages)
{
	struct world *w = ctx;

	w->told += on;
	if (out) {
		w->out = out;
		w->out_pages = pages;
	}
}

static inline struct pg_space *space(struct world *w)
{
	const struct pg_space_config c = {.lo = {0x10000},
		.hi = {(uint64_t)1 << 40},
		.mmap_top = {(uint64_t)1 << 39},
		.stack_limit_bytes = 1 << 20};
	struct pg_space *s;

	assert_int_equal(pg_space_create(w->vm, &c, &s), 0);
	w->s[w->spaces++] = s;
	return s;
}

/* Memory for PAGES pages at BASE. */
static inline void map(struct pg_space *s, unsigned flags)
{
	pg_va a = {BASE};

	assert_int_equal(pg_space_map(s, &a, PAGES * PG_PAGE_SIZE, PG_READ | PG_WRITE, 7,
				 flags | PG_MAP_FIXED, NULL, 0, NULL),
		0);
}

static inline void begin(struct world *w, const char *spec, const char *policy)
{
	const struct pg_vm_config vc = {
		.memory_bytes = 1 << 20, .form = &pg_table_radix, .geometry = pg_geometry_x86_64};
	struct pg_reclaim_config rc = {.policy = policy,
		.hooks = {
			.ctx = w, .thrashing = on_thrashing, .unlock = on_unlock, .lock = on_lock}};

	memset(w, 0, sizeof *w);
	assert_int_equal(pg_vm_create(&vc, &w->vm), 0);
	if (spec)
		assert_int_equal(pg_store_create(spec, &(struct pg_store_options){.no_uring = true},
					 &w->store, NULL),
			0);
	rc.store = w->store;
	assert_int_equal(pg_reclaim_create(w->vm, &rc, &w->r), 0);
	map(space(w), 0);
}

static inline void check(struct world *w)
{
	for (unsigned i = 0; i < w->spaces; i++) {
		const char *bad = w->s[i] ? pg_space_check(w->s[i]) : NULL;

		if (bad)
			fail_msg("%s", bad);
	}
}

static inline void end(struct world *w)
{
	check(w);
	for (unsigned i = 0; i < w->spaces; i++) {
		if (w->s[i])
			pg_space_destroy(w->s[i]);
	}
	assert_int_equal(w->r->slots_used, 0);
	pg_reclaim_destroy(w->r);
	pg_store_destroy(w->store);
	pg_vm_destroy(w->vm);
}

static inline pg_va at(unsigned page)
{
	return (pg_va){BASE + page * PG_PAGE_SIZE};
}

/* Writes one word; true if the write was made. */
static inline bool put(struct pg_space *s, unsigned page, uint64_t v)
{
	return pg_space_write(s, (pg_va){at(page).v + 8}, &v, sizeof v, 0) == sizeof v;
}

static inline uint64_t get(struct pg_space *s, unsigned page)
{
	uint64_t v = UINT64_MAX;

	return pg_space_read(s, &v, (pg_va){at(page).v + 8}, sizeof v, 0) == sizeof v ? v
										      : UINT64_MAX;
}

static inline bool resident(struct pg_space *s, unsigned page)
{
	return !pg_pfn_is_none(pg_space_resident(s, at(page), NULL));
}

static inline bool evict(struct world *w, struct pg_space *s, unsigned page)
{
	return pg_reclaim_evict(w->r, pg_space_resident(s, at(page), NULL));
}

static inline struct pg_reclaim_stats stats(const struct world *w)
{
	struct pg_reclaim_stats st;

	pg_reclaim_stats(w->r, &st);
	return st;
}

#endif
