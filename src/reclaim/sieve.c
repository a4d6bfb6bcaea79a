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
#include "reclaim/policies.h"
#include "reclaim/queues.h"

struct sieve {
	struct pg_queues q; /* first; mark: touched */
	pg_pfn hand;        /* the next to be looked at, or none: the oldest */
	struct pg_fresh fresh;
};

static struct sieve *of(struct pg_policy *p)
{
	return (struct sieve *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct sieve), 1, {0}};
	int err = pg_queues_create(env, frames, args, &shape, out);

	if (!err)
		of(*out)->hand = of(*out)->fresh.f = PG_PFN_NONE;
	return err;
}

static void added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info)
{
	pg_fresh_added(&of(p)->fresh, &of(p)->q.env, f, info);
	pg_queues_added(p, f, info);
}

static void removed(struct pg_policy *b, pg_pfn f)
{
	struct sieve *p = of(b);

	if (p->hand.v == f.v)
		p->hand = pg_lists_next(&p->q.lists, f);
	pg_fresh_gone(&p->fresh, f);
	pg_queues_removed(b, f);
}

static pg_pfn pick(struct pg_policy *b)
{
	struct sieve *p = of(b);
	struct pg_lists *l = &p->q.lists;
	uint64_t round = l->q[0].count;
	pg_pfn f = PG_PFN_NONE;

	pg_fresh_settle(&p->fresh, &p->q.env);
	if (!round)
		return f;
	for (;; round--) {
		bool visited;

		f = pg_pfn_is_none(p->hand) ? pg_lists_head(l, 0) : p->hand;
		p->hand = pg_lists_next(l, f);
		visited = p->q.env.accessed(p->q.env.ctx, f) || pg_lists_row(l, f)->mark;
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
	pg_queues_evicted(p, f, key);
}

/* Behind the hand, which would else come to it again before it comes to the others. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	if (pg_pfn_is_none(of(p)->hand))
		pg_lists_push(&of(p)->q.lists, 0, f);
	else
		pg_lists_push_head(&of(p)->q.lists, 0, f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	if (of(p)->fresh.f.v != f.v)
		pg_lists_row(&of(p)->q.lists, f)->mark = 1;
}

static const char *check(const struct pg_policy *b)
{
	const struct sieve *p = (const struct sieve *)b;

	if (!pg_pfn_is_none(p->hand) && pg_lists_on(&p->q.lists, p->hand) != 0)
		return "Q2: the hand is on a page that is not in the queue";
	return pg_queues_check(b);
}

const struct pg_policy_ops pg_policy_sieve = {.name = "sieve",
	.summary = "a queue that stands still and a hand that takes what was not accessed",
	.source = "Zhang, Yang, Yue, Vigfusson, Rashmi, SIEVE is simpler than LRU, NSDI 2024",
	.create = create,
	.destroy = pg_queues_destroy,
	.added = added,
	.removed = removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.touched = touched,
	.pages = pg_queues_pages,
	.check = check};
