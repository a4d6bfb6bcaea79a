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
#include "reclaim/policies.h"
#include "reclaim/queues.h"

enum {
	A1IN,
	AM,
	QUEUES,
};

/* Ghosts. Of a row, was: queue when picked; mark: touched. */
enum { A1OUT };

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct pg_queues), QUEUES, {1}};
	return pg_queues_create(env, frames, args, &shape, out);
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	struct pg_queues *p = pg_queues_of(b);

	pg_lists_know(&p->lists, f);
	pg_lists_push(&p->lists, pg_ghosts_take(&p->ghosts[A1OUT], info->key, NULL) ? AM : A1IN, f);
}

static pg_pfn pick(struct pg_policy *b)
{
	struct pg_queues *p = pg_queues_of(b);
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
	struct pg_queues *p = pg_queues_of(b);
	uint64_t kout = p->env.capacity(p->env.ctx) / 2;

	if (pg_lists_row(&p->lists, f)->was == A1IN) {
		pg_ghosts_push(&p->ghosts[A1OUT], key, 0);
		while (p->ghosts[A1OUT].count > (kout ? kout : 1))
			pg_ghosts_pop(&p->ghosts[A1OUT], NULL, NULL);
	}
	pg_lists_forget(&p->lists, f);
}

/* It is in use: out of A1in, which might soon hold nothing else. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&pg_queues_of(p)->lists, AM, f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	if (pg_lists_on(&pg_queues_of(p)->lists, f) == AM)
		pg_lists_row(&pg_queues_of(p)->lists, f)->mark = 1;
}

const struct pg_policy_ops pg_policy_twoq = {.name = "2q",
	.summary = "a queue for new pages, and a clock for those that came back soon",
	.source = "Johnson, Shasha, 2Q: a low overhead high performance buffer management "
		  "replacement algorithm, VLDB 1994",
	.create = create,
	.destroy = pg_queues_destroy,
	.added = added,
	.removed = pg_queues_removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.touched = touched,
	.pages = pg_queues_pages,
	.check = pg_queues_check};
