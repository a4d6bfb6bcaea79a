/* SPDX-License-Identifier: MIT */
/*
 * heap/fit.c: the free list of the document's heap, and first-, next-, best- and worst-fit.
 *
 * The list is explicit: each free block holds the addresses of the next and the previous one, in the order of
 * addresses, so "the first that is large enough" is the hole nearest to the start of the heap. A plain walk takes as long
 * as the list, and a real program's has tens of thousands of blocks, most of them small. So there is an index beside
 * it: for each 16 KiB of heap (a *stretch*) its first free block, and bounds of what its free blocks can serve; and the
 * bounds of each 64 stretches (a *group*). A search passes over what cannot serve it and walks the blocks of a stretch
 * that may; what it returns is what the plain walk would have returned. Bounds are right or too large; a search in
 * vain makes them right.
 *
 *   first-fit  the lowest address          next-fit   the same, from where the last search ended
 *   best-fit   the smallest that serves    worst-fit  the largest          (equal ones: the lowest address)
 *
 * Invariants:
 *   T1 the list has each free block once, addresses rise along it.
 *   T2 first of a stretch is its first free block, 0 if there is none; bounds of a stretch cover all its free
 *      blocks, bounds of a group those of its stretches.
 */
#include "heap/fit.h"

#include <string.h>

#include "heap/block.h"

#define STRETCH_SHIFT 14
#define EXACT_CLASSES 31 /* of one size each: 32, 48, ..., 512 bytes; above, four to a doubling */
#define CLASSES 64

#define GROUP 64 /* stretches */

struct bounds {
	uint64_t largest; /* bytes; no free block is larger */
	uint64_t classes; /* bit i: there may be free blocks of size class i */
};

struct stretch {
	uint64_t first; /* address of a header, or 0 */
	struct bounds bounds;
};

uint64_t pg_fit_searches, pg_fit_steps;

static struct stretch *stretches; /* of the addresses from `base` on; grows with the heap */
static struct bounds *groups;     /* [stretch_room / GROUP], behind them in the same mapping */
static uint64_t base, stretch_count, stretch_room;

static unsigned class_of(uint64_t size)
{
	if (size <= 512)
		return (unsigned)(size / PG_HEAP_UNIT) - 2;
	unsigned top = 63 - (unsigned)__builtin_clzl(size - 1);
	unsigned rank = EXACT_CLASSES + (top - 9) * 4 + ((size - 1) >> (top - 2) & 3);
	return rank < CLASSES ? rank : CLASSES - 1;
}

static inline uint64_t stretch_of(const block_t *b)
{
	return ((uint64_t)b - base) >> STRETCH_SHIFT;
}

static size_t table_bytes(uint64_t room)
{
	return pg_os_round(room * sizeof(struct stretch) + room / GROUP * sizeof(struct bounds),
		PG_HEAP_OS_PAGE);
}

bool pg_fit_cover(uint64_t end)
{
	if (!base)
		base = pg_heap_root.list.start >> STRETCH_SHIFT << STRETCH_SHIFT;
	uint64_t count = ((end - base) >> STRETCH_SHIFT) + 1;
	if (count > stretch_room) {
		uint64_t room = stretch_room ? stretch_room : 2 * GROUP;
		while (room < count)
			room *= 2;
		struct stretch *table = (struct stretch *)pg_os_map(table_bytes(room));
		if (!table)
			return false;
		struct bounds *bounds = (struct bounds *)(table + room);
		if (stretches) {
			memcpy(table, stretches, stretch_room * sizeof *table);
			memcpy(bounds, groups, stretch_room / GROUP * sizeof *bounds);
			pg_os_unmap((uintptr_t)stretches, table_bytes(stretch_room));
		}
		stretches = table;
		groups = bounds;
		stretch_room = room;
	}
	if (count > stretch_count)
		stretch_count = count;
	return true;
}

/* --- links ---------------------------------------------------------------------------------------- */

static inline uint64_t coded(const uint64_t *link, uint64_t value)
{
	return value ^ pg_heap_root.list_secret ^ (uint64_t)link;
}

static void set_next(block_t *b, block_t *next)
{
	b->next = coded(&b->next, (uint64_t)next);
}

static void set_prev(block_t *b, block_t *prev)
{
	b->prev = coded(&b->prev, (uint64_t)prev);
}

/* A link of b's: NULL, or a free block with a whole header. */
static inline block_t *linked(const block_t *b, const uint64_t *link)
{
	block_t *to = (block_t *)coded(link, *link);

	if (to && PG_UNLIKELY(!in_heap(to) || is_used(to) || to->check != check_of(to)))
		pg_os_die("the free list is corrupted: the free block at %x was written to",
			(uint64_t)b + PG_HEAP_HEADER);
	return to;
}

