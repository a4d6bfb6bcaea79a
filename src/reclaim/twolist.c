/* SPDX-License-Identifier: MIT */
/*
 * reclaim/twolist.c: an active and an inactive list, each for private memory and for pages of files, as in Linux.
 *
 *   fault ---> inactive ---------> reclaimed ... refault, near enough ---> active
 *                 |  ^                                                       |
 *       accessed  |  | deactivated, whether accessed or not                  |
 *       twice     v  |                                                       |
 *              active <------------------------------------------------------+
 *
 * Called through pg_policies[]. Owns the four lists and ghosts (Linux's shadow entries).
 *
 * Source: Linux 6.x: mm/vmscan.c (folio_check_references, shrink_active_list, inactive_is_low, get_scan_count), mm/workingset.c
 * (refault distance), mm/swap.c (folio_mark_accessed, lru_note_cost). Swappiness is 60. What is left out: the special
 * treatment of executable pages, memory cgroups, priorities (pages are picked one by one; the proportion in
 * which the two kinds are scanned is kept), cache_trim_mode.
 *
 * Invariants: those of lists.h.
 */
#include "reclaim/policies.h"
#include "reclaim/queues.h"

enum {
	ANON,
	FILES,
	TYPES,
};

/* A queue's number: type, and active or not. */
#define INACTIVE(type) ((unsigned)(type)*2)
#define ACTIVE(type) ((unsigned)(type)*2 + 1)
#define QUEUES (2 * TYPES)

/* link.mark */
#define REFERENCED 1 /* accessed once while inactive: the next time it becomes active */
#define WORKINGSET 2 /* it was active before */
#define IS_FILE 4

#define SWAPPINESS 60u
#define CLUSTER 32u /* SWAP_CLUSTER_MAX */

/* Ghosts; value: age when evicted * 2 + workingset. */
enum { SHADOW };

struct twolist {
	struct pg_queues q;   /* first; mark: as above */
	uint64_t age;         /* pages that left the inactive lists, either way */
	uint64_t cost[TYPES]; /* of reclaiming this type, lately */
	int64_t turn[TYPES];  /* what a type is owed by the other */
};

static struct twolist *of(struct pg_policy *p)
{
	return (struct twolist *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct twolist), QUEUES, {1}};
	return pg_queues_create(env, frames, args, &shape, out);
}

static uint64_t size(const struct twolist *p, unsigned queue)
{
	return p->q.lists.q[queue].count;
}

static unsigned type_of(const struct pg_link *row)
{
	return row->mark & IS_FILE ? FILES : ANON;
}

/* lru_note_cost: work that came to nothing, or had to wait for a device. */
static void note_cost(struct twolist *p, unsigned type, uint64_t io, uint64_t rotated)
{
	p->cost[type] += io * CLUSTER + rotated;
	if (p->cost[ANON] + p->cost[FILES] > p->q.lists.known / 4) {
		p->cost[ANON] /= 2;
		p->cost[FILES] /= 2;
	}
}

/* workingset_refault: would the page still be here if the active list had been inactive? */
static bool refault_is_near(const struct twolist *p, unsigned type, uint64_t distance)
{
	uint64_t workingset = size(p, ACTIVE(FILES)) + size(p, ACTIVE(ANON));

	workingset += type == ANON ? size(p, INACTIVE(FILES)) : size(p, INACTIVE(ANON));
	return distance <= workingset;
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	struct twolist *p = of(b);
	unsigned type = info->key.object ? FILES : ANON;
	struct pg_link *row = pg_lists_row(&p->q.lists, f);
	uint64_t shadow;
	bool active = false;

	pg_lists_know(&p->q.lists, f);
	row->mark = type == FILES ? IS_FILE : 0;
	if (pg_ghosts_take(&p->q.ghosts[SHADOW], info->key, &shadow) &&
		refault_is_near(p, type, p->age - shadow / 2)) {
		active = true;
		p->age++;
		if (shadow & 1) {
			row->mark |= WORKINGSET;
			note_cost(p, type, 1, 0);
		}
	}
	pg_lists_push(&p->q.lists, active ? ACTIVE(type) : INACTIVE(type), f);
}

static uint64_t square_root(uint64_t n)
{
	uint64_t r = 0;

	while ((r + 1) * (r + 1) <= n)
		r++;
	return r;
}

/* The inactive list should be large enough for a page to be accessed twice while on it. */
static bool inactive_is_low(const struct twolist *p, unsigned type)
{
	uint64_t inactive = size(p, INACTIVE(type)), active = size(p, ACTIVE(type));
	uint64_t gib = (inactive + active) >> (30 - PG_PAGE_SHIFT);
	uint64_t ratio = gib ? square_root(10 * gib) : 1;

	return inactive * ratio < active;
}

static void activate(struct twolist *p, pg_pfn f)
{
	struct pg_link *row = pg_lists_row(&p->q.lists, f);

	row->mark &= (uint8_t)~REFERENCED;
	pg_lists_push(&p->q.lists, ACTIVE(type_of(row)), f);
	p->age++;
}

