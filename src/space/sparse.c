/* SPDX-License-Identifier: MIT */
/*
 * space/sparse.c: see sparse.h, which holds the invariants.
 *
 * Called by space/ (amap.c, object.c, region.c). Calls mem.h. Owns the nodes.
 * The way of sharing is path copying, as in persistent search trees (Driscoll, Sarnak, Sleator and
 * Tarjan 1989); the layout is an ordinary radix tree.
 */
#include "space/sparse.h"

#include "space/mem.h"

#include <errno.h>

static unsigned shift_of(unsigned level)
{
	return level * PG_SPARSE_BITS;
}

static unsigned slot_of(uint64_t index, unsigned level)
{
	return (unsigned)(index >> shift_of(level)) & (PG_SPARSE_FAN - 1);
}

/* The last index that a node of `level` beginning at base covers. */
static uint64_t last_of(uint64_t base, unsigned level)
{
	return base + (((uint64_t)1 << shift_of(level + 1)) - 1);
}

static bool covers(const struct pg_sparse *t, uint64_t index)
{
	return t->root && index >= t->base && index <= last_of(t->base, t->height - 1);
}

static struct pg_sparse_node *node_new(const struct pg_sparse_kind *k, unsigned level)
{
	struct pg_sparse_node *n = pg_mem_alloc(k->mem, sizeof *n);

	if (n) {
		n->refs = 1;
		n->level = (uint16_t)level;
	}
	return n;
}

static void node_drop(const struct pg_sparse_kind *k, struct pg_sparse_node *n)
{
	if (--n->refs > 0)
		return;
	for (unsigned i = 0; n->used && i < PG_SPARSE_FAN; i++) {
		if (!n->slot[i])
			continue;
		n->used--;
		if (n->level)
			node_drop(k, n->slot[i]);
		else if (k->unref)
			k->unref(k->ctx, n->slot[i]);
	}
	pg_mem_free(k->mem, n);
}

/* Makes *at a node with one reference, by copying it if it has more. */
static int node_own(const struct pg_sparse_kind *k, struct pg_sparse_node **at)
{
	struct pg_sparse_node *n = *at;
	struct pg_sparse_node *c;

	if (n->refs == 1)
		return 0;
	c = node_new(k, n->level);
	if (!c)
		return -ENOMEM;
	c->used = n->used;
	for (unsigned i = 0; i < PG_SPARSE_FAN; i++) {
		c->slot[i] = n->slot[i];
		if (!c->slot[i])
			continue;
		if (c->level)
			((struct pg_sparse_node *)c->slot[i])->refs++;
		else if (k->ref)
			k->ref(k->ctx, c->slot[i]);
	}
	n->refs--;
	*at = c;
	return 0;
}

/* The kid slot of an inner node as a node pointer to work on. */
static struct pg_sparse_node **kid_at(struct pg_sparse_node *n, unsigned i)
{
	return (struct pg_sparse_node **)(void *)&n->slot[i];
}

/* One more level on top. -ENOMEM: nothing changed. */
static int raise(const struct pg_sparse_kind *k, struct pg_sparse *t)
{
	struct pg_sparse_node *n;

	PG_ASSERT(t->height < PG_SPARSE_MAX_HEIGHT);
	n = node_new(k, t->height);
	if (!n)
		return -ENOMEM;
	n->slot[slot_of(t->base, t->height)] = t->root;
	n->used = 1;
	t->root = n;
	t->height++;
	t->base &= ~(((uint64_t)1 << shift_of(t->height)) - 1);
	return 0;
}

void *pg_sparse_get(const struct pg_sparse *t, uint64_t index, bool *alone)
{
	struct pg_sparse_node *n = t->root;
	bool own = true;

	if (!covers(t, index))
		return NULL;
	while (n) {
		own = own && n->refs == 1;
		if (n->level == 0)
			break;
		n = n->slot[slot_of(index, n->level)];
	}
	if (!n)
		return NULL;
	if (alone)
		*alone = own;
	return n->slot[slot_of(index, 0)];
}

static void *next_in(const struct pg_sparse_node *n, uint64_t base, uint64_t from, uint64_t last,
	uint64_t *index)
{
	uint64_t step = (uint64_t)1 << shift_of(n->level);
	unsigned i = from > base ? slot_of(from, n->level) : 0;

	for (; i < PG_SPARSE_FAN; i++) {
		uint64_t at = base + i * step;
		void *v = n->slot[i];

		if (at > last)
			return NULL;
		if (v && n->level)
			v = next_in(v, at, from, last, index);
		else if (v)
			*index = at;
		if (v)
			return v;
	}
	return NULL;
}

void *pg_sparse_next(const struct pg_sparse *t, uint64_t from, uint64_t last, uint64_t *index)
{
	if (!t->root || last < t->base || from > last_of(t->base, t->height - 1))
		return NULL;
	return next_in(t->root, t->base, from, last, index);
}

int pg_sparse_reserve(const struct pg_sparse_kind *k, struct pg_sparse *t, uint64_t index,
	struct pg_sparse_place *out)
{
	struct pg_sparse_node **at = &t->root;

