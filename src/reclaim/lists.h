/* SPDX-License-Identifier: MIT */
/*
 * reclaim/lists.h: what most policies are made of: queues of resident pages, and ghosts.
 *
 * Used by the policies. A page is named by its frame number; one array of links serves all queues of a policy, so a page is
 * on at most one at a time. A ghost list remembers keys of evicted pages in the order of their coming, up to a number.
 *
 * Invariants (pg_lists_check, pg_ghosts_check):
 *   Q1 a queue is linked both ways from head to tail, its count is its length, and each page on it says so.
 *   Q2 a page that says that it is on a queue is found there.
 *   Q3 a ghost is in the order and in the hash table, once; there are at most `max` of them.
 */
#ifndef PG_RECLAIM_LISTS_H
#define PG_RECLAIM_LISTS_H

#include "base/types.h"
#include "reclaim/policy.h"

#define PG_QUEUES 64 /* of one policy, at most */
#define PG_ON_NONE UINT8_MAX

/* A page's row; one for each frame. All zero until the page is known: no memory of the host is touched for the others. */
struct pg_link {
	uint32_t prev, next; /* of a known page: frame numbers; UINT32_MAX: the end */
	uint8_t on_plus_1;   /* queue + 1, 0: on none; see pg_lists_on() */
	uint8_t known; /* the policy's: the page was added and is not gone; picked pages are known, on no queue */
	uint8_t was;  /* the policy's: e.g. the queue from which it was picked */
	uint8_t mark; /* the policy's */
};

struct pg_queue {
	uint32_t head, tail; /* head: the next to go by age; UINT32_MAX: empty */
	uint64_t count;
};

struct pg_lists {
	struct pg_link *links; /* [frames]; owned */
	uint32_t frames;
	unsigned queues;
	uint64_t known; /* rows with `known` set, kept by pg_lists_know() and pg_lists_forget() */
	struct pg_queue q[PG_QUEUES];
};

/* -ENOMEM. */
PG_MUST_CHECK int pg_lists_init(struct pg_lists *l, uint32_t frames, unsigned queues);
void pg_lists_free(struct pg_lists *l);
/* At the tail (youngest) or at the head (oldest) of queue q. f must be on none. */
void pg_lists_push(struct pg_lists *l, unsigned q, pg_pfn f);
void pg_lists_push_head(struct pg_lists *l, unsigned q, pg_pfn f);
/* Takes f off the queue that it is on, if any. */
void pg_lists_take(struct pg_lists *l, pg_pfn f);
/* Takes the oldest of q off, or PG_PFN_NONE. */
pg_pfn pg_lists_pop(struct pg_lists *l, unsigned q);
/* To the tail of q, from wherever it is. */
void pg_lists_move(struct pg_lists *l, unsigned q, pg_pfn f);
/* A page was added: it was not known. / It is gone: off its queue, its row cleared. */
void pg_lists_know(struct pg_lists *l, pg_pfn f);
void pg_lists_forget(struct pg_lists *l, pg_pfn f);
const char *pg_lists_check(const struct pg_lists *l);

static inline pg_pfn pg_lists_head(const struct pg_lists *l, unsigned q)
{
	return (pg_pfn){l->q[q].head};
}

/* The next younger page of f's queue, or PG_PFN_NONE. */
static inline pg_pfn pg_lists_next(const struct pg_lists *l, pg_pfn f)
{
	return (pg_pfn){l->links[f.v].next};
}

/* The queue that f is on, or PG_ON_NONE. */
static inline uint8_t pg_lists_on(const struct pg_lists *l, pg_pfn f)
{
	return (uint8_t)(l->links[f.v].on_plus_1 - 1u);
}

static inline struct pg_link *pg_lists_row(const struct pg_lists *l, pg_pfn f)
{
	return &l->links[f.v];
}

/* One remembered key. */
struct pg_ghost {
	struct pg_page_key key;
	uint64_t value;      /* the policy's */
	uint32_t prev, next; /* order; next also links free rows */
	uint32_t chain;      /* next in its bucket + 1; 0: the end */
	uint32_t bucket;
};

struct pg_ghosts {
	struct pg_ghost *rows; /* [max]; owned */
	uint32_t *buckets;     /* [mask + 1]: first row + 1, 0: none; owned */
	uint32_t max, mask;
	uint32_t head, tail, free;
	uint32_t fresh; /* rows from here on were never used and are on no list */
	uint64_t count;
};

/* Room for max keys, at least 1. -ENOMEM. */
PG_MUST_CHECK int pg_ghosts_init(struct pg_ghosts *g, uint32_t max);
void pg_ghosts_free(struct pg_ghosts *g);
/* The youngest from now on; when there is no room the oldest is forgotten. key must not be there. */
void pg_ghosts_push(struct pg_ghosts *g, struct pg_page_key key, uint64_t value);
/* True if it is there; *value (may be NULL) is what was pushed with it. */
bool pg_ghosts_find(const struct pg_ghosts *g, struct pg_page_key key, uint64_t *value);
/* Forgets it; false: it was not there. */
bool pg_ghosts_take(struct pg_ghosts *g, struct pg_page_key key, uint64_t *value);
/* Forgets the oldest; false: there is none. */
bool pg_ghosts_pop(struct pg_ghosts *g, struct pg_page_key *key, uint64_t *value);
const char *pg_ghosts_check(const struct pg_ghosts *g);

#endif
