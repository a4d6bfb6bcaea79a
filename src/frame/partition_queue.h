/* SPDX-License-Identifier: MIT */
/*
 * frame/partition_queue.h: the wait queue of those for whom no hole was large enough.
 *
 * Called by frame/partition_stream.c and whoever starts processes in partitions. A struct pg_wait lies inside the caller's struct;
 * the queue owns no memory. Order: by age, or by priority and then by age.
 */
#ifndef PG_FRAME_PARTITION_QUEUE_H
#define PG_FRAME_PARTITION_QUEUE_H

#include "base/tree.h"
#include "base/types.h"

/* Who waits. All fields are the queue's while it is in one; size, priority and age may be read. */
struct pg_wait {
	struct pg_tree_node link;
	uint64_t size;     /* units it wants */
	uint64_t least;    /* the least size in its subtree */
	unsigned priority; /* larger: more urgent */
	uint64_t age;      /* number of its joining, from 0: lower is older */
};

struct pg_wait_queue {
	struct pg_tree tree;
	bool by_priority;
	uint64_t n;      /* how many wait */
	uint64_t joined; /* how many ever joined */
};

void pg_wait_init(struct pg_wait_queue *q, bool by_priority);
/* w joins and gets an age. O(log n), as all below. */
void pg_wait_join(struct pg_wait_queue *q, struct pg_wait *w, uint64_t size, unsigned priority);
/* w joins again at the place that its age gives it: it has waited before in this queue. */
void pg_wait_rejoin(struct pg_wait_queue *q, struct pg_wait *w);
void pg_wait_leave(struct pg_wait_queue *q, struct pg_wait *w);
/* The first in order; NULL: nobody waits. O(log n). */
struct pg_wait *pg_wait_head(const struct pg_wait_queue *q);
/* The first in order that wants no more than `most` units; NULL: none. */
struct pg_wait *pg_wait_fitting(const struct pg_wait_queue *q, uint64_t most);

/* NULL if the order, `least` and n are right, or which is not. O(n). */
const char *pg_wait_check(const struct pg_wait_queue *q);

#endif
