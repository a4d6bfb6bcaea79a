/* SPDX-License-Identifier: MIT */
/*
 * tests/reclaim/test_reclaim.c: reclaim case by case: what is evicted, where it goes, what comes back, what is counted.
 *
 * A machine of 1 MiB, a store, one or more spaces, and a processor that obeys the page table. Expectations are those of the
 * kernel's documents named in each case, or what was written to the page. Rows R6, R11, R12; invariants R1 to R3, A2.
 */
#include "world.h"

#include <errno.h>

/* R11: more is written than there are frames; all of it is there afterwards. */
static void memory_smaller_than_data_keeps_every_byte(void **state)
{
	struct world w;

	begin(&w, "8M", NULL);
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(put(w.s[0], i, i * 1000003u + 1));
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(get(w.s[0], i), i * 1000003u + 1);
	assert_true(stats(&w).swap_out >= PAGES - 256);
	assert_true(stats(&w).swap_in >= PAGES - 256);
	end(&w);
}

/* A2: a page that was read back and not written since goes without another write. */
static void clean_copy_is_dropped_without_writing(void **state)
{
	struct world w;

	begin(&w, "8M", NULL);
	put(w.s[0], 5, 55);
	assert_true(evict(&w, w.s[0], 5));
	assert_false(resident(w.s[0], 5));
	assert_int_equal(get(w.s[0], 5), 55);
	assert_true(evict(&w, w.s[0], 5));
	assert_int_equal(stats(&w).swap_out, 1);
	assert_int_equal(stats(&w).swap_dropped, 1);
	assert_int_equal(get(w.s[0], 5), 55);
	end(&w);
}

/* A2: the slot's copy of a page that was written after it was read back is not used any more. */
static void page_written_after_swap_in_comes_back_new(void **state)
{
	struct world w;

	begin(&w, "8M", NULL);
	put(w.s[0], 5, 55);
	assert_true(evict(&w, w.s[0], 5));
	assert_int_equal(get(w.s[0], 5), 55); /* a read: the slot stays */
	assert_int_equal(stats(&w).slots_used, 1);
	put(w.s[0], 5, 56);
	assert_true(evict(&w, w.s[0], 5));
	assert_int_equal(stats(&w).swap_out, 2);
	assert_int_equal(get(w.s[0], 5), 56);
	end(&w);
}

/* do_swap_page(): a page that is wanted for writing gives its slot back. */
static void slot_is_released_when_page_is_rewritten(void **state)
{
	struct world w;

	begin(&w, "8M", NULL);
	put(w.s[0], 5, 55);
	assert_true(evict(&w, w.s[0], 5));
	put(w.s[0], 5, 56);
	assert_int_equal(stats(&w).slots_used, 0);
	assert_int_equal(get(w.s[0], 5), 56);
	end(&w);
}

/* A1: parent and child share the slot; each reads its bytes, a write is the writer's alone, the last one frees it. */
static void slot_shared_by_fork_is_freed_by_the_last(void **state)
{
	struct world w;
	struct pg_space *child;

	begin(&w, "8M", NULL);
	put(w.s[0], 5, 55);
	child = space(&w);
	assert_int_equal(pg_space_fork(w.s[0], child), 0);
	assert_true(evict(&w, w.s[0], 5)); /* out of both */
	assert_false(resident(w.s[0], 5) || resident(child, 5));
	check(&w);
	assert_int_equal(get(child, 5), 55);
	put(child, 5, 77);
	check(&w);
	assert_int_equal(get(w.s[0], 5), 55);
	assert_int_equal(get(child, 5), 77);
	assert_true(evict(&w, w.s[0], 5));
	pg_space_destroy(w.s[0]);
	w.s[0] = NULL;
	assert_int_equal(stats(&w).slots_used, 0);
	assert_int_equal(get(child, 5), 77);
	end(&w);
}

/* Shared memory has no pager: its pages go to the store too, out of every space that maps them. */
static void shared_memory_goes_out_and_comes_back(void **state)
{
	struct world w;
	struct pg_space *child;

	begin(&w, "8M", NULL);
	map(w.s[0], PG_MAP_SHARED);
	child = space(&w);
	put(w.s[0], 5, 55);
	assert_int_equal(pg_space_fork(w.s[0], child), 0);
	assert_int_equal(get(child, 5), 55);
	assert_true(evict(&w, w.s[0], 5));
	assert_false(resident(w.s[0], 5) || resident(child, 5));
	put(child, 5, 56);
	assert_int_equal(get(w.s[0], 5), 56);
	assert_true(evict(&w, w.s[0], 5));
	end(&w);
}