	if (!t->root) {
		t->root = node_new(k, 0);
		if (!t->root)
			return -ENOMEM;
		t->base = index & ~(uint64_t)(PG_SPARSE_FAN - 1);
		t->height = 1;
	}
	while (!covers(t, index)) {
		if (raise(k, t))
			return -ENOMEM;
	}
	for (;;) {
		struct pg_sparse_node *n;
		unsigned i;

		if (node_own(k, at))
			return -ENOMEM;
		n = *at;
		i = slot_of(index, n->level);
		if (n->level == 0) {
			*out = (struct pg_sparse_place){n, i};
			return 0;
		}
		if (!n->slot[i]) {
			n->slot[i] = node_new(k, n->level - 1u);
			if (!n->slot[i])
				return -ENOMEM;
			n->used++;
		}
		at = kid_at(n, i);
	}
}

void pg_sparse_put(const struct pg_sparse_kind *k, const struct pg_sparse_place *p, void *value)
{
	void *old = p->leaf->slot[p->at];

	p->leaf->slot[p->at] = value;
	p->leaf->used = (uint16_t)(p->leaf->used + (value != NULL) - (old != NULL));
	if (old && k->unref)
		k->unref(k->ctx, old);
}

int pg_sparse_unshare(const struct pg_sparse_kind *k, struct pg_sparse *t, uint64_t index)
{
	struct pg_sparse_node **at = &t->root;

	if (!covers(t, index))
		return 0;
	while (*at) {
		if (node_own(k, at))
			return -ENOMEM;
		if ((*at)->level == 0)
			break;
		at = kid_at(*at, slot_of(index, (*at)->level));
	}
	return 0;
}

/* Takes [from, last] out of the node at *at, which begins at base; an empty node goes too. */
static void erase_in(const struct pg_sparse_kind *k, struct pg_sparse_node **at, uint64_t base,
	uint64_t from, uint64_t last)
{
	struct pg_sparse_node *n = *at;
	uint64_t step = (uint64_t)1 << shift_of(n->level);
	unsigned i = from > base ? slot_of(from, n->level) : 0;

	if (from <= base && last >= last_of(base, n->level)) {
		*at = NULL;
		node_drop(k, n);
		return;
	}
	PG_ASSERT(n->refs == 1);
	for (; i < PG_SPARSE_FAN && base + i * step <= last; i++) {
		void *v = n->slot[i];

		if (!v)
			continue;
		if (n->level) {
			erase_in(k, kid_at(n, i), base + i * step, from, last);
		} else {
			n->slot[i] = NULL;
			if (k->unref)
				k->unref(k->ctx, v);
		}
		if (!n->slot[i])
			n->used--;
	}
	if (!n->used) {
		*at = NULL;
		node_drop(k, n);
	}
}

void pg_sparse_erase(
	const struct pg_sparse_kind *k, struct pg_sparse *t, uint64_t from, uint64_t last)
{
	if (!t->root || last < t->base || from > last_of(t->base, t->height - 1))
		return;
	erase_in(k, &t->root, t->base, from, last);
	pg_sparse_trim(k, t);
}

void pg_sparse_drop(const struct pg_sparse_kind *k, struct pg_sparse *t)
{
	struct pg_sparse_node *n = t->root;

	*t = (struct pg_sparse){0};
	if (n)
		node_drop(k, n);
}

void pg_sparse_share(const struct pg_sparse *t, struct pg_sparse *out)
{
	*out = *t;
	if (out->root)
		out->root->refs++;
}

/*
 * Moves the slots of *n at index and above to a node taken from spare[n->level]; returns that
 * node, or NULL if there was nothing to move. *n becomes NULL if nothing is left.
 */
static struct pg_sparse_node *split_node(const struct pg_sparse_kind *k, struct pg_sparse_node **at,
	uint64_t index, struct pg_sparse_node **spare)
{
	struct pg_sparse_node *n = *at;
	struct pg_sparse_node *up = spare[n->level];
	uint64_t inside = index & (((uint64_t)1 << shift_of(n->level)) - 1);
	unsigned i = slot_of(index, n->level);

	spare[n->level] = NULL;
	if (inside) { /* the kid at i is cut in two; level is above 0 */
		if (n->slot[i]) {
			up->slot[i] = split_node(k, kid_at(n, i), index, spare);
			up->used += up->slot[i] != NULL;
			n->used -= n->slot[i] == NULL;
		}
		i++;
	}
	for (; i < PG_SPARSE_FAN; i++) {
		if (!n->slot[i])
			continue;
		up->slot[i] = n->slot[i];
		n->slot[i] = NULL;
		up->used++;
		n->used--;
	}
	if (!n->used) {
		*at = NULL;
		node_drop(k, n);
	}
	if (!up->used) {
		node_drop(k, up);
		return NULL;
	}
	return up;
}

int pg_sparse_split(const struct pg_sparse_kind *k, struct pg_sparse *t, uint64_t index,
	struct pg_sparse *upper)
{
	struct pg_sparse_node *spare[PG_SPARSE_MAX_HEIGHT] = {0};
	int err = 0;

