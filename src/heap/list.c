/* SPDX-License-Identifier: MIT */
/*
 * heap/list.c: the document's families.
 *
 *   malloc: search the free list -> exact fit, or split -> else move the break by a larger unit, the excess onto
 *           the list -> out
 *   free:   check the header -> join with free neighbours -> onto the list, if it did not join one that is -> at the
 *           end of the heap, if it has become large, move the break back
 *
 * The heap is one row of blocks from root.list.start to a sentinel; if somebody else moved the break between two of our
 * moves, what lies between is a block in use that nobody frees (a fence). A split leaves the remainder on
 * the list.
 *
 * What is checked: a header carries a check word over its sizes, its address and a secret; so a write over the end of a
 * block is found when its successor, or it, is next touched. Links are encoded and must lead to a free block that
 * leads back. A header that was absorbed by a neighbour is marked as gone, so that a second free is told as one.
 *
 * Invariants: H1 and H2 of heap/layout.h, and
 *   L1 every change is made with `lock` held; it is the only lock.
 *
 * Not here: headers (block.h); the free list and its searches (fit.c); sizes and arguments of the callers' (front.c); how the four compare (docs/heap.md).
 */
#include "heap/list.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "heap/block.h"
#include "heap/fit.h"

#define BLOCK_MAX (((uint64_t)UINT32_MAX - 1) * PG_HEAP_UNIT)

size_t pg_list_grow_bytes = 128 << 10, pg_list_trim_bytes = 1 << 20;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What follows b learns b's size. */
static void tell_successor(const block_t *b)
{
	block_t *next = after(b);

	check_header(next);
	next->prev_units = (uint32_t)(size_of(b) / PG_HEAP_UNIT);
	next->check = check_of(next);
}

/* The block that malloc returned p of, in use; dies if there is none. */
static block_t *block_of(const char *call, void *p)
{
	block_t *b = (block_t *)((uintptr_t)p - PG_HEAP_HEADER);

	if (PG_UNLIKELY((uintptr_t)p < PG_HEAP_HEADER || !in_heap(b) ||
			(uint64_t)b == pg_heap_root.list.end))
		pg_os_die("%s of %x: it is no block of this heap", call, (uint64_t)p);
	if (PG_UNLIKELY(b->size_flags == PG_BLOCK_GONE && b->check == 0))
		pg_os_die("%s of %x: this block is free already (freed twice)", call, (uint64_t)p);
	if (PG_UNLIKELY(b->check != check_of(b)))
		pg_os_die("%s of %x: no block begins there, or its header is overwritten", call,
			(uint64_t)p);
	if (PG_UNLIKELY(!is_used(b)))
		pg_os_die("%s of %x: this block is free already (freed twice)", call, (uint64_t)p);
	if (PG_UNLIKELY(b->size_flags & PG_HEAP_FENCE))
		pg_os_die("%s of %x: it is no block of this heap", call, (uint64_t)p);
	return b;
}

/* --- split, join, and the break ------------------------------------------------------------------------ */

/* b, in use until now, becomes free and joins its neighbours; returns the free block that it is part of. */
static block_t *release(block_t *b)
{
	block_t *next = after(b), *prev = b->prev_units ? before(b) : NULL;
	uint64_t size = size_of(b);

	check_header(next);
	if (prev) {
		check_header(prev);
		if (PG_UNLIKELY(size_of(prev) != prev_bytes(b)))
			pg_os_die("the headers of the blocks at %x and %x disagree",
				(uint64_t)prev + PG_HEAP_HEADER, (uint64_t)b + PG_HEAP_HEADER);
	}
	bool join_next = !is_used(next), join_prev = prev && !is_used(prev);
	if (join_next)
		size += size_of(next);
	if (join_prev) {
		if (join_next)
			pg_fit_replace(next, NULL);
		set_header(prev, size_of(prev) + size, prev_bytes(prev));
		pg_fit_grew(prev);
		set_gone(b);
		b = prev;
	} else {
		set_header(b, size, prev_bytes(b));
		if (join_next)
			pg_fit_replace(next, b);
		else
			pg_fit_insert(b);
	}
	if (join_next)
		set_gone(next);
	tell_successor(b);
	return b;
}

/* Cuts what is beyond size bytes off a block in use, if it can be a block. */
static void split_used(block_t *b, uint64_t size)
{
	uint64_t rest = size_of(b) - size;

	if (rest < PG_HEAP_BLOCK_MIN)
		return;
	check_header(after(b));
	set_header(b, size | PG_HEAP_USED, prev_bytes(b));
	block_t *tail = after(b);
	set_header(tail, rest | PG_HEAP_USED, size);
	tell_successor(tail);
	release(tail);
}