/* mlock(2): locked pages stay; unlocked they go. */
static void locked_pages_stay(void **state)
{
	struct world w;

	begin(&w, "8M", NULL);
	for (unsigned i = 0; i < 20; i++)
		put(w.s[0], i, i);
	assert_int_equal(pg_space_lock(w.s[0], at(0), 20 * PG_PAGE_SIZE, PG_MAP_LOCKED), 0);
	for (unsigned i = 20; i < PAGES; i++)
		put(w.s[0], i, i);
	for (unsigned i = 0; i < 20; i++)
		assert_true(resident(w.s[0], i));
	assert_true(stats(&w).locked > 0);
	assert_int_equal(pg_space_lock(w.s[0], at(0), 20 * PG_PAGE_SIZE, 0), 0);
	for (unsigned i = 20; i < PAGES; i++)
		put(w.s[0], i, i);
	assert_false(resident(w.s[0], 0));
	assert_int_equal(get(w.s[0], 0), 0);
	end(&w);
}

/* mlock(2), Linux's unevictable list: pages that are unlocked, by whatever call, are the policy's again at once. */
static void unlocked_pages_return_without_a_search(void **state)
{
	struct pg_space *child;
	struct world w;

	begin(&w, "8M", NULL);
	map(w.s[0], PG_MAP_SHARED);
	child = space(&w);
	for (unsigned i = 0; i < 60; i++)
		put(w.s[0], i, i);
	assert_int_equal(pg_space_fork(w.s[0], child), 0);
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(get(child, i), i);
	assert_int_equal(pg_space_lock(w.s[0], at(0), 60 * PG_PAGE_SIZE, PG_MAP_LOCKED), 0);
	for (unsigned i = 0; i < 60; i++)
		assert_false(evict(&w, child, i));
	assert_int_equal(stats(&w).locked, 60);
	assert_int_equal(pg_space_lock(w.s[0], at(0), 20 * PG_PAGE_SIZE, 0), 0);
	assert_int_equal(stats(&w).locked, 40);
	assert_int_equal(pg_space_unmap(w.s[0], at(20), 20 * PG_PAGE_SIZE), 0);
	assert_int_equal(stats(&w).locked, 20);
	check(&w);
	pg_space_destroy(w.s[0]);
	w.s[0] = NULL;
	assert_int_equal(stats(&w).locked, 0);
	for (unsigned i = 0; i < 60; i++)
		assert_true(evict(&w, child, i));
	end(&w);
}

/*
 * mm/vmscan.c, all_unreclaimable(): a memory full of locked pages ends after each page was looked at about once, and faults that
 * need no frame are not held up by searches in vain.
 */
static void memory_full_of_locked_pages_ends_soon(void **state)
{
	struct world w;
	uint64_t picked, runs;
	unsigned n = 0;

	begin(&w, "8M", NULL);
	assert_int_equal(pg_space_lock_all(w.s[0], 0, PG_MAP_LOCKED), 0);
	assert_int_equal(
		pg_space_lock(w.s[0], at(0), PAGES * PG_PAGE_SIZE, PG_MAP_LOCKED), -EAGAIN);
	while (n < PAGES && resident(w.s[0], n))
		n++;
	assert_in_range(n, 230, 256);
	assert_in_range(stats(&w).picked, n - 16, 3 * 256);
	picked = stats(&w).picked;
	runs = stats(&w).runs_direct;
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(
			pg_space_fault(w.s[0], at(i % n), PG_READ, 0, false), PG_FAULT_RESUME);
	assert_true(stats(&w).runs_direct - runs <= 2000 / 128);
	assert_true(stats(&w).picked - picked <= 2000);
	/* It goes on as soon as some may go. */
	assert_int_equal(pg_space_lock(w.s[0], at(0), 100 * PG_PAGE_SIZE, 0), 0);
	for (unsigned i = n; i < n + 90; i++)
		assert_true(put(w.s[0], i, i));
	end(&w);
}

/* A page in use by a host call stays. */
static void pinned_page_stays(void **state)
{
	struct iovec iov[1];
	unsigned n = 0;
	enum pg_fault_end how;
	struct world w;

	begin(&w, "8M", NULL);
	put(w.s[0], 5, 55);
	assert_int_equal(pg_space_pin(w.s[0], at(5), 100, PG_WRITE, 0, iov, &n, 1, &how), 100);
	assert_false(evict(&w, w.s[0], 5));
	for (unsigned i = 10; i < PAGES; i++)
		put(w.s[0], i, i);
	assert_true(resident(w.s[0], 5));
	memset(iov[0].iov_base, 0xee, 16);
	pg_space_unpin(w.s[0], PG_WRITE, iov, n);
	assert_true(evict(&w, w.s[0], 5));
	assert_int_equal(get(w.s[0], 5), 0xeeeeeeeeeeeeeeeeu);
	end(&w);
}

