/* SPDX-License-Identifier: MIT */
/*
 * reclaim/fifo.c: first in, first out: the page that has been in memory longest goes.
 *
 * Called through pg_policies[]. Its queue (queues.h) has the oldest page at its head.
 *
 * Never looks at accessed bits. Shows Belady's anomaly: more memory may mean more faults.
 * Source: L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966.
 */
#include "reclaim/policies.h"
#include "reclaim/queues.h"

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct pg_queues), 1, {0}};
	return pg_queues_create(env, frames, args, &shape, out);
}

static pg_pfn pick(struct pg_policy *p)
{
	return pg_lists_pop(&pg_queues_of(p)->lists, 0);
}

const struct pg_policy_ops pg_policy_fifo = {.name = "fifo",
	.summary = "first in, first out",
	.source = "L. A. Belady, A study of replacement algorithms for a virtual-storage computer, "
		  "IBM Systems Journal 5(2), 1966",
	.create = create,
	.destroy = pg_queues_destroy,
	.added = pg_queues_added,
	.removed = pg_queues_removed,
	.pick = pick,
	.evicted = pg_queues_evicted,
	.kept = pg_queues_kept,
	.pages = pg_queues_pages,
	.check = pg_queues_check};
