/* SPDX-License-Identifier: MIT */
/*
 * mmu/hashed.c: hashed page tables, one for each address space: the page number is hashed, and
 * the chain that it leads to is searched (Operating System Concepts, 9.4.2). With groups of pages
 * in one element they are *clustered* tables (Talluri, Hill and Khalidi, "A new page table for
 * 64-bit address spaces", SOSP 1995).
 *
 * Called through struct pg_table_form by mmu/mmu.c (walk, update) and space/ (the rest). Calls
 * chains.c for what hardware reads and pageset.c for what only the system needs: the pages in
 * order. Owns both, and their frames.
 *
 * A walk reads the head of the chain, then elements up to the one of the page, and if the entry is not
 * in the same cache line as the element's page number, the entry: a reference each.
 *
 * Invariants (hashed check), beside those of chains.c, pageset.c and records.c:
 *   K1 the pages in the set are those with an entry, and stats.entries is their number.
 *   K2 no element is without entries.
 *   K3 the frames counted are those of heads and pools, all slots taken are in use.
 *
 * walk and update run while the guest's vector registers are live: this file is compiled with
 * general registers only, and the two call nothing.
 */
#include "mmu/chains.h"
#include "mmu/pageset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct hashed {
	struct pg_table t; /* first: the form */
	struct pg_frames *fs;
	unsigned vpn_bits;
	unsigned group_shift; /* log2 of the pages of an element */
	uint64_t entries;
	struct pg_node_count count;
	struct pg_records small;     /* nodes of the page set, and elements that are no larger */
	struct pg_records large;     /* other elements */
	struct pg_records *elements; /* one of them */
	struct pg_chains chains;
	struct pg_pageset pages;
};

static inline struct hashed *hashed_of(struct pg_table *t)
{
	return (struct hashed *)(void *)t;
}

static inline const struct hashed *hashed_of_const(const struct pg_table *t)
{
	return (const struct hashed *)(const void *)t;
}

static inline bool outside(const struct hashed *h, uint64_t vpn)
{
	return vpn >> h->vpn_bits != 0;
}

/* The entry of vpn in its element. */
static inline pg_pte *pte_of(const struct hashed *h, struct pg_element *e, uint64_t vpn)
{
	return &e->pte[vpn & (((uint64_t)1 << h->group_shift) - 1)];
}

static const char *hashed_parse(const char *text, struct pg_geometry *g)
{
	static const struct {
		const char *word;
		uint8_t cluster, at_once;
	} words[] = {{"clustered=2", 2, 0}, {"clustered=4", 4, 0}, {"clustered=8", 8, 0},
		{"clustered=16", 16, 0}, {"clustered=1", 1, 0}, {"clustered", 16, 0},
		{"grow=once", 0, 1}, {"grow=steps", 0, 0}};

	*g = pg_geometry_x86_64;
	while (text) {
		size_t length = strcspn(text, ","), i = 0;

		while (i < sizeof words / sizeof words[0] &&
			(strlen(words[i].word) != length || strncmp(words[i].word, text, length)))
			i++;
		if (i == sizeof words / sizeof words[0])
			return "a hashed table is hashed, or hashed: and clustered=N (N pages an "
			       "element: 1, 2, 4, 8 or 16), grow=steps or grow=once, with a comma "
			       "between";
		if (words[i].cluster)
			g->cluster = words[i].cluster;
		else
			g->grow_at_once = words[i].at_once;
		text = text[length] ? text + length + 1 : NULL;
	}
	return NULL;
}

static int hashed_create(const struct pg_table_config *c, struct pg_table **out)
{
	const struct pg_geometry *g = c->geometry;
	unsigned cluster = g->cluster ? g->cluster : 1;
	struct hashed *h;

	if (g->entry_bytes != 8 || g->page_shift < PG_PAGE_SHIFT || !g->levels ||
		g->levels > PG_MAX_LEVELS || pg_geometry_vpn_bits(g) + g->page_shift > 64 ||
		cluster > PG_MAX_CLUSTER || (cluster & (cluster - 1)))
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->t.form = &pg_table_hashed;
	h->fs = c->frames;
	h->vpn_bits = pg_geometry_vpn_bits(g);
	h->group_shift = (unsigned)__builtin_ctz(cluster);
	pg_records_init(&h->small, h->fs, h, &h->count, PG_PAGESET_SLOT);
	pg_records_init(&h->large, h->fs, h, &h->count, pg_element_bytes(cluster));
	h->elements = h->large.slot_bytes <= PG_PAGESET_SLOT ? &h->small : &h->large;
	h->pages.pool = &h->small;
	if (pg_chains_init(&h->chains, h->fs, h->elements, h, &h->count, g->grow_at_once)) {
		free(h);
		return -ENOMEM;
	}
	*out = &h->t;
	return 0;
}

static void hashed_destroy(struct pg_table *t)
{
	struct hashed *h = hashed_of(t);
	uint64_t vpn;

	if (!t)
		return;
	while (pg_pageset_next(&h->pages, 0, UINT64_MAX, &vpn))
		pg_pageset_remove(&h->pages, vpn);
	pg_chains_end(&h->chains);
	PG_ASSERT(!h->count.frames);
	free(h);
}