/* A wrong checksum is an error for whoever owns the page, counted, and nothing else is lost. */
static void corrupted_page_is_refused_to_its_owner_only(void **state)
{
	struct world w;

	begin(&w, "fault:corrupt-out@2:8M", NULL);
	for (unsigned i = 0; i < 3; i++) {
		put(w.s[0], i, 50 + i);
		assert_true(evict(&w, w.s[0], i));
	}
	assert_int_equal(get(w.s[0], 1), UINT64_MAX);
	assert_int_equal(get(w.s[0], 0), 50);
	assert_int_equal(get(w.s[0], 2), 52);
	assert_int_equal(get(w.s[0], 1), UINT64_MAX);
	assert_true(stats(&w).checksum_errors >= 1);
	check(&w);
	assert_int_equal(pg_space_discard(w.s[0], at(1), PG_PAGE_SIZE), 0);
	assert_int_equal(get(w.s[0], 1), 0);
	end(&w);
}

/* A page that cannot be written stays; others go in its place. */
static void failed_write_keeps_the_page(void **state)
{
	struct world w;

	begin(&w, "fault:eio-out@1:8M", NULL);
	put(w.s[0], 0, 50);
	put(w.s[0], 1, 51);
	assert_false(evict(&w, w.s[0], 0));
	assert_int_equal(stats(&w).write_errors, 1);
	assert_true(evict(&w, w.s[0], 1));
	assert_int_equal(get(w.s[0], 0), 50);
	assert_int_equal(get(w.s[0], 1), 51);
	end(&w);
}

