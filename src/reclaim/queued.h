/* SPDX-License-Identifier: MIT */
/*
 * reclaim/queued.h: what the policies of one queue have in common: a page comes in at the tail, and goes.
 *
 * Used by fifo.c, clock.c, nru.c and sieve.c, whose structs begin with struct pg_queued; they differ in what they pick.
 * Invariants: those of lists.h.
 */
#ifndef PG_RECLAIM_QUEUED_H
#define PG_RECLAIM_QUEUED_H

#include "reclaim/lists.h"

struct pg_queued {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	struct pg_lists lists; /* one queue */
};

static inline struct pg_queued *pg_queued_of(struct pg_policy *p)
{
	return (struct pg_queued *)p;
}

/* A policy of `bytes` bytes that begins with struct pg_queued; all behind that is zero. -EINVAL: it takes no arguments; -ENOMEM. */
PG_MUST_CHECK int pg_queued_create(const struct pg_policy_env *env, uint32_t frames,
	const char *args, size_t bytes, struct pg_policy **out);
/* Of struct pg_policy_ops. */
void pg_queued_destroy(struct pg_policy *p);
void pg_queued_added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info);
void pg_queued_removed(struct pg_policy *p, pg_pfn f);
void pg_queued_evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key);
void pg_queued_kept(struct pg_policy *p, pg_pfn f);
uint64_t pg_queued_pages(const struct pg_policy *p);
const char *pg_queued_check(const struct pg_policy *p);

#endif
