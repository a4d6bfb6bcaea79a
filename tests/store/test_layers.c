/* SPDX-License-Identifier: MIT */
/*
 * tests/store/test_layers.c: stores over stores: the failing store and stacks; and several threads on one store. Rows R6, R11.
 */
#include "batch.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

/* --- the failing store */

static void fault_rule_hits_what_it_says(void **state)
{
	struct pg_store *s = make("fault:eio@3/4:1M");
	struct batch b;

	batch_begin(&b, s, 12, 500);
	assert_int_equal(batch_write(&b, s), -EIO); /* pages 3, 7 and 11 of the first call */
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(b.io[i].status, i % 4 == 2 ? -EIO : 0);
	assert_int_equal(pg_store_fault_hits(s), 3);
	pg_store_fault_set(
		s, &(struct pg_fault_rule){.kind = PG_FAULT_EIO, .in = true, .first = 2});
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), -EIO);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(b.io[i].status, i == 1 ? -EIO : 0);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&b, s);
	unmake(s);
}

static void fault_short_fails_the_rest_of_the_call(void **state)
{
	struct pg_store *s = make("fault:short@5:1M");
	struct batch b;

	batch_begin(&b, s, 12, 500);
	assert_int_equal(batch_write(&b, s), -EIO);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(b.io[i].status, i < 4 ? 0 : -EIO);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&b, s);
	unmake(s);
}

static void fault_corrupt_is_never_wrong_data(void **state)
{
	static const char *const specs[] = {"fault:corrupt-out@4:1M", "fault:corrupt-in@4:1M",
		"fault:corrupt-out@4:zstd:2M", "fault:corrupt-in@4:lz4:1M"};

	for (int k = 0; k < 4; k++) {
		struct pg_store *s = make(specs[k]);
		struct pg_store_stats st;
		struct batch b;

		batch_begin(&b, s, 12, 500);
		assert_int_equal(batch_write(&b, s), 0);
		assert_int_equal(batch_read(&b, s), -EILSEQ);
		for (unsigned i = 0; i < 12; i++)
			assert_int_equal(b.io[i].status, i == 3 ? -EILSEQ : 0);
		pg_store_stats(s, &st);
		assert_int_equal(st.checksum_errors, 1);
		batch_end(&b, s);
		unmake(s);
	}
}

static void fault_full_refuses_writes_and_slots(void **state)
{
	struct pg_store *s = make("fault:full@10+:1M");
	struct batch b;
	pg_slot at;

	batch_begin(&b, s, 4, 1); /* counts as one */
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_write(&b, s), -ENOSPC);
	assert_int_equal(pg_store_reserve(s, 1, &at), -ENOSPC);
	assert_int_equal(pg_store_read(s, b.io, 4), -ENODATA);
	batch_end(&b, s);
	unmake(s);
}

struct blocked {
	struct pg_store *s;
	struct batch *b;
	int rc;
};

static void *write_blocked(void *arg)
{
	struct blocked *x = arg;

	x->rc = batch_write(x->b, x->s);
	return NULL;
}

/* A call that blocks stops nobody else. */
static void fault_block_holds_one_call_up(void **state)
{
	struct pg_store *s = make("1M,fault:none:1M");
	struct pg_store *inner = pg_store_part(s, 1);
	struct batch a, b, filler;
	struct blocked x = {s, &b, 1};
	pthread_t thread;

	batch_begin(&a, s, 16, 900);
	assert_int_equal(batch_write(&a, s), 0);
	batch_begin(&filler, s, 240, 902);
	assert_int_equal(batch_write(&filler, s), 0); /* the first store is full now */
	batch_begin(&b, s, 16, 901);
	pg_store_fault_set(
		inner, &(struct pg_fault_rule){.kind = PG_FAULT_BLOCK, .out = true, .first = 2});
	assert_int_equal(pthread_create(&thread, NULL, write_blocked, &x), 0);
	while (pg_store_fault_blocked(inner) == 0)
		sched_yield();
	assert_int_equal(batch_read(&a, s), 0);
	assert_int_equal(batch_write(&a, s), 0);
	assert_int_equal(x.rc, 1); /* still in there */
	pg_store_fault_set(inner, &(struct pg_fault_rule){0});
	pthread_join(thread, NULL);
	assert_int_equal(x.rc, 0);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&a, s);
	batch_end(&b, s);
	batch_end(&filler, s);
	unmake(s);
}

static void fault_slow_counts_its_time(void **state)
{
	struct pg_store *s = make("fault:slow=3-in@2:1M");
	struct pg_store_stats st;
	struct batch b;

	batch_begin(&b, s, 4, 902);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), 0);
	pg_store_stats(s, &st);
	assert_true(st.ns_in >= 3000000);
	batch_end(&b, s);
	unmake(s);
}

/* --- stacks */

