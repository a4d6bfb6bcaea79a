/* SPDX-License-Identifier: MIT */
/*
 * reclaim/twoq.c: 2Q: new pages go through a queue, first in first out; only those that come back soon after they
 * left it are admitted to the main queue.
 *
 * Called through pg_policies[]. Owns its queues. Invariants: those of lists.h.
 *
 * Source: T. Johnson, D. Shasha, "2Q: a low overhead high performance buffer management replacement algorithm", VLDB 1994,
 * the full version: A1in with Kin = a quarter of memory, A1out with Kout = half of it, Am. The paper keeps Am in order of
 * use; an operating system does not see each use, so here Am is a clock: a page that was accessed goes round again. Accesses while in
 * A1in are not looked at, as in the paper.
 */
#include "reclaim/lists.h"
#include "reclaim/policies.h"

#include <errno.h>
#include <stdlib.h>

enum {
	A1IN,
	AM,
	QUEUES,
};

struct twoq {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	struct pg_lists lists; /* was: queue when picked; mark: touched */
	struct pg_ghosts a1out;
};

static struct twoq *of(struct pg_policy *p)
{
	return (struct twoq *)p;
}

static void destroy(struct pg_policy *p)
{
	pg_lists_free(&of(p)->lists);
	pg_ghosts_free(&of(p)->a1out);
	free(p);
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct twoq *p;

	if (*args)
		return -EINVAL;
	p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->env = *env;
	if (pg_lists_init(&p->lists, frames, QUEUES) || pg_ghosts_init(&p->a1out, frames)) {
		destroy(&p->base);
		return -ENOMEM;
	}
	*out = &p->base;
	return 0;
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	struct twoq *p = of(b);

	pg_lists_know(&p->lists, f);
	pg_lists_push(&p->lists, pg_ghosts_take(&p->a1out, info->key, NULL) ? AM : A1IN, f);
}

static void removed(struct pg_policy *p, pg_pfn f)
{
	pg_lists_forget(&of(p)->lists, f);
}

static pg_pfn pick(struct pg_policy *b)
{
	struct twoq *p = of(b);
	struct pg_lists *l = &p->lists;
	uint64_t kin = p->env.capacity(p->env.ctx) / 4, round = l->q[AM].count;
	pg_pfn f = PG_PFN_NONE;

	if (l->q[A1IN].count && (l->q[A1IN].count > kin || !l->q[AM].count)) {
		f = pg_lists_pop(l, A1IN);
		pg_lists_row(l, f)->was = A1IN;
		return f;
	}
	for (f = pg_lists_pop(l, AM); round; round--) {
		struct pg_link *row = pg_lists_row(l, f);
		bool used = p->env.accessed(p->env.ctx, f) || row->mark;

		row->mark = 0;
		if (!used)
			break;
		pg_lists_push(l, AM, f);
		f = pg_lists_pop(l, AM);
	}
	if (!pg_pfn_is_none(f))
		pg_lists_row(l, f)->was = AM;
	return f;
}

static void evicted(struct pg_policy *b, pg_pfn f, struct pg_page_key key)
{
	struct twoq *p = of(b);
	uint64_t kout = p->env.capacity(p->env.ctx) / 2;

	if (pg_lists_row(&p->lists, f)->was == A1IN) {
		pg_ghosts_push(&p->a1out, key, 0);
		while (p->a1out.count > (kout ? kout : 1))
			pg_ghosts_pop(&p->a1out, NULL, NULL);
	}
	pg_lists_forget(&p->lists, f);
}

/* It is in use: out of A1in, which might soon hold nothing else. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&of(p)->lists, AM, f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	if (pg_lists_on(&of(p)->lists, f) == AM)
		pg_lists_row(&of(p)->lists, f)->mark = 1;
}

static uint64_t pages(const struct pg_policy *p)
{
	return ((const struct twoq *)p)->lists.known;
}

static const char *check(const struct pg_policy *b)
{
	const struct twoq *p = (const struct twoq *)b;
	const char *broken = pg_lists_check(&p->lists);

	return broken ? broken : pg_ghosts_check(&p->a1out);
}

const struct pg_policy_ops pg_policy_twoq = {.name = "2q",
	.summary = "a queue for new pages, and a clock for those that came back soon",
	.source = "Johnson, Shasha, 2Q: a low overhead high performance buffer management "
		  "replacement algorithm, VLDB 1994",
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
