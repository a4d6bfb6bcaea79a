/* SPDX-License-Identifier: MIT */
/*
 * mmu/pageset.c: see pageset.h.
 *
 * Invariants (pg_pageset_check):
 *   Y1 blocks are in order, each once, and no priority is above that of the node over it.
 *   Y2 no node is without pages.
 */
#include "mmu/pageset.h"

#include <errno.h>

struct node {
	uint64_t block; /* page number >> 6 */
	uint64_t pages; /* bit i: page block * 64 + i */
	pg_link kid[2]; /* smaller, greater */
};
_Static_assert(sizeof(struct node) == PG_PAGESET_SLOT, "a slot is a node");

static struct node *at(const struct pg_pageset *s, pg_link l)
{
	return pg_link_at(s->pool->bytes, l);
}

/* Steele, Lea and Flood's mixer: one to one, so no two blocks have the same. */
static uint64_t priority(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Where the link to a block is, or would be as a leaf. */
static pg_link *find(struct pg_pageset *s, uint64_t block)
{
	pg_link *l = &s->root;

	while (*l && at(s, *l)->block != block)
		l = &at(s, *l)->kid[block > at(s, *l)->block];
	return l;
}

/* Hangs a new node in: where priorities say so, what was there cut in two below it. */
static void insert(struct pg_pageset *s, pg_link fresh)
{
	struct node *n = at(s, fresh);
	pg_link *l = &s->root, *below[2] = {&n->kid[0], &n->kid[1]}, rest;

	while (*l && priority(at(s, *l)->block) > priority(n->block))
		l = &at(s, *l)->kid[n->block > at(s, *l)->block];
	rest = *l;
	*l = fresh;
	while (rest) {
		bool smaller = at(s, rest)->block < n->block;

		*below[!smaller] = rest;
		below[!smaller] = &at(s, rest)->kid[smaller];
		rest = *below[!smaller];
	}
	*below[0] = *below[1] = 0;
}

int pg_pageset_add(struct pg_pageset *s, uint64_t vpn)
{
	pg_link l = *find(s, vpn >> 6);

	if (!l) {
		l = pg_records_take(s->pool);
		if (!l)
			return -ENOMEM;
		at(s, l)->block = vpn >> 6;
		insert(s, l);
	}
	PG_ASSERT(!(at(s, l)->pages >> (vpn & 63) & 1));
	at(s, l)->pages |= (uint64_t)1 << (vpn & 63);
	return 0;
}

void pg_pageset_remove(struct pg_pageset *s, uint64_t vpn)
{
	pg_link *l = find(s, vpn >> 6), gone = *l, a, b;
	struct node *n = at(s, gone);

	PG_ASSERT(gone && (n->pages >> (vpn & 63) & 1));
	n->pages &= ~((uint64_t)1 << (vpn & 63));
	if (n->pages)
		return;
	a = n->kid[0];
	b = n->kid[1];
	while (a && b) { /* the greater priority on top, again and again */
		if (priority(at(s, a)->block) > priority(at(s, b)->block)) {
			*l = a;
			l = &at(s, a)->kid[1];
			a = *l;
		} else {
			*l = b;
			l = &at(s, b)->kid[0];
			b = *l;
		}
	}
	*l = a ? a : b;
	pg_records_give(s->pool, gone);
}

/* The node of the least block at or above `block`, or NULL. */
static const struct node *least(const struct pg_pageset *s, uint64_t block)
{
	const struct node *best = NULL;

	for (pg_link l = s->root; l;) {
		const struct node *n = at(s, l);

		if (n->block >= block)
			best = n;
		if (n->block == block)
			break;
		l = n->kid[n->block < block];
	}
	return best;
}

bool pg_pageset_next(const struct pg_pageset *s, uint64_t from, uint64_t end, uint64_t *found)
{
	const struct node *n = least(s, from >> 6);
	uint64_t pages;

	if (!n)
		return false;
	pages = n->pages;
	if (n->block == from >> 6) {
		pages &= UINT64_MAX << (from & 63);
		if (!pages) {
			n = least(s, (from >> 6) + 1);
			if (!n)
				return false;
			pages = n->pages;
		}
	}
	*found = n->block << 6 | (uint64_t)__builtin_ctzll(pages);
	return *found < end;
}

static const char *check_below(const struct pg_pageset *s, pg_link l, uint64_t lo, uint64_t hi,
	uint64_t top, uint64_t *pages, uint64_t *nodes)
{
	const struct node *n;
	const char *bad;

	if (!l)
		return NULL;
	n = at(s, l);
	if (n->block < lo || n->block >= hi || priority(n->block) > top)
		return "Y1: the order of a page set";
	if (!n->pages)
		return "Y2: an empty node of a page set";
	*pages += (uint64_t)__builtin_popcountll(n->pages);
	++*nodes;
	bad = check_below(s, n->kid[0], lo, n->block, priority(n->block), pages, nodes);
	return bad ? bad
		   : check_below(s, n->kid[1], n->block + 1, hi, priority(n->block), pages, nodes);
}

const char *pg_pageset_check(const struct pg_pageset *s, uint64_t *pages, uint64_t *nodes)
{
	return check_below(s, s->root, 0, UINT64_MAX, UINT64_MAX, pages, nodes);
}
