/* SPDX-License-Identifier: MIT */
/*
 * reclaim/queues.h: what policies made of queues and ghosts have in common: how they begin, end, are counted and checked, and what a
 * policy of one queue does with a page: it comes in at the tail, and goes.
 *
 * Used by the policies whose structs begin with struct pg_queues; they differ in what they pick, and most in where a page comes in.
 * Invariants: those of lists.h.
 */
#ifndef PG_RECLAIM_QUEUES_H
#define PG_RECLAIM_QUEUES_H

#include "reclaim/lists.h"

#define PG_QUEUES_GHOSTS 2

struct pg_queues {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	struct pg_lists lists;
	struct pg_ghosts ghosts[PG_QUEUES_GHOSTS];
};

struct pg_queues_shape {
	size_t bytes;    /* of the policy's struct, which begins with struct pg_queues */
	unsigned queues; /* 1 to PG_QUEUES */
	unsigned ghosts
		[PG_QUEUES_GHOSTS]; /* room of each ghost list, as a multiple of the frames; 0: there is none */
};

static inline struct pg_queues *pg_queues_of(struct pg_policy *p)
{
	return (struct pg_queues *)p;
}

/* A policy of that shape; all behind its struct pg_queues is zero. -EINVAL: it takes no arguments; -ENOMEM. */
PG_MUST_CHECK int pg_queues_create(const struct pg_policy_env *env, uint32_t frames,
	const char *args, const struct pg_queues_shape *shape, struct pg_policy **out);
/* Of struct pg_policy_ops, for all. */
void pg_queues_destroy(struct pg_policy *p);
void pg_queues_removed(struct pg_policy *p, pg_pfn f);
uint64_t pg_queues_pages(const struct pg_policy *p);
const char *pg_queues_check(const struct pg_policy *p);
/* For those of one queue. */
void pg_queues_added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info);
void pg_queues_evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key);
void pg_queues_kept(struct pg_policy *p, pg_pfn f);

#endif