static int hashed_enter(struct pg_table *t, pg_vpn vpn, pg_pte pte)
{
	struct hashed *h = hashed_of(t);
	uint64_t group = vpn.v >> h->group_shift;
	struct pg_element *e;
	unsigned refs = 0;

	PG_ASSERT(pte & PG_PTE_P);
	if (outside(h, vpn.v))
		return -EINVAL;
	e = pg_chains_find(&h->chains, 0, group, &refs);
	if (e && *pte_of(h, e, vpn.v)) {
		*pte_of(h, e, vpn.v) = pte;
		return 0;
	}
	if (pg_pageset_add(&h->pages, vpn.v))
		return -ENOMEM;
	if (!e) {
		e = pg_chains_add(&h->chains, 0, group);
		if (!e) {
			pg_pageset_remove(&h->pages, vpn.v);
			return -ENOMEM;
		}
	}
	*pte_of(h, e, vpn.v) = pte;
	h->entries++;
	return 0;
}

static pg_pte hashed_walk(const struct pg_table *t, pg_vpn vpn, unsigned *refs)
{
	const struct hashed *h = hashed_of_const(t);
	struct pg_element *e;
	const pg_pte *p;

	*refs = 0;
	if (__builtin_expect(outside(h, vpn.v), 0))
		return 0;
	e = pg_chains_find(&h->chains, 0, vpn.v >> h->group_shift, refs);
	if (!e)
		return 0;
	p = pte_of(h, e, vpn.v);
	*refs += ((uintptr_t)p ^ (uintptr_t)e) >> 6 != 0;
	return *p;
}

static pg_pte *find(const struct hashed *h, pg_vpn vpn)
{
	struct pg_element *e;
	unsigned refs = 0;

	if (outside(h, vpn.v))
		return NULL;
	e = pg_chains_find(&h->chains, 0, vpn.v >> h->group_shift, &refs);
	return e ? pte_of(h, e, vpn.v) : NULL;
}

static pg_pte hashed_remove(struct pg_table *t, pg_vpn vpn)
{
	struct hashed *h = hashed_of(t);
	uint64_t group = vpn.v >> h->group_shift;
	pg_pte *p = find(h, vpn), old = p ? *p : 0;

	if (!old)
		return 0;
	*p = 0;
	p -= vpn.v & (((uint64_t)1 << h->group_shift) - 1);
	for (unsigned i = 0; i < 1u << h->group_shift; i++) {
		if (p[i]) {
			p = NULL;
			break;
		}
	}
	if (p)
		pg_chains_remove(&h->chains, 0, group);
	pg_pageset_remove(&h->pages, vpn.v);
	h->entries--;
	return old;
}

static pg_pte hashed_update(struct pg_table *t, pg_vpn vpn, pg_pte set, pg_pte clear)
{
	pg_pte *p = find(hashed_of(t), vpn), old = p ? *p : 0;

	PG_ASSERT(!(clear & PG_PTE_P));
	if (old)
		*p = (old & ~clear) | set;
	return old;
}

static bool hashed_next(
	const struct pg_table *t, pg_vpn from, pg_vpn end, pg_vpn *found, pg_pte *pte)
{
	const struct hashed *h = hashed_of_const(t);
	const pg_pte *p;

	if (!pg_pageset_next(&h->pages, from.v, end.v, &found->v))
		return false;
	p = find(h, *found);
	PG_ASSERT(p && *p);
	*pte = *p;
	return true;
}

static void hashed_stats(const struct pg_table *t, struct pg_table_stats *out)
{
	const struct hashed *h = hashed_of_const(t);

	*out = (struct pg_table_stats){.node_frames = h->count.frames,
		.node_frames_peak = h->count.peak,
		.entries = h->entries};
}

struct check {
	const struct hashed *h;
	uint64_t entries;
};

static const char *check_element(void *ctx, uint16_t owner, const struct pg_element *e)
{
	struct check *c = ctx;
	unsigned n = 0;

	for (unsigned i = 0; i < 1u << c->h->group_shift; i++) {
		uint64_t vpn = (e->page << c->h->group_shift) + i, found;

		if (!e->pte[i])
			continue;
		n++;
		if (owner || !(e->pte[i] & PG_PTE_P) || outside(c->h, vpn) ||
			!pg_pageset_next(&c->h->pages, vpn, vpn + 1, &found))
			return "K1: an entry that the page set lacks";
	}
	c->entries += n;
	return n ? NULL : "K2: an element without entries";
}

static const char *hashed_check(const struct pg_table *t)
{
	const struct hashed *h = hashed_of_const(t);
	struct check c = {h, 0};
	uint64_t pages = 0, nodes = 0, frames;
	const char *bad = pg_chains_check(&h->chains, check_element, &c);

	if (!bad)
		bad = pg_pageset_check(&h->pages, &pages, &nodes);
	if (!bad)
		bad = pg_records_check(&h->small);
	if (!bad)
		bad = pg_records_check(&h->large);
	if (bad)
		return bad;
	if (pages != c.entries || pages != h->entries)
		return "K1: the count of entries";
	frames = (uint64_t)1 << (h->chains.heads.bits - 9);
	if (h->chains.old.at)
		frames += (uint64_t)1 << (h->chains.old.bits - 9);
	if (frames + h->small.frames + h->large.frames != h->count.frames ||
		h->count.frames > h->count.peak ||
		h->small.used + h->large.used != nodes + h->chains.elements)
		return "K3: the count of frames";
	return NULL;
}

const struct pg_table_form pg_table_hashed = {
	.name = "hashed",
	.summary =
		"hashed: the page number chooses a chain of elements, one table for each process",
	.shapes = "clustered=N     N pages (1, 2, 4, 8 or 16) share an element (default 1)\n"
		  "grow=once       when it grows all chains move at once, not two at each change",
	.parse = hashed_parse,
	.create = hashed_create,
	.destroy = hashed_destroy,
	.enter = hashed_enter,
	.remove = hashed_remove,
	.walk = hashed_walk,
	.update = hashed_update,
	.next = hashed_next,
	.stats = hashed_stats,
	.check = hashed_check,
};
