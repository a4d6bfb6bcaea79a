/* SPDX-License-Identifier: MIT */
/*
 * reclaim/clock.c: second chance: FIFO, but a page that was accessed since the hand last passed goes round again.
 *
 * Called through pg_policies[]. Its queue is that of queues.h.
 *
 * The clock's face is the queue: the hand is its head, and a page that the hand passes goes to the tail. One round clears every
 * accessed bit, so a pick looks at each page at most twice; a page that is accessed again meanwhile is picked all the same.
 * Source: F. J. Corbato, "A paging experiment with the Multics system", MIT Project MAC, 1968; Silberschatz, Galvin, Gagne,
 * Operating System Concepts, 10.4.5.2.
 */
#include "reclaim/policies.h"
#include "reclaim/queues.h"

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct pg_queues), 1, {0}};
	return pg_queues_create(env, frames, args, &shape, out);
}

static pg_pfn pick(struct pg_policy *b)
{
	struct pg_queues *p = pg_queues_of(b);
	struct pg_lists *l = &p->lists;
	uint64_t round = l->q[0].count;
	pg_pfn f = pg_lists_pop(l, 0);

	for (; round && p->env.accessed(p->env.ctx, f); round--) {
		pg_lists_push(l, 0, f);
		f = pg_lists_pop(l, 0);
	}
	return f;
}

const struct pg_policy_ops pg_policy_clock = {.name = "clock",
	.summary = "second chance: first in, first out, but an accessed page goes round again",
	.source =
		"F. J. Corbato, A paging experiment with the Multics system, MIT Project MAC, 1968",
	.create = create,
	.destroy = pg_queues_destroy,
	.added = pg_queues_added,
	.removed = pg_queues_removed,
	.pick = pick,
	.evicted = pg_queues_evicted,
	.kept = pg_queues_kept,
	.pages = pg_queues_pages,
	.check = pg_queues_check};
