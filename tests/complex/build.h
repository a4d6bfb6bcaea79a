/* SPDX-License-Identifier: MIT */
/*
 * tests/complex/build.h: what a case is built of: bytes of code, a memory operand, addresses, registers; and who builds them.
 *
 * Included by cases.c (the table) and cases_*.c (the makers), which follow src/cpu/complex_*.c.
 */
#ifndef TESTS_COMPLEX_BUILD_H
#define TESTS_COMPLEX_BUILD_H

#include "cases.h"

#define STATUS_FLAGS ((uint64_t)0x8d5)
#define DIRECTION ((uint64_t)0x400)

/* A memory operand being built: [base + index * scale + disp32], prefixes already chosen. */
struct operand {
	unsigned base, index; /* general registers; index 16: none */
	unsigned scale_bits;
	int32_t disp;
	bool narrow;      /* 67h */
	unsigned segment; /* 0, 0x64, 0x65 */
};

/* Random registers, no code yet. */
void begin(struct world *w, struct test_case *c);

/* ---- code */

void put(struct test_case *c, unsigned byte);
void put32(struct test_case *c, uint32_t v);
struct operand random_operand(struct world *w);
void put_prefixes(struct test_case *c, const struct operand *o);
void put_modrm(struct test_case *c, unsigned reg, const struct operand *o);
/* The REX prefix of an instruction with that operand. */
unsigned rex(unsigned w, unsigned reg, const struct operand *o);
/* Sets the operand's base register so that the operand is at va. */
void aim(struct world *w, struct test_case *c, const struct operand *o, uint64_t va);

/* ---- addresses: of a page of the world; for an access of n bytes in the middle, at the end or across the boundary of any page; the same,
 * aligned; the same, but one in 40 is not canonical or the kernel's */

uint64_t page_va(unsigned page);
uint64_t place(struct world *w, unsigned n);
uint64_t place_aligned(struct world *w, unsigned n, unsigned align);
uint64_t place_odd(struct world *w, unsigned n);

/* ---- memory: all of the world's, and n bytes, at most 1024, made random */

void fill(struct world *w);
void scribble(struct world *w, uint64_t va, unsigned n);

/* ---- makers: see case_maker; cases_scalar.c, cases_system.c, cases_vector.c */

void make_string(struct world *w, struct test_case *c);
void make_bit_string(struct world *w, struct test_case *c);
void make_cmpxchg(struct world *w, struct test_case *c);
void make_enter(struct world *w, struct test_case *c);
void make_xlat(struct world *w, struct test_case *c);
void make_movdir64b(struct world *w, struct test_case *c);
void make_cache_line(struct world *w, struct test_case *c);

void make_base(struct world *w, struct test_case *c);
void make_descriptor_query(struct world *w, struct test_case *c);
void make_table_store(struct world *w, struct test_case *c);
void make_segment(struct world *w, struct test_case *c);
void make_far(struct world *w, struct test_case *c);
void make_refused(struct world *w, struct test_case *c);

void make_gather(struct world *w, struct test_case *c);
void make_masked_move(struct world *w, struct test_case *c);
void make_byte_mask(struct world *w, struct test_case *c);
void make_state(struct world *w, struct test_case *c);
void make_x87(struct world *w, struct test_case *c);

#endif
