/* SPDX-License-Identifier: MIT */
/*
 * tests/cpu/world.h: a machine with an engine and no programs: spaces and CPUs are made by the test. Header only.
 */
#ifndef PG_TESTS_CPU_WORLD_H
#define PG_TESTS_CPU_WORLD_H

#include "cpu/engine.h"
#include "space/impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE 4096ull
#define CODE 0x555555554000ull /* in fast mode moved below the top, see code_at() */
#define CODE_FAST 0x5555554000ull
#define DATA_OFF 0x100000ull
#define STACK_OFF 0x200000ull
#define RW (PG_READ | PG_WRITE)
#define RX (PG_READ | PG_EXEC)
#define RWX (PG_READ | PG_WRITE | PG_EXEC)

enum mode { MODE_EXACT, MODE_COUNTERS, MODE_FAST, MODES };

struct world {
	enum mode mode;
	const struct pg_engine_ops *ops;
	struct pg_vm *vm;
	struct pg_engine *engine;
	uint64_t code, data, stack; /* addresses that the tests use */
};

static inline void hook_code_written(void *ctx, pg_pfn f)
{
	struct world *w = ctx;
	if (w->engine)
		w->ops->code_written(w->engine, f);
}

static inline void world_begin_with(struct world *w, enum mode mode, struct pg_engine_config ec)
{
	struct pg_vm_config vc = {.memory_bytes = 16u << 20,
		.form = &pg_table_radix,
		.geometry = pg_geometry_x86_64,
		.hooks = {.ctx = w, .code_written = hook_code_written}};
	const char *why = "";
	memset(w, 0, sizeof(*w));
	w->mode = mode;
	w->ops = &pg_engine_translator;
	assert_int_equal(pg_vm_create(&vc, &w->vm), 0);
	ec.vm = w->vm;
	ec.mmu = pg_mmu_config_default;
	ec.fast = mode == MODE_FAST;
	ec.memory_counters = mode == MODE_COUNTERS;
	if (w->ops->create(&ec, &w->engine, &why) != 0)
		fail_msg("%s", why);
	w->code = mode == MODE_FAST ? CODE_FAST : CODE;
	w->data = w->code + DATA_OFF;
	w->stack = w->code + STACK_OFF;
}

static inline void world_begin(struct world *w, enum mode mode)
{
	world_begin_with(w, mode, (struct pg_engine_config){0});
}

static inline void world_check(struct world *w)
{
	const char *why = w->ops->check(w->engine);
	if (why)
		fail_msg("%s", why);
}

static inline void world_end(struct world *w)
{
	world_check(w);
	w->ops->destroy(w->engine);
	w->engine = NULL;
	pg_vm_destroy(w->vm);
}

static inline void map_at(struct pg_space *s, uint64_t a, uint64_t len, pg_prot prot,
	unsigned flags, struct pg_object *o)
{
	pg_va at = {a};
	assert_int_equal(pg_space_map(s, &at, len, prot, RWX, flags | PG_MAP_FIXED, o, 0, ""), 0);
}

/* Puts bytes where the guest may not write. */
static inline void put(struct pg_space *s, uint64_t a, const void *from, size_t n, pg_prot prot)
{
	uint64_t start = a & ~(PAGE - 1), len = (a - start + n + PAGE - 1) & ~(PAGE - 1);
	assert_int_equal(pg_space_protect(s, (pg_va){start}, len, RW), 0);
	assert_int_equal(pg_space_write(s, (pg_va){a}, from, n, 0), n);
	assert_int_equal(pg_space_protect(s, (pg_va){start}, len, prot), 0);
}

static inline struct pg_space *empty_space(struct world *w)
{
	struct pg_space_config c = {.lo = {0x10000},
		.hi = {w->ops->address_top(w->engine)},
		.mmap_top = {w->code + (1ull << 30)},
		.stack_limit_bytes = 64 * PAGE,
		.stack_gap_bytes = 16 * PAGE};
	struct pg_space *s;
	assert_int_equal(pg_space_create(w->vm, &c, &s), 0);
	return s;
}

/* A space with two pages of code (prot), four of data and four of stack. */
static inline struct pg_space *make_space(struct world *w, pg_prot code_prot)
{
	struct pg_space *s = empty_space(w);
	map_at(s, w->code, 2 * PAGE, code_prot, 0, NULL);
	map_at(s, w->data, 4 * PAGE, RW, 0, NULL);
	map_at(s, w->stack, 4 * PAGE, RW, 0, NULL);
	return s;
}

static inline struct pg_cpu *make_cpu(struct world *w, struct pg_space *s)
{
	struct pg_cpu *c = NULL;
	assert_int_equal(w->ops->cpu_create(w->engine, s, &c), 0);
	w->ops->regs(c)->gpr[PG_RSP] = w->stack + 4 * PAGE - 64;
	return c;
}

/* Runs from rip to the next system call; rax. */
static inline uint64_t run_from(struct world *w, struct pg_cpu *c, uint64_t rip)
{
	struct pg_exit_info info;
	struct pg_cpu_regs *r = w->ops->regs(c);
	r->rip = rip;
	enum pg_exit why = w->ops->run(c, 0, &info);
	if (why != PG_EXIT_SYSCALL)
		fail_msg("exit %d at 0x%lx, fault at 0x%lx", why, (unsigned long)r->rip,
			(unsigned long)info.fault_va.v);
	return r->gpr[PG_RAX];
}

#endif
