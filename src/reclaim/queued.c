/* SPDX-License-Identifier: MIT */
/* reclaim/queued.c: what the policies of queues have in common, see queued.h. */
#include "reclaim/queued.h"

#include <errno.h>
#include <stdlib.h>

int pg_queued_create(const struct pg_policy_env *env, uint32_t frames, const char *args,
	const struct pg_queued_shape *shape, struct pg_policy **out)
{
	struct pg_queued *p;
	bool fine;

	if (*args)
		return -EINVAL;
	p = calloc(1, shape->bytes);
	if (!p)
		return -ENOMEM;
	p->env = *env;
	p->fresh.f = PG_PFN_NONE;
	fine = pg_lists_init(&p->lists, frames, shape->queues) == 0;
	for (unsigned i = 0; i < PG_QUEUED_GHOSTS && fine; i++)
		if (shape->ghosts[i])
			fine = pg_ghosts_init(&p->ghosts[i], shape->ghosts[i] * frames) == 0;
	if (!fine) {
		pg_queued_destroy(&p->base);
		return -ENOMEM;
	}
	*out = &p->base;
	return 0;
}

void pg_queued_destroy(struct pg_policy *p)
{
	pg_lists_free(&pg_queued_of(p)->lists);
	for (unsigned i = 0; i < PG_QUEUED_GHOSTS; i++)
		pg_ghosts_free(&pg_queued_of(p)->ghosts[i]);
	free(p);
}

void pg_queued_added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info)
{
	pg_lists_know(&pg_queued_of(p)->lists, f);
	pg_lists_push(&pg_queued_of(p)->lists, 0, f);
}

void pg_queued_removed(struct pg_policy *p, pg_pfn f)
{
	pg_fresh_gone(&pg_queued_of(p)->fresh, f);
	pg_lists_forget(&pg_queued_of(p)->lists, f);
}

void pg_queued_evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key)
{
	pg_queued_removed(p, f);
}

void pg_queued_kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&pg_queued_of(p)->lists, 0, f);
}

void pg_queued_touched(struct pg_policy *p, pg_pfn f)
{
	if (pg_queued_of(p)->fresh.f.v != f.v)
		pg_lists_row(&pg_queued_of(p)->lists, f)->mark = 1;
}

uint64_t pg_queued_pages(const struct pg_policy *p)
{
	return ((const struct pg_queued *)p)->lists.known;
}

const char *pg_queued_check(const struct pg_policy *b)
{
	const struct pg_queued *p = (const struct pg_queued *)b;
	const char *broken = pg_lists_check(&p->lists);

	for (unsigned i = 0; i < PG_QUEUED_GHOSTS && !broken; i++)
		if (p->ghosts[i].max)
			broken = pg_ghosts_check(&p->ghosts[i]);
	return broken;
}
