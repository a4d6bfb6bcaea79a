/* SPDX-License-Identifier: MIT */
/*
 * reclaim/example.c: a policy in fifty lines, to be copied: evicts the page that came last (LIFO, "most recently loaded").
 * docs/policies.md goes through it line by line. Called through pg_policies[].
 */
#include "reclaim/policies.h"
#include "reclaim/queues.h"

struct example {
	struct pg_queues q; /* first; one queue: the newest page at its head */
};

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct example), 1, {0}};

	return pg_queues_create(env, frames, args, &shape, out);
}

/* A page has come in: its frame is known from now on, and is the first to go. */
static void added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info)
{
	pg_lists_know(&pg_queues_of(p)->lists, f);
	pg_lists_push_head(&pg_queues_of(p)->lists, 0, f);
}

/* Which page goes? It is still known then, on no queue, until evicted() or kept() says how it ended. */
static pg_pfn pick(struct pg_policy *p)
{
	return pg_lists_pop(&pg_queues_of(p)->lists, 0);
}

const struct pg_policy_ops pg_policy_example = {.name = "example",
	.summary = "the page that came last goes first (the example of docs/policies.md)",
	.source = "Pagoda, docs/policies.md",
	.create = create,
	.destroy = pg_queues_destroy,
	.added = added,
	.removed = pg_queues_removed,
	.pick = pick,
	.evicted = pg_queues_evicted,
	.kept = pg_queues_kept,
	.pages = pg_queues_pages,
	.check = pg_queues_check};
