/* SPDX-License-Identifier: MIT */
/*
 * mmu/radix.c: hierarchical page tables: a tree of arrays of entries, each array a node in frames
 * (Operating System Concepts, 9.4.1; Intel SDM vol. 3A, 4.5). The shape is data: struct
 * pg_geometry.
 *
 * Called through struct pg_table_form by mmu/mmu.c (walk, update) and space/ (the rest). Calls
 * frame/. Owns its nodes. A node of 2^bits entries is a block of frames just large enough; smaller
 * nodes still take one frame. row.index of a node's first frame is the number of its entries in
 * use.
 *
 * Invariants (radix check):
 *   X1 each inner entry names a TABLE block of this table, of its level's order, and no two
 *      the same.
 *   X2 row.index of a node is the number of its entries that are not 0.
 *   X3 no node but the root is empty.
 *   X4 stats.entries is the number of leaf entries, stats.node_frames that of the nodes'
 *      frames.
 *
 * walk, walk_cached and update run while the guest's vector registers are live: this file is compiled
 * with general registers only, and they call nothing.
 */
#include "mmu/table.h"
#include "mmu/walk_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct pg_geometry pg_geometry_x86_64 = {
	.page_shift = 12, .levels = 4, .entry_bytes = 8, .bits = {9, 9, 9, 9}};
const struct pg_geometry pg_geometry_x86_64_5 = {
	.page_shift = 12, .levels = 5, .entry_bytes = 8, .bits = {9, 9, 9, 9, 9}};
const struct pg_geometry pg_geometry_x86_32 = {
	.page_shift = 12, .levels = 2, .entry_bytes = 4, .bits = {10, 10}};
const struct pg_geometry pg_geometry_full64 = {
	.page_shift = 12, .levels = 6, .entry_bytes = 8, .bits = {7, 9, 9, 9, 9, 9}};

struct radix {
	struct pg_table t; /* first: the form */
	struct pg_frames *fs;
	uint8_t *bytes; /* of frame 0: frame f is at bytes + (f << PG_PAGE_SHIFT) */
	void *root;     /* host address of the root node */
	unsigned levels;
	unsigned narrow;              /* 1: entries of 4 bytes, 0: of 8 */
	unsigned total_bits;          /* of a page number */
	uint8_t shift[PG_MAX_LEVELS]; /* of the index within a page number, root first */
	uint8_t order[PG_MAX_LEVELS]; /* of a node's block */
	uint32_t mask[PG_MAX_LEVELS]; /* entries of a node - 1 */
	struct pg_table_stats stats;
};

/* Inner entries allow everything; the leaf decides, as Linux has it. */
#define INNER (PG_PTE_P | PG_PTE_RW | PG_PTE_US | PG_PTE_A)

static inline struct radix *radix_of(struct pg_table *t)
{
	return (struct radix *)(void *)t;
}

static inline const struct radix *radix_of_const(const struct pg_table *t)
{
	return (const struct radix *)(const void *)t;
}

static inline pg_pte entry_get(const struct radix *r, const void *node, uint32_t i)
{
	return r->narrow ? ((const uint32_t *)node)[i] : ((const uint64_t *)node)[i];
}

static inline void entry_set(const struct radix *r, void *node, uint32_t i, pg_pte e)
{
	if (r->narrow)
		((uint32_t *)node)[i] = (uint32_t)e;
	else
		((uint64_t *)node)[i] = e;
}

static inline uint32_t index_at(const struct radix *r, unsigned level, uint64_t vpn)
{
	return (uint32_t)(vpn >> r->shift[level]) & r->mask[level];
}

static inline void *node_of(const struct radix *r, pg_pte e)
{
	return r->bytes + (e & PG_PTE_FRAME);
}

static inline bool outside(const struct radix *r, uint64_t vpn)
{
	return vpn >> r->total_bits != 0;
}

/* Which frame a node begins in. */
static pg_pfn node_pfn(const struct radix *r, const void *node)
{
	return pg_frames_of_host(r->fs, node);
}

static uint64_t *node_used(const struct radix *r, const void *node)
{
	return &pg_frames_row(r->fs, node_pfn(r, node))->index;
}

