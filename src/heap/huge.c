/* SPDX-License-Identifier: MIT */
/*
 * heap/huge.c: blocks that are mappings of their own, and the table of them.
 *
 * Called by sharded.c for what is larger than PG_HEAP_LARGE_MAX, aligned beyond it, or when there is no room for a
 * segment. What is known of a block lies in the table, not before the block; so a pointer is one that was given out
 * or is not, and the block begins on a page. One lock: each of these calls costs system calls anyway.
 *
 * The table is a hash of the address, open addressing with linear probing, at most half full, in a mapping that
 * is replaced by a larger one.
 *
 * Invariants:
 *   U1 each huge block has one row; rows, with deleted ones, are at most half of the table.
 *   U2 a block's usable bytes read as zero when it is given out.
 */
#include "heap/sharded.h"

#include <errno.h>
#include <string.h>

#define DELETED 1u

pthread_mutex_t pg_huge_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t rows_taken; /* in use or deleted; guarded by pg_huge_lock, as all here */

static size_t row_of(uint64_t address, size_t rows)
{
	return ((address >> 12) * 0x9e3779b97f4a7c15u >> 20) & (rows - 1);
}

/* The row of the block at address, or NULL. */
static struct pg_heap_huge *find(uint64_t address)
{
	struct pg_heap_huge *table = (void *)pg_heap_root.huge;
	size_t rows = pg_heap_root.huge_rows;

	if (!rows || address <= DELETED)
		return NULL;
	for (size_t i = row_of(address, rows); table[i].address; i = (i + 1) & (rows - 1)) {
		if (table[i].address == address)
			return &table[i];
	}
	return NULL;
}

static void put(struct pg_heap_huge *table, size_t rows, const struct pg_heap_huge *row)
{
	size_t i = row_of(row->address, rows);

	while (table[i].address > DELETED)
		i = (i + 1) & (rows - 1);
	if (!table[i].address)
		rows_taken++;
	table[i] = *row;
}

/* Room for one row more; false: ENOMEM. */
static bool reserve(void)
{
	struct pg_heap_huge *old = (void *)pg_heap_root.huge;
	size_t rows = pg_heap_root.huge_rows, live = 0;

	if (rows_taken + 1 <= rows / 2)
		return true;
	for (size_t i = 0; i < rows; i++)
		live += old[i].address > DELETED;
	size_t new_rows = rows ? rows : PG_HEAP_OS_PAGE / sizeof *old;
	while (live + 1 > new_rows / 4)
		new_rows *= 2;
	struct pg_heap_huge *table = (void *)pg_os_map(new_rows * sizeof *old);
	if (!table)
		return false;
	rows_taken = 0;
	for (size_t i = 0; i < rows; i++) {
		if (old[i].address > DELETED)
			put(table, new_rows, &old[i]);
	}
	pg_heap_root.huge = (uint64_t)table;
	pg_heap_root.huge_rows = new_rows;
	if (old)
		pg_os_unmap((uintptr_t)old, rows * sizeof *old);
	return true;
}

void *pg_huge_malloc(size_t size, size_t align)
{
	size_t bytes = pg_os_round(size ? size : 1, PG_HEAP_OS_PAGE);
	void *p = NULL;

	if (bytes < size || bytes > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	uintptr_t map =
		align > PG_HEAP_OS_PAGE ? pg_os_map_aligned(bytes, align) : pg_os_map(bytes);
	if (!map)
		return NULL;
	pg_lock(&pg_huge_lock);
	if (reserve()) {
		struct pg_heap_huge row = {map, bytes, map, bytes};
		put((void *)pg_heap_root.huge, pg_heap_root.huge_rows, &row);
		p = (void *)map;
	}
	pg_unlock(&pg_huge_lock);
	if (!p) {
		pg_os_unmap(map, bytes);
		errno = ENOMEM;
	}
	return p;
}

bool pg_huge_free(void *p)
{
	struct pg_heap_huge was = {0};

	pg_lock(&pg_huge_lock);
	struct pg_heap_huge *row = find((uint64_t)p);
	if (row) {
		was = *row;
		*row = (struct pg_heap_huge){.address = DELETED};
	}
	pg_unlock(&pg_huge_lock);
	if (!was.address)
		return false;
	pg_os_unmap(was.map, was.map_bytes);
	return true;
}

size_t pg_huge_usable(void *p)
{
	pg_lock(&pg_huge_lock);
	struct pg_heap_huge *row = find((uint64_t)p);
	size_t size = row ? row->size : 0;
	pg_unlock(&pg_huge_lock);
	return size;
}

void *pg_huge_realloc(void *p, size_t size)
{
	size_t bytes = pg_os_round(size, PG_HEAP_OS_PAGE);
	uint64_t moved = 0;

	if (bytes < size || bytes > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	pg_lock(&pg_huge_lock);
	struct pg_heap_huge *row = find((uint64_t)p);
	/* Room first: a block that has moved must be in the table. */
	if (row && row->map_bytes == bytes)
		moved = row->address;
	else if (row && reserve()) {
		row = find((uint64_t)p);
		moved = pg_os_remap(row->map, row->map_bytes, bytes);
		if (moved) {
			struct pg_heap_huge now = {moved, bytes, moved, bytes};
			*row = (struct pg_heap_huge){.address = DELETED};
			put((void *)pg_heap_root.huge, pg_heap_root.huge_rows, &now);
		}
	}
	pg_unlock(&pg_huge_lock);
	if (!moved)
		errno = ENOMEM;
	return (void *)moved;
}

void pg_huge_count(size_t *blocks, size_t *bytes)
{
	struct pg_heap_huge *table;

	*blocks = *bytes = 0;
	pg_lock(&pg_huge_lock);
	table = (void *)pg_heap_root.huge;
	for (size_t i = 0; i < pg_heap_root.huge_rows; i++) {
		*blocks += table[i].address > DELETED;
		*bytes += table[i].map_bytes;
	}
	pg_unlock(&pg_huge_lock);
}

void pg_huge_trim(void)
{
}
