/* SPDX-License-Identifier: MIT */
/*
 * frame/partition_queue.c: see partition_queue.h.
 *
 * A balanced tree in the queue's order, each node knowing the least size below it, so that who fits is found without asking
 * everybody. Calls base/tree.h. Owns nothing.
 */
#include "frame/partition_queue.h"

static struct pg_wait *wait_of(const struct pg_tree_node *n)
{
	return PG_TREE_ENTRY(n, struct pg_wait, link);
}

static uint64_t least_below(const struct pg_tree_node *n)
{
	return n ? wait_of(n)->least : UINT64_MAX;
}

static uint64_t least_of(const struct pg_tree_node *n)
{
	uint64_t least = wait_of(n)->size;

	for (int i = 0; i < 2; i++)
		if (least_below(n->kid[i]) < least)
			least = least_below(n->kid[i]);
	return least;
}

static void augment(struct pg_tree_node *n)
{
	wait_of(n)->least = least_of(n);
}

static bool augment_ok(const struct pg_tree_node *n)
{
	return wait_of(n)->least == least_of(n);
}

static bool older(const struct pg_tree_node *a, const struct pg_tree_node *b)
{
	return wait_of(a)->age < wait_of(b)->age;
}

static bool more_urgent(const struct pg_tree_node *a, const struct pg_tree_node *b)
{
	const struct pg_wait *x = wait_of(a), *y = wait_of(b);

	return x->priority != y->priority ? x->priority > y->priority : x->age < y->age;
}

void pg_wait_init(struct pg_wait_queue *q, bool by_priority)
{
	*q = (struct pg_wait_queue){.by_priority = by_priority};
	pg_tree_init(&q->tree, augment);
}

void pg_wait_rejoin(struct pg_wait_queue *q, struct pg_wait *w)
{
	struct pg_tree_node **at = &q->tree.root, *parent = NULL;

	while (*at) {
		parent = *at;
		at = &parent->kid[q->by_priority ? more_urgent(parent, &w->link)
						 : older(parent, &w->link)];
	}
	pg_tree_insert(&q->tree, &w->link, parent, at);
	q->n++;
}

void pg_wait_join(struct pg_wait_queue *q, struct pg_wait *w, uint64_t size, unsigned priority)
{
	*w = (struct pg_wait){.size = size, .priority = priority, .age = q->joined++};
	pg_wait_rejoin(q, w);
}

void pg_wait_leave(struct pg_wait_queue *q, struct pg_wait *w)
{
	pg_tree_erase(&q->tree, &w->link);
	q->n--;
}

struct pg_wait *pg_wait_head(const struct pg_wait_queue *q)
{
	struct pg_tree_node *n = pg_tree_first(&q->tree);

	return n ? wait_of(n) : NULL;
}

struct pg_wait *pg_wait_fitting(const struct pg_wait_queue *q, uint64_t most)
{
	struct pg_tree_node *n = q->tree.root;

	if (least_below(n) > most)
		return NULL;
	for (;;) {
		if (least_below(n->kid[0]) <= most)
			n = n->kid[0];
		else if (wait_of(n)->size <= most)
			return wait_of(n);
		else
			n = n->kid[1];
	}
}

const char *pg_wait_check(const struct pg_wait_queue *q)
{
	uint64_t n = 0;
	const char *broken =
		pg_tree_check(&q->tree, q->by_priority ? more_urgent : older, augment_ok);

	if (broken)
		return broken;
	for (struct pg_tree_node *at = pg_tree_first(&q->tree); at; at = pg_tree_next(at))
		n++;
	return n == q->n ? NULL : "n is not how many wait";
}
