/* SPDX-License-Identifier: MIT */
/*
 * tests/reclaim/test_waits.c: what happens to pages while somebody waits for a store or a file without the machine lock.
 * R11, invariant R2.
 */
#include "world.h"

static int file_read(void *ctx, uint64_t index, void *buf)
{
	(void)ctx, (void)index;
	memset(buf, 0, PG_PAGE_SIZE);
	return 0;
}

/* What others do while the lock is released for a write: a page that waits for its own write is freed. */
static int file_write(void *ctx, uint64_t index, const void *buf)
{
	struct world *w = ctx;

	(void)index, (void)buf;
	return pg_space_unmap(w->s[0], at(1), PG_PAGE_SIZE);
}

static uint64_t file_size(void *ctx)
{
	(void)ctx;
	return PG_PAGE_SIZE;
}

/* Pages are queued, then a dirty page of a file is written, and one of the queue is freed meanwhile: the others are written. */
static void queued_page_may_be_freed_before_the_batch_is_written(void **state)
{
	static const struct pg_pager pager = {
		.name = "file", .read = file_read, .write = file_write, .size = file_size};
	struct world w;
	struct pg_object *file;
	pg_va a = at(PAGES);
	uint64_t word = 7;
	bool existed;

	begin(&w, "8M", "fifo");
	for (unsigned i = 0; i < 4; i++)
		put(w.s[0], i, i + 1);
	assert_int_equal(pg_object_open(w.vm, (struct pg_object_key){0, 0}, "file", &pager, &w,
				 PG_PAGE_SIZE, &file, &existed),
		0);
	assert_int_equal(pg_space_map(w.s[0], &a, PG_PAGE_SIZE, PG_READ | PG_WRITE, 7,
				 PG_MAP_SHARED | PG_MAP_FIXED, file, 0, NULL),
		0);
	pg_object_unref(file);
	assert_int_equal(pg_space_write(w.s[0], a, &word, sizeof word, 0), sizeof word);
	for (unsigned i = 10; i < 20; i++)
		put(w.s[0], i, i);
	(void)pg_reclaim_free_frames(w.r, 8);
	assert_int_equal(stats(&w).file_written, 1);
	assert_true(stats(&w).swap_out >= 3);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(get(w.s[0], i), i == 1 ? UINT64_MAX : i + 1);
	assert_int_equal(pg_space_unmap(w.s[0], a, PG_PAGE_SIZE), 0);
	end(&w);
}

/* Page 0 is brought in, and its slot goes to page 1. */
static void slot_goes_to_another(struct world *w)
{
	assert_int_equal(get(w->s[0], 0), 5);
	assert_true(evict(w, w->s[0], 1));
}

/* Page 1 is brought in, and its slot goes to page 0. */
static void slot_comes_back(struct world *w)
{
	assert_int_equal(get(w->s[0], 1), 6);
	assert_true(evict(w, w->s[0], 0));
}

/* R2: while a page is read its slot is given back, used by another one, and becomes its own again: what was read is the other's. */
static void slot_used_by_another_during_the_read_is_read_again(void **state)
{
	struct world w;

	begin(&w, "4K", NULL);
	put(w.s[0], 0, 5);
	put(w.s[0], 1, 6);
	assert_true(evict(&w, w.s[0], 0));
	w.before = slot_goes_to_another;
	w.after = slot_comes_back;
	assert_int_equal(get(w.s[0], 0), 5);
	assert_int_equal(get(w.s[0], 1), 6);
	end(&w);
}

/* Who waits for the store meanwhile wants its pages back: all of the first batch. */
static void batch_is_wanted(struct world *w)
{
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(get(w->s[0], i), i + 1);
}

/* A reclaim in vain is one that has looked at every page: other threads may touch what is being written. */
static void pages_wanted_back_are_replaced_by_others(void **state)
{
	struct world w;

	begin(&w, "8M", "fifo");
	for (unsigned i = 0; i < 60; i++)
		put(w.s[0], i, i + 1);
	w.before = batch_is_wanted;
	assert_true(pg_reclaim_free_frames(w.r, 8) > 0);
	assert_null(w.before);
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(get(w.s[0], i), i + 1);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queued_page_may_be_freed_before_the_batch_is_written),
		cmocka_unit_test(slot_used_by_another_during_the_read_is_read_again),
		cmocka_unit_test(pages_wanted_back_are_replaced_by_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
