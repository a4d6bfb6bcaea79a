/* SPDX-License-Identifier: MIT */
/*
 * store/pool.h: memory for objects of 1 byte to one page, in size classes, with compaction.
 *
 * Called by compressed.c under its lock. Calls the host for memory only.
 */
#ifndef PG_STORE_POOL_H
#define PG_STORE_POOL_H

#include "base/types.h"

struct pg_pool;

/* An object's place; it changes when the pool is compacted. */
typedef uint32_t pg_pool_at;
#define PG_POOL_NONE UINT32_MAX

/* Spans of this size are taken from the host and given back. */
#define PG_POOL_SPAN_BYTES 32768u

struct pg_pool_stats {
	uint64_t objects;      /* now in the pool */
	uint64_t object_bytes; /* as asked for */
	uint64_t
		rounded_bytes; /* the same, each rounded up to its class: the rest is lost inside */
	uint64_t span_bytes;   /* taken from the host: the rest is free objects, lost outside */
	uint64_t memory_bytes; /* span_bytes and what describes the spans */
	uint64_t compactions;  /* spans freed by moving what was in them */
	uint64_t moved;        /* objects moved to do so */
};

/* Told that the object of `owner` is now elsewhere. */
typedef void pg_pool_moved(void *context, uint32_t owner, pg_pool_at to);

/* max_bytes: address space that is reserved, at most 128 GiB; memory is taken by the span. -ENOMEM, -EINVAL. */
PG_MUST_CHECK int pg_pool_create(
	uint64_t max_bytes, pg_pool_moved *moved, void *context, struct pg_pool **out);
void pg_pool_destroy(struct pg_pool *p);

/*
 * A place for `bytes` bytes, 1 .. PG_PAGE_SIZE, of owner. `may_take`: memory that the pool may still take from
 * the host, in bytes. If that does not do, free objects are gathered by moving others. -ENOSPC.
 */
PG_MUST_CHECK int pg_pool_alloc(
	struct pg_pool *p, unsigned bytes, uint32_t owner, uint64_t may_take, pg_pool_at *out);
/* bytes: as they were asked for. */
void pg_pool_free(struct pg_pool *p, pg_pool_at at, unsigned bytes);
/* Gathers free objects until a span is free, and gives it back; false if there are too few. */
bool pg_pool_compact(struct pg_pool *p);

/* The object's bytes; until the next alloc, or compaction. */
void *pg_pool_bytes(const struct pg_pool *p, pg_pool_at at);
uint32_t pg_pool_owner(const struct pg_pool *p, pg_pool_at at);
/* An object of this many bytes takes as much room as a page: no gain in compressing it. */
bool pg_pool_is_huge(const struct pg_pool *p, unsigned bytes);
void pg_pool_stats(const struct pg_pool *p, struct pg_pool_stats *out);
const char *pg_pool_check(const struct pg_pool *p);

#endif
