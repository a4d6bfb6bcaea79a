/* SPDX-License-Identifier: MIT */
/*
 * reclaim/mglru.c: the multi-generational LRU, as in Linux: pages are in generations, by when they were last seen to be
 * accessed; the oldest generation is reclaimed, and its pages that were accessed join the youngest.
 *
 * Called through pg_policies[]. Owns the generations, four at most for private memory and for files each, and ghosts.
 *
 * Source: Linux 6.x: mm/vmscan.c (lru_gen_*, try_to_inc_max_seq, isolate_folios, get_type_to_scan, get_tier_idx),
 * Documentation/mm/multigen_lru.rst. Swappiness is 60.
 *
 *   aging     makes a new youngest generation and moves all pages that were accessed into it (Linux walks page tables; here each
 *             page is looked at). Done when the oldest but one is the youngest; and when too many pages are young or
 *             too few old, once an eighth of the pages was reclaimed since.
 *   eviction  takes the oldest page of the oldest generation, of the kind that refaults less.
 *   tiers     pages of files that system calls touched several times are in tiers by the logarithm of that; a tier that
 *             refaults more than the first is protected: its pages move on one generation instead.
 *   feedback  refaults against evictions, by kind and tier, with the past counting half as much at each aging.
 *
 * Left out: Bloom filters and the walk of neighbours, which only save looks; memory cgroups.
 *
 * Invariants (beside those of lists.h):
 *   G1 min_seq <= max_seq < min_seq + GENS for each kind; a page is in the list of a generation in that range.
 */
#include "reclaim/policies.h"
#include "reclaim/queues.h"

enum {
	ANON,
	FILES,
	TYPES,
};

#define GENS 4u     /* MAX_NR_GENS */
#define GENS_MIN 2u /* MIN_NR_GENS */
#define TIERS 4u    /* MAX_NR_TIERS */
#define REFS_MAX 7u
#define BATCH 64u /* MIN_LRU_BATCH */
#define SWAPPINESS 60u

/* Feedback of one kind and tier. */
struct tier {
	uint64_t refaulted, evicted; /* evicted, or protected from it; since the last aging */
	uint64_t avg_refaulted, avg_total;
};

/* Ghosts; value: max_seq when evicted * 8 + references. */
enum { SHADOW };

struct mglru {
	struct pg_queues
		q; /* first; queue: type * GENS + seq % GENS; mark: references by calls; was: type when picked */
	uint64_t max_seq, min_seq[TYPES];
	uint64_t since_aging; /* evictions */
	struct tier tier[TYPES][TIERS];
};

static struct mglru *of(struct pg_policy *p)
{
	return (struct mglru *)p;
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	static const struct pg_queues_shape shape = {sizeof(struct mglru), TYPES * GENS, {1}};
	int err = pg_queues_create(env, frames, args, &shape, out);

	if (err)
		return err;
	struct mglru *p = of(*out);
	p->max_seq = GENS_MIN + 1;
	p->min_seq[ANON] = p->min_seq[FILES] = p->max_seq - GENS_MIN + 1;
	return 0;
}

static unsigned queue_of(unsigned type, uint64_t seq)
{
	return type * GENS + (unsigned)(seq % GENS);
}

static uint64_t size(const struct mglru *p, unsigned type, uint64_t seq)
{
	return p->q.lists.q[queue_of(type, seq)].count;
}

/* Tier of a page with that many references by calls: the logarithm, rounded up. */
static unsigned tier_of(unsigned refs)
{
	unsigned tier = 0;

	while (1u << tier < refs + 1)
		tier++;
	return tier < TIERS ? tier : TIERS - 1;
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	struct mglru *p = of(b);
	unsigned type = info->key.object ? FILES : ANON, refs = 0;
	uint64_t seq = p->min_seq[type], shadow;

	pg_lists_know(&p->q.lists, f);
	if (pg_ghosts_take(&p->q.ghosts[SHADOW], info->key, &shadow) &&
		p->max_seq - shadow / 8 < GENS) {
		refs = shadow % 8;
		p->tier[type][tier_of(refs)].refaulted++;
	}
	/* On demand: the youngest. Else the oldest, or the one behind it for private memory. */
	if (info->why == PG_PAGE_DEMAND)
		seq = p->max_seq;
	else if (type == ANON)
		seq = p->min_seq[type] + 1;
	pg_lists_row(&p->q.lists, f)->mark = (uint8_t)refs;
	pg_lists_push(&p->q.lists, queue_of(type, seq), f);
}

