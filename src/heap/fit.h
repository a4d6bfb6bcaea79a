/* SPDX-License-Identifier: MIT */
/*
 * heap/fit.h: the free list of the document's heap, in the order of addresses, and the four ways to search it.
 *
 * Used by list.c with its lock held. What is free and how blocks join is list.c's business.
 */
#ifndef PG_HEAP_FIT_H
#define PG_HEAP_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "heap/layout.h"

/* Makes sure that blocks up to address `end` can be listed; false: ENOMEM. root.list.start is set. */
bool pg_fit_cover(uint64_t end);

/* A free block, header complete, onto the list. */
void pg_fit_insert(struct pg_heap_block *b);

/* A listed block, whose links are whole, leaves it; `instead`, unless NULL, takes its place: no other is between them. */
void pg_fit_replace(struct pg_heap_block *b, struct pg_heap_block *instead);

/* A listed block has become larger. */
void pg_fit_grew(const struct pg_heap_block *b);

/* The free block of at least size bytes that the family wants; NULL: there is none. */
struct pg_heap_block *pg_fit_search(uint64_t size);

/* Searches so far, and blocks that they looked at. */
extern uint64_t pg_fit_searches, pg_fit_steps;

#endif
