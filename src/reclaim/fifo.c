/* SPDX-License-Identifier: MIT */
/*
 * reclaim/fifo.c: first in, first out: the page that has been in memory longest goes.
 *
 * Called through pg_policies[]. Its queue (queued.h) has the oldest page at its head.
 *
 * Never looks at accessed bits. Shows Belady's anomaly: more memory may mean more faults.
 * Source: L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966.
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

static pg_pfn pick(struct pg_policy *p)
{
	return pg_lists_pop(&pg_queued_of(p)->lists, 0);
}

const struct pg_policy_ops pg_policy_fifo = {.name = "fifo",
	.summary = "first in, first out",
	.source = "L. A. Belady, A study of replacement algorithms for a virtual-storage computer, "
		  "IBM Systems Journal 5(2), 1966",
	.create = create,
	.destroy = pg_queued_destroy,
	.added = pg_queued_added,
	.removed = pg_queued_removed,
	.pick = pick,
	.evicted = pg_queued_evicted,
	.kept = pg_queued_kept,
	.pages = pg_queued_pages,
	.check = pg_queued_check};
