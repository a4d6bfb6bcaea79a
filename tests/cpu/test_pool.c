/* SPDX-License-Identifier: MIT */
/*
 * tests/cpu/test_pool.c: what an engine takes of the host and gives back: CPUs that are used again, windows of fast mode that change
 * hands, the limit of mappings. Called by the check.
 */
#include "side.h"

#include <stdio.h>

static const uint8_t read_pages[] = READ_PAGES;

/* A destroyed CPU is used again: its figures and state are those of a new one, the totals keep what was. */
static void pool_gives_new_cpus_and_leaks_none(void **state)
{
	struct world w;
	struct side s;
	world_begin(&w, (enum mode)(uintptr_t)*state);
	struct pg_cpu_stats zero = {0};
	side_make(&w, &s, true);
	side_run(&w, &s, 500);
	struct pg_cpu_stats one = stats_of(&w, s.cpu);
	uint64_t sum = one.instructions, walks = one.mmu.walks;
	for (unsigned i = 0; i < 200; i++) {
		w.ops->regs(s.cpu)->x->bytes[160] = 0xaa;
		w.ops->regs(s.cpu)->fs_base = 0x1234000;
		w.ops->cpu_destroy(s.cpu);
		s.cpu = make_cpu(&w, s.space);
		struct pg_cpu_regs *r = w.ops->regs(s.cpu);
		assert_int_equal(r->x->bytes[160], 0);
		assert_int_equal(r->fs_base, 0);
		assert_int_equal(r->rflags, 0x202);
		assert_int_equal(r->gpr[PG_RAX], 0);
		struct pg_cpu_stats st = stats_of(&w, s.cpu);
		zero.blocks_translated = st.blocks_translated;
		zero.code_bytes = st.code_bytes;
		zero.guest_bytes_translated = st.guest_bytes_translated;
		zero.translations_dropped = st.translations_dropped;
		zero.has_tlb = st.has_tlb;
		assert_memory_equal(&st, &zero, sizeof(st));
		side_run(&w, &s, 1 + i % 3);
		st = stats_of(&w, s.cpu);
		sum += st.instructions;
		walks += st.mmu.walks;
	}
	struct pg_cpu_stats all = totals_of(&w);
	assert_int_equal(all.instructions, sum);
	assert_int_equal(all.mmu.walks, walks);
	/* Two at once and one after the other: no more mappings of the host are used than the first time. */
	side_end(&w, &s);
	world_end(&w);
}

/* What a CPU's jump table holds of its life before does not slow it down for good. */
static void reused_cpu_finds_its_own_way(void **state)
{
	struct world w;
	struct side s;
	world_begin(&w, (enum mode)(uintptr_t)*state);
	if (w.mode == MODE_FAST) { /* nothing is counted there */
		world_end(&w);
		return;
	}
	for (unsigned i = 0; i < 6; i++) {
		side_make(&w, &s, i % 2);
		side_run(&w, &s, 1000);
		struct pg_cpu_stats st = stats_of(&w, s.cpu);
		assert_in_range(st.fetch_runs, 3000, UINT64_MAX);
		assert_in_range(st.mmu.slow_lookups[1], 1, 60);
		side_end(&w, &s);
	}
	world_end(&w);
}

static unsigned host_mappings(void)
{
	unsigned n = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	assert_non_null(f);
	for (int ch; (ch = fgetc(f)) != EOF;)
		n += ch == '\n';
	fclose(f);
	return n;
}

static void thousands_of_cpus_use_the_same_memory(void **state)
{
	struct world w;
	world_begin(&w, (enum mode)(uintptr_t)*state);
	struct pg_space *s = make_space(&w, RX);
	unsigned before = 0;
	for (unsigned i = 0; i < 3000; i++) {
		struct pg_cpu *a = make_cpu(&w, s), *b = make_cpu(&w, s);
		w.ops->cpu_destroy(a);
		w.ops->cpu_destroy(b);
		if (i == 10)
			before = host_mappings();
	}
	assert_int_equal(host_mappings(), before);
	pg_space_destroy(s);
	world_end(&w);
}

/* --- windows of fast mode ---------------------------------------------------------------------- */

/* More spaces than the host has room for windows: they change hands. window.c invariant 1. */
static void more_spaces_than_windows_all_run(void **state)
{
	struct world w;
	enum { MANY = 70 };
	struct side s[MANY];
	world_begin(&w, MODE_FAST);
	for (unsigned i = 0; i < MANY; i++)
		side_make(&w, &s[i], i % 3 == 0);
	for (unsigned k = 0; k < 3; k++) {
		for (unsigned i = 0; i < MANY; i++)
			side_run(&w, &s[i * 29 % MANY], 1 + k);
	}
	for (unsigned i = 0; i < MANY; i++)
		side_end(&w, &s[i]);
	/* Those that went are free again. */
	for (unsigned i = 0; i < MANY; i++) {
		side_make(&w, &s[0], i % 2);
		side_run(&w, &s[0], 2);
		side_end(&w, &s[0]);
	}
	world_end(&w);
}

/* The host's limit of mappings, 65530 by default, is for all windows: they start again, and every read is right. */
static void come_to_the_limit_of_mappings(unsigned n, uint64_t pages)
{
	const uint64_t at = 1ull << 33;
	struct world w;
	struct pg_space *s[3];
	struct pg_cpu *c[3];
	struct pg_space_stats st;
	world_begin(&w, MODE_FAST);
	for (unsigned i = 0; i < n; i++) {
		s[i] = make_space(&w, RX);
		put(s[i], w.code, read_pages, sizeof(read_pages), RX);
		map_at(s[i], at, pages * PAGE, RW, 0, NULL);
		uint64_t one = 1, two = 2 + i;
		assert_int_equal(pg_space_write(s[i], (pg_va){at + 5 * PAGE}, &one, 8, 0), 8);
		assert_int_equal(
			pg_space_write(s[i], (pg_va){at + (pages - 1) * PAGE}, &two, 8, 0), 8);
		c[i] = make_cpu(&w, s[i]);
	}
	for (unsigned k = 0; k < 5; k++) {
		unsigned i = k % n;
		struct pg_cpu_regs *r = w.ops->regs(c[i]);
		r->gpr[PG_RAX] = 0;
		r->gpr[PG_RBX] = at;
		r->gpr[PG_RDI] = pages;
		assert_int_equal(run_from(&w, c[i], w.code), 3 + i);
	}
	for (unsigned i = 0; i < n; i++) {
		/* Each page faulted once, whatever was mapped how often. */
		pg_space_stats(s[i], &st);
		assert_int_equal(st.minor, pages + 1);
		w.ops->cpu_destroy(c[i]);
		pg_space_destroy(s[i]);
	}
	world_end(&w);
}

static void windows_share_the_limit_of_mappings(void **state)
{
	come_to_the_limit_of_mappings(3, 40000);
}

/* The window at host address 0. */
static void one_window_comes_to_the_limit_of_mappings(void **state)
{
	come_to_the_limit_of_mappings(1, 80000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_ALL(pool_gives_new_cpus_and_leaks_none),
		IN_ALL(reused_cpu_finds_its_own_way),
		IN_ALL(thousands_of_cpus_use_the_same_memory),
		cmocka_unit_test(more_spaces_than_windows_all_run),
		cmocka_unit_test(windows_share_the_limit_of_mappings),
		cmocka_unit_test(one_window_comes_to_the_limit_of_mappings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
