/* SPDX-License-Identifier: MIT */
/*
 * reclaim/queued.h: what the policies of queues have in common: a page comes in at a tail, and goes, and may leave a ghost.
 *
 * Used by fifo.c, clock.c, nru.c and sieve.c, which have one queue, and by aging.c, twoq.c, car.c, s3fifo.c, twolist.c and mglru.c. Their
 * structs begin with struct pg_queued; they differ in what they pick. Invariants: those of lists.h.
 */
#ifndef PG_RECLAIM_QUEUED_H
#define PG_RECLAIM_QUEUED_H

#include "reclaim/fresh.h"
#include "reclaim/lists.h"

#define PG_QUEUED_GHOSTS 2

struct pg_queued {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	struct pg_lists lists;
	struct pg_ghosts ghosts[PG_QUEUED_GHOSTS]; /* those of the shape; the others are zero */
	struct pg_fresh fresh; /* for policies that do not count a page's first access */
};

/* What a policy wants of it. */
struct pg_queued_shape {
	size_t bytes;    /* of the policy's struct, which begins with struct pg_queued */
	unsigned queues; /* 1 .. PG_QUEUES */
	unsigned ghosts[PG_QUEUED_GHOSTS]; /* room for so many times the frames; 0: no such list */
};

static inline struct pg_queued *pg_queued_of(struct pg_policy *p)
{
	return (struct pg_queued *)p;
}

/* A policy of that shape, nothing in it; all behind struct pg_queued is zero. -EINVAL: it takes no arguments; -ENOMEM. */
PG_MUST_CHECK int pg_queued_create(const struct pg_policy_env *env, uint32_t frames,
	const char *args, const struct pg_queued_shape *shape, struct pg_policy **out);
/* Of struct pg_policy_ops; added and kept put the page at the tail of queue 0. */
void pg_queued_destroy(struct pg_policy *p);
void pg_queued_added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info);
void pg_queued_removed(struct pg_policy *p, pg_pfn f);
void pg_queued_evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key);
void pg_queued_kept(struct pg_policy *p, pg_pfn f);
/* Marks the page (link.mark), unless its first access is not over: pg_fresh. */
void pg_queued_touched(struct pg_policy *p, pg_pfn f);
uint64_t pg_queued_pages(const struct pg_policy *p);
const char *pg_queued_check(const struct pg_policy *p);

#endif
