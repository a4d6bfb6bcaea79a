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
#include "reclaim/policies.h"
#include "reclaim/queues.h"

enum {
	SMALL,
	MAIN,
	QUEUES,
};

#define FREQ_MAX 3

/* Ghosts: pages that left from SMALL. */
enum { GHOST };

struct s3fifo {
	struct pg_queues q; /* first; mark: accesses seen, 0 .. FREQ_MAX; was: queue when picked */
	struct pg_fresh fresh;
};

static struct s3fifo *of(struct pg_policy *p)
{
	return (struct s3fifo *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct s3fifo), QUEUES, {1}};
	int err = pg_queues_create(env, frames, args, &shape, out);

	if (!err)
		of(*out)->fresh.f = PG_PFN_NONE;
	return err;
}

/* Pages that S should have. */
static uint64_t small_target(const struct s3fifo *p)
{
	uint64_t c = p->q.env.capacity(p->q.env.ctx) / 10;

	return c ? c : 1;
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	struct s3fifo *p = of(b);

	pg_fresh_added(&p->fresh, &p->q.env, f, info);
	pg_lists_know(&p->q.lists, f);
	pg_lists_push(&p->q.lists,
		pg_ghosts_take(&p->q.ghosts[GHOST], info->key, NULL) ? MAIN : SMALL, f);
}

static void removed(struct pg_policy *p, pg_pfn f)
{
	pg_fresh_gone(&of(p)->fresh, f);
	pg_lists_forget(&of(p)->q.lists, f);
}

/* Accesses of f counted since it entered its queue, those up to now included. */
static unsigned look(struct s3fifo *p, pg_pfn f)
{
	struct pg_link *row = pg_lists_row(&p->q.lists, f);

	if (p->q.env.accessed(p->q.env.ctx, f) && row->mark < FREQ_MAX)
		row->mark++;
	return row->mark;
}

static pg_pfn pick(struct pg_policy *b)
{
	struct s3fifo *p = of(b);
	struct pg_lists *l = &p->q.lists;
	uint64_t most = 2 * l->q[SMALL].count + (FREQ_MAX + 1) * l->q[MAIN].count;
	uint64_t target = small_target(p);
	pg_pfn f = PG_PFN_NONE;

	pg_fresh_settle(&p->fresh, &p->q.env);
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
	uint64_t c = p->q.env.capacity(p->q.env.ctx), room = c - c / 10;

	if (pg_lists_row(&p->q.lists, f)->was == SMALL) {
		while (p->q.ghosts[GHOST].count && p->q.ghosts[GHOST].count >= room)
			pg_ghosts_pop(&p->q.ghosts[GHOST], NULL, NULL);
		pg_ghosts_push(&p->q.ghosts[GHOST], key, 0);
	}
	pg_fresh_gone(&p->fresh, f);
	pg_lists_forget(&p->q.lists, f);
}

/* It is in use: out of S, which might soon hold nothing else. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&of(p)->q.lists, MAIN, f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	struct pg_link *row = pg_lists_row(&of(p)->q.lists, f);

	if (of(p)->fresh.f.v != f.v && row->mark < FREQ_MAX)
		row->mark++;
}

const struct pg_policy_ops pg_policy_s3fifo = {.name = "s3-fifo",
	.summary = "a small queue on probation, a main queue, and ghosts",
	.source = "Yang, Zhang, Qiu, Yue, Rashmi, FIFO queues are all you need for cache eviction, "
		  "SOSP 2023",
	.create = create,
	.destroy = pg_queues_destroy,
	.added = added,
	.removed = removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.touched = touched,
	.pages = pg_queues_pages,
	.check = pg_queues_check};