	*upper = (struct pg_sparse){0};
	if (!t->root || index > last_of(t->base, t->height - 1))
		return 0;
	if (index <= t->base) {
		*upper = *t;
		*t = (struct pg_sparse){0};
		return 0;
	}
	for (unsigned l = 0; l < t->height && !err; l++) {
		spare[l] = node_new(k, l);
		if (!spare[l])
			err = -ENOMEM;
	}
	if (!err)
		err = pg_sparse_unshare(k, t, index);
	if (!err) {
		upper->base = t->base;
		upper->height = t->height;
		upper->root = split_node(k, &t->root, index, spare);
	}
	for (unsigned l = 0; l < PG_SPARSE_MAX_HEIGHT; l++)
		pg_mem_free(k->mem, spare[l]);
	return err;
}

/* Moves all slots of b to a; both cover the same indices and are owned; frees b. */
static void join_nodes(
	const struct pg_sparse_kind *k, struct pg_sparse_node *a, struct pg_sparse_node *b)
{
	for (unsigned i = 0; i < PG_SPARSE_FAN; i++) {
		if (!b->slot[i])
			continue;
		b->used--;
		if (a->slot[i]) { /* the seam */
			PG_ASSERT(a->level > 0);
			join_nodes(k, a->slot[i], b->slot[i]);
		} else {
			a->slot[i] = b->slot[i];
			a->used++;
		}
		b->slot[i] = NULL;
	}
	node_drop(k, b);
}

/* Makes every node that exists at the same place in both trees owned: the seam. */
static int own_seam(
	const struct pg_sparse_kind *k, struct pg_sparse_node **a, struct pg_sparse_node **b)
{
	if (node_own(k, a) || node_own(k, b))
		return -ENOMEM;
	for (unsigned i = 0; (*a)->level && i < PG_SPARSE_FAN; i++) {
		if ((*a)->slot[i] && (*b)->slot[i] && own_seam(k, kid_at(*a, i), kid_at(*b, i)))
			return -ENOMEM;
	}
	return 0;
}

int pg_sparse_join(const struct pg_sparse_kind *k, struct pg_sparse *t, struct pg_sparse *upper)
{
	uint64_t first;

	if (!upper->root)
		return 0;
	if (!t->root) {
		*t = *upper;
		*upper = (struct pg_sparse){0};
		return 0;
	}
	if (!pg_sparse_next(upper, 0, UINT64_MAX, &first)) {
		pg_sparse_drop(k, upper); /* nodes, but no value */
		return 0;
	}
	while (t->height < upper->height || !covers(t, upper->base)) {
		if (raise(k, t))
			return -ENOMEM;
	}
	while (upper->height < t->height) {
		if (raise(k, upper))
			return -ENOMEM;
	}
	PG_ASSERT(t->base == upper->base);
	if (own_seam(k, &t->root, &upper->root))
		return -ENOMEM;
	join_nodes(k, t->root, upper->root);
	*upper = (struct pg_sparse){0};
	return 0;
}

void pg_sparse_trim(const struct pg_sparse_kind *k, struct pg_sparse *t)
{
	while (t->root && t->root->refs == 1 && t->root->level > 0 && t->root->used <= 1) {
		struct pg_sparse_node *n = t->root;
		unsigned i = 0;

		while (i < PG_SPARSE_FAN && !n->slot[i])
			i++;
		if (i == PG_SPARSE_FAN) {
			pg_sparse_drop(k, t);
			return;
		}
		t->root = n->slot[i];
		t->base += (uint64_t)i << shift_of(n->level);
		t->height--;
		n->slot[i] = NULL;
		n->used = 0;
		node_drop(k, n);
	}
	if (!t->root)
		*t = (struct pg_sparse){0};
}

static const char *check_in(const struct pg_sparse_node *n, unsigned level, uint64_t base,
	bool shared, const char *(*f)(void *ctx, uint64_t index, void *value, bool shared),
	void *ctx)
{
	const char *bad = NULL;
	unsigned used = 0;

	shared = shared || n->refs > 1;
	if (n->level != level || (base & (((uint64_t)1 << shift_of(level + 1)) - 1)))
		return "S1: a sparse node's level or alignment";
	for (unsigned i = 0; i < PG_SPARSE_FAN && !bad; i++) {
		uint64_t at = base + ((uint64_t)i << shift_of(level));

		if (!n->slot[i])
			continue;
		used++;
		bad = level ? check_in(n->slot[i], level - 1, at, shared, f, ctx)
			    : f(ctx, at, n->slot[i], shared);
	}
	if (!bad && used != n->used)
		return "S2: a sparse node's count of used slots";
	return bad;
}

const char *pg_sparse_check(const struct pg_sparse *t,
	const char *(*f)(void *ctx, uint64_t index, void *value, bool shared), void *ctx)
{
	if (!t->root)
		return NULL;
	return check_in(t->root, t->height - 1, t->base, false, f, ctx);
}
