/* SPDX-License-Identifier: MIT */
/*
 * tests/cpu/test_cpus.c: many CPUs in many address spaces on one engine: other code at one address, the same code in several
 * spaces, stores into code that others run, fork, figures of each CPU, interruption from another thread, and the pool.
 *
 * Each case runs in exact mode, in exact mode with counters in memory (as on a host without AVX-512VL) and in fast mode.
 * What is expected is computed here, or is what the same program did as the only one on a machine of its own.
 */
#include "world.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

extern const uint8_t guest_page0[], guest_page1_flags[], guest_page1_none[];

#define FUNCTION 0x100 /* of page 1 */
#define FILE_PAGES 60
#define LONG_OFF 0x400000ull /* from the code */
#define LONG_PAGES 128
#define LONG_OPS 2040 /* instructions of two bytes in a page */
#define LONG_SUM ((uint32_t)3 * LONG_PAGES * LONG_OPS)

/* What `rounds` of guest.S give, the word being *word before. */
static uint64_t model(bool flags, uint64_t *word, uint64_t rounds)
{
	uint64_t rax = 0;
	for (uint64_t i = 0; i < rounds; i++) {
		++*word;
		rax += flags ? (*word & 255) < 100 : 7;
		rax += flags ? 2 : 5;
	}
	return rax;
}

struct side {
	struct pg_space *space;
	struct pg_cpu *cpu;
	bool flags;
	uint64_t word;
};

static void side_make(struct world *w, struct side *s, bool flags)
{
	memset(s, 0, sizeof(*s));
	s->space = make_space(w, RX);
	s->flags = flags;
	put(s->space, w->code, guest_page0, PAGE, RX);
	put(s->space, w->code + PAGE, flags ? guest_page1_flags : guest_page1_none, PAGE, RX);
	s->cpu = make_cpu(w, s->space);
}

static void side_end(struct world *w, struct side *s)
{
	w->ops->cpu_destroy(s->cpu);
	pg_space_destroy(s->space);
}

static void side_run(struct world *w, struct side *s, uint64_t rounds)
{
	struct pg_cpu_regs *r = w->ops->regs(s->cpu);
	r->gpr[PG_RDI] = rounds;
	r->gpr[PG_RBX] = w->data;
	r->gpr[PG_R8] = w->code + PAGE + FUNCTION;
	uint64_t is = run_from(w, s->cpu, w->code), should = model(s->flags, &s->word, rounds);
	assert_int_equal(is, should);
}

static struct pg_cpu_stats stats_of(struct world *w, struct pg_cpu *c)
{
	struct pg_cpu_stats st;
	w->ops->stats(c, &st);
	return st;
}

static struct pg_cpu_stats totals_of(struct world *w)
{
	struct pg_cpu_stats st;
	w->ops->totals(w->engine, &st);
	return st;
}

/* What a program does is counted alike whatever else runs on the engine; slow lookups are how the engine got there. */
static void same_counts(const struct pg_cpu_stats *a, const struct pg_cpu_stats *b)
{
	struct pg_mmu_stats x = a->mmu, y = b->mmu;
	assert_int_equal(a->instructions, b->instructions);
	assert_int_equal(a->loads, b->loads);
	assert_int_equal(a->stores, b->stores);
	assert_int_equal(a->fetch_runs, b->fetch_runs);
	assert_int_equal(a->page_crossings, b->page_crossings);
	assert_int_equal(a->data_lookups, b->data_lookups);
	assert_int_equal(a->fetch_lookups, b->fetch_lookups);
	memset(x.slow_lookups, 0, sizeof(x.slow_lookups));
	memset(y.slow_lookups, 0, sizeof(y.slow_lookups));
	assert_memory_equal(&x, &y, sizeof(x));
}

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

