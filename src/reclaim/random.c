/* SPDX-License-Identifier: MIT */
/*
 * reclaim/random.c: any page, each as likely as the others. What other policies have to beat.
 *
 * Called through pg_policies[]. Owns the array of pages that can be picked.
 * Source: L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966 (RAND).
 *
 * Invariants:
 *   N1 place[f] is where f is in the array, for the pages in it; picked pages and unknown ones are not in it.
 */
#include "base/random.h"
#include "reclaim/policies.h"

#include <errno.h>
#include <stdlib.h>

#define UNKNOWN UINT32_MAX
#define PICKED (UINT32_MAX - 1)

struct drawing {
	struct pg_policy base; /* first */
	struct pg_random r;
	uint32_t frames;
	uint32_t n, picked;
	uint32_t *page;  /* [n]; owned */
	uint32_t *place; /* [frames]; owned */
};

static struct drawing *of(struct pg_policy *p)
{
	return (struct drawing *)p;
}

static void destroy(struct pg_policy *p)
{
	free(of(p)->page);
	free(of(p)->place);
	free(p);
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct drawing *p;

	if (*args)
		return -EINVAL;
	p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->frames = frames;
	p->page = malloc((frames ? frames : 1) * sizeof *p->page);
	p->place = malloc((frames ? frames : 1) * sizeof *p->place);
	if (!p->page || !p->place) {
		destroy(&p->base);
		return -ENOMEM;
	}
	for (uint32_t f = 0; f < frames; f++)
		p->place[f] = UNKNOWN;
	pg_random_seed(&p->r, env->seed);
	*out = &p->base;
	return 0;
}

static void put(struct drawing *p, uint32_t f)
{
	p->page[p->n] = f;
	p->place[f] = p->n++;
}

/* Takes f out of the array; the last one fills its place. */
static void take(struct drawing *p, uint32_t f)
{
	uint32_t last = p->page[--p->n];

	p->page[p->place[f]] = last;
	p->place[last] = p->place[f];
}

static void added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info)
{
	PG_ASSERT(of(p)->place[f.v] == UNKNOWN);
	put(of(p), f.v);
}

static void removed(struct pg_policy *p, pg_pfn f)
{
	PG_ASSERT(of(p)->place[f.v] != UNKNOWN);
	if (of(p)->place[f.v] == PICKED)
		of(p)->picked--;
	else
		take(of(p), f.v);
	of(p)->place[f.v] = UNKNOWN;
}

static pg_pfn pick(struct pg_policy *p)
{
	uint32_t f;

	if (of(p)->n == 0)
		return PG_PFN_NONE;
	f = of(p)->page[pg_random_below(&of(p)->r, of(p)->n)];
	take(of(p), f);
	of(p)->place[f] = PICKED;
	of(p)->picked++;
	return (pg_pfn){f};
}

static void evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key)
{
	removed(p, f);
}

static void kept(struct pg_policy *p, pg_pfn f)
{
	of(p)->picked--;
	put(of(p), f.v);
}

static uint64_t pages(const struct pg_policy *p)
{
	return ((const struct drawing *)p)->n + ((const struct drawing *)p)->picked;
}

static const char *check(const struct pg_policy *b)
{
	const struct drawing *p = (const struct drawing *)b;
	uint32_t in = 0, picked = 0;

	for (uint32_t f = 0; f < p->frames; f++) {
		if (p->place[f] == PICKED)
			picked++;
		else if (p->place[f] != UNKNOWN &&
			 (p->place[f] >= p->n || p->page[p->place[f]] != f))
			return "N1: a page is not where its place says";
		else
			in += p->place[f] != UNKNOWN;
	}
	return in == p->n && picked == p->picked ? NULL : "N1: the number of pages";
}

const struct pg_policy_ops pg_policy_random = {.name = "random",
	.summary = "any page, each as likely",
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
