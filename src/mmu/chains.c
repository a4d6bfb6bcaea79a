/* SPDX-License-Identifier: MIT */
/*
 * mmu/chains.c: see chains.h.
 *
 * Invariants (pg_chains_check):
 *   H1 each element is on the chain that its page and owner hash to, and no two are alike.
 *   H2 of the old heads those below `moved` are empty, and so are of the new ones those that are
 *      not reached yet.
 *   H3 elements is their number.
 */
#include "mmu/chains.h"

#include <errno.h>

#define LEAST_BITS 9 /* one frame of heads */
#define STEP 2       /* old chains moved at each change; one would do to be ready in time */

static pg_link *heads_at(const struct pg_chains *c, const struct pg_heads *h)
{
	return pg_link_at(c->bytes, h->at);
}

/* Empty heads. False: no frames. */
static bool heads_make(const struct pg_chains *c, struct pg_heads *h, unsigned bits)
{
	h->at = pg_node_take(c->fs, bits - LEAST_BITS, c->owner, c->count);
	h->bits = bits;
	return h->at != 0;
}

int pg_chains_init(struct pg_chains *c, struct pg_frames *fs, struct pg_records *pool, void *owner,
	struct pg_node_count *count, bool at_once)
{
	*c = (struct pg_chains){.fs = fs,
		.pool = pool,
		.bytes = pg_frames_bytes(fs, (pg_pfn){0}),
		.owner = owner,
		.count = count,
		.at_once = at_once};
	return heads_make(c, &c->heads, LEAST_BITS) ? 0 : -ENOMEM;
}

static struct pg_element *element_at(const struct pg_chains *c, pg_link l)
{
	return pg_link_at(c->bytes, l);
}

static uint64_t hash_of(const struct pg_element *e)
{
	return pg_chains_hash((uint16_t)(e->link >> PG_LINK_BITS), e->page);
}

/* Puts an element at the front of a chain. */
static void push(pg_link *head, struct pg_element *e, pg_link l)
{
	e->link = (e->link & ~PG_LINK_MASK) | *head;
	*head = l & PG_LINK_MASK;
}

/* Moves chain i of `from` to the heads that are current. */
static void move_chain(struct pg_chains *c, const struct pg_heads *from, uint64_t i)
{
	pg_link l = heads_at(c, from)[i], next;

	heads_at(c, from)[i] = 0;
	for (; l; l = next) {
		struct pg_element *e = element_at(c, l);

		next = e->link & PG_LINK_MASK;
		push(heads_at(c, &c->heads) + (hash_of(e) >> (64 - c->heads.bits)), e, l);
	}
}

/* Moves n chains more of a growth under way. */
static void move_some(struct pg_chains *c, uint64_t n)
{
	uint64_t all;

	if (!c->old.at)
		return;
	all = (uint64_t)1 << c->old.bits;
	for (; n && c->moved < all; n--)
		move_chain(c, &c->old, c->moved++);
	if (c->moved == all) {
		pg_node_give(c->fs, c->old.at, c->count);
		c->old.at = 0;
	}
}

static void maybe_grow(struct pg_chains *c)
{
	struct pg_heads bigger;

	if (c->old.at || c->elements <= (uint64_t)1 << c->heads.bits ||
		!heads_make(c, &bigger, c->heads.bits + 1))
		return;
	c->old = c->heads;
	c->heads = bigger;
	c->moved = 0;
	if (c->at_once)
		move_some(c, UINT64_MAX);
}

static void maybe_shrink(struct pg_chains *c)
{
	struct pg_heads was = c->heads, smaller;
	unsigned bits = LEAST_BITS;

	if (c->old.at || was.bits == LEAST_BITS || c->elements >= (uint64_t)1 << (was.bits - 3))
		return;
	while ((uint64_t)1 << bits < 2 * c->elements)
		bits++;
	if (!heads_make(c, &smaller, bits))
		return;
	c->heads = smaller;
	for (uint64_t i = 0; i < (uint64_t)1 << was.bits; i++)
		move_chain(c, &was, i);
	pg_node_give(c->fs, was.at, c->count);
}

struct pg_element *pg_chains_add(struct pg_chains *c, uint16_t owner, uint64_t page)
{
	pg_link l = pg_records_take(c->pool);
	struct pg_element *e;