/* add rax, [rbx]; add rbx, 4096; dec rdi; jnz; syscall */
static const uint8_t read_pages[] = {0x48, 0x03, 0x03, 0x48, 0x81, 0xc3, 0, 0x10, 0, 0, 0x48, 0xff,
	0xcf, 0x75, 0xf1, 0x0f, 0x05};

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
static void windows_share_the_limit_of_mappings(void **state)
{
	const uint64_t pages = 40000, at = 1ull << 33;
	struct world w;
	struct pg_space *s[3];
	struct pg_cpu *c[3];
	struct pg_space_stats st;
	world_begin(&w, MODE_FAST);
	for (unsigned i = 0; i < 3; i++) {
		s[i] = make_space(&w, RX);
		put(s[i], w.code, read_pages, sizeof(read_pages), RX);
		map_at(s[i], at, pages * PAGE, RW, 0, NULL);
		uint64_t one = 1, two = 2 + i;
		assert_int_equal(pg_space_write(s[i], (pg_va){at + 5 * PAGE}, &one, 8, 0), 8);
		assert_int_equal(pg_space_write(s[i], (pg_va){at + 39999 * PAGE}, &two, 8, 0), 8);
		c[i] = make_cpu(&w, s[i]);
	}
	for (unsigned k = 0; k < 5; k++) {
		unsigned i = k % 3;
		struct pg_cpu_regs *r = w.ops->regs(c[i]);
		r->gpr[PG_RAX] = 0;
		r->gpr[PG_RBX] = at;
		r->gpr[PG_RDI] = pages;
		assert_int_equal(run_from(&w, c[i], w.code), 3 + i);
	}
	for (unsigned i = 0; i < 3; i++) {
		/* Each page faulted once, whatever was mapped how often. */
		pg_space_stats(s[i], &st);
		assert_int_equal(st.minor, pages + 1);
		w.ops->cpu_destroy(c[i]);
		pg_space_destroy(s[i]);
	}
	world_end(&w);
}

/* --- host threads ------------------------------------------------------------------------------ */

struct crowd {
	struct world w;
	pthread_mutex_t lock; /* the machine lock */
	struct pg_cpu *endless;
	volatile int stop;
	unsigned interrupted;
};

struct member {
	struct crowd *crowd;
	struct side side;
	pthread_t thread;
	unsigned turns;
};

/* Runs turn by turn, each with a slice of another length, until its rounds are done. */
static void *member_run(void *arg)
{
	struct member *m = arg;
	struct crowd *k = m->crowd;
	struct world *w = &k->w;
	for (unsigned i = 0; i < m->turns; i++) {
		uint64_t rounds = 1 + i * 37 % 900;
		pthread_mutex_lock(&k->lock);
		struct pg_cpu_regs *r = w->ops->regs(m->side.cpu);
		struct pg_exit_info info;
		r->gpr[PG_RDI] = rounds;
		r->gpr[PG_RBX] = w->data;
		r->gpr[PG_R8] = w->code + PAGE + FUNCTION;
		r->rip = w->code;
		enum pg_exit why;
		while ((why = w->ops->run(m->side.cpu, 0, &info)) == PG_EXIT_INTERRUPTED) {
			k->interrupted++;
			pthread_mutex_unlock(&k->lock);
			pthread_mutex_lock(&k->lock);
		}
		uint64_t should = model(m->side.flags, &m->side.word, rounds);
		if (why != PG_EXIT_SYSCALL || r->gpr[PG_RAX] != should)
			m->turns = 0; /* seen by the test */
		pthread_mutex_unlock(&k->lock);
	}
	return NULL;
}

static void host_threads_take_turns_and_are_interrupted(void **state)
{
	struct crowd k = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct member m[3];
	world_begin(&k.w, (enum mode)(uintptr_t)*state);
	for (unsigned i = 0; i < 3; i++) {
		side_make(&k.w, &m[i].side, i != 1);
		m[i].crowd = &k;
		m[i].turns = 150;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&m[i].thread, NULL, member_run, &m[i]), 0);
	for (unsigned i = 0; i < 300; i++) {
		const struct timespec t = {0, 20000 + i % 7 * 9000};
		nanosleep(&t, NULL);
		k.w.ops->interrupt(m[i % 3].side.cpu);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(m[i].thread, NULL);
		assert_int_equal(m[i].turns, 150);
	}
	struct pg_cpu_stats all = totals_of(&k.w), sum = {0};
	for (unsigned i = 0; i < 3; i++) {
		sum.instructions += stats_of(&k.w, m[i].side.cpu).instructions;
		side_end(&k.w, &m[i].side);
	}
	assert_int_equal(all.instructions, sum.instructions);
	world_end(&k.w);
}

/* --- waiting for pages, and the code cache full ------------------------------------------------- */

