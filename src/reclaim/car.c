/* SPDX-License-Identifier: MIT */
/*
 * reclaim/car.c: two clocks, of pages accessed once and of pages accessed again, whose shares follow the ghosts that return:
 * ARC for virtual memory, where a hit is a bit and no call.
 *
 * Called through pg_policies[]. Owns its clocks T1, T2 and the ghosts B1, B2. A page's first access does not count (fresh.h).
 *
 * Source: S. Bansal, D. S. Modha, "CAR: clock with adaptive replacement", FAST 2004, figure 2; the adaptation is that of N.
 * Megiddo, D. S. Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003. Ratios of ghosts are whole numbers.
 *
 * Invariants (beside those of lists.h; c is the capacity):
 *   A1 p <= c when it was last set; no ghost is in B1 and B2.
 */
#include "reclaim/fresh.h"
#include "reclaim/lists.h"
#include "reclaim/policies.h"

#include <errno.h>
#include <stdlib.h>

enum {
	T1,
	T2,
	QUEUES,
};

struct car {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	struct pg_lists
		lists; /* the head is where the hand points; was: clock when picked; mark: touched */
	struct pg_ghosts b1, b2; /* pages that left from T1, T2 */
	uint64_t p;              /* pages that T1 should have */
	uint64_t c;              /* capacity when p was last set */
	struct pg_fresh fresh;
};

static struct car *of(struct pg_policy *p)
{
	return (struct car *)p;
}

static void destroy(struct pg_policy *p)
{
	pg_lists_free(&of(p)->lists);
	pg_ghosts_free(&of(p)->b1);
	pg_ghosts_free(&of(p)->b2);
	free(p);
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct car *p;

	if (*args)
		return -EINVAL;
	p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->env = *env;
	p->fresh.f = PG_PFN_NONE;
	if (pg_lists_init(&p->lists, frames, QUEUES) || pg_ghosts_init(&p->b1, frames) ||
		pg_ghosts_init(&p->b2, 2 * frames)) {
		destroy(&p->base);
		return -ENOMEM;
	}
	*out = &p->base;
	return 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	struct car *p = of(b);
	uint64_t b1 = p->b1.count, b2 = p->b2.count;
	uint64_t t1 = p->lists.q[T1].count, t2 = p->lists.q[T2].count;
	unsigned to = T2;

	pg_fresh_added(&p->fresh, &p->env, f, info);
	p->c = p->env.capacity(p->env.ctx);
	if (p->p > p->c)
		p->p = p->c;
	if (pg_ghosts_take(&p->b1, info->key, NULL)) {
		p->p += larger(1, b2 / b1);
		if (p->p > p->c)
			p->p = p->c;
	} else if (pg_ghosts_take(&p->b2, info->key, NULL)) {
		uint64_t less = larger(1, b1 / b2);

		p->p -= less < p->p ? less : p->p;
	} else {
		/* Ghosts for a page that is in neither list make room: T1 and B1 are c at most, all four 2c. */
		if (t1 + b1 >= p->c && b1)
			pg_ghosts_pop(&p->b1, NULL, NULL);
		else if (t1 + t2 + b1 + b2 >= 2 * p->c && b2)
			pg_ghosts_pop(&p->b2, NULL, NULL);
		to = T1;
	}
	pg_lists_know(&p->lists, f);
	pg_lists_push(&p->lists, to, f);
}

static void removed(struct pg_policy *p, pg_pfn f)
{
	pg_fresh_gone(&of(p)->fresh, f);
	pg_lists_forget(&of(p)->lists, f);
}

static pg_pfn pick(struct pg_policy *b)
{
	struct car *p = of(b);
	struct pg_lists *l = &p->lists;
	uint64_t most = 2 * (l->q[T1].count + l->q[T2].count);

	pg_fresh_settle(&p->fresh, &p->env);
	for (; l->q[T1].count + l->q[T2].count > 0; most -= most > 0) {
		unsigned q =
			l->q[T1].count && (l->q[T1].count >= larger(1, p->p) || !l->q[T2].count)
				? T1
				: T2;
		pg_pfn f = pg_lists_pop(l, q);
		struct pg_link *row = pg_lists_row(l, f);
		bool used = p->env.accessed(p->env.ctx, f) || row->mark;

		row->mark = 0;
		row->was = (uint8_t)q;
		if (!used || !most)
			return f;
		pg_lists_push(l, T2, f);
	}
	return PG_PFN_NONE;
}

static void evicted(struct pg_policy *b, pg_pfn f, struct pg_page_key key)
{
	struct car *p = of(b);

	pg_ghosts_push(pg_lists_row(&p->lists, f)->was == T1 ? &p->b1 : &p->b2, key, 0);
	pg_fresh_gone(&p->fresh, f);
	pg_lists_forget(&p->lists, f);
}

/* It is in use: out of T1, which might soon hold nothing else. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&of(p)->lists, T2, f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	if (of(p)->fresh.f.v != f.v)
		pg_lists_row(&of(p)->lists, f)->mark = 1;
}

static uint64_t pages(const struct pg_policy *p)
{
	return ((const struct car *)p)->lists.known;
}

static const char *check(const struct pg_policy *b)
{
	const struct car *p = (const struct car *)b;
	const char *broken = pg_lists_check(&p->lists);

	if (!broken)
		broken = pg_ghosts_check(&p->b1);
	if (!broken)
		broken = pg_ghosts_check(&p->b2);
	for (uint32_t i = p->b1.head; !broken && i != UINT32_MAX; i = p->b1.rows[i].next)
		if (pg_ghosts_find(&p->b2, p->b1.rows[i].key, NULL))
			broken = "A1: a ghost is in B1 and B2";
	return !broken && p->p > p->c ? "A1: p is above the capacity" : broken;
}

const struct pg_policy_ops pg_policy_car = {.name = "car",
	.summary = "clock with adaptive replacement: ARC for virtual memory",
	.source = "Bansal, Modha, CAR: clock with adaptive replacement, FAST 2004; Megiddo, Modha, "
		  "ARC, FAST 2003",
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