/* shrink_active_list: the oldest go to the inactive list, their bits cleared. */
static void deactivate(struct twolist *p, unsigned type)
{
	for (unsigned i = 0; i < CLUSTER && size(p, ACTIVE(type)) && inactive_is_low(p, type);
		i++) {
		pg_pfn f = pg_lists_pop(&p->q.lists, ACTIVE(type));

		(void)p->q.env.accessed(p->q.env.ctx, f);
		pg_lists_row(&p->q.lists, f)->mark |= WORKINGSET;
		pg_lists_push(&p->q.lists, INACTIVE(type), f);
	}
}

/* get_scan_count: private memory or files, in proportion to their size and against what reclaiming them cost. */
static unsigned next_type(struct twolist *p)
{
	uint64_t total = p->cost[ANON] + p->cost[FILES];
	uint64_t share[TYPES], weight[TYPES], all = total + p->cost[ANON] + total + p->cost[FILES];
	unsigned type;

	share[ANON] = SWAPPINESS * (all + 1) / (total + p->cost[ANON] + 1);
	share[FILES] = (200 - SWAPPINESS) * (all + 1) / (total + p->cost[FILES] + 1);
	for (type = 0; type < TYPES; type++)
		weight[type] = share[type] * (size(p, INACTIVE(type)) + size(p, ACTIVE(type)));
	/* Each is owed its weight a turn, and pays the sum when it is chosen. */
	for (type = 0; type < TYPES; type++)
		p->turn[type] = weight[type] ? p->turn[type] + (int64_t)weight[type] : 0;
	type = !weight[FILES] || (weight[ANON] && p->turn[ANON] > p->turn[FILES]) ? ANON : FILES;
	p->turn[type] -= (int64_t)(weight[ANON] + weight[FILES]);
	if (p->turn[type] < -((int64_t)1 << 40))
		p->turn[type] = 0;
	return type;
}

/* folio_check_references for the oldest inactive page: true if it goes. */
static bool goes(struct twolist *p, pg_pfn f)
{
	struct pg_link *row = pg_lists_row(&p->q.lists, f);
	unsigned type = type_of(row);
	bool referenced = row->mark & REFERENCED;

	row->mark &= (uint8_t)~REFERENCED;
	if (p->q.env.accessed(p->q.env.ctx, f)) {
		note_cost(p, type, 0, 1);
		if (referenced) {
			activate(p, f);
		} else {
			row->mark |= REFERENCED;
			pg_lists_push(&p->q.lists, INACTIVE(type), f);
		}
		return false;
	}
	if (referenced && type == FILES && p->q.env.dirty(p->q.env.ctx, f)) {
		pg_lists_push(&p->q.lists, INACTIVE(type), f);
		return false;
	}
	return true;
}

static pg_pfn pick(struct pg_policy *b)
{
	struct twolist *p = of(b);
	struct pg_lists *l = &p->q.lists;
	uint64_t left = 3 * (size(p, 0) + size(p, 1) + size(p, 2) + size(p, 3));
	pg_pfn f = PG_PFN_NONE;

	for (; left > 0; left--) {
		unsigned type = next_type(p);

		if (inactive_is_low(p, type))
			deactivate(p, type);
		f = pg_lists_pop(l, INACTIVE(type));
		if (!pg_pfn_is_none(f) && goes(p, f))
			break;
		f = PG_PFN_NONE;
	}
	/* All are accessed faster than they are looked at. */
	for (unsigned q = 0; q < QUEUES && pg_pfn_is_none(f); q++)
		f = pg_lists_pop(l, q ^ INACTIVE(FILES));
	if (!pg_pfn_is_none(f)) {
		unsigned type = type_of(pg_lists_row(l, f));

		if (p->q.env.dirty(p->q.env.ctx, f))
			note_cost(p, type, 1, 0);
	}
	return f;
}

static void evicted(struct pg_policy *b, pg_pfn f, struct pg_page_key key)
{
	struct twolist *p = of(b);
	bool workingset = pg_lists_row(&p->q.lists, f)->mark & WORKINGSET;

	pg_ghosts_push(&p->q.ghosts[SHADOW], key, p->age * 2 + workingset);
	p->age++;
	pg_lists_forget(&p->q.lists, f);
}

/* It is in use: active, so that the inactive list does not fill up with such. shrink_folio_list, activate_locked. */
static void kept(struct pg_policy *p, pg_pfn f)
{
	activate(of(p), f);
}

/* folio_mark_accessed */
static void touched(struct pg_policy *b, pg_pfn f)
{
	struct twolist *p = of(b);
	struct pg_link *row = pg_lists_row(&p->q.lists, f);

	if (!(row->mark & REFERENCED)) {
		row->mark |= REFERENCED;
	} else if (pg_lists_on(&p->q.lists, f) == INACTIVE(type_of(row))) {
		pg_lists_take(&p->q.lists, f);
		activate(p, f);
	}
}

const struct pg_policy_ops pg_policy_twolist = {.name = "two-list",
	.summary = "active and inactive lists with refault distances, as in Linux",
	.source = "Linux 6.x, mm/vmscan.c and mm/workingset.c",
	.create = create,
	.destroy = pg_queues_destroy,
	.added = added,
	.removed = pg_queues_removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.touched = touched,
	.pages = pg_queues_pages,
	.check = pg_queues_check};
