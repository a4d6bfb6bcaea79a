/* SPDX-License-Identifier: MIT */
/*
 * space/sparse.h: sparse arrays of pointers, indexed by page number, whose parts can be shared.
 *
 * Used by space/ twice: the anon layer of a region (values: struct pg_anon) and the pages of an
 * object (values: frames, never shared). A radix tree of 32-way nodes whose root covers just the
 * span in use: its cost is that of the values present, not of the span.
 *
 * Copy needed. fork() gives the child the same root with one reference more. A node with more than
 * one reference is never written: who wants to change something below it first copies the nodes on
 * that one path (pg_sparse_reserve, pg_sparse_unshare), which gives each value of a copied leaf one
 * more reference. So fork costs nothing here, and the first write after it a handful of nodes. A
 * value is its holder's alone if every node on the way has one reference and the value has one.
 *
 * Invariants (pg_sparse_check):
 *   S1 a node of level l covers 32^(l+1) indices, aligned; its kids cover one 32nd each.
 *   S2 used is the number of slots that are not NULL.
 *   S3 the references of a node are the number of tree roots and node slots that name it
 *      (checked for the whole machine by space/check.c through the values' counts).
 *
 * Allocations go through space/mem.h and may fail; each function says what holds then.
 */
#ifndef PG_SPACE_SPARSE_H
#define PG_SPACE_SPARSE_H

#include "base/types.h"

#define PG_SPARSE_BITS 5u
#define PG_SPARSE_FAN (1u << PG_SPARSE_BITS)
#define PG_SPARSE_MAX_HEIGHT 11u /* 55 bits of index: 52 are used */

struct pg_mem;

/* What kind of values an array holds. Either function may be NULL: nothing to do. */
struct pg_sparse_kind {
	struct pg_mem *mem; /* borrowed */
	void *ctx;          /* handed to both */
	void (*ref)(void *ctx, void *value);
	void (*unref)(void *ctx, void *value);
};

struct pg_sparse_node {
	uint32_t refs;
	uint16_t used;
	uint16_t level; /* 0: a leaf, its slots are values */
	void *slot[PG_SPARSE_FAN];
};

/* All zero: empty. */
struct pg_sparse {
	struct pg_sparse_node *root; /* counted; NULL: nothing in it */
	uint64_t base;               /* first index that root covers */
	unsigned height;             /* levels; root->level + 1 */
};

/* A place for one value, made ready by pg_sparse_reserve(); valid until the next change. */
struct pg_sparse_place {
	struct pg_sparse_node *leaf;
	unsigned at;
};

/* The value at index, or NULL. *alone (may be NULL): no node on the way is shared. */
void *pg_sparse_get(const struct pg_sparse *t, uint64_t index, bool *alone);

/* The first value with an index in [from, last]; NULL: none. */
void *pg_sparse_next(const struct pg_sparse *t, uint64_t from, uint64_t last, uint64_t *index);

/* Makes room for a value at index. -ENOMEM: what the array holds is unchanged. */
PG_MUST_CHECK int pg_sparse_reserve(const struct pg_sparse_kind *k, struct pg_sparse *t,
	uint64_t index, struct pg_sparse_place *out);

/* Puts value (its reference passes to the array) in place; the value that was there loses one. */
void pg_sparse_put(const struct pg_sparse_kind *k, const struct pg_sparse_place *p, void *value);

/* After this no node on the way to index is shared. -ENOMEM: what the array holds is unchanged. */
PG_MUST_CHECK int pg_sparse_unshare(
	const struct pg_sparse_kind *k, struct pg_sparse *t, uint64_t index);

/*
 * Takes all values of [from, last] out; each loses a reference. The ways to from and to last must
 * have been unshared, unless [from, last] holds everything.
 */
void pg_sparse_erase(
	const struct pg_sparse_kind *k, struct pg_sparse *t, uint64_t from, uint64_t last);

/* Everything out. */
void pg_sparse_drop(const struct pg_sparse_kind *k, struct pg_sparse *t);

/* *out, empty before, becomes the same array, sharing all nodes. */
void pg_sparse_share(const struct pg_sparse *t, struct pg_sparse *out);

/*
 * Moves the values at index and above to *upper, empty before. -ENOMEM: nothing changed.
 * pg_sparse_join() right afterwards undoes it and cannot fail.
 */
PG_MUST_CHECK int pg_sparse_split(const struct pg_sparse_kind *k, struct pg_sparse *t,
	uint64_t index, struct pg_sparse *upper);

/* Moves all of *upper, whose indices are above those of *t, to *t. -ENOMEM: nothing changed. */
PG_MUST_CHECK int pg_sparse_join(
	const struct pg_sparse_kind *k, struct pg_sparse *t, struct pg_sparse *upper);

/* Removes levels that have become needless. */
void pg_sparse_trim(const struct pg_sparse_kind *k, struct pg_sparse *t);

/*
 * Calls f for each leaf slot in use; shared tells that a node above is shared. Used by checks.
 * NULL, or which of S1, S2 is broken, or what f returned.
 */
const char *pg_sparse_check(const struct pg_sparse *t,
	const char *(*f)(void *ctx, uint64_t index, void *value, bool shared), void *ctx);

#endif
