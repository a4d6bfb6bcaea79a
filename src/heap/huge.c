/* SPDX-License-Identifier: MIT */
/*
 * heap/huge.c: blocks that are mappings of their own, and the table of them.
 *
 * Called by sharded.c for what is larger than PG_HEAP_LARGE_MAX, aligned beyond it, or when there is no room for a
 * segment. What is known of a block lies in the table, not before the block; so a pointer is one that was given out
 * or is not, and the block begins on a page. One lock: each of these calls costs system calls anyway.
 *
 * The table is a hash of the address, open addressing with linear probing, at most half full, in a mapping that
 * is replaced by a larger one. Some freed mappings are kept, with their memory, for the next blocks: to map, fault
 * in and clear megabytes costs more than most programs do with them.
 *
 * Invariants:
 *   U1 each huge block has one row; rows, with deleted ones, are at most half of the table.
 *   U2 kept mappings are at most KEEP, at most half of those in rows or pg_huge_keep_bytes, and in no row.
 */
#include "heap/sharded.h"

#include <errno.h>
#include <string.h>

#define DELETED 1u

pthread_mutex_t pg_huge_lock = PTHREAD_MUTEX_INITIALIZER;

#define KEEP 64                  /* mappings that may be kept */
#define KEEP_LEAST (128ul << 10) /* a rest smaller than this goes with the block */

size_t pg_huge_keep_bytes = 32 << 20;

static struct pg_heap_huge kept[KEEP]; /* [kept_count], the oldest first */
static unsigned kept_count;
static size_t kept_bytes, used_bytes; /* of mappings kept; of those in rows */
static size_t rows_taken;             /* in use or deleted; guarded by pg_huge_lock, as all here */

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
	used_bytes += row->map_bytes;
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
	rows_taken = used_bytes = 0;
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

/* --- mappings kept for the next block ----------------------------------------------------------------- */

static void keep_remove(unsigned i)
{
	kept_count--;
	kept_bytes -= kept[i].map_bytes;
	memmove(&kept[i], &kept[i + 1], (kept_count - i) * sizeof kept[0]);
}

/*
 * Memory for a block of bytes out of what is kept: the least of those large enough, of which what is left over stays
 * kept; or the largest of the others, made larger, which at least saves the part that it has. 0: none.
 */
static uintptr_t keep_take(size_t bytes, size_t *map_bytes)
{
	unsigned best = KEEP, largest = KEEP;
	struct pg_heap_huge found = {0};

	pg_lock(&pg_huge_lock);
	for (unsigned i = 0; i < kept_count; i++) {
		size_t n = kept[i].map_bytes;
		if (n >= bytes && (best == KEEP || n < kept[best].map_bytes))
			best = i;
		if (largest == KEEP || n > kept[largest].map_bytes)
			largest = i;
	}
	if (best == KEEP && largest != KEEP && kept[largest].map_bytes >= bytes / 4)
		best = largest;
	if (best != KEEP) {
		found = kept[best];
		if (found.map_bytes >= bytes + KEEP_LEAST) {
			kept[best].map += bytes;
			kept[best].map_bytes -= bytes;
			kept_bytes -= bytes;
			found.map_bytes = bytes;
		} else {
			keep_remove(best);
		}
	}
	pg_unlock(&pg_huge_lock);
	if (found.map && found.map_bytes < bytes) {
		uintptr_t larger = pg_os_remap(found.map, found.map_bytes, bytes);
		if (!larger)
			pg_os_unmap(found.map, found.map_bytes);
		found.map = larger;
		found.map_bytes = bytes;
	}
	*map_bytes = found.map_bytes;
	return found.map;
}

/* With the lock held: the oldest kept mapping, taken out. */
static struct pg_heap_huge keep_oldest(void)
{
	struct pg_heap_huge oldest = kept[0];

	keep_remove(0);
	return oldest;
}

/* With the lock held: the mapping joins a kept one that it touches; false: there is none. */
static bool keep_join(uintptr_t map, size_t map_bytes)
{
	for (unsigned i = 0; i < kept_count; i++) {
		struct pg_heap_huge joined = kept[i];
		if (joined.map + joined.map_bytes != map && map + map_bytes != joined.map)
			continue;
		keep_remove(i);
		if (map < joined.map)
			joined.map = map;
		joined.map_bytes += map_bytes;
		if (!keep_join(joined.map, joined.map_bytes)) {
			kept[kept_count++] = joined;
			kept_bytes += joined.map_bytes;
		}
		return true;
	}
	return false;
}