/* The machine lock is given away while a page is read: others run, on the same window in fast mode. */
struct slow_file {
	pthread_mutex_t *lock;
	unsigned reads;
};

static int slow_read(void *ctx, uint64_t index, void *buf)
{
	struct slow_file *f = ctx;
	const struct timespec t = {0, 1000 + f->reads++ * 7919 % 40000};
	uint64_t *words = buf;
	pthread_mutex_unlock(f->lock);
	nanosleep(&t, NULL);
	memset(buf, 0, PAGE);
	words[0] = index * index + 1;
	pthread_mutex_lock(f->lock);
	return 0;
}

static uint64_t slow_size(void *ctx)
{
	return FILE_PAGES * PAGE;
}

static const struct pg_pager slow_pager = {.name = "slow", .read = slow_read, .size = slow_size};

struct reader {
	struct crowd *crowd;
	struct pg_cpu *cpu;
	struct pg_object *object;
	struct slow_file file;
	pthread_t thread;
	uint64_t at, sum;
	bool steps;
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;
	struct crowd *k = r->crowd;
	struct pg_exit_info info;
	enum pg_exit why;
	pthread_mutex_lock(&k->lock);
	struct pg_cpu_regs *regs = k->w.ops->regs(r->cpu);
	regs->gpr[PG_RAX] = 0;
	regs->gpr[PG_RBX] = r->at;
	regs->gpr[PG_RDI] = FILE_PAGES;
	regs->rip = k->w.code;
	do {
		why = k->w.ops->run(r->cpu, r->steps ? 3 : 0, &info);
		pthread_mutex_unlock(&k->lock);
		pthread_mutex_lock(&k->lock);
	} while (why == PG_EXIT_BUDGET || why == PG_EXIT_INTERRUPTED);
	r->sum = why == PG_EXIT_SYSCALL ? regs->gpr[PG_RAX] : 0;
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

/* LONG_PAGES pages of `op` eax to the word at rbx, then a system call: more than a small code cache holds. */
static void put_long(struct world *w, struct pg_space *s, uint8_t op)
{
	uint8_t page[PAGE];
	map_at(s, w->code + LONG_OFF, LONG_PAGES * PAGE, RX, 0, NULL);
	for (unsigned i = 0; i < LONG_PAGES; i++) {
		for (unsigned k = 0; k < LONG_OPS; k++) {
			page[2 * k] = op;
			page[2 * k + 1] = 0x03;
		}
		memset(page + 2 * LONG_OPS, 0x90, PAGE - 2 * LONG_OPS);
		if (i + 1 == LONG_PAGES) { /* jmp r9, to the last two bytes: syscall */
			memcpy(page + 2 * LONG_OPS, "\x41\xff\xe1", 3);
			memcpy(page + PAGE - 2, "\x0f\x05", 2);
		}
		put(s, w->code + LONG_OFF + i * PAGE, page, PAGE, RX);
	}
}

/* Runs it once; the word is then what it was and add. */
static bool run_long(struct world *w, struct pg_cpu *c, struct pg_space *s, pthread_mutex_t *lock,
	uint64_t word, uint32_t add)
{
	struct pg_cpu_regs *r = w->ops->regs(c);
	struct pg_exit_info info;
	uint32_t is, was;
	enum pg_exit why;
	if (pg_space_read(s, &was, (pg_va){word}, 4, 0) != 4)
		return false;
	r->gpr[PG_RAX] = 3;
	r->gpr[PG_RBX] = word;
	r->gpr[PG_R9] = w->code + LONG_OFF + LONG_PAGES * PAGE - 2;
	r->rip = w->code + LONG_OFF;
	while ((why = w->ops->run(c, 0, &info)) == PG_EXIT_INTERRUPTED && lock) {
		pthread_mutex_unlock(lock);
		sched_yield();
		pthread_mutex_lock(lock);
	}
	return why == PG_EXIT_SYSCALL && pg_space_read(s, &is, (pg_va){word}, 4, 0) == 4 &&
	       is == was + add;
}

/* code.c: the cache starts again when it is full, whoever fills it, and nobody notices. */
static void full_code_cache_starts_again(void **state)
{
	struct world w;
	struct pg_space *s[2];
	struct pg_cpu *c[2];
	uint64_t made[3];
	world_begin_with(&w, (enum mode)(uintptr_t)*state,
		(struct pg_engine_config){.code_bytes = 4u << 20});
	for (unsigned i = 0; i < 2; i++) {
		s[i] = make_space(&w, RX);
		put_long(&w, s[i], i ? 0x29 : 0x01);
		c[i] = make_cpu(&w, s[i]);
	}
	for (unsigned k = 0; k < 3; k++) {
		assert_true(run_long(&w, c[0], s[0], NULL, w.data, LONG_SUM));
		assert_true(run_long(&w, c[1], s[1], NULL, w.data, -LONG_SUM));
		world_check(&w);
		made[k] = totals_of(&w).blocks_translated;
	}
	assert_true(made[2] > made[1] && made[1] > made[0]); /* it was full each time */
	if (w.mode != MODE_FAST)
		assert_int_equal(stats_of(&w, c[0]).stores, 3ull * LONG_PAGES * LONG_OPS);
	for (unsigned i = 0; i < 2; i++) {
		w.ops->cpu_destroy(c[i]);
		pg_space_destroy(s[i]);
	}
	world_end(&w);
}

struct filler {
	struct crowd *crowd;
	struct pg_space *space;
	struct pg_cpu *cpu;
	pthread_t thread;
	bool ok;
};

static void *filler_run(void *arg)
{
	struct filler *f = arg;
	struct crowd *k = f->crowd;
	for (unsigned i = 0; i < 2 && f->ok; i++) {
		pthread_mutex_lock(&k->lock);
		f->ok = run_long(&k->w, f->cpu, f->space, &k->lock, k->w.data, LONG_SUM);
		pthread_mutex_unlock(&k->lock);
	}
	return NULL;
}

static void others_run_while_one_waits_for_a_page(void **state)
{
	enum { READERS = 5 };
	struct crowd k = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct reader r[READERS];
	uint64_t should = 0;
	bool existed;
	/* Three in one space, two in another. */
	world_begin_with(&k.w, (enum mode)(uintptr_t)*state,
		(struct pg_engine_config){.code_bytes = 4u << 20});
	struct pg_space *s[2] = {make_space(&k.w, RX), make_space(&k.w, RX)};
	for (unsigned i = 0; i < 2; i++)
		put(s[i], k.w.code, read_pages, sizeof(read_pages), RX);
	/* And one that fills the code cache again and again, which may not start again while they stand in it. */
	struct filler f = {.crowd = &k, .space = s[0], .cpu = make_cpu(&k.w, s[0]), .ok = true};
	put_long(&k.w, s[0], 0x01);
	for (uint64_t i = 0; i < FILE_PAGES; i++)
		should += i * i + 1;
	for (unsigned i = 0; i < READERS; i++) {
		r[i] = (struct reader){.crowd = &k,
			.cpu = make_cpu(&k.w, s[i / 3]),
			.file = {&k.lock, i},
			.at = (1ull << 33) + i * FILE_PAGES * PAGE,
			.steps = i % 2};
		assert_int_equal(pg_object_open(k.w.vm, (struct pg_object_key){1, 1 + i}, "slow",
					 &slow_pager, &r[i].file, 0, &r[i].object, &existed),
			0);
		map_at(s[i / 3], r[i].at, FILE_PAGES * PAGE, PG_READ, PG_MAP_SHARED, r[i].object);
	}
	assert_int_equal(pthread_create(&f.thread, NULL, filler_run, &f), 0);
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&r[i].thread, NULL, reader_run, &r[i]), 0);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		assert_int_equal(r[i].sum, should);
	}
	pthread_join(f.thread, NULL);
	assert_true(f.ok);
	k.w.ops->cpu_destroy(f.cpu);
	world_check(&k.w);
	struct pg_cpu_stats one = stats_of(&k.w, r[0].cpu);
	for (unsigned i = 0; i < READERS; i++) {
		struct pg_cpu_stats st = stats_of(&k.w, r[i].cpu);
		assert_int_equal(st.instructions, one.instructions);
		assert_int_equal(st.loads, one.loads);
		k.w.ops->cpu_destroy(r[i].cpu);
		pg_object_unref(r[i].object);
	}
	pg_space_destroy(s[0]);
	pg_space_destroy(s[1]);
	world_end(&k.w);
}

