/* SPDX-License-Identifier: MIT */
/*
 * reclaim/clockpro.c: CLOCK-Pro: pages are hot or cold by reuse distance, not by how often they were used; a cold page has
 * a test period, and keeps its place in the clock through it even when it has been evicted.
 *
 * Called through pg_policies[]. Owns the clock, a ring of nodes for resident pages and for ghosts in their test period.
 * A page's first access does not count (fresh.h).
 *
 * Source: S. Jiang, F. Chen, X. Zhang, "CLOCK-Pro: an effective improvement of the CLOCK replacement", USENIX 2005, 4.2-4.3.
 *
 *   hand_cold  looks for the page to evict: a cold one that was not accessed. One that was, in its test period, becomes
 *              hot; outside of it, begins one. Both go to the head of the ring.
 *   hand_hot   runs when there are more hot pages than there should be: takes the bit of hot pages, makes one without it
 *              cold, and ends the test periods that it passes. The head of the ring is just behind it.
 *   hand_test  runs when there are more ghosts than pages of memory: ends test periods.
 *   m_c        pages of memory that should be cold: one more for each access in a test period, one less for each that
 *              ends without.
 *
 * Invariants (pg_policy check):
 *   O1 the ring is linked both ways; every node in it is a page that is known and not picked, or a ghost.
 *   O2 the counts of hot, cold and ghost nodes are those of the ring; ghosts are in their test period.
 *   O3 each ghost is found by its key; there are no more of them than frames.
 */
#include "reclaim/fresh.h"
#include "reclaim/lists.h"
#include "reclaim/policies.h"

#include <errno.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct node {
	struct pg_page_key key;
	uint32_t prev, next; /* of the ring; next also of the free ghosts */
	bool in;             /* on the ring */
	bool known;          /* resident: the node's number is its frame's */
	bool ghost, hot, test, touched;
};

/* Nodes [0, frames) are those of the frames, the others those of ghosts. */
struct clockpro {
	struct pg_policy base; /* first */
	struct pg_policy_env env;
	uint32_t frames;
	struct node *nodes;                      /* [2 * frames + 1]; owned */
	struct pg_ghosts find;                   /* key -> node of a ghost */
	uint32_t free;                           /* ghost nodes not in use */
	uint32_t hand_hot, hand_cold, hand_test; /* nodes of the ring, or NONE when it is empty */
	uint64_t hot, cold, ghosts;              /* nodes on the ring */
	uint64_t known;                          /* pages, picked ones too */
	uint64_t m_c;
	uint64_t left; /* looks that are left for this call; then pages count as not accessed */
	struct pg_fresh fresh;
};

static struct clockpro *of(struct pg_policy *p)
{
	return (struct clockpro *)p;
}

static void destroy(struct pg_policy *p)
{
	free(of(p)->nodes);
	pg_ghosts_free(&of(p)->find);
	free(p);
}

static int create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct clockpro *p;

	if (*args)
		return -EINVAL;
	p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->env = *env;
	p->frames = frames;
	p->fresh.f = PG_PFN_NONE;
	p->hand_hot = p->hand_cold = p->hand_test = NONE;
	p->m_c = 1;
	p->nodes = calloc(2 * (size_t)frames + 1, sizeof *p->nodes);
	if (!p->nodes || pg_ghosts_init(&p->find, frames + 1)) {
		destroy(&p->base);
		return -ENOMEM;
	}
	p->free = NONE;
	for (uint32_t i = 2 * frames + 1; i > frames; i--) {
		p->nodes[i - 1].next = p->free;
		p->free = i - 1;
	}
	*out = &p->base;
	return 0;
}

/* --- the ring */

static uint64_t *counter(struct clockpro *p, const struct node *n)
{
	return n->ghost ? &p->ghosts : n->hot ? &p->hot : &p->cold;
}

/* Puts a node in front of another: the hands come to it first. */
static void insert_before(struct clockpro *p, uint32_t i, uint32_t at)
{
	struct node *n = &p->nodes[i];

	n->in = true;
	++*counter(p, n);
	if (at == NONE) {
		n->prev = n->next = i;
		p->hand_hot = p->hand_cold = p->hand_test = i;
		return;
	}
	n->next = at;
	n->prev = p->nodes[at].prev;
	p->nodes[n->prev].next = i;
	p->nodes[at].prev = i;
}

/* At the head: hand_hot comes there last. */
static void insert_head(struct clockpro *p, uint32_t i)
{
	insert_before(p, i, p->hand_hot);
}