/* The first size bytes of a free block are in use now; the rest stays free at its place in the list. */
static void take(block_t *b, uint64_t size)
{
	uint64_t rest = size_of(b) - size;

	check_header(after(b));
	if (rest < PG_HEAP_BLOCK_MIN) {
		pg_fit_replace(b, NULL);
		set_header(b, size_of(b) | PG_HEAP_USED, prev_bytes(b));
		return;
	}
	block_t *tail = (block_t *)((uintptr_t)b + size);
	set_header(tail, rest, size);
	pg_fit_replace(b, tail);
	set_header(b, size | PG_HEAP_USED, prev_bytes(b));
	tell_successor(tail);
}

/* Moves the break so that a block of size bytes is free, and returns it; NULL: the system has no more. */
static block_t *grow(uint64_t size)
{
	uint64_t want = size + PG_HEAP_HEADER + PG_HEAP_UNIT,
		 bytes = pg_os_round(want, PG_HEAP_OS_PAGE);
	block_t *end = (block_t *)pg_heap_root.list.end, *b;

	if (end && end->prev_units && !is_used(before(end)))
		bytes = pg_os_round(want - size_of(before(end)), PG_HEAP_OS_PAGE);
	if (bytes < pg_list_grow_bytes)
		bytes = pg_os_round(pg_list_grow_bytes, PG_HEAP_OS_PAGE);
	if (end && (uint64_t)sbrk(0) != (uint64_t)end + PG_HEAP_HEADER) /* somebody else moved it */
		bytes = pg_os_round(want + bytes, PG_HEAP_OS_PAGE);
	uint64_t start = (uint64_t)sbrk((intptr_t)bytes);
	if (start == (uint64_t)-1)
		return NULL;
	if (end)
		check_header(end);
	else
		pg_heap_root.list.start = pg_os_round(start, PG_HEAP_UNIT);
	if (!pg_fit_cover(start + bytes)) {
		if (!end)
			pg_heap_root.list.start = 0;
		sbrk(-(intptr_t)bytes);
		return NULL;
	}
	uint64_t limit = (start + bytes) & ~(uint64_t)(PG_HEAP_UNIT - 1);
	if (end && start == (uint64_t)end + PG_HEAP_HEADER) {
		b = end;
	} else {
		b = (block_t *)pg_os_round(start, PG_HEAP_UNIT);
		uint64_t gap = end ? (uint64_t)b - (uint64_t)end : 0;
		if (end)
			set_header(end, gap | PG_HEAP_USED | PG_HEAP_FENCE, prev_bytes(end));
		set_header(b, PG_HEAP_USED, gap);
	}
	block_t *sentinel = (block_t *)(limit - PG_HEAP_HEADER);
	uint64_t room = (uint64_t)sentinel - (uint64_t)b;
	pg_heap_root.list.end = (uint64_t)sentinel;
	set_header(b, room | PG_HEAP_USED, prev_bytes(b));
	set_header(sentinel, PG_HEAP_USED | PG_HEAP_FENCE, room);
	return release(b);
}

/* With the lock held: a block in use of size bytes, header included. */
static block_t *allocate(uint64_t size)
{
	block_t *b = pg_fit_search(size);

	if (!b)
		b = grow(size);
	if (!b || size_of(b) < size)
		return NULL;
	take(b, size);
	return b;
}

static bool trim(size_t keep)
{
	block_t *end = (block_t *)pg_heap_root.list.end,
		*last = end && end->prev_units ? before(end) : NULL;

	if (!last || is_used(last) || (uint64_t)sbrk(0) != (uint64_t)end + PG_HEAP_HEADER)
		return false;
	check_header(last);
	check_header(end);
	if (size_of(last) < keep + PG_HEAP_BLOCK_MIN + PG_HEAP_OS_PAGE)
		return false;
	uint64_t bytes = (size_of(last) - keep - PG_HEAP_BLOCK_MIN) & ~(PG_HEAP_OS_PAGE - 1);
	if (sbrk(-(intptr_t)bytes) == (void *)-1)
		return false;
	block_t *sentinel = (block_t *)((uint64_t)end - bytes);
	set_header(last, size_of(last) - bytes, prev_bytes(last));
	set_header(sentinel, PG_HEAP_USED | PG_HEAP_FENCE, size_of(last));
	pg_heap_root.list.end = (uint64_t)sentinel;
	return true;
}

/* --- the calls ------------------------------------------------------------------------------------------ */

/* The size of a block for size bytes, 0 if there can be none. */
static uint64_t block_size(size_t size)
{
	if (size > BLOCK_MAX - PG_HEAP_HEADER - PG_HEAP_UNIT)
		return 0;
	uint64_t bytes = pg_os_round(size + PG_HEAP_HEADER, PG_HEAP_UNIT);
	return bytes < PG_HEAP_BLOCK_MIN ? PG_HEAP_BLOCK_MIN : bytes;
}

bool pg_list_owns(const void *p)
{
	/* end only moves below blocks in use, start never: no lock is needed for an address of a block. */
	return (uint64_t)p >= pg_heap_root.list.start &&
	       (uint64_t)p < __atomic_load_n(&pg_heap_root.list.end, __ATOMIC_RELAXED);
}