	if (!l)
		return NULL;
	e = element_at(c, l);
	e->page = page;
	e->link = (uint64_t)owner << PG_LINK_BITS;
	c->elements++;
	maybe_grow(c);
	move_some(c, STEP);
	push(pg_chains_head(c, hash_of(e)), e, l);
	return e;
}

/* Takes the element of (owner, page), which is there, off its chain; its link. */
static pg_link take_off(struct pg_chains *c, uint16_t owner, uint64_t page)
{
	uint64_t *at = pg_chains_head(c, pg_chains_hash(owner, page));
	struct pg_element *e;
	pg_link l;

	for (;; at = &e->link) {
		l = *at & PG_LINK_MASK;
		PG_ASSERT(l);
		e = element_at(c, l);
		if (e->page == page && e->link >> PG_LINK_BITS == owner)
			break;
	}
	*at = (*at & ~PG_LINK_MASK) | (e->link & PG_LINK_MASK);
	return l;
}

struct pg_element *pg_chains_rename(
	struct pg_chains *c, uint16_t owner, uint64_t page, uint16_t to_owner, uint64_t to_page)
{
	pg_link l = take_off(c, owner, page);
	struct pg_element *e = element_at(c, l);

	e->page = to_page;
	e->link = (uint64_t)to_owner << PG_LINK_BITS;
	push(pg_chains_head(c, hash_of(e)), e, l);
	return e;
}

void pg_chains_remove(struct pg_chains *c, uint16_t owner, uint64_t page)
{
	pg_records_give(c->pool, take_off(c, owner, page));
	c->elements--;
	move_some(c, STEP);
	maybe_shrink(c);
}

static void end_chains(struct pg_chains *c, const struct pg_heads *h)
{
	pg_link next;

	for (uint64_t i = 0; i < (uint64_t)1 << h->bits; i++) {
		for (pg_link l = heads_at(c, h)[i]; l; l = next) {
			next = element_at(c, l)->link & PG_LINK_MASK;
			pg_records_give(c->pool, l);
		}
	}
	pg_node_give(c->fs, h->at, c->count);
}

void pg_chains_end(struct pg_chains *c)
{
	if (c->old.at)
		end_chains(c, &c->old);
	end_chains(c, &c->heads);
}

/* One chain of `h`: adds its elements to *n. */
static const char *check_chain(const struct pg_chains *c, const struct pg_heads *h, uint64_t i,
	const char *(*f)(void *ctx, uint16_t owner, const struct pg_element *e), void *ctx,
	uint64_t *n)
{
	const pg_link *head = heads_at(c, h) + i;

	for (pg_link l = *head; l & PG_LINK_MASK; l = element_at(c, l)->link) {
		const struct pg_element *e = element_at(c, l), *o;
		const char *bad;

		if (!(l & 1) || (l & PG_LINK_MASK) >> PG_PAGE_SHIFT >= pg_frames_total(c->fs) ||
			++*n > c->elements)
			return "H3: the count of elements";
		if (pg_chains_head(c, hash_of(e)) != head)
			return "H1: an element on the wrong chain";
		for (pg_link k = *head; (o = element_at(c, k)) != e; k = o->link)
			if (o->page == e->page &&
				o->link >> PG_LINK_BITS == e->link >> PG_LINK_BITS)
				return "H1: two elements of one page";
		bad = f(ctx, (uint16_t)(e->link >> PG_LINK_BITS), e);
		if (bad)
			return bad;
	}
	return NULL;
}

const char *pg_chains_check(const struct pg_chains *c,
	const char *(*f)(void *ctx, uint16_t owner, const struct pg_element *e), void *ctx)
{
	const char *bad = NULL;
	uint64_t n = 0, all = (uint64_t)1 << c->heads.bits;

	for (uint64_t i = 0; c->old.at && !bad && i < (uint64_t)1 << c->old.bits; i++) {
		if (i < c->moved && heads_at(c, &c->old)[i])
			return "H2: an old chain that was moved";
		bad = check_chain(c, &c->old, i, f, ctx, &n);
	}
	for (uint64_t i = 0; !bad && i < all; i++) {
		if (c->old.at && i >> 1 >= c->moved && heads_at(c, &c->heads)[i])
			return "H2: a new chain before its time";
		bad = check_chain(c, &c->heads, i, f, ctx, &n);
	}
	return bad || n == c->elements ? bad : "H3: the count of elements";
}
