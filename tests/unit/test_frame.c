/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_frame.c: frame/frame.h beside a plain array of owners. Invariants F1 to F6.
 */
#include "base/random.h"
#include "frame/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)

static struct pg_frames *make(uint64_t bytes)
{
	struct pg_frames *fs = NULL;

	assert_int_equal(pg_frames_create(bytes, &fs), 0);
	assert_null(pg_frames_check(fs));
	return fs;
}

static void create_size_out_of_rule_is_refused(void **state)
{
	struct pg_frames *fs;

	assert_int_equal(pg_frames_create(0, &fs), -EINVAL);
	assert_int_equal(pg_frames_create(MIB - 65536, &fs), -EINVAL);
	assert_int_equal(pg_frames_create(MIB + 4096, &fs), -EINVAL);
	assert_int_equal(pg_frames_create((uint64_t)1 << 44, &fs), -EINVAL);
}

/* F1: any multiple of 64 KiB is covered, as the fewest aligned blocks. */
static void create_odd_size_is_covered_by_blocks(void **state)
{
	for (uint64_t n = 16; n < 80; n++) {
		struct pg_frames *fs = make(n * 65536);
		struct pg_frames_stats st;
		uint64_t sum = 0, blocks = 0;

		pg_frames_stats(fs, &st);
		for (unsigned k = 0; k < PG_FRAME_ORDERS; k++) {
			sum += st.free_blocks[k] << k;
			blocks += st.free_blocks[k];
		}
		assert_int_equal(sum, n * 16);
		assert_int_equal(blocks, __builtin_popcountll(n * 16));
		assert_int_equal(st.total, n * 16);
		assert_int_equal(st.by_state[PG_FRAME_FREE], n * 16);
		pg_frames_destroy(fs);
	}
}

static void create_16_gib_takes_largest_blocks(void **state)
{
	struct pg_frames *fs = NULL;
	struct pg_frames_stats st;
	pg_pfn f;

	assert_int_equal(pg_frames_create(16 * 1024 * MIB, &fs), 0);
	pg_frames_stats(fs, &st);
	assert_int_equal(st.free_blocks[PG_FRAME_ORDERS - 1], 8);
	assert_int_equal(pg_frames_alloc(fs, 0, PG_FRAME_ANON, NULL, &f), 0);
	assert_int_equal(f.v, 0);
	memset(pg_frames_bytes(fs, (pg_pfn){4 * 1024 * 1024 - 1}), 7, PG_PAGE_SIZE);
	pg_frames_free(fs, f);
	pg_frames_stats(fs, &st);
	assert_int_equal(st.free_blocks[PG_FRAME_ORDERS - 1], 8);
	pg_frames_destroy(fs);
}

/* What the engine's fast mode counts on: neighbours, block by block, the smallest block first. */
static void alloc_fresh_machine_ascends(void **state)
{
	struct pg_frames *fs = make(3 * MIB);
	pg_pfn f;

	for (uint32_t i = 0; i < 768; i++) {
		assert_int_equal(pg_frames_alloc(fs, 0, PG_FRAME_ANON, NULL, &f), 0);
		assert_int_equal(f.v, i < 256 ? 512 + i : i - 256);
	}
	assert_int_equal(pg_frames_alloc(fs, 0, PG_FRAME_ANON, NULL, &f), -ENOMEM);
	assert_int_equal(pg_frames_alloc(fs, PG_FRAME_ORDERS, PG_FRAME_ANON, NULL, &f), -ENOMEM);
	pg_frames_destroy(fs);
}

static void free_all_merges_to_the_first_blocks(void **state)
{
	struct pg_frames *fs = make(3 * MIB);
	struct pg_frames_stats before, after;
	struct pg_random r;
	pg_pfn f[768];

	pg_random_seed(&r, 5);
	pg_frames_stats(fs, &before);
	for (unsigned i = 0; i < 768; i++)
		assert_int_equal(pg_frames_alloc(fs, 0, PG_FRAME_CACHE, &r, &f[i]), 0);
	for (unsigned left = 768; left > 0; left--) {
		unsigned i = (unsigned)pg_random_below(&r, left);

		pg_frames_free(fs, f[i]);
		f[i] = f[left - 1];
		assert_null(pg_frames_check(fs));
	}
	pg_frames_stats(fs, &after);
	assert_int_equal(after.used_peak, 768);
	after.used_peak = before.used_peak;
	assert_memory_equal(&before, &after, sizeof(before));
	pg_frames_destroy(fs);
}

struct block {
	pg_pfn first;
	unsigned order;
	enum pg_frame_state state;
};

