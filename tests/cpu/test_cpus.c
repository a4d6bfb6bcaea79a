/* SPDX-License-Identifier: MIT */
/*
 * tests/cpu/test_cpus.c: many CPUs in many address spaces on one engine: other code at one address, the same code in several
 * spaces, stores into code that others run, fork, pages that are mapped anew, figures of each CPU. Called by the check.
 */
#include "side.h"

static const unsigned turns[] = {1, 3, 40, 1, 250, 7, 600, 2, 99, 1, 130};
#define TURNS (sizeof(turns) / sizeof(turns[0]))

/* The counts of one side's turns on a machine of its own. */
static struct pg_cpu_stats alone(enum mode mode, bool flags)
{
	struct world w;
	struct side s;
	struct pg_cpu_stats st;
	world_begin(&w, mode);
	side_make(&w, &s, flags);
	for (unsigned i = 0; i < TURNS; i++)
		side_run(&w, &s, turns[i]);
	st = stats_of(&w, s.cpu);
	side_end(&w, &s);
	world_end(&w);
	return st;
}

/* Flags live across a jump to a page that has other code in the other space. R10; cpu.h invariant 5. */
static void other_code_at_one_address_each_runs_its_own(void **state)
{
	enum mode mode = (enum mode)(uintptr_t)*state;
	for (int first = 0; first < 2; first++) {
		struct world w;
		struct side s[2];
		world_begin(&w, mode);
		side_make(&w, &s[0], first == 0);
		side_make(&w, &s[1], first != 0);
		for (unsigned i = 0; i < TURNS; i++) {
			side_run(&w, &s[0], turns[i]);
			side_run(&w, &s[1], turns[i]);
			world_check(&w);
		}
		struct pg_cpu_stats a = stats_of(&w, s[0].cpu), b = stats_of(&w, s[1].cpu),
				    all = totals_of(&w);
		struct pg_cpu_stats a1 = alone(mode, first == 0), b1 = alone(mode, first != 0);
		same_counts(&a, &a1);
		same_counts(&b, &b1);
		assert_int_equal(all.instructions, a.instructions + b.instructions);
		assert_int_equal(all.mmu.walks, a.mmu.walks + b.mmu.walks);
		if (mode != MODE_FAST) /* adc .. jmp 4, ret 2, round 6, back 4; or 3 and 4 */
			assert_true(a.instructions > 10000);
		side_end(&w, &s[1]);
		side_end(&w, &s[0]);
		world_end(&w);
	}
}

/* pages.c: several contents of one page number live side by side. */
static void other_code_at_one_address_nothing_is_translated_twice(void **state)
{
	struct world w;
	struct side s[3];
	world_begin(&w, (enum mode)(uintptr_t)*state);
	for (unsigned i = 0; i < 3; i++)
		side_make(&w, &s[i], i != 1);
	for (unsigned i = 0; i < 3; i++) {
		side_run(&w, &s[i], 300);
		side_run(&w, &s[i], 300);
	}
	struct pg_cpu_stats before = totals_of(&w);
	for (unsigned k = 0; k < 300; k++)
		side_run(&w, &s[k % 3], 1 + k % 5);
	struct pg_cpu_stats after = totals_of(&w);
	assert_int_equal(after.blocks_translated, before.blocks_translated);
	assert_int_equal(after.translations_dropped, 0);
	for (unsigned i = 0; i < 3; i++)
		side_end(&w, &s[i]);
	world_end(&w);
}

/* The same bytes at the same address, in frames of their own: one translation for both. */
static void same_code_in_two_spaces_is_translated_once(void **state)
{
	struct world w;
	struct side s[2];
	world_begin(&w, (enum mode)(uintptr_t)*state);
	side_make(&w, &s[0], true);
	side_make(&w, &s[1], true);
	side_run(&w, &s[0], 400);
	struct pg_cpu_stats before = totals_of(&w);
	for (unsigned k = 0; k < 50; k++) {
		side_run(&w, &s[1], 3);
		side_run(&w, &s[0], 2);
	}
	struct pg_cpu_stats after = totals_of(&w);
	assert_int_equal(after.blocks_translated, before.blocks_translated);
	side_end(&w, &s[0]);
	side_run(&w, &s[1], 100);
	side_end(&w, &s[1]);
	world_end(&w);
}

/* mov eax, imm32; syscall */
static void constant(uint8_t code[7], uint32_t value)
{
	code[0] = 0xb8;
	memcpy(code + 1, &value, 4);
	code[5] = 0x0f;
	code[6] = 0x05;
}

/* mov dword [rdi], esi; jmp r9: a store, perhaps into code, then to r9 */
static const uint8_t store_then_go[] = {0x89, 0x37, 0x41, 0xff, 0xe1};

static uint64_t store_and_run(
	struct world *w, struct pg_cpu *c, uint64_t at, uint32_t value, uint64_t target)
{
	struct pg_cpu_regs *r = w->ops->regs(c);
	r->gpr[PG_RDI] = at;
	r->gpr[PG_RSI] = value;
	r->gpr[PG_R9] = target;
	return run_from(w, c, w->code + PAGE);
}

