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
#include "reclaim/policies.h"
#include "reclaim/queued.h"

enum {
	SMALL,
	MAIN,
	QUEUES,
};

#define FREQ_MAX 3

struct s3fifo {
	/* First. mark: accesses seen, 0 .. FREQ_MAX; was: queue when picked; ghosts[0]: pages that left from SMALL */
	struct pg_queued q;
};

static struct s3fifo *of(struct pg_policy *p)
{
	return (struct s3fifo *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queued_shape shape = {
		.bytes = sizeof(struct s3fifo), .queues = QUEUES, .ghosts = {1}};

	return pg_queued_create(env, frames, args, &shape, out);
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

	pg_fresh_added(&p->q.fresh, &p->q.env, f, info);
	pg_lists_know(&p->q.lists, f);
	pg_lists_push(
		&p->q.lists, pg_ghosts_take(&p->q.ghosts[0], info->key, NULL) ? MAIN : SMALL, f);
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

	pg_fresh_settle(&p->q.fresh, &p->q.env);
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
		pg_ghosts_trim(&p->q.ghosts[0], room ? room - 1 : 0);
		pg_ghosts_push(&p->q.ghosts[0], key, 0);
	}
	pg_queued_evicted(b, f, key);
}

/* It is in use: out of S, which might soon hold nothing else. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&of(p)->q.lists, MAIN, f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	struct pg_link *row = pg_lists_row(&of(p)->q.lists, f);

	if (of(p)->q.fresh.f.v != f.v && row->mark < FREQ_MAX)
		row->mark++;
}

const struct pg_policy_ops pg_policy_s3fifo = {.name = "s3-fifo",
	.summary = "a small queue on probation, a main queue, and ghosts",
	.source = "Yang, Zhang, Qiu, Yue, Rashmi, FIFO queues are all you need for cache eviction, "
		  "SOSP 2023",
	.create = create,
	.destroy = pg_queued_destroy,
	.added = added,
	.removed = pg_queued_removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.touched = touched,
	.pages = pg_queued_pages,
	.check = pg_queued_check};
