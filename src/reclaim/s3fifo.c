/* SPDX-License-Identifier: MIT */
/*
 * reclaim/s3fifo.c: three queues, first in first out: a small one for new pages, the main one for those that were
 * accessed again while in the small one, and ghosts of those that were not and left.
 *
 * Called through pg_policies[]. Owns its queues. A page's first access does not count (fresh.h). Invariants: those of lists.h.
 *
 * Source: J. Yang, Y. Zhang, Z. Qiu, Y. Yue, K. V. Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023,
 * algorithm 1; S has a tenth of memory, G as many ghosts as M has pages at most. The paper counts up to three accesses of
 * an object, and moves it to M when it counted more than one. An operating system sees at most one when it looks at
 * a page at the end of S; so one is enough here, and a second round in M needs an access during the first.
 */
#include "reclaim/fresh.h"
#include "reclaim/lists.h"
#include "reclaim/policies.h"

#include <errno.h>
#include <stdlib.h>

enum {
	SMALL,
	MAIN,
	QUEUES,
};

#define FREQ_MAX 3

struct s3fifo {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	struct pg_lists lists;  /* mark: accesses seen, 0 .. FREQ_MAX; was: queue when picked */
	struct pg_ghosts ghost; /* pages that left from SMALL */
	struct pg_fresh fresh;
};

static struct s3fifo *of(struct pg_policy *p)
{
	return (struct s3fifo *)p;
}

static void destroy(struct pg_policy *p)
{
	pg_lists_free(&of(p)->lists);
	pg_ghosts_free(&of(p)->ghost);
	free(p);
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct s3fifo *p;

	if (*args)
		return -EINVAL;
	p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->env = *env;
	p->fresh.f = PG_PFN_NONE;
	if (pg_lists_init(&p->lists, frames, QUEUES) || pg_ghosts_init(&p->ghost, frames)) {
		destroy(&p->base);
		return -ENOMEM;
	}
	*out = &p->base;
	return 0;
}

/* Pages that S should have. */
static uint64_t small_target(const struct s3fifo *p)
{
	uint64_t c = p->env.capacity(p->env.ctx) / 10;

	return c ? c : 1;
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	struct s3fifo *p = of(b);

	pg_fresh_added(&p->fresh, &p->env, f, info);
	pg_lists_know(&p->lists, f);
	pg_lists_push(&p->lists, pg_ghosts_take(&p->ghost, info->key, NULL) ? MAIN : SMALL, f);
}

static void removed(struct pg_policy *p, pg_pfn f)
{
	pg_fresh_gone(&of(p)->fresh, f);
	pg_lists_forget(&of(p)->lists, f);
}

/* Accesses of f counted since it entered its queue, those up to now included. */
static unsigned look(struct s3fifo *p, pg_pfn f)
{
	struct pg_link *row = pg_lists_row(&p->lists, f);

	if (p->env.accessed(p->env.ctx, f) && row->mark < FREQ_MAX)
		row->mark++;
	return row->mark;
}

static pg_pfn pick(struct pg_policy *b)
{
	struct s3fifo *p = of(b);
	struct pg_lists *l = &p->lists;
	uint64_t most = 2 * l->q[SMALL].count + (FREQ_MAX + 1) * l->q[MAIN].count;
	uint64_t target = small_target(p);
	pg_pfn f = PG_PFN_NONE;

	pg_fresh_settle(&p->fresh, &p->env);
	for (; l->q[SMALL].count + l->q[MAIN].count > 0; most -= most > 0) {
		unsigned q = l->q[SMALL].count && (l->q[SMALL].count >= target || !l->q[MAIN].count)
				     ? SMALL
				     : MAIN;
		unsigned count;

		f = pg_lists_pop(l, q);
		count = look(p, f);
		pg_lists_row(l, f)->was = (uint8_t)q;
		if (!count || !most)
			return f;
		pg_lists_row(l, f)->mark = q == SMALL ? 0 : (uint8_t)(count - 1);
		pg_lists_push(l, MAIN, f);
	}
	return f;
}

static void evicted(struct pg_policy *b, pg_pfn f, struct pg_page_key key)
{
	struct s3fifo *p = of(b);
	uint64_t c = p->env.capacity(p->env.ctx), room = c - c / 10;

	if (pg_lists_row(&p->lists, f)->was == SMALL) {
		while (p->ghost.count && p->ghost.count >= room)
			pg_ghosts_pop(&p->ghost, NULL, NULL);
		pg_ghosts_push(&p->ghost, key, 0);
	}
	pg_fresh_gone(&p->fresh, f);
	pg_lists_forget(&p->lists, f);
}

/* It is in use: out of S, which might soon hold nothing else. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&of(p)->lists, MAIN, f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	struct pg_link *row = pg_lists_row(&of(p)->lists, f);

	if (of(p)->fresh.f.v != f.v && row->mark < FREQ_MAX)
		row->mark++;
}

static uint64_t pages(const struct pg_policy *p)
{
	return ((const struct s3fifo *)p)->lists.known;
}

static const char *check(const struct pg_policy *b)
{
	const struct s3fifo *p = (const struct s3fifo *)b;
	const char *broken = pg_lists_check(&p->lists);

	return broken ? broken : pg_ghosts_check(&p->ghost);
}

const struct pg_policy_ops pg_policy_s3fifo = {.name = "s3-fifo",
	.summary = "a small queue on probation, a main queue, and ghosts",
	.source = "Yang, Zhang, Qiu, Yue, Rashmi, FIFO queues are all you need for cache eviction, "
		  "SOSP 2023",
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
