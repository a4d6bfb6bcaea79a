/* SPDX-License-Identifier: MIT */
/*
 * tests/store/test_compressed.c: store/compressed.c and store/pool.c from inside: the limit, compaction, damaged memory.
 * Invariants P1 to P4, Z1 to Z3.
 */
#include "pages.h"
#include "store/compressed.c" /* as it is, for its structures */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct pg_store *new_store(const char *spec)
{
	struct pg_store *s = NULL;

	assert_int_equal(pg_store_create(spec, NULL, &s, NULL), 0);
	assert_null(pg_store_check(s));
	return s;
}

static int write_one(struct pg_store *s, pg_slot slot, uint64_t seed)
{
	static uint8_t bytes[PG_PAGE_SIZE] __attribute__((aligned(4096)));
	struct pg_store_io io = {.slot = slot, .page = bytes};

	page_fill(bytes, seed);
	return pg_store_write(s, &io, 1);
}

/* Status of the read; data must be right if it is 0. */
static int read_one(struct pg_store *s, pg_slot slot, uint64_t seed)
{
	static uint8_t bytes[PG_PAGE_SIZE] __attribute__((aligned(4096))), want[PG_PAGE_SIZE];
	struct pg_store_io io = {.slot = slot, .page = bytes};
	int rc = pg_store_read(s, &io, 1);

	page_fill(want, seed);
	if (rc == 0)
		assert_memory_equal(bytes, want, PG_PAGE_SIZE);
	return rc;
}

static void same_filled_pages_take_no_pool(void **state)
{
	struct pg_store *s = new_store("zstd:2M");
	struct pg_store_stats st;
	pg_slot at[300];

	for (uint64_t i = 0; i < 300; i++) {
		assert_int_equal(pg_store_reserve(s, 1, &at[i]), 1);
		assert_int_equal(
			write_one(s, at[i], i / 2 * PAGE_KINDS + i % 2), 0); /* zero, one word */
	}
	pg_store_stats(s, &st);
	assert_int_equal(st.same_filled, 300);
	assert_int_equal(st.held_same, 300);
	assert_int_equal(st.pool_bytes, 0);
	for (uint64_t i = 0; i < 300; i++)
		assert_int_equal(read_one(s, at[i], i / 2 * PAGE_KINDS + i % 2), 0);
	/* One byte of difference is a difference. */
	assert_int_equal(write_one(s, at[0], PAGE_ALMOST), 0);
	pg_store_stats(s, &st);
	assert_int_equal(st.held_same, 299);
	assert_int_equal(read_one(s, at[0], PAGE_ALMOST), 0);
	pg_store_destroy(s);
}

/* R11: the limit is one of all memory that the store takes; what is released comes back. */
static void limit_is_kept_and_memory_comes_back(void **state)
{
	static const char *const specs[] = {"lz4:1M", "zstd:3M"};

	for (int k = 0; k < 2; k++) {
		struct pg_store *s = new_store(specs[k]);
		struct pg_store_stats st;
		struct pg_store_room room;
		static pg_slot at[8192];
		unsigned n = 0;
		uint64_t empty;

		pg_store_stats(s, &st);
		empty = st.memory_bytes;
		pg_store_room(s, &room);
		for (; n < 8192; n++) {
			if (pg_store_reserve(s, 1, &at[n]) < 0)
				break;
			if (write_one(s, at[n], 3 + n * PAGE_KINDS) < 0) {
				pg_store_release(s, at[n], 1);
				break;
			}
		}
		pg_store_stats(s, &st);
		/* On average half a page each, so nearly twice as many fit as pages would. */
		assert_in_range(
			n, room.limit_bytes / PG_PAGE_SIZE, 2 * room.limit_bytes / PG_PAGE_SIZE);
		assert_in_range(st.memory_peak, room.limit_bytes * 9 / 10, room.limit_bytes);
		assert_true(st.held_bytes <= st.held_rounded && st.held_rounded <= st.pool_bytes);
		assert_true(st.pool_bytes < st.memory_bytes);
		assert_null(pg_store_check(s));
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(read_one(s, at[i], 3 + i * PAGE_KINDS), 0);
			pg_store_release(s, at[i], 1);
		}
		pg_store_stats(s, &st);
		assert_in_range(st.memory_bytes, 1,
			empty + 400000); /* a codec may have grown at its first use */
		assert_int_equal(st.pool_bytes, 0);
		assert_null(pg_store_check(s));
		pg_store_destroy(s);
	}
}

/* Holes that releases left are gathered when memory is short, and no page is damaged by it. */
static void full_pool_is_compacted(void **state)
{
	struct pg_store *s = new_store("lz4:2M");
	struct pg_store_stats st;
	static pg_slot at[8192];
	unsigned n = 0, more = 0;
	pg_slot slot;

	for (; n < 8192; n++) {
		assert_int_equal(pg_store_reserve(s, 1, &at[n]), 1);
		if (write_one(s, at[n], PAGE_HALF + n * PAGE_KINDS) < 0)
			break;
	}
	assert_true(n > 500 && n < 8192);
	for (unsigned i = 0; i < n; i++)
		if (i % 3)
			pg_store_release(s, at[i], 1);
	pg_store_stats(s, &st);
	while (more < n / 4 && pg_store_reserve(s, 1, &slot) == 1 &&
		write_one(s, slot, PAGE_RANDOM + more * PAGE_KINDS) == 0)
		more++; /* of a class that has no holes: spans must come from the others */
	pg_store_stats(s, &st);
	assert_true(more >= n / 4);
	assert_true(st.compactions > 0 && st.moved > 0);
	assert_null(pg_store_check(s));
	for (unsigned i = 0; i < n; i += 3)
		assert_int_equal(read_one(s, at[i], PAGE_HALF + i * PAGE_KINDS), 0);
	pg_store_destroy(s);
}

