/* SPDX-License-Identifier: MIT */
/*
 * frame/partition.c: contiguous allocation by first-, next-, best- and worst-fit.
 *
 *   alloc -> search (one function for each fit and index) -> cut: the low end of the hole becomes a block
 *   free  -> the holes beside the block grow over it, or it becomes a hole
 *
 * Blocks and holes are spans on one list in the order of addresses, so that neighbours are at hand. Holes
 * are besides in one index, which depends on the fit: a tree by address, where each node knows the largest hole of
 * its subtree (first, next); a tree by size (best, worst); or a list by address (linear).
 *
 * Owns the spans, which come from slabs. Called through frame/partition.h; calls base/tree.h.
 *
 * Invariants (pg_partition_check):
 *   P1 spans tile [0, units): each begins where the one before ends, none is empty.
 *   P2 no hole is beside a hole: they would have merged.
 *   P3 a span is in the index if and only if it is a hole.
 *   P4 free, blocks and holes are what a count gives.
 *   P5 the index is in its order, and each `largest` is that of its subtree.
 *   P6 of a linear next-fit, `at` is the first hole that ends behind `rover`; NULL: none does.
 */
#include "frame/partition.h"

#include <errno.h>
#include <stdlib.h>

#include "base/tree.h"

#define SLAB_SPANS 1024

struct pg_partition_block {
	struct pg_partition_block *prev, *next; /* neighbours by address; next links unused spans */
	uint64_t start, units;
	bool hole;
	union {
		struct {
			struct pg_tree_node link;
			uint64_t
				largest; /* units of the largest hole of this subtree (by address) */
		};
		struct {
			struct pg_partition_block *hole_prev, *hole_next; /* linear */
		};
	};
};

typedef struct pg_partition_block span;

struct slab {
	struct slab *next;
	span spans[SLAB_SPANS];
};

struct pg_partition {
	enum pg_partition_fit fit;
	bool linear;
	span *first;
	struct pg_tree tree;           /* of holes, if not linear */
	span *holes;                   /* linear: the first hole */
	uint64_t rover;                /* next-fit: the end of the block allocated last */
	span *at;                      /* linear next-fit: where the next search begins */
	span *unused;                  /* spans of slabs that are nothing now */
	struct slab *slabs;            /* owned */
	struct pg_partition_figures f; /* all but largest */
};

const char *const pg_partition_fit_names[PG_PARTITION_FITS] = {"first", "next", "best", "worst"};

/* ---- spans */

static span *span_new(struct pg_partition *p)
{
	span *s = p->unused;

	if (!s) {
		struct slab *slab = malloc(sizeof *slab);

		if (!slab)
			return NULL;
		slab->next = p->slabs;
		p->slabs = slab;
		for (int i = SLAB_SPANS; i-- > 0;) {
			slab->spans[i].next = p->unused;
			p->unused = &slab->spans[i];
		}
		s = p->unused;
	}
	p->unused = s->next;
	return s;
}

static void span_drop(struct pg_partition *p, span *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		p->first = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->next = p->unused;
	p->unused = s;
}

static uint64_t end_of(const span *s)
{
	return s->start + s->units;
}

/* ---- the index of holes */

static span *span_of(const struct pg_tree_node *n)
{
	return PG_TREE_ENTRY(n, span, link);
}

static uint64_t largest_below(const struct pg_tree_node *n)
{
	return n ? span_of(n)->largest : 0;
}

static uint64_t largest_of(const struct pg_tree_node *n)
{
	uint64_t most = span_of(n)->units;

	for (int i = 0; i < 2; i++)
		if (largest_below(n->kid[i]) > most)
			most = largest_below(n->kid[i]);
	return most;
}

static void augment(struct pg_tree_node *n)
{
	span_of(n)->largest = largest_of(n);
}

static bool by_size(const struct pg_partition *p)
{
	return p->fit == PG_PARTITION_BEST || p->fit == PG_PARTITION_WORST;
}

static bool before_by_place(const struct pg_tree_node *a, const struct pg_tree_node *b)
{
	return span_of(a)->start < span_of(b)->start;
}

/* Best-fit takes the first of those large enough, worst-fit the last of all: of equals the lowest. */
static bool before_best(const struct pg_tree_node *a, const struct pg_tree_node *b)
{
	const span *x = span_of(a), *y = span_of(b);

	return x->units != y->units ? x->units < y->units : x->start < y->start;
}

static bool before_worst(const struct pg_tree_node *a, const struct pg_tree_node *b)
{
	const span *x = span_of(a), *y = span_of(b);

	return x->units != y->units ? x->units < y->units : x->start > y->start;
}

