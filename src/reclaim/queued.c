/* SPDX-License-Identifier: MIT */
/* reclaim/queued.c: what the policies of one queue have in common, see queued.h. */
#include "reclaim/queued.h"

#include <errno.h>
#include <stdlib.h>

int pg_queued_create(const struct pg_policy_env *env, uint32_t frames, const char *args,
	size_t bytes, struct pg_policy **out)
{
	struct pg_queued *p;

	if (*args)
		return -EINVAL;
	p = calloc(1, bytes);
	if (!p || pg_lists_init(&p->lists, frames, 1)) {
		free(p);
		return -ENOMEM;
	}
	p->env = *env;
	*out = &p->base;
	return 0;
}

void pg_queued_destroy(struct pg_policy *p)
{
	pg_lists_free(&pg_queued_of(p)->lists);
	free(p);
}

void pg_queued_added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info)
{
	pg_lists_know(&pg_queued_of(p)->lists, f);
	pg_lists_push(&pg_queued_of(p)->lists, 0, f);
}

void pg_queued_removed(struct pg_policy *p, pg_pfn f)
{
	pg_lists_forget(&pg_queued_of(p)->lists, f);
}

void pg_queued_evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key)
{
	pg_lists_forget(&pg_queued_of(p)->lists, f);
}

void pg_queued_kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&pg_queued_of(p)->lists, 0, f);
}

uint64_t pg_queued_pages(const struct pg_policy *p)
{
	return ((const struct pg_queued *)p)->lists.known;
}

const char *pg_queued_check(const struct pg_policy *p)
{
	return pg_lists_check(&((const struct pg_queued *)p)->lists);
}