static void take(struct clockpro *p, uint32_t i)
{
	struct node *n = &p->nodes[i];
	uint32_t next = n->next == i ? NONE : n->next;

	n->in = false;
	--*counter(p, n);
	p->nodes[n->prev].next = n->next;
	p->nodes[n->next].prev = n->prev;
	if (p->hand_hot == i)
		p->hand_hot = next;
	if (p->hand_cold == i)
		p->hand_cold = next;
	if (p->hand_test == i)
		p->hand_test = next;
}

static void set_hot(struct clockpro *p, uint32_t i, bool hot)
{
	struct node *n = &p->nodes[i];

	--*counter(p, n);
	n->hot = hot;
	++*counter(p, n);
}

static void forget_ghost(struct clockpro *p, uint32_t i)
{
	take(p, i);
	PG_ASSERT(pg_ghosts_take(&p->find, p->nodes[i].key, NULL));
	p->nodes[i] = (struct node){.next = p->free};
	p->free = i;
}

/* True if the page was accessed since the last look. Where every page is accessed all the time, looking ends all the same. */
static bool look(struct clockpro *p, uint32_t i)
{
	bool used;

	if (p->left == 0)
		return false;
	p->left--;
	used = p->env.accessed(p->env.ctx, (pg_pfn){i}) || p->nodes[i].touched;
	p->nodes[i].touched = false;
	return used;
}

static void less_cold(struct clockpro *p)
{
	p->m_c -= p->m_c > 1;
}

static void more_cold(struct clockpro *p)
{
	p->m_c += p->m_c + 1 < p->env.capacity(p->env.ctx);
}

/* A hand passes a cold page or a ghost: its test period, if it has one, is over. */
static void end_test(struct clockpro *p, uint32_t i)
{
	struct node *n = &p->nodes[i];

	if (n->hot || !n->test)
		return;
	n->test = false;
	less_cold(p);
	if (n->ghost)
		forget_ghost(p, i);
}

/* Until there are `most` hot pages at the most. */
static void run_hot(struct clockpro *p, uint64_t most)
{
	while (p->hot > most) {
		uint32_t i = p->hand_hot;
		struct node *n = &p->nodes[i];

		p->hand_hot = n->next;
		if (!n->hot) {
			end_test(p, i);
		} else if (!look(p, i)) {
			set_hot(p, i, false);
			n->test = false;
		}
		/* A page that keeps its heat is now just behind the hand: at the head. */
	}
	/* The hand stops at a hot page. */
	while (p->hot && !p->nodes[p->hand_hot].hot) {
		uint32_t i = p->hand_hot;

		p->hand_hot = p->nodes[i].next;
		end_test(p, i);
	}
}

static void run_test(struct clockpro *p, uint64_t most)
{
	while (p->ghosts > most) {
		uint32_t i = p->hand_test;

		p->hand_test = p->nodes[i].next;
		end_test(p, i);
	}
}

static uint64_t hot_target(const struct clockpro *p)
{
	uint64_t m = p->env.capacity(p->env.ctx);

	return m > p->m_c ? m - p->m_c : 0;
}

static void added(struct pg_policy *b, pg_pfn f, const struct pg_page_info *info)
{
	struct clockpro *p = of(b);
	struct node *n = &p->nodes[f.v];
	uint64_t ghost;

	pg_fresh_added(&p->fresh, &p->env, f, info);
	PG_ASSERT(f.v < p->frames && !n->known);
	*n = (struct node){.key = info->key, .known = true};
	p->known++;
	if (pg_ghosts_find(&p->find, info->key, &ghost)) {
		/* Back within its test period. */
		forget_ghost(p, (uint32_t)ghost);
		more_cold(p);
		n->hot = true;
		insert_head(p, f.v);
		p->left = 2 * p->hot;
		run_hot(p, hot_target(p));
		return;
	}
	if (p->hot < hot_target(p) && !p->cold && !p->ghosts)
		n->hot = true; /* at the very beginning all are hot */
	else
		n->test = true;
	insert_head(p, f.v);
}

static void drop(struct clockpro *p, pg_pfn f)
{
	PG_ASSERT(p->nodes[f.v].known);
	if (p->nodes[f.v].in)
		take(p, f.v);
	p->nodes[f.v] = (struct node){0};
	p->known--;
	pg_fresh_gone(&p->fresh, f);
}

static void removed(struct pg_policy *p, pg_pfn f)
{
	drop(of(p), f);
}