static inline block_t *next_of(const block_t *b)
{
	block_t *next = linked(b, &b->next);

	if (next && PG_UNLIKELY(next <= b))
		pg_os_die("the free list is corrupted: the free block at %x was written to",
			(uint64_t)b + PG_HEAP_HEADER);
	return next;
}

/* The first free block of a stretch, NULL for none. */
static inline block_t *first_of(uint64_t n)
{
	block_t *b = (block_t *)stretches[n].first;

	if (b)
		check_header(b);
	return b;
}

/* The next free block of the same stretch. */
static inline block_t *next_within(const block_t *b, uint64_t n)
{
	block_t *next = next_of(b);

	return next && stretch_of(next) == n ? next : NULL;
}

static void index_add(const block_t *b)
{
	struct stretch *s = &stretches[stretch_of(b)];

	if (!s->first || (uint64_t)b < s->first)
		s->first = (uint64_t)b;
	pg_fit_grew(b);
}

static void include(struct bounds *to, const struct bounds *more)
{
	if (more->largest > to->largest)
		to->largest = more->largest;
	to->classes |= more->classes;
}

void pg_fit_grew(const block_t *b)
{
	uint64_t n = stretch_of(b);
	struct bounds more = {size_of(b), 1ul << class_of(size_of(b))};

	include(&stretches[n].bounds, &more);
	include(&groups[n / GROUP], &more);
}

static void index_remove(const block_t *b, const block_t *next)
{
	uint64_t n = stretch_of(b);

	if (stretches[n].first != (uint64_t)b)
		return;
	if (next && stretch_of(next) == n)
		stretches[n].first = (uint64_t)next;
	else
		stretches[n] = (struct stretch){0};
}

void pg_fit_replace(block_t *b, block_t *instead)
{
	block_t *next = next_of(b), *prev = linked(b, &b->prev);

	if (PG_UNLIKELY((next && coded(&next->prev, next->prev) != (uint64_t)b) ||
			(prev && coded(&prev->next, prev->next) != (uint64_t)b) ||
			(!prev && pg_heap_root.list.free != (uint64_t)b)))
		pg_os_die("the free list is corrupted: the free block at %x was written to",
			(uint64_t)b + PG_HEAP_HEADER);
	block_t *left = instead ? instead : next, *right = instead ? instead : prev;
	index_remove(b, next);
	if (instead) {
		set_next(instead, next);
		set_prev(instead, prev);
		index_add(instead);
	}
	if (prev)
		set_next(prev, left);
	else
		pg_heap_root.list.free = (uint64_t)left;
	if (next)
		set_prev(next, right);
	if (pg_heap_root.list.rover == (uint64_t)b)
		pg_heap_root.list.rover = (uint64_t)left;
}

/* The last free block before b, of the stretches before b's own; NULL: none. */
static block_t *last_before(uint64_t n)
{
	while (n-- > 0) {
		block_t *b = first_of(n), *next;
		if (!b)
			continue;
		while ((next = next_within(b, n)) != NULL)
			b = next;
		return b;
	}
	return NULL;
}

void pg_fit_insert(block_t *b)
{
	uint64_t n = stretch_of(b);
	block_t *prev = first_of(n), *next;

	if (prev && prev < b) {
		while ((next = next_of(prev)) != NULL && next < b)
			prev = next;
	} else {
		next = prev;
		prev = next ? linked(next, &next->prev) : last_before(n);
		if (!next)
			next = prev ? next_of(prev) : (block_t *)pg_heap_root.list.free;
		if (next)
			check_header(next);
	}
	set_next(b, next);
	set_prev(b, prev);
	if (prev)
		set_next(prev, b);
	else
		pg_heap_root.list.free = (uint64_t)b;
	if (next)
		set_prev(next, b);
	index_add(b);
}

/* --- the searches ------------------------------------------------------------------------------------ */

/* Walks all of stretch n, and makes its bounds exact. */
static void measure(uint64_t n)
{
	struct bounds exact = {0, 0};

	for (block_t *b = first_of(n); b; b = next_within(b, n)) {
		struct bounds more = {size_of(b), 1ul << class_of(size_of(b))};
		include(&exact, &more);
	}
	stretches[n].bounds = exact;
}

/* Makes the bounds of a group as exact as those of its stretches. */
static void measure_group(uint64_t g)
{
	struct bounds exact = {0, 0};

	for (uint64_t n = g * GROUP; n < (g + 1) * GROUP && n < stretch_count; n++)
		include(&exact, &stretches[n].bounds);
	groups[g] = exact;
}

