/* SPDX-License-Identifier: MIT */
/*
 * reclaim/clock.c: second chance: FIFO, but a page that was accessed since the hand last passed goes round again.
 *
 * Called through pg_policies[]. Owns its queue. Invariants: those of lists.h.
 *
 * The clock's face is the queue: the hand is its head, and a page that the hand passes goes to the tail. One round clears every
 * accessed bit, so a pick looks at each page at most twice; a page that is accessed again meanwhile is picked all the same.
 * Source: F. J. Corbato, "A paging experiment with the Multics system", MIT Project MAC, 1968; Silberschatz, Galvin, Gagne,
 * Operating System Concepts, 10.4.5.2.
 */
#include "reclaim/lists.h"
#include "reclaim/policies.h"

#include <errno.h>
#include <stdlib.h>

struct clock {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	struct pg_lists lists; /* one queue; its head is where the hand points */
};

static struct clock *of(struct pg_policy *p)
{
	return (struct clock *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct clock *p;

	if (*args)
		return -EINVAL;
	p = calloc(1, sizeof *p);
	if (!p || pg_lists_init(&p->lists, frames, 1)) {
		free(p);
		return -ENOMEM;
	}
	p->env = *env;
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
	pg_lists_know(&of(p)->lists, f);
	pg_lists_push(&of(p)->lists, 0, f);
}

static void removed(struct pg_policy *p, pg_pfn f)
{
	pg_lists_forget(&of(p)->lists, f);
}

static pg_pfn pick(struct pg_policy *p)
{
	struct pg_lists *l = &of(p)->lists;
	uint64_t round = l->q[0].count;
	pg_pfn f = pg_lists_pop(l, 0);

	for (; round && of(p)->env.accessed(of(p)->env.ctx, f); round--) {
		pg_lists_push(l, 0, f);
		f = pg_lists_pop(l, 0);
	}
	return f;
}

static void evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key)
{
	pg_lists_forget(&of(p)->lists, f);
}

static void kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&of(p)->lists, 0, f);
}

static uint64_t pages(const struct pg_policy *p)
{
	return ((const struct clock *)p)->lists.known;
}

static const char *check(const struct pg_policy *p)
{
	return pg_lists_check(&((const struct clock *)p)->lists);
}

const struct pg_policy_ops pg_policy_clock = {.name = "clock",
	.summary = "second chance: first in, first out, but an accessed page goes round again",
	.source =
		"F. J. Corbato, A paging experiment with the Multics system, MIT Project MAC, 1968",
	.create = create,
	.destroy = destroy,
	.added = added,
	.removed = removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.pages = pages,
	.check = check};