static bool (*order_of(const struct pg_partition *p))(
	const struct pg_tree_node *, const struct pg_tree_node *)
{
	if (!by_size(p))
		return before_by_place;
	return p->fit == PG_PARTITION_BEST ? before_best : before_worst;
}

static void index_add(struct pg_partition *p, span *h)
{
	if (p->linear) {
		span *before = h->prev;

		while (before && !before->hole)
			before = before->prev;
		h->hole_prev = before;
		h->hole_next = before ? before->hole_next : p->holes;
		if (h->hole_next)
			h->hole_next->hole_prev = h;
		if (before)
			before->hole_next = h;
		else
			p->holes = h;
		return;
	}
	bool (*before)(const struct pg_tree_node *, const struct pg_tree_node *) = order_of(p);
	struct pg_tree_node **at = &p->tree.root, *parent = NULL;

	while (*at) {
		parent = *at;
		at = &parent->kid[before(parent, &h->link)];
	}
	pg_tree_insert(&p->tree, &h->link, parent, at);
}

static void index_remove(struct pg_partition *p, span *h)
{
	if (!p->linear) {
		pg_tree_erase(&p->tree, &h->link);
		return;
	}
	if (p->at == h)
		p->at = h->hole_next;
	if (h->hole_prev)
		h->hole_prev->hole_next = h->hole_next;
	else
		p->holes = h->hole_next;
	if (h->hole_next)
		h->hole_next->hole_prev = h->hole_prev;
}

/* Hole h, which is in the index, becomes [start, start + units); its place among the holes stays. */
static void hole_resize(struct pg_partition *p, span *h, uint64_t start, uint64_t units)
{
	bool moves = !p->linear && by_size(p);

	if (moves)
		index_remove(p, h);
	h->start = start;
	h->units = units;
	if (moves)
		index_add(p, h);
	else if (!p->linear)
		pg_tree_changed(&p->tree, &h->link);
}

/* h has come or grown: the search of a linear next-fit may have to begin there. */
static void note_hole(struct pg_partition *p, span *h)
{
	if (p->linear && p->fit == PG_PARTITION_NEXT && end_of(h) > p->rover &&
		(!p->at || h->start < p->at->start))
		p->at = h;
}

/* ---- searches: the hole for n units, or NULL */

static span *linear_first(struct pg_partition *p, span *from, const span *to, uint64_t n)
{
	for (span *h = from; h && h != to; h = h->hole_next) {
		p->f.steps++;
		if (h->units >= n)
			return h;
	}
	return NULL;
}

static span *linear_extreme(struct pg_partition *p, uint64_t n)
{
	bool smallest = p->fit == PG_PARTITION_BEST;
	span *found = NULL;

	for (span *h = p->holes; h; h = h->hole_next) {
		p->f.steps++;
		if (h->units >= n &&
			(!found || (smallest ? h->units < found->units : h->units > found->units)))
			found = h;
	}
	return found;
}

static span *search_linear(struct pg_partition *p, uint64_t n)
{
	span *h;

	if (by_size(p))
		return linear_extreme(p, n);
	if (p->fit == PG_PARTITION_FIRST)
		return linear_first(p, p->holes, NULL, n);
	h = linear_first(p, p->at, NULL, n);
	return h ? h : linear_first(p, p->holes, p->at, n);
}

/* The lowest hole of the subtree at `node` that is large enough. */
static span *lowest_below(struct pg_partition *p, struct pg_tree_node *node, uint64_t n)
{
	if (largest_below(node) < n)
		return NULL;
	for (;;) {
		p->f.steps++;
		if (largest_below(node->kid[0]) >= n)
			node = node->kid[0];
		else if (span_of(node)->units >= n)
			return span_of(node);
		else
			node = node->kid[1];
	}
}

/* The lowest hole that ends behind `place` and is large enough. */
static span *lowest_behind(struct pg_partition *p, uint64_t place, uint64_t n)
{
	struct pg_tree_node *node = p->tree.root, *from = NULL;

	while (node) { /* to the lowest that ends behind place */
		bool behind = end_of(span_of(node)) > place;

		p->f.steps++;
		if (behind)
			from = node;
		node = node->kid[!behind];
	}
	while (from) {
		p->f.steps++;
		if (span_of(from)->units >= n)
			return span_of(from);
		if (largest_below(from->kid[1]) >= n)
			return lowest_below(p, from->kid[1], n);
		while (from->parent && from == from->parent->kid[1])
			from = from->parent;
		from = from->parent;
	}
	return NULL;
}

static span *smallest_of(struct pg_partition *p, uint64_t n)
{
	struct pg_tree_node *node = p->tree.root;
	span *found = NULL;

	while (node) {
		bool enough = span_of(node)->units >= n;

		p->f.steps++;
		if (enough)
			found = span_of(node);
		node = node->kid[!enough];
	}
	return found;
}

