/* SPDX-License-Identifier: MIT */
/*
 * reclaim/fifo.c: first in, first out: the page that has been in memory longest goes.
 *
 * Called through pg_policies[]. Owns its queue. Invariants: those of lists.h.
 *
 * Never looks at accessed bits. Shows Belady's anomaly: more memory may mean more faults.
 * Source: L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966.
 */
#include "reclaim/lists.h"
#include "reclaim/policies.h"

#include <errno.h>
#include <stdlib.h>

struct fifo {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	struct pg_lists lists; /* one queue; its head is the oldest page */
};

static struct fifo *of(struct pg_policy *p)
{
	return (struct fifo *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct fifo *p;

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
	return pg_lists_pop(&of(p)->lists, 0);
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
	return ((const struct fifo *)p)->lists.known;
}

static const char *check(const struct pg_policy *p)
{
	return pg_lists_check(&((const struct fifo *)p)->lists);
}

const struct pg_policy_ops pg_policy_fifo = {.name = "fifo",
	.summary = "first in, first out",
	.source = "L. A. Belady, A study of replacement algorithms for a virtual-storage computer, "
		  "IBM Systems Journal 5(2), 1966",
	.create = create,
	.destroy = destroy,
	.added = added,
	.removed = removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.pages = pages,
	.check = check};