/* A store by one space into a page that another runs, at another address too. QUIRKS: code is what the frame holds. */
static void store_into_shared_code_is_seen_by_all(void **state)
{
	struct world w;
	struct pg_object *o;
	struct pg_space *s[2];
	struct pg_cpu *c[2];
	uint8_t code[7];
	bool existed;
	world_begin(&w, (enum mode)(uintptr_t)*state);
	assert_int_equal(pg_object_open(w.vm, (struct pg_object_key){0}, "shared", NULL, NULL, PAGE,
				 &o, &existed),
		0);
	uint64_t at[2] = {w.code + 0x40000, w.code + 0x50000};
	for (unsigned i = 0; i < 2; i++) {
		s[i] = make_space(&w, RX);
		put(s[i], w.code + PAGE, store_then_go, sizeof(store_then_go), RX);
		map_at(s[i], at[i], PAGE, RWX, PG_MAP_SHARED, o);
		c[i] = make_cpu(&w, s[i]);
	}
	constant(code, 1);
	assert_int_equal(pg_space_write(s[0], (pg_va){at[0] + 0x80}, code, 7, 0), 7);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(run_from(&w, c[i], at[i] + 0x80), 1);
		assert_int_equal(run_from(&w, c[i], at[i] + 0x80), 1);
	}
	for (uint32_t k = 2; k < 60; k++) {
		unsigned by = k / 3 % 2;
		assert_int_equal(store_and_run(&w, c[by], at[by] + 0x81, k, at[by] + 0x80), k);
		assert_int_equal(run_from(&w, c[!by], at[!by] + 0x80), k);
		world_check(&w);
	}
	/* Beside the code: nothing is dropped. */
	struct pg_cpu_stats before = totals_of(&w);
	assert_int_equal(store_and_run(&w, c[0], at[0] + 0xf00, 7, at[0] + 0x80), 59);
	assert_int_equal(run_from(&w, c[1], at[1] + 0x80), 59);
	struct pg_cpu_stats after = totals_of(&w);
	if (w.mode != MODE_FAST)
		assert_int_equal(after.translations_dropped, before.translations_dropped);
	assert_true(before.translations_dropped >= 58);
	for (unsigned i = 0; i < 2; i++) {
		w.ops->cpu_destroy(c[i]);
		pg_space_destroy(s[i]);
	}
	pg_object_unref(o);
	world_end(&w);
}

/*
 * A page's code lies in a file's frame and in a private copy; a store changes the copy. A direct jump that was linked to the translation
 * comes to the new bytes, though that stays good for the file's frame. pages.c invariant 1.
 */
