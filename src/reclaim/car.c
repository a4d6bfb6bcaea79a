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
#include "reclaim/policies.h"
#include "reclaim/queues.h"

enum {
	T1,
	T2,
	QUEUES,
};

/* Ghosts: pages that left from T1, T2. */
enum { B1, B2 };

struct car {
	struct pg_queues
		q; /* first; the head is where the hand points; was: clock when picked; mark: touched */
	uint64_t p; /* pages that T1 should have */
	uint64_t c; /* capacity when p was last set */
	struct pg_fresh fresh;
};

static struct car *of(struct pg_policy *p)
{
	return (struct car *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct car), QUEUES, {1, 2}};
	int err = pg_queues_create(env, frames, args, &shape, out);

	if (!err)
		of(*out)->fresh.f = PG_PFN_NONE;
	return err;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	struct car *p = of(b);
	uint64_t b1 = p->q.ghosts[B1].count, b2 = p->q.ghosts[B2].count;
	uint64_t t1 = p->q.lists.q[T1].count, t2 = p->q.lists.q[T2].count;
	unsigned to = T2;

	pg_fresh_added(&p->fresh, &p->q.env, f, info);
	p->c = p->q.env.capacity(p->q.env.ctx);
	if (p->p > p->c)
		p->p = p->c;
	if (pg_ghosts_take(&p->q.ghosts[B1], info->key, NULL)) {
		p->p += larger(1, b2 / b1);
		if (p->p > p->c)
			p->p = p->c;
	} else if (pg_ghosts_take(&p->q.ghosts[B2], info->key, NULL)) {
		uint64_t less = larger(1, b1 / b2);

		p->p -= less < p->p ? less : p->p;
	} else {
		/* Ghosts for a page that is in neither list make room: T1 and B1 are c at most, all four 2c. */
		if (t1 + b1 >= p->c && b1)
			pg_ghosts_pop(&p->q.ghosts[B1], NULL, NULL);
		else if (t1 + t2 + b1 + b2 >= 2 * p->c && b2)
			pg_ghosts_pop(&p->q.ghosts[B2], NULL, NULL);
		to = T1;
	}
	pg_lists_know(&p->q.lists, f);
	pg_lists_push(&p->q.lists, to, f);
}

static void removed(struct pg_policy *p, pg_pfn f)
{
	pg_fresh_gone(&of(p)->fresh, f);
	pg_lists_forget(&of(p)->q.lists, f);
}

static pg_pfn pick(struct pg_policy *b)
{
	struct car *p = of(b);
	struct pg_lists *l = &p->q.lists;
	uint64_t most = 2 * (l->q[T1].count + l->q[T2].count);

	pg_fresh_settle(&p->fresh, &p->q.env);
	for (; l->q[T1].count + l->q[T2].count > 0; most -= most > 0) {
		unsigned q =
			l->q[T1].count && (l->q[T1].count >= larger(1, p->p) || !l->q[T2].count)
				? T1
				: T2;
		pg_pfn f = pg_lists_pop(l, q);
		struct pg_link *row = pg_lists_row(l, f);
		bool used = p->q.env.accessed(p->q.env.ctx, f) || row->mark;

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

	pg_ghosts_push(&p->q.ghosts[pg_lists_row(&p->q.lists, f)->was == T1 ? B1 : B2], key, 0);
	pg_fresh_gone(&p->fresh, f);
	pg_lists_forget(&p->q.lists, f);
}

/* It is in use: out of T1, which might soon hold nothing else. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&of(p)->q.lists, T2, f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	if (of(p)->fresh.f.v != f.v)
		pg_lists_row(&of(p)->q.lists, f)->mark = 1;
}

static const char *check(const struct pg_policy *b)
{
	const struct car *p = (const struct car *)b;
	const char *broken = pg_queues_check(b);

	for (uint32_t i = p->q.ghosts[B1].head; !broken && i != UINT32_MAX;
		i = p->q.ghosts[B1].rows[i].next)
		if (pg_ghosts_find(&p->q.ghosts[B2], p->q.ghosts[B1].rows[i].key, NULL))
			broken = "A1: a ghost is in B1 and B2";
	return !broken && p->p > p->c ? "A1: p is above the capacity" : broken;
}

const struct pg_policy_ops pg_policy_car = {.name = "car",
	.summary = "clock with adaptive replacement: ARC for virtual memory",
	.source = "Bansal, Modha, CAR: clock with adaptive replacement, FAST 2004; Megiddo, Modha, "
		  "ARC, FAST 2003",
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
