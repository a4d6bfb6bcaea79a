/* SPDX-License-Identifier: MIT */
/*
 * mmu/pageset.h: a set of page numbers in order: which pages a hashed or inverted table has.
 *
 * A hash knows no order, and "remove what is mapped in this range" would have to ask for each page.
 * So beside such a table the system keeps this set; hardware never reads it. A treap (Seidel and
 * Aragon, "Randomized search trees", 1996) of blocks of 64 pages, its priorities a hash of the block's
 * number, so that the same pages give the same tree. Its nodes are slots of 32 bytes of a pool.
 *
 * Called by hashed.c and inverted.c. Calls records.c.
 */
#ifndef PG_MMU_PAGESET_H
#define PG_MMU_PAGESET_H

#include "mmu/records.h"

#define PG_PAGESET_SLOT 32 /* bytes a slot of the pool must have at least */

struct pg_pageset {
	struct pg_records *pool; /* borrowed */
	pg_link root;
};

/* Adds vpn, which is not in the set. -ENOMEM: unchanged. */
PG_MUST_CHECK int pg_pageset_add(struct pg_pageset *s, uint64_t vpn);
/* Takes out vpn, which is in the set. */
void pg_pageset_remove(struct pg_pageset *s, uint64_t vpn);
/* The first page in [from, end). */
bool pg_pageset_next(const struct pg_pageset *s, uint64_t from, uint64_t end, uint64_t *found);
/* NULL if Y1 and Y2 hold, or which is broken; adds up *pages and *nodes. */
const char *pg_pageset_check(const struct pg_pageset *s, uint64_t *pages, uint64_t *nodes);

#endif
