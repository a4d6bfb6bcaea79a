/* SPDX-License-Identifier: MIT */
/*
 * mmu/walk_cache.h: page-walk caches: what a CPU remembers of the inner levels of a radix table, so
 * that a walk begins further down (Intel SDM vol. 3A, 4.10.3, "paging-structure caches").
 *
 * For each level below the root a few entries, searched all at once, the least recently used replaced: part of
 * a page number -> the node that a walk of it comes to. Entries are of the current
 * table only: a switch empties them, and a changed page takes all that lead to it along.
 *
 * Called by mmu.c, tlb.c (invalidation) and radix.c (a walk). Owned by struct pg_mmu. Calls nothing;
 * general registers only.
 */
#ifndef PG_MMU_WALK_CACHE_H
#define PG_MMU_WALK_CACHE_H

#include "mmu/table.h"

struct pg_walk_cache_entry {
	uint64_t prefix; /* page number >> shift of the node's level; UINT64_MAX: free */
	void *node;      /* host address of the node; borrowed from the table */
	uint64_t used;   /* when: greater is later */
};

struct pg_walk_cache {
	unsigned entries; /* of each level: 1 .. PG_MAX_WALK_CACHE */
	uint64_t clock;
	uint64_t saved;               /* references that walks did not have to make */
	uint8_t shift[PG_MAX_LEVELS]; /* of the levels filled so far; 0: none yet */
	struct pg_walk_cache_entry e[PG_MAX_LEVELS]
				    [PG_MAX_WALK_CACHE]; /* [0] is unused: the root */
};

static inline void pg_walk_cache_clear(struct pg_walk_cache *w)
{
	for (unsigned l = 0; l < PG_MAX_LEVELS; l++) {
		w->shift[l] = 0;
		for (unsigned i = 0; i < w->entries; i++)
			w->e[l][i].prefix = UINT64_MAX;
	}
}

/* The node of `level` on the way to a page whose number >> shift is prefix; NULL: not known. */
static inline void *pg_walk_cache_find(struct pg_walk_cache *w, unsigned level, uint64_t prefix)
{
	for (unsigned i = 0; i < w->entries; i++) {
		struct pg_walk_cache_entry *e = &w->e[level][i];

		if (e->prefix == prefix) {
			e->used = ++w->clock;
			return e->node;
		}
	}
	return NULL;
}

/* Remembers a node that find did not know. */
static inline void pg_walk_cache_fill(
	struct pg_walk_cache *w, unsigned level, uint64_t prefix, unsigned shift, void *node)
{
	struct pg_walk_cache_entry *victim = &w->e[level][0];

	for (unsigned i = 0; i < w->entries; i++) {
		struct pg_walk_cache_entry *e = &w->e[level][i];

		if (e->prefix == UINT64_MAX) {
			victim = e;
			break;
		}
		if (e->used < victim->used)
			victim = e;
	}
	w->shift[level] = (uint8_t)shift;
	*victim = (struct pg_walk_cache_entry){prefix, node, ++w->clock};
}

/* Forgets what leads to pages [start, end). */
static inline void pg_walk_cache_drop(struct pg_walk_cache *w, uint64_t start, uint64_t end)
{
	if (start >= end)
		return;
	for (unsigned l = 1; l < PG_MAX_LEVELS; l++) {
		if (!w->shift[l])
			continue;
		for (unsigned i = 0; i < w->entries; i++) {
			struct pg_walk_cache_entry *e = &w->e[l][i];

			if (e->prefix != UINT64_MAX && e->prefix >= start >> w->shift[l] &&
				e->prefix <= (end - 1) >> w->shift[l])
				e->prefix = UINT64_MAX;
		}
	}
}

#endif