/* An empty node for a level; NULL: no frames. */
static void *node_make(struct radix *r, unsigned level)
{
	pg_pfn f;
	void *node;

	if (pg_frames_alloc(r->fs, r->order[level], PG_FRAME_TABLE, r, &f) < 0)
		return NULL;
	node = pg_frames_bytes(r->fs, f);
	memset(node, 0, PG_PAGE_SIZE << r->order[level]);
	r->stats.node_frames += 1u << r->order[level];
	return node;
}

static void node_free(struct radix *r, unsigned level, void *node)
{
	pg_frames_free(r->fs, node_pfn(r, node));
	r->stats.node_frames -= 1u << r->order[level];
}

/* Fills in shift, order and mask. -EINVAL: not a radix geometry. */
static int take_geometry(struct radix *r, const struct pg_geometry *g)
{
	unsigned shift = 0;

	if (g->levels < 2 || g->levels > PG_MAX_LEVELS || g->page_shift < PG_PAGE_SHIFT ||
		(g->entry_bytes != 4 && g->entry_bytes != 8))
		return -EINVAL;
	/* A 4-byte entry has 20 bits for the frame number. */
	if (g->entry_bytes == 4 && pg_frames_total(r->fs) > 1u << 20)
		return -EINVAL;
	r->levels = g->levels;
	r->narrow = g->entry_bytes == 4;
	for (unsigned i = g->levels; i-- > 0;) {
		uint64_t size;

		if (g->bits[i] < 1 || g->bits[i] > 28)
			return -EINVAL;
		r->shift[i] = (uint8_t)shift;
		r->mask[i] = (1u << g->bits[i]) - 1;
		size = (uint64_t)g->entry_bytes << g->bits[i];
		while (PG_PAGE_SIZE << r->order[i] < size)
			r->order[i]++;
		if (r->order[i] >= PG_FRAME_ORDERS)
			return -EINVAL;
		shift += g->bits[i];
	}
	if (shift + g->page_shift > 64)
		return -EINVAL;
	r->total_bits = shift;
	return 0;
}

/* [LEVELS][,cache=N]: 4 or 5 levels of 9 bits. */
static const char *radix_parse(const char *text, struct pg_geometry *g)
{
	unsigned n = 0;

	*g = pg_geometry_x86_64;
	if (text && (*text == '4' || *text == '5') && (!text[1] || text[1] == ',')) {
		if (*text == '5')
			*g = pg_geometry_x86_64_5;
		text = text[1] ? text + 2 : NULL;
	}
	if (!text)
		return NULL;
	if (strncmp(text, "cache=", 6))
		return "use 4 or 5 levels (others cannot hold this machine's addresses) or "
		       "cache=N, with a comma between";
	for (text += 6; *text >= '0' && *text <= '9' && n <= PG_MAX_WALK_CACHE; text++)
		n = n * 10 + (unsigned)(*text - '0');
	if (*text || n < 1 || n > PG_MAX_WALK_CACHE)
		return "cache=N is a page-walk cache of N entries a level, 1 to 64";
	g->walk_cache = (uint16_t)n;
	return NULL;
}

static int radix_create(const struct pg_table_config *c, struct pg_table **out)
{
	struct pg_frames *fs = c->frames;
	struct radix *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->t.form = &pg_table_radix;
	r->fs = fs;
	r->bytes = pg_frames_bytes(fs, (pg_pfn){0});
	err = take_geometry(r, c->geometry);
	if (!err) {
		r->root = node_make(r, 0);
		err = r->root ? 0 : -ENOMEM;
	}
	if (err) {
		free(r);
		return err;
	}
	r->stats.node_frames_peak = r->stats.node_frames;
	*out = &r->t;
	return 0;
}

static void free_below(struct radix *r, unsigned level, void *node)
{
	if (level + 1 < r->levels) {
		uint64_t left = *node_used(r, node);

		for (uint32_t i = 0; left; i++) {
			pg_pte e = entry_get(r, node, i);

			if (e) {
				free_below(r, level + 1, node_of(r, e));
				left--;
			}
		}
	}
	node_free(r, level, node);
}

static void radix_destroy(struct pg_table *t)
{
	if (!t)
		return;
	free_below(radix_of(t), 0, radix_of(t)->root);
	free(t);
}