void *pg_list_malloc(size_t size)
{
	uint64_t bytes = block_size(size);
	block_t *b = NULL;

	if (bytes) {
		pg_lock(&lock);
		b = allocate(bytes);
		pg_unlock(&lock);
	}
	return b ? payload(b) : (errno = ENOMEM, NULL);
}

void *pg_list_calloc(size_t bytes)
{
	void *p = pg_list_malloc(bytes);

	return p ? memset(p, 0, bytes) : NULL;
}

void *pg_list_memalign(size_t align, size_t size)
{
	uint64_t bytes = block_size(size), extra = align + PG_HEAP_BLOCK_MIN;
	block_t *b = NULL;

	if (bytes && extra < BLOCK_MAX && bytes + extra < BLOCK_MAX) {
		pg_lock(&lock);
		b = allocate(bytes + extra);
		if (b && (uintptr_t)payload(b) % align != 0) {
			uint64_t start =
				pg_os_round((uintptr_t)payload(b) + PG_HEAP_BLOCK_MIN, align);
			block_t *inner = (block_t *)(start - PG_HEAP_HEADER);
			uint64_t lead = (uint64_t)inner - (uint64_t)b;
			set_header(inner, (size_of(b) - lead) | PG_HEAP_USED, lead);
			tell_successor(inner);
			set_header(b, lead | PG_HEAP_USED, prev_bytes(b));
			release(b);
			b = inner;
		}
		if (b)
			split_used(b, bytes);
		pg_unlock(&lock);
	}
	return b ? payload(b) : (errno = ENOMEM, NULL);
}

void pg_list_free(void *p)
{
	pg_lock(&lock);
	block_t *b = release(block_of("free", p));
	if ((uint64_t)after(b) == pg_heap_root.list.end && size_of(b) >= pg_list_trim_bytes)
		trim(pg_list_grow_bytes);
	pg_unlock(&lock);
}

/* b grows over its free successor to size bytes; false: it cannot. */
static bool extend(block_t *b, uint64_t size)
{
	block_t *next = after(b);

	check_header(next);
	if (is_used(next) || size_of(b) + size_of(next) < size)
		return false;
	pg_fit_replace(next, NULL);
	uint64_t whole = size_of(b) + size_of(next);
	set_gone(next);
	set_header(b, whole | PG_HEAP_USED, prev_bytes(b));
	tell_successor(b);
	return true;
}

void *pg_list_realloc(void *p, size_t size)
{
	uint64_t bytes = block_size(size);
	void *q = NULL;

	if (!bytes)
		return errno = ENOMEM, NULL;
	pg_lock(&lock);
	block_t *b = block_of("realloc", p);
	if (bytes <= size_of(b) || extend(b, bytes)) {
		split_used(b, bytes);
		q = p;
	}
	size_t have = size_of(b) - PG_HEAP_HEADER;
	pg_unlock(&lock);
	if (q)
		return q;
	q = pg_list_malloc(size);
	if (!q)
		return NULL;
	memcpy(q, p, have < size ? have : size);
	pg_list_free(p);
	return q;
}

size_t pg_list_usable(const char *call, void *p)
{
	pg_lock(&lock);
	size_t size = size_of(block_of(call, p)) - PG_HEAP_HEADER;
	pg_unlock(&lock);
	return size;
}

bool pg_list_trim(size_t keep)
{
	pg_lock(&lock);
	bool moved = trim(keep);
	pg_unlock(&lock);
	return moved;
}

void pg_list_count(struct pg_list_figures *f)
{
	*f = (struct pg_list_figures){0};
	pg_lock(&lock);
	f->searches = pg_fit_searches;
	f->steps = pg_fit_steps;
	const block_t *end = (const block_t *)pg_heap_root.list.end, *last = NULL;
	if (end)
		f->heap_bytes = (uint64_t)end + PG_HEAP_HEADER - pg_heap_root.list.start;
	for (const block_t *b = (const block_t *)pg_heap_root.list.start; b && b < end;
		b = after(b)) {
		check_header(b);
		last = b;
		if (b->size_flags & PG_HEAP_FENCE) {
			f->heap_bytes -= size_of(b);
		} else if (is_used(b)) {
			f->used_blocks++;
			f->used_bytes += size_of(b);
		} else {
			f->free_blocks++;
			f->free_bytes += size_of(b);
			if (size_of(b) > f->largest_free)
				f->largest_free = size_of(b);
		}
	}
	if (last && !is_used(last))
		f->last_free = size_of(last);
	pg_unlock(&lock);
}

/* --- fork: the front sets and clears pg_os_forking ------------------------------------------------------ */

void pg_list_fork_prepare(void)
{
	pthread_mutex_lock(&lock);
}

void pg_list_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

void pg_list_fork_child(void)
{
	const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	lock = fresh;
}