/* How much may be kept: half of what is in use, but not less than pg_huge_keep_bytes. */
static size_t keep_limit(void)
{
	return used_bytes / 2 > pg_huge_keep_bytes ? used_bytes / 2 : pg_huge_keep_bytes;
}

/* Keeps a mapping, or gives it back if it is too large to keep; and gives the oldest back while there are too many. */
static void keep_or_unmap(uintptr_t map, size_t map_bytes)
{
	pg_lock(&pg_huge_lock);
	bool keep = map_bytes <= keep_limit() && kept_count < KEEP;
	if (keep && !keep_join(map, map_bytes)) {
		kept[kept_count++] = (struct pg_heap_huge){.map = map, .map_bytes = map_bytes};
		kept_bytes += map_bytes;
	}
	pg_unlock(&pg_huge_lock);
	if (!keep)
		pg_os_unmap(map, map_bytes);
	for (;;) {
		struct pg_heap_huge oldest = {0};
		pg_lock(&pg_huge_lock);
		if (kept_count == KEEP || kept_bytes > keep_limit())
			oldest = keep_oldest();
		pg_unlock(&pg_huge_lock);
		if (!oldest.map)
			return;
		pg_os_unmap(oldest.map, oldest.map_bytes);
	}
}

bool pg_huge_trim(void)
{
	bool any = false;

	for (;;) {
		struct pg_heap_huge oldest = {0};
		pg_lock(&pg_huge_lock);
		if (kept_count)
			oldest = keep_oldest();
		pg_unlock(&pg_huge_lock);
		if (!oldest.map)
			return any;
		pg_os_unmap(oldest.map, oldest.map_bytes);
		any = true;
	}
}

/* --- blocks --------------------------------------------------------------------------------------------- */

static uintptr_t map_new(size_t bytes, size_t align)
{
	return align > PG_HEAP_OS_PAGE ? pg_os_map_aligned(bytes, align) : pg_os_map(bytes);
}

void *pg_huge_malloc(size_t size, size_t align, bool *zero)
{
	size_t bytes = pg_os_round(size ? size : 1, PG_HEAP_OS_PAGE), map_bytes = bytes;
	uintptr_t map = 0;
	void *p = NULL;

	if (bytes < size || bytes > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	if (align <= PG_HEAP_OS_PAGE)
		map = keep_take(bytes, &map_bytes);
	*zero = !map;
	if (!map) {
		map_bytes = bytes;
		map = map_new(bytes, align);
		if (!map && pg_huge_trim())
			map = map_new(bytes, align);
		if (!map)
			return NULL;
	}
	pg_lock(&pg_huge_lock);
	if (reserve()) {
		struct pg_heap_huge row = {map, bytes, map, map_bytes};
		put((void *)pg_heap_root.huge, pg_heap_root.huge_rows, &row);
		p = (void *)map;
	}
	pg_unlock(&pg_huge_lock);
	if (!p) {
		pg_os_unmap(map, map_bytes);
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
		used_bytes -= was.map_bytes;
		*row = (struct pg_heap_huge){.address = DELETED};
	}
	pg_unlock(&pg_huge_lock);
	if (!was.address)
		return false;
	keep_or_unmap(was.map, was.map_bytes);
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

/* With the lock held: a block grows over what is kept right behind it, to `bytes` if that is enough. */
static void keep_extend(struct pg_heap_huge *row, size_t bytes)
{
	for (unsigned i = 0; i < kept_count; i++) {
		if (kept[i].map != row->map + row->map_bytes)
			continue;
		size_t n = bytes - row->map_bytes;
		if (kept[i].map_bytes < n + KEEP_LEAST)
			n = kept[i].map_bytes;
		row->map_bytes += n;
		used_bytes += n;
		kept[i].map += n;
		kept[i].map_bytes -= n;
		kept_bytes -= n;
		if (kept[i].map_bytes == 0)
			keep_remove(i);
		return;
	}
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
	if (row && row->map_bytes < bytes)
		keep_extend(row, bytes);
	if (row && row->map_bytes >= bytes && row->map_bytes - bytes <= bytes / 4) {
		row->size = bytes;
		moved = row->address;
	} else if (row && reserve()) {
		row = find((uint64_t)p);
		moved = pg_os_remap(row->map, row->map_bytes, bytes);
		if (moved) {
			struct pg_heap_huge now = {moved, bytes, moved, bytes};
			used_bytes -= row->map_bytes;
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