static int radix_enter(struct pg_table *t, pg_vpn vpn, pg_pte pte)
{
	struct radix *r = radix_of(t);
	void *node = r->root, *fresh[PG_MAX_LEVELS];
	unsigned level = 0, leaf = r->levels - 1, made;
	uint32_t i;

	PG_ASSERT(pte & PG_PTE_P);
	if (outside(r, vpn.v))
		return -EINVAL;
	for (; level < leaf; level++) {
		pg_pte e = entry_get(r, node, index_at(r, level, vpn.v));

		if (!e)
			break;
		node = node_of(r, e);
	}
	/* All nodes of the levels below first ... */
	for (made = level + 1; made <= leaf; made++) {
		fresh[made] = node_make(r, made);
		if (!fresh[made]) {
			while (--made > level)
				node_free(r, made, fresh[made]);
			return -ENOMEM;
		}
	}
	if (r->stats.node_frames > r->stats.node_frames_peak)
		r->stats.node_frames_peak = r->stats.node_frames;
	/* ... then they are linked. */
	for (; level < leaf; level++) {
		pg_pte e = pg_pte_make(node_pfn(r, fresh[level + 1]), INNER);

		entry_set(r, node, index_at(r, level, vpn.v), e);
		++*node_used(r, node);
		node = fresh[level + 1];
	}
	i = index_at(r, leaf, vpn.v);
	if (!entry_get(r, node, i)) {
		++*node_used(r, node);
		r->stats.entries++;
	}
	entry_set(r, node, i, pte);
	return 0;
}

/*
 * The leaf node that would hold vpn; path[level]: the nodes on the way, *refs: entries read with
 * that of the leaf. NULL if a node is missing.
 */
static inline void *descend(const struct radix *r, uint64_t vpn, void **path, unsigned *refs)
{
	uint8_t *node = r->root;
	unsigned leaf = r->levels - 1, level;

	if (__builtin_expect(outside(r, vpn), 0)) {
		*refs = 0;
		return NULL;
	}
	for (level = 0; level < leaf; level++) {
		pg_pte e = entry_get(r, node, index_at(r, level, vpn));

		if (path)
			path[level] = node;
		if (__builtin_expect(!e, 0)) {
			node = NULL;
			break;
		}
		node = node_of(r, e);
	}
	if (path && node)
		path[leaf] = node;
	*refs = level + 1;
	return node;
}

static pg_pte radix_remove(struct pg_table *t, pg_vpn vpn)
{
	struct radix *r = radix_of(t);
	void *path[PG_MAX_LEVELS];
	unsigned level = r->levels - 1, refs;
	void *node = descend(r, vpn.v, path, &refs);
	pg_pte old = node ? entry_get(r, node, index_at(r, level, vpn.v)) : 0;

	if (!old)
		return 0;
	r->stats.entries--;
	for (;; level--) {
		entry_set(r, path[level], index_at(r, level, vpn.v), 0);
		if (--*node_used(r, path[level]) || level == 0)
			return old;
		node_free(r, level, path[level]);
	}
}

static pg_pte radix_walk(const struct pg_table *t, pg_vpn vpn, unsigned *refs)
{
	const struct radix *r = radix_of_const(t);
	const void *node = descend(r, vpn.v, NULL, refs);

	return node ? entry_get(r, node, index_at(r, r->levels - 1, vpn.v)) : 0;
}

static pg_pte radix_walk_cached(
	const struct pg_table *t, pg_vpn vpn, struct pg_walk_cache *cache, unsigned *refs)
{
	const struct radix *r = radix_of_const(t);
	unsigned leaf = r->levels - 1, level = leaf, start;
	void *node = NULL;

	*refs = 0;
	if (__builtin_expect(outside(r, vpn.v), 0))
		return 0;
	for (; level > 0; level--) {
		node = pg_walk_cache_find(cache, level, vpn.v >> r->shift[level - 1]);
		if (node)
			break;
	}
	if (!node)
		node = r->root;
	start = level;
	for (; level < leaf; level++) {
		pg_pte e = entry_get(r, node, index_at(r, level, vpn.v));

		if (!e)
			break;
		node = node_of(r, e);
		pg_walk_cache_fill(
			cache, level + 1, vpn.v >> r->shift[level], r->shift[level], node);
	}
	cache->saved += start;
	*refs = level - start + 1;
	return level == leaf ? entry_get(r, node, index_at(r, leaf, vpn.v)) : 0;
}

static pg_pte radix_update(struct pg_table *t, pg_vpn vpn, pg_pte set, pg_pte clear)
{
	struct radix *r = radix_of(t);
	unsigned refs;
	uint32_t i;
	void *node = descend(r, vpn.v, NULL, &refs);
	pg_pte old;

	PG_ASSERT(!(clear & PG_PTE_P));
	if (!node)
		return 0;
	i = index_at(r, r->levels - 1, vpn.v);
	old = entry_get(r, node, i);
	if (old)
		entry_set(r, node, i, (old & ~clear) | set);
	return old;
}

