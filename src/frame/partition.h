/* SPDX-License-Identifier: MIT */
/*
 * frame/partition.h: contiguous allocation: variable partitions of a range of units, found by first-, next-, best- or worst-fit.
 *
 * Called by frame/partition_stream.c and space/block.c. A unit is what the caller says: a frame, 16 bytes.
 *
 *   block    units [start, start + units) that a caller has.
 *   hole     a longest range of units that nobody has.
 *   first    the hole of lowest address that is large enough.
 *   next     the same, searched from the end of the block allocated last: first the holes that end behind
 *            it, in order, then the others from the bottom.
 *   best     the smallest hole that is large enough; of equals the lowest.
 *   worst    the largest hole, if it is large enough; of equals the lowest.
 *
 * A block is cut from the low end of its hole. Source: Knuth, The Art of Computer Programming, vol. 1, 2.5.
 */
#ifndef PG_FRAME_PARTITION_H
#define PG_FRAME_PARTITION_H

#include "base/types.h"

enum pg_partition_fit {
	PG_PARTITION_FIRST,
	PG_PARTITION_NEXT,
	PG_PARTITION_BEST,
	PG_PARTITION_WORST,
	PG_PARTITION_FITS,
};

/* "first", "next", "best", "worst". */
extern const char *const pg_partition_fit_names[PG_PARTITION_FITS];

struct pg_partition;       /* a range of units, and what is allocated of it */
struct pg_partition_block; /* a block; valid until it is freed */

struct pg_partition_figures {
	uint64_t units, free; /* all; in holes */
	uint64_t blocks, holes;
	uint64_t largest;   /* units of the largest hole; 0: no hole */
	uint64_t searches;  /* allocations tried */
	uint64_t steps;     /* holes (linear) or tree nodes (indexed) looked at in searches */
	uint64_t exact;     /* allocations that took a whole hole */
	uint64_t failed;    /* searches that found no hole */
	uint64_t scattered; /* those of them when free was enough: external fragmentation */
};

/*
 * `units` units, all one hole; units > 0. linear: holes lie on a list in the order of addresses, as in textbooks;
 * else in a balanced tree, and every search is O(log holes). What is found is the same. -ENOMEM.
 */
PG_MUST_CHECK int pg_partition_create(
	uint64_t units, enum pg_partition_fit fit, bool linear, struct pg_partition **out);
/* Frees p and all its blocks; p may be NULL. */
void pg_partition_destroy(struct pg_partition *p);

/* n units, n > 0, into *out. -ENOSPC: no hole is large enough; -ENOMEM. Unchanged on failure but for the counters. */
PG_MUST_CHECK int pg_partition_alloc(
	struct pg_partition *p, uint64_t n, struct pg_partition_block **out);
/* Gives b back; it merges with the holes beside it. */
void pg_partition_free(struct pg_partition *p, struct pg_partition_block *b);
/* b gets `more` units at its end. -ENOSPC: no hole of that size follows it; unchanged then. */
PG_MUST_CHECK int pg_partition_grow(
	struct pg_partition *p, struct pg_partition_block *b, uint64_t more);

/*
 * b moves down to the start of the hole before it, which is behind it afterwards: by how many units; 0: there is none. The caller
 * moves what is in it.
 */
uint64_t pg_partition_slide(struct pg_partition *p, struct pg_partition_block *b);

/* The units of b and of the holes beside it. */
uint64_t pg_partition_around(const struct pg_partition_block *b);
/* The first unit of b; how many it has. */
uint64_t pg_partition_start(const struct pg_partition_block *b);
uint64_t pg_partition_units(const struct pg_partition_block *b);

/* O(log holes); O(holes) of a linear one. */
void pg_partition_figures(const struct pg_partition *p, struct pg_partition_figures *f);
/* The same in O(1), but for largest, which is 0. */
void pg_partition_counters(const struct pg_partition *p, struct pg_partition_figures *f);
/* How many of the free units lie in holes of less than n units. O(blocks + holes). */
uint64_t pg_partition_unusable(const struct pg_partition *p, uint64_t n);
/* Calls each(ctx, start, units, hole) for all blocks and holes from the bottom up. */
void pg_partition_walk(const struct pg_partition *p,
	void (*each)(void *ctx, uint64_t start, uint64_t units, bool hole), void *ctx);

/* NULL if P1 to P6 of frame/partition.c hold, or which is broken. O(blocks + holes). */
const char *pg_partition_check(const struct pg_partition *p);

#endif