static span *largest_hole(struct pg_partition *p, uint64_t n)
{
	struct pg_tree_node *node = p->tree.root;

	while (node && node->kid[1]) {
		p->f.steps++;
		node = node->kid[1];
	}
	p->f.steps += node != NULL;
	return node && span_of(node)->units >= n ? span_of(node) : NULL;
}

static span *search(struct pg_partition *p, uint64_t n)
{
	span *h;

	if (p->linear)
		return search_linear(p, n);
	switch (p->fit) {
	case PG_PARTITION_NEXT:
		h = lowest_behind(p, p->rover, n);
		return h ? h : lowest_below(p, p->tree.root, n);
	case PG_PARTITION_BEST:
		return smallest_of(p, n);
	case PG_PARTITION_WORST:
		return largest_hole(p, n);
	default:
		return lowest_below(p, p->tree.root, n);
	}
}

/* ---- the interface */

int pg_partition_create(
	uint64_t units, enum pg_partition_fit fit, bool linear, struct pg_partition **out)
{
	struct pg_partition *p = calloc(1, sizeof *p);
	span *h = p ? span_new(p) : NULL;

	if (!h) {
		free(p);
		return -ENOMEM;
	}
	PG_ASSERT(units > 0 && fit < PG_PARTITION_FITS);
	p->fit = fit;
	p->linear = linear;
	p->f.units = p->f.free = units;
	p->f.holes = 1;
	pg_tree_init(&p->tree, by_size(p) ? NULL : augment);
	*h = (span){.units = units, .hole = true};
	p->first = h;
	index_add(p, h);
	note_hole(p, h);
	*out = p;
	return 0;
}

void pg_partition_destroy(struct pg_partition *p)
{
	if (!p)
		return;
	while (p->slabs) {
		struct slab *next = p->slabs->next;

		free(p->slabs);
		p->slabs = next;
	}
	free(p);
}

/* The low n units of hole h become b, a span that is nothing yet. */
static void cut(struct pg_partition *p, span *h, span *b, uint64_t n)
{
	*b = (span){.prev = h->prev, .next = h, .start = h->start, .units = n};
	if (b->prev)
		b->prev->next = b;
	else
		p->first = b;
	h->prev = b;
	hole_resize(p, h, h->start + n, h->units - n);
}

/* Next-fit goes on behind b, which was cut from hole h or took its place. */
static void move_rover(struct pg_partition *p, const span *b, span *h)
{
	p->rover = end_of(b);
	if (p->linear && p->fit == PG_PARTITION_NEXT)
		p->at = h;
}

int pg_partition_alloc(struct pg_partition *p, uint64_t n, struct pg_partition_block **out)
{
	PG_ASSERT(n > 0);
	p->f.searches++;
	span *h = search(p, n);

	if (!h) {
		p->f.failed++;
		p->f.scattered += p->f.free >= n;
		return -ENOSPC;
	}
	span *b = h;
	if (h->units > n) {
		b = span_new(p);
		if (!b)
			return -ENOMEM;
		cut(p, h, b, n);
	} else {
		h = p->linear ? h->hole_next : NULL;
		index_remove(p, b);
		b->hole = false;
		p->f.holes--;
		p->f.exact++;
	}
	move_rover(p, b, h);
	p->f.free -= n;
	p->f.blocks++;
	*out = b;
	return 0;
}

void pg_partition_free(struct pg_partition *p, struct pg_partition_block *b)
{
	span *low = b->prev && b->prev->hole ? b->prev : NULL;
	span *high = b->next && b->next->hole ? b->next : NULL;
	span *h = low ? low : high ? high : b;
	uint64_t start = low ? low->start : b->start, end = high ? end_of(high) : end_of(b);

	PG_ASSERT(!b->hole);
	p->f.free += b->units;
	p->f.blocks--;
	if (low && high) {
		index_remove(p, high);
		span_drop(p, high);
		p->f.holes--;
	}
	if (h == b) {
		b->hole = true;
		index_add(p, b);
		p->f.holes++;
	} else {
		span_drop(p, b);
		hole_resize(p, h, start, end - start);
	}
	note_hole(p, h);
}

int pg_partition_grow(struct pg_partition *p, struct pg_partition_block *b, uint64_t more)
{
	span *h = b->next;

	PG_ASSERT(!b->hole);
	if (more == 0)
		return 0;
	if (!h || !h->hole || h->units < more)
		return -ENOSPC;
	if (h->units == more) {
		index_remove(p, h);
		span_drop(p, h);
		p->f.holes--;
	} else {
		hole_resize(p, h, h->start + more, h->units - more);
	}
	b->units += more;
	p->f.free -= more;
	return 0;
}