/* Random blocks beside an array that says who has each frame; F1 to F5 after each step. */
static void alloc_free_random_agree_with_model(void **state)
{
	enum { FRAMES = 464, STEPS = 30000 }; /* 29 x 64 KiB: no power of two */
	struct pg_frames *fs = make((uint64_t)FRAMES << PG_PAGE_SHIFT);
	static uint32_t owner[FRAMES]; /* 0: free, else the number of the block */
	static struct block b[FRAMES];
	struct pg_frames_stats st;
	struct pg_random r;
	uint32_t n = 0, serial = 0, refused = 0;

	memset(owner, 0, sizeof(owner));
	pg_random_seed(&r, 42);
	for (int step = 0; step < STEPS; step++) {
		bool grow = pg_random_below(&r, 100) < ((step / 3000) % 2 ? 35 : 65);

		if (grow) {
			unsigned order =
				(unsigned)pg_random_below(&r, 8) & (unsigned)pg_random_next(&r);
			enum pg_frame_state s =
				1 + (unsigned)pg_random_below(&r, PG_FRAME_STATES - 1);
			pg_pfn f;
			int err = pg_frames_alloc(fs, order, s, &b[n], &f);

			if (err) {
				/* Only if the model sees no aligned run either. */
				assert_int_equal(err, -ENOMEM);
				for (uint32_t i = 0; i + (1u << order) <= FRAMES;
					i += 1u << order) {
					uint32_t used = 0;

					for (uint32_t j = 0; j < 1u << order; j++)
						used |= owner[i + j];
					assert_true(used);
				}
				refused++;
			} else {
				serial++;
				assert_int_equal(f.v & ((1u << order) - 1), 0);
				assert_true(f.v + (1u << order) <= FRAMES);
				for (uint32_t j = 0; j < 1u << order; j++) {
					assert_int_equal(owner[f.v + j], 0);
					owner[f.v + j] = serial;
					assert_int_equal(
						pg_frames_row(fs, (pg_pfn){f.v + j})->state, s);
				}
				/* Bytes are the block's own. */
				*(uint32_t *)pg_frames_bytes(fs, f) = serial;
				b[n++] = (struct block){f, order, s};
			}
		} else if (n) {
			uint32_t i = (uint32_t)pg_random_below(&r, n);

			assert_int_equal(
				*(uint32_t *)pg_frames_bytes(fs, b[i].first), owner[b[i].first.v]);
			for (uint32_t j = 0; j < 1u << b[i].order; j++)
				owner[b[i].first.v + j] = 0;
			pg_frames_free(fs, b[i].first);
			b[i] = b[--n];
		}
		assert_null(pg_frames_check(fs));
	}
	assert_true(refused > 100);
	pg_frames_stats(fs, &st);
	for (unsigned s = 1; s < PG_FRAME_STATES; s++) {
		uint64_t sum = 0;

		for (uint32_t i = 0; i < n; i++)
			sum += b[i].state == s ? 1u << b[i].order : 0;
		assert_int_equal(st.by_state[s], sum);
	}
	while (n)
		pg_frames_free(fs, b[--n].first);
	assert_int_equal(pg_frames_free_count(fs), FRAMES);
	assert_null(pg_frames_check(fs));
	pg_frames_destroy(fs);
}

static void of_host_inverts_bytes(void **state)
{
	struct pg_frames *fs = make(MIB);
	char *base = pg_frames_bytes(fs, (pg_pfn){0});

	assert_int_equal(pg_frames_of_host(fs, base).v, 0);
	assert_int_equal(pg_frames_of_host(fs, base + MIB - 1).v, 255);
	assert_true(pg_pfn_is_none(pg_frames_of_host(fs, base + MIB)));
	assert_true(pg_pfn_is_none(pg_frames_of_host(fs, base - 1)));
	assert_ptr_equal(pg_frames_bytes(fs, (pg_pfn){3}), base + 3 * PG_PAGE_SIZE);
	pg_frames_destroy(fs);
}

/* F6: a frame with many mappings, removed in another order. */
static void rmap_many_mappings_are_kept(void **state)
{
	enum { N = 500 };
	struct pg_frames *fs = make(MIB);
	struct pg_random r;
	uint64_t vpn[N];
	int spaces[3];
	pg_pfn f;
	unsigned n;

	pg_random_seed(&r, 9);
	assert_int_equal(pg_frames_alloc(fs, 0, PG_FRAME_CACHE, NULL, &f), 0);
	for (unsigned i = 0; i < N; i++) {
		vpn[i] = i / 3;
		assert_int_equal(pg_frames_rmap_add(fs, f, &spaces[i % 3], (pg_vpn){vpn[i]}), 0);
		pg_frames_row(fs, f)->map_count++;
	}
	assert_null(pg_frames_check(fs));
	for (unsigned left = N; left > 0; left--) {
		const struct pg_rmap *m = pg_frames_row(fs, f)->rmap;

		for (unsigned skip = (unsigned)pg_random_below(&r, left); skip; skip--)
			m = m->next;
		pg_frames_rmap_remove(fs, f, m->space, m->vpn);
		pg_frames_row(fs, f)->map_count--;
		n = 0;
		for (m = pg_frames_row(fs, f)->rmap; m; m = m->next)
			n++;
		assert_int_equal(n, left - 1);
	}
	assert_null(pg_frames_check(fs));
	pg_frames_free(fs, f);
	pg_frames_destroy(fs);
}