/* The first entry in use of a node at index `from` or after; mask + 1: none. */
static uint32_t first_used(const struct radix *r, unsigned level, const void *node, uint32_t from)
{
	uint32_t i = from, n = r->mask[level] + 1;

	while (i < n && !entry_get(r, node, i))
		i++;
	return i;
}

static bool radix_next(
	const struct pg_table *t, pg_vpn from, pg_vpn end, pg_vpn *found, pg_pte *pte)
{
	const struct radix *r = radix_of_const(t);
	uint64_t vpn = from.v, stop = (uint64_t)1 << r->total_bits;

	if (end.v < stop)
		stop = end.v;
	while (vpn < stop) {
		const void *node = r->root;

		for (unsigned level = 0;; level++) {
			uint32_t was = index_at(r, level, vpn);
			uint32_t i = first_used(r, level, node, was);
			uint64_t step = (uint64_t)1 << r->shift[level];
			pg_pte e;

			/* Forward to entry i, or past the end of this node. */
			if (i != was)
				vpn = (vpn & ~(step - 1)) + (i - was) * step;
			if (vpn >= stop)
				return false;
			if (i > r->mask[level])
				break;
			e = entry_get(r, node, i);
			if (level == r->levels - 1) {
				found->v = vpn;
				*pte = e;
				return true;
			}
			node = node_of(r, e);
		}
	}
	return false;
}

static void radix_stats(const struct pg_table *t, struct pg_table_stats *out)
{
	*out = radix_of_const(t)->stats;
}

/* Adds what is at and below a node to *found. */
static const char *check_below(
	const struct radix *r, unsigned level, const void *node, struct pg_table_stats *found)
{
	pg_pfn f = node_pfn(r, node);
	const struct pg_frame *row;
	uint64_t used = 0;

	if (pg_pfn_is_none(f))
		return "X1: an inner entry names no frame";
	row = pg_frames_row(r->fs, f);
	if (row->state != PG_FRAME_TABLE || row->owner != r || row->order != r->order[level])
		return "X1: an inner entry names no node of this table";
	found->node_frames += 1u << row->order;
	if (found->node_frames > r->stats.node_frames)
		return "X1: a node is reached twice";
	for (uint32_t i = 0; i <= r->mask[level]; i++) {
		pg_pte e = entry_get(r, node, i);
		const char *bad;

		if (!e)
			continue;
		used++;
		if (!(e & PG_PTE_P))
			return "X1: an entry in use is not present";
		if (level == r->levels - 1) {
			found->entries++;
			continue;
		}
		if (pg_pte_pfn(e).v >= pg_frames_total(r->fs))
			return "X1: an inner entry names no frame";
		bad = check_below(r, level + 1, node_of(r, e), found);
		if (bad)
			return bad;
	}
	if (used != row->index)
		return "X2: the count of a node's entries";
	return level && !used ? "X3: an empty node" : NULL;
}

static const char *radix_check(const struct pg_table *t)
{
	const struct radix *r = radix_of_const(t);
	struct pg_table_stats found = {0};
	const char *bad = check_below(r, 0, r->root, &found);

	if (bad)
		return bad;
	if (found.entries != r->stats.entries)
		return "X4: the count of entries";
	if (found.node_frames != r->stats.node_frames ||
		r->stats.node_frames > r->stats.node_frames_peak)
		return "X4: the count of node frames";
	return NULL;
}

const struct pg_table_form pg_table_radix = {
	.name = "radix",
	.summary = "hierarchical: a tree of nodes, one level for each part of the page number",
	.shapes = "4               four levels of 9 bits, as x86-64 has: 48 bits of address "
		  "(default)\n"
		  "5               five levels: 57 bits\n"
		  "cache=N         a page-walk cache of N entries (1 to 64) for each inner level",
	.parse = radix_parse,
	.create = radix_create,
	.destroy = radix_destroy,
	.enter = radix_enter,
	.remove = radix_remove,
	.walk = radix_walk,
	.walk_cached = radix_walk_cached,
	.update = radix_update,
	.next = radix_next,
	.stats = radix_stats,
	.check = radix_check,
};