static void store_into_private_copy_is_seen_by_a_linked_jump(void **state)
{
	struct world w;
	struct pg_object *o;
	uint8_t code[7],
		store_then_jump[7] = {0x89, 0x37, 0xe9}; /* mov dword [rdi], esi; jmp rel32 */
	bool existed;
	world_begin(&w, (enum mode)(uintptr_t)*state);
	assert_int_equal(pg_object_open(w.vm, (struct pg_object_key){0}, "file", NULL, NULL, PAGE,
				 &o, &existed),
		0);
	uint64_t at = w.code + 0x40000, from = w.code + PAGE, mirror = w.code + 0x50000;
	struct pg_space *s = make_space(&w, RX);
	int32_t rel = (int32_t)(at + 0x80 - (from + sizeof(store_then_jump)));
	memcpy(store_then_jump + 3, &rel, 4);
	put(s, from, store_then_jump, sizeof(store_then_jump), RX);
	map_at(s, mirror, PAGE, RW, PG_MAP_SHARED, o);
	constant(code, 1);
	assert_int_equal(pg_space_write(s, (pg_va){mirror + 0x80}, code, 7, 0), 7);
	map_at(s, at, PAGE, RWX, 0, o);
	struct pg_cpu *c = make_cpu(&w, s);
	struct pg_cpu_regs *r = w.ops->regs(c);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(run_from(&w, c, from + 2), 1);
	r->gpr[PG_RDI] = at + 0xf00; /* beside the code: the page is copied */
	assert_int_equal(run_from(&w, c, from), 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(run_from(&w, c, from + 2), 1);
	r->gpr[PG_RDI] = at + 0x81;
	r->gpr[PG_RSI] = 2;
	assert_int_equal(run_from(&w, c, from), 2);
	assert_int_equal(run_from(&w, c, from + 2), 2);
	world_check(&w);
	w.ops->cpu_destroy(c);
	pg_space_destroy(s);
	pg_object_unref(o);
	world_end(&w);
}

/* Parent and child share frames until one writes, code included. */
static void fork_each_sees_its_own_stores(void **state)
{
	struct world w;
	uint8_t code[7];
	world_begin(&w, (enum mode)(uintptr_t)*state);
	struct pg_space *s[4];
	struct pg_cpu *c[4];
	uint32_t now[4], data[4];
	s[0] = make_space(&w, RWX);
	put(s[0], w.code + PAGE, store_then_go, sizeof(store_then_go), RWX);
	constant(code, 11);
	/* The code to be written and data lie in one page. */
	put(s[0], w.code + 0x80, code, 7, RWX);
	c[0] = make_cpu(&w, s[0]);
	assert_int_equal(run_from(&w, c[0], w.code + 0x80), 11);
	assert_int_equal(store_and_run(&w, c[0], w.code + 0x800, 1000, w.code + 0x80), 11);
	for (unsigned i = 1; i < 4; i++) {
		s[i] = empty_space(&w);
		assert_int_equal(pg_space_fork(s[i - 1], s[i]), 0);
		c[i] = make_cpu(&w, s[i]);
	}
	for (unsigned i = 0; i < 4; i++) {
		now[i] = 11;
		data[i] = 1000;
		assert_int_equal(run_from(&w, c[i], w.code + 0x80), 11);
	}
	for (uint32_t k = 0; k < 200; k++) {
		unsigned by = k * 7 % 4;
		if (k % 3 == 0)
			now[by] = 100 + k;
		else
			data[by] = 2000 + k;
		assert_int_equal(store_and_run(&w, c[by], w.code + (k % 3 ? 0x800 : 0x81),
					 k % 3 ? data[by] : now[by], w.code + 0x80),
			now[by]);
		for (unsigned i = 0; i < 4; i++) {
			uint32_t d;
			assert_int_equal(run_from(&w, c[i], w.code + 0x80), now[i]);
			assert_int_equal(pg_space_read(s[i], &d, (pg_va){w.code + 0x800}, 4, 0), 4);
			assert_int_equal(d, data[i]);
		}
		world_check(&w);
	}
	for (unsigned i = 0; i < 4; i++) {
		w.ops->cpu_destroy(c[i]);
		pg_space_destroy(s[i]);
	}
	world_end(&w);
}

/* Other bytes come to be used of a page that lies in two frames: only who has the same bytes shares the translation. */
static void copies_that_differ_where_nobody_looked_part(void **state)
{
	struct world w;
	uint8_t code[7];
	world_begin(&w, (enum mode)(uintptr_t)*state);
	struct pg_space *s[2];
	struct pg_cpu *c[2];
	for (unsigned i = 0; i < 2; i++) {
		s[i] = make_space(&w, RX);
		constant(code, 5);
		put(s[i], w.code, code, 7, RX);
		constant(code, 70 + i);
		put(s[i], w.code + 0x400, code, 7, RX);
		c[i] = make_cpu(&w, s[i]);
	}
	for (unsigned k = 0; k < 3; k++) {
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(run_from(&w, c[i], w.code), 5);
	}
	for (unsigned k = 0; k < 3; k++) {
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(run_from(&w, c[i], w.code + 0x400), 70 + i);
			assert_int_equal(run_from(&w, c[i], w.code), 5);
			world_check(&w);
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		w.ops->cpu_destroy(c[i]);
		pg_space_destroy(s[i]);
	}
	world_end(&w);
}

/* A space's code is replaced by a mapping, not a store; and a CPU moves on to another space, as exec does. */
static void remapped_and_switched_runs_what_is_there(void **state)
{
	struct world w;
	struct side s[2];
	world_begin(&w, (enum mode)(uintptr_t)*state);
	side_make(&w, &s[0], true);
	side_make(&w, &s[1], false);
	for (unsigned k = 0; k < 12; k++) {
		side_run(&w, &s[0], 50);
		side_run(&w, &s[1], 50);
		assert_int_equal(pg_space_unmap(s[0].space, (pg_va){w.code + PAGE}, PAGE), 0);
		map_at(s[0].space, w.code + PAGE, PAGE, RX, 0, NULL);
		s[0].flags = !s[0].flags;
		put(s[0].space, w.code + PAGE, s[0].flags ? guest_page1_flags : guest_page1_none,
			PAGE, RX);
		side_run(&w, &s[0], 20);
		if (k % 2) { /* the two CPUs change places */
			struct pg_cpu *c = s[0].cpu;
			w.ops->cpu_switch(s[0].cpu, s[1].space);
			w.ops->cpu_switch(s[1].cpu, s[0].space);
			s[0].cpu = s[1].cpu;
			s[1].cpu = c;
		}
	}
	side_end(&w, &s[0]);
	side_end(&w, &s[1]);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_ALL(other_code_at_one_address_each_runs_its_own),
		IN_ALL(other_code_at_one_address_nothing_is_translated_twice),
		IN_ALL(same_code_in_two_spaces_is_translated_once),
		IN_ALL(store_into_shared_code_is_seen_by_all),
		IN_ALL(store_into_private_copy_is_seen_by_a_linked_jump),
		IN_ALL(fork_each_sees_its_own_stores),
		IN_ALL(copies_that_differ_where_nobody_looked_part),
		IN_ALL(remapped_and_switched_runs_what_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