/* The oldest generation of a kind joins the next. */
static void merge_oldest(struct mglru *p, unsigned type)
{
	struct pg_lists *l = &p->q.lists;
	unsigned from = queue_of(type, p->min_seq[type]), to = queue_of(type, p->min_seq[type] + 1);

	/* From its young end, each to the old end: their order stays. */
	while (l->q[from].count) {
		pg_pfn f = {l->q[from].tail};

		pg_lists_take(l, f);
		pg_lists_push_head(l, to, f);
	}
	p->min_seq[type]++;
}

/* A new youngest generation, of the pages that were accessed. */
static void age(struct mglru *p)
{
	struct pg_lists *l = &p->q.lists;

	for (unsigned type = 0; type < TYPES; type++)
		if (p->max_seq - p->min_seq[type] + 1 == GENS)
			merge_oldest(p, type);
	p->max_seq++;
	for (unsigned type = 0; type < TYPES; type++)
		for (uint64_t seq = p->min_seq[type]; seq < p->max_seq; seq++)
			for (pg_pfn f = pg_lists_head(l, queue_of(type, seq)), next;
				!pg_pfn_is_none(f); f = next) {
				next = pg_lists_next(l, f);
				if (p->q.env.accessed(p->q.env.ctx, f))
					pg_lists_move(l, queue_of(type, p->max_seq), f);
			}
	for (unsigned type = 0; type < TYPES; type++)
		for (unsigned i = 0; i < TIERS; i++) {
			struct tier *t = &p->tier[type][i];

			t->avg_refaulted = (t->avg_refaulted + t->refaulted) / 2;
			t->avg_total = (t->avg_total + t->evicted) / 2;
			t->refaulted = t->evicted = 0;
		}
	p->since_aging = 0;
}

/* Empty generations that are old are done with. */
static void skip_empty(struct mglru *p)
{
	for (unsigned type = 0; type < TYPES; type++)
		while (p->min_seq[type] + GENS_MIN <= p->max_seq &&
			!size(p, type, p->min_seq[type]))
			p->min_seq[type]++;
}

/* should_run_aging */
static bool wants_aging(const struct mglru *p)
{
	uint64_t young = 0, old = 0, total = 0;

	if (p->since_aging < p->q.lists.known / 8)
		return false;
	for (unsigned type = 0; type < TYPES; type++)
		for (uint64_t seq = p->min_seq[type]; seq <= p->max_seq; seq++) {
			uint64_t n = size(p, type, seq);

			total += n;
			young += seq == p->max_seq ? n : 0;
			old += seq + GENS_MIN == p->max_seq ? n : 0;
		}
	for (unsigned type = 0; type < TYPES; type++)
		if (p->min_seq[type] + GENS_MIN < p->max_seq && size(p, type, p->min_seq[type]))
			return false; /* there is enough to do */
	return young * GENS_MIN > total || old * (GENS_MIN + 2) < total;
}

/* positive_ctrl_err: true if b refaults less than a, or hardly ever. */
static bool refaults_less(
	const struct tier *a, unsigned gain_a, const struct tier *b, unsigned gain_b)
{
	uint64_t refaulted_a = a->avg_refaulted + a->refaulted, total_a = a->avg_total + a->evicted;
	uint64_t refaulted_b = b->avg_refaulted + b->refaulted, total_b = b->avg_total + b->evicted;

	return refaulted_b < BATCH ||
	       refaulted_b * (total_a + BATCH) * gain_a <= (refaulted_a + 1) * total_b * gain_b;
}

/* The highest tier that is not protected. */
static unsigned open_tier(const struct mglru *p, unsigned type)
{
	unsigned i = 1;

	while (i < TIERS && refaults_less(&p->tier[type][0], 1, &p->tier[type][i], 2))
		i++;
	return i - 1;
}

static bool has_old(const struct mglru *p, unsigned type)
{
	return size(p, type, p->min_seq[type]) > 0;
}

