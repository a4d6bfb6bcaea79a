/* SPDX-License-Identifier: MIT */
/*
 * reclaim/sieve.c: a queue in order of arrival and a hand that goes over it from old to young, taking the first
 * page that was not accessed since it last came by. Unlike a clock's, pages that the hand passes stay where they are:
 * new pages and those that survived are sifted apart.
 *
 * Called through pg_policies[]. Owns its queue. A page's first access does not count (fresh.h). Invariants: those of lists.h.
 * Source: Y. Zhang, J. Yang, Y. Yue, Y. Vigfusson, K. V. Rashmi, "SIEVE is simpler than LRU: an efficient turn-key
 * eviction algorithm for web caches", NSDI 2024, algorithm 1.
 */
#include "reclaim/fresh.h"
#include "reclaim/lists.h"
#include "reclaim/policies.h"

#include <errno.h>
#include <stdlib.h>

struct sieve {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	struct pg_lists lists; /* one queue; mark: touched */
	pg_pfn hand;           /* the next to be looked at, or none: the oldest */
	struct pg_fresh fresh;
};

static struct sieve *of(struct pg_policy *p)
{
	return (struct sieve *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct sieve *p;

	if (*args)
		return -EINVAL;
	p = calloc(1, sizeof *p);
	if (!p || pg_lists_init(&p->lists, frames, 1)) {
		free(p);
		return -ENOMEM;
	}
	p->env = *env;
	p->hand = p->fresh.f = PG_PFN_NONE;
	*out = &p->base;
	return 0;
}

static void destroy(struct pg_policy *p)
{
	pg_lists_free(&of(p)->lists);
	free(p);
}

static void added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info)
{
	pg_fresh_added(&of(p)->fresh, &of(p)->env, f, info);
	pg_lists_know(&of(p)->lists, f);
	pg_lists_push(&of(p)->lists, 0, f);
}

static void removed(struct pg_policy *b, pg_pfn f)
{
	struct sieve *p = of(b);

	if (p->hand.v == f.v)
		p->hand = pg_lists_next(&p->lists, f);
	pg_fresh_gone(&p->fresh, f);
	pg_lists_forget(&p->lists, f);
}

static pg_pfn pick(struct pg_policy *b)
{
	struct sieve *p = of(b);
	struct pg_lists *l = &p->lists;
	uint64_t round = l->q[0].count;
	pg_pfn f = PG_PFN_NONE;

	pg_fresh_settle(&p->fresh, &p->env);
	if (!round)
		return f;
	for (;; round--) {
		bool visited;

		f = pg_pfn_is_none(p->hand) ? pg_lists_head(l, 0) : p->hand;
		p->hand = pg_lists_next(l, f);
		visited = p->env.accessed(p->env.ctx, f) || pg_lists_row(l, f)->mark;
		pg_lists_row(l, f)->mark = 0;
		if (!visited || !round)
			break;
	}
	pg_lists_take(l, f);
	return f;
}

static void evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key)
{
	pg_fresh_gone(&of(p)->fresh, f);
	pg_lists_forget(&of(p)->lists, f);
}

/* Behind the hand, which would else come to it again before it comes to the others. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	if (pg_pfn_is_none(of(p)->hand))
		pg_lists_push(&of(p)->lists, 0, f);
	else
		pg_lists_push_head(&of(p)->lists, 0, f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	if (of(p)->fresh.f.v != f.v)
		pg_lists_row(&of(p)->lists, f)->mark = 1;
}

static uint64_t pages(const struct pg_policy *p)
{
	return ((const struct sieve *)p)->lists.known;
}

static const char *check(const struct pg_policy *b)
{
	const struct sieve *p = (const struct sieve *)b;

	if (!pg_pfn_is_none(p->hand) && p->lists.links[p->hand.v].on != 0)
		return "Q2: the hand is on a page that is not in the queue";
	return pg_lists_check(&p->lists);
}

const struct pg_policy_ops pg_policy_sieve = {.name = "sieve",
	.summary = "a queue that stands still and a hand that takes what was not accessed",
	.source = "Zhang, Yang, Yue, Vigfusson, Rashmi, SIEVE is simpler than LRU, NSDI 2024",
	.create = create,
	.destroy = destroy,
	.added = added,
	.removed = removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.touched = touched,
	.pages = pages,
	.check = check};