/* A loop that nothing else ends: each request is seen, whenever it comes. */
static void *interrupt_it(void *arg)
{
	struct crowd *k = arg;
	unsigned seen = 0, spin = 1;
	while (!k->stop) {
		for (volatile unsigned i = 0; i < spin; i++)
			;
		spin = spin * 5 % 4099;
		k->w.ops->interrupt(k->endless);
		while (!k->stop && __atomic_load_n(&k->interrupted, __ATOMIC_ACQUIRE) == seen)
			sched_yield();
		seen = __atomic_load_n(&k->interrupted, __ATOMIC_ACQUIRE);
	}
	return NULL;
}

static void endless_loop_is_interrupted_each_time(void **state)
{
	/* inc rax; jmp -5. And over two pages: jmp to the next page and back. */
	static const uint8_t tight[] = {0x48, 0xff, 0xc0, 0xeb, 0xfb};
	static const uint8_t there[] = {0xe9, 0xfb, 0x0f, 0, 0},
			     back[] = {0xe9, 0xfb, 0xef, 0xff, 0xff};
	struct crowd k = {0};
	struct pg_exit_info info;
	pthread_t t;
	world_begin(&k.w, (enum mode)(uintptr_t)*state);
	struct pg_space *s = make_space(&k.w, RX);
	put(s, k.w.code + 0x100, tight, sizeof(tight), RX);
	put(s, k.w.code, there, sizeof(there), RX);
	put(s, k.w.code + PAGE, back, sizeof(back), RX);
	struct pg_cpu *c = make_cpu(&k.w, s);
	k.endless = c;
	assert_int_equal(pthread_create(&t, NULL, interrupt_it, &k), 0);
	for (unsigned i = 0; i < 600; i++) {
		struct pg_cpu_regs *r = k.w.ops->regs(c);
		r->rip = k.w.code + (i % 2 ? 0x100 : 0);
		assert_int_equal(k.w.ops->run(c, 0, &info), PG_EXIT_INTERRUPTED);
		__atomic_store_n(&k.interrupted, i + 1, __ATOMIC_RELEASE);
	}
	k.stop = 1;
	pthread_join(t, NULL);
	k.w.ops->cpu_destroy(c);
	pg_space_destroy(s);
	world_end(&k.w);
}

