/* SPDX-License-Identifier: MIT */
/*
 * heap/list.h: the document's families: one heap on the program break, one free list, one mutex, four ways to search.
 *
 * Called by front.c when PAGODA_MALLOC names one of them. Layout of a block: heap/layout.h.
 */
#ifndef PG_HEAP_LIST_H
#define PG_HEAP_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heap/layout.h"

/* The address lies in the heap on the program break. */
bool pg_list_owns(const void *p);

/* NULL with errno ENOMEM: the break cannot be moved. */
void *pg_list_malloc(size_t size);
void *pg_list_calloc(size_t bytes);

/* align: a power of two, at least 16. */
void *pg_list_memalign(size_t align, size_t size);

/* p not NULL, size not 0. On failure p is as it was. */
void *pg_list_realloc(void *p, size_t size);

/* Dies for what is no block in use, and when headers or links beside it are overwritten. */
void pg_list_free(void *p);
size_t pg_list_usable(const char *call, void *p);

/* Moves the break back as far as free memory at the end allows, less keep bytes. True: it moved. */
bool pg_list_trim(size_t keep);

/* What the break is moved by at least (mallopt M_TOP_PAD), and when free() moves it back (M_TRIM_THRESHOLD). */
extern size_t pg_list_grow_bytes, pg_list_trim_bytes;

struct pg_list_figures {
	size_t heap_bytes, used_bytes, free_bytes; /* headers included */
	size_t used_blocks, free_blocks;
	size_t largest_free, last_free; /* bytes; the block before the break */
	uint64_t searches, steps;       /* of the free list, and blocks looked at in them */
};

/* Walks the whole heap; dies for a broken header or link. */
void pg_list_count(struct pg_list_figures *f);

void pg_list_fork_prepare(void);
void pg_list_fork_parent(void);
void pg_list_fork_child(void);

#endif