static pg_pfn pick(struct pg_policy *b)
{
	struct clockpro *p = of(b);
	p->left = 4 * (p->hot + p->cold);
	pg_fresh_settle(&p->fresh, &p->env);
	while (p->hot + p->cold > 0) {
		struct node *n;
		uint32_t i;

		if (!p->cold)
			run_hot(p, p->hot - 1);
		i = p->hand_cold;
		n = &p->nodes[i];
		p->hand_cold = n->next;
		if (n->hot || n->ghost)
			continue;
		if (!look(p, i)) {
			/* Its ghost takes its place. The node itself is off the ring until the outcome. */
			if (n->test) {
				uint32_t g = p->free;

				p->free = p->nodes[g].next;
				p->nodes[g] =
					(struct node){.key = n->key, .ghost = true, .test = true};
				insert_before(p, g, i);
				if (p->hand_hot == i)
					p->hand_hot = g;
				if (p->hand_test == i)
					p->hand_test = g;
				pg_ghosts_push(&p->find, n->key, g);
			}
			take(p, i);
			run_test(p, p->env.capacity(p->env.ctx) < p->frames
					    ? p->env.capacity(p->env.ctx)
					    : p->frames);
			return (pg_pfn){i};
		}
		take(p, i);
		if (n->test) {
			more_cold(p);
			n->test = false;
			n->hot = true;
			insert_head(p, i);
			run_hot(p, hot_target(p));
		} else {
			n->test = true;
			insert_head(p, i);
		}
	}
	return PG_PFN_NONE;
}

static void evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key)
{
	drop(of(p), f);
}

/* It is in use: hot, and another page becomes cold for it. */
static void kept(struct pg_policy *b, pg_pfn f)
{
	struct clockpro *p = of(b);
	struct node *n = &p->nodes[f.v];
	uint64_t ghost;

	if (pg_ghosts_find(&p->find, n->key, &ghost))
		forget_ghost(p, (uint32_t)ghost);
	n->test = false;
	n->hot = true;
	insert_head(p, f.v);
	p->left = 2 * p->hot;
	run_hot(p, hot_target(p));
}

static void touched(struct pg_policy *p, pg_pfn f)
{
	if (of(p)->fresh.f.v != f.v)
		of(p)->nodes[f.v].touched = true;
}

static uint64_t pages(const struct pg_policy *p)
{
	return ((const struct clockpro *)p)->known;
}

static const char *check(const struct pg_policy *b)
{
	const struct clockpro *p = (const struct clockpro *)b;
	uint64_t hot = 0, cold = 0, ghosts = 0, seen = 0, in = 0, known = 0;
	uint32_t i = p->hand_hot;

	for (; i != NONE && seen <= 2 * (uint64_t)p->frames; seen++) {
		const struct node *n = &p->nodes[i];
		uint64_t g;

		if (!n->in || p->nodes[n->next].prev != i || n->ghost != (i >= p->frames) ||
			(!n->ghost && !n->known))
			return "O1: the ring is broken";
		if (n->ghost && (!n->test || n->hot))
			return "O2: a ghost outside of its test period";
		if (n->ghost && (!pg_ghosts_find(&p->find, n->key, &g) || g != i))
			return "O3: a ghost that is not found";
		ghosts += n->ghost;
		hot += n->hot;
		cold += !n->hot && !n->ghost;
		i = n->next;
		if (i == p->hand_hot) {
			seen++;
			break;
		}
	}
	for (uint32_t k = 0; k < 2 * p->frames + 1; k++) {
		in += p->nodes[k].in;
		known += p->nodes[k].known;
	}
	if (in != seen || (p->hand_hot == NONE) != (seen == 0) || known != p->known)
		return "O1: a node says that it is on the ring, or known, and is not";
	if (hot != p->hot || cold != p->cold || ghosts != p->ghosts)
		return "O2: the counts of the ring";
	if (seen && (!p->nodes[p->hand_cold].in || !p->nodes[p->hand_test].in))
		return "O1: a hand is off the ring";
	if (ghosts > p->frames || p->find.count != ghosts)
		return "O3: the number of ghosts";
	return pg_ghosts_check(&p->find);
}

const struct pg_policy_ops pg_policy_clockpro = {.name = "clock-pro",
	.summary = "hot and cold pages by reuse distance, with test periods",
	.source =
		"Jiang, Chen, Zhang, CLOCK-Pro: an effective improvement of the CLOCK replacement, "
		"USENIX 2005",
	.create = create,
	.destroy = destroy,
	.added = added,
	.removed = removed,
	.pick = pick,
	.evicted = evicted,
	.kept = kept,
	.touched = touched,
	.pages = pages,
	.check = check};