/* The request comes while the engine looks for the block that it is about to run: from the hook of the page fault. */
static struct {
	struct world *w;
	struct pg_cpu *c;
	unsigned faults;
} on_fault;

static void interrupt_on_fault(void *ctx, const struct pg_fault_event *e)
{
	on_fault.faults++;
	on_fault.w->ops->interrupt(on_fault.c);
}

static void request_during_a_fetch_fault_is_seen(void **state)
{
	static const uint8_t tight[] = {0x48, 0xff, 0xc0, 0xeb, 0xfb};
	struct world w;
	struct pg_object *o;
	struct pg_exit_info info;
	bool existed;
	world_begin(&w, (enum mode)(uintptr_t)*state);
	const struct pg_vm_hooks hooks = {.ctx = &w, .fault = interrupt_on_fault};
	assert_int_equal(pg_object_open(w.vm, (struct pg_object_key){0}, "loop", NULL, NULL, PAGE,
				 &o, &existed),
		0);
	struct pg_space *s = make_space(&w, RX);
	uint64_t at = w.code + 0x40000;
	map_at(s, at, PAGE, RWX, PG_MAP_SHARED, o);
	assert_int_equal(pg_space_write(s, (pg_va){at}, tight, sizeof(tight), 0), sizeof(tight));
	struct pg_cpu *c = make_cpu(&w, s);
	on_fault.w = &w;
	on_fault.c = c;
	on_fault.faults = 0;
	pg_vm_set_hooks(w.vm, &hooks);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(pg_space_discard(s, (pg_va){at}, PAGE), 0);
		w.ops->regs(c)->rip = at;
		assert_int_equal(w.ops->run(c, 0, &info), PG_EXIT_INTERRUPTED);
		assert_int_equal(on_fault.faults, i + 1);
	}
	w.ops->cpu_destroy(c);
	pg_space_destroy(s);
	pg_object_unref(o);
	world_end(&w);
}

/* --- watched addresses ------------------------------------------------------------------------------------ */

#define ROUNDS 1000
#define BEFORE 300 /* rounds before anything is watched */