static bool may_serve(const struct bounds *b, uint64_t size, uint64_t classes)
{
	return b->largest >= size && (b->classes & classes);
}

/* The first stretch of [n, to) that may have a block of at least size and one of the classes; `to`: none. */
static uint64_t seek(uint64_t n, uint64_t to, uint64_t size, uint64_t classes)
{
	while (n < to) {
		uint64_t g = n / GROUP, end = (g + 1) * GROUP < to ? (g + 1) * GROUP : to;
		if (!may_serve(&groups[g], size, classes)) {
			n = end;
			continue;
		}
		bool whole = n % GROUP == 0;
		for (; n < end; n++) {
			if (may_serve(&stretches[n].bounds, size, classes))
				return n;
		}
		if (whole)
			measure_group(g);
	}
	return to;
}

/* The first block of stretch n from b on that serves; NULL: none. */
static block_t *first_within(uint64_t n, block_t *b, uint64_t size)
{
	for (; b; b = next_within(b, n)) {
		pg_fit_steps++;
		if (size_of(b) >= size)
			return b;
	}
	return NULL;
}

static block_t *first_fit(uint64_t size, uint64_t from, uint64_t to)
{
	for (uint64_t n = from; (n = seek(n, to, size, ~0ul)) < to; n++) {
		block_t *b = first_within(n, first_of(n), size);
		if (b)
			return b;
		measure(n);
	}
	return NULL;
}

static block_t *next_fit(uint64_t size)
{
	block_t *rover = (block_t *)pg_heap_root.list.rover, *b = NULL;
	uint64_t n = 0;

	if (rover) {
		check_header(rover);
		n = stretch_of(rover);
		b = first_within(n, rover, size);
		if (!b)
			b = first_fit(size, n + 1, stretch_count);
	}
	if (!b)
		b = first_fit(size, 0, rover ? n + 1 : stretch_count);
	pg_heap_root.list.rover = (uint64_t)b;
	return b;
}

/* The smallest block of stretch n that serves and is of the class; NULL: none. */
static block_t *best_within(uint64_t n, uint64_t size, unsigned rank)
{
	block_t *best = NULL;

	for (block_t *b = first_of(n); b; b = next_within(b, n)) {
		pg_fit_steps++;
		if (size_of(b) < size || class_of(size_of(b)) != rank ||
			(best && size_of(b) >= size_of(best)))
			continue;
		best = b;
		if (size_of(b) == size || rank < EXACT_CLASSES)
			return best;
	}
	return best;
}

/* The smallest class from `class` on that some group may have; CLASSES: none. */
static unsigned smallest_class(unsigned rank)
{
	uint64_t all = 0, wanted = rank < CLASSES ? ~0ul << rank : 0;

	for (uint64_t g = 0; g < (stretch_count + GROUP - 1) / GROUP; g++)
		all |= groups[g].classes & wanted;
	return all ? (unsigned)__builtin_ctzl(all) : CLASSES;
}

static block_t *best_fit(uint64_t size)
{
	block_t *best = NULL;

	for (unsigned rank = smallest_class(class_of(size)); rank < CLASSES && !best;
		rank = smallest_class(rank + 1)) {
		for (uint64_t n = 0;
			(n = seek(n, stretch_count, size, 1ul << rank)) < stretch_count; n++) {
			block_t *b = best_within(n, size, rank);
			if (!b)
				measure(n);
			else if (!best || size_of(b) < size_of(best))
				best = b;
			if (best && (size_of(best) == size || rank < EXACT_CLASSES))
				return best;
		}
	}
	return best;
}

static block_t *worst_fit(uint64_t size)
{
	for (;;) {
		uint64_t most = 0, at = 0, count = (stretch_count + GROUP - 1) / GROUP;
		for (uint64_t g = 0; g < count; g++) {
			if (groups[g].largest > most) {
				most = groups[g].largest;
				at = g;
			}
		}
		if (most < size || most == 0)
			return NULL;
		uint64_t end = (at + 1) * GROUP < stretch_count ? (at + 1) * GROUP : stretch_count;
		uint64_t n = seek(at * GROUP, end, most, ~0ul);
		if (n == end)
			continue; /* the group's bounds are exact now */
		block_t *b = first_within(n, first_of(n), most);
		if (b)
			return b;
		measure(n);
	}
}

block_t *pg_fit_search(uint64_t size)
{
	pg_fit_searches++;
	switch (pg_heap_root.family) {
	case PG_HEAP_NEXT_FIT:
		return next_fit(size);
	case PG_HEAP_BEST_FIT:
		return best_fit(size);
	case PG_HEAP_WORST_FIT:
		return worst_fit(size);
	default:
		return first_fit(size, 0, stretch_count);
	}
}
