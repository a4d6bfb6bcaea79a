/* SPDX-License-Identifier: MIT */
/* reclaim/queues.c: what policies made of queues and ghosts have in common, see queues.h. */
#include "reclaim/queues.h"

#include <errno.h>
#include <stdlib.h>

int pg_queues_create(const struct pg_policy_env *env, uint32_t frames, const char *args,
	const struct pg_queues_shape *shape, struct pg_policy **out)
{
	struct pg_queues *p;

	if (*args)
		return -EINVAL;
	p = calloc(1, shape->bytes);
	if (!p)
		return -ENOMEM;
	int err = pg_lists_init(&p->lists, frames, shape->queues);
	for (unsigned i = 0; !err && i < PG_QUEUES_GHOSTS; i++)
		if (shape->ghosts[i])
			err = pg_ghosts_init(&p->ghosts[i], shape->ghosts[i] * frames);
	if (err) {
		pg_queues_destroy(&p->base);
		return err;
	}
	p->env = *env;
	*out = &p->base;
	return 0;
}

void pg_queues_destroy(struct pg_policy *p)
{
	struct pg_queues *q = pg_queues_of(p);

	for (unsigned i = 0; i < PG_QUEUES_GHOSTS; i++)
		pg_ghosts_free(&q->ghosts[i]);
	pg_lists_free(&q->lists);
	free(p);
}

void pg_queues_added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info)
{
	pg_lists_know(&pg_queues_of(p)->lists, f);
	pg_lists_push(&pg_queues_of(p)->lists, 0, f);
}

void pg_queues_removed(struct pg_policy *p, pg_pfn f)
{
	pg_lists_forget(&pg_queues_of(p)->lists, f);
}

void pg_queues_evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key)
{
	pg_lists_forget(&pg_queues_of(p)->lists, f);
}

void pg_queues_kept(struct pg_policy *p, pg_pfn f)
{
	pg_lists_push(&pg_queues_of(p)->lists, 0, f);
}

uint64_t pg_queues_pages(const struct pg_policy *p)
{
	return ((const struct pg_queues *)p)->lists.known;
}

const char *pg_queues_check(const struct pg_policy *p)
{
	const struct pg_queues *q = (const struct pg_queues *)p;
	const char *broken = pg_lists_check(&q->lists);

	for (unsigned i = 0; !broken && i < PG_QUEUES_GHOSTS; i++)
		if (q->ghosts[i].rows)
			broken = pg_ghosts_check(&q->ghosts[i]);
	return broken;
}
