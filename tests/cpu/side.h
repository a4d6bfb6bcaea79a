/* SPDX-License-Identifier: MIT */
/*
 * tests/cpu/side.h: a space and a CPU that run guest.S, and what that must give. Header only; included by the tests of this folder.
 *
 * What is expected is computed by model(), or is what the same program did as the only one on a machine of its own.
 */
#ifndef PG_TESTS_CPU_SIDE_H
#define PG_TESTS_CPU_SIDE_H

#include "world.h"

extern const uint8_t guest_page0[], guest_page1_flags[], guest_page1_none[];

#define FUNCTION 0x100 /* of page 1 */

/* What `rounds` of guest.S give, the word being *word before. */
static inline uint64_t model(bool flags, uint64_t *word, uint64_t rounds)
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

static inline void side_make(struct world *w, struct side *s, bool flags)
{
	memset(s, 0, sizeof(*s));
	s->space = make_space(w, RX);
	s->flags = flags;
	put(s->space, w->code, guest_page0, PAGE, RX);
	put(s->space, w->code + PAGE, flags ? guest_page1_flags : guest_page1_none, PAGE, RX);
	s->cpu = make_cpu(w, s->space);
}

static inline void side_end(struct world *w, struct side *s)
{
	w->ops->cpu_destroy(s->cpu);
	pg_space_destroy(s->space);
}

static inline void side_run(struct world *w, struct side *s, uint64_t rounds)
{
	struct pg_cpu_regs *r = w->ops->regs(s->cpu);
	r->gpr[PG_RDI] = rounds;
	r->gpr[PG_RBX] = w->data;
	r->gpr[PG_R8] = w->code + PAGE + FUNCTION;
	uint64_t is = run_from(w, s->cpu, w->code), should = model(s->flags, &s->word, rounds);
	assert_int_equal(is, should);
}

static inline struct pg_cpu_stats stats_of(struct world *w, struct pg_cpu *c)
{
	struct pg_cpu_stats st;
	w->ops->stats(c, &st);
	return st;
}

static inline struct pg_cpu_stats totals_of(struct world *w)
{
	struct pg_cpu_stats st;
	w->ops->totals(w->engine, &st);
	return st;
}

/* What a program does is counted alike whatever else runs on the engine; slow lookups are how the engine got there. */
static inline void same_counts(const struct pg_cpu_stats *a, const struct pg_cpu_stats *b)
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

/* add rax, [rbx]; add rbx, 4096; dec rdi; jnz; syscall: the first words of rdi pages from rbx on are added up */
#define READ_PAGES                                                                                 \
	{                                                                                          \
		0x48, 0x03, 0x03, 0x48, 0x81, 0xc3, 0, 0x10, 0, 0, 0x48, 0xff, 0xcf, 0x75, 0xf1,   \
			0x0f, 0x05                                                                 \
	}

/* A case for each mode: exact, exact with counters in memory (as on a host without AVX-512VL), fast; the mode is *state. */
#define IN_MODE(f, m)                                                                              \
	{                                                                                          \
#f " " #m, f, NULL, NULL, (void *)(uintptr_t)(m)                                   \
	}
#define IN_ALL(f) IN_MODE(f, MODE_EXACT), IN_MODE(f, MODE_COUNTERS), IN_MODE(f, MODE_FAST)

#endif
