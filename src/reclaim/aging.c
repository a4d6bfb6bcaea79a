/* SPDX-License-Identifier: MIT */
/*
 * reclaim/aging.c: a counter of eight bits for each page, shifted right once in an interval, with the accessed bit
 * coming in from the left; the page with the lowest counter goes.
 *
 * Called through pg_policies[]. Owns the queues and the counters (link.mark).
 * Source: A. S. Tanenbaum, Modern Operating Systems, 3.4.7 (simulating LRU in software).
 *
 * A page that came in the running interval counts as 10000000: it was referenced in it. Of pages with equal counters that goes
 * first which has been in the queues longest. Once in an interval every page is looked at and the queues are
 * sorted anew; there are eight intervals while the machine's frames are filled once, so this is eight looks a page.
 *
 * Invariants (beside those of lists.h):
 *   E1 in the queues OLD and then YOUNG the counters ascend; they are below 128 in OLD, and not below in YOUNG and NEW.
 */
#include "reclaim/policies.h"
#include "reclaim/queues.h"

#include <errno.h>
#include <stdlib.h>

enum {
	OLD,   /* sorted, counter below 128 */
	NEW,   /* came since: counter 128 */
	YOUNG, /* sorted, counter 128 and above */
	QUEUES,
};

struct aging {
	struct pg_queues q; /* first; mark: counter */
	uint32_t *next;     /* [frames]: chains while sorting; owned */
};

static struct aging *of(struct pg_policy *p)
{
	return (struct aging *)p;
}

static void destroy(struct pg_policy *p)
{
	free(of(p)->next);
	pg_queues_destroy(p);
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct aging), QUEUES, {0}};
	int err = pg_queues_create(env, frames, args, &shape, out);

	if (err)
		return err;
	of(*out)->next = malloc((frames ? frames : 1) * sizeof(uint32_t));
	if (of(*out)->next)
		return 0;
	pg_queues_destroy(*out);
	return -ENOMEM;
}

static void added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info)
{
	struct pg_lists *l = &of(p)->q.lists;

	pg_lists_know(l, f);
	if (info->why == PG_PAGE_READAHEAD) {
		pg_lists_push_head(l, OLD, f); /* not referenced at all: 0 */
		return;
	}
	pg_lists_row(l, f)->mark = 0x80;
	pg_lists_push(l, NEW, f);
}

static pg_pfn pick(struct pg_policy *p)
{
	struct pg_lists *l = &of(p)->q.lists;

	for (unsigned q = 0; q < QUEUES; q++)
		if (l->q[q].count)
			return pg_lists_pop(l, q);
	return PG_PFN_NONE;
}

/* One interval is over: every counter is shifted, and the queues are sorted by them (a counting sort that keeps the order of equals). */
static void tick(struct pg_policy *b)
{
	struct aging *p = of(b);
	struct pg_lists *l = &p->q.lists;
	uint32_t head[256], tail[256];

	for (unsigned c = 0; c < 256; c++)
		head[c] = tail[c] = UINT32_MAX;
	for (unsigned q = 0; q < QUEUES; q++) {
		pg_pfn f;

		while (!pg_pfn_is_none(f = pg_lists_pop(l, q))) {
			struct pg_link *row = pg_lists_row(l, f);

			/* A page that came in this interval has its bit in the counter already. */
			if (p->q.env.accessed(p->q.env.ctx, f) && q != NEW)
				row->mark = (uint8_t)(row->mark >> 1 | 0x80);
			else if (q != NEW)
				row->mark >>= 1;
			p->next[f.v] = UINT32_MAX;
			if (tail[row->mark] == UINT32_MAX)
				head[row->mark] = f.v;
			else
				p->next[tail[row->mark]] = f.v;
			tail[row->mark] = f.v;
		}
	}
	for (unsigned c = 0; c < 256; c++)
		for (uint32_t f = head[c]; f != UINT32_MAX; f = p->next[f])
			pg_lists_push(l, c < 0x80 ? OLD : YOUNG, (pg_pfn){f});
}

static void evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key)
{
	pg_lists_forget(&of(p)->q.lists, f);
}

/* It is in use: its counter is as that of a page that is accessed all the time, so it goes behind the others. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_row(&of(p)->q.lists, f)->mark = 0xff;
	pg_lists_push(&of(p)->q.lists, YOUNG, f);
}

static const char *check(const struct pg_policy *p)
{
	const struct pg_lists *l = &((const struct aging *)p)->q.lists;
	unsigned last = 0;

	for (unsigned q = 0; q < QUEUES; q++)
		for (pg_pfn f = pg_lists_head(l, q); !pg_pfn_is_none(f); f = pg_lists_next(l, f)) {
			unsigned mark = l->links[f.v].mark;

			if ((q == OLD) != (mark < 0x80) || (q == NEW && mark != 0x80))
				return "E1: a counter is in the wrong queue";
			if (q != NEW && mark < last)
				return "E1: counters do not ascend";
			last = q == NEW ? last : mark;
		}
	return pg_queues_check(p);
}

const struct pg_policy_ops pg_policy_aging = {.name = "aging",
	.summary = "a counter for each page, shifted in each interval; the lowest goes",
	.source = "A. S. Tanenbaum, Modern Operating Systems, 3.4.7",
	.create = create,
	.destroy = destroy,
	.added = added,
	.removed = pg_queues_removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.tick = tick,
	.pages = pg_queues_pages,
	.check = check};
