/* SPDX-License-Identifier: MIT */
/*
 * base/tree.h: an intrusive, augmented, balanced binary tree (AVL: Adelson-Velsky and Landis 1962).
 *
 * Used by space/ for regions (ordered by address, augmented by the largest gap of a subtree) and by
 * whoever else needs order. The node lies inside the caller's struct; the tree owns no memory and
 * never compares: the caller searches, then says where the new node goes.
 *
 *   struct thing { uint64_t key; struct pg_tree_node link; };
 *
 *   struct pg_tree_node **at = &t->root, *parent = NULL;
 *   while (*at) {
 *           parent = *at;
 *           at = &parent->kid[new->key > PG_TREE_ENTRY(parent, struct thing, link)->key];
 *   }
 *   pg_tree_insert(t, &new->link, parent, at);
 *
 * Augmentation: augment(n) computes what the caller keeps in n about its subtree from n itself and
 * its two kids, which are right already. The tree calls it bottom-up for every node whose subtree
 * changed. When the caller changes what augment() reads of a node itself, it calls
 * pg_tree_changed().
 *
 * Invariants (pg_tree_check):
 *   T1 kid and parent links agree; the root has no parent.
 *   T2 height is 1 + the greater height of the kids (no kid: 0).
 *   T3 the heights of two siblings differ by at most 1; so depth is at most 1.44 log2(n + 2).
 *   T4 in-order neighbours are in the caller's order.
 *   T5 each augmented value is what augment() would compute.
 */
#ifndef PG_BASE_TREE_H
#define PG_BASE_TREE_H

#include <stdbool.h>
#include <stddef.h>

struct pg_tree_node {
	struct pg_tree_node *parent; /* NULL: the root */
	struct pg_tree_node *kid[2]; /* [0] what comes before, [1] what comes after */
	unsigned height;             /* 1: a leaf */
};

struct pg_tree {
	struct pg_tree_node *root;               /* NULL: empty */
	void (*augment)(struct pg_tree_node *n); /* NULL: nothing kept */
};

/* The struct of type `type` whose member `member` is *node. */
#define PG_TREE_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void pg_tree_init(struct pg_tree *t, void (*augment)(struct pg_tree_node *n))
{
	t->root = NULL;
	t->augment = augment;
}

/*
 * Links n in below `parent` at *at, which is the empty &parent->kid[0 or 1], or &t->root of an
 * empty tree with parent NULL. O(log n).
 */
void pg_tree_insert(struct pg_tree *t, struct pg_tree_node *n, struct pg_tree_node *parent,
	struct pg_tree_node **at);
/* Unlinks n, which is in t. O(log n). */
void pg_tree_erase(struct pg_tree *t, struct pg_tree_node *n);
/* What augment() reads of n itself has changed: brings n and all above it up to date. O(log n). */
void pg_tree_changed(struct pg_tree *t, struct pg_tree_node *n);

/* In order. NULL: none. O(log n); a whole pass by next or prev is O(n). */
struct pg_tree_node *pg_tree_first(const struct pg_tree *t);
struct pg_tree_node *pg_tree_last(const struct pg_tree *t);
struct pg_tree_node *pg_tree_next(const struct pg_tree_node *n);
struct pg_tree_node *pg_tree_prev(const struct pg_tree_node *n);

/*
 * NULL if T1 to T5 hold, or which is broken. before(a, b): a must stand before b; NULL: T4 is not
 * checked. augment_ok(n): n's value is right given its kids; NULL: T5 is not checked. O(n).
 */
const char *pg_tree_check(const struct pg_tree *t,
	bool (*before)(const struct pg_tree_node *a, const struct pg_tree_node *b),
	bool (*augment_ok)(const struct pg_tree_node *n));

#endif
