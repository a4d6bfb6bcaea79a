/* SPDX-License-Identifier: MIT */
/*
 * trace/overflow.h: was this fault the end of a stack?
 *
 * Called by ui/run/run.c and ui/stack/stack.c.
 */
#ifndef PG_TRACE_OVERFLOW_H
#define PG_TRACE_OVERFLOW_H

#include "space/space.h"

/*
 * True if an access of `address` with the stack pointer at sp was one beyond the end of the stack: below the limit of a growing one, or
 * in the pages without access right below the mapping that the stack pointer came from, as thread libraries place them.
 */
bool pg_stack_overflowed(struct pg_space *s, uint64_t address, uint64_t sp);

#endif