/* Swap full: memory and slots hold so many pages, then a fault finds no frame; what there is stays right. */
static void full_store_ends_in_out_of_memory(void **state)
{
	struct world w;
	unsigned n = 0;

	begin(&w, "128K", NULL);
	while (n < PAGES && put(w.s[0], n, n + 7))
		n++;
	assert_in_range(n, 240, 256 + 32);
	assert_true(stats(&w).swap_full > 0);
	n -= 8; /* room to move pages about */
	assert_int_equal(pg_space_discard(w.s[0], at(n), 8 * PG_PAGE_SIZE), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(get(w.s[0], i), i + 7);
	/* Freed slots are used again. */
	assert_int_equal(pg_space_discard(w.s[0], at(0), 100 * PG_PAGE_SIZE), 0);
	for (unsigned i = 0; i < 80; i++)
		assert_true(put(w.s[0], i, i + 9));
	for (unsigned i = 100; i < n; i++)
		assert_int_equal(get(w.s[0], i), i + 7);
	end(&w);
}

/*
 * Reading a sparse stretch makes nothing but page tables that lead to the page of zeros, here five times as many nodes as there are
 * frames. They go; what was read last stays, since one instruction may read two such pages. R8, R11.
 */
static void page_tables_of_zeros_are_given_back(void **state)
{
	const uint64_t far = (uint64_t)1 << 30, step = far / 5 & ~(uint64_t)PG_PAGE_MASK;
	struct world w;

	for (unsigned swap = 0; swap < 2; swap++) {
		pg_va a = {far};
		uint64_t faults, v;

		begin(&w, swap ? "8M" : NULL, NULL);
		assert_int_equal(pg_space_map(w.s[0], &a, 300 * far, PG_READ | PG_WRITE, 7,
					 PG_MAP_FIXED, NULL, 0, NULL),
			0);
		put(w.s[0], 5, 77);
		for (unsigned i = 0; i < 1300; i++) {
			v = 1;
			assert_int_equal(
				pg_space_read(w.s[0], &v, (pg_va){far + i * step}, 8, 0), 8);
			assert_int_equal(v, 0);
		}
		faults = w.s[0]->st.faults[PG_FAULT_ZERO_READ];
		assert_int_equal(faults, 1300);
		for (unsigned i = 1299; i > 1299 - PG_RECENT; i--)
			assert_int_equal(
				pg_space_read(w.s[0], &v, (pg_va){far + i * step}, 8, 0), 8);
		assert_int_equal(w.s[0]->st.faults[PG_FAULT_ZERO_READ], faults);
		assert_int_equal(get(w.s[0], 5), 77);
		end(&w);
	}
}

/* mm/swap_state.c: pages written together are read together; those asked for later count as used. */
static void swap_read_ahead_brings_neighbours(void **state)
{
	struct world w;

	begin(&w, "8M", NULL);
	for (unsigned i = 0; i < 64; i++)
		put(w.s[0], i, i + 1);
	assert_int_equal(pg_reclaim_swap_out_space(w.r, w.s[0]), 64);
	assert_int_equal(stats(&w).swap_out_clusters, 2);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(get(w.s[0], i), i + 1);
	assert_true(stats(&w).swap_in_clusters <= 64 / 4);
	assert_int_equal(stats(&w).swap_ahead_used, stats(&w).swap_ahead);
	assert_int_equal(stats(&w).refaults, 64);
	end(&w);
}

/* mm/oom_kill.c, oom_badness(): resident and swapped pages and tables, and oom_score_adj. */
static int adj_of(void *ctx, struct pg_space *s)
{
	const struct world *w = ctx;

	return s == w->s[0] ? -1000 : s == w->s[1] ? 0 : 900;
}

static void oom_victim_is_the_largest_but_for_its_adjustment(void **state)
{
	struct world w;
	int64_t points;

	begin(&w, "8M", NULL);
	map(space(&w), 0);
	map(space(&w), 0);
	for (unsigned i = 0; i < 60; i++)
		put(w.s[1], i, i);
	for (unsigned i = 0; i < 90; i++)
		put(w.s[0], i, i);
	put(w.s[2], 0, 1);
	pg_reclaim_swap_out_space(w.r, w.s[0]);
	assert_ptr_equal(pg_reclaim_oom_victim(w.r, NULL, NULL, &points), w.s[0]);
	assert_in_range(points, 90, 100);
	/* (256 + 2048) / 1000 * 900 points more than its one page */
	assert_ptr_equal(pg_reclaim_oom_victim(w.r, adj_of, &w, &points), w.s[2]);
	end(&w);
}

/* What want of memory cost is told by process, and adds up to the machine's: nothing happens but by a fault. */
static void costs_by_process_add_up(void **state)
{
	struct pg_space_stats a, b;
	struct pg_reclaim_stats m;
	struct world w;

	begin(&w, "8M", NULL);
	map(space(&w), PG_MAP_SHARED);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned k = 0; k < 2; k++) {
			for (unsigned i = 0; i < 150; i++)
				put(w.s[k], i, i);
		}
	}
	pg_space_stats(w.s[0], &a);
	pg_space_stats(w.s[1], &b);
	m = stats(&w);
	assert_true(a.refaults > 0 && b.refaults > 0 && a.swap_out > 0 && b.swap_out > 0);
	assert_int_equal(a.refaults + b.refaults, m.refaults);
	assert_int_equal(m.refaults, m.swap_in); /* all that is read was evicted */
	assert_int_equal(a.swap_in + b.swap_in, m.swap_in);
	assert_int_equal(a.swap_out + b.swap_out, m.swap_out);
	assert_int_equal(a.scanned + b.scanned, m.scanned);
	assert_int_equal(a.reclaimed + b.reclaimed, m.reclaimed);
	assert_int_equal(a.swap_ahead + b.swap_ahead, m.swap_ahead);
	assert_int_equal(a.swap_ahead_used + b.swap_ahead_used, m.swap_ahead_used);
	assert_int_equal(a.swap_ahead_wasted + b.swap_ahead_wasted, m.swap_ahead_wasted);
	assert_int_equal(a.stall_ns + b.stall_ns, m.some_ns); /* one thread: no two wait at once */
	assert_int_equal(m.full_ns, m.some_ns);
	end(&w);
}

/* Two processes in turn touch more than fits: one is swapped out whole and the user is told. */
static void thrashing_swaps_a_process_out(void **state)
{
	struct world w;

	begin(&w, "8M", "fifo");
	map(space(&w), 0);
	for (unsigned round = 0; round < 40 && !w.told; round++) {
		for (unsigned k = 0; k < 2; k++) {
			for (unsigned i = 0; i < 160; i++)
				put(w.s[k], i, i);
		}
	}
	assert_true(w.told > 0);
	assert_non_null(w.out);
	assert_true(w.out_pages > 0);
	assert_int_equal(stats(&w).thrashing, 1);
	for (unsigned i = 0; i < 160; i++)
		assert_int_equal(get(w.s[0], i), i);
	end(&w);
}