static unsigned next_type(const struct mglru *p)
{
	if (!has_old(p, ANON) || !has_old(p, FILES))
		return has_old(p, ANON) ? ANON : FILES;
	if (p->min_seq[ANON] != p->min_seq[FILES])
		return p->min_seq[ANON] < p->min_seq[FILES] ? ANON : FILES;
	return refaults_less(&p->tier[ANON][0], SWAPPINESS, &p->tier[FILES][0], 200 - SWAPPINESS)
		       ? FILES
		       : ANON;
}

/* The first page of the oldest generations, whatever it is. */
static pg_pfn any_oldest(struct mglru *p)
{
	for (uint64_t i = 0; i < GENS; i++)
		for (unsigned type = 0; type < TYPES; type++) {
			pg_pfn f = PG_PFN_NONE;

			if (p->min_seq[type] + i <= p->max_seq)
				f = pg_lists_pop(&p->q.lists, queue_of(type, p->min_seq[type] + i));
			if (!pg_pfn_is_none(f)) {
				pg_lists_row(&p->q.lists, f)->was = (uint8_t)type;
				return f;
			}
		}
	return PG_PFN_NONE;
}

static pg_pfn pick(struct pg_policy *b)
{
	struct mglru *p = of(b);
	struct pg_lists *l = &p->q.lists;
	unsigned agings = 0, type;

	skip_empty(p);
	if (wants_aging(p)) {
		age(p);
		agings++;
	}
	for (;;) {
		struct pg_link *row;
		pg_pfn f;

		skip_empty(p);
		type = next_type(p);
		f = pg_lists_pop(l, queue_of(type, p->min_seq[type]));
		if (pg_pfn_is_none(f)) {
			/* No kind has old pages. Once all have been looked at twice, any will do. */
			if (agings >= 2)
				return any_oldest(p);
			age(p);
			agings++;
			continue;
		}
		row = pg_lists_row(l, f);
		if (tier_of(row->mark) > open_tier(p, type)) {
			p->tier[type][tier_of(row->mark)].evicted++;
			row->mark = 0; /* it has its reward */
			pg_lists_push(l, queue_of(type, p->min_seq[type] + 1), f);
		} else if (p->q.env.accessed(p->q.env.ctx, f)) {
			pg_lists_push(l, queue_of(type, p->max_seq), f);
		} else {
			row->was = (uint8_t)type;
			return f;
		}
	}
}

static void evicted(struct pg_policy *b, pg_pfn f, struct pg_page_key key)
{
	struct mglru *p = of(b);
	struct pg_link *row = pg_lists_row(&p->q.lists, f);

	p->tier[row->was][tier_of(row->mark)].evicted++;
	p->since_aging++;
	pg_ghosts_push(&p->q.ghosts[SHADOW], key, p->max_seq * 8 + row->mark);
	pg_lists_forget(&p->q.lists, f);
}

static void kept(struct pg_policy *b, pg_pfn f)
{
	struct mglru *p = of(b);
	unsigned type = pg_lists_row(&p->q.lists, f)->was;

	pg_lists_push(&p->q.lists, queue_of(type, p->min_seq[type] + 1), f);
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	struct pg_link *row = pg_lists_row(&of(p)->q.lists, f);

	row->mark = (uint8_t)(row->mark + (row->mark < REFS_MAX));
}

static const char *check(const struct pg_policy *b)
{
	const struct mglru *p = (const struct mglru *)b;
	const char *broken = pg_queues_check(b);

	for (unsigned type = 0; type < TYPES && !broken; type++) {
		if (p->min_seq[type] > p->max_seq || p->max_seq >= p->min_seq[type] + GENS)
			broken = "G1: the generations";
		for (uint64_t seq = p->max_seq + 1; !broken && seq < p->min_seq[type] + GENS; seq++)
			if (size(p, type, seq))
				broken = "G1: a generation that is not there has pages";
	}
	return broken;
}

const struct pg_policy_ops pg_policy_mglru = {.name = "mglru",
	.summary = "generations by when pages were last seen to be accessed, as in Linux",
	.source = "Linux 6.x, mm/vmscan.c and Documentation/mm/multigen_lru.rst",
	.create = create,
	.destroy = pg_queues_destroy,
	.added = added,
	.removed = pg_queues_removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.touched = touched,
	.pages = pg_queues_pages,
	.check = check};
