/* SPDX-License-Identifier: MIT */
/*
 * space/mem.h: where space/ gets host memory for its own records, and where a test makes that fail.
 *
 * Used by every file of space/ for everything it allocates. Not guest memory: that is frame/.
 */
#ifndef PG_SPACE_MEM_H
#define PG_SPACE_MEM_H

#include "base/types.h"

struct pg_mem {
	uint64_t calls;   /* pg_mem_alloc() so far */
	uint64_t live;    /* blocks not yet freed */
	uint64_t fail_at; /* this many calls from now fail: 1 is the next; 0: none does */
};

/* Zeroed bytes, or NULL. */
void *pg_mem_alloc(struct pg_mem *m, size_t bytes);
/* p may be NULL. */
void pg_mem_free(struct pg_mem *m, void *p);

#endif
