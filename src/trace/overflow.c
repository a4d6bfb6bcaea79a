/* SPDX-License-Identifier: MIT */
/*
 * trace/overflow.c: the end of a stack.
 *
 * Called by ui/. Looks at regions only. Owns nothing.
 */
#include "trace/overflow.h"

#define FRAME ((uint64_t)1 << 20) /* bytes of a frame that may straddle the end */

bool pg_stack_overflowed(struct pg_space *s, uint64_t address, uint64_t sp)
{
	struct pg_region at, above;
	uint64_t near = address < sp ? sp - address : address - sp;

	if (near > FRAME)
		return false;
	if (!pg_space_find(s, (pg_va){address}, false, &at)) {
		/* a growing stack is above, and did not grow */
		return pg_space_find(s, (pg_va){address}, true, &above) &&
		       above.kind == PG_REGION_STACK;
	}
	if (at.prot != 0 || !pg_space_find(s, at.end, false, &above) || above.start.v != at.end.v)
		return false;
	/* what lies above the guard is a stack's: it can be written, and the stack pointer is in it or has just left it */
	return (above.prot & PG_WRITE) && !above.object && sp < above.end.v;
}
