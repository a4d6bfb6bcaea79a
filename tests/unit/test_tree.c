/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_tree.c: base/tree.h beside a plain membership array. Invariants T1 to T5.
 */
#include "base/random.h"
#include "base/tree.h"
#include "base/types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define KEYS 700

struct thing {
	struct pg_tree_node link;
	unsigned key;
	unsigned weight;     /* what is augmented: the maximum over the subtree */
	unsigned max_weight; /* kept by augment() */
};

static struct thing *thing_of(const struct pg_tree_node *n)
{
	return PG_TREE_ENTRY(n, struct thing, link);
}

static unsigned max_of(const struct pg_tree_node *n)
{
	unsigned m = thing_of(n)->weight;

	for (int side = 0; side < 2; side++)
		if (n->kid[side] && thing_of(n->kid[side])->max_weight > m)
			m = thing_of(n->kid[side])->max_weight;
	return m;
}

static void augment(struct pg_tree_node *n)
{
	thing_of(n)->max_weight = max_of(n);
}

static bool augment_ok(const struct pg_tree_node *n)
{
	return thing_of(n)->max_weight == max_of(n);
}

static bool before(const struct pg_tree_node *a, const struct pg_tree_node *b)
{
	return thing_of(a)->key < thing_of(b)->key;
}

/* The first node whose key is not below `key`, as a caller searches. */
static void insert_by_search(struct pg_tree *t, struct thing *x)
{
	struct pg_tree_node **at = &t->root, *parent = NULL;

	while (*at) {
		parent = *at;
		at = &parent->kid[x->key > thing_of(parent)->key];
	}
	pg_tree_insert(t, &x->link, parent, at);
}

/* The tree holds exactly the things marked in `in`, forwards and backwards. */
static void expect_members(const struct pg_tree *t, const struct thing *x, const bool *in)
{
	const struct pg_tree_node *n = pg_tree_first(t);
	int last = -1;

	for (int i = 0; i < KEYS; i++) {
		if (!in[i])
			continue;
		assert_ptr_equal(n, &x[i].link);
		n = pg_tree_next(n);
		last = i;
	}
	assert_null(n);
	n = pg_tree_last(t);
	for (int i = last; i >= 0; i--) {
		if (!in[i])
			continue;
		assert_ptr_equal(n, &x[i].link);
		n = pg_tree_prev(n);
	}
	assert_null(n);
}

static void tree_random_operations_keep_invariants(void **state)
{
	static struct thing x[KEYS];
	bool in[KEYS] = {false};
	struct pg_random r;
	struct pg_tree t;

	pg_random_seed(&r, 1);
	pg_tree_init(&t, augment);
	for (unsigned i = 0; i < KEYS; i++)
		x[i].key = i;
	for (int step = 0; step < 20000; step++) {
		unsigned i = (unsigned)pg_random_below(&r, KEYS);
		/* Phases that grow and shrink, so that both ends and the empty tree are met. */
		bool shrink = (step / 2500) % 2;

		if (!in[i] && (!shrink || pg_random_one_in(&r, 4))) {
			x[i].weight = (unsigned)pg_random_below(&r, 1000);
			insert_by_search(&t, &x[i]);
			in[i] = true;
		} else if (in[i] && (shrink || pg_random_one_in(&r, 4))) {
			pg_tree_erase(&t, &x[i].link);
			in[i] = false;
		} else if (in[i]) {
			x[i].weight = (unsigned)pg_random_below(&r, 1000);
			pg_tree_changed(&t, &x[i].link);
		}
		assert_null(pg_tree_check(&t, before, augment_ok));
		if (step % 16 == 0)
			expect_members(&t, x, in);
	}
	for (unsigned i = 0; i < KEYS; i++)
		if (in[i])
			pg_tree_erase(&t, &x[i].link);
	assert_null(t.root);
}

/* T3: a million ascending insertions, the worst order for an unbalanced tree. */
static void tree_ascending_insertion_stays_shallow(void **state)
{
	enum { N = 1000000 };
	struct thing *x = calloc(N, sizeof(*x));
	struct pg_tree t;

	assert_non_null(x);
	pg_tree_init(&t, NULL);
	for (unsigned i = 0; i < N; i++) {
		x[i].key = i;
		insert_by_search(&t, &x[i]);
	}
	assert_true(t.root->height <= 28); /* 1.44 log2(10^6 + 2) = 28.7 */
	assert_null(pg_tree_check(&t, before, NULL));
	for (unsigned i = 0; i < N; i += 2)
		pg_tree_erase(&t, &x[i].link);
	assert_null(pg_tree_check(&t, before, NULL));
	assert_ptr_equal(pg_tree_first(&t), &x[1].link);
	free(x);
}

/* The check must see what it promises to see. */
static void tree_check_broken_is_found(void **state)
{
	struct thing x[7];
	struct pg_tree t;

	pg_tree_init(&t, augment);
	for (unsigned i = 0; i < 7; i++) {
		x[i] = (struct thing){.key = i, .weight = i};
		insert_by_search(&t, &x[i]);
	}
	assert_null(pg_tree_check(&t, before, augment_ok));
	x[3].link.height++;
	assert_string_equal(pg_tree_check(&t, before, augment_ok), "T2: height of a node");
	x[3].link.height--;
	x[2].key = 9;
	assert_string_equal(pg_tree_check(&t, before, augment_ok), "T4: order of two neighbours");
	x[2].key = 2;
	x[5].max_weight = 0;
	assert_string_equal(pg_tree_check(&t, before, augment_ok), "T5: augmented value of a node");
	augment(&x[5].link);
	t.root->kid[0]->parent = NULL;
	assert_string_equal(pg_tree_check(&t, before, augment_ok), "T1: kid and parent links");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_random_operations_keep_invariants),
		cmocka_unit_test(tree_ascending_insertion_stays_shallow),
		cmocka_unit_test(tree_check_broken_is_found),
	};

	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
