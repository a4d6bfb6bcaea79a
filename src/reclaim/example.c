/* SPDX-License-Identifier: MIT */
/*
 * reclaim/example.c: a policy in fifty lines, to be copied: evicts the page that came last (LIFO, "most recently loaded").
 * docs/policies.md goes through it line by line. Called through pg_policies[].
 */
#include "reclaim/lists.h"
#include "reclaim/policies.h"

#include <errno.h>
#include <stdlib.h>

struct example {
	struct pg_policy base; /* first */
	struct pg_lists lists; /* one queue: the pages by age */
};

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct example *p = *args ? NULL : calloc(1, sizeof *p);

	if (!p || pg_lists_init(&p->lists, frames, 1)) {
		free(p);
		return *args ? -EINVAL : -ENOMEM;
	}
	*out = &p->base;
	return 0;
}

static void destroy(struct pg_policy *b)
{
	pg_lists_free(&((struct example *)b)->lists);
	free(b);
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	pg_lists_know(&((struct example *)b)->lists, f);
	pg_lists_push_head(&((struct example *)b)->lists, 0, f);
}

static void removed(struct pg_policy *b, pg_pfn f)
{
	pg_lists_forget(&((struct example *)b)->lists, f);
}

static pg_pfn pick(struct pg_policy *b)
{
	return pg_lists_pop(&((struct example *)b)->lists, 0); /* still known, on no queue */
}

static void evicted(struct pg_policy *b, pg_pfn f, struct pg_page_key key)
{
	removed(b, f);
}

static void kept(struct pg_policy *b, pg_pfn f)
{
	pg_lists_push(&((struct example *)b)->lists, 0, f);
}

static uint64_t pages(const struct pg_policy *b)
{
	return ((const struct example *)b)->lists.known;
}

static const char *check(const struct pg_policy *b)
{
	return pg_lists_check(&((const struct example *)b)->lists);
}

const struct pg_policy_ops pg_policy_example = {.name = "example",
	.summary = "the page that came last goes first (the example of docs/policies.md)",
	.source = "Pagoda, docs/policies.md",
	.create = create,
	.destroy = destroy,
	.added = added,
	.removed = removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.pages = pages,
	.check = check};
