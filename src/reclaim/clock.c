/* SPDX-License-Identifier: MIT */
/*
 * reclaim/clock.c: second chance: FIFO, but a page that was accessed since the hand last passed goes round again.
 *
 * Called through pg_policies[]. Its queue is that of queued.h.
 *
 * The clock's face is the queue: the hand is its head, and a page that the hand passes goes to the tail. One round clears every
 * accessed bit, so a pick looks at each page at most twice; a page that is accessed again meanwhile is picked all the same.
 * Source: F. J. Corbato, "A paging experiment with the Multics system", MIT Project MAC, 1968; Silberschatz, Galvin, Gagne,
 * Operating System Concepts, 10.4.5.2.
 */
#include "reclaim/policies.h"
#include "reclaim/queued.h"

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queued_shape shape = {
		.bytes = sizeof(struct pg_queued), .queues = 1};

	return pg_queued_create(env, frames, args, &shape, out);
}

static pg_pfn pick(struct pg_policy *b)
{
	struct pg_queued *p = pg_queued_of(b);
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
	.destroy = pg_queued_destroy,
	.added = pg_queued_added,
	.removed = pg_queued_removed,
	.pick = pick,
	.evicted = pg_queued_evicted,
	.kept = pg_queued_kept,
	.pages = pg_queued_pages,
	.check = pg_queued_check};