struct watched {
	struct world w;
	struct side side;
	uint64_t call, back; /* the function, and where it returns to */
	unsigned calls, backs;
	uint64_t sp;
	bool rewatch; /* the return address is watched when the function is reached, not before */
	bool good;
};

static void on_reached(void *ctx, const struct pg_cpu_regs *r)
{
	struct watched *x = ctx;
	uint64_t top = 0;

	if (r->rip == x->call) {
		x->good &= pg_space_peek(x->side.space, &top, (pg_va){r->gpr[PG_RSP]}, 8) == 8;
		x->good &= top == x->back && r->gpr[PG_RDI] == ROUNDS - x->calls;
		x->sp = r->gpr[PG_RSP];
		x->calls++;
		if (x->rewatch)
			assert_int_equal(x->w.ops->watch(x->w.engine, x->back), 0);
	} else if (r->rip == x->back) {
		x->backs++;
		x->good &= r->gpr[PG_RSP] == x->sp + 8 && x->backs == x->calls;
		x->good &= (r->gpr[PG_RCX] & 0xff) == 2;
	} else {
		x->good = false;
	}
}

/* BEFORE rounds, then ROUNDS; watched in the latter, or not. Figures of all. */
static struct pg_cpu_stats run_watched(struct watched *x, enum mode mode, bool watch, bool rewatch)
{
	static const uint8_t call[] = {0x41, 0xff, 0xd0}; /* call *%r8 */
	struct pg_engine_config ec = {.reached = on_reached, .reached_ctx = x};
	const uint8_t *at = memmem(guest_page0, PAGE, call, sizeof(call));

	memset(x, 0, sizeof(*x));
	world_begin_with(&x->w, mode, ec);
	side_make(&x->w, &x->side, true);
	x->call = x->w.code + PAGE + FUNCTION;
	x->back = x->w.code + (uint64_t)(at - guest_page0) + sizeof(call);
	x->rewatch = rewatch;
	x->good = true;
	side_run(&x->w, &x->side, BEFORE);
	if (watch) {
		assert_int_equal(x->w.ops->watch(x->w.engine, x->call), 0);
		if (!rewatch)
			assert_int_equal(x->w.ops->watch(x->w.engine, x->back), 0);
	}
	side_run(&x->w, &x->side, ROUNDS);
	struct pg_cpu_stats st = stats_of(&x->w, x->side.cpu);
	side_end(&x->w, &x->side);
	world_end(&x->w);
	return st;
}

/* cpu/watch.c, invariant 1: every arrival is told of, with the precise state, and nothing but translations is counted differently. */
static void watched_addresses_are_told_of_and_figures_stay(void **state)
{
	enum mode mode = (enum mode)(uintptr_t)*state;
	struct watched x;
	struct pg_cpu_stats plain = run_watched(&x, mode, false, false);
	assert_int_equal(x.calls + x.backs, 0);
	for (int rewatch = 0; rewatch < 2; rewatch++) {
		struct pg_cpu_stats st = run_watched(&x, mode, true, rewatch);
		assert_int_equal(x.calls, ROUNDS);
		assert_int_equal(x.backs, ROUNDS);
		assert_true(x.good);
		same_counts(&st, &plain);
	}
}

#define IN_MODE(f, m)                                                                              \
	{                                                                                          \
#f " " #m, f, NULL, NULL, (void *)(uintptr_t)(m)                                   \
	}
#define IN_ALL(f) IN_MODE(f, MODE_EXACT), IN_MODE(f, MODE_COUNTERS), IN_MODE(f, MODE_FAST)

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
		IN_ALL(pool_gives_new_cpus_and_leaks_none),
		IN_ALL(reused_cpu_finds_its_own_way),
		IN_ALL(thousands_of_cpus_use_the_same_memory),
		IN_ALL(watched_addresses_are_told_of_and_figures_stay),
		cmocka_unit_test(more_spaces_than_windows_all_run),
		cmocka_unit_test(windows_share_the_limit_of_mappings),
		IN_ALL(host_threads_take_turns_and_are_interrupted),
		IN_ALL(full_code_cache_starts_again),
		IN_ALL(others_run_while_one_waits_for_a_page),
		IN_ALL(endless_loop_is_interrupted_each_time),
		IN_ALL(request_during_a_fetch_fault_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
