/* SPDX-License-Identifier: MIT */
/*
 * reclaim/fresh.h: the access that brought a page in does not count.
 *
 * Used by policies whose source starts a page with its reference bit clear. The access that faulted sets
 * the bit right after `added`, and later ones cannot be told from it. So such a policy looks at the page once more when
 * the next one is added or picked, and forgets the answer: references up to the next page fault are
 * one with the first. That is the correlated reference period of E. J. O'Neil, P. E. O'Neil, G. Weikum, "The LRU-K page
 * replacement algorithm for database disk buffering", SIGMOD 1993, measured in page faults: one.
 */
#ifndef PG_RECLAIM_FRESH_H
#define PG_RECLAIM_FRESH_H

#include "reclaim/policy.h"

struct pg_fresh {
	pg_pfn f; /* the page added last on demand, or PG_PFN_NONE */
};

/* The first access of the fresh page, if any, is over. */
static inline void pg_fresh_settle(struct pg_fresh *x, const struct pg_policy_env *env)
{
	if (!pg_pfn_is_none(x->f))
		(void)env->accessed(env->ctx, x->f);
	x->f = PG_PFN_NONE;
}

static inline void pg_fresh_added(struct pg_fresh *x, const struct pg_policy_env *env, pg_pfn f,
	const struct pg_page_info *info)
{
	pg_fresh_settle(x, env);
	if (info->why == PG_PAGE_DEMAND)
		x->f = f;
}

/* f is unknown from now on. */
static inline void pg_fresh_gone(struct pg_fresh *x, pg_pfn f)
{
	if (x->f.v == f.v)
		x->f = PG_PFN_NONE;
}

#endif