uint64_t pg_partition_slide(struct pg_partition *p, struct pg_partition_block *b)
{
	span *low = b->prev && b->prev->hole ? b->prev : NULL;
	span *high = b->next && b->next->hole ? b->next : NULL;
	uint64_t by = low ? low->units : 0;

	PG_ASSERT(!b->hole);
	if (!low)
		return 0;
	index_remove(p, low);
	/* low comes behind b on the list of spans */
	b->prev = low->prev;
	if (b->prev)
		b->prev->next = b;
	else
		p->first = b;
	low->next = b->next;
	if (low->next)
		low->next->prev = low;
	b->next = low;
	low->prev = b;
	b->start -= by;
	low->start = end_of(b);
	if (high) {
		index_remove(p, high);
		low->units += high->units;
		span_drop(p, high);
		p->f.holes--;
	}
	index_add(p, low);
	note_hole(p, low);
	return by;
}

uint64_t pg_partition_around(const struct pg_partition_block *b)
{
	return b->units + (b->prev && b->prev->hole ? b->prev->units : 0) +
	       (b->next && b->next->hole ? b->next->units : 0);
}

uint64_t pg_partition_start(const struct pg_partition_block *b)
{
	return b->start;
}

uint64_t pg_partition_units(const struct pg_partition_block *b)
{
	return b->units;
}

void pg_partition_figures(const struct pg_partition *p, struct pg_partition_figures *f)
{
	*f = p->f;
	f->largest = 0;
	if (p->linear) {
		for (const span *h = p->holes; h; h = h->hole_next)
			if (h->units > f->largest)
				f->largest = h->units;
	} else if (by_size(p)) {
		struct pg_tree_node *last = pg_tree_last(&p->tree);

		f->largest = last ? span_of(last)->units : 0;
	} else {
		f->largest = largest_below(p->tree.root);
	}
}

void pg_partition_counters(const struct pg_partition *p, struct pg_partition_figures *f)
{
	*f = p->f;
}

uint64_t pg_partition_unusable(const struct pg_partition *p, uint64_t n)
{
	uint64_t sum = 0;

	for (const span *s = p->first; s; s = s->next)
		if (s->hole && s->units < n)
			sum += s->units;
	return sum;
}

void pg_partition_walk(const struct pg_partition *p,
	void (*each)(void *ctx, uint64_t start, uint64_t units, bool hole), void *ctx)
{
	for (const span *s = p->first; s; s = s->next)
		each(ctx, s->start, s->units, s->hole);
}

/* ---- invariants */

static bool largest_is_right(const struct pg_tree_node *n)
{
	return span_of(n)->largest == largest_of(n);
}

static const char *check_tree(const struct pg_partition *p)
{
	uint64_t holes = 0;
	const char *broken =
		pg_tree_check(&p->tree, order_of(p), by_size(p) ? NULL : largest_is_right);

	if (broken)
		return broken;
	for (struct pg_tree_node *n = pg_tree_first(&p->tree); n; n = pg_tree_next(n)) {
		if (!span_of(n)->hole)
			return "P3: a block is in the tree";
		holes++;
	}
	return holes == p->f.holes ? NULL : "P3: a hole is not in the tree";
}

static const char *check_list(const struct pg_partition *p)
{
	const span *h = p->holes, *before = NULL, *at = NULL;

	for (const span *s = p->first; s; s = s->next) {
		if (!s->hole)
			continue;
		if (h != s)
			return "P3: the list of holes is not that of the spans";
		if (h->hole_prev != before)
			return "P5: the list of holes is linked wrongly";
		if (!at && end_of(s) > p->rover)
			at = s;
		before = h;
		h = h->hole_next;
	}
	if (h)
		return "P3: the list of holes goes on behind the last";
	return p->fit != PG_PARTITION_NEXT || at == p->at ? NULL : "P6: at";
}

const char *pg_partition_check(const struct pg_partition *p)
{
	uint64_t place = 0, free_units = 0, blocks = 0, holes = 0;
	const span *before = NULL;

	for (const span *s = p->first; s; before = s, s = s->next) {
		if (s->prev != before || s->start != place || s->units == 0)
			return "P1: spans do not tile the memory";
		if (before && before->hole && s->hole)
			return "P2: two holes side by side";
		place = end_of(s);
		free_units += s->hole ? s->units : 0;
		holes += s->hole;
		blocks += !s->hole;
	}
	if (place != p->f.units)
		return "P1: the last span ends elsewhere";
	if (free_units != p->f.free || blocks != p->f.blocks || holes != p->f.holes)
		return "P4: a counter is wrong";
	return p->linear ? check_list(p) : check_tree(p);
}