static void stack_passes_on_what_a_store_cannot_take(void **state)
{
	struct pg_store *s = make("zstd:2M,4M");
	struct pg_store_stats first, second, all;
	struct batch b;
	unsigned random = 0, same = 0;

	batch_begin(&b, s, 240, 0);
	assert_int_equal(batch_write(&b, s), 0);
	for (uint64_t i = 0; i < 240; i++) {
		random += page_kind_of(i) == PAGE_RANDOM;
		same += page_kind_of(i) == PAGE_ZERO || page_kind_of(i) == PAGE_SAME;
	}
	pg_store_stats(pg_store_part(s, 0), &first);
	pg_store_stats(pg_store_part(s, 1), &second);
	pg_store_stats(s, &all);
	assert_int_equal(first.held_same, same);
	assert_true(second.pages_out >= random && second.pages_out < random + 20);
	assert_int_equal(first.incompressible, second.pages_out);
	assert_int_equal(first.pages_out + second.pages_out, 240);
	assert_int_equal(all.pages_out, 240);
	assert_int_equal(all.incompressible, first.incompressible);
	assert_int_equal(batch_read(&b, s), 0);
	/* Other pages in the same slots go where they belong now. */
	b.seed = 3;
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), 0);
	assert_null(pg_store_check(s));
	batch_end(&b, s);
	pg_store_stats(pg_store_part(s, 1), &second);
	assert_int_equal(second.slots_used, 0);
	unmake(s);
}

static void stack_failing_store_is_passed_by(void **state)
{
	struct pg_store *s = make("fault:eio-out@3+:1M,lz4:1M,1M");
	struct batch b;

	batch_begin(&b, s, 100, 31);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&b, s);
	unmake(s);
}

static void stack_incompressible_page_is_kept_when_nobody_else_can(void **state)
{
	struct pg_store *s = make("lz4:2M,64K");
	struct pg_store_stats st;
	struct batch b;

	batch_begin(&b, s, 100, 4);
	for (unsigned i = 0; i < 100; i++)
		page_fill(b.io[i].page, 4 + 6 * (uint64_t)i); /* random, all of them */
	assert_int_equal(pg_store_write(s, b.io, 100), 0);
	pg_store_stats(pg_store_part(s, 0), &st);
	assert_int_equal(st.held_pages, 84); /* 16 are in the file */
	batch_end(&b, s);
	unmake(s);
}

/* --- several threads */

struct worker {
	struct pg_store *s;
	uint64_t seed;
	bool fine;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct pg_random r;
	uint8_t *page = page_new(24), *want = page_new(1);

	pg_random_seed(&r, w->seed);
	w->fine = true;
	for (int round = 0; round < 150 && w->fine; round++) {
		struct pg_store_io io[24];
		unsigned n = 0;
		pg_slot first;

		while (n < 24) {
			int got = pg_store_reserve(
				w->s, 1 + (unsigned)pg_random_below(&r, 24 - n), &first);

			if (got < 0)
				break;
			for (int i = 0; i < got; i++, n++) {
				io[n] = (struct pg_store_io){.slot = {first.v + (unsigned)i},
					.page = page + n * PG_PAGE_SIZE};
				page_fill(io[n].page, w->seed * 1000 + n);
			}
		}
		if (n == 0)
			continue;
		w->fine &= pg_store_write(w->s, io, n) == 0;
		memset(page, 0, 24 * PG_PAGE_SIZE);
		w->fine &= pg_store_read(w->s, io, n) == 0;
		for (unsigned i = 0; i < n; i++) {
			page_fill(want, w->seed * 1000 + i);
			w->fine &= memcmp(want, io[i].page, PG_PAGE_SIZE) == 0;
			pg_store_release(w->s, io[i].slot, 1);
		}
	}
	free(page);
	free(want);
	return NULL;
}

static void threads_do_not_see_each_others_pages(void **state)
{
	static const char *const specs[] = {"8M", "lz4:4M", "lz4:1M,zstd:4M,4M"};

	for (int k = 0; k < 3; k++) {
		struct pg_store *s;
		struct worker w[4];
		pthread_t t[4];

		assert_int_equal(pg_store_create(specs[k], NULL, &s, NULL), 0);
		for (uint64_t i = 0; i < 4; i++) {
			w[i] = (struct worker){s, i + 1, false};
			assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
		}
		for (int i = 0; i < 4; i++) {
			pthread_join(t[i], NULL);
			assert_true(w[i].fine);
		}
		unmake(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fault_rule_hits_what_it_says),
		cmocka_unit_test(fault_short_fails_the_rest_of_the_call),
		cmocka_unit_test(fault_corrupt_is_never_wrong_data),
		cmocka_unit_test(fault_full_refuses_writes_and_slots),
		cmocka_unit_test(fault_block_holds_one_call_up),
		cmocka_unit_test(fault_slow_counts_its_time),
		cmocka_unit_test(stack_passes_on_what_a_store_cannot_take),
		cmocka_unit_test(stack_failing_store_is_passed_by),
		cmocka_unit_test(stack_incompressible_page_is_kept_when_nobody_else_can),
		cmocka_unit_test(threads_do_not_see_each_others_pages),
	};

	return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
