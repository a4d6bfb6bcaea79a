/* SPDX-License-Identifier: MIT */
/*
 * heap/block.h: headers of the document's heap: how they are read, written and checked. Used by list.c and fit.c, with the
 * lock of list.c held.
 *
 * Invariants:
 *   B1 no write goes to a header, and no size is used, before its check word was found right.
 */
#ifndef PG_HEAP_BLOCK_H
#define PG_HEAP_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "heap/layout.h"
#include "heap/os.h"

#define PG_BLOCK_GONE                                                                              \
	0x656e6f67656e6f60u /* size_flags of a header inside a free block; its low bits say free */

typedef struct pg_heap_block block_t;

static inline uint32_t check_of(const block_t *b)
{
	uint64_t x = b->size_flags ^ ((uint64_t)b->prev_units << 32 | b->prev_units) ^ (uint64_t)b ^
		     pg_heap_root.list_secret;

	x *= 0x9e3779b97f4a7c15u;
	return (uint32_t)(x >> 32);
}

static inline uint64_t size_of(const block_t *b)
{
	return b->size_flags & ~(uint64_t)PG_HEAP_FLAGS;
}

static inline bool is_used(const block_t *b)
{
	return b->size_flags & PG_HEAP_USED;
}

static inline void *payload(block_t *b)
{
	return (char *)b + PG_HEAP_HEADER;
}

static inline block_t *after(const block_t *b)
{
	return (block_t *)((uintptr_t)b + size_of(b));
}

static inline block_t *before(const block_t *b)
{
	return (block_t *)((uintptr_t)b - (uint64_t)b->prev_units * PG_HEAP_UNIT);
}

static inline uint64_t prev_bytes(const block_t *b)
{
	return (uint64_t)b->prev_units * PG_HEAP_UNIT;
}

static inline void set_header(block_t *b, uint64_t size_flags, uint64_t before_bytes)
{
	b->size_flags = size_flags;
	b->prev_units = (uint32_t)(before_bytes / PG_HEAP_UNIT);
	b->check = check_of(b);
}

static inline bool in_heap(const block_t *b)
{
	return (uint64_t)b >= pg_heap_root.list.start && (uint64_t)b <= pg_heap_root.list.end &&
	       (uint64_t)b % PG_HEAP_UNIT == 0;
}

/* b is known to be a block; its header must be whole. */
static inline void check_header(const block_t *b)
{
	if (PG_UNLIKELY(!in_heap(b) || b->check != check_of(b)))
		pg_os_die("the header of the block at %x is overwritten, perhaps by the block "
			  "before it",
			(uint64_t)b + PG_HEAP_HEADER);
}

/* The header will lie inside a free block: a free of it can be told from others. */
static inline void set_gone(block_t *b)
{
	b->size_flags = PG_BLOCK_GONE;
	b->check = 0;
}

#endif
