/* SPDX-License-Identifier: MIT */
/*
 * trace/cycle.h: what repeats in a chain of calls.
 *
 * Called by trace/picture.c and ui/ (the ending of a run).
 */
#ifndef PG_TRACE_CYCLE_H
#define PG_TRACE_CYCLE_H

#include "trace/symbols.h"
#include "trace/unwind.h"

#define PG_CYCLE_MOST 32 /* calls in a cycle that is looked for */

struct pg_cycle {
	size_t first;  /* the innermost frame of it; 0 is the innermost of all */
	size_t length; /* calls in one turn; 0: nothing repeats */
	size_t turns;  /* whole ones, one after the other */
};

/*
 * The cycle that covers the most of a chain of n functions (any numbers: equal means the same), innermost first; what repeats begins within
 * the first PG_CYCLE_MOST frames. At least 3 turns; of equal ones the shortest.
 */
void pg_cycle_find(const uint32_t *functions, size_t n, struct pg_cycle *out);

/*
 * Numbers for the functions of a chain: equal for equal functions. malloc'd; NULL: no memory. pcs[0] is rip, the others return
 * addresses.
 */
uint32_t *pg_cycle_functions(
	struct pg_symbols *symbols, struct pg_space *space, const uint64_t *pcs, size_t n);

/*
 * "f -> g -> f, 26,214 times (calls 52,430 deep)" for the cycle that a thread's stack consists of for the most part: of whoever ran
 * into the end of its stack. malloc'd; NULL: there is none. *depth: frames in all.
 */
char *pg_cycle_text(struct pg_symbols *symbols, struct pg_unwinder *unwinder,
	struct pg_space *space, const struct pg_cpu_regs *regs, size_t *depth);

/* "f -> g -> f" for a cycle in a chain, outermost first. Always NUL-ended. Returns text. */
const char *pg_cycle_names(struct pg_symbols *symbols, struct pg_space *space, const uint64_t *pcs,
	const struct pg_cycle *c, char *text, size_t cap);

#endif
