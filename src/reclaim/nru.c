/* SPDX-License-Identifier: MIT */
/*
 * reclaim/nru.c: the enhanced clock: the first page of the lowest class by (referenced, modified) goes.
 *
 *   class 0  neither: best to go          class 2  referenced, clean
 *   class 1  modified: has to be written  class 3  both: likely to be used soon
 *
 * Called through pg_policies[]. Owns its queue, whose head is where the hand points, and a referenced bit for each
 * page (link.mark), since a look at the machine's bit clears it. Invariants: those of lists.h.
 *
 * The hand goes round in passes: the odd ones take a page that is neither and change nothing; the even ones take any that is
 * not referenced, and clear the bit of those they pass. A pass is over when the hand has gone round once; it is not
 * begun anew by the next pick, or memory full of modified pages would be looked through once for each of them.
 * Source: A. Silberschatz, P. B. Galvin, G. Gagne, Operating System Concepts, 10.4.5.3; A. S. Tanenbaum, Modern Operating
 * Systems, 3.4.2 (not recently used).
 */
#include "reclaim/policies.h"
#include "reclaim/queues.h"

struct nru {
	struct pg_queues q; /* first; mark: referenced */
	bool clears;        /* the pass is an even one */
	uint64_t left;      /* pages that this pass has still to look at */
};

static struct nru *of(struct pg_policy *p)
{
	return (struct nru *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct nru), 1, {0}};
	int err = pg_queues_create(env, frames, args, &shape, out);

	if (!err)
		of(*out)->clears = true; /* so that the first pass is an odd one */
	return err;
}

static pg_pfn pick(struct pg_policy *b)
{
	struct nru *p = of(b);
	struct pg_lists *l = &p->q.lists;
	uint64_t most = 5 * l->q[0].count; /* what is left of a pass, and four whole ones */

	for (; l->q[0].count > 0 && most > 0; most--) {
		pg_pfn f = pg_lists_pop(l, 0);
		struct pg_link *row = pg_lists_row(l, f);

		if (p->left == 0) {
			p->clears = !p->clears;
			p->left = l->q[0].count + 1;
		}
		p->left--;
		if (p->q.env.accessed(p->q.env.ctx, f))
			row->mark = 1;
		if (!row->mark && (p->clears || !p->q.env.dirty(p->q.env.ctx, f)))
			return f;
		if (p->clears)
			row->mark = 0;
		pg_lists_push(l, 0, f);
	}
	return pg_lists_pop(l, 0); /* all are referenced faster than they are looked at */
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	pg_lists_row(&of(p)->q.lists, f)->mark = 1;
}

const struct pg_policy_ops pg_policy_nru = {.name = "nru",
	.summary = "enhanced clock: classes by referenced and modified, the lowest goes",
	.source = "Silberschatz, Galvin, Gagne, Operating System Concepts, 10.4.5.3; Tanenbaum, "
		  "Modern Operating Systems, 3.4.2",
	.create = create,
	.destroy = pg_queues_destroy,
	.added = pg_queues_added,
	.removed = pg_queues_removed,
	.pick = pick,
	.evicted = pg_queues_evicted,
	.kept = pg_queues_kept,
	.touched = touched,
	.pages = pg_queues_pages,
	.check = pg_queues_check};