/* Who waited least often goes, be it the one that faults; the last one that runs is left alone. */
static void thrashing_takes_turns_and_leaves_one(void **state)
{
	unsigned round, chosen = 3;
	struct world w;

	begin(&w, "8M", "fifo");
	w.r->hooks.pauses = on_pauses;
	map(space(&w), 0);
	map(space(&w), 0);
	w.pauses[0] = 2;
	w.pauses[1] = 1;
	w.pauses[2] = 2;
	for (round = 0; round < 40 && !w.out; round++) {
		for (unsigned i = 0; i < 480; i++)
			put(w.s[i % 3], i / 3, i);
	}
	assert_ptr_equal(w.out, w.s[1]);
	w.out = NULL;
	w.pauses[1] = UINT_MAX;
	for (round = 0; round < 40 && !w.out; round++) {
		for (unsigned i = 0; i < 640; i++)
			put(w.s[i % 2 * 2], i / 2, i);
	}
	for (unsigned i = 0; i < 3; i++)
		chosen = w.out == w.s[i] ? i : chosen;
	assert_true(chosen == 0 || chosen == 2);
	w.pauses[chosen] = UINT_MAX;
	w.out = NULL;
	for (round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 320; i++)
			put(w.s[2 - chosen], i, i);
	}
	assert_true(stats(&w).is_thrashing);
	assert_null(w.out);
	end(&w);
}

/* Without a store private pages stay and memory ends. */
static void no_store_keeps_private_pages(void **state)
{
	struct world w;
	unsigned n = 0;

	begin(&w, NULL, NULL);
	while (n < PAGES && put(w.s[0], n, n))
		n++;
	assert_in_range(n, 200, 256);
	assert_false(evict(&w, w.s[0], 0));
	end(&w);
}

/* Free frames are made ahead of need: no fault waits while the store takes pages. */
static void reclaim_ahead_keeps_frames_free(void **state)
{
	struct world w;

	begin(&w, "8M", NULL);
	for (unsigned i = 0; i < PAGES; i++) {
		put(w.s[0], i, i);
		assert_true(pg_frames_free_count(pg_vm_frames(w.vm)) >= stats(&w).min_frames - 1);
	}
	assert_true(stats(&w).runs_ahead > 0);
	assert_int_equal(stats(&w).runs_direct, 0);
	end(&w);
}

/* madvise(MADV_FREE): such a page goes first, without a write, and reads as zero. */
static void lazily_freed_page_goes_without_write(void **state)
{
	struct world w;

	begin(&w, "8M", NULL);
	put(w.s[0], 0, 5);
	put(w.s[0], 1, 6);
	assert_true(evict(&w, w.s[0], 1));
	assert_int_equal(get(w.s[0], 1), 6); /* in a frame and in a slot */
	assert_int_equal(pg_space_advise(w.s[0], at(0), 2 * PG_PAGE_SIZE, PG_ADVISE_FREE), 0);
	assert_int_equal(pg_reclaim_free_frames(w.r, 2), 2);
	assert_int_equal(stats(&w).lazy_dropped, 2);
	assert_int_equal(stats(&w).swap_out, 1);
	assert_int_equal(get(w.s[0], 0), 0);
	assert_int_equal(get(w.s[0], 1), 0);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_smaller_than_data_keeps_every_byte),
		cmocka_unit_test(clean_copy_is_dropped_without_writing),
		cmocka_unit_test(page_written_after_swap_in_comes_back_new),
		cmocka_unit_test(slot_is_released_when_page_is_rewritten),
		cmocka_unit_test(slot_shared_by_fork_is_freed_by_the_last),
		cmocka_unit_test(shared_memory_goes_out_and_comes_back),
		cmocka_unit_test(locked_pages_stay),
		cmocka_unit_test(unlocked_pages_return_without_a_search),
		cmocka_unit_test(memory_full_of_locked_pages_ends_soon),
		cmocka_unit_test(pinned_page_stays),
		cmocka_unit_test(corrupted_page_is_refused_to_its_owner_only),
		cmocka_unit_test(failed_write_keeps_the_page),
		cmocka_unit_test(full_store_ends_in_out_of_memory),
		cmocka_unit_test(page_tables_of_zeros_are_given_back),
		cmocka_unit_test(swap_read_ahead_brings_neighbours),
		cmocka_unit_test(oom_victim_is_the_largest_but_for_its_adjustment),
		cmocka_unit_test(costs_by_process_add_up),
		cmocka_unit_test(thrashing_swaps_a_process_out),
		cmocka_unit_test(thrashing_takes_turns_and_leaves_one),
		cmocka_unit_test(no_store_keeps_private_pages),
		cmocka_unit_test(reclaim_ahead_keeps_frames_free),
		cmocka_unit_test(lazily_freed_page_goes_without_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