/* Never wrong data: any damage to the compressed bytes is noticed, and harmless. */
static void damaged_memory_is_noticed(void **state)
{
	static const char *const specs[] = {"lz4:2M", "zstd:2M"};
	struct pg_random r;

	pg_random_seed(&r, 5);
	for (int k = 0; k < 2; k++) {
		struct pg_store *s = new_store(specs[k]);
		struct compressed *z = (struct compressed *)s;
		pg_slot at;

		assert_int_equal(pg_store_reserve(s, 1, &at), 1);
		for (uint64_t i = 0; i < 400; i++) {
			uint64_t seed = PAGE_TEXT + (i % 3) + i / 3 * PAGE_KINDS;
			struct entry *e = &z->entries[at.v];
			uint8_t *bytes, was;
			int rc;

			assert_int_equal(write_one(s, at, seed), 0);
			bytes = pg_pool_bytes(z->pool, e->at);
			bytes += pg_random_below(&r, e->bytes);
			was = *bytes;
			*bytes ^= (uint8_t)(1 + pg_random_below(&r, 255));
			rc = read_one(s, at, seed); /* a bit that means nothing may be among them */
			assert_true(rc == -EILSEQ || rc == 0);
			if (page_kind_of(seed) == PAGE_RANDOM)
				assert_int_equal(rc, -EILSEQ);
			*bytes = was;
			assert_int_equal(read_one(s, at, seed), 0);
		}
		pg_store_destroy(s);
	}
}

/* --- the pool alone */

struct object {
	pg_pool_at at;
	unsigned bytes;
};

static struct object objects[20000];

static void object_moved(void *context, uint32_t owner, pg_pool_at to)
{
	objects[owner].at = to;
}

static void fill_object(struct pg_pool *p, uint32_t i)
{
	memset(pg_pool_bytes(p, objects[i].at), (int)(i * 7 + 1), objects[i].bytes);
}

static void verify_object(struct pg_pool *p, uint32_t i)
{
	const uint8_t *b = pg_pool_bytes(p, objects[i].at);

	for (unsigned k = 0; k < objects[i].bytes; k++)
		assert_int_equal(b[k], (uint8_t)(i * 7 + 1));
}

/* P1 to P4: objects of all sizes keep their bytes while others come, go and are moved. */
static void pool_random_agrees_with_model(void **state)
{
	struct pg_pool *p;
	struct pg_random r;
	struct pg_pool_stats st;
	uint64_t bytes = 0, live = 0;

	assert_int_equal(pg_pool_create(8 << 20, object_moved, NULL, &p), 0);
	memset(objects, 0, sizeof(objects));
	pg_random_seed(&r, 1);
	for (int step = 0; step < 60000; step++) {
		uint32_t i = (uint32_t)pg_random_below(&r, step / 10000 % 2 ? 2000 : 20000);

		if (objects[i].bytes) {
			verify_object(p, i);
			pg_pool_free(p, objects[i].at, objects[i].bytes);
			bytes -= objects[i].bytes;
			live--;
			objects[i].bytes = 0;
		} else {
			unsigned n = 1 + (unsigned)pg_random_below(
						 &r, pg_random_one_in(&r, 8) ? 4096 : 900);

			pg_pool_stats(p, &st);
			if (pg_pool_alloc(p, n, i,
				    (6 << 20) > st.memory_bytes ? (6 << 20) - st.memory_bytes : 0,
				    &objects[i].at) == 0) {
				objects[i].bytes = n;
				fill_object(p, i);
				bytes += n;
				live++;
			}
		}
		if (step % 500 == 0)
			assert_null(pg_pool_check(p));
		if (step % 700 == 0)
			pg_pool_compact(p);
	}
	assert_null(pg_pool_check(p));
	pg_pool_stats(p, &st);
	assert_int_equal(st.objects, live);
	assert_int_equal(st.object_bytes, bytes);
	assert_true(st.memory_bytes <= 6 << 20);
	assert_true(st.compactions > 0);
	for (uint32_t i = 0; i < 20000; i++)
		if (objects[i].bytes)
			verify_object(p, i);
	/* Compacted to the end, no class has a span's worth of free objects: loss is bounded. */
	while (pg_pool_compact(p)) {
	}
	pg_pool_stats(p, &st);
	assert_true(st.span_bytes - st.rounded_bytes < 100 * PG_POOL_SPAN_BYTES);
	assert_null(pg_pool_check(p));
	pg_pool_destroy(p);
}

/* Rounding up to the class costs a seventh of an object at most. */
static void pool_classes_are_near_each_other(void **state)
{
	struct pg_pool *p;
	struct pg_pool_stats st;
	pg_pool_at at;

	assert_int_equal(pg_pool_create(64 << 20, object_moved, NULL, &p), 0);
	for (unsigned n = 64; n <= PG_PAGE_SIZE; n++) {
		assert_int_equal(pg_pool_alloc(p, n, 0, UINT32_MAX, &at), 0);
		pg_pool_stats(p, &st);
		assert_true(st.rounded_bytes >= n && st.rounded_bytes - n <= n / 7);
		pg_pool_free(p, at, n);
	}
	pg_pool_stats(p, &st);
	assert_int_equal(st.memory_bytes, 0);
	pg_pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_filled_pages_take_no_pool),
		cmocka_unit_test(limit_is_kept_and_memory_comes_back),
		cmocka_unit_test(full_pool_is_compacted),
		cmocka_unit_test(damaged_memory_is_noticed),
		cmocka_unit_test(pool_random_agrees_with_model),
		cmocka_unit_test(pool_classes_are_near_each_other),
	};

	return cmocka_run_group_tests_name("compressed", tests, NULL, NULL);
}
