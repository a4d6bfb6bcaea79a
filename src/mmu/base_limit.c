/* SPDX-License-Identifier: MIT */
/*
 * mmu/base_limit.c: base and limit registers in the shape of a page table (mmu/base_limit.h).
 *
 * Called through struct pg_table_form by mmu/mmu.c and space/. Owns the registers of one address space. What hardware would do for each
 * access is pg_base_limit_frame(); the engine remembers its answers in the mirrors that a TLB has elsewhere, and forgets them
 * when the registers change, so that each access is checked against them.
 *
 * walk and update run while the guest's vector registers are live: this file is compiled with general registers only.
 */
#include "mmu/base_limit.h"

#include <errno.h>
#include <stdlib.h>

struct base_limit {
	struct pg_table t; /* first: the form */
	struct pg_base_limit r;
};

#define RIGHTS (PG_PTE_P | PG_PTE_RW | PG_PTE_US | PG_PTE_A | PG_PTE_D)

static const struct pg_base_limit *registers(const struct pg_table *t)
{
	return &((const struct base_limit *)(const void *)t)->r;
}

static const char *parse(const char *text, struct pg_geometry *g)
{
	*g = pg_geometry_x86_64;
	return text ? "it has no shapes" : NULL;
}

static int create(const struct pg_table_config *c, struct pg_table **out)
{
	struct base_limit *b = calloc(1, sizeof *b);

	(void)c;
	if (!b)
		return -ENOMEM;
	b->t.form = &pg_table_base_limit;
	*out = &b->t;
	return 0;
}

static void destroy(struct pg_table *t)
{
	free(t);
}

void pg_base_limit_set(struct pg_table *t, const struct pg_base_limit *r)
{
	PG_ASSERT(r->low <= r->pages && r->top - r->origin >= r->pages && r->top >= r->origin);
	((struct base_limit *)(void *)t)->r = *r;
}

static pg_pte walk(const struct pg_table *t, pg_vpn vpn, unsigned *refs)
{
	uint64_t f = pg_base_limit_frame(registers(t), vpn.v);

	*refs = 0;
	return f == UINT64_MAX ? 0 : f << PG_PAGE_SHIFT | RIGHTS;
}

/* There is nothing to set: what is within the limit has every right and counts as accessed and dirty. */
static pg_pte update(struct pg_table *t, pg_vpn vpn, pg_pte set, pg_pte clear)
{
	unsigned refs;

	(void)set;
	(void)clear;
	return walk(t, vpn, &refs);
}

static int enter(struct pg_table *t, pg_vpn vpn, pg_pte pte)
{
	(void)t;
	(void)vpn;
	(void)pte;
	return -EINVAL;
}

static pg_pte remove_nothing(struct pg_table *t, pg_vpn vpn)
{
	(void)t;
	(void)vpn;
	return 0;
}

static bool next(const struct pg_table *t, pg_vpn from, pg_vpn end, pg_vpn *found, pg_pte *pte)
{
	const struct pg_base_limit *r = registers(t);
	uint64_t stack = r->top - (r->pages - r->low), at = from.v;
	unsigned refs;

	if (at < r->origin)
		at = r->origin;
	if (at - r->origin >= r->low && at < stack)
		at = stack;
	if (at >= end.v || at >= r->top)
		return false;
	found->v = at;
	*pte = walk(t, *found, &refs);
	return *pte != 0;
}

static void stats(const struct pg_table *t, struct pg_table_stats *out)
{
	*out = (struct pg_table_stats){.entries = registers(t)->pages};
}

static const char *check(const struct pg_table *t)
{
	const struct pg_base_limit *r = registers(t);

	if (r->low > r->pages || r->top < r->origin || r->top - r->origin < r->pages)
		return "the registers contradict one another";
	return NULL;
}

const struct pg_table_form pg_table_base_limit = {
	.name = "base-limit",
	.summary = "base and limit registers: a contiguous block for each process",
	.shapes = "",
	.parse = parse,
	.create = create,
	.destroy = destroy,
	.enter = enter,
	.remove = remove_nothing,
	.walk = walk,
	.update = update,
	.next = next,
	.stats = stats,
	.check = check,
};
