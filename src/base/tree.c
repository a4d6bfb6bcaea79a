/* SPDX-License-Identifier: MIT */
/*
 * base/tree.c: the AVL tree of tree.h. Owns nothing; see there for the invariants T1 to T5.
 *
 * Insertion and removal link at the bottom and then climb to the root once, at each node fixing
 * height, balance and the augmented value. Knuth, The Art of Computer Programming, vol. 3, 6.2.3.
 */
#include "base/tree.h"

static unsigned height(const struct pg_tree_node *n)
{
	return n ? n->height : 0;
}

/* n's height and augmented value from its kids. */
static void refresh(struct pg_tree *t, struct pg_tree_node *n)
{
	unsigned a = height(n->kid[0]), b = height(n->kid[1]);

	n->height = 1 + (a > b ? a : b);
	if (t->augment)
		t->augment(n);
}

/* Puts `with` (or nothing) where `old` hangs below `parent`. */
static void replace_kid(struct pg_tree *t, struct pg_tree_node *parent, struct pg_tree_node *old,
	struct pg_tree_node *with)
{
	if (!parent)
		t->root = with;
	else
		parent->kid[parent->kid[1] == old] = with;
	if (with)
		with->parent = parent;
}

/* Lifts n's kid on `side` above n; gives back that kid. The new top is not refreshed. */
static struct pg_tree_node *lift(struct pg_tree *t, struct pg_tree_node *n, int side)
{
	struct pg_tree_node *k = n->kid[side];

	replace_kid(t, n->parent, n, k);
	n->kid[side] = k->kid[!side];
	if (n->kid[side])
		n->kid[side]->parent = n;
	k->kid[!side] = n;
	n->parent = k;
	refresh(t, n);
	return k;
}

/* Restores T2, T3 and T5 from n, whose subtrees are right, up to the root. */
static void climb(struct pg_tree *t, struct pg_tree_node *n)
{
	for (; n; n = n->parent) {
		int lean = (int)height(n->kid[1]) - (int)height(n->kid[0]);

		if (lean > 1 || lean < -1) {
			int side = lean > 0;
			struct pg_tree_node *k = n->kid[side];

			if (height(k->kid[!side]) > height(k->kid[side]))
				refresh(t, lift(t, k, !side));
			n = lift(t, n, side);
		}
		refresh(t, n);
	}
}

void pg_tree_insert(struct pg_tree *t, struct pg_tree_node *n, struct pg_tree_node *parent,
	struct pg_tree_node **at)
{
	n->parent = parent;
	n->kid[0] = n->kid[1] = NULL;
	*at = n;
	climb(t, n);
}

void pg_tree_erase(struct pg_tree *t, struct pg_tree_node *n)
{
	struct pg_tree_node *from; /* the lowest node whose subtree changes */

	if (n->kid[0] && n->kid[1]) {
		/* The successor has no kid before it: it leaves its place and takes n's. */
		struct pg_tree_node *s = n->kid[1];

		while (s->kid[0])
			s = s->kid[0];
		from = s->parent == n ? s : s->parent;
		replace_kid(t, s->parent, s, s->kid[1]);
		for (int side = 0; side < 2; side++) {
			s->kid[side] = n->kid[side];
			if (s->kid[side])
				s->kid[side]->parent = s;
		}
		replace_kid(t, n->parent, n, s);
	} else {
		from = n->parent;
		replace_kid(t, n->parent, n, n->kid[0] ? n->kid[0] : n->kid[1]);
	}
	n->parent = n->kid[0] = n->kid[1] = NULL;
	n->height = 0;
	climb(t, from);
}

void pg_tree_changed(struct pg_tree *t, struct pg_tree_node *n)
{
	if (!t->augment)
		return;
	for (; n; n = n->parent)
		t->augment(n);
}

/* The outermost node of the subtree n on `side`; NULL for an empty one. */
static struct pg_tree_node *outermost(struct pg_tree_node *n, int side)
{
	while (n && n->kid[side])
		n = n->kid[side];
	return n;
}

/* The in-order neighbour of n on `side`. */
static struct pg_tree_node *neighbour(const struct pg_tree_node *n, int side)
{
	if (n->kid[side])
		return outermost(n->kid[side], !side);
	while (n->parent && n->parent->kid[side] == n)
		n = n->parent;
	return n->parent;
}

struct pg_tree_node *pg_tree_first(const struct pg_tree *t)
{
	return outermost(t->root, 0);
}

struct pg_tree_node *pg_tree_last(const struct pg_tree *t)
{
	return outermost(t->root, 1);
}

struct pg_tree_node *pg_tree_next(const struct pg_tree_node *n)
{
	return neighbour(n, 1);
}

struct pg_tree_node *pg_tree_prev(const struct pg_tree_node *n)
{
	return neighbour(n, 0);
}

/* T1 below n; depth guards against a ring. */
static bool links_agree(const struct pg_tree_node *n, unsigned depth)
{
	if (depth > 96)
		return false;
	for (int side = 0; side < 2; side++) {
		const struct pg_tree_node *k = n->kid[side];

		if (k && (k->parent != n || !links_agree(k, depth + 1)))
			return false;
	}
	return true;
}

const char *pg_tree_check(const struct pg_tree *t,
	bool (*before)(const struct pg_tree_node *a, const struct pg_tree_node *b),
	bool (*augment_ok)(const struct pg_tree_node *n))
{
	const struct pg_tree_node *n, *last = NULL;

	if (t->root && (t->root->parent || !links_agree(t->root, 0)))
		return "T1: kid and parent links";
	for (n = pg_tree_first(t); n; last = n, n = pg_tree_next(n)) {
		unsigned a = height(n->kid[0]), b = height(n->kid[1]);

		if (n->height != 1 + (a > b ? a : b))
			return "T2: height of a node";
		if (a > b + 1 || b > a + 1)
			return "T3: balance of a node";
		if (before && last && !before(last, n))
			return "T4: order of two neighbours";
		if (augment_ok && !augment_ok(n))
			return "T5: augmented value of a node";
	}
	return NULL;
}
