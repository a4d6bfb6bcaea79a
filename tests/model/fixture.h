/* SPDX-License-Identifier: MIT */
/*
 * tests/model/fixture.h: a small machine for tests that look at one thing at a time. Header only.
 */
#ifndef PG_TESTS_FIXTURE_H
#define PG_TESTS_FIXTURE_H

#include "space/impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PAGE 4096ull
#define LO 0x10000ull
#define HI 0x7ffffffff000ull
#define TOP 0x7ffff7fff000ull
#define RW (PG_READ | PG_WRITE)

struct machine {
	struct pg_vm *vm;
	struct pg_space *s;
	struct pg_fault_event last; /* the fault that the hook saw last */
	unsigned faults;
	unsigned code_written;
	pg_pfn code_frame;
};

static inline void fixture_fault(void *ctx, const struct pg_fault_event *e)
{
	struct machine *m = ctx;

	m->last = *e;
	m->faults++;
}

static inline void fixture_code(void *ctx, pg_pfn f)
{
	struct machine *m = ctx;

	m->code_written++;
	m->code_frame = f;
}

static inline struct pg_space_config fixture_layout(void)
{
	return (struct pg_space_config){.lo = {LO},
		.hi = {HI},
		.mmap_top = {TOP},
		.stack_limit_bytes = 64 * PAGE,
		.stack_gap_bytes = 16 * PAGE};
}

static inline void machine_begin_with(
	struct machine *m, uint64_t bytes, const struct pg_geometry *g, struct pg_space_config l)
{
	struct pg_vm_config c = {.memory_bytes = bytes,
		.form = &pg_table_radix,
		.geometry = *g,
		.hooks = {m, fixture_fault, fixture_code}};

	memset(m, 0, sizeof *m);
	assert_int_equal(pg_vm_create(&c, &m->vm), 0);
	assert_int_equal(pg_space_create(m->vm, &l, &m->s), 0);
}

static inline void machine_begin(struct machine *m)
{
	machine_begin_with(m, 1 << 20, &pg_geometry_x86_64, fixture_layout());
}

/* Ends it; every frame but the zero page must have come back. */
static inline void machine_end(struct machine *m)
{
	if (m->s)
		pg_space_destroy(m->s);
	assert_int_equal(pg_frames_free_count(pg_vm_frames(m->vm)),
		pg_frames_total(pg_vm_frames(m->vm)) - 1);
	pg_vm_destroy(m->vm);
}

static inline void check(struct pg_space *s)
{
	const char *bad = pg_space_check(s);

	if (bad)
		fail_msg("%s", bad);
}

/* A private anonymous mapping of n pages. */
static inline pg_va map_anon(struct pg_space *s, uint64_t n, pg_prot prot)
{
	pg_va a = {0};

	assert_int_equal(pg_space_map(s, &a, n * PAGE, prot, 7, 0, NULL, 0, NULL), 0);
	return a;
}

static inline pg_va map_object(
	struct pg_space *s, struct pg_object *o, uint64_t n, pg_prot prot, unsigned flags)
{
	pg_va a = {0};

	assert_int_equal(pg_space_map(s, &a, n * PAGE, prot, 7, flags, o, 0, NULL), 0);
	return a;
}

static inline void put(struct pg_space *s, uint64_t a, uint8_t value)
{
	assert_int_equal(pg_space_write(s, (pg_va){a}, &value, 1, 0), 1);
}

static inline uint8_t get(struct pg_space *s, uint64_t a)
{
	uint8_t value = 0;

	assert_int_equal(pg_space_read(s, &value, (pg_va){a}, 1, 0), 1);
	return value;
}

static inline pg_pfn frame_at(struct pg_space *s, uint64_t a)
{
	return pg_space_resident(s, (pg_va){a}, NULL);
}

#endif