static void check_broken_is_found(void **state)
{
	struct pg_frames *fs = make(MIB);
	struct pg_frame *row;
	pg_pfn f;

	assert_int_equal(pg_frames_alloc(fs, 2, PG_FRAME_ANON, NULL, &f), 0);
	row = pg_frames_row(fs, f);
	row[3].state = PG_FRAME_CACHE;
	assert_string_equal(pg_frames_check(fs), "F1: two states in one block");
	row[3].state = PG_FRAME_ANON;
	row[4].state = PG_FRAME_ANON; /* the free block behind */
	assert_string_equal(pg_frames_check(fs), "F2: a block on the wrong free list");
	row[4].state = PG_FRAME_FREE;
	row[5].owner = fs;
	assert_string_equal(pg_frames_check(fs), "F5: a free frame is in use");
	row[5].owner = NULL;
	assert_int_equal(pg_frames_rmap_add(fs, f, fs, (pg_vpn){1}), 0);
	assert_string_equal(pg_frames_check(fs), "F6: more reverse mappings than map_count");
	row->map_count = 1;
	assert_null(pg_frames_check(fs));
	for (unsigned i = 0; i < 4; i++)
		row[i].state = PG_FRAME_WIRED;
	assert_string_equal(pg_frames_check(fs), "F4: the count of a state");
	pg_frames_destroy(fs);
}

/* Host failures, one call at a time: --wrap in meson.build routes these through the tests. */
static int fail_in = -1; /* -1: never; n: the n-th call from now fails */

static bool fails_now(void)
{
	return fail_in >= 0 && fail_in-- == 0;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_mmap64(void *a, size_t n, int prot, int flags, int fd, int64_t off);
void *__wrap_mmap64(void *a, size_t n, int prot, int flags, int fd, int64_t off);
int __real_ftruncate64(int fd, int64_t n);
int __wrap_ftruncate64(int fd, int64_t n);
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);

void *__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_mmap64(void *a, size_t n, int prot, int flags, int fd, int64_t off)
{
	if (fails_now()) {
		errno = ENOMEM;
		return (void *)-1;
	}
	return __real_mmap64(a, n, prot, flags, fd, off);
}

int __wrap_ftruncate64(int fd, int64_t n)
{
	if (fails_now()) {
		errno = ENOSPC;
		return -1;
	}
	return __real_ftruncate64(fd, n);
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
	if (fails_now()) {
		errno = EMFILE;
		return -1;
	}
	return __real_memfd_create(name, flags);
}

static void create_host_failure_is_reported(void **state)
{
	/* In the order of the calls: struct, memfd, its size, bytes, rows. */
	const int want[] = {-ENOMEM, -EMFILE, -ENOSPC, -ENOMEM, -ENOMEM, 0};
	struct pg_frames *fs = NULL;

	for (int i = 0; i < 6; i++) {
		fail_in = i;
		assert_int_equal(pg_frames_create(MIB, &fs), want[i]);
		fail_in = -1;
	}
	pg_frames_destroy(fs);
}

static void rmap_add_host_failure_changes_nothing(void **state)
{
	struct pg_frames *fs = make(MIB);
	pg_pfn f;

	assert_int_equal(pg_frames_alloc(fs, 0, PG_FRAME_CACHE, NULL, &f), 0);
	fail_in = 0;
	assert_int_equal(pg_frames_rmap_add(fs, f, fs, (pg_vpn){1}), -ENOMEM);
	fail_in = -1;
	assert_null(pg_frames_row(fs, f)->rmap);
	assert_null(pg_frames_check(fs));
	pg_frames_destroy(fs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_size_out_of_rule_is_refused),
		cmocka_unit_test(create_odd_size_is_covered_by_blocks),
		cmocka_unit_test(create_16_gib_takes_largest_blocks),
		cmocka_unit_test(create_host_failure_is_reported),
		cmocka_unit_test(alloc_fresh_machine_ascends),
		cmocka_unit_test(alloc_free_random_agree_with_model),
		cmocka_unit_test(free_all_merges_to_the_first_blocks),
		cmocka_unit_test(of_host_inverts_bytes),
		cmocka_unit_test(rmap_many_mappings_are_kept),
		cmocka_unit_test(rmap_add_host_failure_changes_nothing),
		cmocka_unit_test(check_broken_is_found),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
