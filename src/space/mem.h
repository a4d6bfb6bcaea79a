/* SPDX-License-Identifier: MIT */
/*
 * space/mem.h: where space/ gets host memory for its own records.
 *
 * Used by every file of space/ for everything it allocates, so that a test can make the n-th call
 * fail (tests/model/failing.c wraps pg_mem_alloc at link time) and that a leak is seen when the
 * machine ends. Not guest memory: that is frame/.
 */
#ifndef PG_SPACE_MEM_H
#define PG_SPACE_MEM_H

#include "base/types.h"

struct pg_mem {
	uint64_t live; /* blocks not yet freed */
};

/* Zeroed bytes, or NULL. */
void *pg_mem_alloc(struct pg_mem *m, size_t bytes);
/* p may be NULL. */
void pg_mem_free(struct pg_mem *m, void *p);

#endif
